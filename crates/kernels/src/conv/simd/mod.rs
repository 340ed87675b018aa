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
mod x86;
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "aarch64")]
pub(super) use arm::Neon;
