//! Sixteen lanes of AVX-512: a row of a tile in one register.
#![expect(unsafe_code, reason = "vendor intrinsics")]

use super::Lanes;
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(in crate::splat) struct Avx512(__m512);

/// Calls intrinsics of AVX-512F.
macro_rules! avx512 {
    ($e:expr) => {
        // SAFETY: values of `Avx512` exist only inside `tile::composite_avx512`, which is called after
        // `CpuIsa::Avx512.is_available()` said yes; the intrinsics used have no other requirement.
        unsafe { $e }
    };
}

impl Avx512 {
    #[inline(always)]
    fn int(self) -> __m512i {
        avx512!(_mm512_castps_si512(self.0))
    }

    #[inline(always)]
    fn from_int(x: __m512i) -> Self {
        Self(avx512!(_mm512_castsi512_ps(x)))
    }
}

impl Lanes for Avx512 {
    const N: usize = 16;
    type Mask = __mmask16;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self(avx512!(_mm512_set1_ps(x)))
    }
    #[inline(always)]
    fn iota() -> Self {
        Self(avx512!(_mm512_setr_ps(0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.)))
    }
    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        let to = &mut to[..16];
        // SAFETY: as for the macro; the slice has the sixteen elements that are written.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        Self(avx512!(_mm512_add_ps(self.0, o.0)))
    }
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        Self(avx512!(_mm512_sub_ps(self.0, o.0)))
    }
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        Self(avx512!(_mm512_mul_ps(self.0, o.0)))
    }
    #[inline(always)]
    fn mul_add(self, m: Self, a: Self) -> Self {
        Self(avx512!(_mm512_fmadd_ps(self.0, m.0, a.0)))
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        Self(avx512!(_mm512_min_ps(self.0, o.0)))
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        Self(avx512!(_mm512_max_ps(self.0, o.0)))
    }
    #[inline(always)]
    fn ge(self, o: Self) -> Self::Mask {
        avx512!(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(self.0, o.0))
    }
    #[inline(always)]
    fn not_lt(self, o: Self) -> Self::Mask {
        avx512!(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(self.0, o.0))
    }
    #[inline(always)]
    fn and(a: Self::Mask, b: Self::Mask) -> Self::Mask {
        a & b
    }
    #[inline(always)]
    fn bits(mask: Self::Mask) -> u32 {
        mask.into()
    }
    #[inline(always)]
    fn keep(self, mask: Self::Mask) -> Self {
        Self(avx512!(_mm512_maskz_mov_ps(mask, self.0)))
    }
    #[inline(always)]
    fn select(self, o: Self, mask: Self::Mask) -> Self {
        Self(avx512!(_mm512_mask_mov_ps(o.0, mask, self.0)))
    }
    #[inline(always)]
    fn negative(self) -> Self {
        Self::from_int(avx512!(_mm512_or_epi32(self.int(), _mm512_set1_epi32(i32::MIN))))
    }
    #[inline(always)]
    fn signs(self) -> u32 {
        avx512!(_mm512_cmplt_epi32_mask(self.int(), _mm512_setzero_si512())).into()
    }
    #[inline(always)]
    fn scale_by_power(self, shifted: Self) -> Self {
        let power = avx512!(_mm512_slli_epi32::<23>(shifted.int()));
        Self::from_int(avx512!(_mm512_add_epi32(self.int(), power)))
    }
}
