//! AVX-512, and AVX-512 with bf16 products.
#![expect(unsafe_code, reason = "x86 intrinsics; a token proves that the CPU has them")]
#![allow(clippy::wildcard_imports, reason = "dozens of intrinsics whose names say where they are from")]

use std::arch::x86_64::*;
use std::sync::OnceLock;

use crate::math::ROUGH;
use crate::{Avx2, Integers, Kernel, Simd, methods};

/// Proof that the CPU has [`crate::Level::Avx512`].
#[derive(Clone, Copy, Debug)]
pub struct Avx512(Avx2);

/// Proof that the CPU has [`crate::Level::Avx512Bf16`].
#[derive(Clone, Copy, Debug)]
pub struct Avx512Bf16(Avx512);

impl Avx512 {
    /// What the level includes.
    #[inline(always)]
    #[must_use]
    pub fn avx2(self) -> Avx2 {
        self.0
    }
}

impl Avx512Bf16 {
    /// What the level includes.
    #[inline(always)]
    #[must_use]
    pub fn avx512(self) -> Avx512 {
        self.0
    }

    /// Whether the CPU multiplies bf16 pairs faster than `f32`.
    ///
    /// Intel's CPUs with AVX-512 for half precision (Sapphire Rapids and after) begin one such product every second cycle, which
    /// is half the rate of their `f32` multiply-adds: they have tiles for bf16. On other CPUs the instruction is taken to keep up
    /// with a multiply-add, and so to be twice as fast.
    #[must_use]
    pub fn pairs_are_faster(self) -> bool {
        static FASTER: OnceLock<bool> = OnceLock::new();
        *FASTER.get_or_init(|| {
            let vendor = cpuid(0, 0);
            let intel =
                [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == b"GenuineIntel";
            let half_precision = vendor.eax >= 7 && cpuid(7, 0).edx >> 23 & 1 == 1;
            !(intel && half_precision)
        })
    }
}

#[allow(unused_unsafe, reason = "newer compilers call the instruction safe")]
pub(crate) fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    // SAFETY: every 64-bit x86 CPU has the instruction.
    unsafe { __cpuid_count(leaf, subleaf) }
}

impl Simd for Avx512 {
    type V = __m512;
    type Mask = __mmask16;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    #[inline]
    fn detect() -> Option<Self> {
        let avx2 = Avx2::detect()?;
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        all.then_some(Self(avx2))
    }
    #[inline]
    fn enter<K: Kernel<Self, Out>, Out>(self, kernel: K) -> Out {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1")]
        fn inner<K: Kernel<Avx512, Out>, Out>(s: Avx512, kernel: K) -> Out {
            kernel.run(s)
        }
        // SAFETY: `detect` saw the features.
        unsafe { inner(self, kernel) }
    }

    methods! {
        splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        iota() -> __m512 = _mm512_setr_ps(
            0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0
        );
        load(src: &[f32]) -> __m512 [src; 16] = _mm512_loadu_ps(src.as_ptr());
        load_bf16(src: &[u16]) -> __m512 [src; 16] = {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(src.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        };
        load_dup(src: &[f32]) -> __m512 [src; 8] = {
            let x = _mm512_castps256_ps512(_mm256_loadu_ps(src.as_ptr()));
            _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), x)
        };
        split_pairs(pairs: &[u32]) -> (__m512, __m512) [pairs; 16] = {
            let x = _mm512_loadu_si512(pairs.as_ptr().cast());
            let first = _mm512_slli_epi32::<16>(x);
            let second = _mm512_and_si512(x, _mm512_set1_epi32(0xffff_0000_u32.cast_signed()));
            (_mm512_castsi512_ps(first), _mm512_castsi512_ps(second))
        };
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        copysign(a: __m512, b: __m512) -> __m512 = {
            let sign = _mm512_set1_ps(-0.0);
            _mm512_or_ps(_mm512_andnot_ps(sign, a), _mm512_and_ps(sign, b))
        };
        shl23(v: __m512) -> __m512 = _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(v)));
        scale_by_power(v: __m512, n: __m512) -> __m512 = {
            let power = _mm512_slli_epi32::<23>(_mm512_castps_si512(n));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(v), power))
        };
        swap_pairs(v: __m512) -> __m512 = _mm512_permute_ps::<0b1011_0001>(v);
        addsub(a: __m512, b: __m512) -> __m512 = _mm512_fmaddsub_ps(a, _mm512_set1_ps(1.0), b);
        ge(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, b);
        not_lt(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(a, b);
        keep(mask: __mmask16, v: __m512) -> __m512 = _mm512_maskz_mov_ps(mask, v);
        select(mask: __mmask16, a: __m512, b: __m512) -> __m512 = _mm512_mask_mov_ps(b, mask, a);
        signs(v: __m512) -> u32 = _mm512_cmplt_epi32_mask(_mm512_castps_si512(v), _mm512_setzero_si512()).into();
        exp2_rough(x: __m512) -> __m512 = {
            let n = _mm512_roundscale_ps::<_MM_FROUND_NO_EXC>(x);
            let r = _mm512_sub_ps(x, n);
            let [c3, c2, c1, c0] = ROUGH.map(|c| _mm512_set1_ps(c));
            let p = _mm512_fmadd_ps(_mm512_fmadd_ps(_mm512_fmadd_ps(c3, r, c2), r, c1), r, c0);
            _mm512_scalef_ps(p, n)
        };
        sum(v: __m512) -> f32 = _mm512_reduce_add_ps(v);
        max_lane(v: __m512) -> f32 = _mm512_reduce_max_ps(v);
    }

    #[inline(always)]
    fn store(self, v: __m512, dst: &mut [f32]) {
        let dst = &mut dst[..16];
        // SAFETY: the CPU has AVX-512; the slice has the sixteen elements that are written.
        unsafe { _mm512_storeu_ps(dst.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn and(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a & b
    }
    #[inline(always)]
    fn bits(self, mask: __mmask16) -> u32 {
        mask.into()
    }
}

/// Methods that are those of [`Avx512`].
macro_rules! forward {
    ($($name:ident($($arg:ident: $t:ty),*) $(-> $out:ty)?;)+) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $t),*) $(-> $out)? {
            self.0.$name($($arg),*)
        }
    )+};
}

impl Simd for Avx512Bf16 {
    type V = __m512;
    type Mask = __mmask16;
    const LANES: usize = Avx512::LANES;
    const REGISTERS: usize = Avx512::REGISTERS;

    #[inline]
    fn detect() -> Option<Self> {
        let avx512 = Avx512::detect()?;
        let all = is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512vnni");
        all.then_some(Self(avx512))
    }
    #[inline]
    fn enter<K: Kernel<Self, Out>, Out>(self, kernel: K) -> Out {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni,avx2,fma,bmi1")]
        fn inner<K: Kernel<Avx512Bf16, Out>, Out>(s: Avx512Bf16, kernel: K) -> Out {
            kernel.run(s)
        }
        // SAFETY: `detect` saw the features.
        unsafe { inner(self, kernel) }
    }

    forward! {
        splat(x: f32) -> __m512;
        iota() -> __m512;
        load(src: &[f32]) -> __m512;
        store(v: __m512, dst: &mut [f32]);
        load_bf16(src: &[u16]) -> __m512;
        load_dup(src: &[f32]) -> __m512;
        split_pairs(pairs: &[u32]) -> (__m512, __m512);
        add(a: __m512, b: __m512) -> __m512;
        sub(a: __m512, b: __m512) -> __m512;
        mul(a: __m512, b: __m512) -> __m512;
        div(a: __m512, b: __m512) -> __m512;
        max(a: __m512, b: __m512) -> __m512;
        min(a: __m512, b: __m512) -> __m512;
        fma(a: __m512, b: __m512, c: __m512) -> __m512;
        copysign(a: __m512, b: __m512) -> __m512;
        shl23(v: __m512) -> __m512;
        scale_by_power(v: __m512, n: __m512) -> __m512;
        swap_pairs(v: __m512) -> __m512;
        addsub(a: __m512, b: __m512) -> __m512;
        ge(a: __m512, b: __m512) -> __mmask16;
        not_lt(a: __m512, b: __m512) -> __mmask16;
        and(a: __mmask16, b: __mmask16) -> __mmask16;
        bits(mask: __mmask16) -> u32;
        keep(mask: __mmask16, v: __m512) -> __m512;
        select(mask: __mmask16, a: __m512, b: __m512) -> __m512;
        signs(v: __m512) -> u32;
        exp2_rough(x: __m512) -> __m512;
        sum(v: __m512) -> f32;
        max_lane(v: __m512) -> f32;
    }
}

/// As AVX2 in twice the width.
impl Integers for Avx512 {
    type I = __m512i;
    type Sums = __m512i;

    methods! {
        zero_sums() -> __m512i = _mm512_setzero_si512();
        load_words(src: &[u32]) -> __m512i [src; 16] = _mm512_loadu_si512(src.as_ptr().cast());
        splat_word(x: u32) -> __m512i = _mm512_set1_epi32(x.cast_signed());
        add_pairs(sums: __m512i, a: __m512i, b: __m512i) -> __m512i =
            _mm512_add_epi32(sums, _mm512_madd_epi16(a, b));
        add_fours(sums: __m512i, a: __m512i, b: __m512i) -> __m512i =
            _mm512_add_epi16(sums, _mm512_maddubs_epi16(b, a));
        add_signed_fours(sums: __m512i, a: __m512i, b: __m512i) -> __m512i = {
            let signed = _mm512_mask_sub_epi8(b, _mm512_movepi8_mask(a), _mm512_setzero_si512(), b);
            let two = _mm512_maddubs_epi16(_mm512_abs_epi8(a), signed);
            _mm512_add_epi32(sums, _mm512_madd_epi16(two, _mm512_set1_epi16(1)))
        };
        four_sums(sums: __m512i) -> __m512i = _mm512_madd_epi16(sums, _mm512_set1_epi16(1));
        add_words(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        to_f32(x: __m512i) -> __m512 = _mm512_cvtepi32_ps(x);
    }
    const OFFSET: u8 = 0;

    #[inline(always)]
    fn store_words(self, x: __m512i, dst: &mut [u32]) {
        let dst = &mut dst[..16];
        // SAFETY: the CPU has AVX-512; the slice has the sixteen words that are written.
        unsafe { _mm512_storeu_si512(dst.as_mut_ptr().cast(), x) }
    }

    #[inline(always)]
    fn pair_sums(self, sums: __m512i) -> __m512i {
        sums
    }
}

/// `avx512vnni` adds products to their sums in one instruction.
impl Integers for Avx512Bf16 {
    type I = __m512i;
    type Sums = __m512i;

    methods! {
        add_pairs(sums: __m512i, a: __m512i, b: __m512i) -> __m512i = _mm512_dpwssd_epi32(sums, a, b);
        add_fours(sums: __m512i, a: __m512i, b: __m512i) -> __m512i = _mm512_dpbusd_epi32(sums, b, a);
        add_signed_fours(sums: __m512i, a: __m512i, b: __m512i) -> __m512i = _mm512_dpbusd_epi32(sums, a, b);
    }
    /// The instruction's first factors are unsigned.
    const OFFSET: u8 = 128;
    forward! {
        zero_sums() -> __m512i;
        load_words(src: &[u32]) -> __m512i;
        splat_word(x: u32) -> __m512i;
        store_words(x: __m512i, dst: &mut [u32]);
        pair_sums(sums: __m512i) -> __m512i;
        add_words(a: __m512i, b: __m512i) -> __m512i;
        to_f32(x: __m512i) -> __m512;
    }

    #[inline(always)]
    fn four_sums(self, sums: __m512i) -> __m512i {
        sums
    }
}
