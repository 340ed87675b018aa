//! The passes over a block before and after its products: inputs, pairs of frames, outputs.
#![expect(unsafe_code, reason = "vector loads and stores")]

use super::transform::{MOST, Side};
use super::{Block, Grid};
use crate::conv::Frame;
use crate::conv::dispatch::{Job, Target};
use crate::conv::rows::{Run, load_run};
use crate::conv::simd::Simd;
use std::mem::MaybeUninit;

/// Fills a slot with `Bᵀ d B` of every patch of the block.
///
/// # Safety
/// The CPU has `S`.
#[inline(always)]
pub(super) unsafe fn fill_slot<S: Simd>(
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
        // SAFETY: the caller vouches for the CPU.
        unsafe { load_run::<S>(job.input, frame, run, &mut block.band[at..at + width * stride]) };
    }
    let v = &mut block.frames[slot * block.grid.frame..][..block.grid.frame];
    for tile in 0..block.rows * block.columns {
        let corner = (tile / block.columns * width + tile % block.columns) * m * stride;
        let patch = &block.band[corner..];
        let v = &mut v[tile * stride..];
        // SAFETY: the caller vouches for the CPU.
        unsafe {
            match side {
                Side::Two => {
                    transform_input::<S, 4>(side, patch, width, stride, v, block.grid.plane, skipped);
                }
                Side::Four => {
                    transform_input::<S, 6>(side, patch, width, stride, v, block.grid.plane, skipped);
                }
            }
        }
    }
}

/// Writes `Bᵀ d B` of one patch of `N`×`N` pixels to `v`, positions `plane` elements apart.
///
/// # Safety
/// The CPU has `S`; `stride` is a whole number of its vectors.
#[inline(always)]
unsafe fn transform_input<S: Simd, const N: usize>(
    side: Side,
    patch: &[f32],
    width: usize,
    stride: usize,
    v: &mut [f32],
    plane: usize,
    skipped: u64,
) {
    assert!(patch.len() >= ((N - 1) * width + N) * stride, "a patch reaches beyond its band");
    assert!(v.len() >= (N * N - 1) * plane + stride, "a tile reaches beyond its slot");
    // SAFETY: by the two assertions above; the stride is a whole number of vectors; every row is written before it is read.
    unsafe {
        let (patch, v) = (patch.as_ptr(), v.as_mut_ptr());
        for k in (0..stride).step_by(S::LANES) {
            let mut rows = [[const { MaybeUninit::<S::V>::uninit() }; MOST]; N]; // zeros would cost a call
            for (i, row) in rows.iter_mut().enumerate() {
                let at = patch.add(i * width * stride + k);
                let mut d = [S::splat(0.0); MOST];
                for (j, d) in d.iter_mut().enumerate().take(N) {
                    *d = S::load(at.add(j * stride));
                }
                for (value, line) in row.iter_mut().zip(side.input::<S>(d)) {
                    value.write(line);
                }
            }
            for j in 0..N {
                let mut column = [S::splat(0.0); MOST];
                for (value, row) in column.iter_mut().zip(&rows) {
                    *value = row[j].assume_init();
                }
                for (i, value) in side.input::<S>(column).into_iter().enumerate().take(N) {
                    let p = N * i + j;
                    if N == 6 || skipped & (1 << p) == 0 {
                        S::store(v.add(p * plane + k), value);
                    }
                }
            }
        }
    }
}

/// `F0 - F2, F1 + F2, F2 - F1, F3 - F1`; frames of zeros are `None`. The last only for a pair.
///
/// # Safety
/// The CPU has `S`; all slices have the same length, whole vectors.
#[inline(always)]
pub(super) unsafe fn transform_time<S: Simd>(f: [Option<&[f32]>; 4], d: [&mut [f32]; 4], pair: bool) {
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

/// Writes the `N`×`N` pixels `Aᵀ M A` of every tile to output frame `t`.
///
/// # Safety
/// The CPU has `S`; no other thread works on the same block.
#[inline(always)]
pub(super) unsafe fn transform_output<S: Simd, const N: usize>(
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
    for tile in 0..block.rows * block.columns {
        let (y, x) = (N * (block.y + tile / block.columns), N * (block.x + tile % block.columns));
        let whole = vectors && y + N <= h && x + N <= w;
        assert!(m.len() >= (n * n - 1) * plane + (tile + 1) * wide, "a tile reaches beyond its result");
        // SAFETY: by the assertion; a row is a whole number of vectors, and so is `pixels` for each pixel. What is
        // written at once lies in the frame and in this thread's block; of `rows`, the first `n` of each are written and read.
        unsafe {
            let m = m.as_ptr().add(tile * wide);
            let out = pixels.as_mut_ptr();
            for k in (0..used).step_by(S::LANES) {
                let mut rows = [[const { MaybeUninit::<S::V>::uninit() }; MOST]; N];
                for j in 0..n {
                    let mut column = [S::splat(0.0); MOST];
                    for (i, value) in column.iter_mut().enumerate().take(n) {
                        *value = S::load(m.add((n * i + j) * plane + k));
                    }
                    for (row, value) in rows.iter_mut().zip(side.output::<S>(column)) {
                        row[j].write(value);
                    }
                }
                for (i, row) in rows.iter().enumerate() {
                    let mut line = [S::splat(0.0); MOST];
                    for (value, row) in line.iter_mut().zip(&row[..n]) {
                        *value = row.assume_init();
                    }
                    for (j, value) in side.output::<S>(line).into_iter().enumerate().take(N) {
                        if whole {
                            target.store_vector::<S>(job, t, (y + i) * w + x + j, k, value);
                        } else {
                            S::store(out.add((N * i + j) * wide + k), value);
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
