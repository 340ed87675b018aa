//! What the encoders are told, and the denoising loop.

use super::settings::settings;
use crate::Result;
use sampler::FlowMatch;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::str::FromStr;

/// The reference's negative prompt.
pub const NEGATIVE_PROMPT: &str = "细节模糊不清，字幕，作品，画作，画面，静止，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，杂乱的背景，三条腿，背景人很多，倒着走";

/// The reference's prompt.
pub const PROMPT: &str = "human in a scene";

settings! {
    /// What the encoders are told.
    #[heading = "Prompt"]
    pub struct Prompt, changed by PromptChanges {
        /// What to show.
        #[arg(long = "prompt")]
        positive: String [String] = PROMPT.to_owned(),
        /// What to avoid; used where the guidance scale isn't 1.
        #[arg(long = "negative-prompt")]
        negative: String [String] = NEGATIVE_PROMPT.to_owned(),
        /// Saved embeddings in place of the text encoder: a file that an earlier run wrote.
        #[arg(long = "prompt-embeddings")]
        embeddings: Option<PathBuf> [PathBuf] = None,
    }
}

settings! {
    /// How the denoising loop runs. What isn't said is as in the reference.
    #[heading = "Sampling"]
    pub struct Sampling, changed by SamplingChanges {
        /// Number of steps.
        #[arg(long)]
        steps: usize [usize] = 50,
        /// Guidance scale; 1 skips the negative branch.
        #[arg(long = "cfg")]
        cfg_scale: f64 [f64] = 1.5,
        /// Timestep shift.
        #[arg(long)]
        shift: f64 [f64] = 5.0,
        /// Seed of the initial noise: the same noise as PyTorch's CPU generator makes.
        #[arg(long)]
        seed: u64 [u64] = 0,
        /// Solver.
        #[arg(long)]
        solver: SolverName [SolverName] = SolverName::Euler,
        /// Step cache: skips steps whose change stays below a threshold (0.3 for I2V 720p).
        #[arg(long)]
        tea_cache: Option<TeaCacheSettings> [TeaCacheSettings] = None,
        /// Rounds the timestep to bf16 before the model sees it, as the reference's bf16 run does. Follows the preset.
        #[arg(skip)]
        bf16_timestep: bool [bool] = true,
        /// Keeps latents and predictions in bf16 from step to step, as the reference's bf16 run does. Follows models.dtype.
        #[arg(skip)]
        bf16_latents: bool [bool] = true,
    }
}

impl Sampling {
    /// What the reference's script uses: 50 Euler steps, guidance 1.5, shift 5, seed 0, everything in bf16.
    #[must_use]
    pub fn reference() -> Self {
        Self::default()
    }

    /// The schedule.
    ///
    /// # Errors
    /// When the number of steps or the shift is impossible.
    pub fn schedule(&self) -> Result<FlowMatch> {
        Ok(FlowMatch::new(self.steps, self.shift)?)
    }
}

impl SamplingChanges {
    /// Four LCM steps without guidance, for distilled few-step LoRAs.
    #[must_use]
    pub fn few_steps() -> Self {
        Self { steps: Some(4), cfg_scale: Some(1.0), solver: Some(SolverName::Lcm), ..Self::default() }
    }
}

/// A solver by name, for job files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum), value(rename_all = "lower"))]
#[serde(rename_all = "lowercase")]
pub enum SolverName {
    /// First-order steps: the reference.
    Euler,
    /// Second-order multistep.
    UniPc,
    /// Stochastic few-step rule for distilled weights.
    Lcm,
}

/// The step cache's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeaCacheSettings {
    /// Higher skips more steps (0.3 for I2V 720p).
    pub threshold: f64,
    /// The published name of the model the polynomial belongs to.
    #[serde(default = "real_model")]
    pub model: String,
}

/// The model that AniCrafter is built on.
fn real_model() -> String {
    sampler::TeaCacheModel::I2v14b720p.name().to_owned()
}

impl TeaCacheSettings {
    /// The threshold, for the model that AniCrafter is built on.
    #[must_use]
    pub fn new(threshold: f64) -> Self {
        Self { threshold, model: real_model() }
    }
}

impl FromStr for TeaCacheSettings {
    type Err = std::num::ParseFloatError;

    /// The threshold alone.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::new)
    }
}
