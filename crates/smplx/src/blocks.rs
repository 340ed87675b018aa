//! The two inner loops of the forward pass, compiled for every instruction set and chosen at run time.
//!
//! Both compute `offsets += directions · coefficients` for one block of 16 vertices (48 rows):
//!
//! * few frames: for each column, 3 lanes of the table × 1 coefficient a frame. The table is read once, in order;
//!   for one frame that is what bounds it.
//! * many frames: for each group of 6 or 8 rows and 1–3 lanes of 16 frames, for each column, 8 broadcast elements of the
//!   table × the lanes of the coefficient panel, kept in up to 24 registers.
//!
//! and then skin the block while it's in the first-level cache. A vector is a [`Lane`]: 16 floats in one register or several.

use crate::lanes::{Block, Lane};
use crate::weights::VertexWeight;
use simd::{Kernel, Level, Simd, dispatch_lines};

/// A table's run for one block and the coefficients of `NF` frames for it, column by column.
pub(crate) struct Term<'a, const NF: usize> {
    pub(crate) directions: &'a [Block],
    pub(crate) coefficients: &'a [[f32; NF]],
}

/// Adds the terms to the offsets of `NF` frames.
pub(crate) fn add_few<const NF: usize>(level: Level, terms: &[Term<'_, NF>], offsets: &mut [Block; NF]) {
    dispatch_lines(level, AddFew { terms, offsets });
}

struct AddFew<'a, const NF: usize> {
    terms: &'a [Term<'a, NF>],
    offsets: &'a mut [Block; NF],
}

impl<S: Simd, const NF: usize> Kernel<S> for AddFew<'_, NF> {
    #[inline(always)]
    fn run(self, s: S) {
        let mut acc = [[s.splat(0.0); 3]; NF];
        for (acc, block) in acc.iter_mut().zip(&*self.offsets) {
            *acc = load_block(s, block);
        }
        for term in self.terms {
            for (block, coefficients) in term.directions.iter().zip(term.coefficients) {
                let lanes = load_block(s, block);
                for (acc, c) in acc.iter_mut().zip(coefficients) {
                    let c = s.splat(*c);
                    for i in 0..3 {
                        acc[i] = s.fma(lanes[i], c, acc[i]);
                    }
                }
            }
        }
        for (block, acc) in self.offsets.iter_mut().zip(acc) {
            for i in 0..3 {
                s.store(acc[i], &mut block[i].0);
            }
        }
    }
}

#[inline(always)]
fn load_block<S: Simd>(s: S, block: &Block) -> [S::V; 3] {
    [s.load(&block[0].0), s.load(&block[1].0), s.load(&block[2].0)]
}

/// The transforms of one frame, by joint: four columns (x, y, z, translation) of four floats, the last unused.
pub(crate) type JointLanes = [Lane];

/// Skins one block of one frame: `out[v] = (Σ w · transform) · offsets[v] + translation`.
pub(crate) fn skin_few(
    level: Level,
    weights: &[&[VertexWeight]],
    joints: &JointLanes,
    translation: [f32; 3],
    offsets: &Block,
    out: &mut [[f32; 3]],
) {
    dispatch_lines(level, SkinFew { weights, joints, translation, offsets, out });
}

struct SkinFew<'a> {
    weights: &'a [&'a [VertexWeight]],
    joints: &'a JointLanes,
    translation: [f32; 3],
    offsets: &'a Block,
    out: &'a mut [[f32; 3]],
}

impl<S: Simd> Kernel<S> for SkinFew<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        let Self { weights, joints, translation, offsets, out } = self;
        let offsets: &[f32; 48] = bytemuck::cast_ref(offsets);
        let points = offsets.as_chunks::<3>().0;
        for ((weights, [x, y, z]), out) in weights.iter().zip(points).zip(out) {
            let t = blend(s, weights, joints).0;
            for i in 0..3 {
                out[i] = t[i] * x + t[4 + i] * y + t[8 + i] * z + t[12 + i] + translation[i];
            }
        }
    }
}

/// `Σ w · transform` of one vertex or point.
#[inline(always)]
fn blend<S: Simd>(s: S, weights: &[VertexWeight], joints: &JointLanes) -> Lane {
    let mut t = s.splat(0.0);
    for w in weights {
        t = s.fma(s.load(&joints[usize::from(w.joint)].0), s.splat(w.weight), t);
    }
    let mut out = Lane::ZERO;
    s.store(t, &mut out.0);
    out
}

/// One table's run for a block and its coefficient panel `[column][lane of 16 frames]`.
pub(crate) struct PanelTerm<'a> {
    pub(crate) directions: &'a [Block],
    pub(crate) panel: &'a [Lane],
}

/// What the many-frames loop needs besides the table.
pub(crate) struct Panel<'a> {
    /// Lanes of 16 frames.
    pub(crate) n_lanes: usize,
    /// Transforms `[joint][12][lane]`, 12 = the 3×4 matrix in row-major order.
    pub(crate) joints: &'a [Lane],
    /// Translations `[axis][lane]`.
    pub(crate) translations: &'a [Lane],
}

/// Adds the terms to the offsets `[48 rows][lane]` of one block.
pub(crate) fn add_many(level: Level, n_lanes: usize, terms: &[PanelTerm<'_>], offsets: &mut [Lane]) {
    dispatch_lines(level, AddMany { n_lanes, terms, offsets });
}

struct AddMany<'a> {
    n_lanes: usize,
    terms: &'a [PanelTerm<'a>],
    offsets: &'a mut [Lane],
}

impl<S: Simd> Kernel<S> for AddMany<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        // Rows × lanes whose sums fit the registers, of which a vector may take several.
        match S::REGISTERS {
            32.. => self.rows::<S, 8, 3>(s),
            8.. => self.rows::<S, 6, 1>(s),
            _ => self.rows::<S, 2, 1>(s),
        }
    }
}

/// Columns worked on at a time: their part of the panel and of the table stay in the first-level cache.
const COLUMNS_AT_A_TIME: usize = 64;

impl AddMany<'_> {
    #[inline(always)]
    fn rows<S: Simd, const R: usize, const N: usize>(self, s: S) {
        let Self { n_lanes, terms, offsets } = self;
        for term in terms {
            let runs = term.directions.chunks(COLUMNS_AT_A_TIME);
            let panels = term.panel.chunks(COLUMNS_AT_A_TIME * n_lanes);
            for (directions, panel) in runs.zip(panels) {
                let mut lane = 0;
                while lane + N <= n_lanes {
                    add_rows::<S, R, N>(s, n_lanes, lane, directions, panel, offsets);
                    lane += N;
                }
                match n_lanes - lane {
                    2 => add_rows::<S, R, 2>(s, n_lanes, lane, directions, panel, offsets),
                    1 => add_rows::<S, R, 1>(s, n_lanes, lane, directions, panel, offsets),
                    _ => {}
                }
            }
        }
    }
}

#[inline(always)]
fn add_rows<S: Simd, const R: usize, const N: usize>(
    s: S,
    n_lanes: usize,
    lane: usize,
    directions: &[Block],
    panel: &[Lane],
    offsets: &mut [Lane],
) {
    let rows: &[[f32; 48]] = bytemuck::cast_slice(directions);
    for first in (0..48).step_by(R) {
        let mut sums = [[Lane::ZERO; N]; R];
        sum_columns::<S, R, N>(s, first, rows, panel, n_lanes, lane, &mut sums);
        for (r, sums) in sums.iter().enumerate() {
            let at = (first + r) * n_lanes + lane;
            for (sum, to) in sums.iter().zip(&mut offsets[at..at + N]) {
                s.store(s.add(s.load(&to.0), s.load(&sum.0)), &mut to.0);
            }
        }
    }
}

/// `R` rows × `N` lanes over all columns. Nothing in here but the loop over columns has a number of steps that the compiler
/// doesn't know, so that the sums stay in registers.
#[inline(always)]
fn sum_columns<S: Simd, const R: usize, const N: usize>(
    s: S,
    first: usize,
    rows: &[[f32; 48]],
    panel: &[Lane],
    n_lanes: usize,
    lane: usize,
    sums: &mut [[Lane; N]; R],
) {
    let mut acc = [[s.splat(0.0); N]; R];
    for (row, panel) in rows.iter().zip(panel.chunks_exact(n_lanes)) {
        let Some(elements) = row[first..].first_chunk::<R>() else { return };
        let Some(lanes) = panel[lane..].first_chunk::<N>() else { return };
        for r in 0..R {
            let element = s.splat(elements[r]);
            for n in 0..N {
                acc[r][n] = s.fma(element, s.load(&lanes[n].0), acc[r][n]);
            }
        }
    }
    for r in 0..R {
        for n in 0..N {
            s.store(acc[r][n], &mut sums[r][n].0);
        }
    }
}

/// Skins the offsets `[48 rows][lane]` of one block in place.
pub(crate) fn skin_many(level: Level, weights: &[&[VertexWeight]], panel: &Panel<'_>, offsets: &mut [Lane]) {
    dispatch_lines(level, SkinMany { weights, panel, offsets });
}

struct SkinMany<'a> {
    weights: &'a [&'a [VertexWeight]],
    panel: &'a Panel<'a>,
    offsets: &'a mut [Lane],
}

impl<S: Simd> Kernel<S> for SkinMany<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        let Self { weights, panel, offsets } = self;
        let n = panel.n_lanes;
        for (weights, rows) in weights.iter().zip(offsets.chunks_exact_mut(3 * n)) {
            for lane in 0..n {
                let (x, y, z) =
                    (s.load(&rows[lane].0), s.load(&rows[n + lane].0), s.load(&rows[2 * n + lane].0));
                for axis in 0..3 {
                    let mut t = [s.splat(0.0); 4];
                    for w in *weights {
                        let share = s.splat(w.weight);
                        let joint = &panel.joints[(usize::from(w.joint) * 12 + axis * 4) * n..];
                        for (column, t) in t.iter_mut().enumerate() {
                            *t = s.fma(s.load(&joint[column * n + lane].0), share, *t);
                        }
                    }
                    let turned = s.fma(t[0], x, s.fma(t[1], y, s.fma(t[2], z, t[3])));
                    let moved = s.add(turned, s.load(&panel.translations[axis * n + lane].0));
                    s.store(moved, &mut rows[axis * n + lane].0);
                }
            }
        }
    }
}
