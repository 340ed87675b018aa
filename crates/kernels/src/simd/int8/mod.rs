//! Integer products of every level, and the tile made of them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use super::{PANEL, Simd, Tile};
use crate::gemm::int8::{GROUP, Layout};

/// Vectors of 32-bit words that hold integer factors and sums.
pub(crate) trait Integers: Copy {
    /// A vector of `f32`.
    type F: Copy;
    /// As many words.
    type I: Copy;
    /// Sums in the making, in whatever form is cheap to add to.
    type Sums: Copy;

    fn zero_sums(self) -> Self::Sums;
    fn load_words(self, src: &[u32]) -> Self::I;
    fn splat_word(self, x: u32) -> Self::I;
    /// `sums + Σ` of the two products of signed 16-bit factors in each word.
    fn add_pairs(self, sums: Self::Sums, a: Self::I, b: Self::I) -> Self::Sums;
    /// `sums + Σ` of the four products of signed 8-bit factors `a` and unsigned ones `b` of at most 31.
    fn add_fours(self, sums: Self::Sums, a: Self::I, b: Self::I) -> Self::Sums;
    /// What [`Integers::add_pairs`] summed.
    fn pair_sums(self, sums: Self::Sums) -> Self::I;
    /// What [`Integers::add_fours`] summed.
    fn four_sums(self, sums: Self::Sums) -> Self::I;
    fn add_words(self, a: Self::I, b: Self::I) -> Self::I;
    fn to_f32(self, x: Self::I) -> Self::F;

    /// The sums of a group for a strip of `MR` rows and a panel, where the level does that better than the compiler; `false`,
    /// and nothing done, elsewhere.
    #[inline(always)]
    fn group_sums<L: Layout, const MR: usize, const NP: usize, const VP: usize>(
        self,
        _a: &[u32],
        _b: &[u32],
        _sums: &mut [[[Self::I; VP]; NP]; MR],
    ) -> bool {
        false
    }
}

/// Multiplies a packed strip of `MR` rows by `NP` packed panels of [`PANEL`] columns, `VP` vectors each, `VG` of them at a
/// time; see [`crate::gemm::int8`].
#[inline(always)]
pub(crate) fn tile<S: Simd, L: Layout, const MR: usize, const NP: usize, const VP: usize, const VG: usize>(
    s: S,
    tile: Tile<'_, u32>,
    c: &mut [f32],
) {
    let groups = tile.k / L::GROUP_WORDS;
    let a = &tile.a[..tile.k * MR];
    let mut b = [&tile.b[..0]; NP];
    for (j, b) in b.iter_mut().enumerate() {
        *b = &tile.b[j * tile.panel_stride..j * tile.panel_stride + tile.k * PANEL];
    }
    let mut acc = [[[s.splat(0.0); VP]; NP]; MR];
    if tile.accumulate {
        each(&mut acc, |i, j, v, acc| *acc = s.load(&c[i * tile.ldc + j * PANEL + v * S::LANES..]));
    }
    for g in 0..groups {
        let a = &a[g * L::GROUP_WORDS * MR..][..L::GROUP_WORDS * MR];
        let b: [&[u32]; NP] =
            std::array::from_fn(|j| &b[j][g * L::GROUP_WORDS * PANEL..][..L::GROUP_WORDS * PANEL]);
        let factor = |at: usize, i: usize| s.splat(f32::from_bits(a[(L::WORDS + at) * MR + i]));
        for v0 in (0..VP).step_by(VG) {
            let sums = group_sums::<S, L, MR, NP, VG>(s, a, b, v0);
            let row = |at: usize, j: usize, v: usize| {
                let at = (L::WORDS + at) * PANEL + (v0 + v) * S::LANES;
                s.load(bytemuck::cast_slice(&b[j][at..at + S::LANES]))
            };
            for i in 0..MR {
                for j in 0..NP {
                    for v in 0..VG {
                        let product = s.mul(s.mul(s.to_f32(sums[i][j][v]), row(0, j, v)), factor(0, i));
                        let acc = &mut acc[i][j][v0 + v];
                        *acc = s.add(*acc, product);
                        if L::MINIMA {
                            *acc = s.sub(*acc, s.mul(row(1, j, v), factor(1, i)));
                        }
                    }
                }
            }
        }
    }
    each(&mut acc, |i, j, v, acc| s.store(*acc, &mut c[i * tile.ldc + j * PANEL + v * S::LANES..]));
}

/// Calls `f` with the indices of each element.
#[inline(always)]
fn each<T, const MR: usize, const NP: usize, const VP: usize>(
    tile: &mut [[[T; VP]; NP]; MR],
    mut f: impl FnMut(usize, usize, usize, &mut T),
) {
    for (i, row) in tile.iter_mut().enumerate() {
        for (j, panel) in row.iter_mut().enumerate() {
            for (v, x) in panel.iter_mut().enumerate() {
                f(i, j, v, x);
            }
        }
    }
}

/// Sums of products of one group, vectors `v0..v0 + VG` of each panel.
#[inline(always)]
fn group_sums<S: Simd, L: Layout, const MR: usize, const NP: usize, const VG: usize>(
    s: S,
    a: &[u32],
    b: [&[u32]; NP],
    v0: usize,
) -> [[[S::I; VG]; NP]; MR] {
    let mut out = [[[s.splat_word(0); VG]; NP]; MR];
    if s.group_sums::<L, MR, NP, VG>(a, b[0], &mut out) {
        return out;
    }
    let narrow = if L::FACTORS == 4 { L::NARROW } else { L::WORDS };
    for word0 in (0..L::WORDS).step_by(narrow) {
        let mut sums = [[[s.zero_sums(); VG]; NP]; MR];
        for word in word0..word0 + narrow {
            let b: [[S::I; VG]; NP] = std::array::from_fn(|j| {
                std::array::from_fn(|v| s.load_words(&b[j][word * PANEL + (v0 + v) * S::LANES..]))
            });
            for i in 0..MR {
                let a = s.splat_word(a[word * MR + i]);
                for j in 0..NP {
                    for v in 0..VG {
                        let sums = &mut sums[i][j][v];
                        *sums = if L::FACTORS == 4 {
                            s.add_fours(*sums, a, b[j][v])
                        } else {
                            s.add_pairs(*sums, a, b[j][v])
                        };
                    }
                }
            }
        }
        for i in 0..MR {
            for j in 0..NP {
                for v in 0..VG {
                    let sums = sums[i][j][v];
                    let sums = if L::FACTORS == 4 { s.four_sums(sums) } else { s.pair_sums(sums) };
                    out[i][j][v] = if word0 == 0 { sums } else { s.add_words(out[i][j][v], sums) };
                }
            }
        }
    }
    out
}

const _: () = assert!(GROUP == 32, "kernels name the words of a group");
