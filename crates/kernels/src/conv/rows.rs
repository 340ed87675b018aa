//! Reading input pixels: from f32 or bf16 frames, normalised and activated on the way, zeros outside.

use simd::Simd;

use super::vectors::Vectors;
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
#[inline(always)]
pub(super) fn load_run<S: Vectors>(s: S, input: &Input<'_>, frame: Frame<'_>, run: Run, dst: &mut [f32]) {
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
        load_pixels(s, input, frame, from, &mut dst[first * stride..last * stride], stride);
        return;
    }
    let mut i = first;
    while i < last {
        let x = (run.x + i as isize) as usize;
        let pixel = &mut dst[i * stride..(i + 1) * stride];
        load_pixels(s, input, frame, row + (x >> 1), pixel, stride);
        i += 1;
        // The second column of an upsampled pair is the first one again.
        if x & 1 == 0 && i < last {
            dst.copy_within((i - 1) * stride..i * stride, i * stride);
            i += 1;
        }
    }
}

/// Writes consecutive pixels of a frame, from number `from` on, to the rows of `dst`.
#[inline(always)]
fn load_pixels<S: Vectors>(
    s: S,
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
                normalise(s, input, Some(data), dst, stride);
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
                normalise(s, input, None, dst, stride);
            }
        }
    }
}

/// Pixels whose factors are found before they are applied: enough to fill the waiting for sums, roots and quotients.
const TOGETHER: usize = 32;

/// `dst = silu(gamma · src / rms(src))` for each pixel of `dst`, each part where the input asks for it; in place without `src`,
/// whose pixels follow each other.
#[inline(always)]
fn normalise<S: Vectors>(s: S, input: &Input<'_>, src: Option<&[f32]>, dst: &mut [f32], stride: usize) {
    let c = input.channels;
    let root = (c as f32).sqrt();
    for (group, dst) in dst.chunks_mut(TOGETHER * stride).enumerate() {
        let src = src.map(|src| &src[group * TOGETHER * c..]);
        let pixel = |i: usize| src.map(|src| &src[i * c..][..c]);
        let mut factors = [1.0_f32; TOGETHER];
        if input.gamma.is_some() {
            for (i, (factor, dst)) in factors.iter_mut().zip(dst.chunks_exact(stride)).enumerate() {
                *factor = s.squares(pixel(i).unwrap_or(&dst[..c]));
            }
            // F.normalize clamps the norm at 1e-12; times sqrt(C).
            factors.iter_mut().for_each(|f| *f = root / f.sqrt().max(1e-12));
        }
        for (i, (&factor, dst)) in factors.iter().zip(dst.chunks_exact_mut(stride)).enumerate() {
            apply(s, input, factor, pixel(i), &mut dst[..c]);
        }
    }
}

/// `silu(gamma · factor · src)` of one pixel; in place without `src`.
#[inline(always)]
fn apply<S: Simd>(s: S, input: &Input<'_>, factor: f32, src: Option<&[f32]>, dst: &mut [f32]) {
    let c = dst.len();
    let whole = c - c % S::LANES;
    let scale = s.splat(factor);
    for k in (0..whole).step_by(S::LANES) {
        let mut v = s.mul(s.load(&src.unwrap_or(dst)[k..]), scale);
        if let Some(gamma) = input.gamma {
            v = s.mul(v, s.load(&gamma[k..]));
        }
        if input.silu {
            v = silu(s, v);
        }
        s.store(v, &mut dst[k..]);
    }
    if whole < c {
        // The tail goes through a whole vector of its own, so that every channel sees the same arithmetic.
        let mut tail = [0.0_f32; 16];
        for k in whole..c {
            tail[k - whole] = src.unwrap_or(dst)[k] * factor * input.gamma.map_or(1.0, |g| g[k]);
        }
        if input.silu {
            s.store(silu(s, s.load(&tail)), &mut tail);
        }
        dst[whole..].copy_from_slice(&tail[..c - whole]);
    }
}

/// `x · sigmoid(x)`
#[inline(always)]
fn silu<S: Simd>(s: S, v: S::V) -> S::V {
    s.div(v, s.add(s.splat(1.0), exp(s, s.sub(s.splat(0.0), v))))
}

/// `exp(x)` for lanes in -87..=88, clamped outside; relative error below 2e-7: a term less than [`simd::math::exp`] takes.
///
/// Cody–Waite reduction `x = n ln 2 + r`, a degree-6 Taylor polynomial on |r| <= ln 2 / 2, scaling by `2^n`.
#[inline(always)]
fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    /// Adding this rounds to an integer that then sits in the low bits: `1.5 · 2^23`.
    const ROUND: f32 = 12_582_912.0;
    let x = s.min(s.max(x, s.splat(-87.0)), s.splat(88.0));
    let n = s.sub(s.add(s.mul(x, s.splat(std::f32::consts::LOG2_E)), s.splat(ROUND)), s.splat(ROUND));
    let r = s.fma(n, s.splat(-0.693_359_4), x); // ln 2 in two parts: the first has 9 bits
    let r = s.fma(n, s.splat(2.121_944_4e-4), r);
    let mut p = s.splat(1.0 / 720.0);
    for c in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = s.fma(p, r, s.splat(c));
    }
    s.mul(p, s.shl23(s.add(n, s.splat(ROUND + 127.0))))
}
