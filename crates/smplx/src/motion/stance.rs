//! Where a motion stands before its camera: moved along the ground and turned.

use super::Motion;
use super::view::pelvis;
use crate::affine::affine;
use crate::rotation::{apply, cross, dot, matrix_from_axis_angle};

/// How a motion before a camera is moved along the ground.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stance {
    /// To the picture's right, in metres.
    pub right: f32,
    /// Away from the camera, in metres.
    pub away: f32,
    /// To the person's own left, in radians: the path turns with the person, about where the first frame's pelvis is.
    pub turn: f32,
}

/// Up, in the camera's axes.
const CAMERA_UP: [f32; 3] = [0.0, -1.0, 0.0];

impl Motion {
    /// The motion somewhere else on the ground. It must lie before a camera (x right, y down, z away, see
    /// [`Motion::seen_through`]); where that camera moves, the place moves with it.
    ///
    /// The ground is level where the people stand upright on average; of a motion that mostly lies or tumbles the camera is taken
    /// to be level.
    #[must_use]
    pub fn standing(&self, stance: Stance) -> Self {
        let Some(first) = self.frames.first() else { return self.clone() };
        let up = self.ground_up();
        // The ground's directions: away from the camera, and to its right.
        let level = |v: [f32; 3]| unit(std::array::from_fn(|k| v[k] - dot(v, up) * up[k]));
        let away = level([0.0, 0.0, 1.0]);
        let right = cross(away, up);
        let turn = matrix_from_axis_angle(up.map(|x| x * stance.turn));
        let pelvis = pelvis(first);
        let turned = apply(&turn, pelvis);
        let moved =
            std::array::from_fn(|k| pelvis[k] - turned[k] + stance.right * right[k] + stance.away * away[k]);
        self.transformed(&affine(&turn, moved))
    }

    /// The ground's normal, of unit length.
    fn ground_up(&self) -> [f32; 3] {
        let up = self.up();
        let length = dot(up, up).sqrt();
        // Within 45° of the camera's own vertical.
        match dot(up, CAMERA_UP) > length * std::f32::consts::FRAC_1_SQRT_2 {
            true => unit(up),
            false => CAMERA_UP,
        }
    }
}

fn unit(v: [f32; 3]) -> [f32; 3] {
    let length = dot(v, v).sqrt();
    v.map(|x| x / length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::motion::MotionFrame;
    use crate::pose::BodyPose;
    use std::f32::consts::{FRAC_PI_2, PI};

    /// Somebody who walks to the picture's right, three metres away, seen by a camera that looks down by `pitch`.
    fn walk(pitch: f32) -> Motion {
        let tilt = matrix_from_axis_angle([pitch, 0.0, 0.0]);
        let frame = |i: i32| MotionFrame {
            // Heads against y, turned with the camera's axes.
            pose: BodyPose { root: [PI, 0.0, 0.0], ..BodyPose::default() },
            translation: [0.1 * i as f32, 0.4, 3.0],
            ..MotionFrame::default()
        };
        Motion::new(30.0, (0..10).map(frame).collect()).unwrap().transformed(&affine(&tilt, [0.0; 3]))
    }

    fn near(a: [f32; 3], b: [f32; 3]) -> bool {
        (0..3).all(|k| (a[k] - b[k]).abs() < 1e-4)
    }

    #[test]
    fn a_step_aside_is_level_whatever_the_camera_looks_at() {
        for pitch in [0.0, 0.5] {
            let motion = walk(pitch);
            let moved = motion.standing(Stance { right: 0.8, away: 2.0, turn: 0.0 });
            let tilt = matrix_from_axis_angle([pitch, 0.0, 0.0]);
            for (old, new) in motion.frames.iter().zip(&moved.frames) {
                let step = std::array::from_fn(|k| new.translation[k] - old.translation[k]);
                assert!(near(step, apply(&tilt, [0.8, 0.0, 2.0])), "{step:?}");
                assert!(near(new.pose.root, old.pose.root));
            }
        }
    }

    #[test]
    fn who_turns_left_takes_the_path_along() {
        let motion = walk(0.0);
        let turned = motion.standing(Stance { turn: FRAC_PI_2, ..Stance::default() });
        assert!(near(pelvis(&turned.frames[0]), pelvis(&motion.frames[0])));
        // Seen from above, the walk to the right goes away from the camera now.
        let step = std::array::from_fn(|k| turned.frames[9].translation[k] - turned.frames[0].translation[k]);
        assert!(near(step, [0.0, 0.0, 0.9]), "{step:?}");
        // Who looked into the camera looks to the picture's right: to the own left.
        let look = apply(&matrix_from_axis_angle(turned.frames[0].pose.root), [0.0, 0.0, 1.0]);
        assert!(near(look, [1.0, 0.0, 0.0]), "{look:?}");
    }

    #[test]
    fn who_lies_is_moved_over_the_cameras_ground() {
        let mut motion = walk(0.0);
        motion.frames.iter_mut().for_each(|frame| frame.pose.root = [FRAC_PI_2, 0.0, 0.0]);
        let moved = motion.standing(Stance { away: 1.0, ..Stance::default() });
        let step = std::array::from_fn(|k| moved.frames[3].translation[k] - motion.frames[3].translation[k]);
        assert!(near(step, [0.0, 0.0, 1.0]), "{step:?}");
    }
}
