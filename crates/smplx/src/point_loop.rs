//! The inner loop over an avatar's points: plain code, compiled for AVX2 with FMA and the baseline and chosen at run time.

use crate::affine::Affine;
use crate::rotation::{Mat3, QUAT_IDENTITY, Quat, mul, normalise, quat_from_matrix, quat_mul, standardise};
use crate::weights::SparseWeights;
use simd::{Kernel, Level, dispatch};

/// What the loop reads, for all points; it works on `first..first + out.means.len()`.
pub(crate) struct PointTables<'a> {
    pub(crate) weights: &'a SparseWeights,
    /// Positions in the zero pose, shape included.
    pub(crate) zero: &'a [[f32; 3]],
    /// Linear part of each point's neutral→zero transform.
    pub(crate) to_zero: &'a [Mat3],
    pub(crate) rotation: &'a [Quat],
    /// Empty where no point is constrained.
    pub(crate) constrained: &'a [bool],
    /// The frame's 55 transforms.
    pub(crate) joints: &'a [Affine],
    pub(crate) translation: [f32; 3],
}

/// A piece of the output.
pub(crate) struct Piece<'a> {
    pub(crate) first: usize,
    pub(crate) means: &'a mut [[f32; 3]],
    pub(crate) rotations: &'a mut [Quat],
    pub(crate) rigid: &'a mut [Quat],
}

pub(crate) fn skin_points(level: Level, tables: &PointTables<'_>, out: Piece<'_>) {
    // Twelve floats a transform: wider vectors bring nothing.
    dispatch(level.min(Level::Avx2), Points { tables, out });
}

struct Points<'a> {
    tables: &'a PointTables<'a>,
    out: Piece<'a>,
}

impl<S> Kernel<S> for Points<'_> {
    #[inline(always)]
    fn run(self, _: S) {
        let Self { tables, out } = self;
        let n = out.means.len();
        let (rotations, rigid) = (&mut out.rotations[..n], &mut out.rigid[..n]);
        for i in 0..n {
            let at = out.first + i;
            let mut t = [[0.0_f32; 4]; 3];
            for w in tables.weights.get(at) {
                let joint = tables.joints[usize::from(w.joint)].as_flattened();
                for (t, j) in t.as_flattened_mut().iter_mut().zip(joint) {
                    *t += j * w.weight;
                }
            }
            let p = tables.zero[at];
            out.means[i] = std::array::from_fn(|k| {
                t[k][0] * p[0] + t[k][1] * p[1] + t[k][2] * p[2] + t[k][3] + tables.translation[k]
            });
            rigid[i] = if tables.constrained.get(at) == Some(&true) {
                QUAT_IDENTITY
            } else {
                let linear = t.map(|row| [row[0], row[1], row[2]]);
                normalise(quat_from_matrix(&mul(&linear, &tables.to_zero[at])))
            };
            rotations[i] = standardise(quat_mul(rigid[i], tables.rotation[at]));
        }
    }
}
