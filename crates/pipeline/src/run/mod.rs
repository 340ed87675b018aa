//! One job from its files to what it writes, however far it goes.

mod condition_video;
mod export;

use crate::animate::{Outcome, animate_as_far};
use crate::finish::write_video;
use crate::job::{Job, Until};
use crate::models::{ModelCache, ModelSet};
use crate::progress::{Context, Event, Stage};
use crate::ranks::Ranks;
use crate::replace::{Replaced, found_until, replace};
use crate::report::{self, Extras, StageRow};
use crate::stages::Run;
use crate::work::FrameFile;
use crate::{Error, Result, frame_rate};
use avatar_render::RendererChoice;
use media::{VideoWriter, WriteOptions};
use std::path::{Path, PathBuf};

pub use condition_video::ConditionVideo;

/// What a job made and measured.
#[derive(Clone, Debug, Default)]
pub struct Finished {
    /// The files that were written, the job's output first.
    pub written: Vec<PathBuf>,
    /// Time and memory by stage.
    pub stages: Vec<StageRow>,
    /// What was found in the raw video, where there was one.
    pub replaced: Option<Replaced>,
    /// The condition video, where the job ended with it.
    pub condition: Option<ConditionVideo>,
    /// The whole run, where nothing ended it before.
    pub outcome: Option<Outcome>,
    /// The result against its condition, where a report was written.
    pub evaluation: Option<evaluation::Evaluation>,
}

/// Makes some stages of a job alone, from what its folders have of the others.
pub(crate) fn run_stages(
    job: &Job,
    renderer: RendererChoice,
    cache: &ModelCache,
    note: Option<&str>,
    ranks: Ranks<'_>,
    (stages, context): (&[Stage], Context<'_>),
) -> Result<Finished> {
    let refuse = |why: String| Err(Error::Option { option: "only", why });
    let known = job.stages();
    let has = known.iter().map(|node| node.stage.name()).collect::<Vec<_>>().join(", ");
    if let Some(stage) = stages.iter().find(|stage| known.iter().all(|node| node.stage != **stage)) {
        return refuse(format!("the job has no stage {}: it has {has}", stage.name()));
    }
    if stages.is_empty() {
        return refuse(format!("no stage is named: the job has {has}"));
    }
    run(job, renderer, cache, note, ranks, context.with_only(stages))
}

/// Runs a job. `note` is what a report's reader must know.
pub(crate) fn run(
    job: &Job,
    renderer: RendererChoice,
    cache: &ModelCache,
    note: Option<&str>,
    ranks: Ranks<'_>,
    context: Context<'_>,
) -> Result<Finished> {
    job.validate()?;
    if job.output.until.is_none() {
        ranks.check(job)?;
    }
    crate::inspect(job).clean()?;
    for (_, path) in job.outputs() {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|source| Error::Io { path: folder.to_owned(), source })?;
        }
    }
    let mut finished = Finished::default();
    if context.makes_only(Stage::Text) {
        // The prompt is all that it takes.
        let mut run = Run::new(job, ModelSet::new(&job.models)?, cache, context)?;
        run.text()?;
        finished.stages = run.stages;
        return Ok(finished);
    }
    let furthest = if context.goes_to(Stage::Plate) {
        Stage::Plate
    } else if context.goes_to(Stage::Motion) {
        Stage::Motion
    } else {
        Stage::Masks
    };
    let until = found_until(job).min(furthest);
    let replaced = job.replace.as_ref().map(|_| replace(job, until, context)).transpose()?;
    let mut filled = match &replaced {
        Some(found) => found.fill(job),
        None => {
            let (filled, painted) = crate::strokes::fill(job, context)?;
            finished.stages.extend(painted);
            filled
        }
    };
    if let Some(found) = &replaced {
        finished.stages.extend(found.stages.iter().cloned());
        if context.goes_to(Stage::Light) && matches!(job.output.until, None | Some(Until::Composite)) {
            found.check_actors(job)?;
            finished.stages.extend(crate::light::find::fill(&mut filled, found, context)?);
        }
    }
    if !context.goes_to(Stage::Composite) {
        finished.replaced = replaced;
        return Ok(finished);
    }
    match job.output.until {
        Some(Until::Masks) => export::masks(job, &replaced, context)?,
        Some(Until::Motion) => export::motion(job, &replaced)?,
        Some(Until::Plate) => export::plate(job, &replaced, context)?,
        Some(Until::Composite) => {
            let made = condition_video::write(&filled, renderer, context)?;
            finished.stages.push(made.stage.clone());
            finished.condition = Some(made);
        }
        None => {
            let (rows, outcome) = to_video(&filled, renderer, cache, ranks, context)?;
            finished.stages.extend(rows);
            let Some(outcome) = outcome else {
                finished.replaced = replaced;
                return Ok(finished);
            };
            if job.output.report {
                let path = job.output.video.with_extension("html");
                let extras = Extras { note, raw: replaced.as_ref() };
                finished.evaluation = Some(report::write(&filled, &outcome, &extras, &path)?);
            }
            finished.outcome = Some(outcome);
        }
    }
    finished.written =
        job.outputs().into_iter().filter(|(name, _)| *name != "output.work").map(|o| o.1).collect();
    // The video and its panels were told when they were finished.
    let told = if job.output.until.is_none() { 1 + usize::from(job.output.panels) } else { 0 };
    for path in &finished.written[told..] {
        context.tell(&Event::Wrote { path: path.clone() });
    }
    finished.replaced = replaced;
    Ok(finished)
}

/// The whole way, to the video and what is written beside it; or as far as `context` lets it go, which gives no outcome.
fn to_video(
    job: &Job,
    renderer: RendererChoice,
    cache: &ModelCache,
    ranks: Ranks<'_>,
    context: Context<'_>,
) -> Result<(Vec<StageRow>, Option<Outcome>)> {
    let (rows, outcome) = animate_as_far(ranks, job, renderer, cache, context)?;
    let Some(mut outcome) = outcome.filter(|_| context.makes(Stage::Finish)) else {
        return Ok((rows, None));
    };
    for (i, drift) in outcome.drift.iter().enumerate() {
        let [r, g, b] = drift.colour;
        context.warn(format!(
            "window {} → {}: colour shift R {r:+.2} G {g:+.2} B {b:+.2}, mean difference {:.2} of 255",
            i + 1,
            i + 2,
            drift.difference
        ));
    }
    write_video(job, &mut outcome, context)?;
    let beside =
        [(&job.output.mesh, outcome.condition.mesh()?), (&job.output.mask, outcome.condition.mask()?)];
    for (path, frames) in beside {
        if let Some(path) = path {
            write_frames(frames, outcome.fps, path)?;
        }
    }
    Ok((outcome.stages.clone(), Some(outcome)))
}

/// Frames of the work folder as a video.
pub(crate) fn write_frames(mut frames: FrameFile, fps: f64, path: &Path) -> Result<()> {
    let mut writer = VideoWriter::create(path, WriteOptions::new(frame_rate(fps)?))?;
    for i in 0..frames.len() {
        writer.push(&frames.frame(i)?)?;
    }
    writer.finish()?;
    Ok(())
}
