//! How far two motions of one person are apart.

use super::Measured;
use crate::{Error, Result};
use smplx::{BodyModel, Motion, N_JOINTS, PosedJoints, Rotations};

/// Joints that are compared: spine, neck and head, collars to wrists.
const UPPER: [usize; 14] = [3, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 0];
/// Adds the distances of two motions of equal length to `measured`.
pub(super) fn compare(
    body: &BodyModel,
    ours: &Motion,
    theirs: &Motion,
    measured: &mut Measured,
) -> Result<()> {
    if ours.len() != theirs.len() {
        return Err(Error::Mismatch {
            what: "lengths of the motions",
            a: format!("{} frames", ours.len()),
            b: format!("{} frames", theirs.len()),
        });
    }
    let (mut px, mut mm, mut angle, mut root, mut n, mut frames) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (a, b) in ours.frames.iter().zip(&theirs.frames) {
        let pose = |frame: &smplx::MotionFrame| -> Result<([[f32; 3]; N_JOINTS], PosedJoints)> {
            let full = frame.pose.full();
            let rotations = Rotations::AxisAngle(&full);
            let translation = frame.translation;
            let posed = body.joints(&smplx::Frame { rotations, translation, ..smplx::Frame::REST })?;
            Ok((full, posed))
        };
        let ((pose_a, at_a), (pose_b, at_b)) = (pose(a)?, pose(b)?);
        let (Some(camera_a), Some(camera_b)) = (a.camera, b.camera) else {
            return Err(Error::NoCamera);
        };
        let between = |i: usize| {
            let (p, q) = (smplx::rotation::rodrigues(pose_a[i]), smplx::rotation::rodrigues(pose_b[i]));
            let trace: f32 = (0..3).map(|r| (0..3).map(|c| p[r][c] * q[r][c]).sum::<f32>()).sum();
            f64::from(((trace - 1.0) / 2.0).clamp(-1.0, 1.0).acos().to_degrees())
        };
        root += between(0);
        frames += 1.0;
        for &j in &UPPER {
            let (p, q) = (at_a.positions[j], at_b.positions[j]);
            let (Some(u), Some(v)) = (camera_a.project(p), camera_b.resized(camera_a.size_px).project(q))
            else {
                continue;
            };
            px += f64::from((u[0] - v[0]).hypot(u[1] - v[1]));
            let relative = |k: usize| (p[k] - at_a.positions[0][k]) - (q[k] - at_b.positions[0][k]);
            mm += f64::from((0..3).map(|k| relative(k).powi(2)).sum::<f32>().sqrt()) * 1000.0;
            if j != 0 {
                angle += between(j) * UPPER.len() as f64 / (UPPER.len() - 1) as f64;
            }
            n += 1.0;
        }
    }
    measured.motion_px = px / n;
    measured.motion_mm = mm / n;
    measured.rotation_deg = angle / n;
    measured.root_deg = root / frames;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_motions_have_no_error() {
        let body = BodyModel::from_bytes(anicrafter_assets::BODY.to_vec()).unwrap();
        let camera =
            smplx::Camera { focal_px: [500.0; 2], principal_px: [320.0, 180.0], size_px: [640, 360] };
        let frame = smplx::MotionFrame {
            translation: [0.0, 0.0, 4.0],
            camera: Some(camera),
            ..smplx::MotionFrame::default()
        };
        let motion = Motion::new(20.0, vec![frame.clone(); 3]).unwrap();
        let mut measured = Measured::default();
        compare(&body, &motion, &motion, &mut measured).unwrap();
        assert!(measured.motion_px == 0.0 && measured.motion_mm == 0.0 && measured.rotation_deg < 0.1);
        let mut moved = motion.clone();
        moved.frames.iter_mut().for_each(|f| f.translation[0] += 0.4);
        compare(&body, &moved, &motion, &mut measured).unwrap();
        assert!((measured.motion_px - 50.0).abs() < 5.0 && measured.motion_mm < 1e-3, "{measured:?}");
        assert!(compare(&body, &Motion::new(20.0, vec![frame]).unwrap(), &motion, &mut measured).is_err());
    }
}
