//! MediaPipe's custom operator `Convolution2DTransposeBias`: every input pixel paints a window.

use super::picture;
use crate::buffers;
use crate::error::{Error, Result};
use crate::flat::check;
use crate::schema::MAX_ELEMENTS;

const NAME: &str = "Convolution2DTransposeBias";

#[derive(Debug)]
pub(crate) struct TransposeConv {
    input: [usize; 2],
    output: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    pad: [usize; 2],
    channels: usize,
    features: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl TransposeConv {
    /// `options` holds three little-endian integers: padding (1 same, 2 valid), stride across, stride down; `weight` is
    /// `[features, kh, kw, channels]`.
    pub(crate) fn new(
        options: &[u8],
        input: &[usize],
        weight_shape: &[usize],
        weight: Vec<f32>,
        bias: Vec<f32>,
    ) -> Result<Self> {
        let bad = |why: String| Error::Unsupported { operator: NAME, why };
        let (size, channels) = picture(NAME, input)?;
        let words: Vec<i32> = options.as_chunks::<4>().0.iter().map(|w| i32::from_le_bytes(*w)).collect();
        let &[padding, across, down, ..] = words.as_slice() else {
            return Err(bad("its options are cut short".to_owned()));
        };
        let &[features, kh, kw, c] = weight_shape else {
            return Err(bad(format!("a weight of shape {weight_shape:?}")));
        };
        let strides = [down, across].map(|s| usize::try_from(s).ok().filter(|s| (1..=64).contains(s)));
        let ([Some(down), Some(across)], true) = (strides, c == channels && bias.len() == features) else {
            return Err(bad(format!(
                "strides {down} and {across}, {channels} channels, weight {weight_shape:?}"
            )));
        };
        let (stride, kernel) = ([down, across], [kh, kw]);
        let same = match padding {
            1 => true,
            2 => false,
            other => return Err(bad(format!("padding {other}"))),
        };
        let whole: [usize; 2] = std::array::from_fn(|i| (size[i] - 1) * stride[i] + kernel[i]);
        let output = if same { std::array::from_fn(|i| size[i] * stride[i]) } else { whole };
        let pad = std::array::from_fn(|i| whole[i].saturating_sub(output[i]) / 2);
        check(
            "an enlarged picture",
            output[0].saturating_mul(output[1]).saturating_mul(features),
            MAX_ELEMENTS,
        )?;
        Ok(Self { input: size, output, kernel, stride, pad, channels, features, weight, bias })
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        vec![1, self.output[0], self.output[1], self.features]
    }

    pub(crate) fn run(&self, x: &[f32]) -> Vec<f32> {
        let ([oh, ow], [kh, kw], n, c) = (self.output, self.kernel, self.features, self.channels);
        let mut out = buffers::take(oh * ow * n);
        out.chunks_exact_mut(n).for_each(|pixel| pixel.copy_from_slice(&self.bias));
        for (i, pixel) in x.chunks_exact(c).enumerate() {
            let (y, u) = (i / self.input[1] * self.stride[0], i % self.input[1] * self.stride[1]);
            for ky in 0..kh {
                for kx in 0..kw {
                    let row = (y + ky).checked_sub(self.pad[0]).filter(|v| *v < oh);
                    let column = (u + kx).checked_sub(self.pad[1]).filter(|v| *v < ow);
                    let (Some(row), Some(column)) = (row, column) else { continue };
                    for f in 0..n {
                        let weight = &self.weight[((f * kh + ky) * kw + kx) * c..][..c];
                        out[(row * ow + column) * n + f] +=
                            pixel.iter().zip(weight).map(|(a, b)| a * b).sum::<f32>();
                    }
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_painted() {
        let options: Vec<u8> = [1_i32, 2, 2].iter().flat_map(|v| v.to_le_bytes()).collect();
        let weight = vec![1.0, 2.0, 3.0, 4.0];
        let op = TransposeConv::new(&options, &[1, 1, 2, 1], &[1, 2, 2, 1], weight, vec![0.5]).unwrap();
        assert_eq!(op.shape(), [1, 2, 4, 1]);
        assert_eq!(op.run(&[1.0, 10.0]), [1.5, 2.5, 10.5, 20.5, 3.5, 4.5, 30.5, 40.5]);
    }
}
