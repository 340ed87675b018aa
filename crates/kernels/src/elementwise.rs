//! Element-wise functions, row softmax and bf16 conversion.

use half::bf16;
use rayon::prelude::*;

/// Elements that one task handles: large enough to hide the scheduler, small enough for the cache.
const CHUNK: usize = 16 * 1024;

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
    pub(crate) fn apply_serial(self, x: &mut [f32]) {
        match self {
            Self::None => {}
            Self::GeluTanh => x.iter_mut().for_each(|v| *v = gelu_tanh_one(*v)),
            Self::GeluErf => x.iter_mut().for_each(|v| *v = gelu_erf_one(*v)),
            Self::Silu => x.iter_mut().for_each(|v| *v = silu_one(*v)),
        }
    }

    /// Applies the function to each element.
    pub fn apply(self, x: &mut [f32]) {
        if self != Self::None {
            x.par_chunks_mut(CHUNK).for_each(|x| self.apply_serial(x));
        }
    }
}

fn gelu_tanh_one(x: f32) -> f32 {
    let inner = std::f32::consts::FRAC_2_PI.sqrt() * (x + 0.044_715 * x * x * x);
    0.5 * x * (1.0 + inner.tanh())
}

fn gelu_erf_one(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

fn silu_one(x: f32) -> f32 {
    x / (1.0 + (-x).exp())
}

/// erf by Abramowitz and Stegun 7.1.26 (absolute error below 1.5e-7).
fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let poly =
        t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    (1.0 - poly * (-x * x).exp()).copysign(x)
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
    gate.par_chunks_mut(CHUNK).zip(up.par_chunks(CHUNK)).for_each(|(gate, up)| {
        activation.apply_serial(gate);
        gate.iter_mut().zip(up).for_each(|(g, u)| *g *= u);
    });
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
    x.par_chunks_mut(d).for_each(|row| {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if max == f32::NEG_INFINITY {
            row.fill(0.0);
            return;
        }
        let mut sum = 0.0;
        for v in row.iter_mut() {
            *v = (*v - max).exp();
            sum += *v;
        }
        let inv = 1.0 / sum;
        row.iter_mut().for_each(|v| *v *= inv);
    });
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
