//! The condition video becomes latents, mask and condition tokens, window by window.

use super::{Done, Loaded, Run, flow, only_tensors, stopped};
use crate::Result;
use crate::condition_files::ConditionFiles;
use crate::conditions::{Clip, assemble_y, round};
use crate::progress::Stage;
use crate::windows::Window;
use crate::work::{Fingerprint, FrameFile, save_tensors};
use dit::ConditionEmbedders;
use image::RgbImage;

/// What the stage runs.
struct Models {
    embedders: ConditionEmbedders,
    vae: vae::Vae,
}

impl Run<'_> {
    /// Every window's `y`, `tokens` and the condition's `latents`.
    pub(crate) fn condition(
        &mut self,
        windows: &[Window],
        composite: &Fingerprint,
        files: &ConditionFiles,
    ) -> Result<Vec<Done>> {
        let mut models = Loaded::default();
        let window =
            |(n, window): (usize, &Window)| self.condition_window(n, *window, composite, files, &mut models);
        windows.iter().enumerate().map(window).collect()
    }

    fn condition_window(
        &mut self,
        n: usize,
        window: Window,
        composite: &Fingerprint,
        files: &ConditionFiles,
        models: &mut Loaded<Models>,
    ) -> Result<Done> {
        let key = Fingerprint::of(&(composite, window, self.model_key()?))?;
        self.stage(Stage::Condition, n, 2, key, |run, part| {
            let Models { embedders, vae } = models.get(|| {
                Ok(Models {
                    embedders: run.load("condition embedders", |models| models.embedders())?,
                    vae: run.load("VAE encoder", |models| models.vae(vae::Halves::Encoder))?,
                })
            })?;
            let reference = files.reference()?;
            let (blend, mesh) = (padded(&mut files.blend()?, window)?, padded(&mut files.mesh()?, window)?);
            let clip = Clip { reference: &reference, blend: &blend, mesh: &mesh };
            let device = run.models.device();
            let mask = clip.latent_mask()?;
            run.context.advance(Stage::Condition, 0.1, 2)?;
            let tokens = clip.tokens(embedders, run.rounding(), device)?;
            run.context.advance(Stage::Condition, 1.0, 2)?;
            let video = round(&clip.blend_tensor(device)?, run.rounding())?;
            let context = run.context;
            let mut observer = |done: usize, of: usize| {
                let done = 1.0 + done as f64 / of.max(1) as f64;
                flow(context.advance(Stage::Condition, done, 2))
            };
            let latents = if run.job.models.tiled_vae {
                vae.encode_tiled(&video, &vae::Tiles::default(), &mut observer)
            } else {
                vae.encode(&video, &mut observer)
            };
            let latents = round(&stopped(latents)?, run.rounding())?;
            let y = assemble_y(&mask, &latents, run.rounding())?;
            let tensors = [("y", &y), ("tokens", &tokens), ("latents", &latents)];
            save_tensors(&only_tensors(part), &tensors)
        })
    }
}

/// The window's frames and one more, which the model's shift loses; the last one is repeated as often as needed.
fn padded(file: &mut FrameFile, window: Window) -> Result<Vec<RgbImage>> {
    let mut frames = Vec::with_capacity(window.padded + 1);
    for i in 0..=window.padded {
        let index = (window.start + i).min(window.start + window.len - 1);
        frames.push(file.frame(index)?);
    }
    Ok(frames)
}
