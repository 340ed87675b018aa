//! Ranks as processes: each test starts this program again under `mpirun`.
//!
//! `cargo test -p anicrafter-ranks --features mpi --test mpi`; without an `mpirun` the tests say that they were skipped, unless
//! `ANICRAFTER_REQUIRE_MPI=1` makes that a failure.
#![cfg(feature = "mpi")]
#![expect(clippy::unwrap_used, reason = "tests, helpers included")]
#![expect(clippy::print_stderr, reason = "tests tell what they skip")]

mod support;

use anicrafter_ranks::{Collectives, Error, Mpi, Result};
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{exercise, quarrel};

/// What a process of the launcher is to do.
const ROLE: &str = "ANICRAFTER_TEST_ROLE";

/// Runs the test `role` below in `size` processes: (did all end well, all that they said); `None` where there is no `mpirun`.
fn mpirun(size: usize, role: &str) -> Option<(bool, String)> {
    let found = Command::new("mpirun").arg("--version").output().is_ok_and(|out| out.status.success());
    if !found {
        let required = std::env::var_os("ANICRAFTER_REQUIRE_MPI").is_some_and(|value| value == "1");
        assert!(!required, "mpirun isn't on the PATH");
        eprintln!("skipped: mpirun isn't on the PATH");
        return None;
    }
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "--allow-run-as-root", "-n", &size.to_string()]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "one_process", "--ignored", "--nocapture", "--test-threads", "1"]);
    let start = Instant::now();
    let output = command.env(ROLE, role).output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(30), "{role}: {:?}", start.elapsed());
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn any_number_of_processes_exchanges() {
    for size in [1, 2, 3] {
        if let Some((success, said)) = mpirun(size, "exercise") {
            assert!(success && said.matches("rank is fine").count() == size, "{size}: {said}");
        }
    }
}

#[test]
fn calls_that_do_not_fit_are_an_error_for_every_process() {
    if let Some((success, said)) = mpirun(3, "quarrel") {
        let heard =
            said.lines().filter(|line| line.starts_with("hears: ") && line.contains("rank 1 calls barrier"));
        assert!(!success && heard.count() == 3, "{said}");
    }
}

#[test]
fn a_process_that_fails_is_named_by_all_others() {
    if let Some((success, said)) = mpirun(4, "fail") {
        assert!(!success && said.matches("hears: rank 2 failed: no card").count() == 3, "{said}");
    }
}

#[test]
fn a_process_that_panics_is_named_by_all_others() {
    if let Some((success, said)) = mpirun(4, "panic") {
        assert!(!success && said.matches("hears: rank 2 failed: it panicked").count() == 3, "{said}");
    }
}

#[test]
fn a_process_that_leaves_is_named_by_all_others() {
    if let Some((success, said)) = mpirun(4, "leave") {
        // Who heard of it from another names that one before.
        let heard =
            said.lines().filter(|line| line.starts_with("hears: ") && line.contains("rank 2 is gone"));
        assert!(!success && heard.count() == 3, "{said}");
    }
}

#[test]
fn a_process_that_is_killed_ends_the_others_and_is_named_by_the_launcher() {
    if let Some((success, said)) = mpirun(3, "abort") {
        assert!(!success && said.contains("rank 1"), "{said}");
    }
}

#[test]
#[ignore = "is what the launcher starts"]
fn one_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let ranks = Mpi::start().unwrap();
    // In one piece, since all ranks write to one pipe.
    let say = |line: String| std::io::stderr().write_all(line.as_bytes()).unwrap();
    match act(&role, &ranks) {
        Ok(()) => say("rank is fine\n".to_owned()),
        Err(error) => {
            say(format!("hears: {error}\n"));
            ranks.fail(&error.to_string());
            panic!("{error}");
        }
    }
}

fn act(role: &str, ranks: &dyn Collectives) -> Result<()> {
    let wait = |ranks: &dyn Collectives| {
        // Half of them wait in a group in which nothing is wrong, for ranks that only wait for others themselves.
        let group = ranks.split(ranks.rank() / 2)?;
        group.barrier().and_then(|()| ranks.barrier())
    };
    match (role, ranks.rank()) {
        ("exercise", _) => exercise(ranks),
        ("quarrel", _) => quarrel(ranks),
        ("fail", 2) => {
            ranks.split(1)?;
            ranks.fail("no card");
            Ok(())
        }
        ("panic", 2) => {
            ranks.split(1)?;
            panic!("out of luck")
        }
        ("leave", 2) => {
            ranks.split(1)?;
            Ok(())
        }
        ("abort", 1) => std::process::abort(),
        ("fail" | "panic" | "leave" | "abort", _) => wait(ranks),
        (other, _) => Err(Error::Start(format!("no role {other:?}"))),
    }
}
