//! What the encoders are told, and the denoising loop.

use super::StepCacheSettings;
use super::settings::settings;
use crate::{Error, Result};
use sampler::{FewStep, FlowMatch, SolverKind, StepCache};
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
        /// The preset that goes with LoRAs for few steps: steps, noise levels, solver, guidance, and how strong the LoRAs are.
        #[arg(long)]
        few_step: Option<FewStepName> [FewStepName] = None,
        /// Number of steps.
        #[arg(long)]
        steps: usize [usize] = 50,
        /// Guidance scale; 1 skips the negative branch.
        #[arg(long = "cfg")]
        cfg_scale: f64 [f64] = 1.5,
        /// Guides only between two noise levels, LOWEST,HIGHEST of 0 to 1: outside, the negative branch isn't run.
        #[arg(long)]
        guidance_interval: Option<Interval> [Interval] = None,
        /// Timestep shift; without effect where the noise levels are listed.
        #[arg(long)]
        shift: f64 [f64] = 5.0,
        /// The noise levels, one a step, falling from 1 or less, in place of the shifted ones; the last step lands at 0.
        #[arg(long, value_delimiter = ',', conflicts_with = "steps")]
        sigmas: Option<Vec<f64>> [Vec<f64>] = None,
        /// What the model is told at each step, falling from 1000 or less. Without listed noise levels, these are 1000 times them.
        #[arg(long, value_delimiter = ',', conflicts_with = "steps")]
        timesteps: Option<Vec<f64>> [Vec<f64>] = None,
        /// Seed of the initial noise: the same noise as PyTorch's CPU generator makes.
        #[arg(long)]
        seed: u64 [u64] = 0,
        /// Solver.
        #[arg(long)]
        solver: SolverName [SolverName] = SolverName::Euler,
        /// Leaves steps out that can be had from earlier ones: `tea`, `easy`, `taylor`, or as in `tea=0.3`, `easy=0.05`
        /// (thresholds), `taylor=3` (every third step runs).
        #[arg(long)]
        step_cache: Option<StepCacheSettings> [StepCacheSettings] = None,
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

    /// Takes over what a preset for few-step weights says; the seed stays.
    pub fn use_few_step(&mut self, name: FewStepName) {
        let preset = name.preset();
        let list = |values: &[f32]| Some(values.iter().copied().map(shortest).collect());
        let timesteps: Vec<f32> =
            preset.sigmas.iter().map(|sigma| preset.rounding.round(sigma * 1000.0)).collect();
        *self = Self {
            few_step: Some(name),
            steps: preset.steps(),
            cfg_scale: preset.cfg_scale,
            guidance_interval: None,
            shift: preset.shift,
            sigmas: list(preset.sigmas),
            timesteps: list(&timesteps),
            seed: self.seed,
            solver: preset.solver.into(),
            bf16_timestep: false,
            bf16_latents: false,
            step_cache: None,
        };
    }

    /// The preset that the numbers come from.
    #[must_use]
    pub fn preset(&self) -> Option<&'static FewStep> {
        self.few_step.map(FewStepName::preset)
    }

    /// The schedule.
    ///
    /// # Errors
    /// When the number of steps, the shift or a list is impossible.
    pub fn schedule(&self) -> Result<FlowMatch> {
        let refuse = |option, why: String| Err(Error::Option { option, why });
        let narrow = |list: &[f64]| -> Vec<f32> { list.iter().map(|&value| value as f32).collect() };
        for (option, list) in [("sampling.sigmas", &self.sigmas), ("sampling.timesteps", &self.timesteps)] {
            if let Some(list) = list
                && list.len() != self.steps
            {
                return refuse(option, format!("lists {} values for {} steps", list.len(), self.steps));
            }
        }
        let schedule = match (&self.sigmas, &self.timesteps) {
            (None, None) => return Ok(FlowMatch::new(self.steps, self.shift)?),
            (None, Some(timesteps)) => FlowMatch::from_timesteps(narrow(timesteps)),
            (Some(sigmas), None) => FlowMatch::from_sigmas(narrow(sigmas)),
            (Some(sigmas), Some(timesteps)) => {
                FlowMatch::from_sigmas(narrow(sigmas)).and_then(|s| s.with_timesteps(narrow(timesteps)))
            }
        };
        match schedule {
            Ok(schedule) => Ok(schedule),
            Err(error) if self.sigmas.is_some() => refuse("sampling.sigmas", error.to_string()),
            Err(error) => refuse("sampling.timesteps", error.to_string()),
        }
    }

    /// Predictions of a step: with guidance two, one by the prompt and one by the negative prompt.
    #[must_use]
    pub fn branches(&self) -> usize {
        if self.cfg_scale == 1.0 { 1 } else { 2 }
    }

    /// Is guidance on at a noise level?
    #[must_use]
    pub fn guides(&self, sigma: f32) -> bool {
        let within = |i: Interval| (i.low as f32..=i.high as f32).contains(&sigma);
        self.cfg_scale != 1.0 && self.guidance_interval.is_none_or(within)
    }

    /// Checks everything that can be checked before the loop.
    ///
    /// # Errors
    /// [`Error::Option`] for the first setting that can't be honoured.
    pub fn validate(&self) -> Result<()> {
        let refuse = |option, why: String| Err(Error::Option { option, why });
        if self.steps == 0 {
            return refuse("sampling.steps", "must be at least 1".to_owned());
        }
        if !self.cfg_scale.is_finite() {
            return refuse("sampling.cfg_scale", format!("must be a finite number, got {}", self.cfg_scale));
        }
        if let Some(Interval { low, high }) = self.guidance_interval {
            let why = if !(0.0 <= low && low <= high && high <= 1.0) {
                format!("must be two noise levels, 0 ≤ lowest ≤ highest ≤ 1, got {low} and {high}")
            } else if self.cfg_scale == 1.0 {
                "has no effect with a guidance scale of 1 (sampling.cfg_scale, --cfg)".to_owned()
            } else {
                String::new()
            };
            if !why.is_empty() {
                return refuse("sampling.guidance_interval", why);
            }
        }
        self.step_cache()?;
        self.schedule().map(|_| ())
    }

    /// The step cache, ready for the first step.
    ///
    /// # Errors
    /// [`Error::Option`] or [`Error::TeaCacheModel`] when its settings are impossible.
    pub fn step_cache(&self) -> Result<Option<StepCache>> {
        self.step_cache.as_ref().map(|cache| Ok(StepCache::new(cache.kind()?, self.steps)?)).transpose()
    }

    /// Settings that are legal but rarely wanted, in plain words. `loras` are the file names of the job's LoRAs.
    #[must_use]
    pub fn advice(&self, loras: &[String]) -> Vec<String> {
        let mut advice = Vec::new();
        if let Some(preset) = self.preset()
            && loras.len() < preset.loras.len()
        {
            let whats: Vec<&str> = preset.loras.iter().map(|lora| lora.what).collect();
            advice.push(format!(
                "the preset {} belongs to {} and {} LoRA files are named: right only if the weights contain it",
                preset.name,
                whats.join(" and "),
                loras.len()
            ));
        }
        let distilled = loras.iter().find(|name| sampler::looks_distilled(name));
        let why = match (self.preset(), distilled) {
            (_, Some(name)) => Some(format!("{name} looks like a LoRA for few steps without guidance")),
            (Some(preset), None) => {
                Some(format!("the preset {} is for few steps without guidance", preset.name))
            }
            (None, None) => None,
        };
        if let Some(why) = why {
            const MANY: usize = 15;
            if self.cfg_scale > 1.0 {
                advice.push(format!(
                    "{why}, and the guidance scale is {}: expect burnt colours; take --cfg 1",
                    self.cfg_scale
                ));
            }
            if self.steps > MANY {
                advice.push(format!(
                    "{why}, and {} steps are asked for: 4 to 10 give the same; see --few-step",
                    self.steps
                ));
            }
        }
        if self.step_cache.is_some() && self.steps < sampler::FEWEST_STEPS {
            advice.push(format!(
                "a step cache is of little use at {} steps: neighbouring steps differ too much below {}",
                self.steps,
                sampler::FEWEST_STEPS
            ));
        }
        advice
    }
}

impl SamplingChanges {
    /// Makes the changes in the order in which they depend on each other: a preset's numbers, then what is said beside it. Another
    /// number of steps or another shift than the preset's stands for the plain schedule.
    pub(super) fn apply_in_order(self, to: &mut Sampling) {
        if let Some(name) = self.few_step {
            to.use_few_step(name);
        }
        let other = self.steps.is_some_and(|steps| steps != to.steps)
            || self.shift.is_some_and(|shift| shift != to.shift);
        let listed = self.sigmas.as_ref().or(self.timesteps.as_ref()).map(Vec::len);
        if other || listed.is_some() {
            (to.sigmas, to.timesteps) = (None, None);
        }
        if let (Some(steps), None) = (listed, self.steps) {
            to.steps = steps;
        }
        self.apply(to);
    }
}

/// Two noise levels, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 2]", into = "[f64; 2]")]
pub struct Interval {
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

impl From<[f64; 2]> for Interval {
    fn from([low, high]: [f64; 2]) -> Self {
        Self { low, high }
    }
}

impl From<Interval> for [f64; 2] {
    fn from(Interval { low, high }: Interval) -> Self {
        [low, high]
    }
}

#[cfg(feature = "schema")]
impl utoipa::PartialSchema for Interval {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        Vec::<f64>::schema()
    }
}

#[cfg(feature = "schema")]
impl utoipa::ToSchema for Interval {}

impl FromStr for Interval {
    type Err = String;

    /// `LOWEST,HIGHEST`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (low, high) = text.split_once(',').ok_or("write LOWEST,HIGHEST, as in 0.3,0.9")?;
        let number = |t: &str| t.trim().parse().map_err(|_| format!("{t:?} isn't a noise level"));
        Ok(Self { low: number(low)?, high: number(high)? })
    }
}

/// The presets of [`FewStep::ALL`] by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum), value(rename_all = "lower"))]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum FewStepName {
    /// LightX2V's four Euler steps.
    LightX2V,
    /// Four UniPC steps with LongLive's two LoRAs.
    LongLive,
    /// CausVid's nine steps.
    CausVid,
    /// Four steps of a latent consistency model.
    Lcm,
}

impl FewStepName {
    /// The preset's numbers.
    #[must_use]
    pub fn preset(self) -> &'static FewStep {
        const ALL: &[FewStep; 4] = &FewStep::ALL;
        match self {
            Self::LightX2V => &ALL[0],
            Self::LongLive => &ALL[1],
            Self::CausVid => &ALL[2],
            Self::Lcm => &ALL[3],
        }
    }
}

/// The f64 with the fewest digits that rounds to this f32, for lists that people read.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

/// A solver by name, for job files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum), value(rename_all = "lower"))]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum SolverName {
    /// First-order steps: the reference.
    Euler,
    /// Second-order multistep.
    UniPc,
    /// Stochastic few-step rule for distilled weights.
    Lcm,
}

impl From<SolverName> for SolverKind {
    fn from(name: SolverName) -> Self {
        match name {
            SolverName::Euler => Self::Euler,
            SolverName::UniPc => Self::UniPc,
            SolverName::Lcm => Self::Lcm,
        }
    }
}

impl From<SolverKind> for SolverName {
    fn from(kind: SolverKind) -> Self {
        match kind {
            SolverKind::Euler => Self::Euler,
            SolverKind::UniPc => Self::UniPc,
            SolverKind::Lcm => Self::Lcm,
        }
    }
}
