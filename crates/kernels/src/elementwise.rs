//! Element-wise functions, row softmax and bf16 conversion.

use half::bf16;
use rayon::prelude::*;
use simd::{Kernel, Simd, dispatch, level};

use crate::tile::PANEL;

/// Elements that one task handles: large enough to hide the scheduler, small enough for the cache.
const CHUNK: usize = 16 * 1024;

/// Applies an expression to each vector of a slice; the last may be padded with zeros. A macro and not a function of a
/// closure, since closures aren't compiled with the level's features unless they are inlined.
macro_rules! map {
    ($s:ident, $x:expr, $v:ident => $e:expr) => {{
        let mut vectors = $x.chunks_exact_mut(S::LANES);
        for x in &mut vectors {
            let $v = $s.load(x);
            $s.store($e, x);
        }
        let rest = vectors.into_remainder();
        if !rest.is_empty() {
            let mut padded = [0.0; PANEL];
            padded[..rest.len()].copy_from_slice(rest);
            let $v = $s.load(&padded);
            $s.store($e, &mut padded);
            rest.copy_from_slice(&padded[..rest.len()]);
        }
    }};
}

/// What is applied to the output of a matrix product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// GELU, tanh approximation.
    GeluTanh,
    /// GELU, exact.
    GeluErf,
    /// `x · sigmoid(x)`.
    Silu,
}

impl Activation {
    /// Applies the function to each element on the current thread.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(self, s: S, x: &mut [f32]) {
        match self {
            Self::None => {}
            Self::GeluTanh => map!(s, x, v => simd::math::gelu_tanh(s, v)),
            Self::GeluErf => map!(s, x, v => simd::math::gelu_erf(s, v)),
            Self::Silu => map!(s, x, v => simd::math::silu(s, v)),
        }
    }

    /// Applies the function to each element.
    pub fn apply(self, x: &mut [f32]) {
        if self != Self::None {
            let level = level();
            x.par_chunks_mut(CHUNK)
                .for_each(|x| dispatch(level, Activate { activation: self, x, factor: None }));
        }
    }
}

/// [`Activation::run`], and the product with a second slice if there is one.
struct Activate<'a> {
    activation: Activation,
    x: &'a mut [f32],
    factor: Option<&'a [f32]>,
}

impl<S: Simd> Kernel<S> for Activate<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        self.activation.run(s, self.x);
        if let Some(factor) = self.factor {
            self.x.iter_mut().zip(factor).for_each(|(x, f)| *x *= f);
        }
    }
}

/// GELU with the tanh approximation, in place.
pub fn gelu_tanh(x: &mut [f32]) {
    Activation::GeluTanh.apply(x);
}

/// Exact GELU, in place.
pub fn gelu_erf(x: &mut [f32]) {
    Activation::GeluErf.apply(x);
}

/// `x · sigmoid(x)`, in place.
pub fn silu(x: &mut [f32]) {
    Activation::Silu.apply(x);
}

/// `gate = act(gate) · up`: the gated half of a feed-forward layer (SwiGLU, or T5's GELU).
///
/// # Panics
/// If the lengths differ.
pub fn activate_mul(activation: Activation, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "gate and up differ in length");
    let level = level();
    gate.par_chunks_mut(CHUNK)
        .zip(up.par_chunks(CHUNK))
        .for_each(|(x, up)| dispatch(level, Activate { activation, x, factor: Some(up) }));
}

/// `x *= factor`.
pub fn scale(x: &mut [f32], factor: f32) {
    x.par_chunks_mut(CHUNK).for_each(|x| x.iter_mut().for_each(|v| *v *= factor));
}

/// `out += x`.
///
/// # Panics
/// If the lengths differ.
pub fn add(out: &mut [f32], x: &[f32]) {
    assert_eq!(out.len(), x.len(), "out and x differ in length");
    out.par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .for_each(|(out, x)| out.iter_mut().zip(x).for_each(|(o, x)| *o += x));
}

/// `out[l, d] += gate[d] · x[l, d]`.
///
/// # Panics
/// If `out` and `x` differ in length or aren't whole rows of `gate.len()`.
pub fn gate_add(out: &mut [f32], x: &[f32], gate: &[f32]) {
    assert_eq!(out.len(), x.len(), "out and x differ in length");
    assert!(
        !gate.is_empty() && out.len().is_multiple_of(gate.len()),
        "out isn't whole rows of gate's length"
    );
    let d = gate.len();
    out.par_chunks_mut(d).zip(x.par_chunks(d)).for_each(|(out, x)| {
        for ((o, x), g) in out.iter_mut().zip(x).zip(gate) {
            *o += g * x;
        }
    });
}

/// Softmax over each row of `d` elements, in place. A row of only `-inf` becomes zeros.
///
/// # Panics
/// If `x` isn't whole rows of `d`.
pub fn softmax_rows(x: &mut [f32], d: usize) {
    assert!(d > 0 && x.len().is_multiple_of(d), "x isn't whole rows of {d}");
    let level = level();
    x.par_chunks_mut(d).for_each(|row| dispatch(level, SoftmaxRow(row)));
}

struct SoftmaxRow<'a>(&'a mut [f32]);

impl<S: Simd> Kernel<S> for SoftmaxRow<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        let row = self.0;
        let mut max = s.splat(f32::NEG_INFINITY);
        let vectors = row.chunks_exact(S::LANES);
        let rest = vectors.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for v in vectors {
            max = s.max(s.load(v), max);
        }
        let max = s.max_lane(max).max(rest);
        if max == f32::NEG_INFINITY {
            row.fill(0.0);
            return;
        }
        let minus = s.splat(-max);
        map!(s, row, v => simd::math::exp(s, s.add(v, minus)));
        let inv = 1.0 / row.iter().sum::<f32>();
        row.iter_mut().for_each(|v| *v *= inv);
    }
}

/// Rounds to the nearest bf16, ties to even.
///
/// # Panics
/// If the lengths differ.
pub fn bf16_from_f32(src: &[f32], dst: &mut [bf16]) {
    assert_eq!(src.len(), dst.len(), "src and dst differ in length");
    dst.par_chunks_mut(CHUNK).zip(src.par_chunks(CHUNK)).for_each(|(dst, src)| {
        dst.iter_mut().zip(src).for_each(|(d, s)| *d = bf16::from_f32(*s));
    });
}

/// Widens bf16 to `f32`, exactly.
///
/// # Panics
/// If the lengths differ.
pub fn f32_from_bf16(src: &[bf16], dst: &mut [f32]) {
    assert_eq!(src.len(), dst.len(), "src and dst differ in length");
    dst.par_chunks_mut(CHUNK).zip(src.par_chunks(CHUNK)).for_each(|(dst, src)| {
        dst.iter_mut().zip(src).for_each(|(d, s)| *d = widen(*s));
    });
}

#[inline(always)]
pub(crate) fn widen(x: bf16) -> f32 {
    f32::from_bits(u32::from(x.to_bits()) << 16)
}
