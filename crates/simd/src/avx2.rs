//! AVX2 with fused multiply-add.
#![expect(unsafe_code, reason = "x86 intrinsics; an `Avx2` value proves that the CPU has them")]
#![allow(clippy::wildcard_imports, reason = "dozens of intrinsics whose names say where they are from")]

use std::arch::x86_64::*;

use crate::{Integers, Kernel, Simd, methods};

/// Proof that the CPU has [`crate::Level::Avx2`].
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Simd for Avx2 {
    type V = __m256;
    /// All ones or all zeros in each lane.
    type Mask = __m256;
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    #[inline]
    fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi1");
        all.then_some(Self(()))
    }
    #[inline]
    fn enter<K: Kernel<Self, Out>, Out>(self, kernel: K) -> Out {
        #[target_feature(enable = "avx2,fma,bmi1")]
        fn inner<K: Kernel<Avx2, Out>, Out>(s: Avx2, kernel: K) -> Out {
            kernel.run(s)
        }
        // SAFETY: `detect` saw the features.
        unsafe { inner(self, kernel) }
    }

    methods! {
        splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        iota() -> __m256 = _mm256_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0);
        load(src: &[f32]) -> __m256 [src; 8] = _mm256_loadu_ps(src.as_ptr());
        load_bf16(src: &[u16]) -> __m256 [src; 8] = {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(src.as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        };
        load_dup(src: &[f32]) -> __m256 [src; 4] = {
            let x = _mm256_castps128_ps256(_mm_loadu_ps(src.as_ptr()));
            _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3))
        };
        split_pairs(pairs: &[u32]) -> (__m256, __m256) [pairs; 8] = {
            let x = _mm256_loadu_si256(pairs.as_ptr().cast());
            let first = _mm256_slli_epi32::<16>(x);
            let second = _mm256_and_si256(x, _mm256_set1_epi32(0xffff_0000_u32.cast_signed()));
            (_mm256_castsi256_ps(first), _mm256_castsi256_ps(second))
        };
        add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        fma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        copysign(a: __m256, b: __m256) -> __m256 = {
            let sign = _mm256_set1_ps(-0.0);
            _mm256_or_ps(_mm256_andnot_ps(sign, a), _mm256_and_ps(sign, b))
        };
        shl23(v: __m256) -> __m256 = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(v)));
        scale_by_power(v: __m256, n: __m256) -> __m256 = {
            let power = _mm256_slli_epi32::<23>(_mm256_castps_si256(n));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(v), power))
        };
        swap_pairs(v: __m256) -> __m256 = _mm256_permute_ps::<0b1011_0001>(v);
        addsub(a: __m256, b: __m256) -> __m256 = _mm256_addsub_ps(a, b);
        ge(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_GE_OQ>(a, b);
        not_lt(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_NLT_UQ>(a, b);
        and(a: __m256, b: __m256) -> __m256 = _mm256_and_ps(a, b);
        bits(mask: __m256) -> u32 = _mm256_movemask_ps(mask).cast_unsigned();
        keep(mask: __m256, v: __m256) -> __m256 = _mm256_and_ps(v, mask);
        select(mask: __m256, a: __m256, b: __m256) -> __m256 = _mm256_blendv_ps(b, a, mask);
        signs(v: __m256) -> u32 = _mm256_movemask_ps(v).cast_unsigned();
    }

    #[inline(always)]
    fn store(self, v: __m256, dst: &mut [f32]) {
        let dst = &mut dst[..8];
        // SAFETY: the CPU has AVX2; the slice has the eight elements that are written.
        unsafe { _mm256_storeu_ps(dst.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn sum(self, v: __m256) -> f32 {
        let mut lanes = [0.0; 8];
        self.store(v, &mut lanes);
        let [a, b, c, d, e, f, g, h] = lanes;
        ((a + e) + (b + f)) + ((c + g) + (d + h))
    }
}

/// `vpmaddwd` of pairs; `vpmaddubsw` of fours, whose sums of two stay in 16 bits for a while.
impl Integers for Avx2 {
    type I = __m256i;
    type Sums = __m256i;

    methods! {
        zero_sums() -> __m256i = _mm256_setzero_si256();
        load_words(src: &[u32]) -> __m256i [src; 8] = _mm256_loadu_si256(src.as_ptr().cast());
        splat_word(x: u32) -> __m256i = _mm256_set1_epi32(x.cast_signed());
        add_pairs(sums: __m256i, a: __m256i, b: __m256i) -> __m256i =
            _mm256_add_epi32(sums, _mm256_madd_epi16(a, b));
        add_fours(sums: __m256i, a: __m256i, b: __m256i) -> __m256i =
            _mm256_add_epi16(sums, _mm256_maddubs_epi16(b, a));
        add_signed_fours(sums: __m256i, a: __m256i, b: __m256i) -> __m256i = {
            // The signs of `a` go to `b`. Two products are at most 2 · 127² < 2^15.
            let two = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
            _mm256_add_epi32(sums, _mm256_madd_epi16(two, _mm256_set1_epi16(1)))
        };
        four_sums(sums: __m256i) -> __m256i = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
        add_words(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32(a, b);
        to_f32(x: __m256i) -> __m256 = _mm256_cvtepi32_ps(x);
    }
    const OFFSET: u8 = 0;

    #[inline(always)]
    fn store_words(self, x: __m256i, dst: &mut [u32]) {
        let dst = &mut dst[..8];
        // SAFETY: the CPU has AVX2; the slice has the eight words that are written.
        unsafe { _mm256_storeu_si256(dst.as_mut_ptr().cast(), x) }
    }

    #[inline(always)]
    fn pair_sums(self, sums: __m256i) -> __m256i {
        sums
    }
}
