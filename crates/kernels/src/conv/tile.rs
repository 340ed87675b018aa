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
#![expect(unsafe_code, reason = "tiles read and write without checks what was checked for a whole product")]

use simd::Kernel;

use super::vectors::Vectors;

/// One product `c = Σ_s a[s] · b[s]`, `m` rows by all panels.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    /// Each segment's first row (row `i` is `lda·i` further on, `k` elements long), and which of the panel's blocks of `k` rows
    /// it is multiplied with.
    pub(super) segments: &'a [(&'a [f32], usize)],
    /// Elements from a row to the next.
    pub(super) lda: usize,
    /// Rows.
    pub(super) m: usize,
    /// Length of a segment's row.
    pub(super) k: usize,
    /// Panels `[panels][blocks·k][width]`.
    pub(super) b: &'a [f32],
    /// Elements from a panel to the next.
    pub(super) b_stride: usize,
    /// Number of panels.
    pub(super) panels: usize,
    /// Output features of a panel: 8, 16 or 24; 16 alone for vectors of 16 lanes.
    pub(super) width: usize,
    /// Elements from a row of the result `[m][panels·width]` to the next.
    pub(super) ldc: usize,
}

impl Product<'_> {
    /// That all operands hold what tiles of `lanes` will read and write.
    fn check(&self, lanes: usize, c: &[f32]) {
        let Self { lda, m, k, b_stride, panels, width, ldc, .. } = *self;
        let (rows, all) = ((m - 1) * lda + k, panels * width);
        for (a, block) in self.segments {
            assert!(a.len() >= rows && (block + 1) * k * width <= b_stride, "a segment is too short");
        }
        assert!(self.b.len() >= panels * b_stride, "panels are missing");
        assert!(c.len() >= (m - 1) * ldc + all && ldc >= all, "the result is too small");
        assert!(
            if lanes == 16 { width == 16 } else { width.is_multiple_of(8) && width <= 24 },
            "panels of {width}"
        );
    }
}

/// Calls `$rows` for every group of panels, with the tile that suits the registers: 32 with AVX-512 (8 rows × 3 vectors
/// + 3 + 1), 16 with AVX2, and pairs of them with NEON (4 × 3 + 3 + 1, 6 × 2 + 2 + 1, 12 × 1 + 1 + 1).
macro_rules! for_panels {
    ($s:ident, $p:ident, $rows:ident($($arg:ident),*)) => {{
        let mut panel = 0;
        if S::LANES == 16 {
            while panel + 3 <= $p.panels {
                $rows::<S, 8, 3>($s, $p, $($arg,)* panel);
                panel += 3;
            }
            if panel + 2 <= $p.panels {
                $rows::<S, 8, 2>($s, $p, $($arg,)* panel);
                panel += 2;
            }
            if panel < $p.panels {
                $rows::<S, 8, 1>($s, $p, $($arg,)* panel);
            }
        } else {
            while panel < $p.panels {
                match $p.width {
                    24 => $rows::<S, 4, 3>($s, $p, $($arg,)* panel),
                    16 => $rows::<S, 6, 2>($s, $p, $($arg,)* panel),
                    _ => $rows::<S, 12, 1>($s, $p, $($arg,)* panel),
                }
                panel += 1;
            }
        }
    }};
}

/// Calls `$tile` for all rows of a product: as many as suit the registers at a time, then the rest in smaller tiles.
macro_rules! for_rows {
    ($s:ident, $p:ident, $tile:ident($($arg:ident),*)) => {{
        let mut i = 0;
        while i + MR <= $p.m {
            $tile::<S, MR, NV>($s, $p, $($arg,)* i);
            i += MR;
        }
        if MR > 8 && i + 8 <= $p.m {
            $tile::<S, 8, NV>($s, $p, $($arg,)* i);
            i += 8;
        }
        if MR > 4 && i + 4 <= $p.m {
            $tile::<S, 4, NV>($s, $p, $($arg,)* i);
            i += 4;
        }
        if i + 2 <= $p.m {
            $tile::<S, 2, NV>($s, $p, $($arg,)* i);
            i += 2;
        }
        while i < $p.m {
            $tile::<S, 1, NV>($s, $p, $($arg,)* i);
            i += 1;
        }
    }};
}

/// Computes a product.
#[inline(always)]
pub(super) fn product<S: Vectors>(s: S, p: &Product<'_>, c: &mut [f32]) {
    p.check(S::LANES, c);
    s.enter(Whole { p, c, c2: None });
}

/// Two products that share two of their three terms: the F(2, 3) of the temporal direction.
///
/// With segments `d0 d1 d2 d3` (one row block each): `c = d0·u0 + d1·u1 + d2·u2`, `c2 = d1·u1 - d2·u2 + d3·u3`.
#[inline(always)]
pub(super) fn product_pair<S: Vectors>(s: S, p: &Product<'_>, c: &mut [f32], c2: &mut [f32]) {
    assert_eq!(p.segments.len(), 4, "a pair of frames has four inputs");
    p.check(S::LANES, c);
    p.check(S::LANES, c2);
    s.enter(Whole { p, c, c2: Some(c2) });
}

/// A checked product, compiled once for a level.
struct Whole<'a> {
    p: &'a Product<'a>,
    c: &'a mut [f32],
    c2: Option<&'a mut [f32]>,
}

impl<S: Vectors> Kernel<S> for Whole<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        let Self { p, c, c2 } = self;
        // SAFETY: `Product::check` saw the operands; panels [panel, panel + n) exist by the loops' conditions.
        unsafe {
            match c2 {
                None => for_panels!(s, p, rows(c)),
                Some(c2) => for_panels!(s, p, rows_pair(c, c2)),
            }
        }
    }
}

/// # Safety
/// [`Product::check`] passed; `NV` vectors lie within the panels from `panel` on.
#[inline(always)]
unsafe fn rows<S: Vectors, const MR: usize, const NV: usize>(
    s: S,
    p: &Product<'_>,
    c: &mut [f32],
    panel: usize,
) {
    // SAFETY: this function's own contract; every tile's rows exist by the loops' conditions.
    unsafe { for_rows!(s, p, tile(c, panel)) };
}

/// # Safety
/// As [`rows`], and `row + MR <= p.m`.
#[inline(always)]
unsafe fn tile<S: Vectors, const MR: usize, const NV: usize>(
    s: S,
    p: &Product<'_>,
    c: &mut [f32],
    panel: usize,
    row: usize,
) {
    let mut acc = [[s.splat(0.0); NV]; MR];
    for &segment in p.segments {
        // SAFETY: this function's own contract.
        unsafe { accumulate(s, p, panel, row, segment, &mut acc) };
    }
    for (i, acc) in acc.iter().enumerate() {
        for (v, &acc) in acc.iter().enumerate() {
            // SAFETY: a row below `m`, a vector within the panels: the result was checked to hold it.
            unsafe { s.store_unchecked(acc, c, (row + i) * p.ldc + panel * p.width + v * S::LANES) };
        }
    }
}

/// `acc += a · b` for one segment.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn accumulate<S: Vectors, const MR: usize, const NV: usize>(
    s: S,
    p: &Product<'_>,
    panel: usize,
    row: usize,
    (a, block): (&[f32], usize),
    acc: &mut [[S::V; NV]; MR],
) {
    // A vector of 16 lanes is a panel; shorter ones are parts of one.
    let next = if S::LANES == 16 { p.b_stride } else { S::LANES };
    let a = a.as_ptr().wrapping_add(row * p.lda);
    let rows: [*const f32; MR] = std::array::from_fn(|i| a.wrapping_add(i * p.lda));
    let b = p.b.as_ptr().wrapping_add(panel * p.b_stride + block * p.k * p.width);
    // SAFETY: rows below `m` and blocks of panels: `Product::check` found them to have `k` elements and `k` vectors.
    unsafe { s.accumulate(&rows, p.k, b, next, p.width, acc) };
}

/// # Safety
/// As [`rows`], also for `c2`.
#[inline(always)]
unsafe fn rows_pair<S: Vectors, const MR: usize, const NV: usize>(
    s: S,
    p: &Product<'_>,
    c: &mut [f32],
    c2: &mut [f32],
    panel: usize,
) {
    // SAFETY: this function's own contract; every tile's rows exist by the loops' conditions.
    unsafe { for_rows!(s, p, tile_pair(c, c2, panel)) };
}

/// # Safety
/// As [`tile`], also for `c2`; there are four segments.
#[inline(always)]
unsafe fn tile_pair<S: Vectors, const MR: usize, const NV: usize>(
    s: S,
    p: &Product<'_>,
    c: &mut [f32],
    c2: &mut [f32],
    panel: usize,
    row: usize,
) {
    let at = |i: usize, v: usize| (row + i) * p.ldc + panel * p.width + v * S::LANES;
    // SAFETY: as in `tile`: rows below `m`, vectors within the panels, in both results.
    unsafe {
        let mut acc = [[s.splat(0.0); NV]; MR];
        accumulate(s, p, panel, row, p.segments[1], &mut acc);
        for (i, acc) in acc.iter_mut().enumerate() {
            for (v, acc) in acc.iter_mut().enumerate() {
                s.store_unchecked(*acc, c2, at(i, v));
                *acc = s.splat(0.0);
            }
        }
        accumulate(s, p, panel, row, p.segments[2], &mut acc);
        for (i, acc) in acc.iter_mut().enumerate() {
            for (v, acc) in acc.iter_mut().enumerate() {
                let q = s.load_unchecked(c2, at(i, v));
                s.store_unchecked(s.sub(q, *acc), c2, at(i, v));
                *acc = s.add(q, *acc);
            }
        }
        accumulate(s, p, panel, row, p.segments[0], &mut acc);
        for (i, acc) in acc.iter_mut().enumerate() {
            for (v, acc) in acc.iter_mut().enumerate() {
                s.store_unchecked(*acc, c, at(i, v));
                *acc = s.load_unchecked(c2, at(i, v));
            }
        }
        accumulate(s, p, panel, row, p.segments[3], &mut acc);
        for (i, acc) in acc.iter().enumerate() {
            for (v, &acc) in acc.iter().enumerate() {
                s.store_unchecked(acc, c2, at(i, v));
            }
        }
    }
}
