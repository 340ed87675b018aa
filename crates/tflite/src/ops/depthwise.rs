//! `DEPTHWISE_CONV_2D`: each channel with its own window.

use super::{Fused, Window, picture};
use crate::error::{Error, Result};
use crate::flat::Table;
use rayon::prelude::*;

const NAME: &str = "DEPTHWISE_CONV_2D";

#[derive(Debug)]
pub(crate) struct Depthwise {
    window: Window,
    channels: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
    fused: Fused,
}

impl Depthwise {
    /// `weight` is `[1, kh, kw, channels]`.
    pub(crate) fn new(
        options: &Table<'_>,
        input: &[usize],
        weight_shape: &[usize],
        weight: Vec<f32>,
        bias: Option<Vec<f32>>,
    ) -> Result<Self> {
        let bad = |why: String| Error::Unsupported { operator: NAME, why };
        let (size, channels) = picture(NAME, input)?;
        let &[1, kh, kw, c] = weight_shape else {
            return Err(bad(format!("a weight of shape {weight_shape:?}")));
        };
        if c != channels {
            return Err(bad(format!(
                "{channels} channels with a weight for {c}: one feature a channel is supported"
            )));
        }
        if options.i32(5, 1)? != 1 || options.i32(6, 1)? != 1 {
            return Err(bad("dilation".to_owned()));
        }
        let stride = [options.i32(2, 1)?, options.i32(1, 1)?];
        let window = Window::new(NAME, size, [kh, kw], stride, options.u8(0, 0)? == 0)?;
        let bias = bias.unwrap_or_else(|| vec![0.0; channels]);
        if bias.len() != channels {
            return Err(bad(format!("{} biases for {channels} channels", bias.len())));
        }
        Ok(Self { window, channels, weight, bias, fused: Fused::new(NAME, options.u8(4, 0)?)? })
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        vec![1, self.window.output[0], self.window.output[1], self.channels]
    }

    pub(crate) fn run(&self, x: &[f32]) -> Vec<f32> {
        let Window { input: [_, iw], output: [oh, ow], kernel: [_, kw], stride: [_, sw], .. } = self.window;
        let c = self.channels;
        let mut out = vec![0.0; oh * ow * c];
        out.par_chunks_mut(ow * c).enumerate().for_each(|(oy, line)| {
            for pixel in line.chunks_exact_mut(c) {
                pixel.copy_from_slice(&self.bias);
            }
            let (ky, y0) = self.window.taps(0, oy);
            for (dy, k) in ky.enumerate() {
                let row = &x[(y0 + dy) * iw * c..][..iw * c];
                for kx in 0..kw {
                    let weight = &self.weight[(k * kw + kx) * c..][..c];
                    for (ox, pixel) in line.chunks_exact_mut(c).enumerate() {
                        let Some(ix) = (ox * sw + kx).checked_sub(self.window.pad[1]).filter(|ix| *ix < iw)
                        else {
                            continue;
                        };
                        for ((o, x), w) in pixel.iter_mut().zip(&row[ix * c..][..c]).zip(weight) {
                            *o += x * w;
                        }
                    }
                }
            }
            self.fused.apply(line);
        });
        out
    }
}
