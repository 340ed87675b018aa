//! The scene's light on the demo's avatar, its shadow and its edges, each by its own switch.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use anicrafter_pipeline::light::Lights;
use anicrafter_pipeline::{Actor, Blend, Job, LightSource, Session};
use image::RgbImage;
use std::path::{Path, PathBuf};

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo").join(name)
}

fn frame(change: impl FnOnce(&mut Job)) -> RgbImage {
    let mut job = Job::condition_video();
    job.input.actors.push(Actor::new(demo("avatar.safetensors"), demo("motion.json")));
    job.input.background = demo("background.mp4");
    (job.video.width, job.video.height) = (320, 192);
    change(&mut job);
    Session::builder().build().unwrap().preview(&job, 2).unwrap()
}

/// How many pixels differ by more than `least` levels.
fn differ(a: &RgbImage, b: &RgbImage, least: u8) -> usize {
    let pairs = a.pixels().zip(b.pixels());
    pairs.filter(|(a, b)| a.0.iter().zip(b.0).any(|(a, b)| a.abs_diff(b) > least)).count()
}

#[test]
fn each_switch_changes_its_own_part() {
    let plain = frame(|_| {});
    let sun = |job: &mut Job| job.light.sun = Some("120,45".parse().unwrap());
    let without = |job: &mut Job| {
        sun(job);
        (job.light.cast_shadow, job.light.match_edges) = (Some(false), Some(false));
    };
    assert_eq!(frame(|job| (sun(job), job.light.source = LightSource::Off).1), plain, "off is off");
    let lit = frame(without);
    let avatar = differ(&lit, &plain, 1);
    assert!(avatar > 1500, "the sun changes {avatar} pixels");
    let shadowed = frame(|job| {
        without(job);
        job.light.cast_shadow = Some(true);
    });
    let shadow = differ(&shadowed, &lit, 4);
    assert!((150..20_000).contains(&shadow), "the shadow changes {shadow} pixels");
    // A shadow only darkens.
    let brighter = shadowed.iter().zip(lit.iter()).filter(|(a, b)| a > b).count();
    assert_eq!(brighter, 0);
    let edged = frame(|job| {
        without(job);
        job.light.match_edges = Some(true);
    });
    assert!(differ(&edged, &lit, 0) < avatar, "edges and grain stay on the avatar");
    let half = frame(|job| {
        without(job);
        job.light.strength = 0.0;
    });
    assert!(differ(&half, &plain, 1) < 50, "{}", differ(&half, &plain, 1));
}

#[test]
fn the_demos_own_light_is_a_light_file() {
    let lights = Lights::read(&demo("light.json")).unwrap();
    assert_eq!(lights.shots.len(), 49);
    let plain = frame(|job| job.video.blend = Blend::Over);
    let lit = frame(|job| job.light.file = Some(demo("light.json")));
    assert!(differ(&lit, &plain, 4) > 2000);
    // From the background alone.
    let auto = frame(|job| job.light.source = LightSource::Auto);
    assert!(differ(&auto, &plain, 1) > 1000);
}

#[test]
fn a_damaged_light_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wrong.json");
    std::fs::write(&path, "{\"shots\": []}").unwrap();
    let mut job = Job::condition_video();
    job.input.actors.push(Actor::new(demo("avatar.safetensors"), demo("motion.json")));
    job.input.background = demo("background.mp4");
    job.light.file = Some(path);
    let error = Session::builder().build().unwrap().preview(&job, 0).unwrap_err().to_string();
    assert!(error.contains("wrong.json") && error.contains("no shots"), "{error}");
}
