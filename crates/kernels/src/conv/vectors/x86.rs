//! AVX2 with FMA, and AVX-512.

use std::arch::asm;
use std::arch::x86_64::{
    __m256, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehdup_ps, _mm_movehl_ps, _mm256_castps256_ps128,
    _mm256_extractf128_ps,
};

use simd::{Avx2, Avx512, Simd};

use super::{Vectors, accumulate};

impl Vectors for Avx512 {
    #[inline(always)]
    fn total(self, v: Self::V) -> f32 {
        self.sum(v)
    }
}

impl Vectors for Avx2 {
    #[inline(always)]
    fn total(self, v: __m256) -> f32 {
        // SAFETY: `self` proves that the CPU has AVX2; values alone.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    unsafe fn accumulate<const MR: usize, const NV: usize>(
        self,
        rows: &[*const f32; MR],
        k: usize,
        b: *const f32,
        next: usize,
        step: usize,
        acc: &mut [[__m256; NV]; MR],
    ) {
        // SAFETY: `self` proves that the CPU has AVX2 and FMA; pointers are valid by this function's contract, for panels of
        // 3 and of 2 vectors that lie side by side where the assembly reads them so.
        unsafe {
            match (MR, NV) {
                (4, 3) if (k > 0, next, step) == (true, 8, 24) => {
                    accumulate_4x3(std::array::from_fn(|i| rows[i]), k, b, acc.as_flattened_mut());
                }
                (6, 2) if (k > 0, next, step) == (true, 8, 16) => {
                    accumulate_6x2(std::array::from_fn(|i| rows[i]), k, b, acc.as_flattened_mut());
                }
                _ => accumulate(self, rows, k, b, next, step, acc),
            }
        }
    }
}

/// 4 rows by 3 vectors in the registers' order: 12 sums, 3 weights and a factor. (The compiler moves sums
/// between registers and the stack.)
///
/// # Safety
/// The CPU has AVX2 and FMA, `rows` are valid for `k` elements and `b` for `24·k`; `k` isn't 0.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn accumulate_4x3(rows: [*const f32; 4], k: usize, b: *const f32, acc: &mut [__m256]) {
    let acc = &mut acc[..12];
    // SAFETY: reads what this function's contract says is there, and changes the registers it names alone.
    unsafe {
        asm!(
            "2:",
            "vmovups {b0}, ymmword ptr [{b}]",
            "vmovups {b1}, ymmword ptr [{b} + 32]",
            "vmovups {b2}, ymmword ptr [{b} + 64]",
            "vbroadcastss {x}, dword ptr [{r0} + 4*{k}]",
            "vfmadd231ps {a00}, {x}, {b0}",
            "vfmadd231ps {a01}, {x}, {b1}",
            "vfmadd231ps {a02}, {x}, {b2}",
            "vbroadcastss {x}, dword ptr [{r1} + 4*{k}]",
            "vfmadd231ps {a10}, {x}, {b0}",
            "vfmadd231ps {a11}, {x}, {b1}",
            "vfmadd231ps {a12}, {x}, {b2}",
            "vbroadcastss {x}, dword ptr [{r2} + 4*{k}]",
            "vfmadd231ps {a20}, {x}, {b0}",
            "vfmadd231ps {a21}, {x}, {b1}",
            "vfmadd231ps {a22}, {x}, {b2}",
            "vbroadcastss {x}, dword ptr [{r3} + 4*{k}]",
            "vfmadd231ps {a30}, {x}, {b0}",
            "vfmadd231ps {a31}, {x}, {b1}",
            "vfmadd231ps {a32}, {x}, {b2}",
            "add {b}, 96",
            "inc {k}",
            "jnz 2b",
            b = inout(reg) b => _,
            k = inout(reg) k.cast_signed().wrapping_neg() => _,
            r0 = in(reg) rows[0].wrapping_add(k),
            r1 = in(reg) rows[1].wrapping_add(k),
            r2 = in(reg) rows[2].wrapping_add(k),
            r3 = in(reg) rows[3].wrapping_add(k),
            b0 = out(ymm_reg) _,
            b1 = out(ymm_reg) _,
            b2 = out(ymm_reg) _,
            x = out(ymm_reg) _,
            a00 = inout(ymm_reg) acc[0],
            a01 = inout(ymm_reg) acc[1],
            a02 = inout(ymm_reg) acc[2],
            a10 = inout(ymm_reg) acc[3],
            a11 = inout(ymm_reg) acc[4],
            a12 = inout(ymm_reg) acc[5],
            a20 = inout(ymm_reg) acc[6],
            a21 = inout(ymm_reg) acc[7],
            a22 = inout(ymm_reg) acc[8],
            a30 = inout(ymm_reg) acc[9],
            a31 = inout(ymm_reg) acc[10],
            a32 = inout(ymm_reg) acc[11],
            options(nostack, readonly),
        );
    }
}

/// 6 rows by 2 vectors in the registers' order: 12 sums, 2 weights and a factor. (The compiler moves sums
/// between registers and the stack.)
///
/// # Safety
/// The CPU has AVX2 and FMA, `rows` are valid for `k` elements and `b` for `16·k`; `k` isn't 0.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn accumulate_6x2(rows: [*const f32; 6], k: usize, b: *const f32, acc: &mut [__m256]) {
    let acc = &mut acc[..12];
    // SAFETY: reads what this function's contract says is there, and changes the registers it names alone.
    unsafe {
        asm!(
            "2:",
            "vmovups {b0}, ymmword ptr [{b}]",
            "vmovups {b1}, ymmword ptr [{b} + 32]",
            "vbroadcastss {x}, dword ptr [{r0} + 4*{k}]",
            "vfmadd231ps {a00}, {x}, {b0}",
            "vfmadd231ps {a01}, {x}, {b1}",
            "vbroadcastss {x}, dword ptr [{r1} + 4*{k}]",
            "vfmadd231ps {a10}, {x}, {b0}",
            "vfmadd231ps {a11}, {x}, {b1}",
            "vbroadcastss {x}, dword ptr [{r2} + 4*{k}]",
            "vfmadd231ps {a20}, {x}, {b0}",
            "vfmadd231ps {a21}, {x}, {b1}",
            "vbroadcastss {x}, dword ptr [{r3} + 4*{k}]",
            "vfmadd231ps {a30}, {x}, {b0}",
            "vfmadd231ps {a31}, {x}, {b1}",
            "vbroadcastss {x}, dword ptr [{r4} + 4*{k}]",
            "vfmadd231ps {a40}, {x}, {b0}",
            "vfmadd231ps {a41}, {x}, {b1}",
            "vbroadcastss {x}, dword ptr [{r5} + 4*{k}]",
            "vfmadd231ps {a50}, {x}, {b0}",
            "vfmadd231ps {a51}, {x}, {b1}",
            "add {b}, 64",
            "inc {k}",
            "jnz 2b",
            b = inout(reg) b => _,
            k = inout(reg) k.cast_signed().wrapping_neg() => _,
            r0 = in(reg) rows[0].wrapping_add(k),
            r1 = in(reg) rows[1].wrapping_add(k),
            r2 = in(reg) rows[2].wrapping_add(k),
            r3 = in(reg) rows[3].wrapping_add(k),
            r4 = in(reg) rows[4].wrapping_add(k),
            r5 = in(reg) rows[5].wrapping_add(k),
            b0 = out(ymm_reg) _,
            b1 = out(ymm_reg) _,
            x = out(ymm_reg) _,
            a00 = inout(ymm_reg) acc[0],
            a01 = inout(ymm_reg) acc[1],
            a10 = inout(ymm_reg) acc[2],
            a11 = inout(ymm_reg) acc[3],
            a20 = inout(ymm_reg) acc[4],
            a21 = inout(ymm_reg) acc[5],
            a30 = inout(ymm_reg) acc[6],
            a31 = inout(ymm_reg) acc[7],
            a40 = inout(ymm_reg) acc[8],
            a41 = inout(ymm_reg) acc[9],
            a50 = inout(ymm_reg) acc[10],
            a51 = inout(ymm_reg) acc[11],
            options(nostack, readonly),
        );
    }
}
