//! The direct algorithm: matrix products on a band of input rows.
//!
//! A block is a rectangle of output pixels of one frame. Its input rows are copied once into a band
//! `[kt][rows][columns][c_in]`; under one kernel row, an output pixel's inputs are then `kw·c_in` consecutive
//! elements, and the pixel to its right starts `stride·c_in` further on. So each output row is one product of
//! [`super::tile`] with a segment per frame and kernel row.
#![expect(unsafe_code, reason = "a block's pixels are its thread's")]

use super::ConvShape;
use super::dispatch::{Job, Target, for_each_block, panel_width, run_block};
use super::rows::{Run, load_run};
use super::tile::{Product, product};
use super::vectors::Vectors;
use crate::scratch::Lined;
use simd::Kernel;

/// Output columns of a block at most.
const COLUMNS: usize = 64;
/// Output rows of a block at most.
const ROWS: usize = 8;
/// Floats of a band and of a block's result, each, that fit beside each other in a second-level cache.
const BAND: usize = 64 * 1024;
/// Floats of a cache line.
const LINE: usize = 16;

/// Weights as panels `[panels][kt·kh][kw·c_in][width]`.
#[derive(Debug)]
pub(super) struct Direct {
    panels: Lined<f32>,
    /// Output features of a panel.
    width: usize,
}

/// How a frame is cut into blocks.
#[derive(Clone, Copy)]
struct Grid {
    rows: usize,
    columns: usize,
    blocks_y: usize,
    blocks_x: usize,
    band: usize,
    result: usize,
}

impl Grid {
    fn new(job: &Job<'_>, panel_width: usize) -> Self {
        let ([kt, kh, kw], [_, sh, sw]) = (job.shape.kernel, job.shape.stride);
        let (h, w) = job.size;
        let columns = w.min(COLUMNS);
        let wide = job.shape.c_out.next_multiple_of(panel_width);
        let band = |rows: usize| kt * ((rows - 1) * sh + kh) * ((columns - 1) * sw + kw) * job.shape.c_in;
        let fits = |rows: &usize| band(*rows) <= BAND && rows * columns * wide <= BAND;
        let rows = (2..=ROWS.min(h)).take_while(fits).last().unwrap_or(1);
        Self {
            rows,
            columns,
            blocks_y: h.div_ceil(rows),
            blocks_x: w.div_ceil(columns),
            band: band(rows).next_multiple_of(LINE), // so that the result behind it starts a cache line
            result: rows * columns * wide,
        }
    }
}

impl Direct {
    pub(super) fn new(shape: &ConvShape, weight: &[f32]) -> Self {
        let [kt, kh, kw] = shape.kernel;
        let taps = kt * kh * kw;
        let depth = taps * shape.c_in;
        let width = panel_width(shape.c_out);
        let mut packed = Lined::zeros(shape.c_out.next_multiple_of(width) * depth);
        for o in 0..shape.c_out {
            for c in 0..shape.c_in {
                for tap in 0..taps {
                    let at = ((o / width) * depth + tap * shape.c_in + c) * width + o % width;
                    packed[at] = weight[(o * shape.c_in + c) * taps + tap];
                }
            }
        }
        Self { panels: packed, width }
    }

    pub(super) fn len(&self) -> usize {
        self.panels.len()
    }

    pub(super) fn run(&self, job: &Job<'_>, target: &Target<'_>) {
        let grid = Grid::new(job, self.width);
        let blocks = grid.blocks_y * grid.blocks_x * target.frames();
        for_each_block(blocks, grid.band + grid.result, |block, scratch| {
            run_block(self.width, Work { direct: self, job, target, grid, block, scratch });
        });
    }
}

/// What a thread does: block number `block`.
struct Work<'a> {
    direct: &'a Direct,
    job: &'a Job<'a>,
    target: &'a Target<'a>,
    grid: Grid,
    block: usize,
    scratch: &'a mut [f32],
}

impl<S: Vectors> Kernel<S> for Work<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        let Self { direct, job, target, grid, block, scratch } = self;
        let ([kt, kh, kw], [st, sh, sw]) = (job.shape.kernel, job.shape.stride);
        let (h, w) = job.size;
        let c_in = job.shape.c_in;
        let (x0, y0) =
            (block % grid.blocks_x * grid.columns, block / grid.blocks_x % grid.blocks_y * grid.rows);
        let t = block / (grid.blocks_x * grid.blocks_y);
        let (rows, columns) = (grid.rows.min(h - y0), grid.columns.min(w - x0));
        let (rows_in, columns_in) = ((rows - 1) * sh + kh, (columns - 1) * sw + kw);
        let (band, result) = scratch.split_at_mut(grid.band);

        let row_len = columns_in * c_in;
        let mut present = [usize::MAX; 16]; // which frames under the kernel aren't zeros
        assert!(kt <= present.len(), "a temporal kernel of {kt} taps");
        for dt in 0..kt {
            let Some(frame) = job.input.frames[t * st + dt] else { continue };
            present[dt] = dt * rows_in * row_len;
            for y in 0..rows_in {
                let run = Run {
                    y: (y0 * sh + y) as isize - job.shape.padding.top as isize,
                    x: (x0 * sw) as isize - job.shape.padding.left as isize,
                    n: columns_in,
                    stride: c_in,
                };
                let at = present[dt] + y * row_len;
                load_run(s, job.input, frame, run, &mut band[at..at + row_len]);
            }
        }

        let width = direct.width;
        let n_panels = job.shape.c_out.div_ceil(width);
        let ldc = n_panels * width;
        // Without a spatial kernel or stride the rows of a band follow each other, and one product does them all.
        let pointwise = kh == 1 && kw == 1 && sh == 1 && sw == 1;
        let (products, m) = if pointwise { (1, rows * columns) } else { (rows, columns) };
        let mut segments = [(&[][..], 0); 64];
        assert!(kt * kh <= segments.len(), "a kernel of {kt}×{kh} rows");
        for r in 0..products {
            let mut n = 0;
            for (dt, &start) in present[..kt].iter().enumerate().filter(|(_, p)| **p != usize::MAX) {
                for dy in 0..kh {
                    segments[n] = (&band[start + (r * sh + dy) * row_len..], dt * kh + dy);
                    n += 1;
                }
            }
            let c = &mut result[r * columns * ldc..][..m * ldc];
            let p = Product {
                segments: &segments[..n],
                lda: sw * c_in,
                m,
                k: kw * c_in,
                b: &direct.panels,
                b_stride: kt * kh * kw * c_in * width,
                width,
                panels: n_panels,
                ldc,
            };
            product(s, &p, c);
        }
        for i in 0..rows * columns {
            let pixel = (y0 + i / columns) * w + x0 + i % columns;
            // SAFETY: the pixel lies in this block, which is this thread's.
            unsafe { target.store_pixel(job, t, pixel, &mut result[i * ldc..(i + 1) * ldc]) };
        }
    }
}
