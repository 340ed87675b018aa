//! Norms over the last dimension, with the modulation of a diffusion transformer in the same pass.

use rayon::prelude::*;
use simd::{Kernel, Simd, dispatch, level};

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

/// What is done to a row.
#[derive(Clone, Copy)]
enum Norm<'a> {
    Layer { weight: Option<&'a [f32]>, bias: Option<&'a [f32]> },
    Modulated { scale: Modulation<'a>, shift: Modulation<'a> },
    Rms { weight: &'a [f32] },
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
    assert!(weight.is_none_or(|w| w.len() == d), "weight isn't a row of {d}");
    assert!(bias.is_none_or(|b| b.len() == d), "bias isn't a row of {d}");
    for_rows(x, d, Norm::Layer { weight, bias }, eps, out);
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
    scale.check("scale", x.len(), d);
    shift.check("shift", x.len(), d);
    for_rows(x, d, Norm::Modulated { scale, shift }, eps, out);
}

/// `out = x / sqrt(mean(x²) + eps) · weight` for each row of `weight.len()`.
///
/// # Panics
/// If `x` isn't whole rows of the weight's length or `out` doesn't fit.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    for_rows(x, weight.len(), Norm::Rms { weight }, eps, out);
}

fn for_rows(x: &[f32], d: usize, norm: Norm<'_>, eps: f32, out: &mut [f32]) {
    assert!(d > 0 && x.len().is_multiple_of(d), "x isn't whole rows of {d}");
    assert_eq!(x.len(), out.len(), "x and out differ in length");
    let level = level();
    let rows = (16 * 1024 / d).max(1);
    out.par_chunks_mut(rows * d)
        .zip(x.par_chunks(rows * d))
        .enumerate()
        .for_each(|(task, (out, x))| dispatch(level, Rows { x, d, l0: task * rows, norm, eps, out }));
}

/// Some rows, from `l0` on.
struct Rows<'a> {
    x: &'a [f32],
    d: usize,
    l0: usize,
    norm: Norm<'a>,
    eps: f32,
    out: &'a mut [f32],
}

impl<S: Simd> Kernel<S> for Rows<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        let d = self.d;
        for (i, (x, out)) in self.x.chunks_exact(d).zip(self.out.chunks_exact_mut(d)).enumerate() {
            match self.norm {
                Norm::Rms { weight } => {
                    let inv = inv_rms(s, x, self.eps);
                    out.iter_mut().zip(x).zip(weight).for_each(|((o, x), w)| *o = x * inv * w);
                }
                Norm::Modulated { scale, shift } => {
                    let (mean, inv) = moments(s, x, self.eps);
                    let (scale, shift) = (scale.row(self.l0 + i, d), shift.row(self.l0 + i, d));
                    for (((o, x), scale), shift) in out.iter_mut().zip(x).zip(scale).zip(shift) {
                        *o = (x - mean) * inv * (1.0 + scale) + shift;
                    }
                }
                Norm::Layer { weight, bias } => {
                    let (mean, inv) = moments(s, x, self.eps);
                    out.iter_mut().zip(x).for_each(|(o, x)| *o = (x - mean) * inv);
                    if let Some(weight) = weight {
                        out.iter_mut().zip(weight).for_each(|(o, w)| *o *= w);
                    }
                    if let Some(bias) = bias {
                        out.iter_mut().zip(bias).for_each(|(o, b)| *o += b);
                    }
                }
            }
        }
    }
}

/// `1 / sqrt(mean(x²) + eps)`.
#[inline(always)]
pub(crate) fn inv_rms<S: Simd>(s: S, x: &[f32], eps: f32) -> f32 {
    let squares = sum_with(s, x, |v, sum| s.fma(v, v, sum), |v| v * v);
    1.0 / (squares / x.len() as f32 + eps).sqrt()
}

/// Mean and `1 / sqrt(var + eps)`, in two passes over a row that is in the cache after the first.
#[inline(always)]
fn moments<S: Simd>(s: S, x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = sum_with(s, x, |v, sum| s.add(sum, v), |v| v) / n;
    let minus = s.splat(-mean);
    let squares = sum_with(
        s,
        x,
        |v, sum| {
            let v = s.add(v, minus);
            s.fma(v, v, sum)
        },
        |v| (v - mean) * (v - mean),
    );
    (mean, 1.0 / (squares / n + eps).sqrt())
}

/// Sums in flight, to hide the latency of the additions.
const SUMS: usize = 4;

/// Folds a row: `add` a vector to a sum, or `one` element at the end.
#[inline(always)]
fn sum_with<S: Simd>(s: S, x: &[f32], add: impl Fn(S::V, S::V) -> S::V, one: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [s.splat(0.0); SUMS];
    let mut chunks = x.chunks_exact(SUMS * S::LANES);
    for chunk in &mut chunks {
        for i in 0..SUMS {
            sums[i] = add(s.load(&chunk[i * S::LANES..]), sums[i]);
        }
    }
    let rest: f32 = chunks.remainder().iter().map(|x| one(*x)).sum();
    let [a, b, c, d] = sums;
    s.sum(s.add(s.add(a, b), s.add(c, d))) + rest
}
