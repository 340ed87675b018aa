//! EasyCache: skipping the whole model while its answer follows the sample.
//!
//! "Less is Enough: Training-Free Video Diffusion Acceleration via Runtime-Adaptive Caching" (arXiv 2507.02860). The facts are
//! those of the authors' `easycache_generate.py` for Wan (H-EmbodVis/EasyCache, commit 3149a41): the positive branch decides
//! for both; thresholds 0.05 (image to video) and 0.06 (text to video), 7 steps kept at the start, 10 in the paper's runs.

use super::{Decision, Signals, mean_abs, put};
use crate::{Error, Result, SavedState};
use candle_core::{DType, Tensor};

/// The rule of one loop.
#[derive(Clone, Debug)]
pub(super) struct EasyCache {
    threshold: f64,
    accumulated: f64,
    /// Mean change of the velocity over that of the sample, between the last two computed steps.
    rate: Option<f64>,
    /// The sample of the step before.
    previous_sample: Option<Tensor>,
    /// Sample and velocity (positive branch) of the last computed step.
    computed: Option<(Tensor, Tensor)>,
    /// Velocity minus sample of the last computed step, one a branch.
    differences: Vec<Tensor>,
}

impl EasyCache {
    pub(super) fn new(threshold: f64) -> Self {
        Self {
            threshold,
            accumulated: 0.0,
            rate: None,
            previous_sample: None,
            computed: None,
            differences: Vec::new(),
        }
    }

    pub(super) fn decide(&mut self, signals: &Signals<'_>, must: bool) -> Result<Decision> {
        let sample = signals.sample.to_dtype(DType::F32)?;
        let mut compute = true;
        if let (false, Some(rate), Some(previous), Some((_, velocity))) =
            (must, self.rate, &self.previous_sample, &self.computed)
        {
            self.accumulated += rate * mean_abs(&(&sample - previous)?)? / mean_abs(velocity)?;
            compute = self.accumulated.is_nan() || self.accumulated >= self.threshold;
        }
        if compute {
            self.accumulated = 0.0;
        }
        self.previous_sample = Some(sample);
        Ok(if compute { Decision::Compute } else { Decision::Reuse })
    }

    pub(super) fn store(&mut self, branch: usize, sample: &Tensor, velocity: &Tensor) -> Result<()> {
        let (sample, velocity) = (sample.to_dtype(DType::F32)?, velocity.to_dtype(DType::F32)?);
        put(&mut self.differences, branch, (&velocity - &sample)?);
        if branch == 0 {
            if let Some((last_sample, last_velocity)) = &self.computed {
                let moved = mean_abs(&(&sample - last_sample)?)?;
                let rate = mean_abs(&(&velocity - last_velocity)?)? / moved;
                self.rate = rate.is_finite().then_some(rate);
            }
            self.computed = Some((sample, velocity));
        }
        Ok(())
    }

    pub(super) fn predict(&self, branch: usize, sample: &Tensor) -> Result<Tensor> {
        let difference = self.differences.get(branch).ok_or(Error::NoResidual)?;
        Ok((sample.to_dtype(DType::F32)? + difference)?)
    }

    pub(super) fn accumulated(&self) -> f64 {
        self.accumulated
    }

    pub(super) fn save(&self) -> Result<SavedState> {
        let mut state = SavedState::default();
        state.put_number("accumulated", self.accumulated)?;
        if let Some(rate) = self.rate {
            state.put_number("rate", rate)?;
        }
        if let Some(sample) = &self.previous_sample {
            state.put("previous_sample", sample);
        }
        if let Some((sample, velocity)) = &self.computed {
            state.put("sample", sample);
            state.put("velocity", velocity);
        }
        for (branch, difference) in self.differences.iter().enumerate() {
            state.put(format!("difference.{branch}"), difference);
        }
        Ok(state)
    }

    pub(super) fn restore(&mut self, state: &SavedState) -> Result<()> {
        self.accumulated = state.number("accumulated")?;
        self.rate = if state.get("rate").is_some() { Some(state.number("rate")?) } else { None };
        self.previous_sample = state.get("previous_sample");
        self.computed = state.get("sample").zip(state.get("velocity"));
        self.differences = state.list("difference");
        Ok(())
    }
}
