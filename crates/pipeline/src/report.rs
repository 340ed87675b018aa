//! The report page of a finished run.

use crate::animate::Outcome;
use crate::composite::gray;
use crate::job::{FirstFrame, Job};
use crate::run::write_frames;
use crate::work::{FrameFile, write_atomically};
use crate::{Error, Replaced, Result, frame_rate};
use evaluation::Evaluation;
use evaluation::report::Report;
use media::{VideoReader, VideoWriter, WriteOptions};
use std::path::{Path, PathBuf};

pub use evaluation::report::StageRow;

/// What a page shows beside the run itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// What the reader must know.
    pub note: Option<&'a str>,
    /// The raw video that the job's background and motion were made of.
    pub raw: Option<&'a Replaced>,
}

/// Writes the page of a run whose video is written, and gives back how the result compares with its condition.
///
/// # Errors
/// When a file of the run can't be read, or the page can't be written.
pub fn write(job: &Job, outcome: &Outcome, extras: &Extras<'_>, path: &Path) -> Result<Evaluation> {
    let evaluation = against_condition(job, outcome)?;
    let page = page(job, outcome, extras, evaluation.clone())?;
    write_atomically(path, page.to_html()?.as_bytes())?;
    Ok(evaluation)
}

/// What the page shows. Its videos of condition and body lie in the work folder.
fn page(job: &Job, outcome: &Outcome, extras: &Extras<'_>, evaluation: Evaluation) -> Result<Report> {
    let work = job.work_dir();
    let video = |name: &str, frames: FrameFile| -> Result<PathBuf> {
        let path = work.join(format!("{name}.mp4"));
        write_frames(frames, outcome.fps, &path)?;
        Ok(path)
    };
    let condition = video("condition", outcome.condition.blend()?)?;
    let body = video("body", outcome.condition.mesh()?)?;
    let result = shown(&job.output.video, outcome.fps, work.join("result.mp4"))?;
    let title = job.output.video.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Report {
        title: format!("AniCrafter: {title}"),
        note: extras.note.map(str::to_owned),
        reference: Some(outcome.condition.reference_path()),
        body: Some(body),
        condition,
        result,
        raw: extras.raw.map(|made| made.section(job)).transpose()?,
        fps: outcome.fps,
        stages: outcome.stages.clone(),
        light: outcome.condition.light_notes().to_vec(),
        metrics: vec![("Result against the condition".to_owned(), evaluation)],
        settings: toml::to_string_pretty(job).map_err(|e| Error::Settings(e.to_string()))?,
        environment: vec![
            ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("system".to_owned(), format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
            ("threads".to_owned(), rayon::current_num_threads().to_string()),
            ("device".to_owned(), job.models.device.clone()),
        ],
    })
}

/// The result as a video that a browser plays: itself, or a copy as mp4 at `copy`.
fn shown(result: &Path, fps: f64, copy: PathBuf) -> Result<PathBuf> {
    let extension = result.extension().map(|e| e.to_string_lossy().to_lowercase());
    if matches!(extension.as_deref(), Some("mp4" | "m4v" | "mov")) {
        return Ok(result.to_owned());
    }
    let mut writer = VideoWriter::create(&copy, WriteOptions::new(frame_rate(fps)?))?;
    for frame in VideoReader::open(result)? {
        writer.push(&frame?)?;
    }
    writer.finish()?;
    Ok(copy)
}

/// The result measured against the frames that it was conditioned on.
fn against_condition(job: &Job, outcome: &Outcome) -> Result<Evaluation> {
    let result = VideoReader::open(&job.output.video)?.map(|frame| Ok::<_, Error>(frame?));
    let mut blend = outcome.condition.blend()?;
    let mut mask = outcome.condition.mask()?;
    let count = blend.len();
    let shift = usize::from(job.video.first_frame == FirstFrame::Keep);
    let blends = (0..count).map(|i| blend.frame(i.saturating_sub(shift)));
    let masks = (0..count).map(|i| Ok(gray(&mask.frame(i.saturating_sub(shift))?)));
    let seam = (job.video.height / 90).max(2);
    evaluation::evaluate(result, blends, Some(masks), seam, &[])
}
