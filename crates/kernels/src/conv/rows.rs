//! Reading input pixels: from f32 or bf16 frames, normalised and activated on the way, zeros outside.
#![expect(unsafe_code, reason = "vector loads and stores")]

use super::simd::{Simd, exp};
use super::{Frame, Input};

/// A run of pixels of one row of one frame.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// Row in the (upsampled) input; may lie outside, which gives zeros.
    pub(super) y: isize,
    /// First column in the (upsampled) input; may lie outside.
    pub(super) x: isize,
    /// Number of pixels.
    pub(super) n: usize,
    /// Elements from a pixel to the next in the destination; at least the number of channels.
    pub(super) stride: usize,
}

/// Writes `run.n` pixels of `frame` to `dst`; the padding between channels and stride becomes zero.
///
/// # Safety
/// The CPU has `S`.
#[inline(always)]
pub(super) unsafe fn load_run<S: Simd>(input: &Input<'_>, frame: Frame<'_>, run: Run, dst: &mut [f32]) {
    let stride = run.stride;
    let dst = &mut dst[..run.n * stride];
    let shift = u32::from(input.upsample);
    let (height, width) = ((input.height << shift) as isize, (input.width << shift) as isize);
    if run.y < 0 || run.y >= height {
        dst.fill(0.0);
        return;
    }
    let first = (-run.x).clamp(0, run.n as isize) as usize;
    let last = (width - run.x).clamp(first as isize, run.n as isize) as usize;
    dst[..first * stride].fill(0.0);
    dst[last * stride..].fill(0.0);
    let row = (run.y as usize >> shift) * input.width;
    if first == last {
        return;
    }
    if shift == 0 {
        let from = row + (run.x + first as isize) as usize;
        // SAFETY: the caller vouches for the CPU.
        unsafe { load_pixels::<S>(input, frame, from, &mut dst[first * stride..last * stride], stride) };
        return;
    }
    let mut i = first;
    while i < last {
        let x = (run.x + i as isize) as usize;
        let pixel = &mut dst[i * stride..(i + 1) * stride];
        // SAFETY: the caller vouches for the CPU.
        unsafe { load_pixels::<S>(input, frame, row + (x >> 1), pixel, stride) };
        i += 1;
        // The second column of an upsampled pair is the first one again.
        if x & 1 == 0 && i < last {
            dst.copy_within((i - 1) * stride..i * stride, i * stride);
            i += 1;
        }
    }
}

/// Writes consecutive pixels of a frame, from number `from` on, to the rows of `dst`.
///
/// # Safety
/// The CPU has `S`.
#[inline(always)]
unsafe fn load_pixels<S: Simd>(
    input: &Input<'_>,
    frame: Frame<'_>,
    from: usize,
    dst: &mut [f32],
    stride: usize,
) {
    let c = input.channels;
    let n = dst.len() / stride;
    if c < stride {
        dst.chunks_exact_mut(stride).for_each(|pixel| pixel[c..].fill(0.0));
    }
    let plain = input.gamma.is_none() && !input.silu;
    match frame {
        Frame::F32(data) => {
            let data = &data[from * c..(from + n) * c];
            if !plain {
                // SAFETY: `n` pixels of `c` elements in the source, of `stride` in `dst`; the caller vouches for the CPU.
                unsafe { normalise::<S>(input, data.as_ptr(), c, dst.as_mut_ptr(), stride, n) };
            } else if c == stride {
                dst.copy_from_slice(data);
            } else {
                for (pixel, data) in dst.chunks_exact_mut(stride).zip(data.chunks_exact(c)) {
                    pixel.iter_mut().zip(data).for_each(|(p, d)| *p = *d);
                }
            }
        }
        Frame::Bf16(data) => {
            let data = &data[from * c..(from + n) * c];
            for (pixel, data) in dst.chunks_exact_mut(stride).zip(data.chunks_exact(c)) {
                for (p, d) in pixel.iter_mut().zip(data) {
                    *p = f32::from_bits(u32::from(d.to_bits()) << 16);
                }
            }
            if !plain {
                let dst = dst.as_mut_ptr();
                // SAFETY: `n` pixels of `stride` elements; each is read before it is written; the caller vouches for the
                // CPU.
                unsafe { normalise::<S>(input, dst, stride, dst, stride, n) };
            }
        }
    }
}

/// Pixels whose factors are found before they are applied: enough to fill the waiting for sums, roots and quotients.
const TOGETHER: usize = 32;

/// `dst = silu(gamma · src / rms(src))` for each of `n` pixels, each part where the input asks for it.
///
/// # Safety
/// The CPU has `S`; `src` and `dst` are valid for `n` pixels that lie as far apart as their strides say, at least the
/// channels; they are the same or don't overlap.
#[inline(always)]
unsafe fn normalise<S: Simd>(
    input: &Input<'_>,
    src: *const f32,
    src_stride: usize,
    dst: *mut f32,
    stride: usize,
    n: usize,
) {
    for first in (0..n).step_by(TOGETHER) {
        let count = TOGETHER.min(n - first);
        let mut factors = [1.0_f32; TOGETHER];
        // SAFETY: pixels [first, first + count) of the caller's.
        unsafe {
            let (src, dst) = (src.add(first * src_stride), dst.add(first * stride));
            if input.gamma.is_some() {
                factors_of::<S>(src, src_stride, input.channels, &mut factors[..count]);
            }
            for (i, &factor) in factors[..count].iter().enumerate() {
                apply::<S>(input, factor, src.add(i * src_stride), dst.add(i * stride));
            }
        }
    }
}

/// `1 / rms` of pixels.
///
/// # Safety
/// The CPU has `S`; `src` is valid for a pixel for each factor.
#[inline(always)]
unsafe fn factors_of<S: Simd>(src: *const f32, stride: usize, c: usize, factors: &mut [f32]) {
    let whole = c - c % S::LANES;
    for (i, factor) in factors.iter_mut().enumerate() {
        // SAFETY: the caller's.
        unsafe {
            let src = src.add(i * stride);
            let mut squares = S::splat(0.0);
            for k in (0..whole).step_by(S::LANES) {
                let v = S::load(src.add(k));
                squares = S::fma(v, v, squares);
            }
            let mut sum = S::sum(squares);
            for k in whole..c {
                sum += *src.add(k) * *src.add(k);
            }
            *factor = sum;
        }
    }
    let root = (c as f32).sqrt();
    // F.normalize clamps the norm at 1e-12; times sqrt(C).
    factors.iter_mut().for_each(|f| *f = root / f.sqrt().max(1e-12));
}

/// `silu(gamma · factor · src)` of one pixel.
///
/// # Safety
/// The CPU has `S`; `src` and `dst` are valid for the input's channels and are the same or don't overlap.
#[inline(always)]
unsafe fn apply<S: Simd>(input: &Input<'_>, factor: f32, src: *const f32, dst: *mut f32) {
    let c = input.channels;
    let whole = c - c % S::LANES;
    // SAFETY: all offsets are below c, the length of src, dst and gamma (checked by `Input::check`).
    unsafe {
        let scale = S::splat(factor);
        for k in (0..whole).step_by(S::LANES) {
            let mut v = S::mul(S::load(src.add(k)), scale);
            if let Some(gamma) = input.gamma {
                v = S::mul(v, S::load(gamma.as_ptr().add(k)));
            }
            if input.silu {
                v = silu::<S>(v);
            }
            S::store(dst.add(k), v);
        }
        if whole < c {
            // The tail goes through a whole vector of its own, so that every channel sees the same arithmetic.
            let mut tail = [0.0_f32; 16];
            for k in whole..c {
                tail[k - whole] = *src.add(k) * factor * input.gamma.map_or(1.0, |g| g[k]);
            }
            if input.silu {
                S::store(tail.as_mut_ptr(), silu::<S>(S::load(tail.as_ptr())));
            }
            for k in whole..c {
                *dst.add(k) = tail[k - whole];
            }
        }
    }
}

/// `x · sigmoid(x)`
///
/// # Safety
/// The CPU has `S`.
#[inline(always)]
unsafe fn silu<S: Simd>(v: S::V) -> S::V {
    // SAFETY: the caller's.
    unsafe { S::div(v, S::add(S::splat(1.0), exp::<S>(S::sub(S::splat(0.0), v)))) }
}
