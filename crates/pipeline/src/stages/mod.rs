//! The stages of a job: each turns results on disk into results on disk, once for every window of the video, and is found
//! again by the fingerprint of everything it depends on.

mod composite;
mod condition;
mod decode;
mod denoise;
mod encode;

pub use decode::DecodedWindow;
pub(crate) use denoise::prepare_weights;

use crate::job::Job;
use crate::lease::Owner;
use crate::models::{ModelCache, ModelSet, Wanted};
use crate::progress::{Context, Event, Stage, peak_memory};
use crate::ranks::Ranks;
use crate::report::StageRow;
use crate::work::{Claim, Fingerprint, Part, Slot, WorkDir};
use crate::{Error, Result};
use conditioning::{Rounding, Strides};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A job on its way through the stages.
pub(crate) struct Run<'a> {
    pub(crate) job: &'a Job,
    pub(crate) models: ModelSet,
    /// Models that other jobs left in memory, and that this one leaves.
    pub(crate) cache: &'a ModelCache,
    pub(crate) work: WorkDir,
    pub(crate) context: Context<'a>,
    /// Who shares the transformer's work.
    pub(crate) ranks: Ranks<'a>,
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
    pub(crate) fn new(
        job: &'a Job,
        models: ModelSet,
        cache: &'a ModelCache,
        context: Context<'a>,
    ) -> Result<Self> {
        Ok(Self {
            job,
            models,
            cache,
            work: WorkDir::of(job)?,
            context,
            ranks: Ranks::One,
            stages: Vec::new(),
        })
    }

    /// Runs `make` unless its result is there, and keeps the books.
    fn stage(
        &mut self,
        stage: Stage,
        (window, windows): (usize, usize),
        total: usize,
        key: Fingerprint,
        make: impl FnOnce(&Self, &Path) -> Result<()>,
    ) -> Result<Done> {
        let work = self.work.clone();
        let part = |part: &Path| make(self, part);
        let unit = Unit { stage, window, windows, total };
        let (folder, row) = run_stage(&work, self.context, unit, &key, part)?;
        self.stages.push(row);
        Ok(Done { key, folder })
    }

    /// A model that is still in memory, or is loaded now, which is said.
    fn load<T: Send + Sync + 'static>(
        &self,
        wanted: Wanted,
        load: impl FnOnce(&ModelSet) -> Result<T>,
    ) -> Result<Arc<T>> {
        let (key, bytes) = (self.models.key_in_memory(wanted)?, self.models.bytes(wanted)?);
        self.cache.get_or_load(wanted.name(), key, bytes, || {
            let start = Instant::now();
            let loaded = load(&self.models)?;
            let seconds = start.elapsed().as_secs_f64();
            self.context.tell(&Event::Loaded { model: wanted.name(), seconds });
            Ok(loaded)
        })
    }

    /// Frames and pixels to a latent.
    pub(crate) fn strides(&self) -> Strides {
        Strides::of(self.models.vae_config())
    }

    fn rounding(&self) -> Rounding {
        if self.job.sampling.bf16_latents { Rounding::Bf16 } else { Rounding::None }
    }
}

/// A stage's work on one window of the video.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    pub(crate) stage: Stage,
    /// Counted from 0, of `windows`.
    pub(crate) window: usize,
    pub(crate) windows: usize,
    /// What progress counts: frames, steps.
    pub(crate) total: usize,
}

impl Unit {
    /// A stage that looks at the whole video.
    pub(crate) fn whole(stage: Stage, total: usize) -> Self {
        Self { stage, window: 0, windows: 1, total }
    }
}

/// Runs `make` unless its result is in the work folder, and keeps the books. Gives the result's folder.
pub(crate) fn run_stage(
    work: &WorkDir,
    context: Context<'_>,
    unit: Unit,
    key: &Fingerprint,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<(PathBuf, StageRow)> {
    context.check()?;
    let Unit { stage, window, windows, total } = unit;
    let slot = work.slot(stage, window, key);
    let mut cached = slot.is_finished();
    let start = Instant::now();
    context.tell(&Event::Started { stage, window, windows, total });
    let elsewhere = |source| Error::Io { path: slot.path().to_owned(), source };
    let mut fetched = false;
    if let Some(store) = context.store().filter(|_| !cached) {
        fetched = store.fetch(slot.path()).map_err(elsewhere)?;
        cached = fetched;
    }
    if !cached {
        if let Some(only) = context.only().filter(|_| !context.makes(stage)) {
            let folder = work.results().display();
            let what = format!(
                "its result isn't in {folder}, and only {only} was to be made: make it first (--only {})",
                stage.name()
            );
            return Err(Error::Missing { stage, what });
        }
        match claim(stage, &slot, context)? {
            Some(part) => make_part(stage, part, make)?,
            None => cached = true,
        }
    }
    // Also what was here already: whoever made it may have been stopped before it was kept.
    if let Some(store) = context.store().filter(|_| !fetched) {
        store.keep(slot.path()).map_err(elsewhere)?;
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

fn make_part(stage: Stage, part: Part, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let made = make(part.folder());
    if part.lost_to_another() && !matches!(made, Err(Error::Cancelled)) {
        // Whatever went wrong, it went wrong because of that.
        return Err(Error::Busy { stage, owner: "another run".to_owned() });
    }
    if let Err(error) = made {
        // What is there is a start for the next run; an empty folder is only litter, and `remove_dir` takes no other.
        let _ = std::fs::remove_dir(part.folder());
        return Err(error);
    }
    part.commit()
}

/// How often a result that another run is making is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The right to make a result; `None` where another run made it meanwhile.
fn claim(stage: Stage, slot: &Slot, context: Context<'_>) -> Result<Option<Part>> {
    wait_for(stage, context, || {
        Ok(match slot.claim()? {
            Claim::Ours(part) => Ok(Some(part)),
            Claim::Finished => Ok(None),
            Claim::Held(owner) => Err(owner),
        })
    })
}

/// Tries until nobody else has what is wanted, or the caller's patience is over.
fn wait_for<T>(
    stage: Stage,
    context: Context<'_>,
    mut attempt: impl FnMut() -> Result<std::result::Result<T, Owner>>,
) -> Result<T> {
    let start = Instant::now();
    let mut told = false;
    loop {
        let owner = match attempt()? {
            Ok(got) => return Ok(got),
            Err(owner) => owner,
        };
        if context.patience().is_some_and(|patience| start.elapsed() >= patience) {
            return Err(Error::Busy { stage, owner: owner.to_string() });
        }
        if !std::mem::replace(&mut told, true) {
            context.warn(format!("{}: {owner} is making this; waiting for it", stage.name()));
        }
        context.check()?;
        std::thread::sleep(LOOK_AGAIN);
    }
}

pub(crate) fn flow(result: Result<()>) -> ControlFlow<()> {
    if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// A VAE that was stopped was stopped by the caller.
fn stopped<T>(result: vae::Result<T>) -> Result<T> {
    result.map_err(|e| if matches!(e, vae::Error::Cancelled { .. }) { Error::Cancelled } else { e.into() })
}
