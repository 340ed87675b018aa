//! What does a job's work: a pipeline's session, or what a test puts in its place.

use pipeline::{Context, Error, Job, Session};
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
}
