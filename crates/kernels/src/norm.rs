//! Norms over the last dimension, with the modulation of a diffusion transformer in the same pass.

use rayon::prelude::*;

/// A scale or shift of a normalised `[L, D]` tensor.
#[derive(Clone, Copy, Debug)]
pub enum Modulation<'a> {
    /// One row `[D]` for all tokens.
    Row(&'a [f32]),
    /// A value per element, `[L, D]`.
    Full(&'a [f32]),
}

impl<'a> Modulation<'a> {
    fn check(self, name: &str, len: usize, d: usize) {
        match self {
            Self::Row(v) => assert_eq!(v.len(), d, "{name} isn't a row of {d}"),
            Self::Full(v) => assert_eq!(v.len(), len, "{name} doesn't have an element for each of x"),
        }
    }

    fn row(self, l: usize, d: usize) -> &'a [f32] {
        match self {
            Self::Row(v) => v,
            Self::Full(v) => &v[l * d..(l + 1) * d],
        }
    }
}

/// Rows that one task handles.
fn rows_per_task(d: usize) -> usize {
    (16 * 1024 / d).max(1)
}

/// `out = (x − mean) / sqrt(var + eps) · weight + bias` for each row of `d`.
///
/// # Panics
/// If `x` isn't whole rows of `d`, or `out`, `weight` or `bias` don't fit.
pub fn layer_norm(
    x: &[f32],
    d: usize,
    weight: Option<&[f32]>,
    bias: Option<&[f32]>,
    eps: f32,
    out: &mut [f32],
) {
    check(x, d, out);
    assert!(weight.is_none_or(|w| w.len() == d), "weight isn't a row of {d}");
    assert!(bias.is_none_or(|b| b.len() == d), "bias isn't a row of {d}");
    for_rows(x, d, out, |_, x, out| {
        normalize_row(x, eps, out);
        if let Some(weight) = weight {
            out.iter_mut().zip(weight).for_each(|(o, w)| *o *= w);
        }
        if let Some(bias) = bias {
            out.iter_mut().zip(bias).for_each(|(o, b)| *o += b);
        }
    });
}

/// `out = layer_norm(x) · (1 + scale) + shift`: adaptive layer norm without its own weights.
///
/// # Panics
/// If `x` isn't whole rows of `d`, or `out`, `scale` or `shift` don't fit.
pub fn modulated_layer_norm(
    x: &[f32],
    d: usize,
    scale: Modulation<'_>,
    shift: Modulation<'_>,
    eps: f32,
    out: &mut [f32],
) {
    check(x, d, out);
    scale.check("scale", x.len(), d);
    shift.check("shift", x.len(), d);
    for_rows(x, d, out, |l, x, out| {
        normalize_row(x, eps, out);
        for ((o, scale), shift) in out.iter_mut().zip(scale.row(l, d)).zip(shift.row(l, d)) {
            *o = *o * (1.0 + scale) + shift;
        }
    });
}

/// `out = x / sqrt(mean(x²) + eps) · weight` for each row of `weight.len()`.
///
/// # Panics
/// If `x` isn't whole rows of the weight's length or `out` doesn't fit.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    check(x, weight.len(), out);
    for_rows(x, weight.len(), out, |_, x, out| rms_norm_row(x, weight, eps, out));
}

pub(crate) fn rms_norm_row(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let mean_square = x.iter().map(|v| v * v).sum::<f32>() / x.len() as f32;
    let inv = 1.0 / (mean_square + eps).sqrt();
    for ((o, x), w) in out.iter_mut().zip(x).zip(weight) {
        *o = x * inv * w;
    }
}

fn normalize_row(x: &[f32], eps: f32, out: &mut [f32]) {
    let n = x.len() as f32;
    let mean = x.iter().sum::<f32>() / n;
    let var = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / n;
    let inv = 1.0 / (var + eps).sqrt();
    out.iter_mut().zip(x).for_each(|(o, x)| *o = (x - mean) * inv);
}

fn check(x: &[f32], d: usize, out: &[f32]) {
    assert!(d > 0 && x.len().is_multiple_of(d), "x isn't whole rows of {d}");
    assert_eq!(x.len(), out.len(), "x and out differ in length");
}

fn for_rows(x: &[f32], d: usize, out: &mut [f32], row: impl Fn(usize, &[f32], &mut [f32]) + Sync) {
    let rows = rows_per_task(d);
    out.par_chunks_mut(rows * d).zip(x.par_chunks(rows * d)).enumerate().for_each(|(task, (out, x))| {
        for (i, (out, x)) in out.chunks_mut(d).zip(x.chunks(d)).enumerate() {
            row(task * rows + i, x, out);
        }
    });
}
