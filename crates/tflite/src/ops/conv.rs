//! `CONV_2D`: a matrix product over gathered windows.

use super::{Fused, Window, picture};
use crate::buffers;
use crate::error::{Error, Result};
use crate::flat::{Table, check};
use crate::schema::MAX_ELEMENTS;
use kernels::{Linear, PackedF32, Weight};
use rayon::prelude::*;
use std::ops::Range;

const NAME: &str = "CONV_2D";
/// Numbers of gathered windows at a time.
const GATHERED: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Conv {
    window: Window,
    channels: usize,
    features: usize,
    weight: PackedF32,
    bias: Vec<f32>,
    fused: Fused,
}

impl Conv {
    /// `weight` is `[features, kh, kw, channels]`.
    pub(crate) fn new(
        options: &Table<'_>,
        input: &[usize],
        weight_shape: &[usize],
        weight: &[f32],
        bias: Option<Vec<f32>>,
    ) -> Result<Self> {
        let bad = |why: String| Error::Unsupported { operator: NAME, why };
        let (size, channels) = picture(NAME, input)?;
        let &[features, kh, kw, c] = weight_shape else {
            return Err(bad(format!("a weight of shape {weight_shape:?}")));
        };
        if c != channels {
            return Err(bad(format!("{channels} channels with a weight for {c}")));
        }
        if options.i32(4, 1)? != 1 || options.i32(5, 1)? != 1 {
            return Err(bad("dilation".to_owned()));
        }
        let stride = [options.i32(2, 1)?, options.i32(1, 1)?];
        let window = Window::new(NAME, size, [kh, kw], stride, options.u8(0, 0)? == 0)?;
        let gathered =
            [window.output[0], window.output[1], kh, kw, c].into_iter().fold(1, usize::saturating_mul);
        check("a convolution's gathered windows", gathered, MAX_ELEMENTS)?;
        let bias = bias.unwrap_or_else(|| vec![0.0; features]);
        if bias.len() != features {
            return Err(bad(format!("{} biases for {features} features", bias.len())));
        }
        let fused = Fused::new(NAME, options.u8(3, 0)?)?;
        let weight = PackedF32::new(weight, features, kh * kw * c);
        Ok(Self { window, channels, features, weight, bias, fused })
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        vec![1, self.window.output[0], self.window.output[1], self.features]
    }

    pub(crate) fn run(&self, x: &[f32]) -> Vec<f32> {
        let Window { output: [oh, ow], kernel, stride, .. } = self.window;
        let k = kernel[0] * kernel[1] * self.channels;
        let mut out = buffers::take(oh * ow * self.features);
        let linear = Linear::new(Weight::PackedF32(&self.weight), self.features, k).bias(&self.bias);
        if kernel == [1, 1] && stride == [1, 1] {
            linear.forward(x, &mut out);
            self.fused.apply(&mut out);
            return out;
        }
        // Some rows at a time, so that the gathered windows stay in a cache.
        let rows = (GATHERED / (ow * k).max(1)).clamp(1, oh.max(1));
        let band_len = (rows * ow * self.features).max(1);
        out.par_chunks_mut(band_len).enumerate().for_each_init(Vec::new, |gathered, (band, out)| {
            let first = band * rows;
            self.gather(x, first..(first + rows).min(oh), gathered);
            linear.forward(gathered, out);
            self.fused.apply(out);
        });
        out
    }

    /// The windows of some rows as rows of a matrix, zeros where a window hangs over the border.
    fn gather(&self, x: &[f32], rows: Range<usize>, out: &mut Vec<f32>) {
        let Window { input: [_, iw], output: [_, ow], kernel: [kh, kw], .. } = self.window;
        let c = self.channels;
        out.resize(rows.len() * ow * kh * kw * c, 0.0);
        for (oy, line) in rows.zip(out.chunks_exact_mut((ow * kh * kw * c).max(1))) {
            let (ky, y0) = self.window.taps(0, oy);
            for (ox, row) in line.chunks_exact_mut(kh * kw * c).enumerate() {
                let (kx, x0) = self.window.taps(1, ox);
                if ky.len() < kh || kx.len() < kw {
                    row.fill(0.0);
                }
                for (dy, k) in ky.clone().enumerate() {
                    let from = ((y0 + dy) * iw + x0) * c;
                    let to = (k * kw + kx.start) * c;
                    row[to..to + kx.len() * c].copy_from_slice(&x[from..from + kx.len() * c]);
                }
            }
        }
    }
}
