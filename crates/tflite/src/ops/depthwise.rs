//! `DEPTHWISE_CONV_2D`: each channel with its own window.

use super::{Fused, Window, picture};
use crate::buffers;
use crate::error::{Error, Result};
use crate::flat::Table;

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
        let Window { input, output, kernel, stride, pad } = self.window;
        let mut out = buffers::take(output[0] * output[1] * self.channels);
        let (weight, bias, clamp) = (&self.weight, &self.bias, self.fused.bounds());
        kernels::Depthwise { weight, bias, kernel, stride, pad, clamp }.forward(x, input, output, &mut out);
        out
    }
}
