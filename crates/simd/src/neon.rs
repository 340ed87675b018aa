//! 128-bit vectors of 64-bit Arm.
#![expect(unsafe_code, reason = "Arm intrinsics; a `Neon` value proves that the CPU has them")]
#![allow(unused_unsafe, reason = "calls are safe where NEON belongs to the baseline")]
#![allow(clippy::wildcard_imports, reason = "dozens of intrinsics whose names say where they are from")]

use std::arch::aarch64::*;

use crate::{Integers, Kernel, Simd, methods};

/// Proof that the CPU has NEON.
#[derive(Clone, Copy, Debug)]
pub struct Neon(());

impl Simd for Neon {
    type V = float32x4_t;
    /// All ones or all zeros in each lane.
    type Mask = uint32x4_t;
    const LANES: usize = 4;
    const REGISTERS: usize = 32;

    #[inline]
    fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
    #[inline]
    fn enter<K: Kernel<Self, Out>, Out>(self, kernel: K) -> Out {
        #[target_feature(enable = "neon")]
        fn inner<K: Kernel<Neon, Out>, Out>(s: Neon, kernel: K) -> Out {
            kernel.run(s)
        }
        // SAFETY: `detect` saw the feature.
        unsafe { inner(self, kernel) }
    }

    methods! {
        splat(x: f32) -> float32x4_t = vdupq_n_f32(x);
        load(src: &[f32]) -> float32x4_t [src; 4] = vld1q_f32(src.as_ptr());
        load_bf16(src: &[u16]) -> float32x4_t [src; 4] =
            vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(vld1_u16(src.as_ptr()))));
        split_pairs(pairs: &[u32]) -> (float32x4_t, float32x4_t) [pairs; 4] = {
            let x = vld1q_u32(pairs.as_ptr());
            let second = vandq_u32(x, vdupq_n_u32(0xffff_0000));
            (vreinterpretq_f32_u32(vshlq_n_u32::<16>(x)), vreinterpretq_f32_u32(second))
        };
        add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        max(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcgtq_f32(a, b), a, b);
        min(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcltq_f32(a, b), a, b);
        fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        copysign(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vdupq_n_u32(1 << 31), b, a);
        shl23(v: float32x4_t) -> float32x4_t =
            vreinterpretq_f32_u32(vshlq_n_u32::<23>(vreinterpretq_u32_f32(v)));
        scale_by_power(v: float32x4_t, n: float32x4_t) -> float32x4_t = {
            let power = vshlq_n_u32::<23>(vreinterpretq_u32_f32(n));
            vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(v), power))
        };
        swap_pairs(v: float32x4_t) -> float32x4_t = vrev64q_f32(v);
        ge(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vcgeq_f32(a, b);
        not_lt(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vmvnq_u32(vcltq_f32(a, b));
        and(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vandq_u32(a, b);
        keep(mask: uint32x4_t, v: float32x4_t) -> float32x4_t = vbslq_f32(mask, v, vdupq_n_f32(0.0));
        select(mask: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(mask, a, b);
    }

    #[inline(always)]
    fn iota(self) -> float32x4_t {
        self.load(&[0.0, 1.0, 2.0, 3.0])
    }
    #[inline(always)]
    fn store(self, v: float32x4_t, dst: &mut [f32]) {
        let dst = &mut dst[..4];
        // SAFETY: the CPU has NEON; the slice has the four elements that are written.
        unsafe { vst1q_f32(dst.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn load_dup(self, src: &[f32]) -> float32x4_t {
        self.load(&[src[0], src[0], src[1], src[1]])
    }
    #[inline(always)]
    fn addsub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        self.fma(b, self.load(&[-1.0, 1.0, -1.0, 1.0]), a)
    }
    #[inline(always)]
    fn bits(self, mask: uint32x4_t) -> u32 {
        let weights = self.load_words(&[1, 2, 4, 8]);
        // SAFETY: the CPU has NEON; values alone.
        unsafe { vaddvq_u32(vandq_u32(mask, weights)) }
    }
    #[inline(always)]
    fn signs(self, v: float32x4_t) -> u32 {
        // SAFETY: the CPU has NEON; values alone. (An arithmetic shift smears the sign over the lane.)
        self.bits(unsafe { vreinterpretq_u32_s32(vshrq_n_s32::<31>(vreinterpretq_s32_f32(v))) })
    }
    #[inline(always)]
    fn sum(self, v: float32x4_t) -> f32 {
        let mut lanes = [0.0; 4];
        self.store(v, &mut lanes);
        (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
    }
}

impl Integers for Neon {
    type I = uint32x4_t;
    /// Sums for each factor's place: of the first and second half of the words. Those of fours stay within 16 bits for 8 words:
    /// 8 · 31 · 127 < 2^15.
    type Sums = (int32x4_t, int32x4_t);

    methods! {
        zero_sums() -> (int32x4_t, int32x4_t) = (vdupq_n_s32(0), vdupq_n_s32(0));
        load_words(src: &[u32]) -> uint32x4_t [src; 4] = vld1q_u32(src.as_ptr());
        splat_word(x: u32) -> uint32x4_t = vdupq_n_u32(x);
        add_pairs(sums: (int32x4_t, int32x4_t), a: uint32x4_t, b: uint32x4_t) -> (int32x4_t, int32x4_t) = {
            let (a, b) = (vreinterpretq_s16_u32(a), vreinterpretq_s16_u32(b));
            (vmlal_s16(sums.0, vget_low_s16(a), vget_low_s16(b)), vmlal_high_s16(sums.1, a, b))
        };
        add_fours(sums: (int32x4_t, int32x4_t), a: uint32x4_t, b: uint32x4_t) -> (int32x4_t, int32x4_t) = {
            let (a, b) = (vreinterpretq_s8_u32(a), vreinterpretq_s8_u32(b));
            let (low, high) = (vreinterpretq_s16_s32(sums.0), vreinterpretq_s16_s32(sums.1));
            let low = vmlal_s8(low, vget_low_s8(a), vget_low_s8(b));
            let high = vmlal_high_s8(high, a, b);
            (vreinterpretq_s32_s16(low), vreinterpretq_s32_s16(high))
        };
        add_signed_fours(sums: uint32x4_t, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = {
            let (a, b) = (vreinterpretq_s8_u32(a), vreinterpretq_s8_u32(b));
            // Two products are at most 2 · 127² < 2^15.
            let two = vpaddq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)), vmull_high_s8(a, b));
            vreinterpretq_u32_s32(vpadalq_s16(vreinterpretq_s32_u32(sums), two))
        };
        pair_sums(sums: (int32x4_t, int32x4_t)) -> uint32x4_t = vreinterpretq_u32_s32(vpaddq_s32(sums.0, sums.1));
        four_sums(sums: (int32x4_t, int32x4_t)) -> uint32x4_t = {
            let low = vpaddlq_s16(vreinterpretq_s16_s32(sums.0));
            let high = vpaddlq_s16(vreinterpretq_s16_s32(sums.1));
            vreinterpretq_u32_s32(vpaddq_s32(low, high))
        };
        add_words(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vaddq_u32(a, b);
        to_f32(x: uint32x4_t) -> float32x4_t = vcvtq_f32_s32(vreinterpretq_s32_u32(x));
    }
    const OFFSET: u8 = 0;

    #[inline(always)]
    fn store_words(self, x: uint32x4_t, dst: &mut [u32]) {
        let dst = &mut dst[..4];
        // SAFETY: the CPU has NEON; the slice has the four words that are written.
        unsafe { vst1q_u32(dst.as_mut_ptr(), x) }
    }
}
