//! Sixteen floats in registers: one AVX-512 register, two AVX2 ones, or an array that the compiler does what it can with.
#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "vector intrinsics"))]

use crate::lanes::{LANES, Lane};

/// Sixteen floats on which the inner loops work.
///
/// The types of instruction sets that a machine may lack are private to the kernels, which use them only inside functions
/// compiled for that set and entered only where [`crate::kernel_blocks::Simd::detect`] found it.
pub(crate) trait Register: Copy {
    /// Sixteen times the same.
    fn splat(x: f32) -> Self;
    /// From memory.
    fn load(from: &Lane) -> Self;
    /// `self · b + c`.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// The sum.
    fn add(self, b: Self) -> Self;
    /// To memory.
    fn store(self, to: &mut Lane);
}

/// Does the baseline itself have fused multiply-add?
const BASELINE_FMA: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

impl Register for Lane {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; LANES])
    }

    #[inline(always)]
    fn load(from: &Lane) -> Self {
        *from
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        Self(std::array::from_fn(|i| {
            if BASELINE_FMA { self.0[i].mul_add(b.0[i], c.0[i]) } else { self.0[i] * b.0[i] + c.0[i] }
        }))
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + b.0[i]))
    }

    #[inline(always)]
    fn store(self, to: &mut Lane) {
        *to = self;
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lane, Register};
    use std::arch::x86_64::{
        __m256, __m512, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps,
        _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps,
    };

    /// One register of AVX-512.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(__m512);

    impl Register for Avx512 {
        #[inline(always)]
        fn splat(x: f32) -> Self {
            // SAFETY: only functions that are entered where avx512f was found use this type (see `Register`).
            Self(unsafe { _mm512_set1_ps(x) })
        }

        #[inline(always)]
        fn load(from: &Lane) -> Self {
            // SAFETY: as in `splat`; the reference is to sixteen floats.
            Self(unsafe { _mm512_loadu_ps(from.0.as_ptr()) })
        }

        #[inline(always)]
        fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: as in `splat`.
            Self(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
        }

        #[inline(always)]
        fn add(self, b: Self) -> Self {
            // SAFETY: as in `splat`.
            Self(unsafe { _mm512_add_ps(self.0, b.0) })
        }

        #[inline(always)]
        fn store(self, to: &mut Lane) {
            // SAFETY: as in `splat`; the reference is to sixteen floats.
            unsafe { _mm512_storeu_ps(to.0.as_mut_ptr(), self.0) }
        }
    }

    /// Two registers of AVX2.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(__m256, __m256);

    impl Register for Avx2 {
        #[inline(always)]
        fn splat(x: f32) -> Self {
            // SAFETY: only functions that are entered where avx2 and fma were found use this type (see `Register`).
            let half = unsafe { _mm256_set1_ps(x) };
            Self(half, half)
        }

        #[inline(always)]
        fn load(from: &Lane) -> Self {
            let (low, high) = from.0.split_at(8);
            // SAFETY: as in `splat`; the slice has eight floats.
            let low = unsafe { _mm256_loadu_ps(low.as_ptr()) };
            // SAFETY: as in `splat`; the slice has eight floats.
            let high = unsafe { _mm256_loadu_ps(high.as_ptr()) };
            Self(low, high)
        }

        #[inline(always)]
        fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: as in `splat`.
            let low = unsafe { _mm256_fmadd_ps(self.0, b.0, c.0) };
            // SAFETY: as in `splat`.
            let high = unsafe { _mm256_fmadd_ps(self.1, b.1, c.1) };
            Self(low, high)
        }

        #[inline(always)]
        fn add(self, b: Self) -> Self {
            // SAFETY: as in `splat`.
            let low = unsafe { _mm256_add_ps(self.0, b.0) };
            // SAFETY: as in `splat`.
            let high = unsafe { _mm256_add_ps(self.1, b.1) };
            Self(low, high)
        }

        #[inline(always)]
        fn store(self, to: &mut Lane) {
            let (low, high) = to.0.split_at_mut(8);
            // SAFETY: as in `splat`; the slice has eight floats.
            unsafe { _mm256_storeu_ps(low.as_mut_ptr(), self.0) }
            // SAFETY: as in `splat`; the slice has eight floats.
            unsafe { _mm256_storeu_ps(high.as_mut_ptr(), self.1) }
        }
    }
}
