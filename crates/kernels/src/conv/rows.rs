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
    let (c, stride) = (input.channels, run.stride);
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
    let mut i = first;
    while i < last {
        let x = (run.x + i as isize) as usize;
        let from = (row + (x >> shift)) * c;
        let pixel = &mut dst[i * stride..(i + 1) * stride];
        pixel[c..].fill(0.0);
        let pixel = &mut pixel[..c];
        match frame {
            // SAFETY: the caller vouches for the CPU.
            Frame::F32(data) => unsafe { normalise::<S>(input, &data[from..from + c], pixel) },
            Frame::Bf16(data) => {
                for (d, s) in pixel.iter_mut().zip(&data[from..from + c]) {
                    *d = f32::from_bits(u32::from(s.to_bits()) << 16);
                }
                if input.gamma.is_some() || input.silu {
                    let source: *const [f32] = &raw const *pixel;
                    // SAFETY: each element is read before it is written; the caller vouches for the CPU.
                    unsafe { normalise_raw::<S>(input, source, pixel) };
                }
            }
        }
        i += 1;
        // The second column of an upsampled pair is the first one again.
        if shift == 1 && x & 1 == 0 && i < last {
            dst.copy_within((i - 1) * stride..i * stride, i * stride);
            i += 1;
        }
    }
}

/// `dst = silu(gamma · src / rms(src))`, each part where the input asks for it.
///
/// # Safety
/// The CPU has `S`.
#[inline(always)]
unsafe fn normalise<S: Simd>(input: &Input<'_>, src: &[f32], dst: &mut [f32]) {
    if input.gamma.is_none() && !input.silu {
        dst.copy_from_slice(src);
        return;
    }
    // SAFETY: the caller's.
    unsafe { normalise_raw::<S>(input, src, dst) };
}

/// # Safety
/// The CPU has `S`; `src` is readable, has the length of `dst` and either is `dst` or doesn't overlap it.
#[inline(always)]
unsafe fn normalise_raw<S: Simd>(input: &Input<'_>, src: *const [f32], dst: &mut [f32]) {
    let c = dst.len();
    let src = src.cast::<f32>();
    // SAFETY: all offsets are below c, the length of src, dst and gamma (checked by `Input::check`).
    unsafe {
        let dst = dst.as_mut_ptr();
        let whole = c - c % S::LANES;
        let factor = match input.gamma {
            None => 1.0,
            Some(_) => {
                let mut squares = S::splat(0.0);
                for k in (0..whole).step_by(S::LANES) {
                    let v = S::load(src.add(k));
                    squares = S::fma(v, v, squares);
                }
                let mut sum = S::sum(squares);
                for k in whole..c {
                    sum += *src.add(k) * *src.add(k);
                }
                // F.normalize clamps the norm at 1e-12; times sqrt(C).
                (c as f32).sqrt() / sum.sqrt().max(1e-12)
            }
        };
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
