//! The demo's avatar in the demo's street, rendered here, is a raw video of which everything is known: what `replace` makes of
//! it is measured against the truth. The same person, put elsewhere, leaves, returns, has company, stands in other shots.
#![expect(clippy::unwrap_used, reason = "tests")]

use anicrafter_pipeline::composite::Compositor;
use anicrafter_pipeline::{
    Actor, Blend, CancelToken, Context, Error, Event, Job, Preset, Quiet, Replace, Replaced, Scene, Stage,
    Who, replace,
};
use avatar_render::RendererChoice;
use image::{GrayImage, Rgb, RgbImage};
use media::{FrameRate, VideoReader, VideoWriter, WriteOptions};
use smplx::Motion;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const FRAMES: usize = 20;

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo").join(name)
}

fn write(path: &Path, frames: impl Iterator<Item = RgbImage>) {
    let options = WriteOptions { qp: 14, ..WriteOptions::new(FrameRate::whole(16)) };
    let mut writer = VideoWriter::create(path, options).unwrap();
    frames.for_each(|frame| writer.push(&frame).unwrap());
    writer.finish().unwrap();
}

/// A raw video and the scene folder that says what is in it.
fn make(folder: &Path) -> (PathBuf, PathBuf) {
    let mut job = Job::new(Preset::Demo);
    let motion = demo("motion.json");
    job.input.actors.push(Actor::new(demo("avatar.safetensors"), motion.clone()));
    job.input.background = demo("background.mp4");
    job.input.end = Some(FRAMES);
    (job.video.width, job.video.height, job.video.blend) = (640, 384, Blend::Over);
    let mut compositor = Compositor::open(&job, "cpu".parse::<RendererChoice>().unwrap()).unwrap();
    let (raw, scene) = (folder.join("raw.mp4"), folder.join("scene"));
    std::fs::create_dir_all(&scene).unwrap();
    let (mut blends, mut plates) = (Vec::new(), Vec::new());
    while let Some(frame) = compositor.next_frame().unwrap() {
        blends.push(frame.blend);
        plates.push(frame.plate);
    }
    write(&raw, blends.into_iter());
    write(&scene.join("bkgd_video.mp4"), plates.into_iter());
    let motion = Motion::open(motion, 16.0).unwrap().trimmed(0..FRAMES).unwrap();
    motion.write_json_folder(scene.join("smplx_params")).unwrap();
    (raw, scene)
}

/// A job that finds everything in a raw video.
fn job(settings: &Replace, work: &Path) -> Job {
    let mut job = Job::new(Preset::Demo);
    job.replace = Some(settings.clone());
    job.output.work = Some(work.to_owned());
    job
}

#[test]
fn a_rendered_person_is_found_taken_out_and_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (raw, scene) = make(dir.path());
    let settings = Replace { video: raw, ..Replace::default() };
    let job = job(&settings, &dir.path().join("work"));

    // Stopped in the middle of a stage, then gone on with.
    for stage in [Stage::Masks, Stage::Motion, Stage::Plate] {
        let cancel = CancelToken::new();
        let stop = |event: &Event| {
            if matches!(event, Event::Advanced { stage: at, done, .. } if *at == stage && *done >= 2.0) {
                cancel.cancel();
            }
        };
        let stopped = replace(&job, Stage::Plate, Context::new(&stop, &cancel));
        assert!(matches!(stopped, Err(Error::Cancelled)), "{stage:?}");
    }
    let cancel = CancelToken::new();
    let made = replace(&job, Stage::Plate, Context::new(&Quiet, &cancel)).unwrap();
    let m = made.measure(&job, &Scene::new(scene)).unwrap();
    let [motion, plate] = [made.motion, made.plate].map(Option::unwrap);
    println!("{m:#?}");
    assert_eq!(m.frames, FRAMES);
    assert!(m.mask_recall > 0.995 && m.mask_iou > 0.75, "recall {}, IoU {}", m.mask_recall, m.mask_iou);
    // The rim of a bright avatar is what the plate keeps of it.
    assert!(m.plate_psnr > 21.5, "{} dB", m.plate_psnr);
    assert!(m.flicker < 1.1 * m.scene_flicker, "flicker {}, truth {}", m.flicker, m.scene_flicker);
    assert!(m.sharpness > 0.7 * m.scene_sharpness, "sharpness {}, truth {}", m.sharpness, m.scene_sharpness);
    // The avatar's painted face isn't as large as a body's, which is where the body is put by.
    assert!(m.motion_px < 6.0 && m.motion_mm < 75.0, "{} px, {} mm", m.motion_px, m.motion_mm);
    assert!(m.rotation_deg < 12.0 && m.root_deg < 12.0, "{}°, root {}°", m.rotation_deg, m.root_deg);

    // A second run finds everything, and what is brought along is taken.
    let heard = Mutex::new(Vec::new());
    let listen = |event: &Event| {
        if let Event::Finished { stage, cached, .. } = event {
            heard.lock().unwrap().push((*stage, *cached));
        }
    };
    let context = Context::new(&listen, &cancel);
    replace(&job, Stage::Plate, context).unwrap();
    assert_eq!(*heard.lock().unwrap(), [(Stage::Masks, true), (Stage::Motion, true), (Stage::Plate, true)]);
    heard.lock().unwrap().clear();
    let mut brought = job.clone();
    brought.input.background.clone_from(&plate);
    brought.input.actors.push(Actor::new(demo("avatar.safetensors"), motion.clone()));
    let made = replace(&brought, Stage::Plate, context).unwrap();
    assert_eq!(made.fill(&job).input.background, plate);
    assert_eq!((made.plate, made.motion), (Some(plate), Some(motion)));
    assert!(heard.lock().unwrap().is_empty());
}

#[test]
fn videos_without_anybody_and_odd_settings_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty.mp4");
    let shade = |i: u8| RgbImage::from_fn(96, 160, |x, y| Rgb([x as u8, y as u8, 60 + i]));
    write(&path, (0..3).map(shade));
    let cancel = CancelToken::new();
    let context = Context::new(&Quiet, &cancel);
    let run = |job: &Job| replace(job, Stage::Plate, context);
    let job = |settings: Replace| job(&settings, &dir.path().join("w"));
    let settings = Replace { video: path, ..Replace::default() };
    assert!(matches!(run(&job(settings.clone())), Err(Error::Person(mocap::Error::Nobody { frames: 3 }))));
    let refused = |settings: Replace| match run(&job(settings)) {
        Err(Error::Option { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Replace { person: Who::One(0), ..settings.clone() }), "replace.person");
    assert_eq!(refused(Replace { threshold: 1.0, ..settings.clone() }), "replace.threshold");
    assert_eq!(refused(Replace { grow_px: Some(-1.0), ..settings.clone() }), "replace.grow_px");

    // With masks and motion from elsewhere nobody need be found; too few masks are an error.
    let masks = dir.path().join("masks");
    std::fs::create_dir_all(&masks).unwrap();
    for n in 0..3 {
        let mask =
            GrayImage::from_fn(96, 160, |x, y| image::Luma([if x / 20 == 2 && y > 60 { 255 } else { 0 }]));
        mask.save(masks.join(format!("{n:02}.png"))).unwrap();
    }
    let mut brought = job(Replace { mask: Some(masks.clone()), ..settings });
    brought.input.actors.push(Actor::new("", demo("motion.json")));
    let plate = run(&brought).unwrap().plate.unwrap();
    assert_eq!(VideoReader::open(&plate).unwrap().count(), 3);
    std::fs::remove_file(masks.join("02.png")).unwrap();
    assert!(matches!(run(&brought), Err(Error::Mismatch { .. })));
}

/// The demo's person in front of its street, with masks, and the street of the first frame.
fn figures(n: usize) -> (Vec<(RgbImage, GrayImage)>, RgbImage) {
    let mut job = Job::new(Preset::Demo);
    job.input.actors.push(Actor::new(demo("avatar.safetensors"), demo("motion.json")));
    job.input.background = demo("background.mp4");
    job.input.end = Some(n);
    (job.video.width, job.video.height, job.video.blend) = (640, 384, Blend::Over);
    let mut compositor = Compositor::open(&job, "cpu".parse::<RendererChoice>().unwrap()).unwrap();
    let (mut figures, mut street) = (Vec::new(), None);
    while let Some(frame) = compositor.next_frame().unwrap() {
        street.get_or_insert(frame.plate);
        figures.push((frame.blend, frame.mask));
    }
    (figures, street.unwrap())
}

/// Puts a person into a picture, moved across by `dx` pixels.
fn place(picture: &mut RgbImage, (blend, mask): &(RgbImage, GrayImage), dx: i64) {
    for (x, y, m) in mask.enumerate_pixels().filter(|p| p.2[0] > 0) {
        let to = i64::from(x) + dx;
        if m[0] > 0 && (0..i64::from(picture.width())).contains(&to) {
            picture.put_pixel(to as u32, y, *blend.get_pixel(x, y));
        }
    }
}

/// The person on the left, and from a frame on once more on the right.
fn two_people(n: usize, from: usize) -> Vec<RgbImage> {
    let (figures, street) = figures(n);
    let frame = |t: usize| {
        let mut picture = street.clone();
        place(&mut picture, &figures[t], -150);
        if t >= from {
            place(&mut picture, &figures[t], 190);
        }
        picture
    };
    (0..n).map(frame).collect()
}

/// Runs the stages on frames; gives what came out, what was warned of, and the folder with it.
fn run(frames: &[RgbImage], person: Who, until: Stage) -> (Replaced, Vec<String>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let video = dir.path().join("raw.mp4");
    write(&video, frames.iter().cloned());
    let warnings = Mutex::new(Vec::new());
    let listen = |event: &Event| {
        if let Event::Warning { message } = event {
            warnings.lock().unwrap().push(message.clone());
        }
    };
    let cancel = CancelToken::new();
    let settings = Replace { video, person, ..Replace::default() };
    let job = job(&settings, &dir.path().join("w"));
    let made = replace(&job, until, Context::new(&listen, &cancel)).unwrap();
    (made, warnings.into_inner().unwrap(), dir)
}

fn frames_of(path: &Path) -> Vec<RgbImage> {
    VideoReader::open(path).unwrap().map(Result::unwrap).collect()
}

/// Mean column of a matte's white pixels; `None` where there are few.
fn middle(matte: &RgbImage) -> Option<f64> {
    let columns: Vec<f64> =
        matte.enumerate_pixels().filter(|p| p.2[0] > 127).map(|p| f64::from(p.0)).collect();
    (columns.len() > 500).then(|| columns.iter().sum::<f64>() / columns.len() as f64)
}

fn mean_difference(a: &RgbImage, b: &RgbImage) -> f64 {
    let sum: u64 = a.iter().zip(b.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.len() as f64
}

#[test]
fn a_person_who_leaves_and_comes_back_before_a_camera_that_stands() {
    let (figures, street) = figures(16);
    let away = 6..10;
    let frames: Vec<RgbImage> = (0..16)
        .map(|t| {
            let mut picture = street.clone();
            if !away.contains(&t) {
                place(&mut picture, &figures[t], -170 + 22 * t as i64);
            }
            picture
        })
        .collect();
    let (made, warnings, _dir) = run(&frames, Who::One(1), Stage::Plate);
    let seen: Vec<bool> = frames_of(&made.masks.unwrap()).iter().map(|m| middle(m).is_some()).collect();
    assert_eq!(seen, (0..16).map(|t| !away.contains(&t)).collect::<Vec<_>>());
    let report = made.motion.unwrap().with_file_name("report.json");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!(report["gaps"], serde_json::json!([{ "frames": { "start": 6, "end": 10 }, "bridged": true }]));
    assert!(
        warnings.iter().any(|w| w.contains("frames 6 to 9") && w.contains("carried across")),
        "{warnings:?}"
    );
    // The camera stands and every place is seen in some frame: the street is back as it was.
    for plate in frames_of(&made.plate.unwrap()) {
        let off = mean_difference(&plate, &street);
        assert!(off < 2.0, "{off}");
    }
}

#[test]
fn of_two_people_the_one_that_was_asked_for() {
    let frames = two_people(5, 0);
    let mut sides = Vec::new();
    for person in [1, 2] {
        let (made, warnings, _dir) = run(&frames, Who::One(person), Stage::Masks);
        let said = format!("2 people are in view; person {person} is replaced");
        assert!(warnings.iter().any(|w| w.contains(&said)), "{warnings:?}");
        let middles: Vec<bool> =
            frames_of(&made.masks.unwrap()).iter().map(|m| middle(m).unwrap() < 290.0).collect();
        assert!(middles.iter().all(|m| *m == middles[0]), "{middles:?}");
        sides.push(middles[0]);
    }
    assert_ne!(sides[0], sides[1]);
    // Or by a place, whoever is larger.
    for (x, left) in [(0.22, true), (0.75, false)] {
        let (made, _, _dir) = run(&frames, Who::At { frame: 3, place: [x, 0.5] }, Stage::Masks);
        let masks = frames_of(&made.masks.unwrap());
        assert!(masks.iter().all(|m| (middle(m).unwrap() < 290.0) == left), "{x}");
    }
}

/// While somebody is followed, others are looked for in every fifth frame.
#[test]
fn whoever_is_found_late_is_followed_back() {
    let (_, warnings, _dir) = run(&two_people(9, 2), Who::At { frame: 7, place: [0.22, 0.5] }, Stage::Masks);
    assert!(
        warnings.iter().any(|w| w.contains("people are in view") && w.contains("frames 2 to 8")),
        "{warnings:?}"
    );
}

#[test]
fn shots_are_taken_by_themselves() {
    let (figures, street) = figures(8);
    let frames: Vec<RgbImage> = (0..8)
        .map(|t| {
            let mut picture = street.clone();
            place(&mut picture, &figures[t], if t < 4 { -120 } else { 60 } + 12 * t as i64);
            if t >= 4 { image::imageops::flip_horizontal(&picture) } else { picture }
        })
        .collect();
    let (made, warnings, _dir) = run(&frames, Who::One(1), Stage::Plate);
    assert!(warnings.iter().any(|w| w.contains("1 cut(s)")), "{warnings:?}");
    // Nothing of one shot is in the plates of the other.
    let flipped = image::imageops::flip_horizontal(&street);
    for (t, plate) in frames_of(&made.plate.unwrap()).iter().enumerate() {
        let truth = if t < 4 { &street } else { &flipped };
        let off = mean_difference(plate, truth);
        assert!(off < 4.0, "frame {t}: {off}");
    }
}

#[test]
fn upright_videos_of_odd_size() {
    let (figures, _) = figures(5);
    let frames: Vec<RgbImage> = figures
        .iter()
        .map(|(blend, _)| image::imageops::crop_imm(blend, 170, 0, 213, 383).to_image())
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("pictures");
    std::fs::create_dir(&folder).unwrap();
    for (t, frame) in frames.iter().enumerate() {
        frame.save(folder.join(format!("{t:03}.png"))).unwrap();
    }
    let cancel = CancelToken::new();
    let settings = Replace { video: folder, ..Replace::default() };
    let job = job(&settings, &dir.path().join("w"));
    let made = replace(&job, Stage::Plate, Context::new(&Quiet, &cancel)).unwrap();
    let motion = Motion::open(made.motion.unwrap(), 30.0).unwrap();
    assert_eq!((motion.len(), motion.frames[0].camera.unwrap().size_px), (5, [213, 383]));
    let plates = frames_of(&made.plate.unwrap());
    assert_eq!((plates.len(), plates[0].dimensions()), (5, (212, 382)));
}

#[test]
fn the_portrait_shows_the_whole_avatar() {
    let mut job = Job::new(Preset::Demo);
    job.input.actors.push(Actor::new(demo("avatar.safetensors"), demo("motion.json")));
    job.input.background = demo("background.mp4");
    let mut compositor = Compositor::open(&job, "cpu".parse::<RendererChoice>().unwrap()).unwrap();
    let portrait = compositor.portrait(320, 192).unwrap();
    let dark = |y: u32| (0..320).any(|x| portrait.get_pixel(x, y).0.iter().any(|b| *b < 200));
    let (top, bottom) = ((0..192).find(|y| dark(*y)).unwrap(), (0..192).rfind(|y| dark(*y)).unwrap());
    assert!(top > 4 && bottom < 187 && bottom - top > 120, "{top} to {bottom}");
}
