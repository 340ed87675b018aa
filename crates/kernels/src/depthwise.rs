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
    /// In the picture from row to row, from tap to tap, and from one sum to the next.
    row: usize,
    tap: usize,
    sum: usize,
    /// In the weight from row to row, and from tap to tap.
    weight_row: usize,
    weight_tap: usize,
}

impl Taps<'_> {
    #[inline(always)]
    fn sums<S: Simd, const N: usize>(&self, s: S, bias: S::V) -> [S::V; N] {
        let mut sums = [bias; N];
        for (n, _) in self.y.clone().enumerate() {
            for (k, _) in self.kx.clone().enumerate() {
                let weight = s.load(&self.weight[n * self.weight_row + k * self.weight_tap..]);
                let from = self.at + n * self.row + k * self.tap;
                for (p, sum) in sums.iter_mut().enumerate() {
                    *sum = s.fma(s.load(&self.x[from + p * self.sum..]), weight, *sum);
                }
            }
        }
        sums
    }

    /// One channel of one pixel.
    #[inline(always)]
    fn scalar(&self, bias: f32) -> f32 {
        let mut sum = bias;
        for (n, _) in self.y.clone().enumerate() {
            for (k, _) in self.kx.clone().enumerate() {
                sum += self.x[self.at + n * self.row + k * self.tap]
                    * self.weight[n * self.weight_row + k * self.weight_tap];
            }
        }
        sum
    }
}

impl<S: Simd> Kernel<S> for Rows<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        let c = self.of.bias.len();
        // Pixels of few channels fill a vector together, if windows lie side by side.
        let few = (c < S::LANES && S::LANES.is_multiple_of(c) && self.of.stride[1] == 1)
            .then(|| Repeated::new(&self.of, S::LANES));
        for (n, line) in self.out.chunks_exact_mut(self.columns * c).enumerate() {
            let row = Row { of: &self.of, x: self.x, input: self.input, y: self.first + n };
            let mut ox = 0;
            while ox < self.columns {
                if let Some(few) = &few
                    && row.is_whole(ox)
                {
                    let whole = (ox..self.columns).take_while(|ox| row.is_whole(*ox)).count();
                    if row.few::<S>(s, few, ox..ox + whole, line) {
                        ox += whole;
                        continue;
                    }
                }
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

/// Weight and bias of few channels, repeated until they fill a vector.
struct Repeated {
    /// `[KH, KW, LANES]`
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Repeated {
    fn new(of: &Depthwise<'_>, lanes: usize) -> Self {
        let repeat = |x: &[f32]| -> Vec<f32> {
            let taps = x.chunks_exact(of.bias.len());
            taps.flat_map(|tap| tap.iter().copied().cycle().take(lanes)).collect()
        };
        Self { weight: repeat(of.weight), bias: repeat(of.bias) }
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

    /// Neighbouring pixels of few channels, whose windows lie on the picture; `false` where they don't fill a vector.
    #[inline(always)]
    fn few<S: Simd>(&self, s: S, few: &Repeated, columns: Range<usize>, line: &mut [f32]) -> bool {
        let Depthwise { kernel, stride, pad, clamp, bias, .. } = *self.of;
        let (c, ky) = (bias.len(), self.on_picture(0, self.y));
        let out = &mut line[columns.start * c..columns.end * c];
        if out.len() < S::LANES || ky.is_empty() {
            return false;
        }
        let y0 = self.y * stride[0] + ky.start - pad[0];
        let first = (y0 * self.input[1] + columns.start - pad[1]) * c;
        let mut taps = Taps {
            x: self.x,
            y: y0..y0 + ky.len(),
            kx: 0..kernel[1],
            weight: &few.weight[ky.start * kernel[1] * S::LANES..],
            at: first,
            row: self.input[1] * c,
            tap: c,
            sum: S::LANES,
            weight_row: kernel[1] * S::LANES,
            weight_tap: S::LANES,
        };
        let (bias, [least, most]) = (s.load(&few.bias), clamp.map(|v| s.splat(v)));
        let mut k = 0;
        while k < out.len() {
            if k + TOGETHER * S::LANES <= out.len() {
                taps.at = first + k;
                for sum in taps.sums::<S, TOGETHER>(s, bias) {
                    s.store(s.min(s.max(sum, least), most), &mut out[k..]);
                    k += S::LANES;
                }
            } else {
                // The last vector lies over the one before: by whole pixels, since both lengths are.
                k = k.min(out.len() - S::LANES);
                taps.at = first + k;
                let [sum] = taps.sums::<S, 1>(s, bias);
                s.store(s.min(s.max(sum, least), most), &mut out[k..]);
                k += S::LANES;
            }
        }
        true
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
            sum: stride[1] * c,
            weight_row: kernel[1] * c,
            weight_tap: c,
            kx: kx.clone(),
        };
        let (first, weight) = (taps.at, &weight[(ky.start * kernel[1] + kx.start) * c..]);
        if c < S::LANES {
            for k in 0..c {
                (taps.at, taps.weight) = (first + k, &weight[k..]);
                line[ox * c + k] = taps.scalar(bias[k]).clamp(clamp[0], clamp[1]);
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
