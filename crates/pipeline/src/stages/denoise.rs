//! The diffusion transformer restores every window's latents.

use super::{Done, Loaded, Run, flow, only_tensors, wait_for};
use crate::denoise::{SavedState, Start, Step, Watch, window_seed};
use crate::job::Output;
use crate::lease::{Lease, Taken};
use crate::models::{ModelSet, PreparedPlace, Wanted};
use crate::progress::{Context, Event, Stage};
use crate::work::{Fingerprint, load_tensors, save_tensors, take};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use conditioning::Prompts;
use dit::{WanModel, pad_context};
use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use vae::preview::Colours;

/// What all windows share.
struct Shared {
    model: Arc<WanModel>,
    prompts: Prompts,
    /// What latents look like, where previews are wanted.
    colours: Option<Colours>,
}

impl Run<'_> {
    /// Every window's clean `latents`.
    pub(crate) fn denoise(&mut self, conditioned: &[Done], text: &Done, image: &Done) -> Result<Vec<Done>> {
        let mut shared = Loaded::default();
        let of = conditioned.len();
        let window = |(n, conditioned)| self.denoise_window((n, of), conditioned, text, image, &mut shared);
        conditioned.iter().enumerate().map(window).collect()
    }

    fn denoise_window(
        &mut self,
        (n, of): (usize, usize),
        conditioned: &Done,
        text: &Done,
        image: &Done,
        shared: &mut Loaded<Shared>,
    ) -> Result<Done> {
        let sampling = &self.job.sampling;
        let key = {
            let model = self.models.key(Wanted::Transformer)?;
            Fingerprint::of(&(&conditioned.key, &text.key, &image.key, model, sampling))?
        };
        self.stage(Stage::Denoise, (n, of), sampling.steps, key, |run, part| {
            let device = run.models.device();
            let shared = shared.get(|| run.shared(text, image))?;
            let file = conditioned.file();
            let mut tensors = load_tensors(&file, device)?;
            let (y, tokens) = (take(&mut tensors, "y", &file)?, take(&mut tensors, "tokens", &file)?);
            let channels = run.models.vae_config().z_dim;
            let (_, _, t, h, w) = y.dims5()?;
            let seed = window_seed(sampling.seed, n);
            let start = match saved_start(part, seed, device)? {
                Some(start) => start,
                None => Start::noise(seed, [1, channels, t, h, w], device)?,
            };
            let (positive, negative) = shared.prompts.branches(&y, &tokens);
            let mut watch = DenoiseWatch {
                context: run.context,
                output: &run.job.output,
                steps: sampling.steps,
                root: run.work.root(),
                part,
                window: n,
                colours: shared.colours.as_ref(),
                pixels: run.models.vae_config().spatial_factor() as u32,
                unsaved: None,
            };
            let branches = (&positive, negative.as_ref());
            let latents = run.ranks.denoise(&shared.model, branches, start, run.job, &mut watch)?;
            save_tensors(&only_tensors(part), &[("latents", &latents)])
        })
    }

    fn colours(&self) -> Option<Colours> {
        let wanted = self.job.output.preview_every > 0;
        let colours = wanted.then(|| self.models.vae_config().colours()).flatten().map(Cow::into_owned);
        if wanted && colours.is_none() {
            self.context.warn(
                "no previews: the autoencoder's configuration doesn't say what its latents look like (\"colours\")",
            );
        }
        colours
    }

    fn shared(&self, text: &Done, image: &Done) -> Result<Shared> {
        let device = self.models.device();
        let (text_file, image_file) = (text.file(), image.file());
        let mut text = load_tensors(&text_file, device)?;
        let mut context = |name| -> Result<Tensor> {
            let rows = self.rounding().apply(&take(&mut text, name, &text_file)?)?;
            Ok(pad_context(&rows, self.models.context_rows())?)
        };
        let positive = context("positive")?;
        let negative = (self.job.sampling.cfg_scale != 1.0).then(|| context("negative")).transpose()?;
        let clip_feature = take(&mut load_tensors(&image_file, device)?, "clip_feature", &image_file)?;
        let model = self.load(Wanted::Transformer, |models| {
            self.prepare_weights()?;
            self.ranks.announce_load()?;
            models.transformer()
        })?;
        Ok(Shared { model, prompts: Prompts { positive, negative, clip_feature }, colours: self.colours() })
    }
}

impl Run<'_> {
    /// Prepares the transformer's weights where that is wanted. Where there is no room for them, the run goes on without.
    fn prepare_weights(&self) -> Result<()> {
        match prepare_weights(&self.models, self.context) {
            Err(error @ (Error::Checkpoint(checkpoint::Error::File(_)) | Error::NoRoom { .. })) => {
                self.context.warn(format!(
                    "the weights can't be prepared, so every step converts them again ({error}); models.prepared (--prepared) \
                     names another folder"
                ));
                Ok(())
            }
            done => done.map(drop),
        }
    }
}

/// Prepares the transformer's weights where that is wanted, and says how far it is.
pub(crate) fn prepare_weights(models: &ModelSet, context: Context<'_>) -> Result<Option<PreparedPlace>> {
    let place = models.prepared_place()?;
    let bytes = place.as_ref().map_or(0, |place| place.bytes);
    let _lease = match &place {
        Some(place) if !place.is_ready => lease_for(&place.folder, context)?,
        _ => None,
    };
    models.prepare(&mut |done, total| {
        context.tell(&Event::Preparing { done, total, bytes });
        flow(context.check())
    })
}

/// The right to prepare weights into a folder; without one where none can be written beside it, which preparing itself will say.
fn lease_for(folder: &Path, context: Context<'_>) -> Result<Option<Lease>> {
    let mut path = folder.as_os_str().to_owned();
    path.push(".lease");
    if folder.parent().is_none_or(|root| std::fs::create_dir_all(root).is_err()) {
        return Ok(None);
    }
    wait_for(Stage::Denoise, context, || {
        Ok(match Lease::take(Path::new(&path)) {
            Ok(Taken::Ours(lease)) => Ok(Some(lease)),
            Ok(Taken::Held(owner)) => Err(owner),
            Err(_) => Ok(None),
        })
    })
}

/// How far an interrupted loop had come.
fn saved_start(part: &Path, seed: u64, device: &Device) -> Result<Option<Start>> {
    let entries = std::fs::read_dir(part).map_err(|source| Error::Io { path: part.to_owned(), source })?;
    let steps = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        name.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse::<usize>().ok()
    });
    let Some(step) = steps.max() else { return Ok(None) };
    let path = part.join(format!("step-{step}.safetensors"));
    let mut tensors = load_tensors(&path, device)?;
    let latents = take(&mut tensors, "latents", &path)?;
    Ok(Some(Start { latents, step, seed, state: SavedState { tensors: tensors.into_iter().collect() } }))
}

/// Saves and shows how far a window is.
struct DenoiseWatch<'a> {
    context: Context<'a>,
    output: &'a Output,
    steps: usize,
    /// The work folder.
    root: &'a Path,
    part: &'a Path,
    window: usize,
    /// What latents look like; nothing where that isn't known.
    colours: Option<&'a Colours>,
    /// Pixels to a latent, each way.
    pixels: u32,
    /// The last step, where it wasn't due: who stops the run doesn't lose it.
    unsaved: Option<Reached>,
}

/// How far a loop has come, and all that the next steps depend on.
struct Reached {
    steps: usize,
    latents: Tensor,
    state: SavedState,
}

impl Reached {
    fn save(&self, part: &Path) -> Result<()> {
        let mut tensors = vec![("latents", &self.latents)];
        tensors.extend(self.state.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)));
        save_tensors(&part.join(format!("step-{}.safetensors", self.steps)), &tensors)
    }
}

/// Is something that is done after every so many steps done after step `step`?
fn is_due(every: usize, step: usize) -> bool {
    every > 0 && (step + 1).is_multiple_of(every)
}

impl Watch for DenoiseWatch<'_> {
    fn block(&mut self, step: usize, block: usize, of: usize) -> ControlFlow<()> {
        let done = step as f64 + block as f64 / of.max(1) as f64;
        let flow = flow(self.context.advance(Stage::Denoise, done, self.steps));
        if flow.is_break()
            && let Some(reached) = self.unsaved.take()
            && let Err(error) = reached.save(self.part)
        {
            self.context.warn(format!("step {} couldn't be saved: {error}", reached.steps));
        }
        flow
    }

    fn saves(&mut self, step: usize) -> bool {
        is_due(self.output.save_every, step) && step + 1 < self.steps
    }

    fn step(&mut self, step: &Step<'_>) -> Result<()> {
        let done = step.index + 1;
        self.unsaved = None;
        // The result follows a last step.
        if self.output.save_every > 0 && done < self.steps {
            let reached = |state| Reached { steps: done, latents: step.latents.clone(), state };
            if self.saves(step.index) {
                reached(step.carried.save()?).save(self.part)?;
            } else {
                self.unsaved = match step.carried.save() {
                    Ok(state) => Some(reached(state)),
                    // Ranks bring it together where it is due only.
                    Err(Error::PartOfAState) => None,
                    Err(error) => return Err(error),
                };
            }
        }
        if is_due(self.output.preview_every, step.index)
            && let Some(colours) = self.colours
        {
            let path = self.root.join(format!("preview-{:03}-{done:03}.png", self.window));
            write_preview(&colours.of(&step.clean()?)?, self.pixels, &path)?;
            self.context.tell(&Event::Preview { step: done, path });
        }
        Ok(())
    }
}

/// A rough picture of the middle frame, from the colours of its latents, each of which stands for `pixels` each way.
fn write_preview(rgb: &Tensor, pixels: u32, path: &Path) -> Result<()> {
    let (_, _, t, h, w) = rgb.dims5()?;
    let planes = rgb.narrow(2, t / 2, 1)?.flatten_all()?.to_vec1::<f32>()?;
    let small = bg_mask::from_planes(&planes, w as u32, h as u32)?;
    let large = image::imageops::resize(
        &small,
        pixels * w as u32,
        pixels * h as u32,
        image::imageops::FilterType::Triangle,
    );
    Ok(media::write_picture(path, &large, media::PictureFormat::Png)?)
}
