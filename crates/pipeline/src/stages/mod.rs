//! The stages of a job: each turns results on disk into results on disk, once for every window of the video, and is found
//! again by the fingerprint of everything it depends on.

mod composite;
mod condition;
mod decode;
mod denoise;
mod encode;

pub use decode::DecodedWindow;

use crate::job::Job;
use crate::models::ModelSet;
use crate::progress::{Context, Event, Stage, peak_memory};
use crate::report::StageRow;
use crate::work::{Fingerprint, WorkDir};
use crate::{Error, Result};
use conditioning::{Rounding, Strides};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A job on its way through the stages.
pub(crate) struct Run<'a> {
    pub(crate) job: &'a Job,
    pub(crate) models: ModelSet,
    pub(crate) work: WorkDir,
    pub(crate) context: Context<'a>,
    /// Time and memory of what is done.
    pub(crate) stages: Vec<StageRow>,
}

/// A finished stage with its fingerprint.
pub(crate) struct Done {
    pub(crate) key: Fingerprint,
    pub(crate) folder: PathBuf,
}

impl Done {
    fn file(&self) -> PathBuf {
        only_tensors(&self.folder)
    }
}

/// The tensors of a stage that makes nothing else.
fn only_tensors(folder: &Path) -> PathBuf {
    folder.join("tensors.safetensors")
}

/// What a stage needs in memory: made for the first window that isn't finished, kept for the others.
struct Loaded<T>(Option<T>);

impl<T> Default for Loaded<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Loaded<T> {
    fn get(&mut self, load: impl FnOnce() -> Result<T>) -> Result<&T> {
        if self.0.is_none() {
            self.0 = Some(load()?);
        }
        self.0.as_ref().ok_or(Error::Internal("a model that was loaded"))
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(job: &'a Job, models: ModelSet, context: Context<'a>) -> Result<Self> {
        Ok(Self { job, models, work: WorkDir::open(job.work_dir())?, context, stages: Vec::new() })
    }

    /// Runs `make` unless its result is there, and keeps the books.
    fn stage(
        &mut self,
        stage: Stage,
        window: usize,
        total: usize,
        key: Fingerprint,
        make: impl FnOnce(&Self, &Path) -> Result<()>,
    ) -> Result<Done> {
        let work = self.work.clone();
        let part = |part: &Path| make(self, part);
        let (folder, row) = run_stage(&work, self.context, stage, window, total, &key, part)?;
        self.stages.push(row);
        Ok(Done { key, folder })
    }

    /// Loads a model and says so.
    fn load<T>(&self, model: &'static str, load: impl FnOnce(&ModelSet) -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let loaded = load(&self.models)?;
        self.context.tell(&Event::Loaded { model, seconds: start.elapsed().as_secs_f64() });
        Ok(loaded)
    }

    /// Frames and pixels to a latent.
    pub(crate) fn strides(&self) -> Strides {
        Strides::of(self.models.vae_config())
    }

    fn rounding(&self) -> Rounding {
        if self.job.sampling.bf16_latents { Rounding::Bf16 } else { Rounding::None }
    }

    fn model_key(&self) -> Result<Fingerprint> {
        let mut files = Vec::new();
        let m = &self.job.models;
        for path in self.models.paths()? {
            files.push(Fingerprint::of_path(&path)?);
        }
        // Where and how weights are held changes rounding only through their type.
        let strengths: Vec<f64> = m.lora.iter().map(crate::job::Lora::strength).collect();
        let loras = (strengths, m.skip_unmatched);
        Fingerprint::of(&(m.preset, m.dtype, m.activations, &m.device, loras, m.tiled_vae, files))
    }
}

/// Runs `make` unless its result is in the work folder, and keeps the books. Gives the result's folder.
pub(crate) fn run_stage(
    work: &WorkDir,
    context: Context<'_>,
    stage: Stage,
    window: usize,
    total: usize,
    key: &Fingerprint,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<(PathBuf, StageRow)> {
    context.check()?;
    let slot = work.slot(stage, window, key);
    let cached = slot.is_finished();
    let start = Instant::now();
    context.tell(&Event::Started { stage, window, total });
    if !cached {
        let part = slot.begin()?;
        if let Err(error) = make(&part) {
            // What is there is a start for the next run; an empty folder is only litter, and `remove_dir` takes no other.
            let _ = std::fs::remove_dir(&part);
            return Err(error);
        }
        slot.commit(&part)?;
    }
    let (seconds, peak_bytes) = (start.elapsed().as_secs_f64(), peak_memory());
    context.tell(&Event::Finished { stage, seconds, cached, peak_bytes });
    let name = if window == 0 {
        stage.name().to_owned()
    } else {
        format!("{} (window {})", stage.name(), window + 1)
    };
    Ok((slot.path().to_owned(), StageRow { name, seconds, peak_bytes, cached }))
}

fn flow(result: Result<()>) -> ControlFlow<()> {
    if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// A VAE that was stopped was stopped by the caller.
fn stopped<T>(result: vae::Result<T>) -> Result<T> {
    result.map_err(|e| if matches!(e, vae::Error::Cancelled { .. }) { Error::Cancelled } else { e.into() })
}
