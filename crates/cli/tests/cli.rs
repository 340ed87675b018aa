//! The binary, driven as a user would.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::process::{Command, Output};
use support::{scene, text, tiny};

fn anicrafter(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_anicrafter")).args(args).output().unwrap()
}

fn succeeds(args: &[&str]) -> String {
    let output = anicrafter(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn fails(args: &[&str]) -> String {
    let output = anicrafter(args);
    assert!(!output.status.success(), "{args:?} should fail");
    let message = text(&output.stderr);
    assert!(!message.contains("panicked"), "{args:?}: {message}");
    message
}

fn run(args: &[String]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_anicrafter")).args(args).output().unwrap()
}

#[test]
fn every_subcommand_has_help() {
    for sub in ["demo", "animate", "composite", "eval", "avatar", "body", "models", "completions"] {
        assert!(succeeds(&[sub, "--help"]).contains("Usage"), "{sub}");
    }
    assert!(succeeds(&["--help"]).contains("Examples:"));
    assert!(succeeds(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
    assert!(succeeds(&["completions", "bash"]).contains("anicrafter"));
}

#[test]
fn bad_arguments_say_what_to_do() {
    assert!(fails(&["animate"]).contains("background"));
    assert!(fails(&["animate", "--size", "100"]).contains("WIDTHxHEIGHT"));
    assert!(fails(&["animate", "--from", "nowhere"]).contains("composite"));
    let refused = fails(&[
        "animate",
        "--avatar",
        "a.ply",
        "--motion",
        "m",
        "--background",
        "b.mp4",
        "--size",
        "100x64",
    ]);
    assert!(refused.contains("multiple of 16"), "{refused}");
    let several = fails(&[
        "animate",
        "--avatar",
        "a.ply",
        "--avatar",
        "b.ply",
        "--motion",
        "m",
        "--background",
        "b.mp4",
    ]);
    assert!(several.contains("as many motions"), "{several}");
    let real = fails(&[
        "animate",
        "--preset",
        "anicrafter",
        "--avatar",
        "a.ply",
        "--motion",
        "m",
        "--background",
        "b.mp4",
    ]);
    assert!(real.contains("--wan"), "{real}");
}

#[test]
fn missing_files_are_named() {
    let missing = fails(&["animate", "--avatar", "none.ply", "--motion", "none", "--background", "none.mp4"]);
    assert!(missing.contains("none.mp4"), "{missing}");
    assert!(fails(&["eval", "a.mp4", "b.mp4"]).contains("a.mp4"));
    assert!(fails(&["avatar", "info", "none.pth"]).contains("none.pth"));
    assert!(fails(&["models", "check", "no-such-folder"]).contains("no-such-folder"));
    assert!(fails(&["body", "-o", "x.txt"]).contains(".obj"));
    assert!(fails(&["demo", "--scene", "no-such-folder"]).contains("no-such-folder"));
}

#[test]
fn the_plan_of_the_real_model() {
    let plan = succeeds(&["models", "plan"]);
    assert!(plan.contains("75600 tokens"), "{plan}");
    assert!(plan.contains("50 × 2 branches"), "{plan}");
}

#[test]
fn body_and_avatar_tools() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    succeeds(&["body", "-o", &file("rest.obj")]);
    assert!(
        std::fs::read_to_string(file("rest.obj")).unwrap().lines().filter(|l| l.starts_with("v ")).count()
            > 10_000
    );
    let motion = scene().join("motion.json").display().to_string();
    succeeds(&["body", "--motion", &motion, "-o", &file("walk.glb")]);
    assert!(std::fs::read(file("walk.glb")).unwrap().starts_with(b"glTF"));
    let avatar = scene().join("avatar.safetensors").display().to_string();
    assert!(succeeds(&["avatar", "info", &avatar]).contains("body data     yes"));
    succeeds(&["avatar", "convert", &avatar, "-o", &file("a.ply")]);
    assert!(succeeds(&["avatar", "info", &file("a.ply")]).contains("body data     no"));
}

#[test]
fn an_avatar_is_baked_from_a_picture() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    // A frame in which the body stands upright before the camera, and the demo's character picture.
    let zeros = |n: usize| vec![[0.0_f32; 3]; n];
    let frame = serde_json::json!({
        "root_pose": [std::f32::consts::PI, 0.0, 0.0], "body_pose": zeros(21), "trans": [0.0, 0.33, 5.0],
        "focal": [1650.0, 1650.0], "princpt": [192.0, 320.0], "img_size_wh": [384, 640],
    });
    std::fs::write(file("pose.json"), frame.to_string()).unwrap();
    let picture = scene().join("character.png").display().to_string();
    let bake = |more: &[&str]| -> Vec<String> {
        let pose = file("pose.json");
        let args = ["avatar", "bake", "--picture", &picture, "--body-pose", &pose, "--points", "5000"];
        args.iter().chain(more).map(|s| (*s).to_owned()).collect()
    };
    let baked = run(&bake(&["-o", &file("a.safetensors")]));
    assert!(baked.status.success(), "{}", text(&baked.stderr));
    assert!(text(&baked.stdout).contains("overlap with the mask"), "{}", text(&baked.stdout));
    let info = succeeds(&["avatar", "info", &file("a.safetensors")]);
    assert!(info.contains("Gaussians     5000") && info.contains("body data     yes"), "{info}");

    let refused = |args: &[String]| fails(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let many = refused(&bake(&["-o", &file("b.safetensors"), "--refine", "99"]));
    assert!(many.contains("refine"), "{many}");
    let wrong = refused(&bake(&["-o", &file("b.safetensors"), "--mask", &file("none.png")]));
    assert!(wrong.contains("none.png"), "{wrong}");
    image::RgbImage::new(10, 10).save(file("small.png")).unwrap();
    let small = refused(&bake(&["-o", &file("b.safetensors"), "--mask", &file("small.png")]));
    assert!(small.contains("mask"), "{small}");
    assert!(!std::path::Path::new(&file("b.safetensors")).exists());
    let motion = scene().join("motion.json").display().to_string();
    let late = fails(&[
        "avatar",
        "bake",
        "--picture",
        &picture,
        "--motion",
        &motion,
        "--frame",
        "999",
        "-o",
        "x.ply",
    ]);
    assert!(late.contains("999"), "{late}");
}

#[test]
fn a_job_file_says_the_same_as_the_options() {
    let dir = tempfile::tempdir().unwrap();
    let job = dir.path().join("job.toml").display().to_string();
    let out = dir.path().join("o.mp4");
    let write = run(&tiny(&out, &["--write-job", &job]));
    assert!(write.status.success(), "{}", text(&write.stderr));
    let plan = succeeds(&["animate", "--job", &job, "--dry-run"]);
    assert!(plan.contains("80 × 48") && plan.contains("2 × 1 branches"), "{plan}");
    assert!(!out.exists(), "a dry run wrote something");
}

#[test]
fn a_run_repeats_byte_for_byte_and_redoes_only_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole.mp4");
    let first = run(&tiny(&whole, &["--panels", "--report", "--threads", "1"]));
    assert!(first.status.success(), "{}", text(&first.stderr));
    let expected = std::fs::read(&whole).unwrap();
    for name in ["whole_panels.mp4", "whole.html"] {
        assert!(dir.path().join(name).is_file(), "{name} is missing");
    }

    // Again, from the work folder: nothing is computed, the bytes are the same.
    let again = run(&tiny(&whole, &["--threads", "2"]));
    assert!(text(&again.stderr).contains("from the work folder"), "{}", text(&again.stderr));
    assert_eq!(std::fs::read(&whole).unwrap(), expected);

    // A changed seed renders nothing again.
    let other = run(&tiny(&whole, &["--seed", "7"]));
    let log = text(&other.stderr);
    assert!(log.lines().any(|l| l.starts_with("composite") && l.contains("from the work folder")), "{log}");
    assert!(log.lines().any(|l| l.starts_with("denoise") && !l.contains("from the work folder")), "{log}");

    let table = succeeds(&["eval", &whole.display().to_string(), &whole.display().to_string()]);
    assert!(table.contains("inf"), "{table}");
}

#[test]
fn the_condition_video_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let s = |name: &str| scene().join(name).display().to_string();
    succeeds(&[
        "composite",
        "--avatar",
        &s("avatar.safetensors"),
        "--motion",
        &s("motion.json"),
        "--background",
        &s("background.mp4"),
        "--end",
        "3",
        "--mesh",
        &file("mesh.mp4"),
        "--mask",
        &file("mask.mp4"),
        "-o",
        &file("c.mp4"),
    ]);
    for name in ["c.mp4", "mesh.mp4", "mask.mp4"] {
        assert!(std::fs::metadata(file(name)).unwrap().len() > 1000, "{name}");
    }
}
