//! Tests of motions.

use super::*;
use crate::rotation::{axis_angle_from_quat, quat_from_axis_angle, slerp};
use crate::synthetic::{numbers, pose};

fn motion(n: usize) -> Motion {
    let camera = Camera { focal_px: [900.0, 910.0], principal_px: [320.0, 240.0], size_px: [640, 480] };
    let frames = (0..n as u64).map(|i| MotionFrame {
        pose: BodyPose::from_full(&pose(0.8, i)),
        translation: [i as f32, 0.5, 2.0],
        betas: numbers(10, 1.0, 99),
        expression: numbers(3, 1.0, i),
        camera: Some(camera),
        pad_ratio: None,
    });
    Motion::new(15.0, frames.collect()).unwrap()
}

#[test]
fn every_form_returns_what_was_written() {
    let motion = motion(5);
    assert_eq!(Motion::from_json(motion.to_json().as_bytes()).unwrap(), motion);
    assert_eq!(Motion::from_npz(motion.to_npz().unwrap()).unwrap(), motion);
    let folder = tempfile::tempdir().unwrap();
    motion.write_json_folder(folder.path()).unwrap();
    assert_eq!(Motion::read_json_folder(folder.path(), 15.0, Gaps::Refuse).unwrap(), motion);
}

#[test]
fn a_missing_frame_is_named_or_filled() {
    let motion = motion(6);
    let folder = tempfile::tempdir().unwrap();
    motion.write_json_folder(folder.path()).unwrap();
    std::fs::remove_file(folder.path().join("00003.json")).unwrap();
    let refused = Motion::read_json_folder(folder.path(), 15.0, Gaps::Refuse);
    assert!(matches!(refused, Err(Error::Frame { frame: 3, .. })), "{refused:?}");
    let filled = Motion::read_json_folder(folder.path(), 15.0, Gaps::Fill).unwrap();
    assert_eq!(filled.len(), 6);
    assert_eq!(filled.frames[2].translation, [2.0, 0.5, 2.0]);
    assert_eq!(filled.frames[3], motion.frames[3]);
}

#[test]
fn broken_frames_are_named() {
    let good = motion(1).frames[0].to_json();
    let broken = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        MotionFrame::from_json(good.replacen(from, to, 1).as_bytes(), 7).unwrap_err()
    };
    for (from, to) in
        [("\"root_pose\"", "\"x\""), ("\"trans\":[", "\"trans\":[1.0,"), ("\"trans\":[", "\"trans\":[null,")]
    {
        let error = broken(from, to);
        assert!(matches!(error, Error::Frame { frame: 7, .. }), "{error}");
    }
    assert!(matches!(broken("\"trans\":[", "\"trans\":[NaN,"), Error::Json { .. }));
    assert!(matches!(MotionFrame::from_json(b"[]", 7), Err(Error::Frame { frame: 7, .. })));
    let mut motion = motion(3);
    motion.frames[2].pose.body[4][1] = f32::NAN;
    assert!(matches!(motion.check(), Err(Error::Frame { frame: 2, .. })));
    motion.frames[2].betas.pop();
    let error = motion.check().unwrap_err().to_string();
    assert!(error.contains("frame 2") && error.contains("betas"), "{error}");
}

#[test]
fn resampling_interpolates_on_the_rotations() {
    let motion = motion(4);
    assert_eq!(motion.resampled(15.0).unwrap(), motion);
    let double = motion.resampled(30.0).unwrap();
    assert_eq!(double.len(), 7);
    assert_eq!(double.frames[2], motion.frames[1]);
    let between = slerp(
        quat_from_axis_angle(motion.frames[1].pose.body[7]),
        quat_from_axis_angle(motion.frames[2].pose.body[7]),
        0.5,
    );
    assert_eq!(double.frames[3].pose.body[7], axis_angle_from_quat(between));
    assert_eq!(double.frames[3].translation, [1.5, 0.5, 2.0]);
    assert!(motion.resampled(f32::NAN).is_err() && motion.resampled(-1.0).is_err());
    assert!(motion.resampled(1e30).is_err());
}

#[test]
fn smoothing_calms_noise_and_keeps_what_is_still() {
    let mut motion = motion(40);
    for (i, frame) in motion.frames.iter_mut().enumerate() {
        frame.pose.root = [3.1, 0.0, 0.05 * if i % 2 == 0 { 1.0 } else { -1.0 }];
        frame.pose.body[3] = [0.3, -0.2, 0.1];
        frame.translation = [0.0, if i % 2 == 0 { 0.01 } else { -0.01 }, 2.0];
    }
    let smooth = motion.smoothed(1.5).unwrap();
    let middle = &smooth.frames[20];
    assert!(middle.translation[1].abs() < 1e-3);
    assert!((0..3).all(|k| (middle.pose.body[3][k] - [0.3, -0.2, 0.1][k]).abs() < 1e-5));
    assert!((middle.pose.root[0] - 3.1).abs() < 5e-3 && middle.pose.root[2].abs() < 5e-3);
    assert_eq!(motion.smoothed(0.0).unwrap(), motion);
    assert!(motion.smoothed(f32::NAN).is_err());
}

#[test]
fn trims_and_loops() {
    let motion = motion(4);
    let at = |m: &Motion| m.frames.iter().map(|f| f.translation[0]).collect::<Vec<_>>();
    assert_eq!(at(&motion.trimmed(1..3).unwrap()), [1.0, 2.0]);
    assert!(motion.trimmed(2..2).is_err() && motion.trimmed(3..5).is_err());
    assert_eq!(at(&motion.looped(6, Loop::Restart)), [0.0, 1.0, 2.0, 3.0, 0.0, 1.0]);
    assert_eq!(at(&motion.looped(8, Loop::PingPong)), [0.0, 1.0, 2.0, 3.0, 2.0, 1.0, 0.0, 1.0]);
}
