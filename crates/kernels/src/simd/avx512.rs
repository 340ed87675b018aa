//! AVX-512, and AVX-512 with bf16 products.
#![expect(unsafe_code, reason = "x86 intrinsics; a token proves that the CPU has them")]
#![allow(clippy::wildcard_imports, reason = "dozens of intrinsics whose names say where they are from")]

use std::arch::x86_64::*;

use half::bf16;

use super::avx2::{self, Avx2};
use super::{Kernel, PANEL, Simd, Tile, impl_tile, impl_tile_int8};
use crate::Level;

/// Proof that the CPU has [`Level::Avx512`]: made by [`Avx512::checked`] alone.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(Avx2);

/// Proof that the CPU has [`Level::Avx512Bf16`]: made by [`Avx512Bf16::checked`] alone.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Bf16(Avx512);

impl Avx512 {
    /// The token.
    ///
    /// # Panics
    /// If the CPU lacks a feature of the level.
    #[inline]
    pub(crate) fn checked() -> Self {
        assert!(Level::Avx512.is_supported(), "the CPU has no AVX-512");
        Self(Avx2::checked())
    }

    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Out {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn inner<K: Kernel>(s: Avx512, kernel: K) -> K::Out {
            kernel.run(s)
        }
        // SAFETY: `checked` saw the features.
        unsafe { inner(self, kernel) }
    }
}

impl Avx512Bf16 {
    /// The token.
    ///
    /// # Panics
    /// If the CPU lacks a feature of the level.
    #[inline]
    pub(crate) fn checked() -> Self {
        assert!(Level::Avx512Bf16.is_supported(), "the CPU has no AVX-512 with bf16 products");
        Self(Avx512::checked())
    }

    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Out {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni,avx2,fma")]
        fn inner<K: Kernel>(s: Avx512Bf16, kernel: K) -> K::Out {
            kernel.run(s)
        }
        // SAFETY: `checked` saw the features.
        unsafe { inner(self, kernel) }
    }
}

/// Calls intrinsics.
macro_rules! avx512 {
    ($e:expr) => {
        // SAFETY: a value of the level's token exists, so the CPU has its features (`checked`); memory operands are
        // slices whose length the caller of this macro has just checked.
        unsafe { $e }
    };
}

impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    const MR: usize = 14;
    const NP: usize = 2;
    const ATTN_MR: usize = 8;
    const ATTN_NP: usize = 3;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        avx512!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    fn load(self, src: &[f32]) -> __m512 {
        let src = &src[..16];
        avx512!(_mm512_loadu_ps(src.as_ptr()))
    }
    #[inline(always)]
    fn store(self, v: __m512, dst: &mut [f32]) {
        let dst = &mut dst[..16];
        avx512!(_mm512_storeu_ps(dst.as_mut_ptr(), v));
    }
    #[inline(always)]
    fn load_bf16(self, src: &[bf16]) -> __m512 {
        let src = &src[..16];
        avx512!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(
            src.as_ptr().cast()
        )))))
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        avx512!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn zero_if_lt(self, x: __m512, limit: __m512, v: __m512) -> __m512 {
        avx512!(_mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, limit), v))
    }
    #[inline(always)]
    fn shl23(self, v: __m512) -> __m512 {
        avx512!(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(v))))
    }
    #[inline(always)]
    fn copysign(self, a: __m512, b: __m512) -> __m512 {
        avx512!({
            let sign = _mm512_set1_ps(-0.0);
            _mm512_or_ps(_mm512_andnot_ps(sign, a), _mm512_and_ps(sign, b))
        })
    }
    #[inline(always)]
    fn split_pairs(self, pairs: &[u32]) -> (__m512, __m512) {
        let pairs = &pairs[..16];
        avx512!({
            let x = _mm512_loadu_si512(pairs.as_ptr().cast());
            let first = _mm512_slli_epi32::<16>(x);
            let second = _mm512_and_si512(x, _mm512_set1_epi32(0xffff_0000_u32.cast_signed()));
            (_mm512_castsi512_ps(first), _mm512_castsi512_ps(second))
        })
    }
    #[inline(always)]
    fn swap_pairs(self, v: __m512) -> __m512 {
        avx512!(_mm512_permute_ps::<0b1011_0001>(v))
    }
    #[inline(always)]
    fn addsub(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_fmaddsub_ps(a, _mm512_set1_ps(1.0), b))
    }
    #[inline(always)]
    fn load_dup(self, src: &[f32]) -> __m512 {
        let src = &src[..8];
        avx512!({
            let x = _mm512_castps256_ps512(_mm256_loadu_ps(src.as_ptr()));
            _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), x)
        })
    }
    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        avx512!(_mm512_reduce_add_ps(v))
    }
    #[inline(always)]
    fn max_lane(self, v: __m512) -> f32 {
        avx512!(_mm512_reduce_max_ps(v))
    }

    impl_tile!(1: (1, 1), (2, 1), (4, 1), (8, 1), (14, 1), (1, 2), (2, 2), (4, 2), (14, 2), (8, 2), (8, 3));
    impl_tile_int8!(1, 1: (1, 1), (2, 1), (4, 1), (14, 1), (1, 2), (2, 2), (4, 2), (14, 2));

    #[inline(always)]
    fn pack_rows(self, src: &[f32], stride: usize, mr: usize, k: usize, dst: &mut [f32]) {
        avx2::pack_rows(self.0, src, stride, mr, k, dst);
    }

    #[inline(always)]
    fn transpose16(self, src: &[u32], stride: usize, k: usize, dst: &mut [u32]) {
        avx2::transpose16(self.0, src, stride, k, dst);
    }

    #[inline(always)]
    fn pack_pairs(self, even: &[f32], odd: &[f32], dst: &mut [u32]) {
        self.0.pack_pairs(even, odd, dst);
    }
}

/// Forwards to [`Avx512`].
macro_rules! forward {
    ($($name:ident($($arg:ident: $t:ty),*) $(-> $out:ty)?;)+) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $t),*) $(-> $out)? {
            self.0.$name($($arg),*)
        })+
    };
}

impl Simd for Avx512Bf16 {
    type V = __m512;
    const LANES: usize = Avx512::LANES;
    const MR: usize = Avx512::MR;
    const NP: usize = Avx512::NP;
    const ATTN_MR: usize = Avx512::ATTN_MR;
    const ATTN_NP: usize = Avx512::ATTN_NP;

    impl_tile_int8!(1, 1: (1, 1), (2, 1), (4, 1), (14, 1), (1, 2), (2, 2), (4, 2), (14, 2));

    forward! {
        splat(x: f32) -> __m512;
        load(src: &[f32]) -> __m512;
        store(v: __m512, dst: &mut [f32]);
        load_bf16(src: &[bf16]) -> __m512;
        add(a: __m512, b: __m512) -> __m512;
        sub(a: __m512, b: __m512) -> __m512;
        mul(a: __m512, b: __m512) -> __m512;
        div(a: __m512, b: __m512) -> __m512;
        max(a: __m512, b: __m512) -> __m512;
        min(a: __m512, b: __m512) -> __m512;
        fma(a: __m512, b: __m512, c: __m512) -> __m512;
        zero_if_lt(x: __m512, limit: __m512, v: __m512) -> __m512;
        shl23(v: __m512) -> __m512;
        copysign(a: __m512, b: __m512) -> __m512;
        split_pairs(pairs: &[u32]) -> (__m512, __m512);
        swap_pairs(v: __m512) -> __m512;
        addsub(a: __m512, b: __m512) -> __m512;
        load_dup(src: &[f32]) -> __m512;
        sum(v: __m512) -> f32;
        max_lane(v: __m512) -> f32;
        tile(tile: Tile<'_, f32>, c: &mut [f32]);
        pack_rows(src: &[f32], stride: usize, mr: usize, k: usize, dst: &mut [f32]);
        transpose16(src: &[u32], stride: usize, k: usize, dst: &mut [u32]);
    }

    #[inline(always)]
    fn tile_bf16(self, tile: Tile<'_, u32>, c: &mut [f32]) {
        match (tile.rows, tile.panels) {
            (1, 1) => avx512!(tile_bf16::<1, 1>(self, tile, c)),
            (2, 1) => avx512!(tile_bf16::<2, 1>(self, tile, c)),
            (4, 1) => avx512!(tile_bf16::<4, 1>(self, tile, c)),
            (8, 1) => avx512!(tile_bf16::<8, 1>(self, tile, c)),
            (14, 1) => avx512!(tile_bf16::<14, 1>(self, tile, c)),
            (1, 2) => avx512!(tile_bf16::<1, 2>(self, tile, c)),
            (2, 2) => avx512!(tile_bf16::<2, 2>(self, tile, c)),
            (4, 2) => avx512!(tile_bf16::<4, 2>(self, tile, c)),
            (8, 2) => avx512!(tile_bf16::<8, 2>(self, tile, c)),
            (14, 2) => avx512!(tile_bf16::<14, 2>(self, tile, c)),
            (8, 3) => avx512!(tile_bf16::<8, 3>(self, tile, c)),
            other => unreachable!("no tile of {other:?}"),
        }
    }

    #[inline(always)]
    fn pack_pairs(self, even: &[f32], odd: &[f32], dst: &mut [u32]) {
        let (e, o) = (self.load(even), self.load(odd));
        let dst = &mut dst[..PANEL];
        avx512!({
            // The lower half of `both` holds the 16 even values: word i of the result is (even i, odd i).
            let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(o, e));
            let even = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(both));
            let odd = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64::<1>(both));
            let pairs = _mm512_or_si512(even, _mm512_slli_epi32::<16>(odd));
            _mm512_storeu_si512(dst.as_mut_ptr().cast(), pairs);
        });
    }
}

/// A tile of bf16 pairs:
///
/// ```text
/// for each pair step p: for each row i, panel j: c[i][j] += a[p][i].even · b[j][p].even + a[p][i].odd · b[j][p].odd
/// ```
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni,avx2,fma")]
fn tile_bf16<const MR: usize, const NP: usize>(s: Avx512Bf16, tile: Tile<'_, u32>, c: &mut [f32]) {
    let a = tile.a[..tile.k * MR].chunks_exact(MR);
    let mut b = [&tile.b[..0]; NP];
    for (j, b) in b.iter_mut().enumerate() {
        *b = &tile.b[j * tile.panel_stride..j * tile.panel_stride + tile.k * PANEL];
    }
    let mut acc = [[s.splat(0.0); NP]; MR];
    for (p, a) in a.enumerate() {
        let mut bv = [_mm512_setzero_si512(); NP];
        for j in 0..NP {
            let b = &b[j][p * PANEL..p * PANEL + PANEL];
            bv[j] = avx512!(_mm512_loadu_si512(b.as_ptr().cast()));
        }
        for i in 0..MR {
            let a = _mm512_set1_epi32(a[i].cast_signed());
            for j in 0..NP {
                acc[i][j] = avx512!(_mm512_dpbf16_ps(
                    acc[i][j],
                    std::mem::transmute::<__m512i, __m512bh>(a),
                    std::mem::transmute::<__m512i, __m512bh>(bv[j])
                ));
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
