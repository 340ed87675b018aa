//! Eight lanes of AVX2 with FMA.
#![expect(unsafe_code, reason = "vendor intrinsics")]

use super::Lanes;
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(in crate::splat) struct Avx2(__m256);

/// Calls intrinsics of AVX, AVX2 and FMA.
macro_rules! avx2 {
    ($e:expr) => {
        // SAFETY: values of `Avx2` exist only inside `tile::composite_avx2`, which is called after
        // `CpuIsa::Avx2.is_available()` said yes; the intrinsics used have no other requirement.
        unsafe { $e }
    };
}

impl Lanes for Avx2 {
    const N: usize = 8;
    /// All ones or all zeros in each lane.
    type Mask = __m256;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self(avx2!(_mm256_set1_ps(x)))
    }
    #[inline(always)]
    fn iota() -> Self {
        Self(avx2!(_mm256_setr_ps(0., 1., 2., 3., 4., 5., 6., 7.)))
    }
    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        let to = &mut to[..8];
        // SAFETY: as for the macro; the slice has the eight elements that are written.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        Self(avx2!(_mm256_add_ps(self.0, o.0)))
    }
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        Self(avx2!(_mm256_sub_ps(self.0, o.0)))
    }
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        Self(avx2!(_mm256_mul_ps(self.0, o.0)))
    }
    #[inline(always)]
    fn mul_add(self, m: Self, a: Self) -> Self {
        Self(avx2!(_mm256_fmadd_ps(self.0, m.0, a.0)))
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        Self(avx2!(_mm256_min_ps(self.0, o.0)))
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        Self(avx2!(_mm256_max_ps(self.0, o.0)))
    }
    #[inline(always)]
    fn ge(self, o: Self) -> Self::Mask {
        avx2!(_mm256_cmp_ps::<_CMP_GE_OQ>(self.0, o.0))
    }
    #[inline(always)]
    fn not_lt(self, o: Self) -> Self::Mask {
        avx2!(_mm256_cmp_ps::<_CMP_NLT_UQ>(self.0, o.0))
    }
    #[inline(always)]
    fn and(a: Self::Mask, b: Self::Mask) -> Self::Mask {
        avx2!(_mm256_and_ps(a, b))
    }
    #[inline(always)]
    fn bits(mask: Self::Mask) -> u32 {
        avx2!(_mm256_movemask_ps(mask)) as u32
    }
    #[inline(always)]
    fn keep(self, mask: Self::Mask) -> Self {
        Self(avx2!(_mm256_and_ps(self.0, mask)))
    }
    #[inline(always)]
    fn select(self, o: Self, mask: Self::Mask) -> Self {
        Self(avx2!(_mm256_blendv_ps(o.0, self.0, mask)))
    }
    #[inline(always)]
    fn negative(self) -> Self {
        Self(avx2!(_mm256_or_ps(self.0, _mm256_set1_ps(-0.0))))
    }
    #[inline(always)]
    fn signs(self) -> u32 {
        avx2!(_mm256_movemask_ps(self.0)) as u32
    }
    #[inline(always)]
    fn scale_by_power(self, shifted: Self) -> Self {
        let power = avx2!(_mm256_slli_epi32::<23>(_mm256_castps_si256(shifted.0)));
        Self(avx2!(_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(self.0), power))))
    }
}
