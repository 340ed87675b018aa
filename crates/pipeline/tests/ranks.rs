//! A job on ranks that share nothing but their words: rank 0 does it, the others follow.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "support/clip.rs"]
mod clip;
#[path = "support/latents.rs"]
mod latents;

use anicrafter_pipeline::{
    CancelToken, Context, Dtype, Error, Finished, Job, Prepare, Quiet, Result, Session, StepCacheName,
    StepCacheSettings,
};
use clip::clip;
use latents::assert_same_latents;
use ranks::{Collectives, Threads};
use std::path::{Path, PathBuf};

/// A stamp-sized clip of two windows in `folder`, with a step cache that leaves steps out.
fn job(folder: &Path) -> Job {
    let mut job = clip(folder, 7);
    job.models.dtype = Dtype::F32;
    (job.sampling.steps, job.sampling.cfg_scale) = (4, 1.5);
    let tea = StepCacheSettings::of(StepCacheName::Tea);
    job.sampling.step_cache = Some(StepCacheSettings { threshold: Some(1000.0), ..tea });
    job.output.save_every = 1;
    job.output.video = folder.join("o.mp4");
    job
}

fn session() -> Session {
    Session::builder().renderer("cpu".parse().unwrap()).device("cpu").build().unwrap()
}

/// What each rank's session makes of its job.
fn among(size: usize, job: impl Fn(usize) -> Job + Sync) -> Vec<Result<Option<Finished>>> {
    let one = |end: Threads| {
        let cancel = CancelToken::new();
        session().run_among(&end, &job(end.rank()), Context::new(&Quiet, &cancel))
    };
    std::thread::scope(|threads| {
        let running: Vec<_> =
            Threads::world(size).into_iter().map(|end| threads.spawn(|| one(end))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn rank_0_does_the_job_and_the_others_follow() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| dir.path().join(name);
    let cancel = CancelToken::new();
    session().run(&job(&folder("alone")), Context::new(&Quiet, &cancel)).unwrap();
    for size in [2, 4] {
        let name = size.to_string();
        // The others' jobs name a folder that must never be made.
        let of = |rank| job(&folder(if rank == 0 { &name } else { "others" }));
        for again in [false, true] {
            let made = among(size, of);
            let finished = made[0].as_ref().unwrap().as_ref().unwrap();
            let denoised = finished.stages.iter().filter(|stage| stage.name.starts_with("denoise"));
            assert_eq!(denoised.filter(|stage| stage.cached == again).count(), 2, "{:?}", finished.stages);
            assert!(made[1..].iter().all(|made| matches!(made, Ok(None))), "{made:?}");
        }
        assert!(!folder("others").exists());
        assert_same_latents(&folder("alone").join("work"), &folder(&name).join("work"), 1e-6);
        let bytes = |name: &str| std::fs::read(folder(name).join("o.mp4")).unwrap();
        assert!(bytes("alone") == bytes(&name), "the video is another");
    }
}

#[test]
fn prepared_weights_are_read_on_all_ranks() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| dir.path().join(name);
    let of = |name: &str, prepared: &str, dtype| {
        let mut job = job(&folder(name));
        (job.models.dtype, job.models.prepare) = (dtype, Prepare::Always);
        // Two blocks in memory, the others are read in each step.
        job.models.memory_gib = Some(0.03);
        job.models.prepared = Some(folder(prepared));
        job
    };
    let files = |name: &str| {
        let found = walk(&folder(name)).into_iter();
        found.map(|path| (path.metadata().unwrap().modified().unwrap(), path)).collect::<Vec<_>>()
    };
    for dtype in [Dtype::F32, Dtype::Int8] {
        let (alone, shared, apart) =
            (format!("alone-{dtype:?}"), format!("shared-{dtype:?}"), format!("apart-{dtype:?}"));
        let cancel = CancelToken::new();
        session().run(&of(&alone, "prepared", dtype), Context::new(&Quiet, &cancel)).unwrap();
        let made = files("prepared");
        assert!(!made.is_empty());
        // On a file system that all ranks see, all read what is there; else the others convert.
        for (name, others) in [(&shared, "prepared"), (&apart, "nothing here")] {
            for made in among(2, |rank| of(name, if rank == 0 { "prepared" } else { others }, dtype)) {
                made.unwrap();
            }
            assert_same_latents(&folder(&alone).join("work"), &folder(name).join("work"), 1e-5);
        }
        assert_eq!(files("prepared"), made, "{dtype:?}: prepared again");
        assert!(!folder("nothing here").exists());
    }
}

/// All files in a folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn ranks_that_want_different_things_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let made = among(3, |rank| {
        let mut job = job(dir.path());
        job.sampling.seed = u64::from(rank == 1);
        job
    });
    for made in made {
        let error = made.unwrap_err().to_string();
        assert!(error.contains("rank 1 has another version, other settings"), "{error}");
    }
}

#[test]
fn what_goes_wrong_on_rank_0_is_named_by_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let made = among(2, |_| {
        let mut job = job(dir.path());
        job.input.background = dir.path().join("nowhere.mp4");
        job
    });
    let message = made[1].as_ref().unwrap_err().to_string();
    assert!(message.starts_with("rank 0 failed: ") && message.contains("nowhere.mp4"), "{message}");
    assert!(!matches!(made[0], Err(Error::Ranks(_))), "its own error: {:?}", made[0]);
}

#[test]
fn ranks_that_cannot_share_the_heads_are_refused_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let made = among(3, |_| job(dir.path()));
    let message = made[0].as_ref().unwrap_err().to_string();
    assert!(message.contains("3 ranks can't share 8 heads"), "{message}");
    assert!(!dir.path().join("work").exists());
}
