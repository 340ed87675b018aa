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
    job.input.actors.push(Actor::new(demo("avatar.safetensors"), demo("motion.json")));
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
    job.light.sun = Some([140.0, 40.0].into());
    job.output.video = dir.path().join("sunny");
    session.run(&job, context).unwrap();
    let sunny = VideoReader::open(dir.path().join("sunny")).unwrap().nth(3).unwrap().unwrap();
    assert_eq!(session.preview(&job, 3).unwrap(), sunny);
    assert_ne!(sunny, lit);
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
    assert_eq!(names, ["masks", "motion", "plate", "light", "composite"]);
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
