//! The pipeline's models on a clip.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use composite_eval::clip::Clip;
use conditioning::{ClipConditions, ConditionEmbedders, Conditioner, Prompts, Strides};
use dit::{WanModel, pad_context};
use image::RgbImage;
use pipeline::denoise::{Sampling, Start, denoise};
use pipeline::models::ModelSet;
use pipeline::{DetailFrame, DetailTransfer, Job, Preset};
use std::ops::ControlFlow;
use std::path::Path;
use vae::{Halves, Vae};

/// The demo's models, all loaded.
pub(crate) struct Restorer {
    vae: Vae,
    model: WanModel,
    embedders: ConditionEmbedders,
    image: encoders::clip_vision::ImageEncoder,
    context: Tensor,
    channels: usize,
    detail: DetailTransfer,
}

/// What the models make of a clip.
pub(crate) struct Restored {
    /// The result as decoded.
    pub plain: Vec<RgbImage>,
    /// The condition, encoded and decoded.
    pub base: Vec<RgbImage>,
    /// The target, encoded and decoded; empty if nobody asked for it.
    pub round_trip: Vec<RgbImage>,
}

impl Restorer {
    pub(crate) fn open(weights: &Path) -> Result<Self> {
        let mut job = Job::new(Preset::Demo);
        job.models.demo = Some(weights.to_owned());
        let models = ModelSet::new(&job.models)?;
        let (tokenizer, text) = models.text()?;
        let rows = models.context_rows();
        let context = text.encode(&tokenizer.tokenize(&job.prompt.positive, rows)?.ids, rows)?;
        Ok(Self {
            context: pad_context(&context, rows)?,
            vae: models.vae(Halves::Both)?,
            model: models.transformer()?,
            embedders: models.embedders()?,
            image: models.image()?,
            channels: models.vae_config().z_dim,
            detail: models.detail_transfer().clone(),
        })
    }

    /// The weights' own detail transfer.
    pub(crate) fn detail_transfer(&self) -> &DetailTransfer {
        &self.detail
    }

    pub(crate) fn restore(
        &self,
        clip: &Clip,
        sampling: &Sampling,
        with_round_trip: bool,
    ) -> Result<Restored> {
        let device = Device::Cpu;
        let conditioner = Conditioner::new(&self.embedders, &self.vae)?;
        let strides = Strides::of(self.vae.config());
        let view = |frames| conditioning::Clip::new(&clip.reference, frames, &clip.mesh, strides);
        let go_on = &mut |_| ControlFlow::Continue(());
        let ClipConditions { latents, y, tokens, .. } =
            conditioner.condition(&view(&clip.blend)?, &device, go_on)?;
        let (w, h) = clip.reference.dimensions();
        let planes = bg_mask::to_planes(&clip.reference, bg_mask::Scaling::PreprocessImage);
        let picture = Tensor::from_vec(planes, (1, 3, h as usize, w as usize), &device)?;
        let prompts = Prompts {
            positive: self.context.clone(),
            negative: None,
            clip_feature: self.image.encode(&picture)?,
        };
        let (given, _) = prompts.branches(&y, &tokens);
        let (_, _, t, lh, lw) = y.dims5()?;
        let start = Start::noise(sampling.seed, [1, self.channels, t, lh, lw], &device)?;
        let clean = denoise(&self.model, &given, None, start, sampling, &mut ())?;
        let round_trip = if with_round_trip {
            let target = view(&clip.target)?.blend_frames(&device)?;
            self.frames(&conditioner.encode(&target, go_on)?)?
        } else {
            Vec::new()
        };
        Ok(Restored { plain: self.frames(&clean)?, base: self.frames(&latents)?, round_trip })
    }

    /// Decoded frames without the reference picture's.
    fn frames(&self, latents: &Tensor) -> Result<Vec<RgbImage>> {
        let video = self.vae.decode(latents, &mut ())?.get(0)?; // [3, F, H, W]
        let (_, f, h, w) = video.dims4()?;
        (1..f)
            .map(|i| {
                let planes = video.narrow(1, i, 1)?.flatten_all()?.to_vec1::<f32>()?;
                bg_mask::from_planes(&planes, w as u32, h as u32).context("a decoded frame")
            })
            .collect()
    }
}

/// The pictures of each frame's detail transfer.
pub(crate) fn detail_frames<'a>(
    clip: &'a Clip,
    restored: &'a Restored,
) -> impl Iterator<Item = DetailFrame<'a>> {
    let decoded = restored.base.iter().zip(&restored.plain);
    let given = clip.blend.iter().zip(&clip.plate).zip(&clip.mesh);
    given.zip(decoded).map(|(((condition, plate), body), (decoded_condition, decoded))| DetailFrame {
        condition,
        plate,
        body,
        decoded_condition,
        decoded,
    })
}

/// The clip's result with detail transfer.
pub(crate) fn detail(clip: &Clip, restored: &Restored, how: &DetailTransfer) -> Result<Vec<RgbImage>> {
    detail_frames(clip, restored).map(|frame| Ok(how.apply(&frame)?)).collect()
}
