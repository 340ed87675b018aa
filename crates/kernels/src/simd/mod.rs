//! Vectors of `f32` behind one trait, so that a kernel is written once for every instruction set.
//!
//! A value of a type that implements [`Simd`] is the proof that the CPU has its instructions: only [`dispatch`] makes
//! one, from a [`Level`] that was checked. A [`Kernel`] is compiled once for each level inside a function that has the
//! level's target features, so everything it calls must be `#[inline(always)]`.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod int8;
pub(crate) mod math;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod portable;

use half::bf16;

use self::int8::Integers;
use crate::Level;
use crate::gemm::int8::Layout;

/// Columns of a packed panel, at every level.
pub(crate) const PANEL: usize = 16;

/// Vector operations of one instruction set. Slices may be longer than a vector; shorter ones panic.
pub(crate) trait Simd: Integers<F = <Self as Simd>::V> + Send + Sync + 'static {
    /// A vector of [`Simd::LANES`] `f32`.
    type V: Copy;
    /// `f32` in a vector; divides [`PANEL`].
    const LANES: usize;
    /// Rows of the widest matrix-product tile.
    const MR: usize;
    /// Panels of the widest matrix-product tile.
    const NP: usize;
    /// Rows of the attention tile; a divisor of common head dims where that is fast.
    const ATTN_MR: usize;
    /// Query panels of the attention tile.
    const ATTN_NP: usize;

    fn splat(self, x: f32) -> Self::V;
    fn load(self, src: &[f32]) -> Self::V;
    fn store(self, v: Self::V, dst: &mut [f32]);
    /// Widens the first `LANES` values.
    fn load_bf16(self, src: &[bf16]) -> Self::V;
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `b` where either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `b` where either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`, fused where the level has it.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `v`, or 0 where `x < limit`.
    fn zero_if_lt(self, x: Self::V, limit: Self::V, v: Self::V) -> Self::V;
    /// The bits of each lane shifted left by 23.
    fn shl23(self, v: Self::V) -> Self::V;
    /// The magnitude of `a` with the sign of `b`.
    fn copysign(self, a: Self::V, b: Self::V) -> Self::V;
    /// Splits `LANES` bf16 pairs into the vector of first and the vector of second elements.
    fn split_pairs(self, pairs: &[u32]) -> (Self::V, Self::V);
    /// Swaps the two elements of each pair of lanes.
    fn swap_pairs(self, v: Self::V) -> Self::V;
    /// `[a0 - b0, a1 + b1, a2 - b2, …]`.
    fn addsub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `[v0, v0, v1, v1, …]` of the first `LANES / 2` values.
    fn load_dup(self, src: &[f32]) -> Self::V;
    /// Sum of the lanes.
    fn sum(self, v: Self::V) -> f32;
    /// Maximum of the lanes.
    fn max_lane(self, v: Self::V) -> f32;

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

    /// `c (+)= a · b` for a tile of `tile.rows × tile.panels` ([`crate::tile`]).
    fn tile(self, tile: Tile<'_, f32>, c: &mut [f32]);

    /// [`Simd::tile`] of bf16 pairs: with bf16 products at [`Level::Avx512Bf16`], elsewhere the same by `f32` products,
    /// which only tests use.
    fn tile_bf16(self, tile: Tile<'_, u32>, c: &mut [f32]);

    /// [`Simd::tile`] of weights and activations of 8 bits: the same bytes at every level.
    fn tile_int8<L: Layout>(self, tile: Tile<'_, u32>, c: &mut [f32]);

    /// Packs `mr` rows of `k` values that lie `stride` apart into `[k, mr]`; `dst` is that long.
    fn pack_rows(self, src: &[f32], stride: usize, mr: usize, k: usize, dst: &mut [f32]) {
        portable::pack_rows(src, stride, mr, k, dst);
    }

    /// Transposes 16 rows of `k` 32-bit words that lie `stride` apart into `[k, 16]`.
    fn transpose16(self, src: &[u32], stride: usize, k: usize, dst: &mut [u32]) {
        portable::transpose16(src, stride, k, dst);
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

/// Code to be compiled for each level.
pub(crate) trait Kernel {
    type Out;
    /// Runs with the level's instructions; `#[inline(always)]`.
    fn run<S: Simd>(self, s: S) -> Self::Out;
}

/// Runs a kernel at a level.
///
/// # Panics
/// If the CPU can't run the level.
#[inline]
pub(crate) fn dispatch<K: Kernel>(level: Level, kernel: K) -> K::Out {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Bf16 => avx512::Avx512Bf16::checked().run(kernel),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => avx512::Avx512::checked().run(kernel),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => avx2::Avx2::checked().run(kernel),
        #[cfg(target_arch = "aarch64")]
        Level::Neon => neon::Neon::checked().run(kernel),
        _ => portable::Portable.run(kernel),
    }
}

/// Implements [`Simd::tile`] by monomorphised tiles: `(rows, panels)` pairs and vectors a panel. They lie behind a call,
/// so that they are compiled once for a level and not once for each kernel that uses them.
macro_rules! impl_tile {
    ($vp:literal: $(($mr:literal, $np:literal)),+) => {
        #[inline(always)]
        fn tile(self, tile: crate::simd::Tile<'_, f32>, c: &mut [f32]) {
            struct Call<'a>(crate::simd::Tile<'a, f32>, &'a mut [f32]);
            impl crate::simd::Kernel for Call<'_> {
                type Out = ();
                #[inline(always)]
                fn run<S: Simd>(self, s: S) {
                    let Self(tile, c) = self;
                    match (tile.rows, tile.panels) {
                        $(($mr, $np) => crate::tile::tile_f32::<S, $mr, $np, $vp>(s, tile, c),)+
                        other => unreachable!("no tile of {other:?}"),
                    }
                }
            }
            self.run(Call(tile, c));
        }

        #[inline(always)]
        fn tile_bf16(self, tile: crate::simd::Tile<'_, u32>, c: &mut [f32]) {
            crate::tile::tile_pairs(self, tile, c);
        }
    };
}
pub(crate) use impl_tile;

/// Implements [`Simd::tile_int8`], as [`impl_tile`]: vectors a panel, those of them at a time, `(rows, panels)` pairs.
macro_rules! impl_tile_int8 {
    ($vp:literal, $vg:literal: $(($mr:literal, $np:literal)),+) => {
        #[inline(always)]
        fn tile_int8<L: crate::gemm::int8::Layout>(self, tile: crate::simd::Tile<'_, u32>, c: &mut [f32]) {
            struct Call<'a, L>(crate::simd::Tile<'a, u32>, &'a mut [f32], std::marker::PhantomData<L>);
            impl<L: crate::gemm::int8::Layout> crate::simd::Kernel for Call<'_, L> {
                type Out = ();
                #[inline(always)]
                fn run<S: Simd>(self, s: S) {
                    let Self(tile, c, _) = self;
                    match (tile.rows, tile.panels) {
                        $(($mr, $np) => crate::simd::int8::tile::<S, L, $mr, $np, $vp, $vg>(s, tile, c),)+
                        other => unreachable!("no tile of {other:?}"),
                    }
                }
            }
            self.run(Call::<L>(tile, c, std::marker::PhantomData));
        }
    };
}
pub(crate) use impl_tile_int8;

#[cfg(test)]
mod tests {
    use super::{Kernel, Simd, dispatch};
    use crate::Level;

    struct PackRows<'a>(&'a [f32], usize, usize, usize, &'a mut [f32]);

    impl Kernel for PackRows<'_> {
        type Out = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
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
                for level in Level::ALL.into_iter().filter(|level| level.is_supported()) {
                    let mut dst = vec![f32::NAN; k * mr];
                    dispatch(level, PackRows(&src, stride, mr, k, &mut dst));
                    assert_eq!(dst, expected, "{mr} rows of {k} at {level:?}");
                }
            }
        }
    }
}
