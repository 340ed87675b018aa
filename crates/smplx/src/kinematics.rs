//! The chain of joints: from rest positions and joint rotations to posed joints and the transforms that skin.

use crate::affine::{AFFINE_IDENTITY, Affine, affine, compose, linear};
use crate::rotation::{Mat3, Quat, apply, matrix_from_quat, rodrigues};
use crate::skeleton::N_JOINTS;

/// The 55 joint rotations, each relative to the joint's parent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rotations<'a> {
    /// Axis-angle vectors in radians.
    AxisAngle(&'a [[f32; 3]; N_JOINTS]),
    /// Row-major matrices, used as they are.
    Matrices(&'a [Mat3; N_JOINTS]),
    /// Quaternions (w, x, y, z) of any length but zero.
    Quaternions(&'a [Quat; N_JOINTS]),
}

impl Rotations<'_> {
    /// The 55 rest rotations.
    pub const REST: Rotations<'static> = Rotations::AxisAngle(&[[0.0; 3]; N_JOINTS]);

    /// As matrices; axis-angle by Rodrigues' formula as the body model does it.
    #[must_use]
    pub fn matrices(&self) -> [Mat3; N_JOINTS] {
        match self {
            Self::AxisAngle(v) => v.map(rodrigues),
            Self::Matrices(m) => **m,
            Self::Quaternions(q) => q.map(matrix_from_quat),
        }
    }
}

/// The posed skeleton.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PosedJoints {
    /// Positions of the 55 joints in metres, translation included.
    pub positions: [[f32; 3]; N_JOINTS],
    /// For each joint the transform from the rest pose to this one, translation **not** included:
    /// a vertex goes to `Σ weight · transform · vertex + translation`.
    pub transforms: [Affine; N_JOINTS],
}

impl Default for PosedJoints {
    fn default() -> Self {
        Self { positions: [[0.0; 3]; N_JOINTS], transforms: [AFFINE_IDENTITY; N_JOINTS] }
    }
}

/// Poses a skeleton whose joints rest at `rest`.
///
/// Parents must come before their children; [`crate::BodyModel`] checks that when it is loaded.
#[must_use]
pub fn pose_joints(
    rest: &[[f32; 3]; N_JOINTS],
    parents: &[Option<u8>; N_JOINTS],
    rotations: &[Mat3; N_JOINTS],
    translation: [f32; 3],
) -> PosedJoints {
    let mut world = [AFFINE_IDENTITY; N_JOINTS];
    let mut posed = PosedJoints::default();
    for j in 0..N_JOINTS {
        world[j] = match parents[j] {
            None => affine(&rotations[j], rest[j]),
            Some(parent) => {
                let parent = usize::from(parent);
                let bone = std::array::from_fn(|i| rest[j][i] - rest[parent][i]);
                compose(&world[parent], &affine(&rotations[j], bone))
            }
        };
        let at = [world[j][0][3], world[j][1][3], world[j][2][3]];
        let turned = apply(&linear(&world[j]), rest[j]);
        posed.transforms[j] = affine(&linear(&world[j]), std::array::from_fn(|i| at[i] - turned[i]));
        posed.positions[j] = std::array::from_fn(|i| at[i] + translation[i]);
    }
    posed
}

/// The rotation of a joint in the world: the product of the chain's rotations.
#[must_use]
pub fn world_rotation(joint: usize, parents: &[Option<u8>; N_JOINTS], rotations: &[Mat3; N_JOINTS]) -> Mat3 {
    let mut total = rotations[joint];
    let mut at = joint;
    while let Some(parent) = parents[at] {
        at = usize::from(parent);
        total = crate::rotation::mul(&rotations[at], &total);
    }
    total
}
