//! The matrix product at the bottom of every convolution: rows read where they lie, weights in panels.
//!
//! ```text
//! for each group of panels (8, 16 or 24 output features each)
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
    /// Panels `[panels][blocks·k][width]`.
    pub(super) b: *const f32,
    /// Elements from a panel to the next.
    pub(super) b_stride: usize,
    /// Number of panels.
    pub(super) panels: usize,
    /// Output features of a panel: 8, 16 or 24; 16 alone for vectors of 16 lanes.
    pub(super) width: usize,
    /// Result, `[m][panels·width]` with rows `ldc` apart.
    pub(super) c: *mut f32,
    /// Elements from a row of the result to the next.
    pub(super) ldc: usize,
}

/// Calls `$rows` for every group of panels, with the tile that suits the registers: 32 with AVX-512 (8 rows × 3 vectors
/// + 3 + 1) and NEON (4 × 6 + 6 + 1, 4 × 4 + 4 + 1), 16 with AVX2 (4 × 3 + 3 + 1, 6 × 2 + 2 + 1, 12 × 1 + 1 + 1).
macro_rules! for_panels {
    ($p:ident, $rows:ident($($arg:ident),*)) => {{
        let mut panel = 0;
        if S::LANES == 16 {
            while panel + 3 <= $p.panels {
                $rows::<S, 8, 3>($p, $($arg,)* panel);
                panel += 3;
            }
            if panel + 2 <= $p.panels {
                $rows::<S, 8, 2>($p, $($arg,)* panel);
                panel += 2;
            }
            if panel < $p.panels {
                $rows::<S, 8, 1>($p, $($arg,)* panel);
            }
        } else {
            while panel < $p.panels {
                match (S::LANES, $p.width) {
                    (8, 24) => $rows::<S, 4, 3>($p, $($arg,)* panel),
                    (8, 16) => $rows::<S, 6, 2>($p, $($arg,)* panel),
                    (8, _) => $rows::<S, 12, 1>($p, $($arg,)* panel),
                    (_, 24) => $rows::<S, 4, 6>($p, $($arg,)* panel),
                    (_, 16) => $rows::<S, 4, 4>($p, $($arg,)* panel),
                    _ => $rows::<S, 8, 2>($p, $($arg,)* panel),
                }
                panel += 1;
            }
        }
    }};
}

/// Calls `$tile` for all rows of a product: as many as suit the registers at a time, then the rest in smaller tiles.
macro_rules! for_rows {
    ($p:ident, $tile:ident($($arg:ident),*)) => {{
        let mut i = 0;
        while i + MR <= $p.m {
            $tile::<S, MR, NV>($p, $($arg,)* i);
            i += MR;
        }
        if MR > 8 && i + 8 <= $p.m {
            $tile::<S, 8, NV>($p, $($arg,)* i);
            i += 8;
        }
        if MR > 4 && i + 4 <= $p.m {
            $tile::<S, 4, NV>($p, $($arg,)* i);
            i += 4;
        }
        if i + 2 <= $p.m {
            $tile::<S, 2, NV>($p, $($arg,)* i);
            i += 2;
        }
        while i < $p.m {
            $tile::<S, 1, NV>($p, $($arg,)* i);
            i += 1;
        }
    }};
}

/// Computes a product; the body of [`Simd::product`].
///
/// # Safety
/// All pointers are valid for what [`Product`] describes, `c` doesn't overlap `a` or `b`, and the CPU has `S`.
#[inline(always)]
pub(super) unsafe fn product<S: Simd>(p: &Product<'_>) {
    // SAFETY: the caller's; panels [panel, panel + n) exist by the loops' conditions.
    unsafe { for_panels!(p, rows()) };
}

#[inline(always)]
unsafe fn rows<S: Simd, const MR: usize, const NV: usize>(p: &Product<'_>, panel: usize) {
    // SAFETY: the caller's; every tile's rows exist by the loops' conditions.
    unsafe { for_rows!(p, tile(panel)) };
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
                S::store(p.c.add((row + i) * p.ldc + panel * p.width + v * S::LANES), acc);
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
    // A vector of 16 lanes is a panel; shorter ones are parts of one.
    let next = if S::LANES == 16 { p.b_stride } else { S::LANES };
    let a = a.wrapping_add(row * p.lda);
    let rows: [*const f32; MR] = std::array::from_fn(|i| a.wrapping_add(i * p.lda));
    let b = p.b.wrapping_add(panel * p.b_stride + block * p.k * p.width);
    // SAFETY: as in `tile`.
    unsafe { S::accumulate(&rows, p.k, b, next, p.width, acc) };
}

/// Two products that share two of their three terms: the F(2, 3) of the temporal direction. The body of
/// [`Simd::product_pair`].
///
/// With segments `d0 d1 d2 d3` (one row block each): `c = d0·u0 + d1·u1 + d2·u2`, `c2 = d1·u1 - d2·u2 + d3·u3`.
///
/// # Safety
/// As [`product`], with four segments; `c2` is like `p.c` and overlaps nothing.
#[inline(always)]
pub(super) unsafe fn product_pair<S: Simd>(p: &Product<'_>, c2: *mut f32) {
    // SAFETY: the caller's; panels [panel, panel + n) exist by the loops' conditions.
    unsafe { for_panels!(p, rows_pair(c2)) };
}

#[inline(always)]
unsafe fn rows_pair<S: Simd, const MR: usize, const NV: usize>(p: &Product<'_>, c2: *mut f32, panel: usize) {
    // SAFETY: the caller's; every tile's rows exist by the loops' conditions.
    unsafe { for_rows!(p, tile_pair(c2, panel)) };
}

#[inline(always)]
unsafe fn tile_pair<S: Simd, const MR: usize, const NV: usize>(
    p: &Product<'_>,
    c2: *mut f32,
    panel: usize,
    row: usize,
) {
    let at = |i: usize, v: usize| (row + i) * p.ldc + panel * p.width + v * S::LANES;
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
