//! From the avatar-background clip to what the transformer is conditioned on.
//!
//! Ported from `wan_video_v2v_combine.py` of the AniCrafter repository (lines 384–405 and 527–573): the reference frame
//! comes first and the last frame is lost; the mask is 1 on the background.

use crate::{Error, Result};
use bg_mask::conditions as plain;
use candle_core::{DType, Device, Tensor};
use dit::condition::{combine_mask, embedder_input, frames_from_rgb, image_condition, shift_frames};
use dit::{ConditionEmbedders, Rounding};
use image::RgbImage;

/// The frames of a window.
#[derive(Clone, Copy, Debug)]
pub struct Clip<'a> {
    /// The character on white, padded to the video's size.
    pub reference: &'a RgbImage,
    /// The avatar over the background, 4k + 1 frames.
    pub blend: &'a [RgbImage],
    /// The body on black, as many.
    pub mesh: &'a [RgbImage],
}

impl Clip<'_> {
    /// `[F, H, W]`
    ///
    /// # Errors
    /// When the two videos differ in length or anything in size, or there aren't 4k + 1 frames.
    pub fn size(&self) -> Result<[usize; 3]> {
        let (w, h) = self.reference.dimensions();
        for frame in self.blend.iter().chain(self.mesh) {
            if frame.dimensions() != (w, h) {
                let (fw, fh) = frame.dimensions();
                return Err(Error::Mismatch {
                    what: "frame sizes",
                    a: format!("{w}×{h}"),
                    b: format!("{fw}×{fh}"),
                });
            }
        }
        let (blend, mesh) = (self.blend.len(), self.mesh.len());
        if blend != mesh {
            return Err(Error::Mismatch {
                what: "condition and mesh frames",
                a: blend.to_string(),
                b: mesh.to_string(),
            });
        }
        if blend % 4 != 1 {
            return Err(Error::Mismatch {
                what: "number of frames",
                a: blend.to_string(),
                b: "4k + 1".to_owned(),
            });
        }
        Ok([blend, h as usize, w as usize])
    }

    fn shifted(&self, frames: &[RgbImage], device: &Device) -> Result<Tensor> {
        let [f, h, w] = self.size()?;
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.as_raw().iter().copied()).collect();
        let reference = frames_from_rgb(self.reference.as_raw(), [1, h, w], device)?;
        Ok(shift_frames(&reference, &frames_from_rgb(&bytes, [f, h, w], device)?)?)
    }

    /// The video that the VAE encodes: reference and shifted condition frames, `[1, 3, F, H, W]` in −1..1.
    ///
    /// # Errors
    /// As [`Clip::size`].
    pub fn blend_tensor(&self, device: &Device) -> Result<Tensor> {
        Ok(self.shifted(self.blend, device)?.unsqueeze(0)?)
    }

    /// The person mask at latent resolution, blurred: `[F − 1, h, w]`, 1 on the background.
    ///
    /// # Errors
    /// As [`Clip::size`].
    pub fn latent_mask(&self) -> Result<Tensor> {
        self.size()?;
        let mask = plain::latent_mask(&plain::background_mask(self.mesh)?)?;
        Ok(Tensor::from_vec(mask.data, (mask.frames, mask.height, mask.width), &Device::Cpu)?)
    }

    /// The condition tokens `[1, L, D]`.
    ///
    /// # Errors
    /// As [`Clip::size`], or when the embedders' device fails.
    pub fn tokens(
        &self,
        embedders: &ConditionEmbedders,
        rounding: Rounding,
        device: &Device,
    ) -> Result<Tensor> {
        let mesh = self.shifted(self.mesh, device)?;
        let mask = combine_mask(&mesh)?;
        let mesh = embedder_input(&mask, &mesh)?;
        let blend = embedder_input(&mask, &self.shifted(self.blend, device)?)?;
        Ok(embedders.tokens(&blend, &mesh, rounding)?)
    }
}

/// The transformer's `y`: mask and latents, `[1, 4 + C, T, h, w]`, rounded to bf16 where the reference does.
///
/// # Errors
/// When the shapes don't belong together.
pub fn assemble_y(mask: &Tensor, latents: &Tensor, rounding: Rounding) -> Result<Tensor> {
    let y = image_condition(&mask.to_device(latents.device())?, latents)?;
    round(&y, rounding)
}

/// Rounds to bf16 and back where the reference keeps bf16.
///
/// # Errors
/// When the device fails.
pub fn round(x: &Tensor, rounding: Rounding) -> Result<Tensor> {
    Ok(match rounding {
        Rounding::None => x.clone(),
        Rounding::Bf16 => x.to_dtype(DType::BF16)?.to_dtype(DType::F32)?,
    })
}
