//! Forecasting the velocity from the last computed steps.
//!
//! After "From Reusing to Forecasting: Accelerating Diffusion Models with TaylorSeers" (arXiv 2503.06923): every n-th step
//! runs, the others follow a Taylor polynomial whose derivatives are finite differences. Here it is the whole model's velocity
//! that is forecast, which takes a few latents of memory, and the polynomial runs through the last computed steps in the
//! noise level, since a shifted schedule's steps aren't evenly spaced.

use super::{Decision, Signals, put};
use crate::{Error, Result, SavedState};
use candle_core::{DType, Tensor};

/// The rule of one loop.
#[derive(Clone, Debug)]
pub(super) struct Taylor {
    interval: usize,
    order: usize,
    /// Noise level of the step at hand.
    sigma: f32,
    /// Steps since the model last ran.
    skipped: usize,
    /// The last computed velocities with their noise levels, the oldest first; one list a branch.
    history: Vec<Vec<(f32, Tensor)>>,
}

impl Taylor {
    pub(super) fn new(interval: usize, order: usize) -> Self {
        Self { interval, order, sigma: 1.0, skipped: 0, history: Vec::new() }
    }

    pub(super) fn decide(&mut self, signals: &Signals<'_>, must: bool) -> Decision {
        self.sigma = signals.sigma;
        if must || self.skipped + 1 >= self.interval {
            self.skipped = 0;
            return Decision::Compute;
        }
        self.skipped += 1;
        Decision::Forecast
    }

    pub(super) fn store(&mut self, branch: usize, velocity: &Tensor) {
        let mut points = self.history.get(branch).cloned().unwrap_or_default();
        points.push((self.sigma, velocity.clone()));
        if points.len() > self.order + 1 {
            points.remove(0);
        }
        put(&mut self.history, branch, points);
    }

    /// The polynomial through the kept points at the current noise level, in Lagrange's form.
    pub(super) fn predict(&self, branch: usize) -> Result<Tensor> {
        let points = self.history.get(branch).filter(|points| !points.is_empty()).ok_or(Error::NoResidual)?;
        let mut sum: Option<Tensor> = None;
        for (i, (at, velocity)) in points.iter().enumerate() {
            let others = points.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, (other, _))| *other);
            let weight: f64 =
                others.map(|other| f64::from(self.sigma - other) / f64::from(at - other)).product();
            let part = (velocity.to_dtype(DType::F32)? * weight)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
        sum.ok_or(Error::NoResidual)
    }

    pub(super) fn save(&self) -> Result<SavedState> {
        let mut state = SavedState::default();
        state.put_number("skipped", self.skipped as f64)?;
        for (branch, points) in self.history.iter().enumerate() {
            let mut part = SavedState::default();
            for (i, (sigma, velocity)) in points.iter().enumerate() {
                part.put_number(&format!("sigma.{i}"), f64::from(*sigma))?;
                part.put(format!("velocity.{i}"), velocity);
            }
            state.extend(&format!("branch{branch}"), part);
        }
        Ok(state)
    }

    pub(super) fn restore(&mut self, state: &SavedState) -> Result<()> {
        self.skipped = state.count("skipped")?;
        self.history.clear();
        for branch in 0.. {
            let part = state.part(&format!("branch{branch}"));
            let velocities = part.list("velocity");
            if velocities.is_empty() {
                break;
            }
            let points: Result<Vec<_>> = velocities
                .into_iter()
                .enumerate()
                .map(|(i, velocity)| Ok((part.number(&format!("sigma.{i}"))? as f32, velocity)))
                .collect();
            self.history.push(points?);
        }
        Ok(())
    }
}
