//! What does a job's work: a pipeline's session, or what a test puts in its place.

use pipeline::{Context, Error, Job, Session, Stage};
use std::path::PathBuf;
use std::sync::Arc;

/// What a job made.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// The files, the video first.
    pub files: Vec<PathBuf>,
    /// Frames of the video.
    pub frames: Option<usize>,
    /// Colour and difference where windows meet.
    pub drift: Vec<pipeline::windows::Drift>,
    /// The result against its condition.
    pub evaluation: Option<evaluation::Evaluation>,
}

/// Does a job's work, in the queue's own thread.
pub trait Worker: Send + 'static {
    /// Runs a job to its end. What is finished in its work folder isn't done again; `context` hears of every step and says when
    /// to stop.
    ///
    /// # Errors
    /// Whatever ends the job without a result. A panic is the job's end too, and not the queue's.
    fn run(&mut self, id: &str, job: &Job, context: Context<'_>) -> Result<Made, Error>;

    /// Seconds that the stages of a job will take, as far as that can be said before it runs.
    fn expect(&mut self, _: &Job) -> Vec<(Stage, f64)> {
        Vec::new()
    }

    /// Nothing waits: memory may be given back.
    fn release(&mut self) {}
}

/// Runs jobs in a [`Session`].
#[derive(Debug)]
pub struct SessionWorker(Arc<Session>);

impl SessionWorker {
    /// In this session.
    #[must_use]
    pub fn new(session: Arc<Session>) -> Self {
        Self(session)
    }
}

impl Worker for SessionWorker {
    fn run(&mut self, _: &str, job: &Job, context: Context<'_>) -> Result<Made, Error> {
        if memory_is_short() {
            self.0.release();
        }
        let finished = self.0.run(job, context)?;
        let mut files = finished.written;
        let mut made = Made { evaluation: finished.evaluation, ..Made::default() };
        if let Some(condition) = &finished.condition {
            made.frames = Some(condition.frames);
        }
        if let Some(outcome) = finished.outcome {
            made.frames = outcome.condition.blend().ok().map(|blend| blend.len());
            made.drift = outcome.drift;
            // The report's own film of the condition, for the slider.
            let condition = job.work_dir().join("condition.mp4");
            let beside = pipeline::beside(&job.output.video, "condition");
            if condition.is_file() {
                pipeline::work::copy_atomically(&condition, &beside)?;
                files.push(beside);
            }
        }
        made.files = files;
        Ok(made)
    }

    fn expect(&mut self, job: &Job) -> Vec<(Stage, f64)> {
        expected(&self.0, job)
    }

    fn release(&mut self) {
        self.0.release();
    }
}

/// What a session reckons that a job's stages will take: nothing for one that ends before the models, or can't be tried.
pub(crate) fn expected(session: &Session, job: &Job) -> Vec<(Stage, f64)> {
    if job.output.until.is_some() {
        return Vec::new();
    }
    session.estimate(job).map(|estimate| estimate.stages).unwrap_or_default()
}

/// Less than a seventh of the machine's memory is free, where the system tells (Linux): models that were kept for the next job go.
fn memory_is_short() -> bool {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    };
    kib("MemAvailable:").zip(kib("MemTotal:")).is_some_and(|(free, all)| free < all / 7)
}
