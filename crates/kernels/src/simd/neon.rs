//! 128-bit vectors of 64-bit Arm.
#![expect(unsafe_code, reason = "Arm intrinsics; a `Neon` value proves that the CPU has them")]
#![allow(unused_unsafe, reason = "calls are safe where NEON belongs to the baseline")]
#![allow(clippy::wildcard_imports, reason = "dozens of intrinsics whose names say where they are from")]

use std::arch::aarch64::*;

use half::bf16;

use super::{Kernel, Simd, impl_tile, impl_tile_int8};

/// Proof that the CPU has NEON: made by [`Neon::checked`] alone.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// The token.
    ///
    /// # Panics
    /// If the CPU lacks NEON.
    #[inline]
    pub(crate) fn checked() -> Self {
        assert!(std::arch::is_aarch64_feature_detected!("neon"), "the CPU has no NEON");
        Self(())
    }

    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Out {
        #[target_feature(enable = "neon")]
        fn inner<K: Kernel>(s: Neon, kernel: K) -> K::Out {
            kernel.run(s)
        }
        // SAFETY: `checked` saw the feature.
        unsafe { inner(self, kernel) }
    }
}

/// Calls intrinsics.
macro_rules! neon {
    ($e:expr) => {
        // SAFETY: a value of `Neon` exists, so the CPU has NEON (`Neon::checked`); memory operands are slices whose
        // length the caller of this macro has just checked.
        unsafe {
            $e
        }
    };
}

impl Simd for Neon {
    type V = float32x4_t;
    const LANES: usize = 4;
    const MR: usize = 6;
    const NP: usize = 1;
    const ATTN_MR: usize = 4;
    const ATTN_NP: usize = 1;

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        neon!(vdupq_n_f32(x))
    }
    #[inline(always)]
    fn load(self, src: &[f32]) -> float32x4_t {
        let src = &src[..4];
        neon!(vld1q_f32(src.as_ptr()))
    }
    #[inline(always)]
    fn store(self, v: float32x4_t, dst: &mut [f32]) {
        let dst = &mut dst[..4];
        neon!(vst1q_f32(dst.as_mut_ptr(), v));
    }
    #[inline(always)]
    fn load_bf16(self, src: &[bf16]) -> float32x4_t {
        let src = &src[..4];
        neon!(vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(vld1_u16(src.as_ptr().cast())))))
    }
    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        neon!(vaddq_f32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        neon!(vsubq_f32(a, b))
    }
    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        neon!(vmulq_f32(a, b))
    }
    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        neon!(vdivq_f32(a, b))
    }
    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        neon!(vbslq_f32(vcgtq_f32(a, b), a, b))
    }
    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        neon!(vbslq_f32(vcltq_f32(a, b), a, b))
    }
    #[inline(always)]
    fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        neon!(vfmaq_f32(c, a, b))
    }
    #[inline(always)]
    fn zero_if_lt(self, x: float32x4_t, limit: float32x4_t, v: float32x4_t) -> float32x4_t {
        neon!(vbslq_f32(vcltq_f32(x, limit), vdupq_n_f32(0.0), v))
    }
    #[inline(always)]
    fn shl23(self, v: float32x4_t) -> float32x4_t {
        neon!(vreinterpretq_f32_u32(vshlq_n_u32::<23>(vreinterpretq_u32_f32(v))))
    }
    #[inline(always)]
    fn copysign(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        neon!(vbslq_f32(vdupq_n_u32(1 << 31), b, a))
    }
    #[inline(always)]
    fn split_pairs(self, pairs: &[u32]) -> (float32x4_t, float32x4_t) {
        let pairs = &pairs[..4];
        neon!({
            let x = vld1q_u32(pairs.as_ptr());
            let second = vandq_u32(x, vdupq_n_u32(0xffff_0000));
            (vreinterpretq_f32_u32(vshlq_n_u32::<16>(x)), vreinterpretq_f32_u32(second))
        })
    }
    #[inline(always)]
    fn swap_pairs(self, v: float32x4_t) -> float32x4_t {
        neon!(vrev64q_f32(v))
    }
    #[inline(always)]
    fn addsub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        let signs = [-1.0, 1.0, -1.0, 1.0];
        self.fma(b, self.load(&signs), a)
    }
    #[inline(always)]
    fn load_dup(self, src: &[f32]) -> float32x4_t {
        self.load(&[src[0], src[0], src[1], src[1]])
    }
    #[inline(always)]
    fn sum(self, v: float32x4_t) -> f32 {
        let mut lanes = [0.0; 4];
        self.store(v, &mut lanes);
        (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
    }
    #[inline(always)]
    fn max_lane(self, v: float32x4_t) -> f32 {
        let mut lanes = [0.0; 4];
        self.store(v, &mut lanes);
        lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
    impl_tile!(4: (1, 1), (2, 1), (4, 1), (6, 1));
    impl_tile_int8!(4, 2: (1, 1), (2, 1), (4, 1), (6, 1));
}
