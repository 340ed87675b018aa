//! 128-bit vectors of 64-bit Arm, without the dot products that only some of these CPUs have: long multiply-adds.
#![expect(unsafe_code, reason = "Arm intrinsics; a `Neon` value proves that the CPU has them")]
#![allow(unused_unsafe, reason = "calls are safe where NEON belongs to the baseline")]
#![allow(clippy::wildcard_imports, reason = "dozens of intrinsics whose names say where they are from")]

use std::arch::aarch64::*;

use super::Integers;
use crate::simd::neon::Neon;

/// Calls intrinsics.
macro_rules! neon {
    ($e:expr) => {
        // SAFETY: a value of `Neon` exists, so the CPU has NEON (`Neon::checked`); memory operands are slices whose length
        // the caller of this macro has just checked.
        unsafe {
            $e
        }
    };
}

impl Integers for Neon {
    type F = float32x4_t;
    type I = uint32x4_t;
    /// Sums for each factor's place: of the first and second half of the words.
    type Sums = (int32x4_t, int32x4_t);

    #[inline(always)]
    fn zero_sums(self) -> Self::Sums {
        neon!((vdupq_n_s32(0), vdupq_n_s32(0)))
    }
    #[inline(always)]
    fn load_words(self, src: &[u32]) -> uint32x4_t {
        let src = &src[..4];
        neon!(vld1q_u32(src.as_ptr()))
    }
    #[inline(always)]
    fn splat_word(self, x: u32) -> uint32x4_t {
        neon!(vdupq_n_u32(x))
    }
    #[inline(always)]
    fn add_pairs(self, (low, high): Self::Sums, a: uint32x4_t, b: uint32x4_t) -> Self::Sums {
        neon!({
            let (a, b) = (vreinterpretq_s16_u32(a), vreinterpretq_s16_u32(b));
            (vmlal_s16(low, vget_low_s16(a), vget_low_s16(b)), vmlal_high_s16(high, a, b))
        })
    }
    /// A place's sum stays within 16 bits for 8 words: 8 · 31 · 127 < 2^15.
    #[inline(always)]
    fn add_fours(self, (low, high): Self::Sums, a: uint32x4_t, b: uint32x4_t) -> Self::Sums {
        neon!({
            let (a, b) = (vreinterpretq_s8_u32(a), vreinterpretq_s8_u32(b));
            let (low, high) = (vreinterpretq_s16_s32(low), vreinterpretq_s16_s32(high));
            let low = vmlal_s8(low, vget_low_s8(a), vget_low_s8(b));
            let high = vmlal_high_s8(high, a, b);
            (vreinterpretq_s32_s16(low), vreinterpretq_s32_s16(high))
        })
    }
    #[inline(always)]
    fn pair_sums(self, (low, high): Self::Sums) -> uint32x4_t {
        neon!(vreinterpretq_u32_s32(vpaddq_s32(low, high)))
    }
    #[inline(always)]
    fn four_sums(self, (low, high): Self::Sums) -> uint32x4_t {
        neon!({
            let low = vpaddlq_s16(vreinterpretq_s16_s32(low));
            let high = vpaddlq_s16(vreinterpretq_s16_s32(high));
            vreinterpretq_u32_s32(vpaddq_s32(low, high))
        })
    }
    #[inline(always)]
    fn add_words(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        neon!(vaddq_u32(a, b))
    }
    #[inline(always)]
    fn to_f32(self, x: uint32x4_t) -> float32x4_t {
        neon!(vcvtq_f32_s32(vreinterpretq_s32_u32(x)))
    }
}
