//! From a picture to the tower's input.

use crate::{Error, Result};
use candle_core::{Device, Tensor};

/// Mean of CLIP's training pictures, RGB.
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// Their standard deviation.
const STD: [f32; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

/// Resizes to `size` × `size` and normalises, as the reference does: bicubic with a = −0.75 and *no* antialiasing, the
/// aspect ratio isn't kept, overshoot isn't clamped.
///
/// # Shapes
/// `[B, 3, H, W]` in −1..1 (`x · 2/255 − 1` of an RGB picture) → `[B, 3, size, size]`.
///
/// # Errors
/// When the picture isn't `[B, 3, H, W]` with H, W ≥ 1.
pub fn preprocess(picture: &Tensor, size: usize) -> Result<Tensor> {
    let (b, c, h, w) = picture.dims4()?;
    if c != 3 || h == 0 || w == 0 {
        return Err(Error::Shape {
            what: "a picture",
            expected: "[B, 3, H, W]".to_owned(),
            got: picture.dims().to_vec(),
        });
    }
    let pixels = picture.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    let (rows, columns) = (taps(h, size), taps(w, size));
    let mut out = Vec::with_capacity(b * 3 * size * size);
    for (plane_idx, plane) in pixels.chunks_exact(h * w).enumerate() {
        let channel = plane_idx % 3;
        for row in &rows {
            for column in &columns {
                let horizontal = |y: usize| -> f32 {
                    (0..4).map(|i| plane[y * w + column.index[i]] * column.weight[i]).sum()
                };
                let value: f32 = (0..4).map(|i| horizontal(row.index[i]) * row.weight[i]).sum();
                out.push((value * 0.5 + 0.5 - MEAN[channel]) / STD[channel]);
            }
        }
    }
    Ok(Tensor::from_vec(out, (b, 3, size, size), &Device::Cpu)?.to_device(picture.device())?)
}

/// The four source samples of one output sample.
struct Taps {
    index: [usize; 4],
    weight: [f32; 4],
}

/// PyTorch's `interpolate(mode="bicubic", align_corners=False)` along one axis
/// (`aten/src/ATen/native/UpSample.h`): sample centres are aligned, source indices clamped to the border.
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f32 / to as f32;
    (0..to)
        .map(|i| {
            let source = scale * (i as f32 + 0.5) - 0.5;
            let floor = source.floor();
            let clamp = |offset: i64| (floor as i64 + offset).clamp(0, from as i64 - 1) as usize;
            Taps { index: [clamp(-1), clamp(0), clamp(1), clamp(2)], weight: cubic(source - floor) }
        })
        .collect()
}

/// Keys' cubic convolution weights with a = −0.75 at fraction `t`.
fn cubic(t: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let near = |x: f32| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f32| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_and_interpolate() {
        assert_eq!(cubic(0.0), [0.0, 1.0, 0.0, 0.0]);
        for t in [0.1f32, 0.37, 0.5, 0.99] {
            assert!((cubic(t).iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn the_same_size_only_normalises() {
        let x = Tensor::full(-1f32, (1, 3, 4, 4), &Device::Cpu).unwrap();
        let y = preprocess(&x, 4).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!((y[0] + MEAN[0] / STD[0]).abs() < 1e-6 && (y[47] + MEAN[2] / STD[2]).abs() < 1e-6);
    }

    #[test]
    fn other_shapes_are_errors() {
        let x = Tensor::full(0f32, (1, 4, 4, 4), &Device::Cpu).unwrap();
        assert!(preprocess(&x, 4).is_err());
    }
}
