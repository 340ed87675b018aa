//! The avatar chain: neutral pose → zero pose → the frame's pose.

use super::PointBinding;
use super::proportions::change;
use crate::affine::{AFFINE_IDENTITY, Affine, invert_rigid, linear, transform_point};
use crate::error::{Error, Result};
use crate::forward::Frame;
use crate::kinematics::{Rotations, pose_joints};
use crate::model::{BodyModel, check_finite};
use crate::point_loop::{Piece, PointTables, skin_points};
use crate::rotation::{Mat3, Quat, apply, matrix_from_axis_angle};
use crate::skeleton::{LEFT_HIP, N_JOINTS, RIGHT_HIP};
use crate::weights::SparseWeights;
use rayon::prelude::*;

/// Largest scaling of a constrained point, in metres.
///
/// Source: `run_pipeline.py` of AniCrafter (commit e9e8965), `animate_gs_model`.
pub const MAX_CONSTRAINED_SCALING: f32 = 0.02;

/// An avatar's points as LHM stores them, all in the neutral pose.
#[derive(Clone, Copy, Debug)]
pub struct AvatarPoints<'a> {
    /// `[N]` query points in metres.
    pub query: &'a [[f32; 3]],
    /// `[N]` offsets from the query points.
    pub offset: &'a [[f32; 3]],
    /// `[N]` standard deviations in metres.
    pub scaling: &'a [[f32; 3]],
    /// `[N]` orientations (w, x, y, z).
    pub rotation: &'a [Quat],
    /// The avatar's own transforms from the neutral to the zero pose, by joint.
    pub neutral_to_zero: &'a [Affine; N_JOINTS],
    /// Points whose orientation stays what it is and whose scaling is bounded; empty for none.
    pub constrained: &'a [bool],
}

/// One frame for an avatar's points.
#[derive(Clone, Copy, Debug)]
pub struct PointFrame<'a> {
    /// The 55 rotations; axis-angle is converted through quaternions here.
    pub rotations: Rotations<'a>,
    /// Expression coefficients; the reference uses none.
    pub expression: &'a [f32],
    /// Added at the end, in metres.
    pub translation: [f32; 3],
}

/// Points in a frame's pose.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PosedPoints {
    /// `[N]` positions in metres.
    pub means: Vec<[f32; 3]>,
    /// `[N]` orientations (w, x, y, z) with w ≥ 0.
    pub rotations: Vec<Quat>,
    /// `[N]` turn of each point's surroundings, neutral pose to this one; the identity for constrained points.
    pub rigid: Vec<Quat>,
}

/// An avatar's points bound to a body, ready to be posed.
#[derive(Clone, Debug)]
pub struct PointSkin {
    binding: PointBinding,
    weights: SparseWeights,
    zero: Vec<[f32; 3]>,
    to_zero: Vec<Mat3>,
    scaling: Vec<[f32; 3]>,
    rotation: Vec<Quat>,
    constrained: Vec<bool>,
    rest_joints: [[f32; 3]; N_JOINTS],
}

/// Points in one piece of parallel work.
const POINTS_AT_A_TIME: usize = 1024;

impl PointSkin {
    /// Binds an avatar to the body it was made on: points are moved by `betas` in the zero pose.
    ///
    /// # Errors
    /// When lengths disagree, a vertex doesn't exist, there are more betas than components, or something isn't finite.
    pub fn new(
        model: &BodyModel,
        binding: PointBinding,
        avatar: &AvatarPoints<'_>,
        betas: &[f32],
    ) -> Result<Self> {
        let shape = binding.shape_offsets(model, betas)?;
        let rest_joints = model.rest_joints(betas, &[])?;
        Self::with_shape(model, binding, avatar, &shape, rest_joints)
    }

    /// The same for a body whose betas mean something else: nothing moves in the zero pose, and the joints are given.
    pub(super) fn with_joints(
        model: &BodyModel,
        binding: PointBinding,
        avatar: &AvatarPoints<'_>,
        rest_joints: [[f32; 3]; N_JOINTS],
    ) -> Result<Self> {
        let shape = vec![[0.0; 3]; binding.len()];
        Self::with_shape(model, binding, avatar, &shape, rest_joints)
    }

    fn with_shape(
        model: &BodyModel,
        binding: PointBinding,
        avatar: &AvatarPoints<'_>,
        shape: &[[f32; 3]],
        rest_joints: [[f32; 3]; N_JOINTS],
    ) -> Result<Self> {
        let n = binding.len();
        avatar.check(n)?;
        let weights = binding.weights(model)?;
        let mut zero = Vec::with_capacity(n);
        let mut to_zero = Vec::with_capacity(n);
        for i in 0..n {
            let mut t: Affine = [[0.0; 4]; 3];
            for w in weights.get(i) {
                let joint = &avatar.neutral_to_zero[usize::from(w.joint)];
                for (t, j) in t.as_flattened_mut().iter_mut().zip(joint.as_flattened()) {
                    *t += j * w.weight;
                }
            }
            let mean = std::array::from_fn(|k| avatar.query[i][k] + avatar.offset[i][k]);
            let at = transform_point(&t, mean);
            zero.push(std::array::from_fn(|k| at[k] + shape[i][k]));
            to_zero.push(linear(&t));
        }
        let mut scaling = avatar.scaling.to_vec();
        for (scaling, _) in scaling.iter_mut().zip(avatar.constrained).filter(|(_, c)| **c) {
            *scaling = scaling.map(|s| s.min(MAX_CONSTRAINED_SCALING));
        }
        Ok(Self {
            binding,
            weights,
            zero,
            to_zero,
            scaling,
            rotation: avatar.rotation.to_vec(),
            constrained: avatar.constrained.to_vec(),
            rest_joints,
        })
    }

    /// Changes the shape of the points and of the skeleton from one set of coefficients, with which they were bound, to another.
    ///
    /// # Errors
    /// When there are more betas than components.
    pub fn reshape(&mut self, model: &BodyModel, from: &[f32], to: &[f32]) -> Result<()> {
        let moved = self.binding.shape_offsets(model, &change(from, to))?;
        self.rest_joints = model.rest_joints(to, &[])?;
        self.zero.as_flattened_mut().iter_mut().zip(moved.as_flattened()).for_each(|(p, d)| *p += d);
        Ok(())
    }

    /// N.
    #[must_use]
    pub fn len(&self) -> usize {
        self.zero.len()
    }

    /// Are there no points?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.zero.is_empty()
    }

    /// Which vertices the points follow.
    #[must_use]
    pub fn binding(&self) -> &PointBinding {
        &self.binding
    }

    /// The points' skinning weights.
    #[must_use]
    pub fn weights(&self) -> &SparseWeights {
        &self.weights
    }

    /// `[N]` standard deviations, those of constrained points bounded.
    #[must_use]
    pub fn scaling(&self) -> &[[f32; 3]] {
        &self.scaling
    }

    /// The points in the zero pose, shape included.
    #[must_use]
    pub fn zero_pose(&self) -> &[[f32; 3]] {
        &self.zero
    }

    /// The joints of the shaped zero pose.
    #[must_use]
    pub fn rest_joints(&self) -> &[[f32; 3]; N_JOINTS] {
        &self.rest_joints
    }

    /// Poses the points.
    ///
    /// # Errors
    /// When there are more expression coefficients than components, or something isn't finite.
    pub fn pose(&self, model: &BodyModel, frame: &PointFrame<'_>) -> Result<PosedPoints> {
        let mut posed = PosedPoints::default();
        self.pose_into(model, frame, &mut posed)?;
        Ok(posed)
    }

    /// Poses the points into buffers that are reused. `model` is the one the points were bound to.
    ///
    /// # Errors
    /// As [`PointSkin::pose`].
    pub fn pose_into(
        &self,
        model: &BodyModel,
        frame: &PointFrame<'_>,
        posed: &mut PosedPoints,
    ) -> Result<()> {
        let rotations = match frame.rotations {
            Rotations::AxisAngle(v) => v.map(matrix_from_axis_angle),
            other => other.matrices(),
        };
        check_finite("rotations", rotations.as_flattened().as_flattened())?;
        check_finite("translation", &frame.translation)?;
        check_finite("expression", frame.expression)?;
        let joints = pose_joints(&self.rest_joints, model.parents(), &rotations, [0.0; 3]);
        let moved = self.with_expression(model, frame.expression)?;
        let n = self.len();
        posed.means.resize(n, [0.0; 3]);
        posed.rotations.resize(n, [0.0; 4]);
        posed.rigid.resize(n, [0.0; 4]);
        let tables = PointTables {
            weights: &self.weights,
            zero: moved.as_deref().unwrap_or(&self.zero),
            to_zero: &self.to_zero,
            rotation: &self.rotation,
            constrained: &self.constrained,
            joints: &joints.transforms,
            translation: frame.translation,
        };
        let level = simd::level();
        let means = posed.means.par_chunks_mut(POINTS_AT_A_TIME);
        let rotations = posed.rotations.par_chunks_mut(POINTS_AT_A_TIME);
        let rigid = posed.rigid.par_chunks_mut(POINTS_AT_A_TIME);
        means.zip(rotations).zip(rigid).enumerate().for_each(|(i, ((means, rotations), rigid))| {
            skin_points(level, &tables, Piece { first: i * POINTS_AT_A_TIME, means, rotations, rigid });
        });
        Ok(())
    }

    /// The zero pose with an expression; `None` where there is none.
    fn with_expression(&self, model: &BodyModel, expression: &[f32]) -> Result<Option<Vec<[f32; 3]>>> {
        if expression.iter().all(|c| *c == 0.0) {
            return Ok(None);
        }
        let offsets = self.binding.expression_offsets(model, expression)?;
        let moved = self.zero.iter().zip(&self.to_zero).zip(&offsets).map(|((p, m), d)| {
            let d = apply(m, *d);
            std::array::from_fn(|k| p[k] + d[k])
        });
        Ok(Some(moved.collect()))
    }
}

impl AvatarPoints<'_> {
    pub(super) fn check(&self, n: usize) -> Result<()> {
        for (what, found) in [
            ("query points", self.query.len()),
            ("offsets", self.offset.len()),
            ("scalings", self.scaling.len()),
            ("rotations", self.rotation.len()),
        ] {
            if found != n {
                return Err(Error::Length { what, expected: n, found });
            }
        }
        if !self.constrained.is_empty() && self.constrained.len() != n {
            let (what, found) = ("constrained points", self.constrained.len());
            return Err(Error::Length { what, expected: n, found });
        }
        check_finite("query points", self.query.as_flattened())?;
        check_finite("offsets", self.offset.as_flattened())?;
        check_finite("scalings", self.scaling.as_flattened())?;
        check_finite("rotations", self.rotation.as_flattened())?;
        check_finite("neutral_to_zero", self.neutral_to_zero.as_flattened().as_flattened())
    }
}

/// The pose in which LHM stores its points: hips turned out by 20 degrees (its canonical pose of type 1).
#[must_use]
pub fn neutral_pose() -> [[f32; 3]; N_JOINTS] {
    let mut pose = [[0.0; 3]; N_JOINTS];
    pose[LEFT_HIP][2] = std::f32::consts::PI / 9.0;
    pose[RIGHT_HIP][2] = -std::f32::consts::PI / 9.0;
    pose
}

/// The 55 neutral→zero transforms of a body with these betas; LHM's own use betas 0.
///
/// # Errors
/// When there are more betas than components.
pub fn neutral_to_zero(model: &BodyModel, betas: &[f32]) -> Result<[Affine; N_JOINTS]> {
    let pose = neutral_pose();
    let rotations = Rotations::AxisAngle(&pose);
    let joints = model.joints(&Frame { betas, rotations, ..Frame::REST })?;
    let mut inverse = [AFFINE_IDENTITY; N_JOINTS];
    for (inverse, t) in inverse.iter_mut().zip(&joints.transforms) {
        *inverse = invert_rigid(t);
    }
    Ok(inverse)
}
