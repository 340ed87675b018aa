//! The blocked product: packs the left side once, then lets tasks each make a block of the output.
//!
//! ```text
//! for each chunk of rows whose packed form fits CHUNK_BYTES:
//!   pack a: [K block][strip of MR rows][unit][MR]                      (in parallel)
//!   for each task, a range of strips × a range of panels:              (in parallel)
//!     for each K block:
//!       fill the task's panels of b, unless the weight holds them as they are
//!       for each group of strips that fits the second-level cache, each panel, each strip: tile
//!     epilogue, row by row
//! ```
//!
//! A task owns its block of the output for all of K, and K blocks don't depend on the partition: the bytes of the
//! result don't depend on the number of threads.
#![expect(unsafe_code, reason = "tasks write disjoint blocks of the output")]

use std::ops::Range;

use rayon::prelude::*;
#[cfg(target_arch = "x86_64")]
use simd::Amx;
use simd::{Kernel, Level, bf16_is_faster, dispatch, level};

use super::epilogue::Epilogue;
use super::int8::{FiveBits, Int8, Nibbles, Signed};
use super::product::{Bf16Pairs, F32, Product};
use super::source::Source;
use super::w8a8::{self, W8A8};
use super::{Mat, skinny};
use crate::Precision;
use crate::QuantKind;
#[cfg(target_arch = "x86_64")]
use crate::amx::{self, gemm::TileProduct};
use crate::scratch::Scratch;
use crate::shared::SharedOut;
use crate::tile::{PANEL, Tile, Tiles};

/// Rows of the left side that are multiplied by all panels of a task in turn: 256 KiB, half a second-level cache.
const ROWS_IN_L2: usize = 256;
/// Panels of a task.
const TASK_PANELS: usize = 16;
/// Bytes of packed left side at a time: about what a last-level cache holds.
const CHUNK_BYTES: usize = 32 << 20;
/// Multiplications below which threads cost more than they bring.
pub(super) const SERIAL: usize = 1 << 16;
/// Rows up to which a row-major weight is read as it is.
pub(super) const SKINNY_ROWS: usize = 4;

/// `a · b` through the epilogue into `out` `[M, N]`.
pub(super) fn product(
    a: Mat<'_>,
    b: Source<'_>,
    n: usize,
    precision: Precision,
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
) {
    let level = level();
    if precision == Precision::Int8
        && a.rows > SKINNY_ROWS
        && let Source::Quantized { kind, .. } = b
    {
        match kind {
            QuantKind::Q8_0 => return blocked(level, Int8(Signed), a, b, n, epilogue, out),
            QuantKind::Q4_0 | QuantKind::Q4K => return blocked(level, Int8(Nibbles), a, b, n, epilogue, out),
            QuantKind::Q5K => return blocked(level, Int8(FiveBits), a, b, n, epilogue, out),
            // Its scales of 16 steps make factors of 16 bits, and those no faster than f32 on the CPUs this was measured on.
            QuantKind::Q6K => {}
        }
    }
    if precision == Precision::Int8
        && let Source::PanelsInt8(packed) = b
    {
        let rows = w8a8::row_scales(&a);
        let product = W8A8::new(packed, &rows);
        return on_tiles(level, product, a, b, n, epilogue, out);
    }
    if a.rows <= SKINNY_ROWS && a.col_stride == 1 && skinny::product(level, &a, &b, n, epilogue, out) {
        return;
    }
    if precision != Precision::F32 && bf16_is_faster(level) {
        on_tiles(level, Bf16Pairs, a, b, n, epilogue, out);
    } else {
        blocked(level, F32, a, b, n, epilogue, out);
    }
}

/// The product on tiles where the level has them, elsewhere as [`blocked`] makes it. (A few rows are as fast on vectors: their time
/// goes into reading the weight.)
#[cfg(target_arch = "x86_64")]
fn on_tiles<P: TileProduct>(
    level: Level,
    product: P,
    a: Mat<'_>,
    b: Source<'_>,
    n: usize,
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
) {
    if level == Level::Amx
        && a.rows > SKINNY_ROWS
        && a.cols > 0
        && let Some(amx) = Amx::detect()
    {
        amx::gemm::product(amx, level, product, a, b, n, epilogue, out);
    } else {
        blocked(level, product, a, b, n, epilogue, out);
    }
}
#[cfg(not(target_arch = "x86_64"))]
use blocked as on_tiles;

/// `(rows of a strip, panels of a tile)` of a level.
struct TileShape;

impl<S: Tiles> Kernel<S, (usize, usize)> for TileShape {
    #[inline(always)]
    fn run(self, _: S) -> (usize, usize) {
        (S::MR, S::NP)
    }
}

/// The product at a level, whatever its sizes.
pub(super) fn blocked<P: Product>(
    level: Level,
    product: P,
    a: Mat<'_>,
    b: Source<'_>,
    n: usize,
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
) {
    let (widest, np) = dispatch(level, TileShape);
    let mr = if a.rows <= 4 { widest.min(a.rows.next_power_of_two()) } else { widest };
    let units = P::units(a.cols);
    let fitting = (CHUNK_BYTES / 4 / units.max(1) / mr).max(1) * mr;
    let serial = a.rows.saturating_mul(n).saturating_mul(a.cols) < SERIAL;
    let shared = SharedOut::new(out);
    for row0 in (0..a.rows).step_by(fitting) {
        let rows = fitting.min(a.rows - row0);
        let strips = rows.div_ceil(mr);
        let mut packed = Scratch::<P::T>::new(strips * mr * units);
        let a = Mat { data: &a.data[row0 * a.row_stride..], rows, ..a };
        let product = product.starting_at(row0);
        pack(level, product, &a, mr, serial, &mut packed);
        let call = Call {
            product,
            packed: &packed,
            b,
            a_rows: rows,
            strips,
            mr,
            np,
            k: a.cols,
            n,
            row0,
            epilogue,
            out: shared,
        };
        call.run(level, serial);
    }
}

/// Packs a strip of `a` for one K block.
struct PackStrip<'a, P: Product> {
    product: P,
    a: &'a Mat<'a>,
    row0: usize,
    mr: usize,
    k0: usize,
    kc: usize,
    dst: &'a mut [P::T],
}

impl<S: Tiles, P: Product> Kernel<S> for PackStrip<'_, P> {
    #[inline(always)]
    fn run(self, s: S) {
        let Self { product, a, row0, mr, k0, kc, dst } = self;
        product.pack_a(s, a, row0, mr, k0, kc, dst);
    }
}

/// Packs all of `a`.
fn pack<P: Product>(level: Level, product: P, a: &Mat<'_>, mr: usize, serial: bool, packed: &mut [P::T]) {
    let strips = a.rows.div_ceil(mr);
    let block_len = strips * mr * P::units(P::K_BLOCK);
    for (block, packed) in packed.chunks_mut(block_len.max(1)).enumerate() {
        let k0 = block * P::K_BLOCK;
        let kc = P::K_BLOCK.min(a.cols - k0);
        let strip_len = P::units(kc) * mr;
        let strip = |(i, dst): (usize, &mut [P::T])| {
            dispatch(level, PackStrip { product, a, row0: i * mr, mr, k0, kc, dst });
        };
        if serial {
            packed.chunks_mut(strip_len).enumerate().for_each(strip);
        } else {
            packed.par_chunks_mut(strip_len).enumerate().with_min_len(4).for_each(strip);
        }
    }
}

/// What the tasks of a chunk share.
struct Call<'a, P: Product> {
    product: P,
    packed: &'a [P::T],
    b: Source<'a>,
    a_rows: usize,
    strips: usize,
    mr: usize,
    np: usize,
    k: usize,
    n: usize,
    /// First row of the chunk in the output.
    row0: usize,
    epilogue: &'a Epilogue<'a>,
    out: SharedOut<'a>,
}

/// A block of the output.
struct Task<'a, P: Product> {
    call: &'a Call<'a, P>,
    strips: Range<usize>,
    panels: Range<usize>,
}

impl<P: Product> Call<'_, P> {
    fn run(&self, level: Level, serial: bool) {
        let panels = self.n.div_ceil(PANEL);
        let wanted = if serial { 1 } else { 4 * rayon::current_num_threads() };
        // Whole tiles of panels; fewer than TASK_PANELS only to occupy the threads.
        let task_panels = (panels / wanted).clamp(self.np.max(2), TASK_PANELS).next_multiple_of(self.np);
        let across = panels.div_ceil(task_panels);
        let down = wanted.div_ceil(across).clamp(1, self.strips.div_ceil(4).max(1));
        // At most about 1,024 rows, so that a task's accumulators stay in a cache; equal shares of them.
        let down = down.max(self.strips.div_ceil((1024 / self.mr).max(1)));
        let task_strips = self.strips.div_ceil(down).max(1);
        let down = self.strips.div_ceil(task_strips);
        let task = |i: usize| {
            let (x, y) = (i / down, i % down);
            let strips = y * task_strips..((y + 1) * task_strips).min(self.strips);
            let panels = x * task_panels..((x + 1) * task_panels).min(panels);
            dispatch(level, Task { call: self, strips, panels });
        };
        if serial {
            (0..across * down).for_each(task);
        } else {
            (0..across * down).into_par_iter().with_max_len(1).for_each(task);
        }
    }
}

impl<S: Tiles, P: Product> Kernel<S> for Task<'_, P> {
    #[inline(always)]
    fn run(self, s: S) {
        let Call { product, b, mr, np, k, n, .. } = *self.call;
        let call = self.call;
        let cols = self.panels.len() * PANEL;
        let mut acc = Scratch::<f32>::new(self.strips.len() * mr * cols);
        let mut filled = None;
        for k0 in (0..k).step_by(P::K_BLOCK) {
            let kc = P::K_BLOCK.min(k - k0);
            let (unit0, units) = (P::units(k0), P::units(kc));
            let (b, panel_stride) = match product.direct(&b, self.panels.start, unit0) {
                Some(direct) => direct,
                None => {
                    let size = units * PANEL;
                    let filled: &mut Scratch<P::T> = filled.get_or_insert_with(|| {
                        Scratch::new(self.panels.len() * P::units(P::K_BLOCK) * PANEL)
                    });
                    for (panel, dst) in self.panels.clone().zip(filled.chunks_exact_mut(size)) {
                        product.fill(s, &b, panel, k0, kc, dst);
                    }
                    (&filled[..], size)
                }
            };
            let strips_in_l2 = (ROWS_IN_L2 / mr).max(1);
            for group in self.strips.clone().step_by(strips_in_l2) {
                let group = group..(group + strips_in_l2).min(self.strips.end);
                for panel in (0..self.panels.len()).step_by(np) {
                    for strip in group.clone() {
                        let a = &call.packed[call.strips * mr * unit0 + strip * mr * units..][..units * mr];
                        let tile = Tile {
                            a,
                            b: &b[panel * panel_stride..],
                            panel_stride,
                            rows: mr,
                            panels: np.min(self.panels.len() - panel),
                            k: units,
                            ldc: cols,
                            accumulate: k0 > 0,
                        };
                        product.tile(
                            s,
                            tile,
                            &mut acc[(strip - self.strips.start) * mr * cols + panel * PANEL..],
                        );
                    }
                }
            }
        }
        if k == 0 {
            acc.fill(0.0);
        }
        let col0 = self.panels.start * PANEL;
        let width = cols.min(n - col0);
        let first = self.strips.start * mr;
        for row in first..(self.strips.end * mr).min(call.a_rows) {
            let acc = &mut acc[(row - first) * cols..][..width];
            product.finish(row, col0, S::OFFSET, acc);
            let row = call.row0 + row;
            // SAFETY: tasks have disjoint ranges of rows × columns, and this task makes one piece at a time.
            let out = unsafe { call.out.piece(row * n + col0, width) };
            call.epilogue.write(s, row, col0, n, acc, out);
        }
    }
}
