//! Eight lanes in two registers of 64-bit Arm.
#![expect(unsafe_code, reason = "vendor intrinsics")]

use super::Lanes;
use std::arch::aarch64::*;

#[derive(Clone, Copy)]
pub(in crate::splat) struct Neon(float32x4_t, float32x4_t);

/// Calls intrinsics of NEON.
macro_rules! neon {
    ($e:expr) => {
        // SAFETY: values of `Neon` exist only inside `tile::composite_neon`, which is called after
        // `CpuIsa::Neon.is_available()` said yes; the intrinsics used have no other requirement.
        unsafe { $e }
    };
}

/// The same intrinsic on both halves.
macro_rules! both {
    ($f:ident, $a:expr $(, $o:expr)*) => {
        Neon(neon!($f($a.0 $(, $o.0)*)), neon!($f($a.1 $(, $o.1)*)))
    };
}

#[inline(always)]
fn nibbles(low: uint32x4_t, high: uint32x4_t) -> u32 {
    const WEIGHTS: [u32; 4] = [1, 2, 4, 8];
    // SAFETY: as for the macro; four elements are read from an array of four.
    let weights = unsafe { vld1q_u32(WEIGHTS.as_ptr()) };
    let low = neon!(vaddvq_u32(vandq_u32(low, weights)));
    let high = neon!(vaddvq_u32(vandq_u32(high, weights)));
    low | high << 4
}

impl Lanes for Neon {
    const N: usize = 8;
    /// All ones or all zeros in each lane.
    type Mask = (uint32x4_t, uint32x4_t);

    #[inline(always)]
    fn splat(x: f32) -> Self {
        let half = neon!(vdupq_n_f32(x));
        Self(half, half)
    }
    #[inline(always)]
    fn iota() -> Self {
        const IOTA: [f32; 8] = [0., 1., 2., 3., 4., 5., 6., 7.];
        let (low, high) = IOTA.split_at(4);
        // SAFETY: as for the macro; each half has the four elements that are read.
        unsafe { Self(vld1q_f32(low.as_ptr()), vld1q_f32(high.as_ptr())) }
    }
    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        let (low, high) = to[..8].split_at_mut(4);
        // SAFETY: as for the macro; each half has the four elements that are written.
        unsafe {
            vst1q_f32(low.as_mut_ptr(), self.0);
            vst1q_f32(high.as_mut_ptr(), self.1);
        }
    }
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        both!(vaddq_f32, self, o)
    }
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        both!(vsubq_f32, self, o)
    }
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        both!(vmulq_f32, self, o)
    }
    #[inline(always)]
    fn mul_add(self, m: Self, a: Self) -> Self {
        both!(vfmaq_f32, a, self, m)
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        self.select(o, (neon!(vcltq_f32(self.0, o.0)), neon!(vcltq_f32(self.1, o.1))))
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        self.select(o, (neon!(vcgtq_f32(self.0, o.0)), neon!(vcgtq_f32(self.1, o.1))))
    }
    #[inline(always)]
    fn ge(self, o: Self) -> Self::Mask {
        (neon!(vcgeq_f32(self.0, o.0)), neon!(vcgeq_f32(self.1, o.1)))
    }
    #[inline(always)]
    fn not_lt(self, o: Self) -> Self::Mask {
        (neon!(vmvnq_u32(vcltq_f32(self.0, o.0))), neon!(vmvnq_u32(vcltq_f32(self.1, o.1))))
    }
    #[inline(always)]
    fn and(a: Self::Mask, b: Self::Mask) -> Self::Mask {
        (neon!(vandq_u32(a.0, b.0)), neon!(vandq_u32(a.1, b.1)))
    }
    #[inline(always)]
    fn bits(mask: Self::Mask) -> u32 {
        nibbles(mask.0, mask.1)
    }
    #[inline(always)]
    fn keep(self, mask: Self::Mask) -> Self {
        self.select(Self::splat(0.0), mask)
    }
    #[inline(always)]
    fn select(self, o: Self, mask: Self::Mask) -> Self {
        Self(neon!(vbslq_f32(mask.0, self.0, o.0)), neon!(vbslq_f32(mask.1, self.1, o.1)))
    }
    #[inline(always)]
    fn negative(self) -> Self {
        Self(neon!(vnegq_f32(vabsq_f32(self.0))), neon!(vnegq_f32(vabsq_f32(self.1))))
    }
    #[inline(always)]
    fn signs(self) -> u32 {
        // An arithmetic shift smears the sign over the lane.
        let low = neon!(vreinterpretq_u32_s32(vshrq_n_s32::<31>(vreinterpretq_s32_f32(self.0))));
        let high = neon!(vreinterpretq_u32_s32(vshrq_n_s32::<31>(vreinterpretq_s32_f32(self.1))));
        nibbles(low, high)
    }
    #[inline(always)]
    fn scale_by_power(self, shifted: Self) -> Self {
        #[inline(always)]
        fn half(x: float32x4_t, shifted: float32x4_t) -> float32x4_t {
            let power = neon!(vshlq_n_u32::<23>(vreinterpretq_u32_f32(shifted)));
            neon!(vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(x), power)))
        }
        Self(half(self.0, shifted.0), half(self.1, shifted.1))
    }
}
