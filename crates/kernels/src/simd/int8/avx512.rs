//! AVX-512: as AVX2 in twice the width; with `avx512vnni`, products are added to their sums in one instruction.
#![expect(unsafe_code, reason = "x86 intrinsics; a token proves that the CPU has them")]
#![allow(clippy::wildcard_imports, reason = "dozens of intrinsics whose names say where they are from")]

use std::arch::x86_64::*;

use super::Integers;
use crate::simd::avx512::{Avx512, Avx512Bf16};

/// Calls intrinsics.
macro_rules! avx512 {
    ($e:expr) => {
        // SAFETY: a value of the level's token exists, so the CPU has its features (`checked`); memory operands are slices
        // whose length the caller of this macro has just checked.
        unsafe { $e }
    };
}

/// What both levels do alike.
macro_rules! common {
    () => {
        type F = __m512;
        type I = __m512i;
        type Sums = __m512i;

        #[inline(always)]
        fn zero_sums(self) -> __m512i {
            avx512!(_mm512_setzero_si512())
        }
        #[inline(always)]
        fn load_words(self, src: &[u32]) -> __m512i {
            let src = &src[..16];
            avx512!(_mm512_loadu_si512(src.as_ptr().cast()))
        }
        #[inline(always)]
        fn splat_word(self, x: u32) -> __m512i {
            avx512!(_mm512_set1_epi32(x.cast_signed()))
        }
        #[inline(always)]
        fn pair_sums(self, sums: __m512i) -> __m512i {
            sums
        }
        #[inline(always)]
        fn add_words(self, a: __m512i, b: __m512i) -> __m512i {
            avx512!(_mm512_add_epi32(a, b))
        }
        #[inline(always)]
        fn to_f32(self, x: __m512i) -> __m512 {
            avx512!(_mm512_cvtepi32_ps(x))
        }
    };
}

impl Integers for Avx512 {
    common!();

    #[inline(always)]
    fn add_pairs(self, sums: __m512i, a: __m512i, b: __m512i) -> __m512i {
        avx512!(_mm512_add_epi32(sums, _mm512_madd_epi16(a, b)))
    }
    #[inline(always)]
    fn add_fours(self, sums: __m512i, a: __m512i, b: __m512i) -> __m512i {
        avx512!(_mm512_add_epi16(sums, _mm512_maddubs_epi16(b, a)))
    }
    #[inline(always)]
    fn four_sums(self, sums: __m512i) -> __m512i {
        avx512!(_mm512_madd_epi16(sums, _mm512_set1_epi16(1)))
    }
}

impl Integers for Avx512Bf16 {
    common!();

    #[inline(always)]
    fn add_pairs(self, sums: __m512i, a: __m512i, b: __m512i) -> __m512i {
        avx512!(_mm512_dpwssd_epi32(sums, a, b))
    }
    #[inline(always)]
    fn add_fours(self, sums: __m512i, a: __m512i, b: __m512i) -> __m512i {
        avx512!(_mm512_dpbusd_epi32(sums, b, a))
    }
    #[inline(always)]
    fn four_sums(self, sums: __m512i) -> __m512i {
        sums
    }
}
