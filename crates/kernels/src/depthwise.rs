//! Depthwise convolutions: each channel has a window of its own.

use rayon::prelude::*;
use simd::{Kernel, Simd, dispatch, level};
use std::ops::Range;

/// Pixels whose sums are kept in registers together, so that a weight is read once for all of them.
const TOGETHER: usize = 4;
/// Outputs that one task makes, at least.
const CHUNK: usize = 8 * 1024;

/// A depthwise convolution over a picture `[H, W, C]`.
#[derive(Clone, Copy, Debug)]
pub struct Depthwise<'a> {
    /// `[KH, KW, C]`
    pub weight: &'a [f32],
    /// `[C]`
    pub bias: &'a [f32],
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Rows and columns from window to window.
    pub stride: [usize; 2],
    /// Rows above and columns left of the picture where the first window begins.
    pub pad: [usize; 2],
    /// The least and the greatest result: what is beyond is cut.
    pub clamp: [f32; 2],
}

impl Depthwise<'_> {
    /// Makes a picture of `output` rows and columns from one of `input` rows and columns. What of a window lies beside the picture
    /// counts as zeros.
    ///
    /// # Panics
    /// If a slice's length doesn't fit.
    pub fn forward(&self, x: &[f32], input: [usize; 2], output: [usize; 2], out: &mut [f32]) {
        let c = self.bias.len();
        assert_eq!(self.weight.len(), self.kernel[0] * self.kernel[1] * c, "the weight isn't [KH, KW, C]");
        assert_eq!(x.len(), input[0] * input[1] * c, "x isn't [H, W, C]");
        assert_eq!(out.len(), output[0] * output[1] * c, "out isn't [H, W, C]");
        let line = output[1] * c;
        if line == 0 {
            return;
        }
        let rows = CHUNK.div_ceil(line);
        let level = level();
        out.par_chunks_mut(rows * line).enumerate().for_each(|(n, out)| {
            dispatch(level, Rows { of: *self, x, input, columns: output[1], first: n * rows, out });
        });
    }
}

/// Some rows of an output.
struct Rows<'a> {
    of: Depthwise<'a>,
    x: &'a [f32],
    input: [usize; 2],
    /// Columns of the output, and the first row.
    columns: usize,
    first: usize,
    out: &'a mut [f32],
}

/// The taps of the windows of neighbouring pixels on a part of the channels.
struct Taps<'a> {
    x: &'a [f32],
    /// Rows of the picture, and the taps in each.
    y: Range<usize>,
    kx: Range<usize>,
    /// Where the first tap's weight, and the first pixel's value at it begin.
    weight: &'a [f32],
    at: usize,
    /// From row to row, from tap to tap, and from pixel to pixel.
    row: usize,
    tap: usize,
    pixel: usize,
    kernel_row: usize,
}

impl Taps<'_> {
    #[inline(always)]
    fn sums<S: Simd, const N: usize>(&self, s: S, bias: S::V) -> [S::V; N] {
        let mut sums = [bias; N];
        for (n, _) in self.y.clone().enumerate() {
            for (k, _) in self.kx.clone().enumerate() {
                let weight = s.load(&self.weight[n * self.kernel_row + k * self.tap..]);
                let from = self.at + n * self.row + k * self.tap;
                for (p, sum) in sums.iter_mut().enumerate() {
                    *sum = s.fma(s.load(&self.x[from + p * self.pixel..]), weight, *sum);
                }
            }
        }
        sums
    }

    /// One channel of one pixel.
    #[inline(always)]
    fn sum(&self, bias: f32) -> f32 {
        let mut sum = bias;
        for (n, _) in self.y.clone().enumerate() {
            for (k, _) in self.kx.clone().enumerate() {
                sum += self.x[self.at + n * self.row + k * self.tap]
                    * self.weight[n * self.kernel_row + k * self.tap];
            }
        }
        sum
    }
}

impl<S: Simd> Kernel<S> for Rows<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        let c = self.of.bias.len();
        for (n, line) in self.out.chunks_exact_mut(self.columns * c).enumerate() {
            let row = Row { of: &self.of, x: self.x, input: self.input, y: self.first + n };
            let mut ox = 0;
            while ox < self.columns {
                // Whole windows are taken together; those at the border one by one.
                let many = (ox..ox + TOGETHER).all(|ox| ox < self.columns && row.is_whole(ox));
                if many && c >= S::LANES {
                    row.pixels::<S, TOGETHER>(s, ox, line);
                    ox += TOGETHER;
                } else {
                    row.pixels::<S, 1>(s, ox, line);
                    ox += 1;
                }
            }
        }
    }
}

/// A row of an output.
struct Row<'a> {
    of: &'a Depthwise<'a>,
    x: &'a [f32],
    input: [usize; 2],
    y: usize,
}

impl Row<'_> {
    /// Along an axis: the part of the window that lies on the picture.
    #[inline(always)]
    fn on_picture(&self, axis: usize, output: usize) -> Range<usize> {
        let begins = output * self.of.stride[axis];
        let from = self.of.pad[axis].saturating_sub(begins).min(self.of.kernel[axis]);
        let to = (self.input[axis] + self.of.pad[axis]).saturating_sub(begins).min(self.of.kernel[axis]);
        from..to.max(from)
    }

    #[inline(always)]
    fn is_whole(&self, ox: usize) -> bool {
        self.on_picture(1, ox).len() == self.of.kernel[1]
    }

    /// Neighbouring pixels, all channels; with more than one, their windows lie on the picture.
    #[inline(always)]
    fn pixels<S: Simd, const N: usize>(&self, s: S, ox: usize, line: &mut [f32]) {
        let Depthwise { weight, bias, kernel, stride, pad, clamp } = *self.of;
        let c = bias.len();
        let (ky, kx) = (self.on_picture(0, self.y), self.on_picture(1, ox));
        if ky.is_empty() || kx.is_empty() {
            for (out, bias) in line[ox * c..(ox + N) * c].iter_mut().zip(bias.iter().cycle()) {
                *out = bias.clamp(clamp[0], clamp[1]);
            }
            return;
        }
        let y0 = self.y * stride[0] + ky.start - pad[0];
        let x0 = ox * stride[1] + kx.start - pad[1];
        let mut taps = Taps {
            x: self.x,
            y: y0..y0 + ky.len(),
            weight,
            at: (y0 * self.input[1] + x0) * c,
            row: self.input[1] * c,
            tap: c,
            pixel: stride[1] * c,
            kernel_row: kernel[1] * c,
            kx: kx.clone(),
        };
        let (first, weight) = (taps.at, &weight[(ky.start * kernel[1] + kx.start) * c..]);
        if c < S::LANES {
            for k in 0..c {
                (taps.at, taps.weight) = (first + k, &weight[k..]);
                line[ox * c + k] = taps.sum(bias[k]).clamp(clamp[0], clamp[1]);
            }
            return;
        }
        let [least, most] = clamp.map(|v| s.splat(v));
        let mut k = 0;
        while k < c {
            // The last vector lies over the one before, where channels aren't whole vectors.
            k = k.min(c - S::LANES);
            (taps.at, taps.weight) = (first + k, &weight[k..]);
            let sums = taps.sums::<S, N>(s, s.load(&bias[k..]));
            for (p, sum) in sums.into_iter().enumerate() {
                s.store(s.min(s.max(sum, least), most), &mut line[(ox + p) * c + k..]);
            }
            k += S::LANES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By definition.
    fn slowly(of: &Depthwise<'_>, x: &[f32], input: [usize; 2], output: [usize; 2]) -> Vec<f32> {
        let c = of.bias.len();
        let mut out = Vec::new();
        for i in 0..output[0] * output[1] * c {
            let (oy, ox, k) = (i / c / output[1], i / c % output[1], i % c);
            let mut sum = of.bias[k];
            for (ky, kx) in (0..of.kernel[0]).flat_map(|ky| (0..of.kernel[1]).map(move |kx| (ky, kx))) {
                let y = (oy * of.stride[0] + ky).checked_sub(of.pad[0]).filter(|y| *y < input[0]);
                let u = (ox * of.stride[1] + kx).checked_sub(of.pad[1]).filter(|u| *u < input[1]);
                if let (Some(y), Some(u)) = (y, u) {
                    sum += x[(y * input[1] + u) * c + k] * of.weight[(ky * of.kernel[1] + kx) * c + k];
                }
            }
            out.push(sum.clamp(of.clamp[0], of.clamp[1]));
        }
        out
    }

    #[test]
    fn windows_of_all_sizes_at_all_borders() {
        let wave = |n: usize, step: f32| (0..n).map(|i| (i as f32 * step).sin()).collect::<Vec<f32>>();
        for (c, kernel, stride, pad) in [
            (1, [3, 3], [1, 1], [1, 1]),
            (6, [3, 3], [2, 2], [0, 0]),
            (8, [5, 5], [1, 1], [2, 2]),
            (16, [3, 3], [1, 1], [1, 1]),
            (24, [5, 3], [2, 1], [1, 1]),
            (40, [3, 3], [2, 2], [0, 1]),
            (64, [7, 7], [3, 3], [3, 3]),
        ] {
            for input in [[9, 13], [2, 2], [1, 30]] {
                let output = [0, 1].map(|k| usize::div_ceil(input[k], stride[k]));
                let (x, weight) = (wave(input[0] * input[1] * c, 0.7), wave(kernel[0] * kernel[1] * c, 1.3));
                let bias = wave(c, 0.4);
                let clamp = if c % 16 == 0 { [0.0, 1.5] } else { [f32::NEG_INFINITY, f32::INFINITY] };
                let of = Depthwise { weight: &weight, bias: &bias, kernel, stride, pad, clamp };
                let mut out = vec![f32::NAN; output[0] * output[1] * c];
                of.forward(&x, input, output, &mut out);
                for (a, b) in out.iter().zip(slowly(&of, &x, input, output)) {
                    assert!((a - b).abs() < 1e-4, "{c} {kernel:?} {stride:?} {input:?}: {a} {b}");
                }
            }
        }
    }
}
