//! The mask that the diffusion model is given, built from 8-bit frames. What its embedders read besides is built in the
//! crate `dit`, on tensors.
//!
//! Everything here is one frame late, as the model was trained: the reference picture comes first and the last
//! frame is lost. Letters: F frames, H and W pixels, h = H/8 and w = W/8, T = (F - 1)/4 + 1 latent frames.
//! Ported from `wan_video_v2v_combine.py` lines 384 to 405 and 537 to 557, and `run_pipeline.py` lines 493 to 501,
//! of the AniCrafter repository at commit e9e8965.

use crate::error::{Error, Result, same_length, same_size};
use image::RgbImage;
use rayon::prelude::*;

/// Latent pixels are this many picture pixels wide and high.
pub const LATENT_STRIDE: usize = 8;

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
        same_length("the planes", frames * height * width, data.len())?;
        Ok(Self { frames, height, width, data })
    }
}

/// Is this pixel of the mesh render background? The reference asks that every channel of the normalised picture be
/// at most -0.99, which in bytes is at most 1.
#[must_use]
pub fn is_background(mesh_pixel: [u8; 3]) -> bool {
    mesh_pixel.iter().all(|&x| x <= 1)
}

/// 1 on the background of one mesh render, 0 on the person: one plane `[H, W]` written into `out`.
///
/// # Errors
/// When `out` doesn't hold H × W values.
pub fn write_background_plane(mesh: &RgbImage, out: &mut [f32]) -> Result<()> {
    let (pixels, _) = mesh.as_raw().as_chunks::<3>();
    same_length("the background plane", pixels.len(), out.len())?;
    for (out, &pixel) in out.iter_mut().zip(pixels) {
        *out = f32::from(u8::from(is_background(pixel)));
    }
    Ok(())
}

/// The background mask of a clip: the first F - 1 mesh renders, for pixel frames 1 to F - 1.
///
/// # Shapes
/// `[F - 1, H, W]`.
///
/// # Errors
/// When there is no frame or the frames differ in size.
pub fn background_mask(mesh_frames: &[RgbImage]) -> Result<Planes> {
    let (first, shifted) = shifted("mesh frames", mesh_frames)?;
    let (width, height) = (first.width() as usize, first.height() as usize);
    let mut data = vec![0.0; shifted.len() * height * width];
    for (mesh, out) in shifted.iter().zip(data.chunks_exact_mut((height * width).max(1))) {
        write_background_plane(mesh, out)?;
    }
    Planes::new(shifted.len(), height, width, data)
}

/// The first frame and all frames but the last, all of one size.
fn shifted<'a>(what: &'static str, frames: &'a [RgbImage]) -> Result<(&'a RgbImage, &'a [RgbImage])> {
    let [first, ..] = frames else {
        return Err(Error::Frames { what, expected: "at least 1".to_owned(), got: 0 });
    };
    for frame in frames {
        same_size(what, first.dimensions(), frame.dimensions())?;
    }
    Ok((first, &frames[..frames.len() - 1]))
}

/// Every eighth pixel of every eighth row: nearest-neighbour reduction as PyTorch's `interpolate` does it.
///
/// # Shapes
/// `[F, H, W]` to `[F, H/8, W/8]`, remainders cut.
#[must_use]
pub fn nearest_eighth(mask: &Planes) -> Planes {
    let (height, width) = (mask.height / LATENT_STRIDE, mask.width / LATENT_STRIDE);
    let mut data = Vec::with_capacity(mask.frames * height * width);
    for frame in mask.data.chunks_exact((mask.height * mask.width).max(1)) {
        for row in frame.chunks_exact(mask.width).step_by(LATENT_STRIDE).take(height) {
            data.extend(row.iter().step_by(LATENT_STRIDE).take(width));
        }
    }
    Planes { frames: mask.frames, height, width, data }
}

/// Kernel size and standard deviation of the mask's blur, in latent pixels, for a video of this many pixels.
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
        return Err(Error::Parameter {
            name: "kernel_size",
            expected: "odd, its half below both sides of the mask",
            value: kernel_size.to_string(),
        });
    }
    if !(sigma.is_finite() && sigma > 0.0) {
        return Err(Error::Parameter { name: "sigma", expected: "above 0", value: sigma.to_string() });
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

/// The latent mask of a clip: [`nearest_eighth`], then [`gaussian_blur`] with [`blur_of`] the video's size.
///
/// # Shapes
/// `[F - 1, H, W]` to `[F - 1, h, w]`.
///
/// # Errors
/// When the video is too small for the blur.
pub fn latent_mask(background: &Planes) -> Result<Planes> {
    let (kernel_size, sigma) = blur_of(background.height, background.width);
    gaussian_blur(&nearest_eighth(background), kernel_size, sigma)
}

/// The model's `y`: four mask channels, then the latent channels.
///
/// Mask rows go to channels in groups of four frames; latent frame 0 (the reference picture) is all ones. So pixel
/// frame f ≥ 1 sits in row f + 3 of the flattened mask.
///
/// # Shapes
/// `mask` is `[4 (T - 1), h, w]`, `latents` `[channels, T, h, w]`, the result `[4 + channels, T, h, w]`.
///
/// # Errors
/// When the mask's frames aren't a multiple of four or the latents don't fit.
pub fn pack_y(mask: &Planes, latents: &[f32], channels: usize) -> Result<Vec<f32>> {
    if !mask.frames.is_multiple_of(4) {
        let (what, expected) = ("the latent mask", "a multiple of 4".to_owned());
        return Err(Error::Frames { what, expected, got: mask.frames });
    }
    let n = mask.height * mask.width;
    let latent_frames = mask.frames / 4 + 1;
    same_length("the latents", channels * latent_frames * n, latents.len())?;
    let mut out = Vec::with_capacity((4 + channels) * latent_frames * n);
    for channel in 0..4 {
        out.resize(out.len() + n, 1.0);
        for t in 0..latent_frames - 1 {
            out.extend_from_slice(&mask.data[(4 * t + channel) * n..][..n]);
        }
    }
    out.extend_from_slice(latents);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn mask_rows_are_one_frame_late_and_four_ahead() {
        // F = 5 frames of 16×16; only mesh frame 2 shows a person, so only pixel frame 3 does.
        let frames: Vec<RgbImage> =
            (0..5).map(|f| RgbImage::from_pixel(16, 16, Rgb([if f == 2 { 90 } else { 1 }; 3]))).collect();
        let mask = latent_mask(&background_mask(&frames).unwrap()).unwrap();
        assert_eq!((mask.frames, mask.height, mask.width), (4, 2, 2));
        let y = pack_y(&mask, &[7.0; 2 * 2 * 4], 2).unwrap();
        // Row r of the flattened mask is channel r % 4 of latent frame r / 4.
        let row = |r: usize| y[((r % 4) * 2 + r / 4) * 4];
        let rows: Vec<f32> = (0..8).map(row).collect();
        assert_eq!(rows, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0]);
        assert!(y[4 * 2 * 4..].iter().all(|&x| x == 7.0));
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
        assert!(matches!(pack_y(&mask, &[], 16), Err(Error::Frames { got: 3, .. })));
        assert!(matches!(background_mask(&[]), Err(Error::Frames { .. })));
        let (a, b) = (RgbImage::new(8, 8), RgbImage::new(8, 16));
        assert!(matches!(background_mask(&[a, b]), Err(Error::Size { .. })));
        assert!(gaussian_blur(&mask, 4, 1.0).is_err());
        assert!(gaussian_blur(&mask, 7, 1.0).is_err());
        assert!(gaussian_blur(&mask, 3, f64::NAN).is_err());
        let empty = background_mask(&[RgbImage::new(0, 0), RgbImage::new(0, 0)]).unwrap();
        assert!(nearest_eighth(&empty).data.is_empty());
    }
}
