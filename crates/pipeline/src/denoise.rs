//! The denoising loop.
//!
//! Ported from `diffsynth/pipelines/wan_video_v2v_combine.py` of the AniCrafter repository (`__call__` and
//! `model_fn_wan_video`): the positive branch carries the condition tokens, the negative one doesn't; guidance is
//! `negative + cfg · (positive − negative)`; with a scale of exactly 1 the negative branch isn't run.

pub use crate::job::{Sampling, SolverName, TeaCacheSettings};

use crate::{Error, Result};
use candle_core::{DType, Tensor};
use dit::{Branch, Conditions, Embedded, WanModel};
use sampler::noise::Generator;
use sampler::{Decision, Solver, SolverKind, TeaCache, TeaCacheModel};
use std::ops::ControlFlow;

impl From<SolverName> for SolverKind {
    fn from(name: SolverName) -> Self {
        match name {
            SolverName::Euler => Self::Euler,
            SolverName::UniPc => Self::UniPc,
            SolverName::Lcm => Self::Lcm,
        }
    }
}

impl TeaCacheSettings {
    fn cache(&self, steps: usize) -> Result<TeaCache> {
        let model = TeaCacheModel::from_name(&self.model)
            .ok_or_else(|| Error::TeaCacheModel { name: self.model.clone() })?;
        Ok(TeaCache::new(steps, self.threshold, model)?)
    }
}

/// What one step computed.
#[derive(Debug)]
pub struct Step<'a> {
    /// The step, from 0.
    pub index: usize,
    /// What the model was told.
    pub timestep: f64,
    /// The velocity of the positive branch.
    pub positive: &'a Tensor,
    /// The velocity of the negative branch, where it was run.
    pub negative: Option<&'a Tensor>,
    /// The guided velocity.
    pub velocity: &'a Tensor,
    /// The latents after the step.
    pub latents: &'a Tensor,
    /// For each branch: did the blocks run, and the change that its step cache had added up.
    pub cache: &'a [(bool, f64)],
}

/// Watches the loop.
pub trait Watch {
    /// Before block `block` of `of` of a step. `Break` cancels.
    fn block(&mut self, step: usize, block: usize, of: usize) -> ControlFlow<()> {
        let _ = (step, block, of);
        ControlFlow::Continue(())
    }

    /// After a step.
    ///
    /// # Errors
    /// Whatever the watcher wants to end the loop with.
    fn step(&mut self, step: &Step<'_>) -> Result<()> {
        let _ = step;
        Ok(())
    }
}

impl Watch for () {}

/// Where a loop starts: the noise, or what an interrupted loop had reached.
#[derive(Clone, Debug)]
pub struct Start {
    /// `[1, C, T, h, w]`
    pub latents: Tensor,
    /// Steps already done.
    pub step: usize,
}

/// Can an interrupted loop go on from its latents alone? Multistep solvers and the step cache carry more.
#[must_use]
pub fn is_resumable(sampling: &Sampling) -> bool {
    sampling.tea_cache.is_none() && sampling.solver != SolverName::UniPc
}

/// Runs the loop and returns the clean latents `[1, C, T, h, w]`.
///
/// # Errors
/// When shapes don't fit, the settings are impossible, or the watcher ends it.
pub fn denoise(
    model: &WanModel,
    positive: &Conditions<'_>,
    negative: Option<&Conditions<'_>>,
    start: Start,
    sampling: &Sampling,
    watch: &mut dyn Watch,
) -> Result<Tensor> {
    let mut branches = vec![model.branch(positive)?];
    if sampling.cfg_scale != 1.0 {
        let negative = negative.ok_or(Error::NegativeMissing { cfg_scale: sampling.cfg_scale })?;
        branches.push(model.branch(negative)?);
    }
    let mut run = Loop::new(model, branches, sampling)?;
    let mut latents = run.keep(&start.latents)?;
    for index in start.step..sampling.steps {
        latents = run.step(index, &latents, watch)?;
    }
    Ok(latents)
}

struct Loop<'a> {
    model: &'a WanModel,
    branches: Vec<Branch>,
    caches: Vec<Option<TeaCache>>,
    solver: Solver,
    sampling: &'a Sampling,
}

impl<'a> Loop<'a> {
    fn new(model: &'a WanModel, branches: Vec<Branch>, sampling: &'a Sampling) -> Result<Self> {
        let cache = sampling.tea_cache.as_ref().map(|settings| settings.cache(sampling.steps)).transpose()?;
        let caches = vec![cache; branches.len()];
        let solver = Solver::new(sampling.solver.into(), sampling.schedule()?);
        Ok(Self { model, branches, caches, solver, sampling })
    }

    /// Rounds to what the reference keeps between operations.
    fn keep(&self, x: &Tensor) -> Result<Tensor> {
        if self.sampling.bf16_latents {
            Ok(x.to_dtype(DType::BF16)?.to_dtype(DType::F32)?)
        } else {
            Ok(x.to_dtype(DType::F32)?)
        }
    }

    fn step(&mut self, index: usize, latents: &Tensor, watch: &mut dyn Watch) -> Result<Tensor> {
        let schedule = self.solver.schedule();
        let timestep = f64::from(if self.sampling.bf16_timestep {
            schedule.timestep_bf16(index)?
        } else {
            schedule.timesteps()[index]
        });
        let (predictions, cache) = self.predict(index, timestep, latents, watch)?;
        let positive = &predictions[0];
        let negative = predictions.get(1);
        let velocity = match negative {
            Some(negative) => self.guide(positive, negative)?,
            None => positive.clone(),
        };
        let next = if self.solver.wants_noise(index) {
            let noise = self.fresh_noise(index, latents)?;
            self.solver.step_with_noise(index, &velocity, latents, &noise)?
        } else if self.sampling.bf16_latents && self.sampling.solver == SolverName::Euler {
            let as_bf16 = |x: &Tensor| x.to_dtype(DType::BF16);
            self.solver.step(index, &as_bf16(&velocity)?, &as_bf16(latents)?)?
        } else {
            self.solver.step(index, &velocity, latents)?
        };
        let next = self.keep(&next)?;
        watch.step(&Step {
            index,
            timestep,
            positive,
            negative,
            velocity: &velocity,
            latents: &next,
            cache: &cache,
        })?;
        Ok(next)
    }

    /// The velocities of all branches. Each block's weights are used for all of them before the next block's are.
    #[expect(clippy::type_complexity, reason = "two parallel lists, one entry a branch")]
    fn predict(
        &mut self,
        index: usize,
        timestep: f64,
        latents: &Tensor,
        watch: &mut dyn Watch,
    ) -> Result<(Vec<Tensor>, Vec<(bool, f64)>)> {
        let embedded = self
            .branches
            .iter()
            .map(|branch| self.model.embed(latents, timestep, branch))
            .collect::<Result<Vec<Embedded>, _>>()?;
        let mut decisions = Vec::with_capacity(embedded.len());
        for (cache, embedded) in self.caches.iter_mut().zip(&embedded) {
            decisions.push(match cache {
                Some(cache) => (cache.decide(&embedded.t_mod)? == Decision::Compute, cache.accumulated()),
                None => (true, 0.0),
            });
        }
        let running: Vec<&Embedded> =
            embedded.iter().zip(&decisions).filter(|(_, (compute, _))| *compute).map(|(e, _)| e).collect();
        let mut observer = |block: usize, of: usize| watch.block(index, block, of);
        let mut computed = self.model.run_blocks(&running, &mut observer)?.into_iter();
        let mut predictions = Vec::with_capacity(embedded.len());
        for ((embedded, cache), (compute, _)) in embedded.iter().zip(&mut self.caches).zip(&decisions) {
            let tokens = match (compute, cache) {
                (true, cache) => {
                    let tokens = computed.next().ok_or(Error::Internal("a branch without a result"))?;
                    if let Some(cache) = cache {
                        cache.store(&embedded.tokens, &tokens)?;
                    }
                    tokens
                }
                (false, Some(cache)) => cache.reuse(&embedded.tokens)?,
                (false, None) => return Err(Error::Internal("a branch skipped without a cache")),
            };
            predictions.push(self.model.head(&tokens, embedded)?);
        }
        let predictions = predictions.iter().map(|p| self.keep(p)).collect::<Result<_>>()?;
        Ok((predictions, decisions))
    }

    fn guide(&self, positive: &Tensor, negative: &Tensor) -> Result<Tensor> {
        let difference = self.keep(&(positive - negative)?)?;
        let scaled = self.keep(&(difference * self.sampling.cfg_scale)?)?;
        self.keep(&(negative + scaled)?)
    }

    /// Noise of a step: its own seed, so that a resumed loop draws the same.
    fn fresh_noise(&self, index: usize, like: &Tensor) -> Result<Tensor> {
        let seed = self.sampling.seed.wrapping_add(1 + index as u64);
        let values = Generator::new(seed).randn(like.elem_count());
        Ok(Tensor::from_vec(values, like.shape(), &candle_core::Device::Cpu)?.to_device(like.device())?)
    }
}

/// The initial noise of a job: PyTorch's CPU generator, `[1, C, T, h, w]` in f32.
///
/// # Errors
/// When the device fails.
pub fn initial_noise(seed: u64, shape: [usize; 5], device: &candle_core::Device) -> Result<Tensor> {
    let values = sampler::noise::randn(seed, shape.iter().product());
    Ok(Tensor::from_vec(values, shape.as_slice(), &candle_core::Device::Cpu)?.to_device(device)?)
}
