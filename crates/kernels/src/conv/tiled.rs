//! The direct algorithm on tiles, in bf16.
//!
//! A block is a rectangle of output pixels of one frame. Its input rows are rounded into a band `[kt][rows][columns][c_in]`, as
//! [`super::direct`] has one; the 32 pixels of a strip are rows of the tiles where they lie, each as far from the one before as the stride
//! says, so nothing is copied for a product. Without a stride rows of output follow each other in strips across the columns that only the
//! kernel reads: their sums are made and left.
#![expect(unsafe_code, reason = "rows are read and pixels written through `load_run` and `store_pixel`")]

use half::bf16;

use super::dispatch::{Job, Target, for_each_block, run_block};
use super::rows::{Run, load_run};
use super::vectors::Vectors;
use super::{ConvShape, Input};
use crate::amx::{Ahead, Factors, Left, SIDE, STRIP, Square, TILE, TileUnit};
use crate::scratch::Lined;
use simd::Kernel;

/// Output columns of a block at most.
const COLUMNS: usize = 64;
/// Output rows of a block at most.
const ROWS: usize = 8;
/// Words of a band: 1 MiB.
const BAND: usize = 256 * 1024;
/// Sums of a block: 512 KiB.
const SUMS: usize = 128 * 1024;
/// Steps of a pass: two panels of them are 32 KiB.
const PASS: usize = 16;
/// Floats of a vector where there are tiles.
const LINE: usize = 16;
/// Input channels of a step.
const STEP: usize = 2 * SIDE;

/// Weights as panels `[panels of 16][kt·kh][kw·c_in/2][16]` of pairs.
#[derive(Debug)]
pub(super) struct Tiled {
    panels: Lined<u32>,
}

/// How a frame is cut into blocks.
#[derive(Clone, Copy)]
struct Grid {
    rows: usize,
    columns: usize,
    blocks_y: usize,
    blocks_x: usize,
    /// Words of the band, with a strip behind its end that may be read.
    band: usize,
    /// Strips of a whole block.
    strips: usize,
    /// f32 of a row of input before it is rounded.
    line: usize,
}

/// How strips cover a block.
#[derive(Clone, Copy)]
struct Strips {
    /// Rows that are covered each for themselves, and pixels of each.
    rows: usize,
    pixels: usize,
    /// Words of the band from such a row to the next.
    next: usize,
}

impl Strips {
    fn new(shape: &ConvShape, rows: usize, columns: usize) -> Self {
        let ([_, _, kw], [_, sh, sw]) = (shape.kernel, shape.stride);
        let columns_in = (columns - 1) * sw + kw;
        let row_words = columns_in * shape.c_in / 2;
        if sh == 1 && sw == 1 {
            Self { rows: 1, pixels: (rows - 1) * columns_in + columns, next: 0 }
        } else {
            Self { rows, pixels: columns, next: sh * row_words }
        }
    }

    fn of_row(self) -> usize {
        self.pixels.div_ceil(STRIP)
    }

    fn count(self) -> usize {
        self.rows * self.of_row()
    }

    /// Where a pixel's sums are, in rows of strips.
    fn place(self, shape: &ConvShape, columns: usize, row: usize, column: usize) -> usize {
        if self.next == 0 {
            row * (columns - 1 + shape.kernel[2]) + column
        } else {
            row * self.of_row() * STRIP + column
        }
    }
}

impl Grid {
    fn new(job: &Job<'_>) -> Self {
        let ([kt, kh, kw], [_, sh, sw]) = (job.shape.kernel, job.shape.stride);
        let (h, w) = job.size;
        let columns = w.min(COLUMNS);
        let line = ((columns - 1) * sw + kw) * job.shape.c_in;
        let band = |rows: usize| kt * ((rows - 1) * sh + kh) * line / 2;
        let strips = |rows: usize| Strips::new(job.shape, rows, columns).count();
        let wide = job.shape.c_out.next_multiple_of(2 * SIDE);
        let fits = |rows: &usize| band(*rows) <= BAND && strips(*rows) * STRIP * wide <= SUMS;
        let rows = (2..=ROWS.min(h)).take_while(fits).last().unwrap_or(1);
        Self {
            rows,
            columns,
            blocks_y: h.div_ceil(rows),
            blocks_x: w.div_ceil(columns),
            band: (band(rows) + STRIP * sw * job.shape.c_in / 2).next_multiple_of(SIDE),
            strips: strips(rows),
            line,
        }
    }
}

/// A block's place and size.
#[derive(Clone, Copy)]
struct Block {
    t: usize,
    y: usize,
    x: usize,
    rows: usize,
    columns: usize,
}

impl Block {
    fn new(job: &Job<'_>, grid: Grid, block: usize) -> Self {
        let (h, w) = job.size;
        let (x, y) =
            (block % grid.blocks_x * grid.columns, block / grid.blocks_x % grid.blocks_y * grid.rows);
        let t = block / (grid.blocks_x * grid.blocks_y);
        Self { t, y, x, rows: grid.rows.min(h - y), columns: grid.columns.min(w - x) }
    }
}

impl Tiled {
    /// Whether tiles suit a shape: what lies under a row of its kernel is whole steps.
    pub(super) fn suits(shape: &ConvShape) -> bool {
        shape.c_in.is_multiple_of(STEP)
    }

    pub(super) fn new(shape: &ConvShape, weight: &[f32]) -> Self {
        let taps: usize = shape.kernel.iter().product();
        let pairs = taps * shape.c_in / 2;
        let mut panels = Lined::<u32>::zeros(shape.c_out.div_ceil(SIDE) * pairs * SIDE);
        for (panel, words) in panels.chunks_exact_mut(pairs * SIDE).enumerate() {
            for (pair, words) in words.chunks_exact_mut(SIDE).enumerate() {
                let (tap, c) = (2 * pair / shape.c_in, 2 * pair % shape.c_in);
                for (word, o) in words.iter_mut().zip(panel * SIDE..shape.c_out) {
                    let at = |c: usize| {
                        u32::from(bf16::from_f32(weight[(o * shape.c_in + c) * taps + tap]).to_bits())
                    };
                    *word = at(c) | at(c + 1) << 16;
                }
            }
        }
        Self { panels }
    }

    /// Number of words.
    pub(super) fn len(&self) -> usize {
        self.panels.len()
    }

    /// The weight as it was given, rounded.
    pub(super) fn weight(&self, shape: &ConvShape) -> Vec<f32> {
        let taps: usize = shape.kernel.iter().product();
        let pairs = taps * shape.c_in / 2;
        let at = |i: usize| {
            let (o, c, tap) = (i / taps / shape.c_in, i / taps % shape.c_in, i % taps);
            let step = tap * shape.c_in + c;
            let word = self.panels[(o / SIDE * pairs + step / 2) * SIDE + o % SIDE];
            f32::from_bits(if step.is_multiple_of(2) { word << 16 } else { word & 0xffff_0000 })
        };
        (0..shape.c_out * shape.c_in * taps).map(at).collect()
    }

    pub(super) fn run<U: TileUnit>(&self, unit: U, job: &Job<'_>, target: &Target<'_>) {
        let grid = Grid::new(job);
        let blocks = grid.blocks_y * grid.blocks_x * target.frames();
        let sums = grid.strips * STRIP * job.shape.c_out.next_multiple_of(2 * SIDE);
        let line = grid.line.next_multiple_of(SIDE);
        for_each_block(blocks, grid.band + sums + line, |block, scratch| {
            let block = Block::new(job, grid, block);
            let (band, rest) = scratch.split_at_mut(grid.band);
            let (sums, line) = rest.split_at_mut(sums);
            let band: &mut [u32] = bytemuck::cast_slice_mut(band);
            run_block(LINE, RoundRows { job, block, band, line });
            unit.with_tiles(|tiles| self.multiply::<U>(tiles, job, block, band, sums));
            run_block(LINE, StorePixels { job, target, block, sums, line });
        });
    }

    /// Sums of a block as squares of tiles, `[pair of panels][strip]`.
    fn multiply<U: TileUnit>(
        &self,
        tiles: &U::Tiles,
        job: &Job<'_>,
        block: Block,
        band: &[u32],
        sums: &mut [f32],
    ) {
        let ([kt, kh, kw], [st, sh, sw]) = (job.shape.kernel, job.shape.stride);
        let c_in = job.shape.c_in;
        let strips = Strips::new(job.shape, block.rows, block.columns);
        let (rows_in, columns_in) = ((block.rows - 1) * sh + kh, (block.columns - 1) * sw + kw);
        let row_words = columns_in * c_in / 2;
        let steps = kw * c_in / STEP;
        let panel_words = kt * kh * steps * TILE;
        let panels = job.shape.c_out.div_ceil(SIDE);
        let mut accumulate = false;
        for dt in (0..kt).filter(|dt| job.input.frames[block.t * st + dt].is_some()) {
            for dy in 0..kh {
                let segment = (dt * rows_in + dy) * row_words;
                for step0 in (0..steps).step_by(PASS) {
                    let pass = PASS.min(steps - step0);
                    for pair in 0..panels.div_ceil(2) {
                        // An odd last panel is multiplied twice; nothing is made of the second product.
                        let right = [2 * pair, (2 * pair + 1).min(panels - 1)].map(|panel| {
                            &self.panels[panel * panel_words + ((dt * kh + dy) * steps + step0) * TILE..]
                        });
                        for strip in 0..strips.count() {
                            let (row, x) = (strip / strips.of_row(), strip % strips.of_row());
                            let first = x * STRIP * sw * c_in / 2;
                            let next = pass * TILE / strips.count() * strip + pass * TILE;
                            let square = Square {
                                a: &band[segment + row * strips.next + first + step0 * SIDE..],
                                left: Left::Rows(sw * c_in / 2),
                                b: right,
                                steps: pass,
                                c: &mut sums[(pair * strips.count() + strip) * 4 * TILE..][..4 * TILE],
                                stride: SIDE,
                                next: [TILE, 2 * TILE],
                                accumulate,
                                ahead: Some(Ahead { a: (&[], 0), b: right.map(|right| (right, next)) }),
                            };
                            U::multiply(tiles, Factors::Bf16, square);
                        }
                    }
                    accumulate = true;
                }
            }
        }
        if !accumulate {
            sums.fill(0.0);
        }
    }
}

/// Rounds a block's rows into the band.
struct RoundRows<'a> {
    job: &'a Job<'a>,
    block: Block,
    band: &'a mut [u32],
    line: &'a mut [f32],
}

impl<S: Vectors> Kernel<S> for RoundRows<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        let Self { job, block, band, line } = self;
        let ([kt, kh, kw], [st, sh, sw]) = (job.shape.kernel, job.shape.stride);
        let (rows_in, columns_in) = ((block.rows - 1) * sh + kh, (block.columns - 1) * sw + kw);
        let input: &Input<'_> = job.input;
        let line = &mut line[..columns_in * job.shape.c_in];
        for dt in 0..kt {
            let Some(frame) = input.frames[block.t * st + dt] else { continue };
            for y in 0..rows_in {
                let run = Run {
                    y: (block.y * sh + y) as isize - job.shape.padding.top as isize,
                    x: (block.x * sw) as isize - job.shape.padding.left as isize,
                    n: columns_in,
                    stride: job.shape.c_in,
                };
                load_run(s, input, frame, run, line);
                let words = &mut band[(dt * rows_in + y) * line.len() / 2..][..line.len() / 2];
                for (word, [even, odd]) in words.iter_mut().zip(line.as_chunks::<2>().0) {
                    *word = crate::gemm::product::round_pair(*even, *odd);
                }
            }
        }
    }
}

/// Writes a block's pixels.
struct StorePixels<'a> {
    job: &'a Job<'a>,
    target: &'a Target<'a>,
    block: Block,
    sums: &'a [f32],
    line: &'a mut [f32],
}

impl<S: Vectors> Kernel<S> for StorePixels<'_> {
    #[inline(always)]
    fn run(self, _: S) {
        let Self { job, target, block, sums, line } = self;
        let strips = Strips::new(job.shape, block.rows, block.columns);
        let c_out = job.shape.c_out;
        let mut pixel = Vec::new();
        let values = if line.len() >= c_out.next_multiple_of(2 * SIDE) {
            line
        } else {
            pixel.resize(c_out.next_multiple_of(2 * SIDE), 0.0);
            &mut pixel[..]
        };
        for (y, x) in (0..block.rows * block.columns).map(|i| (i / block.columns, i % block.columns)) {
            let place = strips.place(job.shape, block.columns, y, x);
            let (strip, row) = (place / STRIP, place % STRIP);
            for (pair, values) in values.chunks_exact_mut(2 * SIDE).take(c_out.div_ceil(2 * SIDE)).enumerate()
            {
                let from = &sums[(pair * strips.count() + strip) * 4 * TILE
                    + row / SIDE * 2 * TILE
                    + row % SIDE * SIDE..];
                values[..SIDE].copy_from_slice(&from[..SIDE]);
                values[SIDE..].copy_from_slice(&from[TILE..TILE + SIDE]);
            }
            let pixel = (block.y + y) * job.size.1 + block.x + x;
            // SAFETY: the pixel lies in this block, which is this thread's.
            unsafe { target.store_pixel(job, block.t, pixel, values) };
        }
    }
}
