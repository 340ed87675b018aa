//! The passes over a block before and after its products: inputs, pairs of frames, outputs.
#![expect(unsafe_code, reason = "vector loads and stores whose bounds were checked for a whole tile")]

use super::transform::{MOST, Side};
use super::{Block, Grid};
use crate::conv::Frame;
use crate::conv::dispatch::{Job, Target};
use crate::conv::rows::{Run, load_run};
use crate::conv::vectors::Vectors;
use std::mem::MaybeUninit;

/// Fills a slot with `Bᵀ d B` of every patch of the block.
#[inline(always)]
pub(super) fn fill_slot<S: Vectors>(
    s: S,
    job: &Job<'_>,
    block: &mut Block<'_>,
    frame: Frame<'_>,
    slot: usize,
    skipped: u64,
) {
    let Grid { side, stride, .. } = block.grid;
    let m = side.outputs();
    let (height, width) = (m * block.rows + 2, m * block.columns + 2);
    for y in 0..height {
        let run = Run {
            y: (m * block.y + y) as isize - job.shape.padding.top as isize,
            x: (m * block.x) as isize - job.shape.padding.left as isize,
            n: width,
            stride,
        };
        let at = y * width * stride;
        load_run(s, job.input, frame, run, &mut block.band[at..at + width * stride]);
    }
    let v = &mut block.frames[slot * block.grid.frame..][..block.grid.frame];
    for tile in 0..block.rows * block.columns {
        let corner = (tile / block.columns * width + tile % block.columns) * m * stride;
        let patch = &block.band[corner..];
        let v = &mut v[tile * stride..];
        match side {
            Side::Two => transform_input::<S, 4>(s, side, patch, width, stride, v, block.grid.plane, skipped),
            Side::Four => {
                transform_input::<S, 6>(s, side, patch, width, stride, v, block.grid.plane, skipped);
            }
        }
    }
}

/// Writes `Bᵀ d B` of one patch of `N`×`N` pixels to `v`, positions `plane` elements apart.
#[inline(always)]
fn transform_input<S: Vectors, const N: usize>(
    s: S,
    side: Side,
    patch: &[f32],
    width: usize,
    stride: usize,
    v: &mut [f32],
    plane: usize,
    skipped: u64,
) {
    assert!(stride.is_multiple_of(S::LANES), "a pixel isn't whole vectors");
    assert!(patch.len() >= ((N - 1) * width + N) * stride, "a patch reaches beyond its band");
    assert!(v.len() >= (N * N - 1) * plane + stride, "a tile reaches beyond its slot");
    for k in (0..stride).step_by(S::LANES) {
        let mut rows = [[const { MaybeUninit::<S::V>::uninit() }; MOST]; N]; // zeros would cost a call
        for (i, row) in rows.iter_mut().enumerate() {
            let at = i * width * stride + k;
            let mut d = [s.splat(0.0); MOST];
            for (j, d) in d.iter_mut().enumerate().take(N) {
                // SAFETY: pixel (i, j) of the patch, of which the assertions found N × N, has a vector at k.
                *d = unsafe { s.load_unchecked(patch, at + j * stride) };
            }
            for (value, line) in row.iter_mut().zip(side.input(s, d)) {
                value.write(line);
            }
        }
        for j in 0..N {
            let mut column = [s.splat(0.0); MOST];
            for (value, row) in column.iter_mut().zip(&rows) {
                // SAFETY: the loop above has written all of every row.
                *value = unsafe { row[j].assume_init() };
            }
            for (i, value) in side.input(s, column).into_iter().enumerate().take(N) {
                let p = N * i + j;
                if N == 6 || skipped & (1 << p) == 0 {
                    // SAFETY: position p < N² of the tile, all of which the assertions found, has a vector at k.
                    unsafe { s.store_unchecked(value, v, p * plane + k) };
                }
            }
        }
    }
}

/// `F0 - F2, F1 + F2, F2 - F1, F3 - F1`; frames of zeros are `None`. The last only for a pair.
#[inline(always)]
pub(super) fn transform_time<S: Vectors>(s: S, f: [Option<&[f32]>; 4], d: [&mut [f32]; 4], pair: bool) {
    let len = d[0].len();
    assert!(f.iter().flatten().all(|f| f.len() == len), "transformed frames differ in length");
    assert!(d.iter().all(|d| d.len() == len) && len.is_multiple_of(S::LANES), "operands differ in length");
    let [f0, f1, f2, f3] = f;
    let [d0, d1, d2, d3] = d;
    for k in (0..len).step_by(S::LANES) {
        // SAFETY: every slice has the common length, a whole number of vectors (asserted above), and k is below it.
        unsafe {
            let (f1, f2) = (load_or_zero(s, f1, k), load_or_zero(s, f2, k));
            s.store_unchecked(s.sub(load_or_zero(s, f0, k), f2), d0, k);
            s.store_unchecked(s.add(f1, f2), d1, k);
            s.store_unchecked(s.sub(f2, f1), d2, k);
            if pair {
                s.store_unchecked(s.sub(load_or_zero(s, f3, k), f1), d3, k);
            }
        }
    }
}

/// # Safety
/// Where there is a slice, it has a whole vector at `k`.
#[inline(always)]
unsafe fn load_or_zero<S: Vectors>(s: S, f: Option<&[f32]>, k: usize) -> S::V {
    match f {
        // SAFETY: this function's own contract.
        Some(f) => unsafe { s.load_unchecked(f, k) },
        None => s.splat(0.0),
    }
}

/// Writes the `N`×`N` pixels `Aᵀ M A` of every tile to output frame `t`.
#[inline(always)]
pub(super) fn transform_output<S: Vectors, const N: usize>(
    s: S,
    job: &Job<'_>,
    target: &Target<'_>,
    block: &mut Block<'_>,
    t: usize,
    which: usize,
) {
    let (h, w) = job.size;
    let Grid { side, wide, result_plane: plane, .. } = block.grid;
    let m = &*block.results[which];
    let pixels = &mut block.pixels[..N * N * wide];
    let n = N + 2;
    let vectors = job.shape.c_out.is_multiple_of(S::LANES) && target.takes_vectors(t);
    let used = if vectors { job.shape.c_out } else { wide };
    assert!(used.is_multiple_of(S::LANES), "a pixel isn't whole vectors");
    for tile in 0..block.rows * block.columns {
        let (y, x) = (N * (block.y + tile / block.columns), N * (block.x + tile % block.columns));
        let whole = vectors && y + N <= h && x + N <= w;
        assert!(m.len() >= (n * n - 1) * plane + (tile + 1) * wide, "a tile reaches beyond its result");
        let at = tile * wide;
        for k in (0..used).step_by(S::LANES) {
            let mut rows = [[const { MaybeUninit::<S::V>::uninit() }; MOST]; N];
            for j in 0..n {
                let mut column = [s.splat(0.0); MOST];
                for (i, value) in column.iter_mut().enumerate().take(n) {
                    // SAFETY: position n·i + j < n² of the tile, all of which the assertion found, has a vector at k.
                    *value = unsafe { s.load_unchecked(m, (n * i + j) * plane + at + k) };
                }
                for (row, value) in rows.iter_mut().zip(side.output(s, column)) {
                    row[j].write(value);
                }
            }
            for (i, row) in rows.iter().enumerate() {
                let mut line = [s.splat(0.0); MOST];
                for (value, row) in line.iter_mut().zip(&row[..n]) {
                    // SAFETY: the loop above has written the first n of every row.
                    *value = unsafe { row.assume_init() };
                }
                for (j, value) in side.output(s, line).into_iter().enumerate().take(N) {
                    // SAFETY: the pixel lies in the frame and in this thread's block; of `pixels`, the N × N were cut out above.
                    unsafe {
                        if whole {
                            target.store_vector(s, job, t, (y + i) * w + x + j, k, value);
                        } else {
                            s.store_unchecked(value, pixels, (N * i + j) * wide + k);
                        }
                    }
                }
            }
        }
        if whole {
            continue;
        }
        for (i, values) in pixels.chunks_exact_mut(wide).enumerate() {
            let (y, x) = (y + i / N, x + i % N);
            if y < h && x < w {
                // SAFETY: the pixel lies in the frame and in this thread's block.
                unsafe { target.store_pixel(job, t, y * w + x, values) };
            }
        }
    }
}
