//! Plain Rust on arrays, for any CPU; the compiler may vectorise it for its baseline.

use half::bf16;

use super::{Kernel, PANEL, Simd, impl_tile, impl_tile_int8};
use crate::elementwise::widen;

/// Needs nothing of the CPU.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Portable {
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Out {
        kernel.run(self)
    }
}

pub(super) const L: usize = 4;

#[inline(always)]
fn map2(a: [f32; L], b: [f32; L], f: impl Fn(f32, f32) -> f32) -> [f32; L] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl Simd for Portable {
    type V = [f32; L];
    const LANES: usize = L;
    const MR: usize = 2;
    const NP: usize = 1;
    const ATTN_MR: usize = 2;
    const ATTN_NP: usize = 1;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; L]
    }
    #[inline(always)]
    fn load(self, src: &[f32]) -> Self::V {
        std::array::from_fn(|i| src[i])
    }
    #[inline(always)]
    fn store(self, v: Self::V, dst: &mut [f32]) {
        dst[..L].copy_from_slice(&v);
    }
    #[inline(always)]
    fn load_bf16(self, src: &[bf16]) -> Self::V {
        std::array::from_fn(|i| widen(src[i]))
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn zero_if_lt(self, x: Self::V, limit: Self::V, v: Self::V) -> Self::V {
        std::array::from_fn(|i| if x[i] < limit[i] { 0.0 } else { v[i] })
    }
    #[inline(always)]
    fn shl23(self, v: Self::V) -> Self::V {
        v.map(|x| f32::from_bits(x.to_bits() << 23))
    }
    #[inline(always)]
    fn copysign(self, a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, f32::copysign)
    }
    #[inline(always)]
    fn split_pairs(self, pairs: &[u32]) -> (Self::V, Self::V) {
        (
            std::array::from_fn(|i| f32::from_bits(pairs[i] << 16)),
            std::array::from_fn(|i| f32::from_bits(pairs[i] & 0xffff_0000)),
        )
    }
    #[inline(always)]
    fn swap_pairs(self, v: Self::V) -> Self::V {
        std::array::from_fn(|i| v[i ^ 1])
    }
    #[inline(always)]
    fn addsub(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| if i % 2 == 0 { a[i] - b[i] } else { a[i] + b[i] })
    }
    #[inline(always)]
    fn load_dup(self, src: &[f32]) -> Self::V {
        std::array::from_fn(|i| src[i / 2])
    }
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        (v[0] + v[2]) + (v[1] + v[3])
    }
    #[inline(always)]
    fn max_lane(self, v: Self::V) -> f32 {
        v.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
    impl_tile!(4: (1, 1), (2, 1), (4, 1));
    impl_tile_int8!(4, 4: (1, 1), (2, 1), (4, 1));
}

/// See [`Simd::transpose16`].
#[inline(always)]
pub(crate) fn transpose16(src: &[u32], stride: usize, k: usize, dst: &mut [u32]) {
    let rows: [&[u32]; PANEL] = std::array::from_fn(|i| &src[i * stride..i * stride + k]);
    for (j, dst) in dst[..k * PANEL].chunks_exact_mut(PANEL).enumerate() {
        for (dst, row) in dst.iter_mut().zip(rows) {
            *dst = row[j];
        }
    }
}

/// See [`Simd::pack_pairs`].
#[inline(always)]
pub(crate) fn pack_pairs(even: &[f32], odd: &[f32], dst: &mut [u32]) {
    for ((dst, even), odd) in dst.iter_mut().zip(even).zip(odd) {
        *dst = pair(*even, *odd);
    }
}

/// Two values as bf16, the first in the low half.
#[inline(always)]
pub(crate) fn pair(even: f32, odd: f32) -> u32 {
    u32::from(bf16::from_f32(even).to_bits()) | u32::from(bf16::from_f32(odd).to_bits()) << 16
}

/// See [`Simd::pack_rows`].
#[inline(always)]
pub(crate) fn pack_rows(src: &[f32], stride: usize, mr: usize, k: usize, dst: &mut [f32]) {
    for i in 0..mr {
        let column = dst[i..].iter_mut().step_by(mr);
        column.zip(&src[i * stride..][..k]).for_each(|(dst, x)| *dst = *x);
    }
}
