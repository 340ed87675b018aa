//! What can go wrong while sampling.

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while sampling.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A schedule needs at least one step.
    #[error("a schedule needs at least 1 step")]
    NoSteps,
    /// The timestep shift must be a positive, finite number.
    #[error("the timestep shift must be positive and finite, got {0}")]
    Shift(f64),
    /// The denoising strength must lie in (0, 1].
    #[error("the denoising strength must lie in (0, 1], got {0}")]
    Strength(f64),
    /// A step outside the schedule was asked for.
    #[error("step {step} lies outside a schedule of {len} steps")]
    StepOutOfRange {
        /// The step that was asked for.
        step: usize,
        /// The number of steps.
        len: usize,
    },
    /// A multistep solver must be driven step by step from the start.
    #[error("the solver expected step {expected}, got step {got}: multistep solvers can't jump")]
    StepOrder {
        /// The step that is due.
        expected: usize,
        /// The step that was asked for.
        got: usize,
    },
    /// The stochastic few-step rule needs noise for every step but the last.
    #[error("the few-step solver needs fresh noise for step {0}: call `step_with_noise`")]
    NoiseMissing(usize),
    /// A noise level outside (0, 1].
    #[error("noise level {step} (from 0) must lie above 0 and not above 1, got {sigma}")]
    Sigma {
        /// Which one, from 0.
        step: usize,
        /// What was given.
        sigma: f32,
    },
    /// Noise levels that don't fall.
    #[error("noise levels must fall from step to step: {sigma} at step {step} (from 0) follows {before}")]
    NotDescending {
        /// The step that is too noisy, from 0.
        step: usize,
        /// The level before it.
        before: f32,
        /// Its own.
        sigma: f32,
    },
    /// Another number of timesteps than of noise levels.
    #[error("{timesteps} timesteps were given for {sigmas} noise levels")]
    TimestepCount {
        /// Timesteps given.
        timesteps: usize,
        /// Noise levels of the schedule.
        sigmas: usize,
    },
    /// A timestep outside 0 to 1000.
    #[error("timestep {step} (from 0) must lie in 0 to 1000, got {timestep}")]
    Timestep {
        /// Which one, from 0.
        step: usize,
        /// What was given.
        timestep: f32,
    },
    /// The step cache was asked for a branch's result and none was ever stored.
    #[error("the step cache has no earlier result to go by")]
    NoResidual,
    /// A step cache needs something of the step that it wasn't shown.
    #[error("the step cache needs the step's {0}")]
    SignalMissing(&'static str),
    /// An interval of a forecasting step cache must be at least 2.
    #[error("a step cache that runs every {0}th step leaves nothing out: the interval must be at least 2")]
    Interval(usize),
    /// A saved state lacks a part or holds another kind of loop's.
    #[error("the saved state of the loop has no usable {name}")]
    State {
        /// The part's name.
        name: String,
    },
    /// The step cache's threshold must be a finite number that isn't negative.
    #[error("the step cache's threshold must be finite and not negative, got {0}")]
    Threshold(f64),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
