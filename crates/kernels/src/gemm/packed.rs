//! Weights packed once for the kernels.

use half::bf16;

/// An `f32` weight `[N, K]` in the order that the kernels read.
#[derive(Clone, Debug)]
pub struct PackedF32 {
    n: usize,
    k: usize,
    data: Vec<f32>,
}

/// A bf16 weight `[N, K]` in the order that the kernels read.
#[derive(Clone, Debug)]
pub struct PackedBf16 {
    n: usize,
    k: usize,
    data: Vec<bf16>,
}

impl PackedF32 {
    /// Packs a row-major `[n, k]`.
    ///
    /// # Panics
    /// If `w` has another length.
    #[must_use]
    pub fn new(w: &[f32], n: usize, k: usize) -> Self {
        assert_eq!(w.len(), n * k, "the weight isn't [{n}, {k}]");
        Self { n, k, data: w.to_vec() }
    }

    /// `[N, K]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        [self.n, self.k]
    }

    pub(crate) fn row(&self, n: usize) -> &[f32] {
        &self.data[n * self.k..(n + 1) * self.k]
    }
}

impl PackedBf16 {
    /// Packs a row-major `[n, k]`.
    ///
    /// # Panics
    /// If `w` has another length.
    #[must_use]
    pub fn new(w: &[bf16], n: usize, k: usize) -> Self {
        assert_eq!(w.len(), n * k, "the weight isn't [{n}, {k}]");
        Self { n, k, data: w.to_vec() }
    }

    /// `[N, K]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        [self.n, self.k]
    }

    pub(crate) fn row(&self, n: usize) -> &[bf16] {
        &self.data[n * self.k..(n + 1) * self.k]
    }
}
