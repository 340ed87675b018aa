//! Rotary position embedding of interleaved pairs, alone or right after the RMS norm of queries and keys.

use rayon::prelude::*;
use simd::{Kernel, Simd, dispatch, level};

use crate::norm::inv_rms;

/// Rotates each pair `(x[2i], x[2i+1])` of every head by the token's angle `i`, in place.
///
/// # Shapes
/// `x` `[L, N, K]`, `cos` and `sin` `[L, K/2]`.
///
/// # Panics
/// If `K` is odd or the slices don't fit.
pub fn rope(x: &mut [f32], n_heads: usize, head_dim: usize, cos: &[f32], sin: &[f32]) {
    let width = check(x, n_heads, head_dim, cos, sin);
    run(x, width, Rows { head_dim, norm: None, cos, sin });
}

/// RMS norm over the whole row `[N·K]` with `weight`, then [`rope`], in one pass over memory, in place.
///
/// # Panics
/// As [`rope`], and if `weight` isn't a row of `N·K`.
pub fn rms_norm_rope(x: &mut [f32], head_dim: usize, weight: &[f32], eps: f32, cos: &[f32], sin: &[f32]) {
    assert!(head_dim > 0 && weight.len().is_multiple_of(head_dim), "weight isn't whole heads of {head_dim}");
    let width = check(x, weight.len() / head_dim, head_dim, cos, sin);
    run(x, width, Rows { head_dim, norm: Some((weight, eps)), cos, sin });
}

/// What is done to each row.
#[derive(Clone, Copy)]
struct Rows<'a> {
    head_dim: usize,
    norm: Option<(&'a [f32], f32)>,
    cos: &'a [f32],
    sin: &'a [f32],
}

/// One row `[N·K]` and its angles.
struct Row<'a> {
    rows: Rows<'a>,
    x: &'a mut [f32],
}

fn run(x: &mut [f32], width: usize, rows: Rows<'_>) {
    let level = level();
    let half = rows.head_dim / 2;
    x.par_chunks_mut(width)
        .zip(rows.cos.par_chunks(half))
        .zip(rows.sin.par_chunks(half))
        .with_min_len(4)
        .for_each(|((x, cos), sin)| {
            dispatch(level, Row { rows: Rows { cos, sin, ..rows }, x });
        });
}

impl<S: Simd> Kernel<S> for Row<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        let Rows { head_dim, norm, cos, sin } = self.rows;
        if let Some((weight, eps)) = norm {
            let inv = inv_rms(s, self.x, eps);
            self.x.iter_mut().zip(weight).for_each(|(x, w)| *x = *x * inv * w);
        }
        for head in self.x.chunks_exact_mut(head_dim) {
            let mut vectors = head.chunks_exact_mut(S::LANES);
            let mut at = 0;
            for pairs in &mut vectors {
                let v = s.load(pairs);
                let (c, d) = (s.load_dup(&cos[at..]), s.load_dup(&sin[at..]));
                s.store(s.addsub(s.mul(v, c), s.mul(s.swap_pairs(v), d)), pairs);
                at += S::LANES / 2;
            }
            let rest = vectors.into_remainder().as_chunks_mut::<2>().0;
            for ((pair, c), s) in rest.iter_mut().zip(&cos[at..]).zip(&sin[at..]) {
                let [a, b] = *pair;
                *pair = [a * c - b * s, a * s + b * c];
            }
        }
    }
}

fn check(x: &[f32], n_heads: usize, head_dim: usize, cos: &[f32], sin: &[f32]) -> usize {
    let width = n_heads * head_dim;
    assert!(head_dim.is_multiple_of(2), "head dim {head_dim} is odd");
    assert!(
        width > 0 && x.len().is_multiple_of(width),
        "x isn't whole rows of {n_heads} heads of {head_dim}"
    );
    let angles = x.len() / width * (head_dim / 2);
    assert_eq!(cos.len(), angles, "cos doesn't have K/2 values a token");
    assert_eq!(sin.len(), angles, "sin doesn't have K/2 values a token");
    width
}
