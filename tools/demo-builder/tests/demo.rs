//! The committed demo loads, fits together and stands on its ground.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use avatar_render::Avatar;
use demo_builder::{body, stage, walk};
use smplx::{Motion, Retarget};
use std::path::PathBuf;

fn demo(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo").join(file)
}

fn motion() -> Motion {
    Motion::from_json(&std::fs::read(demo("motion.json")).unwrap()).unwrap()
}

#[test]
fn the_avatar_binds_to_the_body() {
    let model = body().unwrap();
    let avatar = Avatar::open(demo("avatar.safetensors")).unwrap();
    avatar.gaussians.check().unwrap();
    avatar.gaussians.check_finite().unwrap();
    assert!((20_000..=30_000).contains(&avatar.gaussians.len()), "{}", avatar.gaussians.len());
    let fitted = Retarget::new(&model, &avatar.points(&[]).unwrap()).unwrap();
    assert!(fitted.rms_m < 1e-3, "{}", fitted.rms_m);
    assert!(fitted.betas.iter().all(|b| b.abs() < 0.05), "{:?}", fitted.betas);
}

#[test]
fn the_video_goes_with_the_motion() {
    let motion = motion();
    motion.check().unwrap();
    assert_eq!((motion.len(), motion.fps), (stage::FRAMES, stage::FPS as f32));
    let video = media::VideoReader::open(demo("background.mp4")).unwrap();
    assert_eq!(video.info().size(), (stage::SIZE[0], stage::SIZE[1]));
    assert_eq!(video.info().frame_rate.as_f64(), f64::from(stage::FPS));
    assert!(motion.frames.iter().all(|f| f.camera.unwrap().size_px == stage::SIZE));
    let frames: Vec<_> = video.collect::<media::Result<_>>().unwrap();
    assert_eq!(frames.len(), motion.len());
}

#[test]
fn the_committed_motion_is_what_the_walk_makes() {
    let made = walk::Walker::new(&body().unwrap()).unwrap().motion().unwrap();
    for (a, b) in made.frames.iter().zip(&motion().frames) {
        let differs = |a: &[f32], b: &[f32]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-3);
        assert!(!differs(a.pose.full().as_flattened(), b.pose.full().as_flattened()));
        assert!(!differs(&a.translation, &b.translation));
    }
}

#[test]
fn a_foot_is_on_the_ground_in_every_frame_and_none_is_below() {
    let model = body().unwrap();
    for (index, frame) in motion().frames.iter().enumerate() {
        let mut pose = [[0.0; 3]; smplx::N_JOINTS];
        let posed = model.forward(&frame.as_frame(&mut pose)).unwrap();
        let view = stage::View::of_frame(index);
        let height =
            |v: &[f32; 3]| (view.turn.transpose() * glam::Vec3::from_array(*v) + view.eye).y - walk::SOLE;
        let lowest = posed.vertices.iter().map(height).fold(f32::INFINITY, f32::min);
        assert!(lowest.abs() < 0.025, "frame {index}: {lowest}");
    }
}

#[test]
fn the_character_picture_has_a_person_on_nothing() {
    let picture = image::open(demo("character.png")).unwrap().to_rgba8();
    assert_eq!(picture.dimensions(), (384, 640));
    let opaque = picture.pixels().filter(|p| p[3] > 200).count();
    let clear = picture.pixels().filter(|p| p[3] == 0).count();
    assert!(opaque > 25_000 && clear > 120_000, "{opaque} {clear}");
}
