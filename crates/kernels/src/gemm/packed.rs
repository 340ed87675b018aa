//! Weights packed once into the panels that the kernels read.

use half::bf16;
use rayon::prelude::*;
use simd::{Kernel, dispatch, level};

use super::product::{Bf16Pairs, F32, Product};
use super::source::Source;
use crate::scratch::Lined;
use crate::tile::{PANEL, Tiles};

/// An `f32` weight `[N, K]` in the order that the kernels read: panels `[K, 16]` of 16 outputs.
#[derive(Clone)]
pub struct PackedF32 {
    n: usize,
    k: usize,
    panels: Lined<f32>,
}

/// A bf16 weight `[N, K]` in the order that the kernels read: panels `[K/2, 16]` of pairs along K, for 16 outputs.
#[derive(Clone)]
pub struct PackedBf16 {
    n: usize,
    k: usize,
    panels: Lined<u32>,
}

/// Packs one panel.
struct PackPanel<'a, P: Product> {
    product: P,
    source: Source<'a>,
    panel: usize,
    k: usize,
    dst: &'a mut [P::T],
}

impl<S: Tiles, P: Product> Kernel<S> for PackPanel<'_, P> {
    #[inline(always)]
    fn run(self, s: S) {
        self.product.fill(s, &self.source, self.panel, 0, self.k, self.dst);
    }
}

fn pack<P: Product>(product: P, source: Source<'_>, n: usize, k: usize) -> Lined<P::T> {
    let size = P::units(k) * PANEL;
    let mut panels = Lined::zeros(n.div_ceil(PANEL) * size);
    if size > 0 {
        let level = level();
        panels
            .par_chunks_mut(size)
            .enumerate()
            .for_each(|(panel, dst)| dispatch(level, PackPanel { product, source, panel, k, dst }));
    }
    panels
}

impl PackedF32 {
    /// Packs a row-major `[n, k]`.
    ///
    /// # Panics
    /// If `w` has another length.
    #[must_use]
    pub fn new(w: &[f32], n: usize, k: usize) -> Self {
        assert_eq!(w.len(), n * k, "the weight isn't [{n}, {k}]");
        Self { n, k, panels: pack(F32, Source::Rows { w, n, k }, n, k) }
    }

    /// `[N, K]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        [self.n, self.k]
    }

    pub(crate) fn panels(&self) -> &[f32] {
        &self.panels
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
        Self { n, k, panels: pack(Bf16Pairs, Source::RowsBf16 { w, n, k }, n, k) }
    }

    /// `[N, K]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        [self.n, self.k]
    }

    pub(crate) fn panels(&self) -> &[u32] {
        &self.panels
    }
}

impl std::fmt::Debug for PackedF32 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackedF32").field("n", &self.n).field("k", &self.k).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PackedBf16 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackedBf16").field("n", &self.n).field("k", &self.k).finish_non_exhaustive()
    }
}
