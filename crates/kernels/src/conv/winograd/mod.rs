//! Winograd F(2×2, 3×3) and F(4×4, 3×3), and F(2, 3) along time.
//!
//! ```text
//! for each block of output tiles (2×2 or 4×4 pixels each; a rectangle of them)   one thread
//!   for each new input frame: band of rows -> V[frame][position][tiles][c_in]     Bᵀ d B of each patch
//!   for each output frame, or pair of frames
//!     for each of the 16 or 36 positions p
//!       M[p] = Σ_taps V[frame + tap][p] · U[p][tap]                               products of `tile`
//!       or, for a pair, with D = temporal transform of four V[..][p]:
//!       M0[p], M1[p] = D0·U0 + D1·U1 + D2·U2, D1·U1 - D2·U2 + D3·U3
//!     pixels = Aᵀ M A, plus bias and residual
//! ```
//!
//! Multiplications for an output, of 27 taps: 12 with 2×2 tiles, 8 with pairs of frames too; 6.75 with 4×4 tiles, 4.5 with
//! pairs. The larger tiles also move less through the transforms, but their weights are 4 times those of the direct
//! algorithm (5.3 with pairs), which decides for the widest layers.
//!
//! Differences from the paper: the sum over the temporal taps stays inside the products, and D3 has the other sign, so
//! that everything is added.

mod passes;
mod transform;

use self::passes::{fill_slot, transform_output, transform_time};
use self::transform::Side;
use super::dispatch::{Job, Target, for_each_block, lanes, panel_width, run_block};
use super::tile::{Product, product, product_pair};
use super::vectors::Vectors;
use super::{Calls, ConvShape};
use crate::scratch::Lined;
use rayon::prelude::*;
use simd::Kernel;

/// Floats of working memory that a second-level cache holds.
const CACHED: usize = 96 * 1024;
/// Fewest and most tiles of 4×4 pixels in a block for whose sake its memory may exceed that: the weights of a layer with
/// many channels fit no cache near the core and are read once for each block.
const TILES: (usize, usize) = (32, 64);
/// Pixels of a block along a row, at most.
const PIXELS_X: usize = 32;
/// Floats of a cache line.
const LINE: usize = 16;
/// Most temporal taps.
const MAX_TAPS: usize = 4;
/// Fewest input channels for which the transforms pay.
const MIN_CHANNELS: usize = 16;
/// Most pairs of channels whose weights are kept for 4×4 tiles.
const MAX_FOUR: usize = 192 * 384;
/// The same without temporal taps: layers that upsample, for which 2×2 tiles leave out 7 of 16 positions and need as few
/// products as 4×4 tiles, with a quarter of the weights.
const MAX_FOUR_FLAT: usize = 64 * 64;
/// Fewest pairs of channels for which 4×4 tiles gain by pairs of frames.
const MIN_PAIRS: usize = 48 * 48;

/// Transformed weights as panels `[positions][panels][taps][c_in][width]`.
#[derive(Debug)]
pub(super) struct Winograd {
    panels: Lined<f32>,
    side: Side,
    /// Output features of a panel.
    width: usize,
    /// Blocks of `c_in` rows in a panel: the temporal taps, or 4 if those are transformed too.
    taps: usize,
    temporal: bool,
}

/// How a frame is cut into blocks, and where a block's working memory lies.
#[derive(Clone, Copy)]
struct Grid {
    side: Side,
    tiles_y: usize,
    tiles_x: usize,
    blocks_y: usize,
    blocks_x: usize,
    /// Elements of a pixel in working memory.
    stride: usize,
    /// Output features, padded to whole panels.
    wide: usize,
    band: usize,
    /// One position of a frame's V.
    plane: usize,
    /// One frame's V.
    frame: usize,
    slots: usize,
    /// Temporally transformed inputs of one position.
    pair: usize,
    /// One position of a frame's M.
    result_plane: usize,
    /// One frame's M.
    result: usize,
    /// The pixels of a tile.
    pixels: usize,
}

impl Grid {
    fn new(winograd: &Winograd, job: &Job<'_>) -> Self {
        let Winograd { side, temporal, width, .. } = *winograd;
        let (m, positions) = (side.outputs(), side.positions());
        let (tiles_y, tiles_x) = (job.size.0.div_ceil(m), job.size.1.div_ceil(m));
        let stride = job.shape.c_in.next_multiple_of(lanes(width));
        let wide = job.shape.c_out.next_multiple_of(width);
        let slots = if temporal { 4 } else { job.shape.kernel[0] };
        let results = if temporal { 2 } else { 1 };
        let per_tile = positions * (slots * stride + results * wide);
        let (fewest, most) = TILES;
        let fewest = (job.shape.c_in / 3).clamp(fewest, most) * 16 / (m * m).max(8);
        let most = (CACHED / per_tile).max(fewest);
        // Enough blocks for every thread to get some, and more where that doesn't mean reading many weights again.
        let share = if job.shape.c_in * job.shape.c_out < 192 * 192 { 4 } else { 2 };
        let most = most.min((tiles_y * tiles_x).div_ceil(share * rayon::current_num_threads()).max(8));
        let x = tiles_x.div_ceil(tiles_x.div_ceil((PIXELS_X / m).min(most)));
        let y = (most / x).clamp(1, tiles_y);
        let tiles = x * y;
        let (plane, result_plane) = (plane(tiles * stride), plane(tiles * wide));
        Self {
            side,
            tiles_y: y,
            tiles_x: x,
            blocks_y: tiles_y.div_ceil(y),
            blocks_x: tiles_x.div_ceil(x),
            stride,
            wide,
            band: ((m * y + 2) * (m * x + 2) * stride).next_multiple_of(LINE),
            plane,
            frame: positions * plane,
            slots,
            pair: if temporal { 4 * plane } else { 0 },
            result_plane,
            result: positions * result_plane,
            pixels: m * m * wide,
        }
    }

    fn scratch(&self) -> usize {
        self.band + self.slots * self.frame + self.pair + 2 * self.result + self.pixels
    }
}

/// Elements from one position's plane to the next: an odd number of cache lines, so that a tile's positions don't all fall
/// into the same few lines of a first-level cache.
fn plane(len: usize) -> usize {
    (len.div_ceil(LINE) | 1) * LINE
}

impl Winograd {
    pub(super) fn suits(shape: &ConvShape) -> bool {
        let [kt, kh, kw] = shape.kernel;
        (kh, kw) == (3, 3) && shape.stride == [1, 1, 1] && kt <= MAX_TAPS && shape.c_in >= MIN_CHANNELS
    }

    pub(super) fn new(shape: &ConvShape, weight: &[f32], calls: Calls) -> Self {
        let kt = shape.kernel[0];
        let channels = shape.c_in * shape.c_out;
        let most = if kt == 1 { MAX_FOUR_FLAT } else { MAX_FOUR };
        let side = if channels <= most { Side::Four } else { Side::Two };
        let pays = side == Side::Two || channels >= MIN_PAIRS;
        let temporal = kt == 3 && calls == Calls::Clips && pays;
        let taps = if temporal { 4 } else { kt };
        let width = panel_width(shape.c_out);
        let n_panels = shape.c_out.div_ceil(width);
        let mut packed = Lined::zeros(side.positions() * n_panels * taps * shape.c_in * width);
        let panel_len = taps * shape.c_in * width;
        packed.par_chunks_mut(n_panels * panel_len).enumerate().for_each(|(p, position)| {
            let counts = side.filter(p);
            for (i, panel) in position.chunks_exact_mut(panel_len).enumerate() {
                let outputs = i * width..((i + 1) * width).min(shape.c_out);
                for c in 0..shape.c_in {
                    for (lane, o) in outputs.clone().enumerate() {
                        let filter = &weight[(o * shape.c_in + c) * kt * 9..][..kt * 9];
                        let mut values = [0.0_f64; MAX_TAPS];
                        for (value, filter) in values.iter_mut().zip(filter.chunks_exact(9)) {
                            *value = filter.iter().zip(&counts).map(|(f, n)| f64::from(*f) * n).sum();
                        }
                        if temporal {
                            let [a, b, c, _] = values;
                            values = [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
                        }
                        for (tap, value) in values[..taps].iter().enumerate() {
                            panel[(tap * shape.c_in + c) * width + lane] = *value as f32;
                        }
                    }
                }
            }
        });
        Self { panels: packed, side, width, taps, temporal }
    }

    pub(super) fn len(&self) -> usize {
        self.panels.len()
    }

    pub(super) fn run(&self, job: &Job<'_>, target: &Target<'_>) {
        let grid = Grid::new(self, job);
        for_each_block(grid.blocks_y * grid.blocks_x, grid.scratch(), |block, scratch| {
            run_block(self.width, Work { winograd: self, job, target, grid, block, scratch });
        });
    }
}

/// What a thread does: block number `block`.
struct Work<'a> {
    winograd: &'a Winograd,
    job: &'a Job<'a>,
    target: &'a Target<'a>,
    grid: Grid,
    block: usize,
    scratch: &'a mut [f32],
}

/// One block: where it lies and its working memory.
struct Block<'a> {
    grid: Grid,
    /// First tile row and column.
    y: usize,
    x: usize,
    /// Tile rows and columns, fewer at the edges.
    rows: usize,
    columns: usize,
    band: &'a mut [f32],
    frames: &'a mut [f32],
    pair: &'a mut [f32],
    results: [&'a mut [f32]; 2],
    pixels: &'a mut [f32],
}

impl<S: Vectors> Kernel<S> for Work<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        let Self { winograd, job, target, grid, block, scratch } = self;
        let m = grid.side.outputs();
        let (tiles_y, tiles_x) = (job.size.0.div_ceil(m), job.size.1.div_ceil(m));
        let (y, x) = (block / grid.blocks_x * grid.tiles_y, block % grid.blocks_x * grid.tiles_x);
        let (band, rest) = scratch.split_at_mut(grid.band);
        let (frames, rest) = rest.split_at_mut(grid.slots * grid.frame);
        let (pair, rest) = rest.split_at_mut(grid.pair);
        let (first, rest) = rest.split_at_mut(grid.result);
        let (second, pixels) = rest.split_at_mut(grid.result);
        let (rows, columns) = (grid.tiles_y.min(tiles_y - y), grid.tiles_x.min(tiles_x - x));
        let mut block =
            Block { grid, y, x, rows, columns, band, frames, pair, results: [first, second], pixels };
        let skipped = skipped_positions(grid.side, job);
        let kt = job.shape.kernel[0];
        let n = target.frames();
        let (mut t, mut loaded) = (0, 0);
        while t < n {
            let under = &job.input.frames[t..];
            // A pair costs four products, two single frames one for each frame that isn't zeros.
            let pair =
                winograd.temporal && t + 2 <= n && under[..4].iter().filter(|f| f.is_some()).count() >= 3;
            let step = if pair { 2 } else { 1 };
            while loaded < t + kt + step - 1 {
                if let Some(frame) = job.input.frames[loaded] {
                    fill_slot(s, job, &mut block, frame, loaded % grid.slots, skipped);
                }
                loaded += 1;
            }
            for p in 0..grid.side.positions() {
                if skipped & (1 << p) != 0 {
                    for m in &mut block.results {
                        m[p * grid.result_plane..(p + 1) * grid.result_plane].fill(0.0);
                    }
                    continue;
                }
                multiply(s, winograd, job, &mut block, t, p, pair);
            }
            for which in 0..step {
                match grid.side {
                    Side::Two => transform_output::<S, 2>(s, job, target, &mut block, t + which, which),
                    Side::Four => transform_output::<S, 4>(s, job, target, &mut block, t + which, which),
                }
            }
            t += step;
        }
    }
}

/// The positions whose transformed input is zero: doubled rows (or columns) at odd offsets, `d2 - d1` of each patch of
/// four. (Of six, none is zero.)
fn skipped_positions(side: Side, job: &Job<'_>) -> u64 {
    let padding = job.shape.padding;
    let mut skipped = 0;
    if side == Side::Two && job.input.upsample {
        for p in 0..side.positions() {
            let row = p / 4 == 2 && padding.top % 2 == 1;
            let column = p % 4 == 2 && padding.left % 2 == 1;
            if row || column {
                skipped |= 1 << p;
            }
        }
    }
    skipped
}

/// The products of one position for output frame `t`, or the pair `t`, `t + 1`.
#[inline(always)]
fn multiply<S: Vectors>(
    s: S,
    winograd: &Winograd,
    job: &Job<'_>,
    block: &mut Block<'_>,
    t: usize,
    p: usize,
    pair: bool,
) {
    let (grid, c_in) = (block.grid, job.shape.c_in);
    let tiles = block.rows * block.columns;
    let used = tiles * grid.stride;
    let plane = grid.plane;
    let at = |f: usize| {
        let present = job.input.frames.get(f).is_some_and(Option::is_some);
        present.then(|| (f % grid.slots) * grid.frame + p * plane)
    };
    let mut segments = [(&[][..], 0); 4];
    let mut n = 0;
    if !winograd.temporal {
        for tap in 0..winograd.taps {
            if let Some(at) = at(t + tap) {
                segments[n] = (&block.frames[at..at + used], tap);
                n += 1;
            }
        }
    } else if let (false, None, None, Some(at)) = (pair, at(t), at(t + 1), at(t + 2)) {
        segments[0] = (&block.frames[at..at + used], 3);
        n = 1;
    } else {
        let last = if pair { at(t + 3) } else { None };
        let inputs = [at(t), at(t + 1), at(t + 2), last].map(|at| at.map(|at| &block.frames[at..at + used]));
        let size = grid.pair / 4;
        let (d0, rest) = block.pair.split_at_mut(size);
        let (d1, rest) = rest.split_at_mut(size);
        let (d2, d3) = rest.split_at_mut(size);
        let d = [&mut d0[..used], &mut d1[..used], &mut d2[..used], &mut d3[..used]];
        n = if pair { 4 } else { 3 };
        transform_time(s, inputs, d, pair);
        for (i, segment) in segments[..n].iter_mut().enumerate() {
            *segment = (&block.pair[i * size..i * size + used], i);
        }
    }
    let (width, ldc) = (winograd.width, grid.wide);
    let n_panels = ldc / width;
    let result = grid.result_plane;
    let [c, c2] = block.results.each_mut().map(|c| &mut c[p * result..][..tiles * ldc]);
    let b_stride = winograd.taps * c_in * width;
    let product_of = Product {
        segments: &segments[..n],
        lda: grid.stride,
        m: tiles,
        k: c_in,
        b: &winograd.panels[p * n_panels * b_stride..][..n_panels * b_stride],
        b_stride,
        panels: n_panels,
        width,
        ldc,
    };
    if pair {
        product_pair(s, &product_of, c, c2);
    } else {
        product(s, &product_of, c);
    }
}
