//! The two kinds of products: `f32` factors one by one, and bf16 factors in pairs along K.

use super::Mat;
use super::source::Source;
#[cfg(any(target_arch = "x86_64", test))]
use crate::amx::{Factors, SIDE, gemm::TileProduct};
use crate::scratch::Element;
use crate::tile::{Tile, Tiles};

/// How factors are multiplied. A *unit* is what one step of a tile consumes: one step of K, or a pair of them.
pub(crate) trait Product: Copy + Send + Sync {
    /// A unit of one row or column.
    type T: Element;
    /// Steps of K in a unit.
    const STEPS: usize;
    /// Steps of K in a block: a panel of them (16 KiB) stays in the first-level cache.
    const K_BLOCK: usize = 256 * Self::STEPS;

    /// Units of `k` steps; those of `k0` steps come before step `k0`, where that starts a block.
    fn units(k: usize) -> usize {
        k.div_ceil(Self::STEPS)
    }

    fn direct<'a>(self, source: &Source<'a>, panel: usize, unit0: usize) -> Option<(&'a [Self::T], usize)>;

    fn fill<S: Tiles>(
        self,
        s: S,
        source: &Source<'_>,
        panel: usize,
        k0: usize,
        kc: usize,
        dst: &mut [Self::T],
    );

    /// Packs rows `row0..row0 + mr` and steps `k0..k0 + kc` of `a` into `[units, mr]`; rows beyond the last are 0.
    fn pack_a<S: Tiles>(
        self,
        s: S,
        a: &Mat<'_>,
        row0: usize,
        mr: usize,
        k0: usize,
        kc: usize,
        dst: &mut [Self::T],
    );

    fn tile<S: Tiles>(self, s: S, tile: Tile<'_, Self::T>, c: &mut [f32]);

    /// The same product for a left side that starts at this row of this one's.
    #[must_use]
    fn starting_at(self, _row: usize) -> Self {
        self
    }

    /// Makes values of the sums of columns `col0..` of a row, whose left factors had `offset` added.
    #[inline(always)]
    fn finish(&self, _row: usize, _col0: usize, _offset: u8, _sums: &mut [f32]) {}
}

/// A product that attention makes too, of factors in f32 or bf16.
pub(crate) trait AttentionProduct: Product {
    /// Packs the first `kc` rows of `a`, transposed: strips of `mr` of its columns, each `[units, mr]`; columns beyond
    /// the last are 0. `a` has contiguous rows.
    fn pack_a_transposed(self, a: &Mat<'_>, mr: usize, kc: usize, dst: &mut [Self::T]);

    /// Units as steps, where a unit is one.
    fn as_f32(units: &mut [Self::T]) -> Option<&mut [f32]>;

    /// Makes the units of one panel that hold two steps, where a unit is two.
    fn store_pair<S: Tiles>(self, s: S, even: &[f32], odd: &[f32], dst: &mut [Self::T]);
}

/// `f32` factors.
#[derive(Clone, Copy)]
pub(crate) struct F32;

/// Pairs of bf16 factors in a word, the first in the low half.
#[derive(Clone, Copy)]
pub(crate) struct Bf16Pairs;

/// Packs strips of `N` columns of contiguous rows, row by row, so that each is read once from one end to the other.
#[inline(always)]
fn pack_columns<const N: usize>(a: &Mat<'_>, kc: usize, dst: &mut [f32]) {
    for p in 0..kc {
        let (strips, last) = a.data[p * a.row_stride..][..a.cols].as_chunks::<N>();
        for (strip, from) in strips.iter().enumerate() {
            *dst[strip * N * kc + p * N..].first_chunk_mut().expect("the caller's strips hold all rows") =
                *from;
        }
        if !last.is_empty() {
            let dst = &mut dst[strips.len() * N * kc + p * N..][..N];
            let (given, beyond) = dst.split_at_mut(last.len());
            given.copy_from_slice(last);
            beyond.fill(0.0);
        }
    }
}

impl Product for F32 {
    type T = f32;
    const STEPS: usize = 1;

    #[inline(always)]
    fn direct<'a>(self, source: &Source<'a>, panel: usize, unit0: usize) -> Option<(&'a [f32], usize)> {
        source.direct_f32(panel, unit0)
    }

    #[inline(always)]
    fn fill<S: Tiles>(self, s: S, source: &Source<'_>, panel: usize, k0: usize, kc: usize, dst: &mut [f32]) {
        source.fill_f32(s, panel, k0, kc, dst);
    }

    #[inline(always)]
    fn pack_a<S: Tiles>(
        self,
        s: S,
        a: &Mat<'_>,
        row0: usize,
        mr: usize,
        k0: usize,
        kc: usize,
        dst: &mut [f32],
    ) {
        let dst = &mut dst[..kc * mr];
        if a.col_stride == 1 && row0 + mr <= a.rows {
            s.pack_rows(&a.data[row0 * a.row_stride + k0..], a.row_stride, mr, kc, dst);
            return;
        }
        for i in 0..mr {
            let column = dst[i..].iter_mut().step_by(mr);
            if row0 + i >= a.rows {
                column.for_each(|dst| *dst = 0.0);
                continue;
            }
            let row = &a.data[(row0 + i) * a.row_stride + k0 * a.col_stride..];
            column.zip(row.iter().step_by(a.col_stride)).for_each(|(dst, x)| *dst = *x);
        }
    }

    #[inline(always)]
    fn tile<S: Tiles>(self, s: S, tile: Tile<'_, f32>, c: &mut [f32]) {
        s.tile(tile, c);
    }
}

impl AttentionProduct for F32 {
    #[inline(always)]
    fn pack_a_transposed(self, a: &Mat<'_>, mr: usize, kc: usize, dst: &mut [f32]) {
        let dst = &mut dst[..a.cols.div_ceil(mr) * mr * kc];
        match mr {
            6 => pack_columns::<6>(a, kc, dst),
            8 => pack_columns::<8>(a, kc, dst),
            4 => pack_columns::<4>(a, kc, dst),
            2 => pack_columns::<2>(a, kc, dst),
            other => unreachable!("no attention tile has {other} rows"),
        }
    }

    #[inline(always)]
    fn as_f32(units: &mut [f32]) -> Option<&mut [f32]> {
        Some(units)
    }

    #[inline(always)]
    fn store_pair<S: Tiles>(self, _: S, _: &[f32], _: &[f32], _: &mut [f32]) {
        unreachable!("a unit is one step");
    }
}

impl Product for Bf16Pairs {
    type T = u32;
    const STEPS: usize = 2;

    #[inline(always)]
    fn direct<'a>(self, source: &Source<'a>, panel: usize, unit0: usize) -> Option<(&'a [u32], usize)> {
        source.direct_pairs(panel, unit0)
    }

    #[inline(always)]
    fn fill<S: Tiles>(self, s: S, source: &Source<'_>, panel: usize, k0: usize, kc: usize, dst: &mut [u32]) {
        source.fill_pairs(s, panel, k0, kc, dst);
    }

    #[inline(always)]
    fn pack_a<S: Tiles>(
        self,
        _: S,
        a: &Mat<'_>,
        row0: usize,
        mr: usize,
        k0: usize,
        kc: usize,
        dst: &mut [u32],
    ) {
        let dst = &mut dst[..Self::units(kc) * mr];
        for i in 0..mr {
            let column = dst[i..].iter_mut().step_by(mr);
            if row0 + i >= a.rows {
                column.for_each(|dst| *dst = 0);
                continue;
            }
            let row = &a.data[(row0 + i) * a.row_stride + k0 * a.col_stride..];
            if a.col_stride == 1 {
                let (pairs, last) = row[..kc].as_chunks::<2>();
                let last = last.first().map(|x| [*x, 0.0]);
                column
                    .zip(pairs.iter().copied().chain(last))
                    .for_each(|(dst, [even, odd])| *dst = round_pair(even, odd));
            } else {
                let at = |k: usize| if k < kc { row[k * a.col_stride] } else { 0.0 };
                column.enumerate().for_each(|(p, dst)| *dst = round_pair(at(2 * p), at(2 * p + 1)));
            }
        }
    }

    #[inline(always)]
    fn tile<S: Tiles>(self, s: S, tile: Tile<'_, u32>, c: &mut [f32]) {
        s.tile_bf16(tile, c);
    }
}

impl AttentionProduct for Bf16Pairs {
    #[inline(always)]
    fn pack_a_transposed(self, a: &Mat<'_>, mr: usize, kc: usize, dst: &mut [u32]) {
        let units = Self::units(kc);
        for (strip, dst) in dst[..a.cols.div_ceil(mr) * mr * units].chunks_exact_mut(mr * units).enumerate() {
            let cols = mr.min(a.cols - strip * mr);
            let row = |p: usize| &a.data[p * a.row_stride + strip * mr..][..cols];
            for (p, dst) in dst.chunks_exact_mut(mr).enumerate() {
                let even = row(2 * p);
                if 2 * p + 1 < kc {
                    let odd = row(2 * p + 1);
                    dst.iter_mut()
                        .zip(even)
                        .zip(odd)
                        .for_each(|((dst, even), odd)| *dst = round_pair(*even, *odd));
                } else {
                    dst.iter_mut().zip(even).for_each(|(dst, even)| *dst = round_pair(*even, 0.0));
                }
                dst[cols..].fill(0);
            }
        }
    }

    #[inline(always)]
    fn as_f32(_: &mut [u32]) -> Option<&mut [f32]> {
        None
    }

    #[inline(always)]
    fn store_pair<S: Tiles>(self, s: S, even: &[f32], odd: &[f32], dst: &mut [u32]) {
        s.pack_pairs(even, odd, dst);
    }
}

#[cfg(any(target_arch = "x86_64", test))]
impl TileProduct for Bf16Pairs {
    const FACTORS: Factors = Factors::Bf16;

    #[inline(always)]
    fn round(&self, _row: usize, x: &[f32], words: &mut [u32; SIDE]) {
        let (pairs, last) = x.as_chunks::<2>();
        if let Some(pairs) = pairs.first_chunk::<SIDE>() {
            for (word, [even, odd]) in words.iter_mut().zip(pairs) {
                *word = round_pair(*even, *odd);
            }
            return;
        }
        let last = last.first().map(|x| [*x, 0.0]);
        let pairs = pairs.iter().copied().chain(last).chain(std::iter::repeat([0.0; 2]));
        words.iter_mut().zip(pairs).for_each(|(word, [even, odd])| *word = round_pair(even, odd));
    }
}

/// Two values rounded to bf16, nearest even, without a special case for NaN: one with all payload bits set may turn
/// into another value, which no arithmetic produces.
#[inline(always)]
pub(crate) fn round_pair(even: f32, odd: f32) -> u32 {
    let round = |x: f32| {
        let bits = x.to_bits();
        bits.wrapping_add(0x7fff + (bits >> 16 & 1))
    };
    round(even) >> 16 | round(odd) & 0xffff_0000
}
