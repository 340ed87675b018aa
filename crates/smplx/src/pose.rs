//! A pose by body part, as parameter files hold it.

use crate::skeleton::{BODY, JAW, LEFT_EYE, LEFT_HAND, N_BODY_JOINTS, N_HAND_JOINTS, N_JOINTS, PELVIS};
use crate::skeleton::{RIGHT_EYE, RIGHT_HAND};

/// Joint rotations by body part: axis-angle vectors in radians, each relative to the joint's parent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BodyPose {
    /// The pelvis: orientation of the whole body.
    pub root: [f32; 3],
    /// Joints 1 to 21: hips to wrists.
    pub body: [[f32; 3]; N_BODY_JOINTS],
    /// The jaw.
    pub jaw: [f32; 3],
    /// The left eye.
    pub left_eye: [f32; 3],
    /// The right eye.
    pub right_eye: [f32; 3],
    /// Index, middle, pinky, ring, thumb; three joints each.
    pub left_hand: [[f32; 3]; N_HAND_JOINTS],
    /// The same of the right hand.
    pub right_hand: [[f32; 3]; N_HAND_JOINTS],
}

impl BodyPose {
    /// All 55 rotations in joint order.
    #[must_use]
    pub fn full(&self) -> [[f32; 3]; N_JOINTS] {
        let mut full = [[0.0; 3]; N_JOINTS];
        full[PELVIS] = self.root;
        full[BODY].copy_from_slice(&self.body);
        full[JAW] = self.jaw;
        full[LEFT_EYE] = self.left_eye;
        full[RIGHT_EYE] = self.right_eye;
        full[LEFT_HAND].copy_from_slice(&self.left_hand);
        full[RIGHT_HAND].copy_from_slice(&self.right_hand);
        full
    }

    /// From all 55 rotations in joint order.
    #[must_use]
    pub fn from_full(full: &[[f32; 3]; N_JOINTS]) -> Self {
        Self {
            root: full[PELVIS],
            body: std::array::from_fn(|i| full[BODY.start + i]),
            jaw: full[JAW],
            left_eye: full[LEFT_EYE],
            right_eye: full[RIGHT_EYE],
            left_hand: std::array::from_fn(|i| full[LEFT_HAND.start + i]),
            right_hand: std::array::from_fn(|i| full[RIGHT_HAND.start + i]),
        }
    }
}

/// Which hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The body's left.
    Left,
    /// The body's right.
    Right,
}

/// What the hand rotations of a pose are relative to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandMean {
    /// The flat hand of the template: rotations are used as they are (`flat_hand_mean=True` of the Python package).
    #[default]
    Flat,
    /// The model's mean hand, which is added to the rotations (`flat_hand_mean=False`).
    Model,
}
