//! AVX2 with FMA, and AVX-512.

use super::{Product, Simd, accumulate, tile};
use std::arch::asm;
use std::arch::x86_64::*;

/// AVX2 with FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

// SAFETY (every block below): the trait's contract says that the CPU has AVX2 and FMA, and that pointers are
// valid for a whole register.
impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m256) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn min(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn round(a: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    unsafe fn pow2(n: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe {
            let n = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(n))
        }
    }
    #[inline(always)]
    unsafe fn sum(a: __m256) -> f32 {
        // SAFETY: see above.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
    products!(Avx2, "avx2,fma");

    #[inline(always)]
    unsafe fn accumulate<const MR: usize, const NV: usize>(
        rows: &[*const f32; MR],
        k: usize,
        b: *const f32,
        next: usize,
        step: usize,
        acc: &mut [[__m256; NV]; MR],
    ) {
        // SAFETY: see above; the caller vouches for the pointers.
        unsafe {
            match (MR, NV) {
                (4, 3) if (k > 0, next, step) == (true, 8, 24) => {
                    accumulate_4x3(std::array::from_fn(|i| rows[i]), k, b, acc.as_flattened_mut());
                }
                (6, 2) if (k > 0, next, step) == (true, 8, 16) => {
                    accumulate_6x2(std::array::from_fn(|i| rows[i]), k, b, acc.as_flattened_mut());
                }
                _ => accumulate::<Self, MR, NV>(rows, k, b, next, step, acc),
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
    // SAFETY: reads rows and weights as the caller vouches for, and changes the registers it names alone.
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
    // SAFETY: reads rows and weights as the caller vouches for, and changes the registers it names alone.
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

/// AVX-512 F.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

// SAFETY (every block below): the trait's contract says that the CPU has AVX-512 F, and that pointers are valid
// for a whole register.
impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m512) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn round(a: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    unsafe fn pow2(n: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe {
            let n = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(n))
        }
    }
    #[inline(always)]
    unsafe fn sum(a: __m512) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_add_ps(a) }
    }
    products!(Avx512, "avx512f");
}
