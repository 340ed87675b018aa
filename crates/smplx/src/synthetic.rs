//! Bodies made of random numbers: for tests and benches of the real size without licensed files.

use crate::model::{BodyArrays, BodyModel, Hand, JointSource};
use crate::skeleton::{N_HAND_JOINTS, N_JOINTS, N_POSE_FEATURES, PARENTS};
use crate::weights::{SparseWeights, VertexWeight};

/// A small random-number generator (SplitMix64), the same on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in -1..1.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// A whole number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }
}

/// What a synthetic body has.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// V.
    pub n_vertices: usize,
    /// S.
    pub n_betas: usize,
    /// E.
    pub n_expressions: usize,
    /// Non-zero skinning weights of each vertex.
    pub n_weights: usize,
}

impl Size {
    /// The size of the official model with 10 shape and 10 expression components.
    pub const OFFICIAL: Self = Self {
        n_vertices: crate::skeleton::OFFICIAL_N_VERTICES,
        n_betas: 10,
        n_expressions: 10,
        n_weights: 6,
    };
}

/// The arrays of a random body: every table is dense, and nothing looks like a human.
#[must_use]
pub fn arrays(size: Size, seed: u64) -> BodyArrays {
    let mut random = Random::new(seed);
    let Size { n_vertices, n_betas, n_expressions, n_weights } = size;
    let mut fill = |n: usize, scale: f32| -> Vec<f32> { (0..n).map(|_| random.unit() * scale).collect() };
    let v_template = fill(n_vertices * 3, 0.9).as_chunks::<3>().0.to_vec();
    let shape_dirs = fill(n_vertices * 3 * n_betas, 0.02);
    let expression_dirs = fill(n_vertices * 3 * n_expressions, 0.02);
    let pose_dirs = fill(n_vertices * 3 * N_POSE_FEATURES, 0.004);
    let mut hand = || {
        let mut joints = |scale| {
            std::array::from_fn::<_, N_HAND_JOINTS, _>(|_| {
                std::array::from_fn::<_, 3, _>(|_| random.unit() * scale)
            })
        };
        Hand { mean: joints(0.3), components: (0..45).map(|_| joints(0.2)).collect() }
    };
    let hands = Some([hand(), hand()]);
    let mut weights = SparseWeights::new();
    for vertex in 0..n_vertices {
        let first = vertex * N_JOINTS / n_vertices;
        let raw: Vec<f32> = (0..n_weights).map(|_| random.unit().abs() + 0.05).collect();
        let sum: f32 = raw.iter().sum();
        weights.push(
            raw.iter()
                .enumerate()
                .map(|(i, w)| VertexWeight { joint: ((first + i * 7) % N_JOINTS) as u16, weight: w / sum }),
        );
    }
    let mut regressor = vec![0.0; N_JOINTS * n_vertices];
    for row in regressor.chunks_exact_mut(n_vertices) {
        for _ in 0..30 {
            row[random.below(n_vertices)] += 1.0 / 30.0;
        }
    }
    let face = |_| std::array::from_fn(|_| random.below(n_vertices) as u32);
    let faces = (0..2 * n_vertices).map(face).collect();
    BodyArrays {
        v_template,
        faces,
        shape_dirs,
        expression_dirs,
        pose_dirs,
        weights,
        joints: JointSource::Regressor(regressor),
        parents: PARENTS,
        hands,
        extra_vertices: None,
        landmarks: None,
    }
}

/// A random body.
#[must_use]
pub fn body(size: Size, seed: u64) -> BodyModel {
    BodyModel::from_arrays(arrays(size, seed)).expect("a synthetic body is consistent")
}

/// Random rotations of all joints, with components up to `angle` radians.
#[must_use]
pub fn pose(angle: f32, seed: u64) -> [[f32; 3]; N_JOINTS] {
    let mut random = Random::new(seed);
    std::array::from_fn(|_| std::array::from_fn(|_| random.unit() * angle))
}

/// Random coefficients or coordinates up to `scale`.
#[must_use]
pub fn numbers(n: usize, scale: f32, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..n).map(|_| random.unit() * scale).collect()
}
