//! The chain of joints: from rest positions and joint rotations to posed joints and the transforms that skin.

use crate::affine::{AFFINE_IDENTITY, Affine};
use crate::rotation::{Mat3, Quat, matrix_from_quat, rodrigues};
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
    // In double precision: the chain is up to ten products long, and there are only 55 of them.
    let mut world = [[[0.0_f64; 4]; 3]; N_JOINTS];
    let mut posed = PosedJoints::default();
    for j in 0..N_JOINTS {
        let rotation = rotations[j].map(|row| row.map(f64::from));
        world[j] = match parents[j] {
            None => std::array::from_fn(|i| {
                [rotation[i][0], rotation[i][1], rotation[i][2], f64::from(rest[j][i])]
            }),
            Some(parent) => {
                let parent = usize::from(parent);
                let bone: [f64; 3] =
                    std::array::from_fn(|i| f64::from(rest[j][i]) - f64::from(rest[parent][i]));
                let above = world[parent];
                std::array::from_fn(|i| {
                    let column = |c: usize| (0..3).map(|k| above[i][k] * rotation[k][c]).sum();
                    let shift: f64 = (0..3).map(|k| above[i][k] * bone[k]).sum();
                    [column(0), column(1), column(2), shift + above[i][3]]
                })
            }
        };
        let at = &world[j];
        posed.transforms[j] = std::array::from_fn(|i| {
            let turned: f64 = (0..3).map(|k| at[i][k] * f64::from(rest[j][k])).sum();
            [at[i][0], at[i][1], at[i][2], at[i][3] - turned].map(|x| x as f32)
        });
        posed.positions[j] = std::array::from_fn(|i| at[i][3] as f32 + translation[i]);
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
