//! What a run tells its caller while it works, and how it is stopped.

use crate::{Error, Result};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The stages of a job, in the order they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The person in a raw video: masks and landmarks, frame by frame.
    Masks,
    /// The landmarks become SMPL-X parameters and a camera.
    Motion,
    /// The raw video without the person.
    Plate,
    /// The light on the person in a raw video.
    Light,
    /// Avatar, motion and background become the condition video, the mesh video and the reference frame.
    Composite,
    /// The prompt becomes the text context.
    Text,
    /// The reference frame becomes the image features.
    Image,
    /// The condition video becomes latents, mask and condition tokens.
    Condition,
    /// The diffusion transformer.
    Denoise,
    /// Latents become frames.
    Decode,
    /// Windows are joined, the background goes back in, the video is written. For a job that ends before its video: what was
    /// found in the raw video is written.
    Finish,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 11] = [
        Self::Masks,
        Self::Motion,
        Self::Plate,
        Self::Light,
        Self::Composite,
        Self::Text,
        Self::Image,
        Self::Condition,
        Self::Denoise,
        Self::Decode,
        Self::Finish,
    ];

    /// The stage's name as it appears in options, events and the work folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Masks => "masks",
            Self::Motion => "motion",
            Self::Plate => "plate",
            Self::Light => "light",
            Self::Composite => "composite",
            Self::Text => "text",
            Self::Image => "image",
            Self::Condition => "condition",
            Self::Denoise => "denoise",
            Self::Decode => "decode",
            Self::Finish => "finish",
        }
    }

    /// The stage of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

/// Something that happened during a run.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A stage starts. `total` counts its units (frames, steps).
    Started {
        /// Which stage.
        stage: Stage,
        /// Window of a long video, counted from 0.
        window: usize,
        /// How many windows the video has.
        windows: usize,
        /// Number of units.
        total: usize,
    },
    /// A stage is partly done.
    Advanced {
        /// Which stage.
        stage: Stage,
        /// Units done, fractions included.
        done: f64,
        /// Number of units.
        total: usize,
    },
    /// A stage is done.
    Finished {
        /// Which stage.
        stage: Stage,
        /// Seconds it took.
        seconds: f64,
        /// Its result was found in the work folder.
        cached: bool,
        /// The largest memory the process has held so far, in bytes; 0 where the system doesn't tell.
        peak_bytes: u64,
    },
    /// The transformer's weights are being prepared, once for all jobs with them.
    Preparing {
        /// Blocks done.
        done: usize,
        /// How many there are.
        total: usize,
        /// What all of them take on disk.
        bytes: u64,
    },
    /// Files go to other machines or come from them.
    Transferring {
        /// Whether they come here; else they go.
        here: bool,
        /// What they are called there.
        name: String,
        /// Bytes done.
        done: u64,
        /// How many there are.
        total: u64,
    },
    /// A model is in memory.
    Loaded {
        /// Which one, in words.
        model: &'static str,
        /// Seconds it took.
        seconds: f64,
    },
    /// Something the user should know that doesn't stop the run.
    Warning {
        /// What.
        message: String,
    },
    /// A rough picture of the result so far was written.
    Preview {
        /// Steps done.
        step: usize,
        /// The picture.
        path: PathBuf,
    },
    /// A file is complete.
    Wrote {
        /// The file.
        path: PathBuf,
    },
}

/// Receives events. Closures `Fn(&Event) + Send + Sync` are observers.
pub trait Observer: Send + Sync {
    /// Called from the thread that works; return quickly.
    fn event(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync> Observer for F {
    fn event(&self, event: &Event) {
        self(event);
    }
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Observer for Quiet {
    fn event(&self, _: &Event) {}
}

/// Asks a run to stop from anywhere. Clones share the request.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that nobody has used yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to stop at the next safe moment. What is finished stays in the work folder.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Was a stop asked for?
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error if a stop was asked for.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// The caller's ear and brake, handed through all stages.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    observer: &'a dyn Observer,
    cancel: &'a CancelToken,
    /// The stages that are made; all where it isn't given.
    only: Option<&'a [Stage]>,
    patience: Option<Duration>,
    store: Option<&'a dyn ResultStore>,
}

/// Where finished results are kept for other machines too.
pub trait ResultStore: Sync {
    /// Brings a result here, if the store has it: `folder` isn't there yet, and comes to be in one step when all of it is there.
    /// Says no where the store hasn't got it.
    ///
    /// # Errors
    /// When the store can't be reached, or what it holds is damaged.
    fn fetch(&self, folder: &Path) -> std::io::Result<bool>;

    /// Keeps a finished result, unless the store has it: what was begun and not finished must not look like one.
    ///
    /// # Errors
    /// When the store can't be written.
    fn keep(&self, folder: &Path) -> std::io::Result<()>;
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("cancel", self.cancel)
            .field("only", &self.only)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

impl<'a> Context<'a> {
    /// A context that tells `observer` and listens to `cancel`.
    #[must_use]
    pub fn new(observer: &'a dyn Observer, cancel: &'a CancelToken) -> Self {
        Self { observer, cancel, only: None, patience: None, store: None }
    }

    /// Waits no longer than this for a result that another run is making; without it, as long as that takes.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self }
    }

    /// Looks for results in a store before they are made, and keeps them there.
    #[must_use]
    pub fn with_store(self, store: &'a dyn ResultStore) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Where results are kept for other machines.
    pub(crate) fn store(&self) -> Option<&'a dyn ResultStore> {
        self.store
    }

    /// Makes these stages alone: results of others have to be there.
    pub(crate) fn with_only(self, only: &'a [Stage]) -> Self {
        Self { only: Some(only), ..self }
    }

    /// Is a stage to be made, where its result isn't there?
    pub(crate) fn makes(&self, stage: Stage) -> bool {
        self.only.is_none_or(|only| only.contains(&stage))
    }

    /// Is there something to be made from this stage on?
    pub(crate) fn goes_to(&self, stage: Stage) -> bool {
        self.only.is_none_or(|only| only.iter().any(|wanted| *wanted >= stage))
    }

    /// Is this the only stage that is to be made?
    pub(crate) fn makes_only(&self, stage: Stage) -> bool {
        self.only.is_some_and(|only| only.iter().all(|wanted| *wanted == stage))
    }

    /// The stages that are to be made, in words, where not all are.
    pub(crate) fn only(&self) -> Option<String> {
        self.only.map(|only| only.iter().map(|stage| stage.name()).collect::<Vec<_>>().join(", "))
    }

    /// How long a result is waited for that another run is making.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.patience
    }

    /// Tells the caller.
    pub fn tell(&self, event: &Event) {
        self.observer.event(event);
    }

    /// Tells the caller about something unexpected.
    pub fn warn(&self, message: impl Into<String>) {
        self.tell(&Event::Warning { message: message.into() });
    }

    /// Reports progress and stops if the caller asked for it.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn advance(&self, stage: Stage, done: f64, total: usize) -> Result<()> {
        self.tell(&Event::Advanced { stage, done, total });
        self.check()
    }

    /// Stops if the caller asked for it.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn check(&self) -> Result<()> {
        self.cancel.check()
    }

    /// The brake.
    #[must_use]
    pub fn cancel_token(&self) -> &'a CancelToken {
        self.cancel
    }
}

/// The largest memory the process has held so far, in bytes, where the system tells (Linux).
#[must_use]
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
