//! The mask that the transformer is given, from renders of the body on black: plain `f32` planes.

use crate::{Error, Result, Strides};
use bg_mask::is_background;
use image::RgbImage;
use rayon::prelude::*;

/// One channel over time: `[frames, height, width]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Planes {
    /// Number of frames.
    pub frames: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// The values, row-major.
    pub data: Vec<f32>,
}

impl Planes {
    /// Wraps a row-major buffer.
    ///
    /// # Errors
    /// When its length isn't `frames * height * width`.
    pub fn new(frames: usize, height: usize, width: usize, data: Vec<f32>) -> Result<Self> {
        if data.len() != frames * height * width {
            return Err(Error::Shape {
                what: "planes",
                expected: format!("{frames} x {height} x {width} values"),
                got: vec![data.len()],
            });
        }
        Ok(Self { frames, height, width, data })
    }
}

/// 1 on the background, 0 on the body of each render.
///
/// # Shapes
/// `[mesh.len(), H, W]` for renders of `size`, width and height.
///
/// # Errors
/// When a render has another size.
pub fn background_mask(size: (u32, u32), mesh: &[RgbImage]) -> Result<Planes> {
    let (width, height) = (size.0 as usize, size.1 as usize);
    let mut data = Vec::with_capacity(mesh.len() * height * width);
    for (i, frame) in mesh.iter().enumerate() {
        if frame.dimensions() != size {
            return Err(Error::Clip {
                what: format!("body frame {i}"),
                expected: format!("{width}×{height} pixels"),
                got: format!("{}×{} pixels", frame.width(), frame.height()),
            });
        }
        let (pixels, _) = frame.as_raw().as_chunks::<3>();
        data.extend(pixels.iter().map(|&pixel| f32::from(u8::from(is_background(pixel)))));
    }
    Planes::new(mesh.len(), height, width, data)
}

/// One pixel of each `stride` × `stride`, the first: nearest-neighbour reduction as PyTorch's `interpolate` does it.
///
/// # Shapes
/// `[F, H, W]` to `[F, H / stride, W / stride]`, remainders cut.
#[must_use]
pub fn nearest(mask: &Planes, stride: usize) -> Planes {
    let stride = stride.max(1);
    let (height, width) = (mask.height / stride, mask.width / stride);
    let mut data = Vec::with_capacity(mask.frames * height * width);
    for frame in mask.data.chunks_exact((mask.height * mask.width).max(1)) {
        for row in frame.chunks_exact(mask.width).step_by(stride).take(height) {
            data.extend(row.iter().step_by(stride).take(width));
        }
    }
    Planes { frames: mask.frames, height, width, data }
}

/// Kernel size and standard deviation of the mask's blur, in latents, for a video of this many pixels: the kernel has a
/// sixteenth of the video's shorter side, which is half the latents' with a VAE of 8 pixels to a latent, the reference's.
#[must_use]
pub fn blur_of(video_height: usize, video_width: usize) -> (usize, f64) {
    let sixteenth = video_height.min(video_width) / 16;
    let kernel_size = sixteenth + usize::from(sixteenth.is_multiple_of(2));
    let sigma = 0.3 * ((kernel_size as f64 - 1.0) * 0.5 - 1.0) + 0.8;
    (kernel_size, sigma)
}

/// Gaussian blur of every frame, borders mirrored without repeating the edge, as torchvision's `gaussian_blur`.
///
/// # Errors
/// When the kernel's size is even or its half isn't smaller than both sides, or `sigma` isn't positive.
pub fn gaussian_blur(mask: &Planes, kernel_size: usize, sigma: f64) -> Result<Planes> {
    let half = kernel_size / 2;
    let fits = half < mask.height.max(1) && half < mask.width.max(1);
    if kernel_size.is_multiple_of(2) || !fits {
        return Err(Error::Blur {
            name: "kernel_size",
            expected: "odd, its half below both sides of the mask",
            value: kernel_size.to_string(),
        });
    }
    if !(sigma.is_finite() && sigma > 0.0) {
        return Err(Error::Blur { name: "sigma", expected: "above 0", value: sigma.to_string() });
    }
    let kernel = gaussian_kernel(kernel_size, sigma);
    let (height, width) = (mask.height, mask.width);
    let mut data = vec![0.0; mask.data.len()];
    let n = (height * width).max(1);
    data.par_chunks_exact_mut(n).zip(mask.data.par_chunks_exact(n)).for_each(|(out, frame)| {
        // The reference's convolution sums the square kernel in f32, row by row: the same order gives the same bits.
        for (ky, wy) in kernel.iter().enumerate() {
            for (kx, wx) in kernel.iter().enumerate() {
                let weight = wy * wx;
                for (y, out) in out.chunks_exact_mut(width).enumerate() {
                    let row = &frame[mirror(y + ky, half, height) * width..][..width];
                    for (x, out) in out.iter_mut().enumerate() {
                        *out += weight * row[mirror(x + kx, half, width)];
                    }
                }
            }
        }
    });
    Ok(Planes { frames: mask.frames, height, width, data })
}

/// Index `padded - half` mirrored into `0..n` without repeating the edge.
fn mirror(padded: usize, half: usize, n: usize) -> usize {
    let i = padded.abs_diff(half);
    if i < n { i } else { 2 * (n - 1) - i }
}

fn gaussian_kernel(size: usize, sigma: f64) -> Vec<f32> {
    let middle = (size as f32 - 1.0) * 0.5;
    let bell: Vec<f32> =
        (0..size).map(|i| (-0.5 * ((i as f32 - middle) / sigma as f32).powi(2)).exp()).collect();
    let sum: f32 = bell.iter().sum();
    bell.into_iter().map(|x| x / sum).collect()
}

/// The mask at the latents' resolution: [`nearest`], then [`gaussian_blur`] with [`blur_of`] the video's size.
///
/// # Shapes
/// `[F − 1, H, W]` to `[F − 1, h, w]`.
///
/// # Errors
/// When the video is too small for the blur.
pub fn latent_mask(background: &Planes, strides: Strides) -> Result<Planes> {
    let (kernel_size, sigma) = blur_of(background.height, background.width);
    gaussian_blur(&nearest(background, strides.space), kernel_size, sigma)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    const WAN: Strides = Strides { time: 4, space: 8 };

    #[test]
    fn the_body_is_what_is_brighter_than_one() {
        let mesh = RgbImage::from_fn(3, 1, |x, _| Rgb([0, x as u8, 1]));
        let mask = background_mask((3, 1), &[mesh]).unwrap();
        assert_eq!(mask, Planes::new(1, 1, 3, vec![1.0, 1.0, 0.0]).unwrap());
    }

    #[test]
    fn strides_are_the_callers() {
        let mask = Planes::new(1, 8, 8, (0..64).map(|i| i as f32).collect()).unwrap();
        assert_eq!(nearest(&mask, 4).data, [0.0, 4.0, 32.0, 36.0]);
        assert_eq!(nearest(&mask, 8).data, [0.0]);
        let flat = Planes::new(2, 96, 64, vec![1.0; 2 * 96 * 64]).unwrap();
        for space in [8, 16] {
            let latent = latent_mask(&flat, Strides { space, ..WAN }).unwrap();
            assert_eq!((latent.frames, latent.height, latent.width), (2, 96 / space, 64 / space));
        }
    }

    #[test]
    fn blur_keeps_flat_masks_and_total_weight() {
        let flat = Planes::new(1, 9, 12, vec![1.0; 108]).unwrap();
        let out = gaussian_blur(&flat, 5, 1.1).unwrap();
        assert!(out.data.iter().all(|x| (x - 1.0).abs() < 1e-6));
        assert_eq!(blur_of(720, 1280), (45, 0.3 * 21.0 + 0.8));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mask = Planes::new(3, 2, 2, vec![0.0; 12]).unwrap();
        assert!(matches!(background_mask((8, 8), &[RgbImage::new(8, 16)]), Err(Error::Clip { .. })));
        assert!(Planes::new(3, 2, 2, vec![0.0; 11]).is_err());
        assert!(gaussian_blur(&mask, 4, 1.0).is_err());
        assert!(gaussian_blur(&mask, 7, 1.0).is_err());
        assert!(gaussian_blur(&mask, 3, f64::NAN).is_err());
        assert_eq!(background_mask((8, 8), &[]).unwrap().frames, 0);
        let empty = background_mask((0, 0), &[RgbImage::new(0, 0)]).unwrap();
        assert!(nearest(&empty, 8).data.is_empty());
    }
}
