//! Winograd F(2×2, 3×3), and F(2, 3) along time.
//!
//! ```text
//! for each block of output tiles (2×2 pixels each; a rectangle of them)           one thread
//!   for each new input frame: band of rows -> V[frame][16][tiles][c_in]           Bᵀ d B of each 4×4 patch
//!   for each output frame, or pair of frames
//!     for each of the 16 positions p
//!       M[p] = Σ_taps V[frame + tap][p] · U[p][tap]                               products of `tile`
//!       or, for a pair, with D = temporal transform of four V[..][p]:
//!       M0[p], M1[p] = D0·U0 + D1·U1 + D2·U2, D1·U1 - D2·U2 + D3·U3
//!     2×2 pixels = Aᵀ M A, plus bias and residual
//! ```
//!
//! Differences from the paper: the sum over the temporal taps stays inside the products, and D3 has the other sign, so
//! that everything is added.
#![expect(unsafe_code, reason = "vector loads and stores; hands working memory to the products as pointers")]

use super::dispatch::{Job, Target, for_each_block, panels, per_level};
use super::rows::{Run, load_run};
use super::simd::Simd;
use super::tile::{Product, product, product_pair};
use super::{Calls, ConvShape, PANEL};
use crate::scratch::Lined;

/// Positions of a transformed 4×4 patch.
const POSITIONS: usize = 16;
/// Floats of one position's inputs of a block, for one of the frames of a pair.
const OPERAND: usize = 16 * 1024;
/// Tiles of a block along a row, at most.
const TILES_X: usize = 16;
/// Fewest channels on either side for which the transforms pay.
const MIN_CHANNELS: usize = 16;

/// Transformed weights as panels `[16][panels][taps][c_in][PANEL]`.
#[derive(Debug)]
pub(super) struct Winograd {
    panels: Lined<f32>,
    /// Blocks of `c_in` rows in a panel: the temporal taps, or 4 if those are transformed too.
    taps: usize,
    temporal: bool,
}

/// How a frame is cut into blocks, and where a block's working memory lies.
#[derive(Clone, Copy)]
struct Grid {
    tiles_y: usize,
    tiles_x: usize,
    blocks_y: usize,
    blocks_x: usize,
    /// Elements of a pixel in working memory.
    stride: usize,
    band: usize,
    /// One frame's V.
    frame: usize,
    slots: usize,
    /// Temporally transformed inputs of one position.
    pair: usize,
    /// One frame's M.
    result: usize,
}

impl Grid {
    fn new(job: &Job<'_>, temporal: bool) -> Self {
        let (tiles_y, tiles_x) = (job.size.0.div_ceil(2), job.size.1.div_ceil(2));
        let stride = job.shape.c_in.next_multiple_of(PANEL);
        let most = (OPERAND / stride).max(8);
        // Enough blocks for every thread to get several.
        let most = most.min((tiles_y * tiles_x).div_ceil(4 * rayon::current_num_threads()).max(8));
        let x = tiles_x.div_ceil(tiles_x.div_ceil(TILES_X.min(most)));
        let y = (most / x).clamp(1, tiles_y);
        let tiles = x * y;
        Self {
            tiles_y: y,
            tiles_x: x,
            blocks_y: tiles_y.div_ceil(y),
            blocks_x: tiles_x.div_ceil(x),
            stride,
            band: (2 * y + 2) * (2 * x + 2) * stride,
            frame: POSITIONS * tiles * stride,
            slots: if temporal { 4 } else { job.shape.kernel[0] },
            pair: if temporal { 4 * tiles * stride } else { 0 },
            result: POSITIONS * tiles * panels(job.shape.c_out) * PANEL,
        }
    }

    fn scratch(&self) -> usize {
        self.band + self.slots * self.frame + self.pair + 2 * self.result
    }
}

impl Winograd {
    pub(super) fn suits(shape: &ConvShape) -> bool {
        let [kt, kh, kw] = shape.kernel;
        (kh, kw) == (3, 3)
            && shape.stride == [1, 1, 1]
            && kt <= 4
            && shape.c_in >= MIN_CHANNELS
            && shape.c_out >= MIN_CHANNELS
    }

    pub(super) fn new(shape: &ConvShape, weight: &[f32], calls: Calls) -> Self {
        let kt = shape.kernel[0];
        let temporal = kt == 3 && calls == Calls::Clips;
        let taps = if temporal { 4 } else { kt };
        let n_panels = panels(shape.c_out);
        let mut packed = Lined::zeros(POSITIONS * n_panels * taps * shape.c_in * PANEL);
        for o in 0..shape.c_out {
            for c in 0..shape.c_in {
                let filter = &weight[(o * shape.c_in + c) * kt * 9..][..kt * 9];
                let spatial: Vec<[f32; POSITIONS]> = filter.chunks_exact(9).map(transform_filter).collect();
                for p in 0..POSITIONS {
                    let mut put = |tap: usize, value: f32| {
                        let row = ((p * n_panels + o / PANEL) * taps + tap) * shape.c_in + c;
                        packed[row * PANEL + o % PANEL] = value;
                    };
                    if temporal {
                        let (a, b, c) = (spatial[0][p], spatial[1][p], spatial[2][p]);
                        put(0, a);
                        put(1, 0.5 * (a + b + c));
                        put(2, 0.5 * (a - b + c));
                        put(3, c);
                    } else {
                        (0..kt).for_each(|tap| put(tap, spatial[tap][p]));
                    }
                }
            }
        }
        Self { panels: packed, taps, temporal }
    }

    pub(super) fn len(&self) -> usize {
        self.panels.len()
    }

    pub(super) fn run(&self, job: &Job<'_>, target: &Target<'_>) {
        let grid = Grid::new(job, self.temporal);
        for_each_block(grid.blocks_y * grid.blocks_x, grid.scratch(), |block, scratch| {
            run_block(self, job, target, grid, block, scratch);
        });
    }
}

/// `G g Gᵀ` of one 3×3 filter.
fn transform_filter(g: &[f32]) -> [f32; POSITIONS] {
    let one = |a: f32, b: f32, c: f32| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
    let mut columns = [[0.0; 3]; 4];
    for j in 0..3 {
        for (i, v) in one(g[j], g[3 + j], g[6 + j]).into_iter().enumerate() {
            columns[i][j] = v;
        }
    }
    let mut out = [0.0; POSITIONS];
    for (i, [a, b, c]) in columns.into_iter().enumerate() {
        out[4 * i..4 * i + 4].copy_from_slice(&one(a, b, c));
    }
    out
}

per_level!(run_block(
    winograd: &Winograd,
    job: &Job<'_>,
    target: &Target<'_>,
    grid: Grid,
    block: usize,
    scratch: &mut [f32],
) => convolve_block);

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
}

/// # Safety
/// The CPU has `S`; no other thread works on the same block.
#[inline(always)]
unsafe fn convolve_block<S: Simd>(
    winograd: &Winograd,
    job: &Job<'_>,
    target: &Target<'_>,
    grid: Grid,
    block: usize,
    scratch: &mut [f32],
) {
    let (tiles_y, tiles_x) = (job.size.0.div_ceil(2), job.size.1.div_ceil(2));
    let (y, x) = (block / grid.blocks_x * grid.tiles_y, block % grid.blocks_x * grid.tiles_x);
    let (band, rest) = scratch.split_at_mut(grid.band);
    let (frames, rest) = rest.split_at_mut(grid.slots * grid.frame);
    let (pair, rest) = rest.split_at_mut(grid.pair);
    let (first, rest) = rest.split_at_mut(grid.result);
    let second = &mut rest[..grid.result];
    let (rows, columns) = (grid.tiles_y.min(tiles_y - y), grid.tiles_x.min(tiles_x - x));
    let mut block = Block { grid, y, x, rows, columns, band, frames, pair, results: [first, second] };
    let skipped = skipped_positions(job);
    let kt = job.shape.kernel[0];
    let n = target.frames();
    let (mut t, mut loaded) = (0, 0);
    while t < n {
        let under = &job.input.frames[t..];
        // A pair costs four products, two single frames one for each frame that isn't zeros.
        let pair = winograd.temporal && t + 2 <= n && under[..4].iter().filter(|f| f.is_some()).count() >= 3;
        let step = if pair { 2 } else { 1 };
        while loaded < t + kt + step - 1 {
            if let Some(frame) = job.input.frames[loaded] {
                // SAFETY: the caller vouches for the CPU.
                unsafe { transform_input::<S>(job, &mut block, frame, loaded % grid.slots, skipped) };
            }
            loaded += 1;
        }
        for p in 0..POSITIONS {
            if skipped & (1 << p) != 0 {
                block.results.iter_mut().for_each(|m| {
                    let plane = m.len() / POSITIONS;
                    m[p * plane..(p + 1) * plane].fill(0.0);
                });
                continue;
            }
            // SAFETY: the caller vouches for the CPU.
            unsafe { multiply::<S>(winograd, job, &mut block, t, p, pair) };
        }
        for s in 0..step {
            // SAFETY: the caller vouches for the CPU and the block.
            unsafe { transform_output::<S>(job, target, &mut block, t + s, s) };
        }
        t += step;
    }
}

/// The positions whose transformed input is zero: doubled rows (or columns) at odd offsets, `d2 - d1` of each patch.
fn skipped_positions(job: &Job<'_>) -> u32 {
    let padding = job.shape.padding;
    let mut skipped = 0;
    for p in 0..POSITIONS {
        let row = p / 4 == 2 && padding.top % 2 == 1;
        let column = p % 4 == 2 && padding.left % 2 == 1;
        if job.input.upsample && (row || column) {
            skipped |= 1 << p;
        }
    }
    skipped
}

/// Fills a slot with `Bᵀ d B` of every patch of the block.
///
/// # Safety
/// The CPU has `S`.
#[inline(always)]
unsafe fn transform_input<S: Simd>(
    job: &Job<'_>,
    block: &mut Block<'_>,
    frame: super::Frame<'_>,
    slot: usize,
    skipped: u32,
) {
    let Grid { stride, .. } = block.grid;
    let (height, width) = (2 * block.rows + 2, 2 * block.columns + 2);
    for y in 0..height {
        let run = Run {
            y: (2 * block.y + y) as isize - job.shape.padding.top as isize,
            x: (2 * block.x) as isize - job.shape.padding.left as isize,
            n: width,
            stride,
        };
        let at = y * width * stride;
        // SAFETY: the caller vouches for the CPU.
        unsafe { load_run::<S>(job.input, frame, run, &mut block.band[at..at + width * stride]) };
    }
    let tiles = block.rows * block.columns;
    let plane = block.grid.frame / POSITIONS;
    let v = &mut block.frames[slot * block.grid.frame..][..block.grid.frame];
    for tile in 0..tiles {
        let corner = (tile / block.columns * 2 * width + tile % block.columns * 2) * stride;
        let patch = &block.band[corner..];
        assert!(patch.len() >= (3 * width + 4) * stride, "a patch reaches beyond its band");
        assert!(v.len() >= 15 * plane + (tile + 1) * stride, "a tile reaches beyond its slot");
        // SAFETY: by the two assertions above; the stride is a whole number of vectors.
        unsafe {
            let (patch, v) = (patch.as_ptr(), v.as_mut_ptr().add(tile * stride));
            for k in (0..stride).step_by(S::LANES) {
                let mut d = [[S::splat(0.0); 4]; 4];
                for (i, d) in d.iter_mut().enumerate() {
                    let row = patch.add(i * width * stride + k);
                    *d = bt::<S>([
                        S::load(row),
                        S::load(row.add(stride)),
                        S::load(row.add(2 * stride)),
                        S::load(row.add(3 * stride)),
                    ]);
                }
                for j in 0..4 {
                    let column = bt::<S>([d[0][j], d[1][j], d[2][j], d[3][j]]);
                    for (i, value) in column.into_iter().enumerate() {
                        if skipped & (1 << (4 * i + j)) == 0 {
                            S::store(v.add((4 * i + j) * plane + k), value);
                        }
                    }
                }
            }
        }
    }
}

/// One dimension of the input transform.
#[inline(always)]
unsafe fn bt<S: Simd>([a, b, c, d]: [S::V; 4]) -> [S::V; 4] {
    // SAFETY: the caller vouches for the CPU.
    unsafe { [S::sub(a, c), S::add(b, c), S::sub(c, b), S::sub(b, d)] }
}

/// The products of one position for output frame `t`, or the pair `t`, `t + 1`.
///
/// # Safety
/// The CPU has `S`.
#[inline(always)]
unsafe fn multiply<S: Simd>(
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
    let plane = grid.frame / POSITIONS;
    let at = |f: usize| {
        let present = job.input.frames.get(f).is_some_and(Option::is_some);
        present.then(|| (f % grid.slots) * grid.frame + p * plane)
    };
    let mut segments = [(std::ptr::null(), 0); 4];
    let mut n = 0;
    if !winograd.temporal {
        for tap in 0..winograd.taps {
            if let Some(at) = at(t + tap) {
                segments[n] = (block.frames[at..at + used].as_ptr(), tap);
                n += 1;
            }
        }
    } else if let (false, None, None, Some(at)) = (pair, at(t), at(t + 1), at(t + 2)) {
        segments[0] = (block.frames[at..at + used].as_ptr(), 3);
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
        // SAFETY: the caller vouches for the CPU.
        unsafe { transform_time::<S>(inputs, d, pair) };
        for (i, segment) in segments[..n].iter_mut().enumerate() {
            *segment = (block.pair[i * size..i * size + used].as_ptr(), i);
        }
    }
    let n_panels = panels(job.shape.c_out);
    let ldc = n_panels * PANEL;
    let result = grid.result / POSITIONS;
    let c = block.results[0][p * result..][..tiles * ldc].as_mut_ptr();
    let c2 = block.results[1][p * result..][..tiles * ldc].as_mut_ptr();
    let b_stride = winograd.taps * c_in * PANEL;
    let product_of = Product {
        segments: &segments[..n],
        lda: grid.stride,
        m: tiles,
        k: c_in,
        b: winograd.panels[p * n_panels * b_stride..][..n_panels * b_stride].as_ptr(),
        b_stride,
        panels: n_panels,
        c,
        ldc,
    };
    // SAFETY: every segment has `tiles` rows of `stride` >= c_in elements, the panels and results were sliced to what
    // is used; the caller vouches for the CPU.
    unsafe {
        if pair {
            product_pair::<S>(&product_of, c2);
        } else {
            product::<S>(&product_of);
        }
    }
}

/// `F0 - F2, F1 + F2, F2 - F1, F3 - F1`; frames of zeros are `None`. The last only for a pair.
///
/// # Safety
/// The CPU has `S`; all slices have the same length, whole vectors.
#[inline(always)]
unsafe fn transform_time<S: Simd>(f: [Option<&[f32]>; 4], d: [&mut [f32]; 4], pair: bool) {
    let len = d[0].len();
    assert!(f.iter().flatten().all(|f| f.len() == len), "transformed frames differ in length");
    assert!(d.iter().all(|d| d.len() == len) && len.is_multiple_of(S::LANES), "operands differ in length");
    let [f0, f1, f2, f3] = f;
    let [d0, d1, d2, d3] = d.map(<[f32]>::as_mut_ptr);
    // SAFETY: offsets are below the common length.
    unsafe {
        for k in (0..len).step_by(S::LANES) {
            let (f1, f2) = (load_or_zero::<S>(f1, k), load_or_zero::<S>(f2, k));
            S::store(d0.add(k), S::sub(load_or_zero::<S>(f0, k), f2));
            S::store(d1.add(k), S::add(f1, f2));
            S::store(d2.add(k), S::sub(f2, f1));
            if pair {
                S::store(d3.add(k), S::sub(load_or_zero::<S>(f3, k), f1));
            }
        }
    }
}

/// # Safety
/// The CPU has `S`; where there is a slice, it has a whole vector at `k`.
#[inline(always)]
unsafe fn load_or_zero<S: Simd>(f: Option<&[f32]>, k: usize) -> S::V {
    // SAFETY: the caller's.
    unsafe {
        match f {
            Some(f) => S::load(f.as_ptr().add(k)),
            None => S::splat(0.0),
        }
    }
}

/// Writes the 2×2 pixels `Aᵀ M A` of every tile to output frame `t`.
///
/// # Safety
/// The CPU has `S`; no other thread works on the same block.
#[inline(always)]
unsafe fn transform_output<S: Simd>(
    job: &Job<'_>,
    target: &Target<'_>,
    block: &mut Block<'_>,
    t: usize,
    which: usize,
) {
    let (h, w) = job.size;
    let wide = panels(job.shape.c_out) * PANEL;
    let plane = block.grid.result / POSITIONS;
    let m = &*block.results[which];
    let mut local = [0.0_f32; 4 * 512];
    let mut heap = Vec::new();
    let pixels: &mut [f32] = if 4 * wide <= local.len() {
        &mut local[..4 * wide]
    } else {
        heap.resize(4 * wide, 0.0);
        &mut heap
    };
    for tile in 0..block.rows * block.columns {
        assert!(m.len() >= 15 * plane + (tile + 1) * wide, "a tile reaches beyond its result");
        // SAFETY: by the assertion; a row is a whole number of vectors, and so is `pixels` for each of four pixels.
        unsafe {
            let m = m.as_ptr().add(tile * wide);
            let out = pixels.as_mut_ptr();
            for k in (0..wide).step_by(S::LANES) {
                let mut rows = [[S::splat(0.0); 4]; 2];
                for j in 0..4 {
                    let column = m.add(j * plane + k);
                    let [a, b] = at::<S>([
                        S::load(column),
                        S::load(column.add(4 * plane)),
                        S::load(column.add(8 * plane)),
                        S::load(column.add(12 * plane)),
                    ]);
                    rows[0][j] = a;
                    rows[1][j] = b;
                }
                for (i, row) in rows.into_iter().enumerate() {
                    let [a, b] = at::<S>(row);
                    S::store(out.add(2 * i * wide + k), a);
                    S::store(out.add((2 * i + 1) * wide + k), b);
                }
            }
        }
        let (y, x) = (2 * (block.y + tile / block.columns), 2 * (block.x + tile % block.columns));
        for (i, values) in pixels.chunks_exact_mut(wide).enumerate() {
            let (y, x) = (y + i / 2, x + i % 2);
            if y < h && x < w {
                // SAFETY: the pixel lies in the frame and in this thread's block.
                unsafe { target.store_pixel(job, t, y * w + x, values) };
            }
        }
    }
}

/// One dimension of the output transform.
#[inline(always)]
unsafe fn at<S: Simd>([a, b, c, d]: [S::V; 4]) -> [S::V; 2] {
    // SAFETY: the caller vouches for the CPU.
    unsafe { [S::add(S::add(a, b), c), S::sub(S::sub(b, c), d)] }
}
