//! Integer sums of 6 rows and a panel with AVX2, in assembly.
#![expect(unsafe_code, reason = "assembly; an `Avx2` value proves that the CPU has it")]

use std::arch::x86_64::__m256i;

use super::PANEL;

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
        pub(super) fn $name(a: &[u32], b: &[u32], c: &mut [__m256i]) {
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
