//! From pictures to what the model is conditioned on: AniCrafter's avatar-background frames, mask and latents.
//!
//! After `wan_video_v2v_combine.py` (lines 394-396 and 533-573) and `run_pipeline.py` (493-501) of AniCrafter, commit
//! e9e8965. F is the number of pixel frames, 4n + 1; T = n + 1 the number of latent frames.

use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};

/// Copies of frame 0 that are put in front, so that F + 3 frames make T groups of four.
pub const LEADING_FRAMES: usize = 3;

/// At or below this, on all three channels, a pixel of the mesh render is background: bytes 0 and 1 of 255.
const BACKGROUND: f32 = -0.99;

/// Bytes to the range -1 to 1: `(x / 255 - 0.5) / 0.5` in f32, as the reference's transforms compute it.
///
/// # Shapes
/// `rgb` F × H × W × 3 bytes → `[3, F, H, W]`.
///
/// # Errors
/// When the number of bytes doesn't fit.
pub fn frames_from_rgb(rgb: &[u8], [f, h, w]: [usize; 3], device: &Device) -> Result<Tensor> {
    if rgb.len() != f * h * w * 3 {
        return Err(Error::Shape {
            what: "frames",
            expected: format!("{f} x {h} x {w} x 3 bytes"),
            got: vec![rgb.len()],
        });
    }
    let values: Vec<f32> = rgb.iter().map(|&x| (f32::from(x) / 255.0 - 0.5) / 0.5).collect();
    let frames = Tensor::from_vec(values, (f, h, w, 3), &Device::Cpu)?;
    Ok(frames.permute((3, 0, 1, 2))?.contiguous()?.to_device(device)?) // [3, F, H, W]
}

/// Puts the reference picture in front of the frames and drops the last one.
///
/// # Shapes
/// `reference` `[3, 1, H, W]`, `frames` `[3, F, H, W]` → `[3, F, H, W]`.
///
/// # Errors
/// When the shapes don't fit.
pub fn shift_frames(reference: &Tensor, frames: &Tensor) -> Result<Tensor> {
    let (_, f, h, w) = dims4("frames", frames)?;
    if reference.dims() != [3, 1, h, w] {
        return Err(Error::Shape {
            what: "reference",
            expected: format!("[3, 1, {h}, {w}]"),
            got: reference.dims().to_vec(),
        });
    }
    Ok(Tensor::cat(&[reference, &frames.narrow(1, 0, f - 1)?], 1)?)
}

/// 1 where the (shifted) mesh render shows background and in frame 0, 0 on the body; frame 0 is there four times.
///
/// # Shapes
/// `mesh` `[3, F, H, W]` → `[1, 1, F + 3, H, W]`.
///
/// # Errors
/// When `mesh` has another number of axes.
pub fn combine_mask(mesh: &Tensor) -> Result<Tensor> {
    let (_, f, h, w) = dims4("mesh frames", mesh)?;
    let ones = Tensor::ones((1 + LEADING_FRAMES, h, w), DType::F32, mesh.device())?;
    let mask = if f > 1 {
        let background = mesh.narrow(1, 1, f - 1)?.le(BACKGROUND)?.to_dtype(DType::F32)?;
        Tensor::cat(&[ones, background.min(0)?], 0)? // [F + 3, H, W]
    } else {
        ones
    };
    Ok(mask.reshape((1, 1, f + LEADING_FRAMES, h, w))?)
}

/// What an embedder reads: the mask first, then the frames with frame 0 four times.
///
/// # Shapes
/// `mask` `[1, 1, F + 3, H, W]`, `frames` `[3, F, H, W]` → `[1, 4, F + 3, H, W]`.
///
/// # Errors
/// When the shapes don't fit.
pub fn embedder_input(mask: &Tensor, frames: &Tensor) -> Result<Tensor> {
    let (_, f, h, w) = dims4("frames", frames)?;
    if mask.dims() != [1, 1, f + LEADING_FRAMES, h, w] {
        return Err(Error::Shape {
            what: "mask",
            expected: format!("[1, 1, {}, {h}, {w}]", f + LEADING_FRAMES),
            got: mask.dims().to_vec(),
        });
    }
    let first = frames.narrow(1, 0, 1)?;
    let mut parts = vec![&first; LEADING_FRAMES];
    parts.push(frames);
    let frames = Tensor::cat(&parts, 1)?.unsqueeze(0)?; // [1, 3, F + 3, H, W]
    Ok(Tensor::cat(&[mask, &frames], 1)?)
}

/// The model's `y`: four mask channels, then the latents of the avatar-background video. The mask of pixel frame f ≥ 1
/// stands in channel (f - 1) mod 4 of latent frame 1 + (f - 1) / 4; latent frame 0 has ones.
///
/// # Shapes
/// `mask` `[F - 1, h, w]` at latent resolution, `latents` `[1, 16, T, h, w]` → `[1, 20, T, h, w]`.
///
/// # Errors
/// When the shapes don't fit.
pub fn image_condition(mask: &Tensor, latents: &Tensor) -> Result<Tensor> {
    let (b, _, t, h, w) = latents.dims5()?;
    let expected = [4 * (t - 1), h, w];
    if b != 1 || mask.dims() != expected {
        return Err(Error::Shape {
            what: "latent mask",
            expected: format!("{expected:?}"),
            got: mask.dims().to_vec(),
        });
    }
    let mut parts = vec![Tensor::ones((1, 4, h, w), DType::F32, mask.device())?];
    if t > 1 {
        parts.push(mask.reshape((t - 1, 4, h, w))?);
    }
    let mask = Tensor::cat(&parts, 0)?.transpose(0, 1)?.unsqueeze(0)?; // [1, 4, T, h, w]
    Ok(Tensor::cat(&[&mask.contiguous()?, latents], 1)?)
}

fn dims4(what: &'static str, tensor: &Tensor) -> Result<(usize, usize, usize, usize)> {
    match tensor.dims4() {
        Ok((3, f, h, w)) if f > 0 => Ok((3, f, h, w)),
        _ => Err(Error::Shape { what, expected: "[3, F, H, W]".into(), got: tensor.dims().to_vec() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_rows_go_to_their_latent_frames() {
        let mask = Tensor::arange(1_f32, 9.0, &Device::Cpu).unwrap().reshape((8, 1, 1)).unwrap();
        let latents = Tensor::zeros((1, 16, 3, 1, 1), DType::F32, &Device::Cpu).unwrap();
        let y = image_condition(&mask, &latents).unwrap();
        let rows = y.squeeze(0).unwrap().reshape((20, 3)).unwrap().to_vec2::<f32>().unwrap();
        // Pixel frame f goes to row f + 3 of [T, 4]: channel c of latent frame t holds row 4t + c.
        for (c, row) in rows[..4].iter().enumerate() {
            assert_eq!(*row, [1.0, 1.0 + c as f32, 5.0 + c as f32]);
        }
        assert!(rows[4..].iter().flatten().all(|&v| v == 0.0));
        assert!(image_condition(&mask.narrow(0, 0, 7).unwrap(), &latents).is_err());
    }

    #[test]
    fn one_and_zero_are_background() {
        // Frames 0 and 1 of 1x3 pixels: bytes 0, 1 and 2 in all channels.
        let rgb: Vec<u8> = [0, 1, 2, 0, 1, 2].iter().flat_map(|&x| [x; 3]).collect();
        let mesh = frames_from_rgb(&rgb, [2, 1, 3], &Device::Cpu).unwrap();
        let mask = combine_mask(&mesh).unwrap();
        assert_eq!(mask.dims(), [1, 1, 5, 1, 3]);
        let mask = mask.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(mask[..12], [1.0; 12]);
        assert_eq!(mask[12..], [1.0, 1.0, 0.0]);
    }

    #[test]
    fn a_single_frame_has_a_mask_of_ones_only() {
        let mesh = frames_from_rgb(&[9; 12], [1, 2, 2], &Device::Cpu).unwrap();
        let mask = combine_mask(&mesh).unwrap();
        assert_eq!(mask.sum_all().unwrap().to_scalar::<f32>().unwrap(), 16.0);
        assert!(embedder_input(&mask, &mesh).is_ok());
        assert!(frames_from_rgb(&[0; 5], [1, 1, 1], &Device::Cpu).is_err());
    }
}
