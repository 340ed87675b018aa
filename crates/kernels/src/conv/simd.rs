//! The vectors that the convolution kernels are written in: one trait, an implementation for each instruction set.
#![expect(unsafe_code, reason = "vector intrinsics")]

use super::tile::{self, Product};

/// A vector of `f32` lanes.
///
/// # Safety
/// Every method may use the instruction set that the implementing type is named after: callers run on a CPU that has
/// it ([`crate::Level::is_supported`]), inside a function compiled for it. Pointers are valid for
/// [`Simd::LANES`] elements.
pub(super) trait Simd: Copy + 'static {
    /// The register.
    type V: Copy;
    /// Lanes of a register: 16, or a divisor of 8.
    const LANES: usize;
    /// All lanes the same.
    unsafe fn splat(x: f32) -> Self::V;
    /// Unaligned load.
    unsafe fn load(p: *const f32) -> Self::V;
    /// Unaligned store.
    unsafe fn store(p: *mut f32, v: Self::V);
    /// `a + b`
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The smaller of each pair.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// The larger of each pair.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// To the nearest integer, ties to even.
    unsafe fn round(a: Self::V) -> Self::V;
    /// `2^n` for integral lanes in -126..=127.
    unsafe fn pow2(n: Self::V) -> Self::V;
    /// Sum of the lanes.
    unsafe fn sum(a: Self::V) -> f32;

    /// [`super::tile::product`], compiled once for the instruction set.
    ///
    /// # Safety
    /// As there.
    unsafe fn product(p: &Product<'_>);

    /// [`super::tile::product_pair`], compiled once for the instruction set.
    ///
    /// # Safety
    /// As there.
    unsafe fn product_pair(p: &Product<'_>, c2: *mut f32);

    /// `acc[i][v] += Σ_k rows[i][k] · b[k·step + v·next ..]`
    ///
    /// # Safety
    /// `rows` are valid for `k` elements, `b` for all vectors at those offsets.
    #[inline(always)]
    unsafe fn accumulate<const MR: usize, const NV: usize>(
        rows: &[*const f32; MR],
        k: usize,
        b: *const f32,
        next: usize,
        step: usize,
        acc: &mut [[Self::V; NV]; MR],
    ) {
        // SAFETY: the caller's.
        unsafe { accumulate::<Self, MR, NV>(rows, k, b, next, step, acc) };
    }
}

/// [`Simd::accumulate`] as the compiler arranges it.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn accumulate<S: Simd, const MR: usize, const NV: usize>(
    rows: &[*const f32; MR],
    k: usize,
    b: *const f32,
    next: usize,
    step: usize,
    acc: &mut [[S::V; NV]; MR],
) {
    let mut b = b;
    for k in 0..k {
        // SAFETY: the caller's.
        unsafe {
            let mut bv = [S::splat(0.0); NV];
            for (v, bv) in bv.iter_mut().enumerate() {
                *bv = S::load(b.wrapping_add(v * next));
            }
            for (acc, row) in acc.iter_mut().zip(rows) {
                let x = S::splat(row.wrapping_add(k).read_unaligned());
                for (acc, bv) in acc.iter_mut().zip(bv) {
                    *acc = S::fma(x, bv, *acc);
                }
            }
        }
        b = b.wrapping_add(step);
    }
}

/// Defines the products of an instruction set as functions compiled for it.
macro_rules! products {
    ($this:ty $(, $feature:literal)?) => {
        #[inline(always)]
        unsafe fn product(p: &Product<'_>) {
            $(#[target_feature(enable = $feature)])?
            unsafe fn compiled(p: &Product<'_>) {
                // SAFETY: the caller's.
                unsafe { tile::product::<$this>(p) }
            }
            // SAFETY: the caller's; the CPU has what the implementing type is named after.
            unsafe { compiled(p) }
        }
        #[inline(always)]
        unsafe fn product_pair(p: &Product<'_>, c2: *mut f32) {
            $(#[target_feature(enable = $feature)])?
            unsafe fn compiled(p: &Product<'_>, c2: *mut f32) {
                // SAFETY: the caller's.
                unsafe { tile::product_pair::<$this>(p, c2) }
            }
            // SAFETY: the caller's; the CPU has what the implementing type is named after.
            unsafe { compiled(p, c2) }
        }
    };
}

/// `exp(x)` for lanes in -87..=88, clamped outside; relative error below 2e-7.
///
/// Cody–Waite reduction `x = n ln 2 + r`, a degree-6 Taylor polynomial on |r| <= ln 2 / 2, scaling by `2^n`.
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
pub(super) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller vouches for the instruction set.
    unsafe {
        let x = S::min(S::max(x, S::splat(-87.0)), S::splat(88.0));
        let n = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
        let r = S::fma(n, S::splat(-0.693_359_4), x); // ln 2 in two parts: the first has 9 bits
        let r = S::fma(n, S::splat(2.121_944_4e-4), r);
        let mut p = S::splat(1.0 / 720.0);
        for c in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            p = S::fma(p, r, S::splat(c));
        }
        S::mul(p, S::pow2(n))
    }
}

/// Plain Rust, eight lanes.
#[derive(Clone, Copy)]
pub(super) struct Portable;

macro_rules! lanes {
    ($f:expr) => {{
        let mut out = [0.0_f32; 8];
        for (i, o) in out.iter_mut().enumerate() {
            *o = $f(i);
        }
        out
    }};
}

impl Simd for Portable {
    type V = [f32; 8];
    const LANES: usize = 8;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        // SAFETY: valid for 8 elements; an array has the alignment of its element.
        unsafe { *p.cast() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        // SAFETY: valid for 8 elements; an array has the alignment of its element.
        unsafe { *p.cast() = v }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        lanes!(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        lanes!(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        lanes!(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        lanes!(|i| a[i] / b[i])
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // `mul_add` is a function call where the CPU has no such instruction.
        lanes!(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        lanes!(|i: usize| a[i].min(b[i]))
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        lanes!(|i: usize| a[i].max(b[i]))
    }
    #[inline(always)]
    unsafe fn round(a: Self::V) -> Self::V {
        lanes!(|i: usize| a[i].round_ties_even())
    }
    #[inline(always)]
    unsafe fn pow2(n: Self::V) -> Self::V {
        lanes!(|i: usize| f32::from_bits(((n[i] as i32 + 127) << 23) as u32))
    }
    #[inline(always)]
    unsafe fn sum(a: Self::V) -> f32 {
        a.iter().sum()
    }
    products!(Portable);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
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
}
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "aarch64")]
mod arm {
    use super::{Product, Simd, tile};
    use std::arch::aarch64::*;

    /// NEON of 64-bit Arm.
    #[derive(Clone, Copy)]
    pub(crate) struct Neon;

    // SAFETY (every block below): the trait's contract says that the CPU has NEON, and that pointers are valid for a
    // whole register.
    impl Simd for Neon {
        type V = float32x4_t;
        const LANES: usize = 4;
        #[inline(always)]
        unsafe fn splat(x: f32) -> float32x4_t {
            // SAFETY: see above.
            unsafe { vdupq_n_f32(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> float32x4_t {
            // SAFETY: see above.
            unsafe { vld1q_f32(p) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: float32x4_t) {
            // SAFETY: see above.
            unsafe { vst1q_f32(p, v) }
        }
        #[inline(always)]
        unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            // SAFETY: see above.
            unsafe { vaddq_f32(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            // SAFETY: see above.
            unsafe { vsubq_f32(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            // SAFETY: see above.
            unsafe { vmulq_f32(a, b) }
        }
        #[inline(always)]
        unsafe fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            // SAFETY: see above.
            unsafe { vdivq_f32(a, b) }
        }
        #[inline(always)]
        unsafe fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
            // SAFETY: see above.
            unsafe { vfmaq_f32(c, a, b) }
        }
        #[inline(always)]
        unsafe fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            // SAFETY: see above.
            unsafe { vminq_f32(a, b) }
        }
        #[inline(always)]
        unsafe fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            // SAFETY: see above.
            unsafe { vmaxq_f32(a, b) }
        }
        #[inline(always)]
        unsafe fn round(a: float32x4_t) -> float32x4_t {
            // SAFETY: see above.
            unsafe { vrndnq_f32(a) }
        }
        #[inline(always)]
        unsafe fn pow2(n: float32x4_t) -> float32x4_t {
            // SAFETY: see above.
            unsafe {
                let n = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
                vreinterpretq_f32_s32(vshlq_n_s32::<23>(n))
            }
        }
        #[inline(always)]
        unsafe fn sum(a: float32x4_t) -> f32 {
            // SAFETY: see above.
            unsafe { vaddvq_f32(a) }
        }
        products!(Neon, "neon");
    }
}
#[cfg(target_arch = "aarch64")]
pub(super) use arm::Neon;
