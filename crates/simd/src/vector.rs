//! What every level can do with vectors of `f32`.

use crate::Kernel;

/// Vector operations of one instruction set, as methods of the value that proves the CPU has it.
///
/// Slices may be longer than what is read or written; shorter ones panic.
pub trait Simd: Copy + std::fmt::Debug + Send + Sync + 'static {
    /// A vector of [`Simd::LANES`] `f32`.
    type V: Copy;
    /// A flag for each lane.
    type Mask: Copy;
    /// `f32` in a vector: 4, 8 or 16.
    const LANES: usize;
    /// Vectors that the CPU holds in registers at a time.
    const REGISTERS: usize;

    /// The token, where the CPU has the instructions.
    fn detect() -> Option<Self>;
    /// Runs a kernel inside a function that is compiled for the instructions.
    fn enter<K: Kernel<Self, Out>, Out>(self, kernel: K) -> Out;

    /// `x` in each lane.
    fn splat(self, x: f32) -> Self::V;
    /// 0, 1, 2 …
    fn iota(self) -> Self::V;
    /// The first `LANES` values.
    fn load(self, src: &[f32]) -> Self::V;
    /// Overwrites the first `LANES` values.
    fn store(self, v: Self::V, dst: &mut [f32]);
    /// Widens the first `LANES` values of bf16, given as their bits.
    fn load_bf16(self, src: &[u16]) -> Self::V;
    /// `[v0, v0, v1, v1, …]` of the first `LANES / 2` values.
    fn load_dup(self, src: &[f32]) -> Self::V;
    /// Splits `LANES` pairs of bf16, the first in the low half, into the vectors of first and of second elements.
    fn split_pairs(self, pairs: &[u32]) -> (Self::V, Self::V);

    /// `a + b`
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b`
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// The larger; `b` where either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; `b` where either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`, fused where the level has it.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The magnitude of `a` with the sign of `b`.
    fn copysign(self, a: Self::V, b: Self::V) -> Self::V;
    /// The bits of each lane shifted left by 23: a small integer in the low bits becomes an exponent.
    fn shl23(self, v: Self::V) -> Self::V;
    /// The lane's bits plus those of `n` shifted left by 23: `v · 2^n` for an integer `n` in the low bits.
    fn scale_by_power(self, v: Self::V, n: Self::V) -> Self::V;
    /// Swaps the two elements of each pair of lanes.
    fn swap_pairs(self, v: Self::V) -> Self::V;
    /// `[a0 - b0, a1 + b1, a2 - b2, …]`
    fn addsub(self, a: Self::V, b: Self::V) -> Self::V;

    /// `a >= b`; false for NaN.
    fn ge(self, a: Self::V, b: Self::V) -> Self::Mask;
    /// `!(a < b)`; true for NaN.
    fn not_lt(self, a: Self::V, b: Self::V) -> Self::Mask;
    /// Where both are set.
    fn and(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// One bit a lane, the first in the lowest.
    fn bits(self, mask: Self::Mask) -> u32;
    /// `v` where the mask is set, else 0.
    fn keep(self, mask: Self::Mask, v: Self::V) -> Self::V;
    /// `a` where the mask is set, else `b`.
    fn select(self, mask: Self::Mask, a: Self::V, b: Self::V) -> Self::V;
    /// The sign bits, one a lane, the first in the lowest.
    fn signs(self, v: Self::V) -> u32;

    /// Sum of the lanes, in pairs of an order that depends on the level.
    fn sum(self, v: Self::V) -> f32;
    /// The largest lane.
    #[inline(always)]
    fn max_lane(self, v: Self::V) -> f32 {
        let mut lanes = [0.0; 16];
        self.store(v, &mut lanes);
        lanes[..Self::LANES].iter().copied().fold(f32::NEG_INFINITY, f32::max)
    }
    /// `2^x` for `x ≤ 0`, within 1e-4 of itself (about 0.99993 at 0), 0 where that is below 2^-126: for what is rounded to bf16 anyway.
    /// From about −1e30 down, infinity included, `x` may give NaN.
    #[inline(always)]
    fn exp2_rough(self, x: Self::V) -> Self::V {
        crate::math::exp2_rough(self, x)
    }
    /// With the sign bit set.
    #[inline(always)]
    fn negative(self, v: Self::V) -> Self::V {
        self.copysign(v, self.splat(-0.0))
    }
}
