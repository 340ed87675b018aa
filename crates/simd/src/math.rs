//! Functions of vectors: exponentials and what is built on them.

use crate::Simd;

/// Adding this to a small number leaves its nearest integer in the low mantissa bits: `1.5 · 2^23`.
const ROUND: f32 = 12_582_912.0;
/// Here `2^x` is taken to be 0: from −126 down it isn't a normal number.
const EXP2_MIN: f32 = -127.0;

/// `2^x` for `x ≤ 0`, within 2 ulp; 0 below −126.5.
#[inline(always)]
pub fn exp2_below_one<S: Simd>(s: S, x: S::V) -> S::V {
    // At −127 the power's bits are 0.
    let clamped = s.max(s.splat(EXP2_MIN), x);
    let shifted = s.add(clamped, s.splat(ROUND));
    let n = s.sub(shifted, s.splat(ROUND));
    let r = s.sub(clamped, n);
    // Taylor series of 2^r for |r| ≤ 1/2: the first term left out is below 1.3e-7.
    let mut p = s.splat(1.540_353e-4);
    for c in [1.333_355_8e-3, 9.618_129e-3, 5.550_411e-2, 2.402_265e-1, 6.931_472e-1, 1.0] {
        p = s.fma(p, r, s.splat(c));
    }
    s.mul(p, s.shl23(s.add(n, s.splat(ROUND + 127.0))))
}

/// The cubic whose largest relative error as `2^r` for |r| ≤ 1/2 is least, from the highest power down.
pub(crate) const ROUGH: [f32; 4] = [0.055_17, 0.242_611_13, 0.693_260_97, 0.999_928_06];

/// See [`Simd::exp2_rough`].
#[inline(always)]
pub(crate) fn exp2_rough<S: Simd>(s: S, x: S::V) -> S::V {
    let clamped = s.max(s.splat(EXP2_MIN), x);
    let shifted = s.add(clamped, s.splat(ROUND));
    let n = s.sub(shifted, s.splat(ROUND));
    let r = s.sub(clamped, n);
    let [c3, c2, c1, c0] = ROUGH;
    let p = s.fma(s.fma(s.fma(s.splat(c3), r, s.splat(c2)), r, s.splat(c1)), r, s.splat(c0));
    s.mul(p, s.shl23(s.add(n, s.splat(ROUND + 127.0))))
}

/// `e^x`, within 3 ulp for |x| ≤ 1, relative error `|x| · 6e-8` beyond; 0 below −87.3.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    let clamped = s.min(s.splat(88.02), s.max(s.splat(-87.33), x));
    let n = s.sub(s.fma(clamped, s.splat(std::f32::consts::LOG2_E), s.splat(ROUND)), s.splat(ROUND));
    // ln 2 in two parts, the first exact in few bits (Cephes).
    let r = s.fma(n, s.splat(-0.693_359_4), clamped);
    let r = s.fma(n, s.splat(2.121_944_4e-4), r);
    let mut p = s.splat(1.0 / 5040.0);
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = s.fma(p, r, s.splat(c));
    }
    let power = s.shl23(s.add(n, s.splat(ROUND + 127.0)));
    s.keep(s.not_lt(x, s.splat(-87.33)), s.mul(p, power))
}

/// `x / (1 + e^(−y))`.
#[inline(always)]
fn times_sigmoid<S: Simd>(s: S, x: S::V, y: S::V) -> S::V {
    let e = exp(s, s.sub(s.splat(0.0), y));
    s.div(x, s.add(s.splat(1.0), e))
}

/// `x · sigmoid(x)`.
#[inline(always)]
pub fn silu<S: Simd>(s: S, x: S::V) -> S::V {
    times_sigmoid(s, x, x)
}

/// GELU with the tanh approximation, by `(1 + tanh y) / 2 = sigmoid(2y)`.
#[inline(always)]
pub fn gelu_tanh<S: Simd>(s: S, x: S::V) -> S::V {
    // 2 · sqrt(2 / π) and that times 0.044715.
    let cubic = s.mul(s.mul(x, x), x);
    let y = s.fma(cubic, s.splat(0.071_354_814), s.mul(x, s.splat(1.595_769_2)));
    times_sigmoid(s, x, y)
}

/// Exact GELU: erf by Abramowitz and Stegun 7.1.26 (absolute error below 1.5e-7).
#[inline(always)]
pub fn gelu_erf<S: Simd>(s: S, x: S::V) -> S::V {
    let z = s.mul(x, s.splat(std::f32::consts::FRAC_1_SQRT_2));
    let abs = s.max(z, s.sub(s.splat(0.0), z));
    let t = s.div(s.splat(1.0), s.fma(abs, s.splat(0.327_591_1), s.splat(1.0)));
    let mut p = s.splat(1.061_405_4);
    for c in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6, 0.0] {
        p = s.fma(p, t, s.splat(c));
    }
    let e = exp(s, s.sub(s.splat(0.0), s.mul(z, z)));
    let erf = s.copysign(s.sub(s.splat(1.0), s.mul(p, e)), x);
    let half = s.mul(x, s.splat(0.5));
    s.fma(half, erf, half)
}
