//! Jobs that are killed, and disks that are full.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::{text, tiny};

const KILLS: usize = 20;

fn start(args: &[String]) -> std::process::Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anicrafter"));
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn finish(args: &[String]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_anicrafter")).args(args).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

/// What lies in a folder under a final name: not what is being written (`.tmp…`), not the work folder.
fn results(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.filter(|p| p.is_file() && !p.file_name().unwrap().to_string_lossy().starts_with('.')).collect()
}

/// Kills a job at random moments, each time going on with what the run before it left, and starts over whenever one
/// comes to its end first. Whatever stands under a final name at any time is the whole result.
#[test]
fn killed_at_twenty_random_moments() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    std::fs::create_dir(&whole).unwrap();
    let began = Instant::now();
    finish(&tiny(&whole.join("o.mp4"), &["--panels", "--threads", "1"]));
    let length = began.elapsed();
    let expected = ["o.mp4", "o_panels.mp4"].map(|name| std::fs::read(whole.join(name)).unwrap());

    let folder = dir.path().join("killed");
    std::fs::create_dir(&folder).unwrap();
    let check = || {
        for path in results(&folder) {
            let at = usize::from(path.ends_with("o_panels.mp4"));
            let found = std::fs::read(&path).unwrap();
            assert!(found == expected[at], "{} looks whole but isn't", path.display());
        }
    };
    // SplitMix64 over a seed that a failure names.
    let mut seed = std::env::var("ANICRAFTER_KILL_SEED").map_or(7, |s| s.parse().unwrap());
    println!("ANICRAFTER_KILL_SEED={seed}; a whole run takes {length:?}");
    let mut random = || {
        seed = u64::wrapping_add(seed, 0x9E37_79B9_7F4A_7C15);
        let z = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (z >> 40) as f64 / f64::from(1 << 24)
    };
    let (mut kills, mut ends) = (0, 0);
    while kills < KILLS {
        let threads = if kills % 2 == 0 { "2" } else { "1" };
        let mut child = start(&tiny(&folder.join("o.mp4"), &["--panels", "--threads", threads]));
        let until = Instant::now() + length.mul_f64(random());
        let status = loop {
            match child.try_wait().unwrap() {
                None if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
                status => break status,
            }
        };
        if let Some(status) = status {
            assert!(status.success(), "after {kills} kills");
            check();
            ends += 1;
            std::fs::remove_dir_all(&folder).unwrap();
            std::fs::create_dir(&folder).unwrap();
            continue;
        }
        // SIGKILL on Unix, TerminateProcess on Windows: no chance to tidy up.
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        check();
    }
    finish(&tiny(&folder.join("o.mp4"), &["--panels", "--threads", "2"]));
    assert_eq!(results(&folder).len(), 2);
    check();
    println!("{kills} kills; {ends} runs came to their end in between");
}

/// A limit on the size of files stands in for a full disk: both fail in the middle of a write.
#[cfg(unix)]
#[test]
fn a_full_disk_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("o.mp4");
    let limited = |blocks: usize, args: &[String]| {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_anicrafter")).args(args).output().unwrap()
    };
    // Blocks of 512 bytes: the raw condition frames don't fit.
    for blocks in [4, 60] {
        let output = limited(blocks, &tiny(&out, &[]));
        let message = text(&output.stderr);
        assert!(!output.status.success(), "{message}");
        assert!(!message.contains("panicked"), "{message}");
        assert!(message.contains("too large") && message.contains("make room"), "{message}");
        assert!(message.contains("o.work") || message.contains("o.mp4"), "which file? {message}");
        assert!(results(dir.path()).is_empty(), "{:?}", results(dir.path()));
    }
    // With room again the same folder serves.
    finish(&tiny(&out, &[]));
    assert!(out.is_file());

    // The video alone: the encoder's own thread tells why it stopped.
    let s = |name: &str| support::scene().join(name).display().to_string();
    let condition = dir.path().join("c.mp4");
    let args: Vec<String> = [
        ["composite".to_owned(), "--avatar".to_owned()].as_slice(),
        &[s("avatar.safetensors"), "--motion".to_owned(), s("motion.json")],
        &["--background".to_owned(), s("background.mp4"), "--end".to_owned(), "12".to_owned()],
        &["-o".to_owned(), condition.display().to_string()],
    ]
    .concat();
    let output = limited(20, &args);
    let message = text(&output.stderr);
    assert!(!output.status.success() && message.contains("too large"), "{message}");
    assert!(message.contains("c.mp4"), "{message}");
    assert!(!condition.exists());
}
