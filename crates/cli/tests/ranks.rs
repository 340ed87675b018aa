//! One job on several ranks: threads here, processes of `mpirun` where the build has them.
//!
//! `cargo test -p anicrafter --features mpi --test ranks`; without an `mpirun` those tests say that they were skipped, unless
//! `ANICRAFTER_REQUIRE_MPI=1` makes that a failure.
#![allow(clippy::unwrap_used, reason = "tests")]
#![cfg_attr(feature = "mpi", expect(clippy::print_stdout, reason = "tests tell what they skip"))]

#[path = "../../pipeline/tests/support/latents.rs"]
mod latents;
mod support;

use latents::assert_same_latents;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::{text, tiny};

fn anicrafter(args: &[String]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_anicrafter")).args(args).output().unwrap()
}

/// A tiny job in a folder of its own.
fn job(folder: &Path, more: &[&str]) -> Vec<String> {
    std::fs::create_dir_all(folder).unwrap();
    tiny(&folder.join("o.mp4"), &[&["--dtype", "f32", "--cfg", "1.5"], more].concat())
}

/// The work folder beside a video.
fn work(folder: &Path) -> PathBuf {
    std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).find(|p| p.is_dir()).unwrap()
}

/// The same places, and the same latents but for rounding.
fn same(a: &Path, b: &Path) {
    assert_same_latents(&work(a), &work(b), 1e-5);
}

#[test]
fn threads_as_ranks_give_the_same_latents() {
    let dir = tempfile::tempdir().unwrap();
    let alone = dir.path().join("alone");
    let done = anicrafter(&job(&alone, &[]));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let shared = dir.path().join("shared");
    let done = anicrafter(&job(&shared, &["--ranks", "4"]));
    assert!(done.status.success(), "{}", text(&done.stderr));
    same(&alone, &shared);
}

#[test]
fn ranks_that_cannot_work_together_are_refused_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    for (ranks, why) in [("3", "3 ranks can't share 8 heads"), ("0", "at least 1"), ("6", "two groups")] {
        let refused = anicrafter(&job(dir.path(), &["--ranks", ranks]));
        let message = text(&refused.stderr);
        assert!(!refused.status.success() && message.contains(why), "{message}");
        assert!(!message.contains("composite"), "nothing ran: {message}");
    }
    let planned = anicrafter(&job(dir.path(), &["--ranks", "4", "--dry-run"]));
    let plan = text(&planned.stdout);
    assert!(plan.contains("ranks        4: 2 × 2 that share the tokens"), "{plan}");
}

#[cfg(not(feature = "mpi"))]
#[test]
fn processes_of_a_launcher_do_not_do_the_same_job_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_anicrafter"));
    let refused = command.args(job(dir.path(), &[])).env("OMPI_COMM_WORLD_SIZE", "2").output().unwrap();
    let message = text(&refused.stderr);
    assert!(!refused.status.success() && message.contains("feature `mpi`"), "{message}");
}

#[cfg(feature = "mpi")]
mod processes {
    use super::*;
    use std::time::{Duration, Instant};

    /// Runs the command in `size` processes; `None` where there is no `mpirun`.
    fn mpirun(size: usize, args: &[String]) -> Option<Output> {
        if !Command::new("mpirun").arg("--version").output().is_ok_and(|out| out.status.success()) {
            let required = std::env::var_os("ANICRAFTER_REQUIRE_MPI").is_some_and(|value| value == "1");
            assert!(!required, "mpirun isn't on the PATH");
            println!("skipped: mpirun isn't on the PATH");
            return None;
        }
        let mut command = Command::new("mpirun");
        command.args(["--oversubscribe", "--allow-run-as-root", "-n", &size.to_string()]);
        Some(command.arg(env!("CARGO_BIN_EXE_anicrafter")).args(args).output().unwrap())
    }

    #[test]
    fn processes_as_ranks_give_the_same_latents() {
        let dir = tempfile::tempdir().unwrap();
        let alone = dir.path().join("alone");
        let done = anicrafter(&job(&alone, &[]));
        assert!(done.status.success(), "{}", text(&done.stderr));
        for size in [2, 4] {
            let shared = dir.path().join(size.to_string());
            let args = job(&shared, &["--threads", "1", "--ranks", &size.to_string()]);
            let Some(done) = mpirun(size, &args) else { return };
            assert!(done.status.success(), "{}", text(&done.stderr));
            same(&alone, &shared);
            // Only rank 0 works on the video: a second run finds everything.
            let again = text(&mpirun(size, &args).unwrap().stderr);
            assert!(!again.contains("error"), "{again}");
        }
    }

    #[test]
    fn another_number_of_ranks_than_processes_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        if let Some(refused) = mpirun(2, &job(dir.path(), &["--ranks", "4"])) {
            let message = text(&refused.stderr);
            assert!(message.contains("--ranks 4: the launcher started 2 processes"), "{message}");
        }
    }

    #[test]
    fn what_goes_wrong_on_a_rank_is_said_by_all() {
        let dir = tempfile::tempdir().unwrap();
        let start = Instant::now();
        // Rank 0 can't read the background; the others wait for it.
        let mut args = job(dir.path(), &["--threads", "1"]);
        let named = args.iter().position(|arg| arg == "--background").unwrap();
        "nowhere.mp4".clone_into(&mut args[named + 1]);
        if let Some(failed) = mpirun(2, &args) {
            let message = text(&failed.stderr);
            assert!(!failed.status.success() && message.contains("rank 0: error: "), "{message}");
            assert!(
                message.contains("rank 1: error: rank 0 failed: ") && message.contains("nowhere.mp4"),
                "{message}"
            );
            assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        }
    }
}
