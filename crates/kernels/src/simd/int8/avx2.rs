//! AVX2: `vpmaddwd` of pairs; `vpmaddubsw` of fours, whose sums of two stay in 16 bits for a while.
#![expect(unsafe_code, reason = "x86 intrinsics; an `Avx2` value proves that the CPU has them")]
#![allow(clippy::wildcard_imports, reason = "dozens of intrinsics whose names say where they are from")]

use std::arch::x86_64::*;

use super::Integers;
use crate::gemm::int8::Layout;
use crate::simd::PANEL;
use crate::simd::avx2::Avx2;

/// Calls intrinsics.
macro_rules! avx2 {
    ($e:expr) => {
        // SAFETY: a value of `Avx2` exists, so the CPU has AVX2 (`Avx2::checked`); memory operands are slices whose length
        // the caller of this macro has just checked.
        unsafe { $e }
    };
}

impl Integers for Avx2 {
    type F = __m256;
    type I = __m256i;
    type Sums = __m256i;

    #[inline(always)]
    fn zero_sums(self) -> __m256i {
        avx2!(_mm256_setzero_si256())
    }
    #[inline(always)]
    fn load_words(self, src: &[u32]) -> __m256i {
        let src = &src[..8];
        avx2!(_mm256_loadu_si256(src.as_ptr().cast()))
    }
    #[inline(always)]
    fn splat_word(self, x: u32) -> __m256i {
        avx2!(_mm256_set1_epi32(x.cast_signed()))
    }
    #[inline(always)]
    fn add_pairs(self, sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
        avx2!(_mm256_add_epi32(sums, _mm256_madd_epi16(a, b)))
    }
    #[inline(always)]
    fn add_fours(self, sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
        avx2!(_mm256_add_epi16(sums, _mm256_maddubs_epi16(b, a)))
    }
    #[inline(always)]
    fn pair_sums(self, sums: __m256i) -> __m256i {
        sums
    }
    #[inline(always)]
    fn four_sums(self, sums: __m256i) -> __m256i {
        avx2!(_mm256_madd_epi16(sums, _mm256_set1_epi16(1)))
    }
    #[inline(always)]
    fn add_words(self, a: __m256i, b: __m256i) -> __m256i {
        avx2!(_mm256_add_epi32(a, b))
    }
    #[inline(always)]
    fn to_f32(self, x: __m256i) -> __m256 {
        avx2!(_mm256_cvtepi32_ps(x))
    }

    #[inline(always)]
    fn group_sums<L: Layout, const MR: usize, const NP: usize, const VP: usize>(
        self,
        a: &[u32],
        b: &[u32],
        sums: &mut [[[__m256i; VP]; NP]; MR],
    ) -> bool {
        if (MR, NP, VP) != (6, 1, 2) {
            return false;
        }
        let sums = sums.as_flattened_mut().as_flattened_mut();
        if L::FACTORS == 2 {
            sums.fill(self.zero_sums());
            avx2!(pairs_6x2(a, b, sums));
            return true;
        }
        for narrow in (0..L::WORDS).step_by(L::NARROW) {
            let mut some = [self.zero_sums(); 12];
            for word in (narrow..narrow + L::NARROW).step_by(4) {
                avx2!(fours_6x2(&a[word * 6..], &b[word * PANEL..], &mut some));
            }
            for (sum, some) in sums.iter_mut().zip(some) {
                let some = self.four_sums(some);
                *sum = if narrow == 0 { some } else { self.add_words(*sum, some) };
            }
        }
        true
    }
}

/// The instructions for one word of `K`: row `i` of the strip times both vectors of the panel.
macro_rules! word {
    ($multiply:literal, $add:literal, $word:literal) => {
        concat!(
            "vmovdqu {b0}, ymmword ptr [{b} + 64*",
            $word,
            "]\n",
            "vmovdqu {b1}, ymmword ptr [{b} + 64*",
            $word,
            " + 32]\n",
            row!($multiply, $add, $word, "0", "{c00}", "{c01}"),
            row!($multiply, $add, $word, "4", "{c10}", "{c11}"),
            row!($multiply, $add, $word, "8", "{c20}", "{c21}"),
            row!($multiply, $add, $word, "12", "{c30}", "{c31}"),
            row!($multiply, $add, $word, "16", "{c40}", "{c41}"),
            row!($multiply, $add, $word, "20", "{c50}", "{c51}"),
        )
    };
}
macro_rules! row {
    ($multiply:literal, $add:literal, $word:literal, $row:literal, $c0:literal, $c1:literal) => {
        concat!(
            "vpbroadcastd {x}, dword ptr [{a} + 24*",
            $word,
            " + ",
            $row,
            "]\n",
            $multiply,
            " {t}, {b0}, {x}\n",
            $multiply,
            " {x}, {b1}, {x}\n",
            $add,
            " ",
            $c0,
            ", ",
            $c0,
            ", {t}\n",
            $add,
            " ",
            $c1,
            ", ",
            $c1,
            ", {x}\n",
        )
    };
}

/// `sums += Σ` of all words of a group (or of those that are summed in 16 bits), for 6 rows and 2 vectors: 12 sums, 2 weights,
/// a factor and a product in registers. (Left to itself, the compiler moves sums between registers; a loop of so few rounds
/// is left by a branch that the CPU didn't foresee.)
macro_rules! sums_6x2 {
    ($name:ident, $multiply:literal, $add:literal, $words:literal: $($word:literal)+) => {
        #[inline]
        #[target_feature(enable = "avx2")]
        fn $name(a: &[u32], b: &[u32], c: &mut [__m256i]) {
            assert!(a.len() >= $words * 6 && b.len() >= $words * PANEL && c.len() == 12);
            // SAFETY: reads $words rows of 6 and of 16 words, which the assertion found there, and changes the named registers.
            unsafe {
                std::arch::asm!(
                    $(word!($multiply, $add, $word),)+
                    a = in(reg) a.as_ptr(),
                    b = in(reg) b.as_ptr(),
                    b0 = out(ymm_reg) _,
                    b1 = out(ymm_reg) _,
                    x = out(ymm_reg) _,
                    t = out(ymm_reg) _,
                    c00 = inout(ymm_reg) c[0],
                    c01 = inout(ymm_reg) c[1],
                    c10 = inout(ymm_reg) c[2],
                    c11 = inout(ymm_reg) c[3],
                    c20 = inout(ymm_reg) c[4],
                    c21 = inout(ymm_reg) c[5],
                    c30 = inout(ymm_reg) c[6],
                    c31 = inout(ymm_reg) c[7],
                    c40 = inout(ymm_reg) c[8],
                    c41 = inout(ymm_reg) c[9],
                    c50 = inout(ymm_reg) c[10],
                    c51 = inout(ymm_reg) c[11],
                    options(nostack, readonly, preserves_flags),
                );
            }
        }
    };
}
sums_6x2!(pairs_6x2, "vpmaddwd", "vpaddd", 16:
    "0" "1" "2" "3" "4" "5" "6" "7" "8" "9" "10" "11" "12" "13" "14" "15");
sums_6x2!(fours_6x2, "vpmaddubsw", "vpaddw", 4: "0" "1" "2" "3");
