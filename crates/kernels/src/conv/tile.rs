//! The matrix product at the bottom of every convolution: rows read where they lie, weights in panels.
//!
//! ```text
//! for each group of panels (16 output features each)
//!   for each MR rows
//!     acc[MR][NV] = 0                                  registers
//!     for each segment s                               a kernel row of the filter, or a frame
//!       for k: acc[i][v] += a[s][i·lda + k] · b[s][k][v]
//!     c[i][..] = acc[i]
//! ```
#![expect(
    unsafe_code,
    reason = "reads rows and panels through pointers; bounds are the caller's, stated on each function"
)]

use super::PANEL;
use super::simd::Simd;

/// One product `c = Σ_s a[s] · b[s]`, `m` rows by all panels.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    /// Where each segment's first row starts (row `i` is `lda·i` further on, `k` elements long), and which of the
    /// panel's blocks of `k` rows it is multiplied with.
    pub(super) segments: &'a [(*const f32, usize)],
    /// Elements from a row to the next.
    pub(super) lda: usize,
    /// Rows.
    pub(super) m: usize,
    /// Length of a segment's row.
    pub(super) k: usize,
    /// Panels `[panels][blocks·k][PANEL]`.
    pub(super) b: *const f32,
    /// Elements from a panel to the next.
    pub(super) b_stride: usize,
    /// Number of panels.
    pub(super) panels: usize,
    /// Result, `[m][panels·PANEL]` with rows `ldc` apart.
    pub(super) c: *mut f32,
    /// Elements from a row of the result to the next.
    pub(super) ldc: usize,
}

/// Computes a product.
///
/// # Safety
/// All pointers are valid for what [`Product`] describes, `c` doesn't overlap `a` or `b`, and the CPU has `S`.
#[inline(always)]
pub(super) unsafe fn product<S: Simd>(p: &Product<'_>) {
    let mut panel = 0;
    // Registers: 32 with AVX-512 (8 rows × 3 vectors + 3 + 1) and NEON (4 × 4 + 4 + 1), 16 with AVX2 (6 × 2 + 2 + 1).
    // SAFETY: the caller's; panels [panel, panel + n) exist by the loop's condition.
    unsafe {
        match S::LANES {
            16 => {
                while panel + 3 <= p.panels {
                    rows::<S, 8, 3>(p, panel);
                    panel += 3;
                }
                if panel + 2 <= p.panels {
                    rows::<S, 8, 2>(p, panel);
                    panel += 2;
                }
                if panel < p.panels {
                    rows::<S, 8, 1>(p, panel);
                }
            }
            8 => {
                while panel < p.panels {
                    rows::<S, 6, 2>(p, panel);
                    panel += 1;
                }
            }
            _ => {
                while panel < p.panels {
                    rows::<S, 4, 4>(p, panel);
                    panel += 1;
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn rows<S: Simd, const MR: usize, const NV: usize>(p: &Product<'_>, panel: usize) {
    let mut i = 0;
    // SAFETY: the caller's; rows [i, i + MR) exist by the loops' conditions.
    unsafe {
        while i + MR <= p.m {
            tile::<S, MR, NV>(p, panel, i);
            i += MR;
        }
        if MR > 4 && i + 4 <= p.m {
            tile::<S, 4, NV>(p, panel, i);
            i += 4;
        }
        if i + 2 <= p.m {
            tile::<S, 2, NV>(p, panel, i);
            i += 2;
        }
        while i < p.m {
            tile::<S, 1, NV>(p, panel, i);
            i += 1;
        }
    }
}

#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(p: &Product<'_>, panel: usize, row: usize) {
    // SAFETY: row + MR <= m and the NV vectors lie within the panels, so every address lies in what `Product`
    // describes.
    unsafe {
        let mut acc = [[S::splat(0.0); NV]; MR];
        for &segment in p.segments {
            accumulate::<S, MR, NV>(p, panel, row, segment, &mut acc);
        }
        for (i, acc) in acc.iter().enumerate() {
            for (v, &acc) in acc.iter().enumerate() {
                S::store(p.c.add((row + i) * p.ldc + panel * PANEL + v * S::LANES), acc);
            }
        }
    }
}

/// `acc += a · b` for one segment.
#[inline(always)]
unsafe fn accumulate<S: Simd, const MR: usize, const NV: usize>(
    p: &Product<'_>,
    panel: usize,
    row: usize,
    (a, block): (*const f32, usize),
    acc: &mut [[S::V; NV]; MR],
) {
    let per_panel = PANEL / S::LANES;
    // Addresses by `wrapping_add` and no index arithmetic inside: builds with debug assertions check `add` and `*`.
    let a = a.wrapping_add(row * p.lda);
    let rows: [*const f32; MR] = std::array::from_fn(|i| a.wrapping_add(i * p.lda));
    let offsets: [usize; NV] =
        std::array::from_fn(|v| (v / per_panel) * p.b_stride + (v % per_panel) * S::LANES);
    let mut b = p.b.wrapping_add(panel * p.b_stride + block * p.k * PANEL);
    for k in 0..p.k {
        // SAFETY: as in `tile`.
        unsafe {
            let mut bv = [S::splat(0.0); NV];
            for (bv, &offset) in bv.iter_mut().zip(&offsets) {
                *bv = S::load(b.wrapping_add(offset));
            }
            for (acc, row) in acc.iter_mut().zip(&rows) {
                let x = S::splat(row.wrapping_add(k).read_unaligned());
                for (acc, bv) in acc.iter_mut().zip(bv) {
                    *acc = S::fma(x, bv, *acc);
                }
            }
        }
        b = b.wrapping_add(PANEL);
    }
}

/// Two products that share two of their three terms: the F(2, 3) of the temporal direction.
///
/// With segments `d0 d1 d2 d3` (one row block each): `c = d0·u0 + d1·u1 + d2·u2`, `c2 = d1·u1 - d2·u2 + d3·u3`.
///
/// # Safety
/// As [`product`], with four segments; `c2` is like `p.c` and overlaps nothing.
#[inline(always)]
pub(super) unsafe fn product_pair<S: Simd>(p: &Product<'_>, c2: *mut f32) {
    let mut panel = 0;
    // SAFETY: the caller's; panels [panel, panel + n) exist by the loop's condition.
    unsafe {
        match S::LANES {
            16 => {
                while panel + 3 <= p.panels {
                    rows_pair::<S, 8, 3>(p, c2, panel);
                    panel += 3;
                }
                if panel + 2 <= p.panels {
                    rows_pair::<S, 8, 2>(p, c2, panel);
                    panel += 2;
                }
                if panel < p.panels {
                    rows_pair::<S, 8, 1>(p, c2, panel);
                }
            }
            8 => {
                while panel < p.panels {
                    rows_pair::<S, 6, 2>(p, c2, panel);
                    panel += 1;
                }
            }
            _ => {
                while panel < p.panels {
                    rows_pair::<S, 4, 4>(p, c2, panel);
                    panel += 1;
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn rows_pair<S: Simd, const MR: usize, const NV: usize>(p: &Product<'_>, c2: *mut f32, panel: usize) {
    let mut i = 0;
    // SAFETY: the caller's; rows [i, i + MR) exist by the loops' conditions.
    unsafe {
        while i + MR <= p.m {
            tile_pair::<S, MR, NV>(p, c2, panel, i);
            i += MR;
        }
        if MR > 4 && i + 4 <= p.m {
            tile_pair::<S, 4, NV>(p, c2, panel, i);
            i += 4;
        }
        if i + 2 <= p.m {
            tile_pair::<S, 2, NV>(p, c2, panel, i);
            i += 2;
        }
        while i < p.m {
            tile_pair::<S, 1, NV>(p, c2, panel, i);
            i += 1;
        }
    }
}

#[inline(always)]
unsafe fn tile_pair<S: Simd, const MR: usize, const NV: usize>(
    p: &Product<'_>,
    c2: *mut f32,
    panel: usize,
    row: usize,
) {
    let at = |i: usize, v: usize| (row + i) * p.ldc + panel * PANEL + v * S::LANES;
    // SAFETY: as in `tile`; both results have the same shape.
    unsafe {
        let mut acc = [[S::splat(0.0); NV]; MR];
        accumulate::<S, MR, NV>(p, panel, row, p.segments[1], &mut acc);
        for (i, acc) in acc.iter_mut().enumerate() {
            for (v, acc) in acc.iter_mut().enumerate() {
                S::store(c2.add(at(i, v)), *acc);
                *acc = S::splat(0.0);
            }
        }
        accumulate::<S, MR, NV>(p, panel, row, p.segments[2], &mut acc);
        for (i, acc) in acc.iter_mut().enumerate() {
            for (v, acc) in acc.iter_mut().enumerate() {
                let q = S::load(c2.add(at(i, v)));
                S::store(c2.add(at(i, v)), S::sub(q, *acc));
                *acc = S::add(q, *acc);
            }
        }
        accumulate::<S, MR, NV>(p, panel, row, p.segments[0], &mut acc);
        for (i, acc) in acc.iter_mut().enumerate() {
            for (v, acc) in acc.iter_mut().enumerate() {
                S::store(p.c.add(at(i, v)), *acc);
                *acc = S::load(c2.add(at(i, v)));
            }
        }
        accumulate::<S, MR, NV>(p, panel, row, p.segments[3], &mut acc);
        for (i, acc) in acc.iter().enumerate() {
            for (v, &acc) in acc.iter().enumerate() {
                S::store(c2.add(at(i, v)), acc);
            }
        }
    }
}
