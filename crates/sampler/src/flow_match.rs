//! The shifted flow-matching schedule.
//!
//! Ported from `diffsynth/schedulers/flow_match.py` of the AniCrafter repository (`FlowMatchScheduler` with
//! `sigma_min = 0`, `extra_one_step = True`). All arithmetic is f32, in PyTorch's order, so that the sigmas and
//! timesteps are the reference's own numbers.

use crate::{Error, Result};
use candle_core::Tensor;

/// The number of training timesteps: timestep = sigma × this.
const TRAIN_TIMESTEPS: f32 = 1000.0;

/// How a timestep is rounded before the model is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestepRounding {
    /// Not at all: f32.
    #[default]
    None,
    /// To bf16, as AniCrafter's pipeline does with its bf16 model: 995.9 becomes 996.
    Bf16,
    /// To the whole number below, as Wan's multistep schedulers do.
    Truncate,
    /// To the nearest whole number.
    Nearest,
}

impl TimestepRounding {
    /// The rounded timestep.
    #[must_use]
    pub fn round(self, timestep: f32) -> f32 {
        match self {
            Self::None => timestep,
            Self::Bf16 => round_to_bf16(timestep),
            Self::Truncate => timestep.trunc(),
            Self::Nearest => timestep.round(),
        }
    }
}

/// A schedule of noise levels, from the noisiest down.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowMatch {
    sigmas: Vec<f32>,
    timesteps: Vec<f32>,
}

impl FlowMatch {
    /// `steps` noise levels from σ = 1 on, shifted towards noise by `shift` (5 for Wan I2V at 720p).
    ///
    /// # Errors
    /// When `steps` is 0 or `shift` isn't positive and finite.
    pub fn new(steps: usize, shift: f64) -> Result<Self> {
        Self::with_strength(steps, shift, 1.0)
    }

    /// Starts at σ = `strength` (before shifting) instead of 1, for video-to-video with partly kept input.
    ///
    /// # Errors
    /// When `steps` is 0, `shift` isn't positive and finite, or `strength` lies outside (0, 1].
    pub fn with_strength(steps: usize, shift: f64, strength: f64) -> Result<Self> {
        if steps == 0 {
            return Err(Error::NoSteps);
        }
        if !(shift.is_finite() && shift > 0.0) {
            return Err(Error::Shift(shift));
        }
        if !(strength > 0.0 && strength <= 1.0) {
            return Err(Error::Strength(strength));
        }
        let shift_by = |sigma: f32| (shift as f32 * sigma) / (1.0 + (shift - 1.0) as f32 * sigma);
        // One level more than there are steps; the last one, 0, is where the last step lands.
        Self::from_sigmas(linspace(strength as f32, 0.0, steps + 1).take(steps).map(shift_by).collect())
    }

    /// `steps` noise levels as Wan 2.1's own multistep schedulers space them: evenly from σ = 0.999 on before the shift.
    /// After `FlowUniPCMultistepScheduler.set_timesteps` (`wan/utils/fm_solvers_unipc.py`, commit 9737cba), which tells the
    /// model timesteps rounded by [`TimestepRounding::Truncate`].
    ///
    /// # Errors
    /// When `steps` is 0 or `shift` isn't positive and finite.
    pub fn wan(steps: usize, shift: f64) -> Result<Self> {
        if steps == 0 {
            return Err(Error::NoSteps);
        }
        if !(shift.is_finite() && shift > 0.0) {
            return Err(Error::Shift(shift));
        }
        let first = f64::from(0.999_f32);
        let level = |i: usize| first * (1.0 - i as f64 / steps as f64);
        let shift_by = |sigma: f64| (shift * sigma / (1.0 + (shift - 1.0) * sigma)) as f32;
        Self::from_sigmas((0..steps).map(|i| shift_by(level(i))).collect())
    }

    /// A schedule with its noise levels given, in descending order; the step after the last one lands at 0.
    ///
    /// Distilled models come with such a list.
    ///
    /// # Errors
    /// When the list is empty, not descending, or a level lies outside (0, 1].
    pub fn from_sigmas(sigmas: Vec<f32>) -> Result<Self> {
        if sigmas.is_empty() {
            return Err(Error::NoSteps);
        }
        if let Some(step) = sigmas.iter().position(|sigma| !(*sigma > 0.0 && *sigma <= 1.0)) {
            return Err(Error::Sigma { step, sigma: sigmas[step] });
        }
        if let Some(step) = sigmas.windows(2).position(|pair| pair[0] <= pair[1]) {
            return Err(Error::NotDescending {
                step: step + 1,
                before: sigmas[step],
                sigma: sigmas[step + 1],
            });
        }
        let timesteps = sigmas.iter().map(|sigma| sigma * TRAIN_TIMESTEPS).collect();
        Ok(Self { sigmas, timesteps })
    }

    /// A schedule of given timesteps in 0 to 1000, in descending order, at the noise levels timestep / 1000. The model is
    /// told just these numbers.
    ///
    /// # Errors
    /// As [`FlowMatch::from_sigmas`].
    pub fn from_timesteps(timesteps: Vec<f32>) -> Result<Self> {
        let schedule = Self::from_sigmas(timesteps.iter().map(|t| t / TRAIN_TIMESTEPS).collect())?;
        Ok(Self { timesteps, ..schedule })
    }

    /// The same noise levels, with other numbers told to the model.
    ///
    /// # Errors
    /// When there aren't as many as steps, or one lies outside 0 to 1000.
    pub fn with_timesteps(self, timesteps: Vec<f32>) -> Result<Self> {
        if timesteps.len() != self.len() {
            return Err(Error::TimestepCount { timesteps: timesteps.len(), sigmas: self.len() });
        }
        if let Some(step) = timesteps.iter().position(|t| !(0.0..=TRAIN_TIMESTEPS).contains(t)) {
            return Err(Error::Timestep { step, timestep: timesteps[step] });
        }
        Ok(Self { timesteps, ..self })
    }

    /// The same noise levels, with rounded timesteps told to the model.
    #[must_use]
    pub fn rounded(mut self, rounding: TimestepRounding) -> Self {
        for timestep in &mut self.timesteps {
            *timestep = rounding.round(*timestep);
        }
        self
    }

    /// The number of steps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sigmas.len()
    }

    /// Is the schedule without steps?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sigmas.is_empty()
    }

    /// The noise levels, one a step.
    #[must_use]
    pub fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    /// What the model is told, one a step: σ × 1000 unless it was given or rounded.
    #[must_use]
    pub fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    /// The timestep of a step, rounded to bf16 as the reference does before it calls its bf16 model
    /// (995.9 becomes 996).
    ///
    /// # Errors
    /// When the step lies outside the schedule.
    pub fn timestep_bf16(&self, step: usize) -> Result<f32> {
        let timestep = self.timesteps.get(step).ok_or(Error::StepOutOfRange { step, len: self.len() })?;
        Ok(round_to_bf16(*timestep))
    }

    /// The noise levels before and after a step.
    pub(crate) fn interval(&self, step: usize) -> Result<(f32, f32)> {
        let now = *self.sigmas.get(step).ok_or(Error::StepOutOfRange { step, len: self.len() })?;
        Ok((now, self.sigmas.get(step + 1).copied().unwrap_or(0.0)))
    }

    /// One Euler step: `sample + velocity · (σ_next − σ)`, in the sample's own type, rounding after the product as
    /// PyTorch does.
    ///
    /// # Errors
    /// When the step lies outside the schedule or the shapes differ.
    pub fn euler(&self, step: usize, velocity: &Tensor, sample: &Tensor) -> Result<Tensor> {
        let (now, next) = self.interval(step)?;
        let moved = scale(velocity, next - now)?;
        Ok((sample + moved)?)
    }

    /// Mixes clean samples with noise at the level of a step: `(1 − σ)·clean + σ·noise`.
    ///
    /// # Errors
    /// When the step lies outside the schedule or the shapes differ.
    pub fn add_noise(&self, step: usize, clean: &Tensor, noise: &Tensor) -> Result<Tensor> {
        let (sigma, _) = self.interval(step)?;
        Ok((scale(clean, 1.0 - sigma)? + scale(noise, sigma)?)?)
    }
}

/// `tensor × factor` with the product taken in f32 and rounded once to the tensor's type.
pub(crate) fn scale(tensor: &Tensor, factor: f32) -> Result<Tensor> {
    let product = (tensor.to_dtype(candle_core::DType::F32)? * f64::from(factor))?;
    Ok(product.to_dtype(tensor.dtype())?)
}

/// `torch.linspace` in f32: counted from the start in the first half and from the end in the second.
fn linspace(start: f32, end: f32, n: usize) -> impl Iterator<Item = f32> {
    let step = (end - start) / (n.max(2) - 1) as f32;
    (0..n).map(move |i| if i < n / 2 { start + step * i as f32 } else { end - step * (n - 1 - i) as f32 })
}

/// Rounds to the nearest bf16, ties to even.
fn round_to_bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits(bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_schedule_starts_at_pure_noise_and_falls() {
        let s = FlowMatch::new(50, 5.0).unwrap();
        assert_eq!(s.sigmas()[0], 1.0);
        assert!(s.sigmas().windows(2).all(|w| w[0] > w[1]));
        assert!(*s.sigmas().last().unwrap() > 0.0);
    }

    #[test]
    fn rounds_timesteps_as_bf16() {
        assert_eq!(round_to_bf16(995.9), 996.0);
        assert_eq!(round_to_bf16(875.0), 876.0);
        assert_eq!(round_to_bf16(937.5), 936.0);
    }

    #[test]
    fn refuses_what_makes_no_schedule() {
        assert!(matches!(FlowMatch::new(0, 5.0), Err(Error::NoSteps)));
        assert!(matches!(FlowMatch::new(4, f64::NAN), Err(Error::Shift(_))));
        assert!(matches!(FlowMatch::with_strength(4, 5.0, 0.0), Err(Error::Strength(_))));
        let s = FlowMatch::new(2, 1.0).unwrap();
        let x = Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(s.euler(2, &x, &x), Err(Error::StepOutOfRange { step: 2, len: 2 })));
    }
}
