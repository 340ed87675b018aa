//! The whole job, stage by stage.

use crate::condition_files::ConditionFiles;
use crate::job::{FirstFrame, Job};
use crate::models::{ModelCache, ModelSet};
use crate::progress::{Context, Stage};
use crate::ranks::Ranks;
use crate::report::StageRow;
use crate::stages::{DecodedWindow, Run};
use crate::windows::{Drift, windows};
use crate::{DetailTransfer, Error, Result};
use avatar_render::RendererChoice;

/// What a run made and measured.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The condition's files in the work folder.
    pub condition: ConditionFiles,
    /// The decoded windows, in order.
    pub decoded: Vec<DecodedWindow>,
    /// Time and memory by stage.
    pub stages: Vec<StageRow>,
    /// Colour and difference where neighbouring windows overlap, before anything is corrected.
    pub drift: Vec<Drift>,
    /// Frames a second.
    pub fps: f64,
    /// How the weights want detail transfer to be done.
    pub detail_transfer: DetailTransfer,
}

/// Runs a job up to the decoded windows; what is finished in the work folder isn't done again, and
/// models that `cache` holds aren't loaded again.
///
/// # Errors
/// The first thing that goes wrong in any stage, or [`Error::Cancelled`].
pub fn animate(
    job: &Job,
    renderer: RendererChoice,
    cache: &ModelCache,
    context: Context<'_>,
) -> Result<Outcome> {
    let (_, outcome) = animate_as_far(Ranks::One, job, renderer, cache, context)?;
    outcome.ok_or(Error::Internal("a run that was to go all the way"))
}

/// As [`animate`], as far as `context` lets it go: no outcome where that is before the decoded windows. The transformer's work is
/// divided among `ranks`.
pub(crate) fn animate_as_far(
    ranks: Ranks<'_>,
    job: &Job,
    renderer: RendererChoice,
    cache: &ModelCache,
    context: Context<'_>,
) -> Result<(Vec<StageRow>, Option<Outcome>)> {
    job.validate_whole()?;
    for lora in crate::inspect::inspect_whole(job).clean()?.loras {
        context.warn(lora.to_string());
    }
    for advice in job.advice() {
        context.warn(advice);
    }
    let models = ModelSet::new(&job.models)?;
    if !models.is_trained() {
        context.warn("the small diffusion weights are untrained (models.untrained): the person in the result is noise, not a restored picture");
    }
    let mut run = Run { ranks, ..Run::new(job, models, cache, context)? };
    let (composite_key, condition) = run.composite(renderer)?;
    // Some machine may make the text meanwhile: who doesn't need it doesn't ask for it.
    let needs_text = context.makes(Stage::Text) || context.goes_to(Stage::Denoise);
    let text = needs_text.then(|| run.text()).transpose()?;
    if !context.goes_to(Stage::Image) {
        return Ok((run.stages, None));
    }
    let image = run.image(&composite_key, &condition)?;
    if !context.goes_to(Stage::Condition) {
        return Ok((run.stages, None));
    }
    let content = match job.video.first_frame {
        FirstFrame::Keep => condition.len().saturating_sub(1),
        FirstFrame::Drop => condition.len(),
    };
    // Windows don't depend on each other: each stage does them all while its models are in memory.
    let windows = windows(content.max(1), job.video.window - 1, job.video.overlap, run.strides());
    let conditioned = run.condition(&windows, &composite_key, &condition)?;
    let (Some(text), true) = (text, context.goes_to(Stage::Denoise)) else {
        return Ok((run.stages, None));
    };
    let denoised = run.denoise(&conditioned, &text, &image)?;
    if !context.goes_to(Stage::Decode) {
        return Ok((run.stages, None));
    }
    let decoded = run.decode(&windows, &conditioned, &denoised)?;
    let drift = crate::finish::measure_drift(&decoded, condition.dimensions())?;
    let fps = condition.fps();
    let detail_transfer = run.models.detail_transfer().clone();
    let rows = run.stages.clone();
    Ok((rows, Some(Outcome { condition, decoded, stages: run.stages, drift, fps, detail_transfer })))
}

/// Runs a job up to the condition video only.
///
/// # Errors
/// The first thing that goes wrong, or [`Error::Cancelled`].
pub fn composite(job: &Job, renderer: RendererChoice, context: Context<'_>) -> Result<ConditionFiles> {
    let models = ModelSet::new(&job.models)?;
    let cache = ModelCache::none();
    let mut run = Run::new(job, models, &cache, context)?;
    Ok(run.composite(renderer)?.1)
}
