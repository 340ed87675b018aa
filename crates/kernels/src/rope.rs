//! Rotary position embedding of interleaved pairs, alone or right after the RMS norm of queries and keys.

use rayon::prelude::*;

use crate::norm::rms_norm_row;

/// Rotates each pair `(x[2i], x[2i+1])` of every head by the token's angle `i`, in place.
///
/// # Shapes
/// `x` `[L, N, K]`, `cos` and `sin` `[L, K/2]`.
///
/// # Panics
/// If `K` is odd or the slices don't fit.
pub fn rope(x: &mut [f32], n_heads: usize, head_dim: usize, cos: &[f32], sin: &[f32]) {
    let width = check(x, n_heads, head_dim, cos, sin);
    let half = head_dim / 2;
    x.par_chunks_mut(width).zip(cos.par_chunks(half)).zip(sin.par_chunks(half)).for_each(
        |((x, cos), sin)| {
            rope_row(x, head_dim, cos, sin);
        },
    );
}

/// RMS norm over the whole row `[N·K]` with `weight`, then [`rope`], in one pass over memory, in place.
///
/// # Panics
/// As [`rope`], and if `weight` isn't a row of `N·K`.
pub fn rms_norm_rope(x: &mut [f32], head_dim: usize, weight: &[f32], eps: f32, cos: &[f32], sin: &[f32]) {
    assert!(head_dim > 0 && weight.len().is_multiple_of(head_dim), "weight isn't whole heads of {head_dim}");
    let width = check(x, weight.len() / head_dim, head_dim, cos, sin);
    let half = head_dim / 2;
    x.par_chunks_mut(width).zip(cos.par_chunks(half)).zip(sin.par_chunks(half)).for_each_init(
        || vec![0.0; width],
        |normed, ((x, cos), sin)| {
            rms_norm_row(x, weight, eps, normed);
            x.copy_from_slice(normed);
            rope_row(x, head_dim, cos, sin);
        },
    );
}

fn rope_row(x: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32]) {
    for head in x.chunks_exact_mut(head_dim) {
        for ((pair, c), s) in head.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin) {
            let [a, b] = *pair;
            *pair = [a * c - b * s, a * s + b * c];
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
