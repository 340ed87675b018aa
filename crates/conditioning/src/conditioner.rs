//! From a clip to all that the transformer is conditioned on.

use crate::mask::Planes;
use crate::{Clip, ConditionEmbedders, Error, Result, Rounding, Strides};
use candle_core::{DType, Device, Tensor};
use std::ops::ControlFlow;
use vae::{Tiles, Vae};

/// The models and settings that turn clips into conditions.
#[derive(Clone, Debug)]
pub struct Conditioner<'a> {
    embedders: &'a ConditionEmbedders,
    vae: &'a Vae,
    /// Encodes in tiles, as the reference can: less memory, small differences.
    pub tiles: Option<Tiles>,
    /// What is kept in bf16 between the models.
    pub rounding: Rounding,
}

/// What a clip's latents are conditioned on.
#[derive(Clone, Debug)]
pub struct ClipConditions {
    /// The background at the latents' resolution, `[F − 1, h, w]`.
    pub mask: Planes,
    /// The encoded avatar frames, `[1, C, T, h, w]`.
    pub latents: Tensor,
    /// Mask and latents as the transformer takes them, `[1, time + C, T, h, w]`.
    pub y: Tensor,
    /// The condition tokens, `[1, L, D]`.
    pub tokens: Tensor,
}

impl<'a> Conditioner<'a> {
    /// Embedders and a VAE with its encoder. Nothing is tiled, nothing rounded.
    ///
    /// # Errors
    /// When the embedders' steps aren't those of the VAE.
    pub fn new(embedders: &'a ConditionEmbedders, vae: &'a Vae) -> Result<Self> {
        let strides = Strides::of(vae.config());
        let [time, space] = ConditionEmbedders::strides();
        if time != strides.time || !space.is_multiple_of(strides.space) {
            return Err(Error::Strides { embedder: [time, space], vae: strides });
        }
        Ok(Self { embedders, vae, tiles: None, rounding: Rounding::None })
    }

    /// Conditions a clip. `observer` hears which share is done, 0 to 1, and may stop it.
    ///
    /// # Errors
    /// When the clip was cut for another VAE or is too small, a device fails, or [`Error::Cancelled`].
    pub fn condition(
        &self,
        clip: &Clip<'_>,
        device: &Device,
        observer: &mut dyn FnMut(f64) -> ControlFlow<()>,
    ) -> Result<ClipConditions> {
        let mut reached = |share: f64| match observer(share) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        };
        let strides = Strides::of(self.vae.config());
        if clip.strides() != strides {
            return Err(Error::Clip {
                what: "the clip's strides".to_owned(),
                expected: format!("{strides:?}, the VAE's"),
                got: format!("{:?}", clip.strides()),
            });
        }
        let mask = clip.latent_mask()?;
        reached(0.05)?;
        let [blend, mesh] = clip.embedder_inputs(device)?;
        let tokens = self.embedders.tokens(&blend, &mesh, self.rounding)?;
        drop((blend, mesh));
        reached(0.5)?;
        let latents = self.encode(&clip.blend_frames(device)?, &mut |share| observer(0.5 + 0.5 * share))?;
        let y = assemble_y(&mask, &latents, strides)?;
        Ok(ClipConditions { y: self.rounding.apply(&y)?, mask, latents, tokens })
    }

    /// Encodes frames `[3, F, H, W]` as a clip's are: `[1, C, T, h, w]`.
    ///
    /// # Errors
    /// When the shape doesn't fit, the VAE has no encoder, or [`Error::Cancelled`].
    pub fn encode(
        &self,
        frames: &Tensor,
        observer: &mut dyn FnMut(f64) -> ControlFlow<()>,
    ) -> Result<Tensor> {
        let video = self.rounding.apply(&frames.unsqueeze(0)?)?;
        let mut observer = |done: usize, of: usize| observer(done as f64 / of.max(1) as f64);
        let latents = match &self.tiles {
            Some(tiles) => self.vae.encode_tiled(&video, tiles, &mut observer)?,
            None => self.vae.encode(&video, &mut observer)?,
        };
        Ok(self.rounding.apply(&latents)?)
    }
}

/// The transformer's `y`: one mask channel for each frame of a latent frame, then the latents. The mask of frame f ≥ 1 stands in
/// channel (f − 1) mod `time` of latent frame 1 + (f − 1) / `time`; latent frame 0, the reference picture's, has ones.
///
/// # Shapes
/// `mask` `[F − 1, h, w]`, `latents` `[1, C, T, h, w]` → `[1, time + C, T, h, w]`.
///
/// # Errors
/// When the shapes don't belong together.
pub fn assemble_y(mask: &Planes, latents: &Tensor, strides: Strides) -> Result<Tensor> {
    let (b, _, t, h, w) = latents.dims5()?;
    let (got, expected) = ([mask.frames, mask.height, mask.width], [strides.time * (t - 1), h, w]);
    if b != 1 || got != expected {
        return Err(Error::Shape {
            what: "latent mask",
            expected: format!("{expected:?} for one clip of such latents"),
            got: got.to_vec(),
        });
    }
    let device = latents.device();
    let mut parts = vec![Tensor::ones((1, strides.time, h, w), DType::F32, device)?];
    if t > 1 {
        let rows = Tensor::from_slice(&mask.data, (t - 1, strides.time, h, w), &Device::Cpu)?;
        parts.push(rows.to_device(device)?);
    }
    let mask = Tensor::cat(&parts, 0)?.transpose(0, 1)?.unsqueeze(0)?; // [1, time, T, h, w]
    Ok(Tensor::cat(&[&mask.contiguous()?, latents], 1)?)
}
