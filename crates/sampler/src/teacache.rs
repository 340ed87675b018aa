//! TeaCache: skipping the transformer's blocks while the timestep embedding barely moves.
//!
//! "Timestep Embedding Tells: It's Time to Cache for Video Diffusion Model" (arXiv 2411.19108), as AniCrafter's
//! pipeline drives it: the relative change of the modulation from step to step, put through a polynomial that was
//! fitted for the model, is added up; while the sum stays below a threshold the last residual is used again.

use crate::{Error, Result};
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

/// What to do with the blocks of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Run them, then hand their result to [`TeaCache::store`].
    Compute,
    /// Skip them: [`TeaCache::reuse`] gives their result.
    Reuse,
}

/// The step cache of one branch (conditional or unconditional) of a denoising loop.
#[derive(Clone, Debug)]
pub struct TeaCache {
    steps: usize,
    threshold: f64,
    coefficients: [f64; 5],
    step: usize,
    accumulated: f64,
    previous_modulation: Option<Tensor>,
    residual: Option<Tensor>,
}

impl TeaCache {
    /// A cache for a loop of `steps` steps. A higher `threshold` skips more (0.3 for I2V 720p).
    ///
    /// # Errors
    /// When the threshold is negative or not finite.
    pub fn new(steps: usize, threshold: f64, model: TeaCacheModel) -> Result<Self> {
        if !(threshold.is_finite() && threshold >= 0.0) {
            return Err(Error::Threshold(threshold));
        }
        Ok(Self {
            steps,
            threshold,
            coefficients: model.coefficients(),
            step: 0,
            accumulated: 0.0,
            previous_modulation: None,
            residual: None,
        })
    }

    /// Looks at the modulation (`t_mod`, any shape) of the next step. The first and the last step always run.
    ///
    /// # Errors
    /// When the modulation's shape changes from step to step.
    pub fn decide(&mut self, modulation: &Tensor) -> Result<Decision> {
        let modulation = modulation.to_dtype(DType::F32)?;
        let forced = self.step == 0 || self.step + 1 == self.steps;
        let mut compute = true;
        match &self.previous_modulation {
            Some(previous) if !forced => {
                let change = mean_abs(&(&modulation - previous)?)? / mean_abs(previous)?;
                self.accumulated += self.coefficients.iter().fold(0.0, |sum, c| sum * f64::from(change) + c);
                compute = self.accumulated >= self.threshold;
            }
            _ => {}
        }
        if compute {
            self.accumulated = 0.0;
        }
        self.previous_modulation = Some(modulation);
        self.step = (self.step + 1) % self.steps.max(1);
        Ok(if compute { Decision::Compute } else { Decision::Reuse })
    }

    /// Keeps what the blocks added: `after − before`, both taken around the blocks of the step just computed.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn store(&mut self, before: &Tensor, after: &Tensor) -> Result<()> {
        self.residual = Some((after - before)?);
        Ok(())
    }

    /// What the blocks would roughly have made of `x`: `x` plus the kept residual.
    ///
    /// # Errors
    /// When nothing was stored yet or the shapes differ.
    pub fn reuse(&self, x: &Tensor) -> Result<Tensor> {
        let residual = self.residual.as_ref().ok_or(Error::NoResidual)?;
        Ok((x + residual)?)
    }

    /// The change added up since the blocks last ran.
    #[must_use]
    pub fn accumulated(&self) -> f64 {
        self.accumulated
    }
}

/// The mean of the absolute values, rounded to f32 as the reference's is.
fn mean_abs(x: &Tensor) -> Result<f32> {
    let n = x.elem_count();
    let sum: f64 = x.abs()?.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f64::from).sum();
    Ok((sum / n as f64) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn first_and_last_steps_always_run() {
        let mut cache = TeaCache::new(3, 1e9, TeaCacheModel::I2v14b720p).unwrap();
        let m = |x: f32| Tensor::full(x, (1, 6, 4), &Device::Cpu).unwrap();
        assert_eq!(cache.decide(&m(1.0)).unwrap(), Decision::Compute);
        assert_eq!(cache.decide(&m(1.1)).unwrap(), Decision::Reuse);
        assert_eq!(cache.decide(&m(1.2)).unwrap(), Decision::Compute);
    }

    #[test]
    fn reuse_needs_a_residual() {
        let cache = TeaCache::new(3, 0.3, TeaCacheModel::T2v14b).unwrap();
        let x = Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(cache.reuse(&x), Err(Error::NoResidual)));
        assert!(matches!(TeaCache::new(3, f64::NAN, TeaCacheModel::T2v14b), Err(Error::Threshold(_))));
    }

    #[test]
    fn names_lead_back_to_models() {
        for model in TeaCacheModel::ALL {
            assert_eq!(TeaCacheModel::from_name(model.name()), Some(model));
        }
        assert_eq!(TeaCacheModel::from_name("Wan3"), None);
    }
}
