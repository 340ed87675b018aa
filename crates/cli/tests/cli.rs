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
    for sub in [
        "demo",
        "animate",
        "replace",
        "eval-replace",
        "composite",
        "eval",
        "farm",
        "avatar",
        "body",
        "job",
        "models",
        "completions",
    ] {
        assert!(succeeds(&[sub, "--help"]).contains("Usage"), "{sub}");
    }
    assert!(succeeds(&["--help"]).contains("Examples:"));
    assert!(succeeds(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
    assert!(succeeds(&["completions", "bash"]).contains("anicrafter"));
}

#[test]
fn bad_arguments_say_what_to_do() {
    assert!(fails(&["animate"]).contains("background"));
    assert!(fails(&["composite", "-o", "x.mp4"]).contains("--background"));
    let nobody = fails(&["composite", "--background", "b.mp4", "-o", "x.mp4"]);
    assert!(nobody.contains("input.actors") && nobody.contains("--avatar"), "{nobody}");
    let inputs = ["--avatar", "a.ply", "--motion", "m", "--background", "b.mp4", "-o", "x.mp4"];
    for (options, named) in [
        (["--stride", "0"], "input.stride"),
        (["--start=5", "--end=5"], "input.end"),
        (["--fps=-1", "--end=4"], "video.fps"),
        (["--size", "99999x64"], "video.width"),
    ] {
        let refused = fails(&[["composite"].as_slice(), &inputs, &options].concat());
        assert!(refused.contains(named), "{options:?}: {refused}");
    }
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
    assert!(fails(&["replace", "--video", "none.mp4", "--until", "plate"]).contains("none.mp4"));
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

    // Without a pose, one is found.
    let found = succeeds(&[
        "avatar",
        "bake",
        "--picture",
        &picture,
        "--points",
        "5000",
        "-o",
        &file("c.safetensors"),
    ]);
    assert!(found.contains("found the person (1 in the picture)") && !found.contains("note"), "{found}");

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
fn every_setting_is_explained_and_the_explanation_is_a_job() {
    let dir = tempfile::tempdir().unwrap();
    let job = dir.path().join("job.toml");
    for preset in ["demo", "anicrafter"] {
        let explained = succeeds(&["job", "--preset", preset]);
        assert!(
            explained.contains(&format!("preset = \"{preset}\"")) && explained.contains("# [replace]"),
            "{explained}"
        );
        std::fs::write(&job, &explained).unwrap();
        let s = |name: &str| scene().join(name).display().to_string();
        let (avatar, motion) = (s("avatar.safetensors"), s("motion.json"));
        let actors = format!("actors = [{{ avatar = {avatar:?}, motion = {motion:?} }}]");
        let background = format!("background = {:?}", s("background.mp4"));
        let whole =
            explained.replacen("actors = []", &actors, 1).replacen("background = \"\"", &background, 1);
        let whole = match preset {
            "demo" => whole,
            _ => whole.replacen("# wan =", "wan = \"w\"", 1).replacen(
                "# anicrafter =",
                "anicrafter = \"a\"",
                1,
            ),
        };
        std::fs::write(&job, whole).unwrap();
        let dry_run = ["animate", "--job", &job.display().to_string(), "--dry-run"].map(str::to_owned);
        let output = run(&dry_run);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        let plan = run(&["models", "plan", "--preset", preset].map(str::to_owned));
        let plan = text(&plan.stdout);
        let tokens = plan.lines().find(|line| line.contains("tokens")).unwrap();
        assert!(out.contains(tokens), "{out}");
        // The demo's weights are part of the program; the real ones aren't there.
        assert_eq!(output.status.success(), preset == "demo", "{err}");
        assert!(preset == "demo" || err.contains("models.wan"), "{err}");
    }
}

#[test]
fn outputs_that_are_inputs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("background.mp4");
    std::fs::copy(scene().join("background.mp4"), &copy).unwrap();
    let before = std::fs::read(&copy).unwrap();
    let s = |name: &str| scene().join(name).display().to_string();
    let (avatar, motion, background) =
        (s("avatar.safetensors"), s("motion.json"), copy.display().to_string());
    let detour = dir.path().join("./background.mp4").display().to_string();
    let inputs = ["--avatar", &avatar, "--motion", &motion, "--background", &background];
    for more in [["-o", &background].as_slice(), &["-o", &detour], &["-o", "x.mp4", "--mask", &background]] {
        let refused = fails(&[["composite"].as_slice(), &inputs, more].concat());
        assert!(refused.contains("input.background too"), "{refused}");
    }
    let refused = fails(&[["animate"].as_slice(), &inputs, &["-o", &background]].concat());
    assert!(refused.contains("input.background too"), "{refused}");
    let refused = fails(&["replace", "--video", &background, "--until", "plate", "-o", &background]);
    assert!(refused.contains("replace.video too"), "{refused}");
    assert_eq!(std::fs::read(&copy).unwrap(), before);
    let picture = dir.path().join("me.png").display().to_string();
    std::fs::copy(scene().join("character.png"), &picture).unwrap();
    for (args, named) in [
        (["avatar", "convert", &avatar, "-o", &avatar].as_slice(), "the avatar too"),
        (
            &["avatar", "bake", "--picture", &picture, "-o", "a.ply", "--write-mask", &picture],
            "--picture too",
        ),
        (&["body", "--motion", &motion, "-o", &motion], "--motion too"),
        (&["eval", &background, &background, "--json", &background], "video too"),
    ] {
        let refused = fails(args);
        assert!(refused.contains(named), "{args:?}: {refused}");
    }
}

#[test]
fn options_win_over_the_job_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let job = path("job.json");
    let write = run(&tiny(&dir.path().join("o.mp4"), &["--write-job", &job]));
    assert!(write.status.success(), "{}", text(&write.stderr));
    let rewritten = |name: &str, options: &[&str]| -> serde_json::Value {
        let to = path(name);
        succeeds(&[&["animate", "--job", &job, "--write-job", &to], options].concat());
        serde_json::from_slice(&std::fs::read(to).unwrap()).unwrap()
    };
    let device = rewritten("device.json", &["--device", "cuda:3", "--memory", "2.5"]);
    assert_eq!(device["models"]["device"], "cuda:3");
    assert_eq!(device["models"]["memory_gib"], 2.5);
    assert_eq!(device["models"]["dtype"], "f32", "what wasn't named stays");
    let precise: serde_json::Value = serde_json::from_slice(&std::fs::read(&job).unwrap()).unwrap();
    assert_eq!(device["sampling"], precise["sampling"]);
    let half = rewritten("half.json", &["--dtype", "bf16"]);
    assert_eq!(half["models"]["dtype"], "bf16");
    assert_eq!(half["sampling"]["bf16_latents"], true);
    let int8 = rewritten(
        "int8.json",
        &[
            "--preset",
            "anicrafter",
            "--wan",
            "w",
            "--anicrafter",
            "a",
            "--dtype",
            "q4",
            "--activations",
            "int8",
        ],
    );
    assert_eq!(
        (&half["models"]["activations"], &int8["models"]["activations"]),
        (&"float".into(), &"int8".into())
    );
}

#[test]
fn activations_of_8_bits_are_refused_where_there_are_no_products_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let refused = run(&tiny(&dir.path().join("o.mp4"), &["--activations", "int8"]));
    assert!(!refused.status.success());
    let error = text(&refused.stderr);
    assert!(error.contains("models.activations") && error.contains("demo"), "{error}");
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
    let size = |path: &str| media::VideoReader::open(path).unwrap().info().size();
    assert_eq!(size(&file("c.mp4")), size(&s("background.mp4")));
    let (avatar, motion, street) = (s("avatar.safetensors"), s("motion.json"), s("background.mp4"));
    let one = ["--avatar", &avatar, "--motion", &motion, "--background", &street, "--frame", "2"];
    succeeds(&[["composite"].as_slice(), &one, &["-o", &file("two.png")]].concat());
    let two = media::read_picture(file("two.png")).unwrap();
    assert_eq!(two.dimensions(), size(&file("c.mp4")));
    let (of_video, n) =
        (media::VideoReader::open(file("c.mp4")).unwrap().nth(2).unwrap().unwrap(), two.len());
    let off: u64 = two.iter().zip(of_video.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert!((off as f64) < 4.0 * n as f64, "the frame isn't the video's: {off}");
    let wrong = fails(&[["composite"].as_slice(), &one, &["-o", &file("two.mp4")]].concat());
    assert!(wrong.contains(".png"), "{wrong}");
    for name in ["c.mp4", "mesh.mp4", "mask.mp4"] {
        assert!(std::fs::metadata(file(name)).unwrap().len() > 1000, "{name}");
    }
}

/// A raw video of the demo's avatar in its street, twelve frames of it.
fn raw_video(folder: &std::path::Path) -> String {
    let s = |name: &str| scene().join(name).display().to_string();
    let raw = folder.join("raw.mp4").display().to_string();
    let (avatar, motion, street) = (s("avatar.safetensors"), s("motion.json"), s("background.mp4"));
    let inputs = ["--avatar", &avatar, "--motion", &motion, "--background", &street, "--end", "12"];
    succeeds(
        &[&["composite"], inputs.as_slice(), &["--size", "640x384", "--blend", "over", "-o", &raw]].concat(),
    );
    raw
}

#[test]
fn a_person_is_replaced_in_a_raw_video() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let raw = raw_video(dir.path());
    let avatar = scene().join("avatar.safetensors").display().to_string();
    let (work, out) = (file("work"), file("condition.mp4"));
    let replace = |more: &[&str]| -> (String, bool) {
        let first = ["--progress", "plain", "replace", "--video", &raw, "--work", &work];
        let output = anicrafter(&[&first, more].concat());
        (text(&output.stderr), output.status.success())
    };
    let (log, ok) = replace(&["--avatar", &avatar, "--until", "composite", "-o", &out]);
    assert!(ok, "{log}");
    for stage in ["masks", "motion", "plate", "composite"] {
        assert!(log.lines().any(|l| l.starts_with(stage)), "{stage}: {log}");
    }
    let size = |path: &str| media::VideoReader::open(path).unwrap().info().size();
    assert_eq!(size(&out), (640, 384));

    // Every step alone, from the work folder; from the motion on once more, on demand.
    for (until, name) in [("masks", "masks"), ("masks", "m.mp4"), ("motion", "m.json"), ("plate", "p.mp4")] {
        let (log, ok) = replace(&["--until", until, "-o", &file(name)]);
        assert!(ok && !log.contains("composite"), "{log}");
        assert!(log.lines().filter(|l| l.contains("from the work folder")).count() >= 1, "{log}");
    }
    assert_eq!(std::fs::read_dir(file("masks")).unwrap().count(), 12);
    // The name decides the container.
    let pictures = ["--until", "plate", "-o", &file("plates")];
    let (log, ok) = replace(&pictures);
    assert!(ok && std::fs::read_dir(file("plates")).unwrap().count() == 12, "{log}");
    let (log, ok) = replace(&["--until", "motion", "-o", &file("m.npz")]);
    assert!(ok && std::fs::read(file("m.npz")).unwrap().starts_with(b"PK"), "{log}");
    let (log, ok) = replace(&["--until", "motion", "-o", &file("m.bvh")]);
    assert!(!ok && log.contains(".npz") && !dir.path().join("m.bvh").exists(), "{log}");
    assert_eq!((size(&file("m.mp4")), size(&file("p.mp4"))), ((640, 384), (640, 384)));
    let (log, ok) = replace(&["--until", "motion", "--from", "motion", "-o", &file("again.json")]);
    let cached = |stage: &str| {
        log.lines().any(|l| l.starts_with(stage) && l.contains(" s ") && l.contains("from the work folder"))
    };
    assert!(ok && cached("masks") && !cached("motion"), "{log}");
    assert_eq!(std::fs::read(file("again.json")).unwrap(), std::fs::read(file("m.json")).unwrap());

    // Through the diffusion model, with what was made above brought along.
    let brought = ["--plate", &file("p.mp4"), "--motion", &file("m.json"), "--mask", &file("m.mp4")];
    let small = ["--size", "80x48", "--window", "5", "--overlap", "1", "--renderer", "cpu"];
    let (log, ok) =
        replace(&[&["--avatar", &avatar, "-o", &file("o.mp4")], brought.as_slice(), &small].concat());
    assert!(ok && !log.lines().any(|l| l.starts_with("masks") || l.starts_with("motion")), "{log}");
    assert_eq!(size(&file("o.mp4")), (80, 48));

    // What can't be done says so.
    let refused = |more: &[&str]| {
        let (log, ok) = replace(more);
        assert!(!ok && !log.contains("panicked"), "{log}");
        log
    };
    assert!(refused(&["-o", &file("x.mp4")]).contains("--avatar"));
    let third = refused(&["--until", "masks", "--person", "3", "-o", &file("x")]);
    assert!(third.contains("person 3 was asked for, at most 1"), "{third}");
    assert!(!dir.path().join("x.mp4").exists() && !dir.path().join("x").exists());
}
