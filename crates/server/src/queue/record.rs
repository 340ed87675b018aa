//! A job of the queue: what is kept of it on disk, and what is known of it while it runs.

use super::Order;
use super::figures::Figures;
use super::progress::Progress;
use super::rates::Learned;
use super::worker::Made;
use crate::error::{ApiError, ApiResult};
use crate::library::Library;
use pipeline::{Event, Job};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::path::{Path, PathBuf};
use utoipa::ToSchema;

/// Warnings that are kept of a job.
const MOST_WARNINGS: usize = 60;

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for its turn.
    Queued,
    /// It runs.
    Running,
    /// It was stopped, and goes on when somebody says so.
    Paused,
    /// Its video is there.
    Completed,
    /// It ended without one.
    Failed,
    /// It was given up.
    Cancelled,
}

impl State {
    /// Will nothing more come of it by itself?
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Queued => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why a job has no video.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// For programs: `cancelled`, `no_room`, `file_missing`, `invalid_job`, `failed`, `panicked`, `stopped_the_server`.
    pub code: String,
    /// What happened and what to do.
    pub message: String,
}

impl Failure {
    fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }

    /// A run's error.
    pub(crate) fn of(error: &pipeline::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, NotFound, QuotaExceeded, StorageFull};
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        let mut kind = None;
        while let Some(at) = cause {
            kind = kind.or_else(|| at.downcast_ref::<std::io::Error>().map(std::io::Error::kind));
            cause = at.source();
        }
        let code = match (error, kind) {
            (pipeline::Error::Cancelled, _) => "cancelled",
            (_, Some(StorageFull | QuotaExceeded | FileTooLarge)) => {
                return Self::no_room(&format!("the disk is full: {error}"));
            }
            (_, Some(NotFound)) => "file_missing",
            (pipeline::Error::Option { .. } | pipeline::Error::Findings(_), _) => "invalid_job",
            _ => "failed",
        };
        Self::new(code, error.to_string())
    }

    pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let said = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Self::new("panicked", format!("a fault of the program ended the job, please report it: {said}"))
    }

    pub(crate) fn no_room(why: &str) -> Self {
        Self::new(
            "no_room",
            format!("{why}. The job is paused and keeps what it has: make room and resume it"),
        )
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.code == "cancelled"
    }

    pub(crate) fn is_no_room(&self) -> bool {
        self.code == "no_room"
    }
}

/// A job of the queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its identifier.
    pub id: String,
    /// What the user calls it.
    pub title: String,
    /// How it stands.
    pub state: State,
    /// When it was taken in, in seconds since 1970.
    pub created_at: u64,
    /// When it began last.
    pub started_at: Option<u64>,
    /// When it ended.
    pub completed_at: Option<u64>,
    /// Lower ones come first.
    pub(crate) order: i64,
    /// How often it was begun, and how often the program ended while it ran.
    pub(crate) attempts: u32,
    pub(crate) crashes: u32,
    pub(crate) model: String,
    pub(crate) prompt: String,
    pub(crate) size: String,
    pub(crate) seconds: Option<f64>,
    pub(crate) frames: Option<usize>,
    pub(crate) remixed_from: Option<String>,
    /// Why it has no video, or why it was paused.
    pub error: Option<Failure>,
    /// What the run had to say.
    pub warnings: Vec<String>,
    /// What was made: names in the result's folder, the video first.
    pub(crate) files: Vec<String>,
    /// Figures of quality.
    pub figures: Option<Figures>,
    /// How far it is.
    #[serde(default)]
    pub progress: Progress,
    /// The rough picture of the denoising so far.
    #[serde(skip)]
    pub(crate) preview: Option<(usize, PathBuf)>,
    #[serde(skip)]
    pub(crate) version: u64,
    /// When those who listen were last told, in milliseconds.
    #[serde(skip)]
    told_ms: u64,
}

/// Those who listen are told of small steps at most this often.
const TELL_EVERY_MS: u64 = 150;

impl Record {
    pub(crate) fn new(id: &str, order: Order, job: &Job, now: u64) -> Self {
        Self {
            id: id.to_owned(),
            title: order.title,
            state: if order.paused { State::Paused } else { State::Queued },
            created_at: now,
            started_at: None,
            completed_at: None,
            order: 0,
            attempts: 0,
            crashes: 0,
            model: order.model,
            prompt: job.prompt.positive.clone(),
            size: order.size,
            seconds: order.seconds,
            frames: order.frames,
            remixed_from: order.remixed_from,
            error: None,
            warnings: Vec::new(),
            files: Vec::new(),
            figures: None,
            progress: Progress::default(),
            preview: None,
            version: 0,
            told_ms: 0,
        }
    }

    /// Where it lies.
    pub(crate) fn path(library: &Library, id: &str) -> PathBuf {
        library.own("queue").join(format!("{id}.json"))
    }

    pub(crate) fn save(&self, library: &Library) -> ApiResult<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| ApiError::internal(e.to_string()))?;
        pipeline::work::write_atomically(&Self::path(library, &self.id), &text).map_err(|error| match error {
            pipeline::Error::Io { source, .. } => ApiError::io(&source),
            other => ApiError::internal(other.to_string()),
        })
    }

    /// What becomes of it when the program starts: a job that ran when the last one ended goes on, unless it may be what ended it.
    pub(crate) fn after_restart(&mut self, most_crashes: u32, now: u64) {
        if self.state != State::Running {
            return;
        }
        self.crashes += 1;
        if self.crashes < most_crashes {
            self.state = State::Queued;
            self.order = i64::MIN / 2;
            return;
        }
        let why = format!(
            "the program ended {} times while this job ran, perhaps for want of memory: try it smaller, or resume it",
            self.crashes
        );
        self.stop(State::Failed, Some(Failure::new("stopped_the_server", why)), now);
    }

    pub(crate) fn begin(&mut self, now: u64) {
        self.state = State::Running;
        self.started_at = Some(now);
        self.attempts += 1;
        self.error = None;
        self.warnings.clear();
        self.preview = None;
    }

    /// It is tried once more.
    pub(crate) fn again(&mut self) {
        self.error = None;
        self.completed_at = None;
        self.crashes = 0;
    }

    pub(crate) fn stop(&mut self, state: State, why: Option<Failure>, now: u64) {
        self.state = state;
        self.progress.stand();
        if state.is_over() {
            self.completed_at = Some(now);
        }
        // It wasn't the job that ended the program.
        self.crashes = if state == State::Failed { self.crashes } else { 0 };
        if state == State::Queued {
            // It goes on where it was before others begin.
            self.order = i64::MIN / 2;
        }
        self.error = why;
    }

    /// Takes an event in; are those who listen to be told?
    pub(crate) fn hear(&mut self, event: &Event, now_ms: u64) -> bool {
        match event {
            Event::Warning { message }
                if self.warnings.len() < MOST_WARNINGS && !self.warnings.contains(message) =>
            {
                self.warnings.push(message.clone());
            }
            Event::Preview { step, path } => self.preview = Some((*step, path.clone())),
            _ => {}
        }
        self.progress.hear(event, now_ms);
        let small = matches!(event, Event::Advanced { .. });
        if small && now_ms.saturating_sub(self.told_ms) < TELL_EVERY_MS {
            return false;
        }
        self.told_ms = now_ms;
        true
    }

    /// It has its video; what the run teaches of this machine comes back.
    pub(crate) fn finish(&mut self, made: Made, folder: &Path, now: u64) -> Vec<Learned> {
        self.state = State::Completed;
        self.completed_at = Some(now);
        self.error = None;
        self.crashes = 0;
        self.files = made
            .files
            .iter()
            .filter_map(|path| path.strip_prefix(folder).ok()?.to_str().map(str::to_owned))
            .collect();
        self.figures = Some(Figures::of(&made));
        self.frames = made.frames.or(self.frames);
        // A run that went on from an earlier one did only a part of the work.
        let learned = if self.attempts == 1 { self.progress.learned() } else { Vec::new() };
        self.progress.finish();
        learned
    }
}
