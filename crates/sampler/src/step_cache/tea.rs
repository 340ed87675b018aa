//! TeaCache: skipping the transformer's blocks while the timestep embedding barely moves.
//!
//! "Timestep Embedding Tells: It's Time to Cache for Video Diffusion Model" (arXiv 2411.19108), as AniCrafter's
//! pipeline drives it: the relative change of the modulation from step to step, put through a polynomial that was
//! fitted for the model, is added up; while the sum stays below a threshold the last residual is used again.

use super::{Decision, Signals, mean_abs, put};
use crate::{Error, Result, SavedState};
use candle_core::{DType, Tensor};

/// The models that the polynomial was published for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TeaCacheModel {
    /// Wan2.1-T2V-1.3B
    T2v1_3b,
    /// Wan2.1-T2V-14B
    T2v14b,
    /// Wan2.1-I2V-14B-480P
    I2v14b480p,
    /// Wan2.1-I2V-14B-720P
    I2v14b720p,
}

impl TeaCacheModel {
    /// Every model there is a polynomial for.
    pub const ALL: [Self; 4] = [Self::T2v1_3b, Self::T2v14b, Self::I2v14b480p, Self::I2v14b720p];

    /// The published name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::T2v1_3b => "Wan2.1-T2V-1.3B",
            Self::T2v14b => "Wan2.1-T2V-14B",
            Self::I2v14b480p => "Wan2.1-I2V-14B-480P",
            Self::I2v14b720p => "Wan2.1-I2V-14B-720P",
        }
    }

    /// The model of a published name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }

    /// The polynomial that turns a relative change of the modulation into one of the output, highest power first.
    #[must_use]
    pub fn coefficients(self) -> [f64; 5] {
        match self {
            Self::T2v1_3b => {
                [-5.21862437e+04, 9.23041404e+03, -5.28275948e+02, 1.36987616e+01, -4.99875664e-02]
            }
            Self::T2v14b => {
                [-3.03318725e+05, 4.90537029e+04, -2.65530556e+03, 5.87365115e+01, -3.15583525e-01]
            }
            Self::I2v14b480p => {
                [2.57151496e+05, -3.54229917e+04, 1.40286849e+03, -1.35890334e+01, 1.32517977e-01]
            }
            Self::I2v14b720p => {
                [8.10705460e+03, 2.13393892e+03, -3.72934672e+02, 1.66203073e+01, -4.17769401e-02]
            }
        }
    }
}

/// The rule of one loop.
#[derive(Clone, Debug)]
pub(super) struct TeaCache {
    threshold: f64,
    coefficients: [f64; 5],
    accumulated: f64,
    previous_modulation: Option<Tensor>,
    /// What the blocks added to the tokens when they last ran, one a branch.
    residuals: Vec<Tensor>,
}

impl TeaCache {
    pub(super) fn new(threshold: f64, model: TeaCacheModel) -> Self {
        Self {
            threshold,
            coefficients: model.coefficients(),
            accumulated: 0.0,
            previous_modulation: None,
            residuals: Vec::new(),
        }
    }

    pub(super) fn decide(&mut self, signals: &Signals<'_>, must: bool) -> Result<Decision> {
        let modulation =
            signals.modulation.ok_or(Error::SignalMissing("modulation"))?.to_dtype(DType::F32)?;
        let mut compute = true;
        match &self.previous_modulation {
            Some(previous) if !must => {
                // Rounded to f32 as the reference's means are.
                let change = mean_abs(&(&modulation - previous)?)? as f32 / mean_abs(previous)? as f32;
                self.accumulated += self.coefficients.iter().fold(0.0, |sum, c| sum * f64::from(change) + c);
                compute = self.accumulated >= self.threshold;
            }
            _ => {}
        }
        if compute {
            self.accumulated = 0.0;
        }
        self.previous_modulation = Some(modulation);
        Ok(if compute { Decision::Compute } else { Decision::Reuse })
    }

    pub(super) fn store(&mut self, branch: usize, before: &Tensor, after: &Tensor) -> Result<()> {
        put(&mut self.residuals, branch, (after - before)?);
        Ok(())
    }

    pub(super) fn predict(&self, branch: usize, tokens: &Tensor) -> Result<Tensor> {
        Ok((tokens + self.residuals.get(branch).ok_or(Error::NoResidual)?)?)
    }

    pub(super) fn residuals_mut(&mut self) -> &mut [Tensor] {
        &mut self.residuals
    }

    pub(super) fn accumulated(&self) -> f64 {
        self.accumulated
    }

    pub(super) fn save(&self) -> Result<SavedState> {
        let mut state = SavedState::default();
        state.put_number("accumulated", self.accumulated)?;
        if let Some(modulation) = &self.previous_modulation {
            state.put("modulation", modulation);
        }
        for (branch, residual) in self.residuals.iter().enumerate() {
            state.put(format!("residual.{branch}"), residual);
        }
        Ok(state)
    }

    pub(super) fn restore(&mut self, state: &SavedState) -> Result<()> {
        self.accumulated = state.number("accumulated")?;
        self.previous_modulation = state.get("modulation");
        self.residuals = state.list("residual");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_models() {
        for model in TeaCacheModel::ALL {
            assert_eq!(TeaCacheModel::from_name(model.name()), Some(model));
        }
        assert_eq!(TeaCacheModel::from_name("Wan3"), None);
    }
}
