//! The points that become Gaussians: where they stand on the body in the neutral pose, which part of it they belong to, and how
//! the transformer is told.
//!
//! Ported from `smpl_x_voxel_dense_sampling.py` and `PointEmbed` (`gs_renderer.py`) of aigc3d/LHM b31e76a.

use crate::{Error, Result};
use candle_core::Tensor;
use nn::{LayerNorm, Linear, Weights};
use smplx::{
    Affine, BodyModel, Frame, N_JOINTS, PointBinding, Rotations, SparseWeights, neutral_pose,
    neutral_to_zero, transform_point,
};

/// Width of a point's sines and cosines in all published models.
pub const EMBED_HIDDEN: usize = 48;

/// Joints of the upper body: pelvis, spine, collars, shoulders, elbows, wrists and fingers.
pub const UPPER_BODY: [usize; 42] = {
    let mut joints = [0; 42];
    let few = [0, 3, 6, 9, 13, 14, 16, 17, 18, 19, 20, 21];
    let mut i = 0;
    while i < few.len() {
        joints[i] = few[i];
        i += 1;
    }
    let mut finger = 25;
    while finger < N_JOINTS {
        joints[i] = finger;
        i += 1;
        finger += 1;
    }
    joints
};

/// Joints of the lower body: pelvis, hips, knees, ankles and feet.
pub const LOWER_BODY: [usize; 9] = [0, 1, 2, 4, 5, 7, 8, 10, 11];

/// Which points follow one of these joints more than any other.
#[must_use]
pub fn follows_joints(weights: &SparseWeights, joints: &[usize]) -> Vec<bool> {
    (0..weights.len()).map(|i| joints.contains(&weights.dominant_joint(i))).collect()
}

/// Points on the body in the neutral pose.
#[derive(Clone, Debug)]
pub struct QueryPoints {
    /// The vertices that they follow.
    pub binding: PointBinding,
    /// `[N]` positions in the neutral pose, in metres.
    pub positions: Vec<[f32; 3]>,
    /// Rigid transforms from the neutral to the zero pose, by joint.
    pub neutral_to_zero: Box<[Affine; N_JOINTS]>,
    /// `[N]` marks of the upper body's points.
    pub is_upper_body: Vec<bool>,
}

impl QueryPoints {
    /// Points that stand on the template at rest, three quarters of them on the body and the last quarter on the head: LHM's
    /// `dense_sample_points/1_40000.ply`. Each follows its nearest vertex.
    ///
    /// The person's shape doesn't enter: the reference takes the mean body here, whatever betas it hands on.
    ///
    /// # Errors
    /// When there are fewer than four points, or something isn't finite.
    pub fn new(body: &BodyModel, dense: &[[f32; 3]]) -> Result<Self> {
        if dense.len() < 4 {
            let (what, expected, got) =
                ("the dense points", "[4 or more, 3]".to_owned(), vec![dense.len(), 3]);
            return Err(Error::Shape { what, expected, got });
        }
        let binding = PointBinding::nearest_vertex(dense, body.v_template())?;
        let weights = binding.weights(body)?;
        let pose = neutral_pose();
        let joints = body.joints(&Frame { rotations: Rotations::AxisAngle(&pose), ..Frame::REST })?;
        let moved = |(i, point): (usize, &[f32; 3])| {
            let mut sum: Affine = [[0.0; 4]; 3];
            for w in weights.get(i) {
                let joint = &joints.transforms[usize::from(w.joint)];
                for (sum, value) in sum.as_flattened_mut().iter_mut().zip(joint.as_flattened()) {
                    *sum += value * w.weight;
                }
            }
            transform_point(&sum, *point)
        };
        Ok(Self {
            positions: dense.iter().enumerate().map(moved).collect(),
            neutral_to_zero: Box::new(neutral_to_zero(body, &[])?),
            is_upper_body: follows_joints(&weights, &UPPER_BODY),
            binding,
        })
    }
}

/// A point's position to the transformer's width: sines and cosines of eight octaves along each axis, then a linear layer and a
/// norm.
#[derive(Debug)]
pub struct PointEmbed {
    octaves: usize,
    mlp: Linear,
    norm: LayerNorm,
}

impl PointEmbed {
    /// `weights` stands at `pcl_embed` in LHM's file; `hidden` is [`EMBED_HIDDEN`] there.
    ///
    /// # Errors
    /// When `hidden` isn't a multiple of six, or a weight is missing or has another shape.
    pub fn load(hidden: usize, dim: usize, weights: &Weights) -> Result<Self> {
        if hidden == 0 || !hidden.is_multiple_of(6) {
            return Err(Error::Config(format!("points embedded in {hidden} sines and cosines")));
        }
        let norm = LayerNorm::load(&weights.pp("norm"), dim, 1e-5)?;
        Ok(Self { octaves: hidden / 6, mlp: Linear::load(&weights.pp("mlp"), hidden + 3, dim)?, norm })
    }

    /// The frequencies, π times powers of two.
    #[must_use]
    pub fn octaves(&self) -> Vec<f32> {
        (0..self.octaves).map(|k| std::f32::consts::PI * (1_u64 << k.min(63)) as f32).collect()
    }

    /// Sines and cosines of positions `[N]`, each axis' octaves together: `[N, hidden]` row-major.
    #[must_use]
    pub fn waves(&self, positions: &[[f32; 3]]) -> Vec<f32> {
        let octaves = self.octaves();
        let mut out = Vec::with_capacity(positions.len() * 6 * self.octaves);
        for point in positions {
            // The product is rounded to f32 before the sine, as in the reference: up to 400 radians.
            let angles = || point.iter().flat_map(|x| octaves.iter().map(move |o| x * o));
            out.extend(angles().map(f32::sin));
            out.extend(angles().map(f32::cos));
        }
        out
    }

    /// `[N]` positions → `[1, N, dim]`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forward(&self, positions: &[[f32; 3]], device: &candle_core::Device) -> Result<Tensor> {
        let hidden = 6 * self.octaves;
        let waves = self.waves(positions);
        let rows: Vec<f32> = waves
            .chunks_exact(hidden)
            .zip(positions)
            .flat_map(|(waves, point)| waves.iter().chain(point).copied())
            .collect();
        let rows = Tensor::from_vec(rows, (1, positions.len(), hidden + 3), device)?;
        Ok(self.norm.forward(&self.mlp.forward(&rows)?)?)
    }
}
