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
    /// The step cache was asked to reuse a residual that was never stored.
    #[error("the step cache has no residual to reuse")]
    NoResidual,
    /// The step cache's threshold must be a finite number that isn't negative.
    #[error("the step cache's threshold must be finite and not negative, got {0}")]
    Threshold(f64),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
