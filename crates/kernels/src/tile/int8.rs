//! The tile of integer products.

use super::{PANEL, Tile, Tiles};
use crate::gemm::int8::{GROUP, Layout};

/// Multiplies a packed strip of `MR` rows, `AT_ONCE` of them at a time, by `NP` packed panels of [`PANEL`] columns, `VP` vectors each,
/// `VG` of them at a time; see [`crate::gemm::int8`].
#[inline(always)]
pub(crate) fn tile<
    S: Tiles,
    L: Layout,
    const MR: usize,
    const AT_ONCE: usize,
    const NP: usize,
    const VP: usize,
    const VG: usize,
>(
    s: S,
    tile: Tile<'_, u32>,
    c: &mut [f32],
) {
    const { assert!(MR.is_multiple_of(AT_ONCE), "whole groups of rows") };
    let a = &tile.a[..tile.k * MR];
    let mut b = [&tile.b[..0]; NP];
    for (j, b) in b.iter_mut().enumerate() {
        *b = &tile.b[j * tile.panel_stride..j * tile.panel_stride + tile.k * PANEL];
    }
    for i0 in (0..MR).step_by(AT_ONCE) {
        let c = &mut c[i0 * tile.ldc..];
        let mut acc = [[[s.splat(0.0); VP]; NP]; AT_ONCE];
        if tile.accumulate {
            each(&mut acc, |i, j, v, acc| *acc = s.load(&c[i * tile.ldc + j * PANEL + v * S::LANES..]));
        }
        let mut acc = scaled_sums::<S, L, MR, AT_ONCE, NP, VP, VG>(s, a, b, i0, acc);
        each(&mut acc, |i, j, v, acc| s.store(*acc, &mut c[i * tile.ldc + j * PANEL + v * S::LANES..]));
    }
}

/// Adds the scaled sums of rows `i0..i0 + AT_ONCE` to theirs so far.
#[inline(always)]
fn scaled_sums<
    S: Tiles,
    L: Layout,
    const MR: usize,
    const AT_ONCE: usize,
    const NP: usize,
    const VP: usize,
    const VG: usize,
>(
    s: S,
    a: &[u32],
    b: [&[u32]; NP],
    i0: usize,
    mut acc: [[[S::V; VP]; NP]; AT_ONCE],
) -> [[[S::V; VP]; NP]; AT_ONCE] {
    for (g, a) in a.chunks_exact(L::GROUP_WORDS * MR).enumerate() {
        let b: [&[u32]; NP] =
            std::array::from_fn(|j| &b[j][g * L::GROUP_WORDS * PANEL..][..L::GROUP_WORDS * PANEL]);
        let factor = |at: usize, i: usize| s.splat(f32::from_bits(a[(L::WORDS + at) * MR + i0 + i]));
        for v0 in (0..VP).step_by(VG) {
            let sums = group_sums::<S, L, MR, AT_ONCE, NP, VG>(s, a, b, i0, v0);
            let row = |at: usize, j: usize, v: usize| {
                let at = (L::WORDS + at) * PANEL + (v0 + v) * S::LANES;
                s.load(bytemuck::cast_slice(&b[j][at..at + S::LANES]))
            };
            for i in 0..AT_ONCE {
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
    acc
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

/// Sums of products of one group: rows `i0..i0 + AT_ONCE`, vectors `v0..v0 + VG` of each panel.
#[inline(always)]
fn group_sums<
    S: Tiles,
    L: Layout,
    const MR: usize,
    const AT_ONCE: usize,
    const NP: usize,
    const VG: usize,
>(
    s: S,
    a: &[u32],
    b: [&[u32]; NP],
    i0: usize,
    v0: usize,
) -> [[[S::I; VG]; NP]; AT_ONCE] {
    let mut out = [[[s.splat_word(0); VG]; NP]; AT_ONCE];
    if AT_ONCE == MR && s.group_sums::<L, AT_ONCE, NP, VG>(a, b[0], &mut out) {
        return out;
    }
    let narrow = if L::FACTORS == 4 { L::NARROW } else { L::WORDS };
    for word0 in (0..L::WORDS).step_by(narrow) {
        let mut sums = [[[s.zero_sums(); VG]; NP]; AT_ONCE];
        for word in word0..word0 + narrow {
            let b: [[S::I; VG]; NP] = std::array::from_fn(|j| {
                std::array::from_fn(|v| s.load_words(&b[j][word * PANEL + (v0 + v) * S::LANES..]))
            });
            for i in 0..AT_ONCE {
                let a = s.splat_word(a[word * MR + i0 + i]);
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
        for i in 0..AT_ONCE {
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
