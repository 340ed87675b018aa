//! A session over the demo's scene: one run for all that a job can say.
#![expect(clippy::unwrap_used, reason = "tests")]

use anicrafter_pipeline::{
    Actor, CancelToken, Context, Error, Job, Preset, Quiet, Replace, Session, Stage, Until,
};
use media::VideoReader;
use std::path::{Path, PathBuf};

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo").join(name)
}

fn condition(output: PathBuf) -> Job {
    let mut job = Job::condition_video();
    job.input.actors.push(Actor { avatar: demo("avatar.safetensors"), motion: demo("motion.json") });
    job.input.background = demo("background.mp4");
    job.input.end = Some(4);
    job.output.video = output;
    job
}

fn session() -> Session {
    Session::builder().renderer("cpu".parse().unwrap()).device("cpu").threads(2).build().unwrap()
}

#[test]
fn a_preview_is_the_frame_of_the_video() {
    let dir = tempfile::tempdir().unwrap();
    let session = session();
    let cancel = CancelToken::new();
    let context = Context::new(&Quiet, &cancel);
    // A folder of pictures loses nothing.
    let mut job = condition(dir.path().join("frames"));
    (job.video.width, job.video.height) = (160, 96);
    let finished = session.run(&job, context).unwrap();
    assert_eq!(finished.written, [dir.path().join("frames")]);
    assert_eq!(finished.condition.unwrap().frames, 4);
    let frames: Vec<_> = VideoReader::open(dir.path().join("frames")).unwrap().map(Result::unwrap).collect();
    for n in [0, 3] {
        assert_eq!(session.preview(&job, n).unwrap(), frames[n]);
    }
    assert!(matches!(session.preview(&job, 4), Err(Error::Missing { .. })));
    job.video.match_light = true;
    job.output.video = dir.path().join("lit");
    session.run(&job, context).unwrap();
    let lit = VideoReader::open(dir.path().join("lit")).unwrap().nth(3).unwrap().unwrap();
    assert_eq!(session.preview(&job, 3).unwrap(), lit);
    assert!(!dir.path().join("lit.work").exists(), "a condition video needs no work folder");
}

#[test]
fn a_job_file_says_all_of_a_replacement() {
    let dir = tempfile::tempdir().unwrap();
    let session = session();
    let cancel = CancelToken::new();
    let context = Context::new(&Quiet, &cancel);
    let mut raw = condition(dir.path().join("raw.mp4"));
    (raw.video.width, raw.video.height) = (640, 384);
    session.run(&raw, context).unwrap();
    let avatar = demo("avatar.safetensors");
    let file = dir.path().join("job.toml");
    let text = format!(
        "[input]\nactors = [{{ avatar = {avatar:?} }}]\n[video]\nwidth = 0\nheight = 0\nblend = \"over\"\n\
         [output]\nuntil = \"composite\"\nvideo = \"out.mp4\"\n[replace]\nvideo = \"raw.mp4\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut job = Job::read(&file).unwrap();
    let finished = session.run(&job, context).unwrap();
    let names: Vec<&str> = finished.stages.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["masks", "motion", "plate", "composite"]);
    assert_eq!(VideoReader::open(dir.path().join("out.mp4")).unwrap().info().size(), (640, 384));
    // Another end of the same job takes what is there.
    job.output = anicrafter_pipeline::Output {
        until: Some(Until::Motion),
        video: dir.path().join("motion"),
        work: Some(job.work_dir()),
        ..job.output
    };
    let finished = session.run(&job, context).unwrap();
    assert!(finished.stages.iter().all(|stage| stage.cached), "{:?}", finished.stages);
    assert_eq!(std::fs::read_dir(dir.path().join("motion")).unwrap().count(), 4);
    session.forget_from(&job, Stage::Motion).unwrap();
    let finished = session.run(&job, context).unwrap();
    assert_eq!(finished.stages.iter().map(|s| s.cached).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_session_fills_in_what_jobs_leave_open() {
    let session =
        Session::builder().device("cpu").memory_gib(3.0).work_root("w").prepared_root("p").build().unwrap();
    let job = session.prepare(&Job::new(Preset::Demo)).unwrap();
    assert_eq!((&*job.models.device, job.models.memory_gib), ("cpu", Some(3.0)));
    assert_eq!(job.models.prepared, Some("p".into()));
    assert!(job.work_dir().starts_with("w") && job.work_dir() != Path::new("w/out"));
    let mut own = Job::new(Preset::AniCrafter);
    own.models.memory_gib = Some(1.0);
    own.output.work = Some("x".into());
    own.models.prepared = Some("y".into());
    let own = session.prepare(&own).unwrap();
    assert_eq!(
        (own.models.memory_gib, own.models.prepared, own.output.work),
        (Some(1.0), Some("y".into()), Some("x".into()))
    );
    for (wrong, option) in [
        (Session::builder().memory_gib(0.0), "memory"),
        (Session::builder().keep_gib(-1.0), "keep"),
        (Session::builder().threads(0), "threads"),
        (Session::builder().device("toaster"), "models.device"),
    ] {
        assert!(matches!(wrong.build(), Err(Error::Option { option: named, .. }) if named == option));
    }
}

#[test]
fn what_is_wrong_is_found_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut job = condition(dir.path().join("out.mp4"));
    assert!(session().inspect(&job).unwrap().is_clean());
    job.input.background = dir.path().join("none.mp4");
    let findings = session().inspect(&job).unwrap();
    assert!(!findings.is_clean() && findings.to_string().contains("none.mp4"), "{findings}");
    let plan = session().plan(&Job::new(Preset::Demo)).unwrap();
    assert!(plan.tokens > 0 && plan.parameters > 0);
}

#[test]
fn an_output_that_is_an_input_is_refused_before_anything_is_read() {
    let mut job = condition(demo("background.mp4"));
    let cancel = CancelToken::new();
    let before = std::fs::metadata(demo("background.mp4")).unwrap().len();
    let refused = session().run(&job, Context::new(&Quiet, &cancel));
    assert!(
        matches!(&refused, Err(Error::Overwrites { input, .. }) if input == "input.background"),
        "{refused:?}"
    );
    assert_eq!(std::fs::metadata(demo("background.mp4")).unwrap().len(), before);
    job.replace = Some(Replace { video: "raw.mp4".into(), ..Replace::default() });
    job.output.video = "raw.mp4".into();
    assert!(matches!(job.validate(), Err(Error::Overwrites { input, .. }) if input == "replace.video"));
}

/// Keeps what is said.
#[derive(Default)]
struct Notes(std::sync::Mutex<Vec<String>>);

impl anicrafter_pipeline::Observer for Notes {
    fn event(&self, event: &anicrafter_pipeline::Event) {
        if let anicrafter_pipeline::Event::Warning { message } = event {
            self.0.lock().unwrap().push(message.clone());
        }
    }
}

#[test]
fn a_motion_without_a_camera_is_seen_from_the_front() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let session = session();
    let cancel = CancelToken::new();
    // In a world with z up, as AMASS has it: walking along y, and 16 shape coefficients.
    let frame = |i: u8| smplx::MotionFrame {
        pose: smplx::BodyPose { root: [std::f32::consts::FRAC_PI_2, 0.0, 0.0], ..smplx::BodyPose::default() },
        translation: [0.0, -0.1 * f32::from(i), 0.95],
        betas: vec![0.5; 16],
        ..smplx::MotionFrame::default()
    };
    let motion = smplx::Motion::new(24.0, (0..4).map(frame).collect()).unwrap();
    std::fs::write(path("walk.json"), motion.to_json()).unwrap();
    // Before a camera nothing can be assumed; with a file that says it, nothing has to be.
    let upside_down = smplx::Motion::new(
        24.0,
        (0..4)
            .map(|_| smplx::MotionFrame {
                pose: smplx::BodyPose {
                    root: [std::f32::consts::PI, 0.0, 0.0],
                    ..smplx::BodyPose::default()
                },
                translation: [0.0, 0.3, 3.5],
                ..smplx::MotionFrame::default()
            })
            .collect(),
    )
    .unwrap();
    std::fs::write(path("blind.json"), upside_down.to_json()).unwrap();
    let camera = r#"{"focal": 380, "princpt": [160, 96], "img_size_wh": [320, 192]}"#;
    std::fs::write(path("camera.json"), camera).unwrap();
    // The same Gaussians without their body.
    avatar_render::Avatar::open(demo("avatar.safetensors")).unwrap().save(path("prop.ply")).unwrap();

    let turned = smplx::Motion::from_npz(motion.to_npz().unwrap());
    std::fs::write(path("walk.npz"), {
        // As published: AMASS's keys, and nothing about axes.
        let poses: Vec<f32> =
            motion.frames.iter().flat_map(|f| f.pose.full().as_flattened().to_vec()).collect();
        let trans: Vec<f32> = motion.frames.iter().flat_map(|f| f.translation).collect();
        tensorfile::write_npz_bytes(
            &[
                ("poses", tensorfile::TensorView::from_f32(&[4, 165], &poses).unwrap()),
                ("trans", tensorfile::TensorView::from_f32(&[4, 3], &trans).unwrap()),
                ("betas", tensorfile::TensorView::from_f32(&[16], &[0.5; 16]).unwrap()),
                ("mocap_frame_rate", tensorfile::TensorView::from_f32(&[], &[24.0]).unwrap()),
                ("mocap_time_length", tensorfile::TensorView::from_f32(&[], &[0.2]).unwrap()),
            ],
            false,
        )
        .unwrap()
    })
    .unwrap();
    assert!(turned.unwrap().up()[2] > 0.9, "what this library wrote isn't turned");

    let run = |avatar: PathBuf, motion: &str, camera: Option<&str>| {
        let mut job = condition(path(&format!("{motion}{}", avatar.extension().unwrap().display())));
        job.input.actors = vec![Actor { avatar, motion: path(motion) }];
        job.input.camera = camera.map(path);
        (job.video.width, job.video.height) = (320, 192);
        job.output.mask = Some(job.output.video.with_extension("mask"));
        let notes = Notes::default();
        session.run(&job, Context::new(&notes, &cancel))?;
        let mask = VideoReader::open(job.output.mask.unwrap()).unwrap().next().unwrap().unwrap();
        let seen: Vec<(u32, u32)> =
            mask.enumerate_pixels().filter(|(_, _, p)| p.0[0] > 127).map(|(x, y, _)| (x, y)).collect();
        let rows = seen.iter().map(|p| p.1);
        let heights = (rows.clone().min().unwrap_or(0), rows.max().unwrap_or(0));
        Ok::<_, Error>((notes.0.into_inner().unwrap().join("\n"), seen.len(), heights))
    };
    for (avatar, motion, camera, word) in [
        (demo("avatar.safetensors"), "walk.npz", None, "no camera"),
        (path("prop.ply"), "walk.npz", None, "follow the pelvis"),
        (demo("avatar.safetensors"), "blind.json", Some("camera.json"), ""),
    ] {
        let (notes, seen, (top, bottom)) = run(avatar, motion, camera).unwrap();
        assert!(notes.contains(word), "{notes}");
        // Upright and whole: taller than half of the picture, with room above and below.
        assert!(
            seen > 1000 && bottom - top > 90 && top > 0 && bottom < 191,
            "{motion}: {seen} {top} {bottom}"
        );
    }
    let error = run(demo("avatar.safetensors"), "blind.json", None).unwrap_err().to_string();
    assert!(error.contains("blind.json") && error.contains("--camera"), "{error}");
}
