//! AVX2: the widest tile in assembly, packing by transposed 8×8 blocks.
#![expect(
    unsafe_code,
    reason = "assembly, and calls of functions compiled for AVX2; an `Avx2` value proves that the CPU has it"
)]
#![allow(clippy::wildcard_imports, reason = "dozens of intrinsics whose names say where they are from")]

use std::arch::x86_64::*;

use simd::{Avx2, Integers, Simd};

use super::int8_avx2::{fours_6x2, pairs_6x2};
use super::{PANEL, Tiles, impl_tile, impl_tile_fours, impl_tile_int8};
use crate::gemm::int8::Layout;

impl Tiles for Avx2 {
    const MR: usize = 6;
    const NP: usize = 1;
    const ATTN_MR: usize = 6;
    const ATTN_NP: usize = 1;

    #[inline(always)]
    fn sums<const MR: usize, const NP: usize, const VP: usize>(
        self,
        a: &[f32],
        b: &[f32],
        acc: &mut [[[__m256; VP]; NP]; MR],
    ) -> bool {
        if (MR, NP, VP) != (6, 1, 2) || a.is_empty() {
            return false;
        }
        // SAFETY: `self` proves that the CPU has AVX2 and FMA.
        unsafe { sums_6x2(a, b, acc.as_flattened_mut().as_flattened_mut()) };
        true
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
            // SAFETY: `self` proves that the CPU has AVX2 and FMA.
            unsafe { pairs_6x2(a, b, sums) };
            return true;
        }
        for narrow in (0..L::WORDS).step_by(L::NARROW) {
            let mut some = [self.zero_sums(); 12];
            for word in (narrow..narrow + L::NARROW).step_by(4) {
                // SAFETY: `self` proves that the CPU has AVX2 and FMA.
                unsafe { fours_6x2(&a[word * 6..], &b[word * PANEL..], &mut some) };
            }
            for (sum, some) in sums.iter_mut().zip(some) {
                let some = self.four_sums(some);
                *sum = if narrow == 0 { some } else { self.add_words(*sum, some) };
            }
        }
        true
    }

    impl_tile!(2: (1, 1), (2, 1), (4, 1), (6, 1));
    impl_tile_int8!(2, 2: (1, 1, 1), (2, 2, 1), (4, 4, 1), (6, 6, 1));
    impl_tile_fours!(2: (1, 1, 1), (2, 2, 1), (4, 4, 1), (6, 3, 1));

    #[inline(always)]
    fn pack_rows(self, src: &[f32], stride: usize, mr: usize, k: usize, dst: &mut [f32]) {
        pack_rows(self, src, stride, mr, k, dst);
    }

    #[inline(always)]
    fn transpose16(self, src: &[u32], stride: usize, k: usize, dst: &mut [u32]) {
        transpose16(self, src, stride, k, dst);
    }

    #[inline(always)]
    fn pack_pairs(self, even: &[f32], odd: &[f32], dst: &mut [u32]) {
        let (even, odd, dst) = (&even[..PANEL], &odd[..PANEL], &mut dst[..PANEL]);
        for i in [0, 8] {
            let (e, o) = (self.load(&even[i..]), self.load(&odd[i..]));
            let dst = &mut dst[i..i + 8];
            // SAFETY: `self` proves that the CPU has AVX2; eight words are written to a slice of eight.
            unsafe {
                let e = _mm256_srli_epi32::<16>(round_bf16(e));
                let o = _mm256_and_si256(round_bf16(o), _mm256_set1_epi32(0xffff_0000_u32.cast_signed()));
                _mm256_storeu_si256(dst.as_mut_ptr().cast(), _mm256_or_si256(e, o));
            }
        }
    }
}

/// [`Tiles::sums`] of 6 rows and 2 vectors with 12 sums, 2 weights and a factor in registers. (Left to itself, the compiler
/// moves sums between registers.)
#[inline]
#[target_feature(enable = "avx2,fma")]
fn sums_6x2(a: &[f32], b: &[f32], acc: &mut [__m256]) {
    let k = a.len() / 6;
    assert!(k > 0 && b.len() >= k * PANEL && acc.len() == 12, "a tile of 6 rows and a panel");
    // SAFETY: reads `k` rows of 6 and of 16 elements, which the assertion found there, and changes the named registers.
    unsafe {
        std::arch::asm!(
            "2:",
            "vmovups {b0}, ymmword ptr [{b}]",
            "vmovups {b1}, ymmword ptr [{b} + 32]",
            "vbroadcastss {x}, dword ptr [{a}]",
            "vfmadd231ps {c00}, {x}, {b0}",
            "vfmadd231ps {c01}, {x}, {b1}",
            "vbroadcastss {x}, dword ptr [{a} + 4]",
            "vfmadd231ps {c10}, {x}, {b0}",
            "vfmadd231ps {c11}, {x}, {b1}",
            "vbroadcastss {x}, dword ptr [{a} + 8]",
            "vfmadd231ps {c20}, {x}, {b0}",
            "vfmadd231ps {c21}, {x}, {b1}",
            "vbroadcastss {x}, dword ptr [{a} + 12]",
            "vfmadd231ps {c30}, {x}, {b0}",
            "vfmadd231ps {c31}, {x}, {b1}",
            "vbroadcastss {x}, dword ptr [{a} + 16]",
            "vfmadd231ps {c40}, {x}, {b0}",
            "vfmadd231ps {c41}, {x}, {b1}",
            "vbroadcastss {x}, dword ptr [{a} + 20]",
            "vfmadd231ps {c50}, {x}, {b0}",
            "vfmadd231ps {c51}, {x}, {b1}",
            "add {a}, 24",
            "add {b}, 64",
            "dec {k}",
            "jnz 2b",
            a = inout(reg) a.as_ptr() => _,
            b = inout(reg) b.as_ptr() => _,
            k = inout(reg) k => _,
            b0 = out(ymm_reg) _,
            b1 = out(ymm_reg) _,
            x = out(ymm_reg) _,
            c00 = inout(ymm_reg) acc[0],
            c01 = inout(ymm_reg) acc[1],
            c10 = inout(ymm_reg) acc[2],
            c11 = inout(ymm_reg) acc[3],
            c20 = inout(ymm_reg) acc[4],
            c21 = inout(ymm_reg) acc[5],
            c30 = inout(ymm_reg) acc[6],
            c31 = inout(ymm_reg) acc[7],
            c40 = inout(ymm_reg) acc[8],
            c41 = inout(ymm_reg) acc[9],
            c50 = inout(ymm_reg) acc[10],
            c51 = inout(ymm_reg) acc[11],
            options(nostack, readonly),
        );
    }
}

/// Adds what rounds the upper half to the nearest bf16, ties to even. Infinities stay; NaN keeps its sign and may become
/// another NaN or an infinity.
#[inline]
#[target_feature(enable = "avx2")]
fn round_bf16(x: __m256) -> __m256i {
    let bits = _mm256_castps_si256(x);
    let lsb = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    _mm256_add_epi32(bits, _mm256_add_epi32(lsb, _mm256_set1_epi32(0x7fff)))
}

/// See [`Tiles::pack_rows`]: 8×8 blocks, whose columns are stored in order, each over what the one before wrote beyond its
/// rows.
#[inline(always)]
pub(crate) fn pack_rows(s: Avx2, src: &[f32], stride: usize, mr: usize, k: usize, dst: &mut [f32]) {
    debug_assert!(mr <= 16, "strips are at most 16 rows high");
    // A last column has no other after it; lower strips would need several.
    let whole = if mr < 4 { 0 } else { (k - usize::from(!mr.is_multiple_of(8))) / 8 * 8 };
    for j in (0..whole).step_by(8) {
        let mut columns = [[s.splat(0.0); 8]; 2];
        for (part, columns) in columns.iter_mut().enumerate().take(mr.div_ceil(8)) {
            let mut rows = [s.splat(0.0); 8];
            for (i, row) in rows.iter_mut().enumerate().take(mr - 8 * part) {
                *row = s.load(&src[(8 * part + i) * stride + j..]);
            }
            // SAFETY: `s` proves that the CPU has AVX2.
            *columns = unsafe { transpose8(rows) };
        }
        for i in 0..8 {
            for (part, columns) in columns.iter().enumerate().take(mr.div_ceil(8)) {
                s.store(columns[i], &mut dst[(j + i) * mr + 8 * part..]);
            }
        }
    }
    if whole < k {
        super::portable::pack_rows(&src[whole..], stride, mr, k - whole, &mut dst[whole * mr..]);
    }
}

/// See [`Tiles::transpose16`]: two columns of 8×8 blocks, the rest one by one.
#[inline(always)]
pub(crate) fn transpose16(s: Avx2, src: &[u32], stride: usize, k: usize, dst: &mut [u32]) {
    let whole = k / 8 * 8;
    let (src_all, dst) = (&src[..15 * stride + k], &mut dst[..k * PANEL]);
    for half in [0, 8] {
        for j in (0..whole).step_by(8) {
            let mut rows = [s.splat(0.0); 8];
            for (i, row) in rows.iter_mut().enumerate() {
                let at = (half + i) * stride + j;
                *row = s.load(bytemuck::cast_slice(&src_all[at..at + 8]));
            }
            // SAFETY: `s` proves that the CPU has AVX2.
            let columns = unsafe { transpose8(rows) };
            for (i, column) in columns.into_iter().enumerate() {
                let at = (j + i) * PANEL + half;
                s.store(column, bytemuck::cast_slice_mut(&mut dst[at..at + 8]));
            }
        }
    }
    if whole < k {
        super::portable::transpose16(&src_all[whole..], stride, k - whole, &mut dst[whole * PANEL..]);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn transpose8(r: [__m256; 8]) -> [__m256; 8] {
    let lo = |a, b| _mm256_unpacklo_ps(a, b);
    let hi = |a, b| _mm256_unpackhi_ps(a, b);
    let t = [
        lo(r[0], r[1]),
        hi(r[0], r[1]),
        lo(r[2], r[3]),
        hi(r[2], r[3]),
        lo(r[4], r[5]),
        hi(r[4], r[5]),
        lo(r[6], r[7]),
        hi(r[6], r[7]),
    ];
    let even = |a, b| _mm256_shuffle_ps::<0b01_00_01_00>(a, b);
    let odd = |a, b| _mm256_shuffle_ps::<0b11_10_11_10>(a, b);
    let u = [
        even(t[0], t[2]),
        odd(t[0], t[2]),
        even(t[1], t[3]),
        odd(t[1], t[3]),
        even(t[4], t[6]),
        odd(t[4], t[6]),
        even(t[5], t[7]),
        odd(t[5], t[7]),
    ];
    let low = |a, b| _mm256_permute2f128_ps::<0x20>(a, b);
    let high = |a, b| _mm256_permute2f128_ps::<0x31>(a, b);
    [
        low(u[0], u[4]),
        low(u[1], u[5]),
        low(u[2], u[6]),
        low(u[3], u[7]),
        high(u[0], u[4]),
        high(u[1], u[5]),
        high(u[2], u[6]),
        high(u[3], u[7]),
    ]
}
