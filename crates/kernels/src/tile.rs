//! The inner tile of every matrix product.

use crate::simd::{PANEL, Simd, Tile};

/// Multiplies a packed strip of `MR` rows by `NP` packed panels of [`PANEL`] columns, `VP` vectors each:
///
/// ```text
/// for p in 0..k: for i in 0..MR, j in 0..NP: acc[i][j] += a[p][i] · b[j][p]
/// c (+)= acc
/// ```
#[inline(always)]
pub(crate) fn tile_f32<S: Simd, const MR: usize, const NP: usize, const VP: usize>(
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
    if !s.sums(a, b[0], &mut acc) {
        for (p, a) in a.chunks_exact(MR).enumerate() {
            let mut bv = [[zero; VP]; NP];
            for j in 0..NP {
                let row = &b[j][p * PANEL..p * PANEL + PANEL];
                for v in 0..VP {
                    bv[j][v] = s.load(&row[v * S::LANES..]);
                }
            }
            for i in 0..MR {
                let a = s.splat(a[i]);
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
pub(crate) fn tile_pairs<S: Simd>(s: S, tile: Tile<'_, u32>, c: &mut [f32]) {
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
