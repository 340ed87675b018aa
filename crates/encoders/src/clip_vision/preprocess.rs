//! From a picture to the tower's input.

use crate::resize::{Axis, resample};
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
    let (rows, columns) = (Axis::bicubic(h, size), Axis::bicubic(w, size));
    let mut out = resample(&pixels, &rows, &columns)?;
    for (plane_idx, plane) in out.chunks_exact_mut((size * size).max(1)).enumerate() {
        let channel = plane_idx % 3;
        plane.iter_mut().for_each(|x| *x = (*x * 0.5 + 0.5 - MEAN[channel]) / STD[channel]);
    }
    Ok(Tensor::from_vec(out, (b, 3, size, size), &Device::Cpu)?.to_device(picture.device())?)
}

#[cfg(test)]
mod tests {
    use super::*;

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
