//! The demo's avatar in the demo's street, rendered here, is a raw video of which everything is known: what `replace` makes of
//! it is measured against the truth.
#![expect(clippy::unwrap_used, reason = "tests")]

use avatar_render::RendererChoice;
use image::{GrayImage, Rgb, RgbImage};
use media::{FrameRate, VideoReader, VideoWriter, WriteOptions};
use pipeline::composite::{Compositor, read_motion};
use pipeline::eval::replaced::measure;
use pipeline::{
    Actor, Blend, CancelToken, Context, Error, Event, Job, Preset, Quiet, Replace, Stage, replace,
};
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
    job.input.actors.push(Actor { avatar: demo("avatar.safetensors"), motion: motion.clone() });
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
    let motion = read_motion(&motion, 16.0).unwrap().trimmed(0..FRAMES).unwrap();
    motion.write_json_folder(scene.join("smplx_params")).unwrap();
    (raw, scene)
}

#[test]
fn a_rendered_person_is_found_taken_out_and_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (raw, scene) = make(dir.path());
    let settings = Replace { video: raw, ..Replace::default() };
    let work = dir.path().join("work");

    // Stopped in the middle of a stage, then gone on with.
    for (stage, until) in [(Stage::Masks, Stage::Plate), (Stage::Plate, Stage::Plate)] {
        let cancel = CancelToken::new();
        let stop = |event: &Event| {
            if matches!(event, Event::Advanced { stage: at, done, .. } if *at == stage && *done >= 2.0) {
                cancel.cancel();
            }
        };
        let stopped = replace(&settings, &work, until, Context::new(&stop, &cancel));
        assert!(matches!(stopped, Err(Error::Cancelled)), "{stage:?}");
    }
    let cancel = CancelToken::new();
    let made = replace(&settings, &work, Stage::Plate, Context::new(&Quiet, &cancel)).unwrap();
    let [masks, motion, plate] = [made.masks, made.motion, made.plate].map(Option::unwrap);
    let m = measure(&settings, &masks, &motion, &plate, &scene).unwrap();
    println!("{m:#?}");
    assert_eq!(m.frames, FRAMES);
    assert!(m.mask_recall > 0.995 && m.mask_iou > 0.75, "recall {}, IoU {}", m.mask_recall, m.mask_iou);
    assert!(m.plate_psnr > 22.5, "{} dB", m.plate_psnr);
    assert!(m.flicker < 1.1 * m.scene_flicker, "flicker {}, truth {}", m.flicker, m.scene_flicker);
    assert!(m.sharpness > 0.7 * m.scene_sharpness, "sharpness {}, truth {}", m.sharpness, m.scene_sharpness);
    assert!(m.motion_px < 6.0 && m.motion_mm < 65.0, "{} px, {} mm", m.motion_px, m.motion_mm);
    assert!(m.rotation_deg < 12.0 && m.root_deg < 16.0, "{}°, root {}°", m.rotation_deg, m.root_deg);

    // A second run finds everything, and what is brought along is taken.
    let heard = Mutex::new(Vec::new());
    let listen = |event: &Event| {
        if let Event::Finished { stage, cached, .. } = event {
            heard.lock().unwrap().push((*stage, *cached));
        }
    };
    let context = Context::new(&listen, &cancel);
    replace(&settings, &work, Stage::Plate, context).unwrap();
    assert_eq!(*heard.lock().unwrap(), [(Stage::Masks, true), (Stage::Motion, true), (Stage::Plate, true)]);
    heard.lock().unwrap().clear();
    let brought = Replace { plate: Some(plate.clone()), motion: Some(motion.clone()), ..settings.clone() };
    let made = replace(&brought, &work, Stage::Plate, context).unwrap();
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
    let run = |settings: &Replace| replace(settings, &dir.path().join("w"), Stage::Plate, context);
    let settings = Replace { video: path, ..Replace::default() };
    assert!(matches!(run(&settings), Err(Error::Person(mocap::Error::Nobody { frames: 3 }))));
    let refused = |settings: Replace| match run(&settings) {
        Err(Error::Option { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Replace { person: 0, ..settings.clone() }), "replace.person");
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
    let brought = Replace { mask: Some(masks.clone()), motion: Some(demo("motion.json")), ..settings };
    let plate = run(&brought).unwrap().plate.unwrap();
    assert_eq!(VideoReader::open(&plate).unwrap().count(), 3);
    std::fs::remove_file(masks.join("02.png")).unwrap();
    assert!(matches!(run(&brought), Err(Error::Mismatch { .. })));
}
