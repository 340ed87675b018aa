//! What each stage of a job takes: memory and time, for schedulers.

use crate::estimate::Estimate;
use crate::job::Job;
use crate::models::{GIB, ModelSet, Wanted};
use crate::progress::Stage;
use crate::{Result, StageNode};
use media::VideoReader;

/// What a stage of a job takes.
#[derive(Clone, Debug, PartialEq)]
pub struct StageNeeds {
    /// The stage, and what it waits for.
    pub node: StageNode,
    /// Does it spend its time in a model, which a graphics processor runs faster where there is one?
    pub uses_models: bool,
    /// Bytes of memory at its peak, by the plan; rather too many.
    pub memory_bytes: u64,
    /// Seconds on this machine; `None` where that can't be reckoned before the stages in front of it have run.
    pub seconds: Option<f64>,
    /// Seconds from one moment to the next at which the stage can be stopped without losing what it has; `None` as above.
    pub stops_within: Option<f64>,
}

/// What the program takes besides, and its threads.
const PROGRAM: f64 = 0.25 * GIB;
/// Bytes for each pixel of a raw video while masks, motion, plate and light are found: 780 MiB at 1360 × 768 (docs/performance.md).
const FOUND: f64 = 640.0;
/// Bytes for each pixel while frames are rendered or joined: 157 MiB at 1360 × 768.
const FRAMES: f64 = 160.0;
/// Activations of the autoencoder's widest level that are in memory together; measured with the small one at 640 × 384, between six
/// and seven.
const LIVE: f64 = 8.0;

/// What the stages of a job take. `estimate` is the job's, where it goes as far as its models.
pub(crate) fn needs(job: &Job, estimate: Option<&Estimate>) -> Result<Vec<StageNeeds>> {
    let raw = job.replace.as_ref().map_or(0.0, |raw| pixels_of(&raw.video));
    let own = f64::from(job.video.width) * f64::from(job.video.height);
    let pixels = if own > 0.0 { own } else { pixels_of(job.sound_from()) };
    let models = match job.output.until {
        None => Some(ModelMemory::of(job, pixels)?),
        Some(_) => None,
    };
    let avatars: u64 = job
        .input
        .actors
        .iter()
        .filter_map(|actor| std::fs::metadata(&actor.avatar).ok())
        .map(|m| m.len())
        .sum();
    let each = |node: StageNode| {
        let stage = node.stage;
        let of_models = models.as_ref().and_then(|models| models.stage(stage));
        let memory = PROGRAM
            + of_models.unwrap_or(match stage {
                Stage::Masks | Stage::Motion | Stage::Plate | Stage::Light => FOUND * raw,
                _ => FRAMES * pixels + 4.0 * avatars as f64,
            });
        let reckoned =
            estimate.and_then(|estimate| estimate.stages.iter().find(|(known, _)| *known == stage));
        let seconds = reckoned.map(|(_, seconds)| *seconds);
        let parts = match (estimate, &models) {
            (Some(estimate), Some(models)) if stage == Stage::Denoise => {
                estimate.windows * job.sampling.steps * models.blocks
            }
            (Some(estimate), _) => estimate.frames.unwrap_or(estimate.windows * job.video.window),
            _ => 1,
        };
        let stops_within = seconds.map(|seconds| seconds / parts.max(1) as f64);
        StageNeeds {
            node,
            uses_models: of_models.is_some(),
            memory_bytes: memory as u64,
            seconds,
            stops_within,
        }
    };
    Ok(job.stages().into_iter().map(each).collect())
}

/// Pixels of a video's frame; those of full HD where it can't be opened.
fn pixels_of(video: &std::path::Path) -> f64 {
    let size = VideoReader::open(video).map(|reader| reader.info().size());
    let (width, height) = size.unwrap_or((1920, 1080));
    f64::from(width) * f64::from(height)
}

/// Bytes that the stages with models take.
struct ModelMemory {
    text: f64,
    condition: f64,
    image: f64,
    denoise: f64,
    decode: f64,
    /// The transformer's blocks.
    blocks: usize,
}

impl ModelMemory {
    fn of(job: &Job, pixels: f64) -> Result<Self> {
        let set = ModelSet::new(&job.models)?;
        let bytes = |wanted| set.bytes(wanted).map(|bytes| bytes as f64);
        let (plan, vae) = (set.plan(job)?, set.vae_config());
        // A latent frame's pictures at the widest level, in f32.
        let level = pixels * vae.temporal_factor() as f64 * vae.dim as f64 * 4.0;
        let window = pixels * job.video.window as f64 * 3.0 * 4.0;
        let text = if job.prompt.embeddings.is_some() { 0.0 } else { bytes(Wanted::Text)? };
        Ok(Self {
            text: text * 1.1,
            image: bytes(Wanted::Image)? * 1.2,
            condition: bytes(Wanted::Encoder)? + bytes(Wanted::Embedders)? + LIVE * level + 3.0 * window,
            denoise: plan.weight_bytes as f64 + plan.activation_bytes as f64,
            decode: bytes(Wanted::Decoder)? + LIVE * level + window,
            blocks: set.dit_config().num_layers,
        })
    }

    fn stage(&self, stage: Stage) -> Option<f64> {
        match stage {
            Stage::Text => Some(self.text),
            Stage::Image => Some(self.image),
            Stage::Condition => Some(self.condition),
            Stage::Denoise => Some(self.denoise),
            Stage::Decode => Some(self.decode),
            Stage::Masks | Stage::Motion | Stage::Plate | Stage::Light | Stage::Composite | Stage::Finish => {
                None
            }
        }
    }
}
