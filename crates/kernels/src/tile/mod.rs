//! Tiles of matrix products: what the products of this crate ask of a level beyond vectors, and the inner loops.
//!
//! A level's tiles lie behind a call ([`simd::Simd::enter`]), so that they are compiled once for a level and not once for each kernel
//! that uses them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod fours;
mod int8;
#[cfg(target_arch = "x86_64")]
mod int8_avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use simd::{Integers, prefetch};

use crate::gemm::int8::Layout;
pub(crate) use portable::pair;

/// Columns of a packed panel, at every level.
pub(crate) const PANEL: usize = 16;

/// Tiles of matrix products, and the packing of their operands.
pub(crate) trait Tiles: Integers {
    /// Rows of the widest matrix-product tile.
    const MR: usize;
    /// Panels of the widest matrix-product tile.
    const NP: usize;
    /// Rows of the attention tile; a divisor of common head dims where that is fast.
    const ATTN_MR: usize;
    /// Query panels of the attention tile.
    const ATTN_NP: usize;

    /// `acc[i][0][v] += Σ_k a[k][i] · b[k][v]` of a strip `[k, MR]` and a panel `[k, 16]`, where the level does that better
    /// than the compiler; `false`, and nothing done, elsewhere.
    #[inline(always)]
    fn sums<const MR: usize, const NP: usize, const VP: usize>(
        self,
        _a: &[f32],
        _b: &[f32],
        _acc: &mut [[[Self::V; VP]; NP]; MR],
    ) -> bool {
        false
    }

    /// The integer sums of a group for a strip of `MR` rows and a panel, where the level does that better than the compiler;
    /// `false`, and nothing done, elsewhere.
    #[inline(always)]
    fn group_sums<L: Layout, const MR: usize, const NP: usize, const VP: usize>(
        self,
        _a: &[u32],
        _b: &[u32],
        _sums: &mut [[[Self::I; VP]; NP]; MR],
    ) -> bool {
        false
    }

    /// `c (+)= a · b` for a tile of `tile.rows × tile.panels`.
    fn tile(self, tile: Tile<'_, f32>, c: &mut [f32]);

    /// [`Tiles::tile`] of bf16 pairs: with bf16 products at [`simd::Level::Avx512Bf16`], elsewhere the same by `f32` products,
    /// which only tests use.
    fn tile_bf16(self, tile: Tile<'_, u32>, c: &mut [f32]);

    /// [`Tiles::tile`] of weights and activations of 8 bits: the same bytes at every level.
    fn tile_int8<L: Layout>(self, tile: Tile<'_, u32>, c: &mut [f32]);

    /// [`Tiles::tile`] of fours of 8 bits ([`Integers::add_signed_fours`]): `c` are the bits of 32-bit sums.
    fn tile_fours(self, tile: Tile<'_, u32>, c: &mut [f32]);

    /// Packs `mr` rows of `k` values that lie `stride` apart into `[k, mr]`; `dst` is that long.
    fn pack_rows(self, src: &[f32], stride: usize, mr: usize, k: usize, dst: &mut [f32]) {
        portable::pack_rows(src, stride, mr, k, dst);
    }

    /// Transposes 16 rows of `k` 32-bit words that lie `stride` apart into `[k, 16]`.
    fn transpose16(self, src: &[u32], stride: usize, k: usize, dst: &mut [u32]) {
        portable::transpose16(src, stride, k, dst);
    }

    /// Rounds two vectors to bf16, nearest even, one behind the other.
    #[inline(always)]
    fn store_bf16(self, low: Self::V, high: Self::V, dst: &mut [u16]) {
        let mut values = [0.0; 2 * PANEL];
        self.store(low, &mut values);
        self.store(high, &mut values[Self::LANES..]);
        portable::round(&values[..2 * Self::LANES], dst);
    }

    /// Rounds two vectors of one panel row to bf16 pairs `(even, odd)`, nearest even.
    fn pack_pairs(self, even: &[f32], odd: &[f32], dst: &mut [u32]) {
        portable::pack_pairs(even, odd, dst);
    }
}

/// Operands of a tile of a matrix product.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a, T> {
    /// `[k, rows]`
    pub(crate) a: &'a [T],
    /// Panels `[k, 16]`, `panel_stride` apart.
    pub(crate) b: &'a [T],
    pub(crate) panel_stride: usize,
    /// 1, 2, 4, the level's `MR` or its `ATTN_MR`.
    pub(crate) rows: usize,
    /// 1 to the level's `NP` or `ATTN_NP`.
    pub(crate) panels: usize,
    pub(crate) k: usize,
    /// Elements from a row of `c` to the next.
    pub(crate) ldc: usize,
    /// Whether to add to `c` instead of overwriting it.
    pub(crate) accumulate: bool,
}

/// Implements [`Tiles::tile`] by monomorphised tiles: `(rows, panels)` pairs and vectors a panel.
macro_rules! impl_tile {
    ($vp:literal: $(($mr:literal, $np:literal)),+) => {
        #[inline(always)]
        fn tile(self, tile: crate::tile::Tile<'_, f32>, c: &mut [f32]) {
            struct Call<'a>(crate::tile::Tile<'a, f32>, &'a mut [f32]);
            impl<S: crate::tile::Tiles> simd::Kernel<S> for Call<'_> {
                #[inline(always)]
                fn run(self, s: S) {
                    let Self(tile, c) = self;
                    match (tile.rows, tile.panels) {
                        $(($mr, $np) => crate::tile::tile_f32::<S, $mr, $np, $vp>(s, tile, c),)+
                        other => unreachable!("no tile of {other:?}"),
                    }
                }
            }
            self.enter(Call(tile, c));
        }

        #[inline(always)]
        fn tile_bf16(self, tile: crate::tile::Tile<'_, u32>, c: &mut [f32]) {
            crate::tile::tile_pairs(self, tile, c);
        }
    };
}
pub(crate) use impl_tile;

/// Implements [`Tiles::tile_int8`], as [`impl_tile`]: vectors a panel, those of them at a time, `(rows, rows at a time, panels)`.
macro_rules! impl_tile_int8 {
    ($vp:literal, $vg:literal: $(($mr:literal, $at_once:literal, $np:literal)),+) => {
        #[inline(always)]
        fn tile_int8<L: crate::gemm::int8::Layout>(self, tile: crate::tile::Tile<'_, u32>, c: &mut [f32]) {
            struct Call<'a, L>(crate::tile::Tile<'a, u32>, &'a mut [f32], std::marker::PhantomData<L>);
            impl<S: crate::tile::Tiles, L: crate::gemm::int8::Layout> simd::Kernel<S> for Call<'_, L> {
                #[inline(always)]
                fn run(self, s: S) {
                    let Self(tile, c, _) = self;
                    match (tile.rows, tile.panels) {
                        $(($mr, $np) => crate::tile::int8::tile::<S, L, $mr, $at_once, $np, $vp, $vg>(s, tile, c),)+
                        other => unreachable!("no tile of {other:?}"),
                    }
                }
            }
            self.enter(Call::<L>(tile, c, std::marker::PhantomData));
        }
    };
}
pub(crate) use impl_tile_int8;

/// Implements [`Tiles::tile_fours`], as [`impl_tile`]: vectors a panel, `(rows, rows at a time, panels)`.
macro_rules! impl_tile_fours {
    ($vp:literal: $(($mr:literal, $at_once:literal, $np:literal)),+) => {
        #[inline(always)]
        fn tile_fours(self, tile: crate::tile::Tile<'_, u32>, c: &mut [f32]) {
            struct Call<'a>(crate::tile::Tile<'a, u32>, &'a mut [f32]);
            impl<S: crate::tile::Tiles> simd::Kernel<S> for Call<'_> {
                #[inline(always)]
                fn run(self, s: S) {
                    let Self(tile, c) = self;
                    match (tile.rows, tile.panels) {
                        $(($mr, $np) => crate::tile::fours::tile::<S, $mr, $at_once, $np, $vp>(s, tile, c),)+
                        other => unreachable!("no tile of {other:?}"),
                    }
                }
            }
            self.enter(Call(tile, c));
        }
    };
}
pub(crate) use impl_tile_fours;

/// Multiplies a packed strip of `MR` rows by `NP` packed panels of [`PANEL`] columns, `VP` vectors each:
///
/// ```text
/// for p in 0..k: for i in 0..MR, j in 0..NP: acc[i][j] += a[p][i] · b[j][p]
/// c (+)= acc
/// ```
#[inline(always)]
pub(crate) fn tile_f32<S: Tiles, const MR: usize, const NP: usize, const VP: usize>(
    s: S,
    tile: Tile<'_, f32>,
    c: &mut [f32],
) {
    let a = &tile.a[..tile.k * MR];
    let mut b = [&tile.b[..0]; NP];
    for (j, b) in b.iter_mut().enumerate() {
        *b = &tile.b[j * tile.panel_stride..j * tile.panel_stride + tile.k * PANEL];
    }
    let zero = s.splat(0.0);
    let mut acc = [[[zero; VP]; NP]; MR];
    // Strips lie behind each other: the next one and the place of the sums are on their way while this one is multiplied.
    let ahead = S::LANES == PANEL;
    if ahead && tile.accumulate {
        for i in 0..MR {
            for j in 0..NP {
                prefetch(c, i * tile.ldc + j * PANEL);
            }
        }
    }
    if !s.sums(a, b[0], &mut acc) {
        for (p, row) in a.chunks_exact(MR).enumerate() {
            if ahead {
                prefetch(a, a.len() + p * MR);
            }
            let mut bv = [[zero; VP]; NP];
            for j in 0..NP {
                let from = &b[j][p * PANEL..p * PANEL + PANEL];
                for v in 0..VP {
                    bv[j][v] = s.load(&from[v * S::LANES..]);
                }
            }
            for i in 0..MR {
                let a = s.splat(row[i]);
                for j in 0..NP {
                    for v in 0..VP {
                        acc[i][j][v] = s.fma(a, bv[j][v], acc[i][j][v]);
                    }
                }
            }
        }
    }
    for i in 0..MR {
        for j in 0..NP {
            for v in 0..VP {
                let c = &mut c[i * tile.ldc + j * PANEL + v * S::LANES..];
                let acc = if tile.accumulate { s.add(s.load(c), acc[i][j][v]) } else { acc[i][j][v] };
                s.store(acc, c);
            }
        }
    }
}

/// The same for bf16 pairs, by `f32` products: the portable version of what one level has instructions for. A row at a
/// time, as it needn't be fast.
#[inline(always)]
pub(crate) fn tile_pairs<S: Tiles>(s: S, tile: Tile<'_, u32>, c: &mut [f32]) {
    for i in 0..tile.rows {
        for j in 0..tile.panels {
            for lane in (0..PANEL).step_by(S::LANES) {
                let c = &mut c[i * tile.ldc + j * PANEL + lane..];
                let mut acc = if tile.accumulate { s.load(c) } else { s.splat(0.0) };
                for p in 0..tile.k {
                    let a = tile.a[p * tile.rows + i];
                    let (even, odd) = s.split_pairs(&tile.b[j * tile.panel_stride + p * PANEL + lane..]);
                    acc = s.fma(s.splat(f32::from_bits(a << 16)), even, acc);
                    acc = s.fma(s.splat(f32::from_bits(a & 0xffff_0000)), odd, acc);
                }
                s.store(acc, c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tiles;
    use simd::{Kernel, Level, dispatch};

    struct PackRows<'a>(&'a [f32], usize, usize, usize, &'a mut [f32]);

    impl<S: Tiles> Kernel<S> for PackRows<'_> {
        #[inline(always)]
        fn run(self, s: S) {
            let Self(src, stride, mr, k, dst) = self;
            s.pack_rows(src, stride, mr, k, dst);
        }
    }

    #[test]
    fn rows_are_packed_side_by_side_at_every_level() {
        for mr in [1, 2, 4, 5, 6, 8, 14, 16] {
            for k in [1, 2, 7, 8, 9, 15, 16, 17, 40] {
                let stride = k + 3;
                let src: Vec<f32> = (0..(mr - 1) * stride + k).map(|i| i as f32).collect();
                let expected: Vec<f32> = (0..k * mr).map(|at| (at % mr * stride + at / mr) as f32).collect();
                for level in Level::supported() {
                    let mut dst = vec![f32::NAN; k * mr];
                    dispatch(level, PackRows(&src, stride, mr, k, &mut dst));
                    assert_eq!(dst, expected, "{mr} rows of {k} at {level:?}");
                }
            }
        }
    }
}
