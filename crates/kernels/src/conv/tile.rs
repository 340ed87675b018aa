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

/// Computes a product.
#[inline(always)]
pub(super) fn product<S: Vectors>(s: S, p: &Product<'_>, c: &mut [f32]) {
    p.check(S::LANES, c);
    // SAFETY: the product was checked.
    unsafe { all_panels(s, p, c, None) };
}

/// Two products that share two of their three terms: the F(2, 3) of the temporal direction.
///
/// With segments `d0 d1 d2 d3` (one row block each): `c = d0·u0 + d1·u1 + d2·u2`, `c2 = d1·u1 - d2·u2 + d3·u3`.
#[inline(always)]
pub(super) fn product_pair<S: Vectors>(s: S, p: &Product<'_>, c: &mut [f32], c2: &mut [f32]) {
    assert_eq!(p.segments.len(), 4, "a pair of frames has four inputs");
    p.check(S::LANES, c);
    p.check(S::LANES, c2);
    // SAFETY: the products were checked.
    unsafe { all_panels(s, p, c, Some(c2)) };
}

/// All groups of panels, with the tile that suits the registers: 32 with AVX-512 (8 rows × 3 vectors + 3 + 1), 16 with AVX2, and
/// pairs of them with NEON (4 × 3 + 3 + 1, 6 × 2 + 2 + 1, 12 × 1 + 1 + 1).
///
/// # Safety
/// [`Product::check`] passed, for both results.
#[inline(always)]
unsafe fn all_panels<S: Vectors>(s: S, p: &Product<'_>, c: &mut [f32], mut c2: Option<&mut [f32]>) {
    let mut panel = 0;
    while panel < p.panels {
        let c2 = c2.as_deref_mut();
        // SAFETY: this function's own contract; panels up to the next one's number exist.
        panel = unsafe {
            match (S::LANES, p.width, p.panels - panel) {
                (16, _, 3..) => rows::<S, 8, 3>(s, p, c, c2, panel) + 3,
                (16, _, 2) => rows::<S, 8, 2>(s, p, c, c2, panel) + 2,
                (16, ..) => rows::<S, 8, 1>(s, p, c, c2, panel) + 1,
                (_, 24, _) => rows::<S, 4, 3>(s, p, c, c2, panel) + 1,
                (_, 16, _) => rows::<S, 6, 2>(s, p, c, c2, panel) + 1,
                _ => rows::<S, 12, 1>(s, p, c, c2, panel) + 1,
            }
        };
    }
}

/// All rows of a group of panels, as many as suit the registers at a time, then the rest in smaller tiles. Returns the panel.
///
/// # Safety
/// As [`all_panels`]; `NV` vectors lie within the panels from `panel` on.
#[inline(always)]
unsafe fn rows<S: Vectors, const MR: usize, const NV: usize>(
    s: S,
    p: &Product<'_>,
    c: &mut [f32],
    mut c2: Option<&mut [f32]>,
    panel: usize,
) -> usize {
    let mut row = 0;
    macro_rules! tiles {
        ($($rows:expr),+) => {$(
            if p.m - row >= $rows {
                row = match c2.as_deref_mut() {
                    None => s.enter(Tiles::<{ $rows }, NV> { p, c: &mut *c, panel, row }),
                    Some(c2) => s.enter(Pairs::<{ $rows }, NV> { p, c: &mut *c, c2, panel, row }),
                };
            }
        )+};
    }
    tiles!(MR);
    if MR > 8 {
        tiles!(8);
    }
    if MR > 4 {
        tiles!(4);
    }
    tiles!(2, 1);
    panel
}

/// Tiles of `MR` rows by `NV` vectors of a checked product from `row` on, as many as there are; the row behind them comes back.
///
/// Each size is a function of its own: in one with all of them the compiler keeps sums in memory.
struct Tiles<'a, const MR: usize, const NV: usize> {
    p: &'a Product<'a>,
    c: &'a mut [f32],
    panel: usize,
    row: usize,
}

impl<S: Vectors, const MR: usize, const NV: usize> Kernel<S, usize> for Tiles<'_, MR, NV> {
    #[inline(always)]
    fn run(self, s: S) -> usize {
        let Self { p, c, panel, mut row } = self;
        while row + MR <= p.m {
            // SAFETY: `rows` hands over a checked product and panels that exist; the rows do by the loop's condition.
            unsafe { tile::<S, MR, NV>(s, p, c, panel, row) };
            row += MR;
        }
        row
    }
}

/// [`Tiles`] of two products.
struct Pairs<'a, const MR: usize, const NV: usize> {
    p: &'a Product<'a>,
    c: &'a mut [f32],
    c2: &'a mut [f32],
    panel: usize,
    row: usize,
}

impl<S: Vectors, const MR: usize, const NV: usize> Kernel<S, usize> for Pairs<'_, MR, NV> {
    #[inline(always)]
    fn run(self, s: S) -> usize {
        let Self { p, c, c2, panel, mut row } = self;
        while row + MR <= p.m {
            // SAFETY: as in `Tiles`.
            unsafe { tile_pair::<S, MR, NV>(s, p, c, c2, panel, row) };
            row += MR;
        }
        row
    }
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
