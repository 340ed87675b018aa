//! Step caches: leaving the transformer out of steps whose result can be had from earlier ones.
//!
//! Before each step [`StepCache::decide`] looks at the step's signals. On [`Decision::Compute`] the loop runs the model and
//! hands what came out to [`StepCache::store`], branch by branch; else [`StepCache::predict`] gives a branch's result. One
//! decision holds for all branches of a step. What is stored and predicted is told by [`StepCache::level`].

mod easy;
mod taylor;
mod tea;

pub use tea::TeaCacheModel;

use crate::{Error, Result, SavedState};
use candle_core::{DType, Tensor};
use easy::EasyCache;
use taylor::Taylor;
use tea::TeaCache;

/// Below so many steps a cache saves little and costs much: neighbouring steps differ too much.
pub const FEWEST_STEPS: usize = 10;

/// Which rule, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StepCacheKind {
    /// TeaCache: the change of the timestep's modulation, through a polynomial fitted for the model, is added up; below the
    /// threshold the blocks' last change of the tokens is added again.
    Tea {
        /// Higher leaves more out; 0.3 for Wan2.1-I2V-14B-720P.
        threshold: f64,
        /// Whose polynomial.
        model: TeaCacheModel,
    },
    /// EasyCache: the change of the sample, times how strongly the velocity followed it last, is added up; below the
    /// threshold the last difference of velocity and sample is added again.
    Easy {
        /// Higher leaves more out; 0.05 as published.
        threshold: f64,
        /// Steps at the start that always run; 7 to 10 as published.
        keep_first: usize,
    },
    /// TaylorSeer on the velocity: every `interval`-th step runs, the others follow the polynomial in the noise level through
    /// the last computed ones.
    Taylor {
        /// Every so many steps the model runs: 2 or more.
        interval: usize,
        /// Degree of the polynomial: 0 repeats, 1 is a straight line, 2 a parabola.
        order: usize,
        /// Steps at the start that always run.
        keep_first: usize,
    },
}

/// What to do with a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Run the model, then [`StepCache::store`].
    Compute,
    /// Leave it out: [`StepCache::predict`] adds an earlier step's difference.
    Reuse,
    /// Leave it out: [`StepCache::predict`] extrapolates from earlier steps.
    Forecast,
}

/// Around which part of the model a cache works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Around the blocks: tokens `[B, L, D]` before and after them. Embedding and head run in every step.
    Tokens,
    /// Around the whole model: sample in, velocity out.
    Velocity,
}

/// What is known of a step before the model runs.
#[derive(Clone, Copy, Debug)]
pub struct Signals<'a> {
    /// Noise level σ.
    pub sigma: f32,
    /// The sample that the model would be shown.
    pub sample: &'a Tensor,
    /// What the blocks are modulated by at this timestep, any shape. Caches at [`Level::Tokens`] need it.
    pub modulation: Option<&'a Tensor>,
}

/// The step cache of a denoising loop.
#[derive(Clone, Debug)]
pub struct StepCache {
    kind: StepCacheKind,
    steps: usize,
    /// The step that is due.
    step: usize,
    /// Branches whose result of the last computed step is stored.
    stored: usize,
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    Tea(TeaCache),
    Easy(EasyCache),
    Taylor(Taylor),
}

impl StepCache {
    /// A cache for a loop of `steps` steps.
    ///
    /// # Errors
    /// When a threshold is negative or not finite, or an interval below 2.
    pub fn new(kind: StepCacheKind, steps: usize) -> Result<Self> {
        let rule = match kind {
            StepCacheKind::Tea { threshold, model } => Rule::Tea(TeaCache::new(check(threshold)?, model)),
            StepCacheKind::Easy { threshold, .. } => Rule::Easy(EasyCache::new(check(threshold)?)),
            StepCacheKind::Taylor { interval, .. } if interval < 2 => return Err(Error::Interval(interval)),
            StepCacheKind::Taylor { interval, order, .. } => Rule::Taylor(Taylor::new(interval, order)),
        };
        Ok(Self { kind, steps, step: 0, stored: 0, rule })
    }

    /// What [`StepCache::store`] and [`StepCache::predict`] are about.
    #[must_use]
    pub fn level(&self) -> Level {
        match self.rule {
            Rule::Tea(_) => Level::Tokens,
            Rule::Easy(_) | Rule::Taylor(_) => Level::Velocity,
        }
    }

    /// Looks at the next step, in which `branches` branches take part. The first steps and the last one always run, and so
    /// does one with a branch that the last computed step hadn't.
    ///
    /// # Errors
    /// When a signal is missing or changes its shape from step to step.
    pub fn decide(&mut self, signals: &Signals<'_>, branches: usize) -> Result<Decision> {
        let keep_first = match self.kind {
            StepCacheKind::Tea { .. } => 1,
            StepCacheKind::Easy { keep_first, .. } | StepCacheKind::Taylor { keep_first, .. } => {
                keep_first.max(1)
            }
        };
        let must = self.step < keep_first || self.step + 1 >= self.steps || branches > self.stored;
        let decision = match &mut self.rule {
            Rule::Tea(rule) => rule.decide(signals, must)?,
            Rule::Easy(rule) => rule.decide(signals, must)?,
            Rule::Taylor(rule) => rule.decide(signals, must),
        };
        if decision == Decision::Compute {
            self.stored = 0;
        }
        self.step += 1;
        Ok(decision)
    }

    /// Keeps what a branch's computed step gave: tokens before and after the blocks, or sample and velocity. Branches come in
    /// order, the positive one first.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn store(&mut self, branch: usize, input: &Tensor, output: &Tensor) -> Result<()> {
        match &mut self.rule {
            Rule::Tea(rule) => rule.store(branch, input, output)?,
            Rule::Easy(rule) => rule.store(branch, input, output)?,
            Rule::Taylor(rule) => rule.store(branch, output),
        }
        self.stored = self.stored.max(branch + 1);
        Ok(())
    }

    /// A branch's result in a step that is left out: tokens after the blocks from those before them, or the velocity from the
    /// sample.
    ///
    /// # Errors
    /// When nothing was stored for the branch or the shapes differ.
    pub fn predict(&self, branch: usize, input: &Tensor) -> Result<Tensor> {
        match &self.rule {
            Rule::Tea(rule) => rule.predict(branch, input),
            Rule::Easy(rule) => rule.predict(branch, input),
            Rule::Taylor(rule) => rule.predict(branch),
        }
    }

    /// The change added up since the model last ran; 0 for a cache that doesn't add.
    #[must_use]
    pub fn accumulated(&self) -> f64 {
        match &self.rule {
            Rule::Tea(rule) => rule.accumulated(),
            Rule::Easy(rule) => rule.accumulated(),
            Rule::Taylor(_) => 0.0,
        }
    }

    /// Replaces what is kept of each branch's tokens by what `change` makes of it: for ranks, each of which keeps a part. A cache at
    /// [`Level::Velocity`] keeps none.
    ///
    /// # Errors
    /// What `change` returns.
    pub fn change_tokens<E>(
        &mut self,
        mut change: impl FnMut(usize, &Tensor) -> std::result::Result<Tensor, E>,
    ) -> std::result::Result<(), E> {
        if let Rule::Tea(rule) = &mut self.rule {
            for (branch, residual) in rule.residuals_mut().iter_mut().enumerate() {
                *residual = change(branch, residual)?;
            }
        }
        Ok(())
    }

    /// Everything that the next steps depend on.
    ///
    /// # Errors
    /// When the device fails.
    pub fn save(&self) -> Result<SavedState> {
        let mut state = match &self.rule {
            Rule::Tea(rule) => rule.save()?,
            Rule::Easy(rule) => rule.save()?,
            Rule::Taylor(rule) => rule.save()?,
        };
        state.put_number("step", self.step as f64)?;
        state.put_number("stored", self.stored as f64)?;
        Ok(state)
    }

    /// Goes on from what [`StepCache::save`] gave for a cache of the same kind.
    ///
    /// # Errors
    /// When a part of the state is missing.
    pub fn restore(&mut self, state: &SavedState) -> Result<()> {
        match &mut self.rule {
            Rule::Tea(rule) => rule.restore(state)?,
            Rule::Easy(rule) => rule.restore(state)?,
            Rule::Taylor(rule) => rule.restore(state)?,
        }
        self.step = state.count("step")?;
        self.stored = state.count("stored")?;
        Ok(())
    }
}

fn check(threshold: f64) -> Result<f64> {
    if threshold.is_finite() && threshold >= 0.0 { Ok(threshold) } else { Err(Error::Threshold(threshold)) }
}

/// The mean of the absolute values, summed in f64.
fn mean_abs(x: &Tensor) -> Result<f64> {
    let values = x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let sum: f64 = values.iter().map(|v| f64::from(v.abs())).sum();
    Ok(sum / values.len().max(1) as f64)
}

/// Sets entry `branch` of a list whose branches come in order.
fn put<T>(list: &mut Vec<T>, branch: usize, value: T) {
    list.truncate(list.len().max(branch));
    if branch < list.len() {
        list[branch] = value;
    } else {
        list.push(value);
    }
}
