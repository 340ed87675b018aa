//! Samplers of flow-matching diffusion: schedules, steps, noise and step caching, apart from any model.
//!
//! A flow-matching model predicts the velocity `v = noise − x₀` at `x_σ = (1 − σ)·x₀ + σ·noise`. A [`FlowMatch`]
//! schedule says at which σ the model is asked, a [`Solver`] turns the answer into the next sample.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use anicrafter_sampler::{FlowMatch, Solver};
//!
//! // A model whose answer is always 1 moves the sample from σ = 1 to σ = 0 by exactly −1.
//! let mut solver = Solver::euler(FlowMatch::new(4, 5.0)?);
//! let mut x = Tensor::full(3f32, 2, &Device::Cpu)?;
//! for i in 0..solver.schedule().len() {
//!     x = solver.step(i, &x.ones_like()?, &x)?;
//! }
//! assert!((x.to_vec1::<f32>()?[0] - 2.0).abs() < 1e-6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod few_step;
mod flow_match;
pub mod noise;
mod solver;
mod state;
mod step_cache;

pub use error::{Error, Result};
pub use few_step::{FewStep, LoraRole, looks_distilled};
pub use flow_match::{FlowMatch, TimestepRounding};
pub use solver::{Solver, SolverKind};
pub use state::SavedState;
pub use step_cache::{Decision, FEWEST_STEPS, Level, Signals, StepCache, StepCacheKind, TeaCacheModel};
