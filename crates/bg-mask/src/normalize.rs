//! Bytes to network range and back, each with the rounding of the reference's own line.
//!
//! Two lines of the reference map 0…255 to -1…1 and round differently; [`Scaling`] names them.

use crate::error::{Error, Result, same_length};
use image::RgbImage;

/// Which of the reference's two maps from 0…255 to -1…1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// `(x / 255 - 0.5) / 0.5`, torchvision's `ToTensor` and `Normalize`: frames, background, mesh.
    FrameProcessNorm,
    /// `x * (2 / 255) - 1`, `preprocess_image` of the base pipeline: the picture for the image encoder.
    PreprocessImage,
}

impl Scaling {
    /// One value.
    #[must_use]
    pub fn apply(self, value: u8) -> f32 {
        let x = f32::from(value);
        match self {
            Self::FrameProcessNorm => (x / 255.0 - 0.5) / 0.5,
            Self::PreprocessImage => x * (2.0_f64 / 255.0) as f32 - 1.0,
        }
    }
}

/// A picture as planes in -1…1.
///
/// # Shapes
/// `[3, H, W]`, red first.
#[must_use]
pub fn to_planes(image: &RgbImage, scaling: Scaling) -> Vec<f32> {
    let table: [f32; 256] = std::array::from_fn(|value| scaling.apply(value as u8));
    let (pixels, _) = image.as_raw().as_chunks::<3>();
    (0..3)
        .flat_map(|channel| pixels.iter().map(move |pixel| pixel[channel]))
        .map(|x| table[usize::from(x)])
        .collect()
}

/// Planes in -1…1 as a picture: `(x + 1) * 127.5`, clipped to 0…255 and cut to an integer without rounding, as
/// `tensor2video` of the reference does. What isn't a number becomes 0.
///
/// # Shapes
/// `planes` is `[3, H, W]`.
///
/// # Errors
/// When `planes` doesn't hold `3 * width * height` values.
pub fn from_planes(planes: &[f32], width: u32, height: u32) -> Result<RgbImage> {
    let n = width as usize * height as usize;
    same_length("the planes of a picture", n * 3, planes.len())?;
    let mut out = vec![0_u8; n * 3];
    for (channel, plane) in planes.chunks_exact(n.max(1)).enumerate() {
        for (out, &x) in out[channel..].iter_mut().step_by(3).zip(plane) {
            *out = ((x + 1.0) * 127.5).clamp(0.0, 255.0) as u8;
        }
    }
    RgbImage::from_raw(width, height, out).ok_or(Error::TooLarge { what: "the picture", width, height })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_scalings_span_the_range() {
        for scaling in [Scaling::FrameProcessNorm, Scaling::PreprocessImage] {
            assert_eq!(scaling.apply(0), -1.0);
            assert!((scaling.apply(255) - 1.0).abs() < 1e-6);
        }
        let differ = (0..=255)
            .filter(|&x| Scaling::FrameProcessNorm.apply(x) != Scaling::PreprocessImage.apply(x))
            .count();
        assert!(differ > 0, "the two lines round differently somewhere");
    }

    #[test]
    fn bytes_survive_the_round_trip_to_within_truncation() {
        let image = RgbImage::from_fn(16, 16, |x, y| image::Rgb([(y * 16 + x) as u8, x as u8, y as u8]));
        let back = from_planes(&to_planes(&image, Scaling::FrameProcessNorm), image.width(), image.height())
            .unwrap();
        for (a, b) in image.as_raw().iter().zip(back.as_raw()) {
            assert!(a - b <= 1, "{a} became {b}");
        }
    }

    #[test]
    fn wild_values_are_clipped() {
        let out = from_planes(&[f32::NAN, f32::INFINITY, -7.0], 1, 1).unwrap();
        assert_eq!(out.as_raw(), &[0, 255, 0]);
        assert!(from_planes(&[0.0; 4], 1, 1).is_err());
    }
}
