//! Plain Rust.

use half::bf16;
use simd::{Portable, Simd};

use super::{PANEL, Tiles, impl_tile, impl_tile_fours, impl_tile_int8};

impl Tiles for Portable<4> {
    const MR: usize = 2;
    const NP: usize = 1;
    const ATTN_MR: usize = 2;
    const ATTN_NP: usize = 1;

    impl_tile!(4: (1, 1), (2, 1), (4, 1));
    impl_tile_int8!(4, 4: (1, 1, 1), (2, 2, 1), (4, 4, 1));
    impl_tile_fours!(4: (1, 1, 1), (2, 1, 1), (4, 1, 1));
}

/// See [`Tiles::transpose16`].
#[inline(always)]
pub(super) fn transpose16(src: &[u32], stride: usize, k: usize, dst: &mut [u32]) {
    let rows: [&[u32]; PANEL] = std::array::from_fn(|i| &src[i * stride..i * stride + k]);
    for (j, dst) in dst[..k * PANEL].chunks_exact_mut(PANEL).enumerate() {
        for (dst, row) in dst.iter_mut().zip(rows) {
            *dst = row[j];
        }
    }
}

/// See [`Tiles::pack_pairs`].
#[inline(always)]
pub(super) fn pack_pairs(even: &[f32], odd: &[f32], dst: &mut [u32]) {
    for ((dst, even), odd) in dst.iter_mut().zip(even).zip(odd) {
        *dst = pair(*even, *odd);
    }
}

/// See [`Tiles::store_bf16`].
#[inline(always)]
pub(super) fn round(values: &[f32], dst: &mut [u16]) {
    for (dst, x) in dst.iter_mut().zip(values) {
        *dst = bf16::from_f32(*x).to_bits();
    }
}

/// Two values as bf16, the first in the low half.
#[inline(always)]
pub(crate) fn pair(even: f32, odd: f32) -> u32 {
    u32::from(bf16::from_f32(even).to_bits()) | u32::from(bf16::from_f32(odd).to_bits()) << 16
}

/// See [`Tiles::pack_rows`].
#[inline(always)]
pub(super) fn pack_rows(src: &[f32], stride: usize, mr: usize, k: usize, dst: &mut [f32]) {
    for i in 0..mr {
        let column = dst[i..].iter_mut().step_by(mr);
        column.zip(&src[i * stride..][..k]).for_each(|(dst, x)| *dst = *x);
    }
}
