//! A job of three windows: each model is loaded once, and a run that was stopped ends with the bytes of one that wasn't.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "support/clip.rs"]
mod clip;

use anicrafter_pipeline::models::{ModelCache, ModelSet};
use anicrafter_pipeline::{
    CancelToken, Context, Dtype, Error, Event, Job, Prepare, Session, Stage, animate, write_video,
};
use clip::clip;
use std::path::Path;
use std::sync::Mutex;

/// Nine frames in windows of five that overlap by one: 0–3, 3–6 and, moved back, 5–8.
fn job(folder: &Path) -> Job {
    let mut job = clip(folder, 9);
    (job.sampling.steps, job.output.save_every) = (2, 1);
    job.output.video = folder.join("out.mp4");
    job
}

/// Runs the job; `stop` says at which event the caller asks it to end.
fn run(job: &Job, stop: impl Fn(&Event) -> bool + Send + Sync) -> (Result<(), Error>, Vec<Event>) {
    let (events, cancel) = (Mutex::new(Vec::new()), CancelToken::new());
    let observer = |event: &Event| {
        if stop(event) {
            cancel.cancel();
        }
        events.lock().unwrap().push(event.clone());
    };
    let context = Context::new(&observer, &cancel);
    let done = animate(job, "cpu".parse().unwrap(), &ModelCache::none(), context)
        .and_then(|mut outcome| write_video(job, &mut outcome, context).map(drop));
    (done, events.into_inner().unwrap())
}

fn loaded(events: &[Event]) -> Vec<&'static str> {
    let models = events.iter().filter_map(|event| match event {
        Event::Loaded { model, .. } => Some(*model),
        _ => None,
    });
    models.collect()
}

/// Stages whose results weren't in the work folder, in order, with the number of windows. The video itself never lies there.
fn made(events: &[Event]) -> Vec<(Stage, usize)> {
    let mut made: Vec<(Stage, usize)> = Vec::new();
    for event in events {
        if let Event::Finished { stage, cached: false, .. } = event
            && *stage != Stage::Finish
        {
            match made.last_mut() {
                Some((last, n)) if last == stage => *n += 1,
                _ => made.push((*stage, 1)),
            }
        }
    }
    made
}

#[test]
fn each_model_is_loaded_once_for_three_windows() {
    let dir = tempfile::tempdir().unwrap();
    let mut job = job(dir.path());
    let (done, events) = run(&job, |_| false);
    done.unwrap();
    let all =
        ["text encoder", "image encoder", "condition embedders", "VAE encoder", "transformer", "VAE decoder"];
    assert_eq!(loaded(&events), all);
    // The result of each window and, for detail transfer, its condition are decoded.
    let stages = [
        (Stage::Composite, 1),
        (Stage::Text, 1),
        (Stage::Image, 1),
        (Stage::Condition, 3),
        (Stage::Denoise, 3),
        (Stage::Decode, 6),
    ];
    assert_eq!(made(&events), stages);

    let (done, events) = run(&job, |_| false);
    done.unwrap();
    assert!(loaded(&events).is_empty() && made(&events).is_empty(), "everything was there");

    job.sampling.seed += 1;
    let (done, events) = run(&job, |_| false);
    done.unwrap();
    assert_eq!(loaded(&events), ["transformer", "VAE decoder"]);
    assert_eq!(made(&events), [(Stage::Denoise, 3), (Stage::Decode, 3)]);
}

#[test]
fn a_stopped_run_ends_with_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let whole = job(&dir.path().join("whole"));
    std::fs::create_dir_all(dir.path().join("whole")).unwrap();
    run(&whole, |_| false).0.unwrap();
    let expected = std::fs::read(&whole.output.video).unwrap();

    let folder = dir.path().join("stopped");
    std::fs::create_dir_all(&folder).unwrap();
    let stopped = job(&folder);
    let at = |stage: Stage, nth: usize| {
        let seen = Mutex::new(0);
        move |event: &Event| {
            let of = match event {
                Event::Advanced { stage, .. } | Event::Finished { stage, .. } => Some(*stage),
                _ => None,
            };
            let mut seen = seen.lock().unwrap();
            *seen += usize::from(of == Some(stage));
            *seen == nth
        }
    };
    for (stage, nth) in [
        (Stage::Composite, 3),
        (Stage::Text, 1),
        (Stage::Condition, 6),
        (Stage::Denoise, 1),
        // In the second step of a window, after the first one's latents were saved.
        (Stage::Denoise, 11),
        (Stage::Decode, 4),
    ] {
        let (done, _) = run(&stopped, at(stage, nth));
        assert!(matches!(done, Err(Error::Cancelled)), "{stage:?}");
        assert!(!stopped.output.video.exists());
    }
    run(&stopped, |_| false).0.unwrap();
    assert!(std::fs::read(&stopped.output.video).unwrap() == expected, "other bytes after six stops");
}

#[test]
fn a_session_keeps_models_from_job_to_job() {
    let dir = tempfile::tempdir().unwrap();
    let session = Session::builder().renderer("cpu".parse().unwrap()).keep_gib(1.0).build().unwrap();
    let run = |job: &Job| {
        let events = Mutex::new(Vec::new());
        let observer = |event: &Event| events.lock().unwrap().push(event.clone());
        session.run(job, Context::new(&observer, &CancelToken::new())).unwrap();
        loaded(&events.into_inner().unwrap())
    };
    let mut first = job(dir.path());
    first.input.end = Some(4);
    assert_eq!(run(&first).len(), 6);
    let held: Vec<_> = session.loaded().into_iter().map(|(name, _)| name).collect();
    assert_eq!(held.len(), 6, "{held:?}");

    let mut second = first.clone();
    second.prompt.positive = "a person dances".to_owned();
    second.output.video = dir.path().join("second.mp4");
    second.output.work = Some(dir.path().join("second.work"));
    second.models.dtype = Dtype::Bf16;
    // What the dtype changes is loaded anew, the encoders and embedders are there.
    assert_eq!(run(&second), ["transformer"]);

    let before = std::fs::read(&second.output.video).unwrap();
    session.release();
    assert!(session.loaded().is_empty());
    session.forget_from(&second, Stage::Text).unwrap();
    assert_eq!(run(&second).len(), 6);
    assert!(std::fs::read(&second.output.video).unwrap() == before, "a kept model gives other numbers");
}

#[test]
fn another_transformer_does_not_make_the_conditions_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut job = job(dir.path());
    job.input.end = Some(4);
    run(&job, |_| false).0.unwrap();
    job.models.dtype = Dtype::Bf16;
    let (done, events) = run(&job, |_| false);
    done.unwrap();
    assert_eq!(made(&events), [(Stage::Denoise, 1), (Stage::Decode, 1)]);
}

#[test]
fn prepared_weights_give_the_same_video() {
    let dir = tempfile::tempdir().unwrap();
    let plain = job(&dir.path().join("plain"));
    let prepared = |name: &str, dtype: Dtype| {
        let mut job = job(&dir.path().join(name));
        job.input.end = Some(4);
        (job.models.dtype, job.models.prepare) = (dtype, Prepare::Always);
        // Two blocks in memory, the others are read in each step.
        job.models.memory_gib = Some(0.03);
        job.models.prepared = Some(dir.path().join("prepared"));
        job
    };
    let preparing = |events: &[Event]| events.iter().any(|event| matches!(event, Event::Preparing { .. }));
    for dtype in [Dtype::F32, Dtype::Q8, Dtype::Int8] {
        let mut plain = plain.clone();
        plain.input.end = Some(4);
        plain.models.dtype = dtype;
        std::fs::create_dir_all(dir.path().join("plain")).unwrap();
        run(&plain, |_| false).0.unwrap();
        let expected = std::fs::read(&plain.output.video).unwrap();
        for (name, first) in [("first", true), ("again", false)] {
            let job = prepared(&format!("{name}-{dtype:?}"), dtype);
            std::fs::create_dir_all(job.output.video.parent().unwrap()).unwrap();
            let (done, events) = run(&job, |_| false);
            done.unwrap();
            assert_eq!(preparing(&events), first, "{name} {dtype:?}");
            assert!(std::fs::read(&job.output.video).unwrap() == expected, "{name} {dtype:?}: other bytes");
        }
    }

    // Stopped in the middle, it goes on; where there is no folder for them, nothing runs.
    let mut stopped = prepared("stopped", Dtype::Bf16);
    std::fs::create_dir_all(dir.path().join("stopped")).unwrap();
    let (done, _) = run(&stopped, |event| matches!(event, Event::Preparing { done: 2, .. }));
    assert!(matches!(done, Err(Error::Cancelled)));
    let (done, events) = run(&stopped, |_| false);
    done.unwrap();
    assert!(preparing(&events));
    stopped.models.prepared = None;
    let refused = ModelSet::new(&stopped.models).unwrap().prepared_place();
    assert!(matches!(refused, Err(Error::Option { option: "models.prepared", .. })));
}

#[test]
fn stages_made_one_by_one_end_with_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let folder = dir.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    };
    let quiet = CancelToken::new();
    let context = Context::new(&anicrafter_pipeline::Quiet, &quiet);
    let session = || Session::builder().renderer("cpu".parse().unwrap()).build().unwrap();
    let whole = job(&folder("whole"));
    session().run(&whole, context).unwrap();

    let mut parts = job(&folder("parts"));
    parts.output.shared = Some(folder("shared"));
    let nodes = parts.stages();
    for (n, node) in nodes.iter().enumerate() {
        // What a stage takes has to be there; it says what isn't.
        if !node.after.is_empty() && n + 1 < nodes.len() {
            match session().run_stages(&parts, &[nodes[n + 1].stage], context) {
                Err(Error::Missing { stage, what }) => assert!(what.contains(stage.name()), "{what}"),
                // It waits for earlier ones alone.
                Ok(_) => assert!(!nodes[n + 1].after.contains(&node.stage)),
                Err(other) => panic!("{node:?}: {other}"),
            }
        }
        assert!(!parts.output.video.exists());
        let made = session().run_stages(&parts, &[node.stage], context).unwrap();
        let names: Vec<&str> = made.stages.iter().filter(|row| !row.cached).map(|row| &*row.name).collect();
        let own = names.iter().all(|name| name.starts_with(node.stage.name()));
        assert!(own, "{node:?} made {names:?}");
    }
    assert_eq!(std::fs::read(&parts.output.video).unwrap(), std::fs::read(&whole.output.video).unwrap());
    let none = session().run_stages(&parts, &[], context);
    assert!(matches!(none, Err(Error::Option { option: "only", .. })));
    let masks = session().run_stages(&parts, &[Stage::Masks], context);
    assert!(matches!(masks, Err(Error::Option { why, .. }) if why.contains("composite")));
}

#[test]
fn a_stopped_loop_has_saved_its_last_step() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let folder = dir.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    };
    // Saving isn't due in four steps.
    let long = |folder: &Path| {
        let mut job = job(folder);
        (job.sampling.steps, job.output.save_every) = (4, 5);
        job
    };
    let whole = long(&folder("whole"));
    run(&whole, |_| false).0.unwrap();
    let stopped = long(&folder("stopped"));
    let in_third =
        |event: &Event| matches!(event, Event::Advanced { stage: Stage::Denoise, done, .. } if *done > 2.2);
    assert!(matches!(run(&stopped, in_third).0, Err(Error::Cancelled)));
    let saved = || {
        let parts = std::fs::read_dir(stopped.work_dir()).unwrap().map(|e| e.unwrap().path());
        let part = parts
            .filter(|p| p.extension().is_some_and(|e| e == "part"))
            .find(|p| p.to_string_lossy().contains("denoise"));
        std::fs::read_dir(part.unwrap())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(saved(), ["step-2.safetensors"]);
    let (done, events) = run(&stopped, |_| false);
    done.unwrap();
    let first = events.iter().find_map(|event| match event {
        Event::Advanced { stage: Stage::Denoise, done, .. } => Some(*done),
        _ => None,
    });
    assert_eq!(first, Some(2.0), "it goes on with the third step");
    assert_eq!(std::fs::read(&stopped.output.video).unwrap(), std::fs::read(&whole.output.video).unwrap());
}
