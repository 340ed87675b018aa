//! AVX-512, and AVX-512 with bf16 products.
#![expect(
    unsafe_code,
    reason = "intrinsics and functions compiled for them; a token proves that the CPU has them"
)]
#![allow(clippy::wildcard_imports, reason = "dozens of intrinsics whose names say where they are from")]

use std::arch::x86_64::*;

use simd::{Avx512, Avx512Bf16, Integers, Kernel, Simd};

use super::{PANEL, Tile, Tiles, avx2, impl_tile, impl_tile_fours, impl_tile_int8};

impl Tiles for Avx512 {
    const MR: usize = 14;
    const NP: usize = 2;
    const ATTN_MR: usize = 8;
    const ATTN_NP: usize = 3;

    impl_tile!(1: (1, 1), (2, 1), (4, 1), (8, 1), (14, 1), (1, 2), (2, 2), (4, 2), (14, 2), (8, 2), (8, 3));
    impl_tile_int8!(1, 1: (1, 1, 1), (2, 2, 1), (4, 4, 1), (14, 7, 1), (1, 1, 2), (2, 2, 2), (4, 4, 2), (14, 7, 2));
    impl_tile_fours!(1: (1, 1, 1), (2, 2, 1), (4, 4, 1), (14, 7, 1), (1, 1, 2), (2, 2, 2), (4, 4, 2), (14, 7, 2));

    #[inline(always)]
    fn pack_rows(self, src: &[f32], stride: usize, mr: usize, k: usize, dst: &mut [f32]) {
        avx2::pack_rows(self.avx2(), src, stride, mr, k, dst);
    }

    #[inline(always)]
    fn transpose16(self, src: &[u32], stride: usize, k: usize, dst: &mut [u32]) {
        avx2::transpose16(self.avx2(), src, stride, k, dst);
    }

    #[inline(always)]
    fn pack_pairs(self, even: &[f32], odd: &[f32], dst: &mut [u32]) {
        self.avx2().pack_pairs(even, odd, dst);
    }
}

impl Tiles for Avx512Bf16 {
    const MR: usize = Avx512::MR;
    const NP: usize = Avx512::NP;
    const ATTN_MR: usize = Avx512::ATTN_MR;
    const ATTN_NP: usize = Avx512::ATTN_NP;

    impl_tile_int8!(1, 1: (1, 1, 1), (2, 2, 1), (4, 4, 1), (14, 7, 1), (1, 1, 2), (2, 2, 2), (4, 4, 2), (14, 7, 2));
    impl_tile_fours!(1: (1, 1, 1), (2, 2, 1), (4, 4, 1), (14, 14, 1), (1, 1, 2), (2, 2, 2), (4, 4, 2), (14, 14, 2));

    #[inline(always)]
    fn tile(self, tile: Tile<'_, f32>, c: &mut [f32]) {
        self.avx512().tile(tile, c);
    }

    #[inline(always)]
    fn pack_rows(self, src: &[f32], stride: usize, mr: usize, k: usize, dst: &mut [f32]) {
        self.avx512().pack_rows(src, stride, mr, k, dst);
    }

    #[inline(always)]
    fn transpose16(self, src: &[u32], stride: usize, k: usize, dst: &mut [u32]) {
        self.avx512().transpose16(src, stride, k, dst);
    }

    #[inline(always)]
    fn tile_bf16(self, tile: Tile<'_, u32>, c: &mut [f32]) {
        self.enter(Pairs(tile, c));
    }

    #[inline(always)]
    fn store_bf16(self, low: __m512, high: __m512, dst: &mut [u16]) {
        let dst = &mut dst[..2 * PANEL];
        // SAFETY: `self` proves that the CPU has AVX-512 with bf16; 32 numbers are written to a slice of 32.
        unsafe {
            let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(dst.as_mut_ptr().cast(), both);
        }
    }

    #[inline(always)]
    fn pack_pairs(self, even: &[f32], odd: &[f32], dst: &mut [u32]) {
        let (e, o) = (self.load(even), self.load(odd));
        let dst = &mut dst[..PANEL];
        // SAFETY: `self` proves that the CPU has AVX-512 with bf16; sixteen words are written to a slice of sixteen.
        unsafe {
            // The lower half of `both` holds the 16 even values: word i of the result is (even i, odd i).
            let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(o, e));
            let even = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(both));
            let odd = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64::<1>(both));
            let pairs = _mm512_or_si512(even, _mm512_slli_epi32::<16>(odd));
            _mm512_storeu_si512(dst.as_mut_ptr().cast(), pairs);
        }
    }
}

/// A tile of bf16 pairs and where it goes.
struct Pairs<'a>(Tile<'a, u32>, &'a mut [f32]);

impl Kernel<Avx512Bf16> for Pairs<'_> {
    #[inline(always)]
    fn run(self, s: Avx512Bf16) {
        let Self(tile, c) = self;
        match (tile.rows, tile.panels) {
            (1, 1) => tile_bf16::<1, 1>(s, tile, c),
            (2, 1) => tile_bf16::<2, 1>(s, tile, c),
            (4, 1) => tile_bf16::<4, 1>(s, tile, c),
            (8, 1) => tile_bf16::<8, 1>(s, tile, c),
            (14, 1) => tile_bf16::<14, 1>(s, tile, c),
            (1, 2) => tile_bf16::<1, 2>(s, tile, c),
            (2, 2) => tile_bf16::<2, 2>(s, tile, c),
            (4, 2) => tile_bf16::<4, 2>(s, tile, c),
            (8, 2) => tile_bf16::<8, 2>(s, tile, c),
            (14, 2) => tile_bf16::<14, 2>(s, tile, c),
            (8, 3) => tile_bf16::<8, 3>(s, tile, c),
            other => unreachable!("no tile of {other:?}"),
        }
    }
}

/// A tile of bf16 pairs:
///
/// ```text
/// for each pair step p: for each row i, panel j: c[i][j] += a[p][i].even · b[j][p].even + a[p][i].odd · b[j][p].odd
/// ```
#[inline(always)]
fn tile_bf16<const MR: usize, const NP: usize>(s: Avx512Bf16, tile: Tile<'_, u32>, c: &mut [f32]) {
    let strip = tile.a[..tile.k * MR].chunks_exact(MR);
    let mut b = [&tile.b[..0]; NP];
    for (j, b) in b.iter_mut().enumerate() {
        *b = &tile.b[j * tile.panel_stride..j * tile.panel_stride + tile.k * PANEL];
    }
    let mut acc = [[s.splat(0.0); NP]; MR];
    for (p, a) in strip.enumerate() {
        let bv: [__m512i; NP] = std::array::from_fn(|j| s.load_words(&b[j][p * PANEL..]));
        for i in 0..MR {
            let a = s.splat_word(a[i]);
            for j in 0..NP {
                // SAFETY: `s` proves that the CPU has AVX-512 with bf16; words and pairs are 512 bits.
                acc[i][j] = unsafe {
                    let a = std::mem::transmute::<__m512i, __m512bh>(a);
                    let b = std::mem::transmute::<__m512i, __m512bh>(bv[j]);
                    _mm512_dpbf16_ps(acc[i][j], a, b)
                };
            }
        }
    }
    for i in 0..MR {
        for j in 0..NP {
            let c = &mut c[i * tile.ldc + j * PANEL..];
            let acc = if tile.accumulate { s.add(s.load(c), acc[i][j]) } else { acc[i][j] };
            s.store(acc, c);
        }
    }
}
