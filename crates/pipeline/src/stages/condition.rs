//! The condition video becomes latents, mask and condition tokens, window by window.

use super::{Done, Loaded, Run, flow, only_tensors};
use crate::Result;
use crate::condition_files::ConditionFiles;
use crate::models::{ModelSet, Wanted};
use crate::progress::Stage;
use crate::windows::Window;
use crate::work::{Fingerprint, FrameFile, save_tensors};
use conditioning::{Clip, ConditionEmbedders, Conditioner};
use image::RgbImage;
use std::sync::Arc;

/// What the stage runs.
struct Models {
    embedders: Arc<ConditionEmbedders>,
    vae: Arc<vae::Vae>,
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
        let of = windows.len();
        let window = |(n, window): (usize, &Window)| {
            self.condition_window((n, of), *window, composite, files, &mut models)
        };
        windows.iter().enumerate().map(window).collect()
    }

    fn condition_window(
        &mut self,
        n: (usize, usize),
        window: Window,
        composite: &Fingerprint,
        files: &ConditionFiles,
        models: &mut Loaded<Models>,
    ) -> Result<Done> {
        let key = {
            let embedders = self.models.key(Wanted::Embedders)?;
            let vae = (self.models.key(Wanted::Encoder)?, self.job.models.tiled_vae);
            Fingerprint::of(&(composite, window, embedders, vae, self.job.sampling.bf16_latents))?
        };
        self.stage(Stage::Condition, n, 1, key, |run, part| {
            let Models { embedders, vae } = models.get(|| {
                Ok(Models {
                    embedders: run.load(Wanted::Embedders, ModelSet::embedders)?,
                    vae: run.load(Wanted::Encoder, |models| models.vae(vae::Halves::Encoder))?,
                })
            })?;
            let reference = files.reference()?;
            let (blend, mesh) = (padded(&mut files.blend()?, window)?, padded(&mut files.mesh()?, window)?);
            let clip = Clip::new(&reference, &blend, &mesh, run.strides())?;
            let mut conditioner = Conditioner::new(embedders, vae)?;
            conditioner.rounding = run.rounding();
            conditioner.tiles = run.job.models.tiled_vae.then(vae::Tiles::default);
            let context = run.context;
            let mut observer = |share: f64| flow(context.advance(Stage::Condition, share, 1));
            let made = conditioner.condition(&clip, run.models.device(), &mut observer)?;
            let tensors = [("y", &made.y), ("tokens", &made.tokens), ("latents", &made.latents)];
            save_tensors(&only_tensors(part), &tensors)
        })
    }
}

/// The window's frames; the last one is repeated as often as needed.
fn padded(file: &mut FrameFile, window: Window) -> Result<Vec<RgbImage>> {
    let last = window.start + window.len - 1;
    (0..window.padded).map(|i| file.frame((window.start + i).min(last))).collect()
}
