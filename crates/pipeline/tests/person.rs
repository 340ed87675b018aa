//! The demo's avatar in the demo's street, as one picture: mask and pose are found.
#![expect(clippy::unwrap_used, reason = "tests")]

use anicrafter_pipeline::composite::Compositor;
use anicrafter_pipeline::{Actor, Blend, Error, Job, PersonOptions, Preset, find_person, open_body};
use avatar_render::RendererChoice;
use image::{GrayImage, Luma, RgbImage};
use smplx::Motion;
use std::path::{Path, PathBuf};

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo").join(name)
}

/// A picture, who is in it, and where.
fn picture() -> (RgbImage, GrayImage) {
    let mut job = Job::new(Preset::Demo);
    job.input.actors.push(Actor::new(demo("avatar.safetensors"), demo("motion.json")));
    job.input.background = demo("background.mp4");
    (job.video.width, job.video.height, job.video.blend) = (960, 576, Blend::Over);
    let mut compositor = Compositor::open(&job, "cpu".parse::<RendererChoice>().unwrap()).unwrap();
    let frame = compositor.next_frame().unwrap().unwrap();
    let differs = |x: u32, y: u32| frame.blend.get_pixel(x, y) != frame.plate.get_pixel(x, y);
    let person = GrayImage::from_fn(960, 576, |x, y| Luma([if differs(x, y) { 255 } else { 0 }]));
    (frame.blend, person)
}

/// Intersection over union of two masks.
fn overlap(a: &GrayImage, b: &GrayImage) -> f32 {
    let pairs = || a.pixels().zip(b.pixels()).map(|(a, b)| (a[0] >= 128, b[0] >= 128));
    pairs().filter(|(a, b)| *a && *b).count() as f32 / pairs().filter(|(a, b)| *a || *b).count() as f32
}

#[test]
fn mask_and_pose_are_found() {
    let (picture, truth) = picture();
    let body = open_body(None).unwrap();
    let person = find_person(&picture, &body, &PersonOptions::default()).unwrap();
    let iou = overlap(&person.mask, &truth);
    println!("{} people, IoU {iou}, landmarks {} px off", person.people, person.residual_px);
    assert!(person.people == 1 && person.residual_px < 8.0);
    assert!(iou > 0.8, "{iou}");

    // One frame's file is a motion too.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pose.json");
    std::fs::write(&path, person.frame.to_json()).unwrap();
    let motion = Motion::open(&path, 16.0).unwrap();
    assert_eq!((motion.len(), motion.frames[0].translation), (1, person.frame.translation));
}

#[test]
fn pictures_without_the_person_that_is_asked_for_are_refused() {
    let body = open_body(None).unwrap();
    let wall = RgbImage::from_pixel(200, 160, image::Rgb([120; 3]));
    let nobody = find_person(&wall, &body, &PersonOptions::default());
    assert!(matches!(nobody, Err(Error::Person(mocap::Error::Nobody { frames: 1 }))), "{nobody:?}");
    let second = PersonOptions { person: 1, ..PersonOptions::default() };
    let none = find_person(&picture().0, &body, &second);
    let expected = matches!(none, Err(Error::Person(mocap::Error::NoSuchPerson { wanted: 2, found: 1 })));
    assert!(expected, "{none:?}");
    let focal = PersonOptions { focal_px: Some(-1.0), ..PersonOptions::default() };
    assert!(matches!(
        find_person(&picture().0, &body, &focal),
        Err(Error::Person(mocap::Error::Setting { .. }))
    ));
}
