//! The tile of products of 8 bits that are summed over all of K.

use super::{PANEL, Tile, Tiles};

/// Multiplies a packed strip of `MR` rows, `AT_ONCE` of them at a time, by `NP` packed panels of [`PANEL`] columns, `VP` vectors each:
///
/// ```text
/// for p in 0..k: for i in 0..MR, j in 0..NP: acc[i][j] += Σ of four a[p][i] · b[j][p]
/// c (+)= acc
/// ```
#[inline(always)]
pub(crate) fn tile<S: Tiles, const MR: usize, const AT_ONCE: usize, const NP: usize, const VP: usize>(
    s: S,
    tile: Tile<'_, u32>,
    c: &mut [f32],
) {
    const { assert!(MR.is_multiple_of(AT_ONCE), "whole groups of rows") };
    let c: &mut [u32] = bytemuck::cast_slice_mut(c);
    let a = &tile.a[..tile.k * MR];
    let mut b = [&tile.b[..0]; NP];
    for (j, b) in b.iter_mut().enumerate() {
        *b = &tile.b[j * tile.panel_stride..j * tile.panel_stride + tile.k * PANEL];
    }
    for i0 in (0..MR).step_by(AT_ONCE) {
        let sums = sums::<S, MR, AT_ONCE, NP, VP>(s, a, b, i0);
        for i in 0..AT_ONCE {
            for j in 0..NP {
                for v in 0..VP {
                    let c = &mut c[(i0 + i) * tile.ldc + j * PANEL + v * S::LANES..];
                    let sums = sums[i][j][v];
                    s.store_words(if tile.accumulate { s.add_words(s.load_words(c), sums) } else { sums }, c);
                }
            }
        }
    }
}

/// The sums of rows `i0..i0 + AT_ONCE`: in an array of their own, which the compiler keeps in registers.
#[inline(always)]
fn sums<S: Tiles, const MR: usize, const AT_ONCE: usize, const NP: usize, const VP: usize>(
    s: S,
    a: &[u32],
    b: [&[u32]; NP],
    i0: usize,
) -> [[[S::I; VP]; NP]; AT_ONCE] {
    let zero = s.splat_word(0);
    let mut acc = [[[zero; VP]; NP]; AT_ONCE];
    for (p, row) in a.chunks_exact(MR).enumerate() {
        let mut bv = [[zero; VP]; NP];
        for j in 0..NP {
            let from = &b[j][p * PANEL..p * PANEL + PANEL];
            for v in 0..VP {
                bv[j][v] = s.load_words(&from[v * S::LANES..]);
            }
        }
        for i in 0..AT_ONCE {
            let a = s.splat_word(row[i0 + i]);
            for j in 0..NP {
                for v in 0..VP {
                    acc[i][j][v] = s.add_signed_fours(acc[i][j][v], a, bv[j][v]);
                }
            }
        }
    }
    acc
}
