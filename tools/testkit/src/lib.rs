//! Golden cases: inputs, weights and outputs that the original Python computed, and the comparison with them.
//!
//! A case is a folder with `case.json`, `inputs.safetensors`, `outputs.safetensors` and (mostly)
//! `weights.safetensors`. [`Case`] opens it, [`Checker`] compares what a port computes with what the
//! reference computed and keeps one [`Row`] for each output tensor, including those that nobody compared:
//! an output that was never looked at is a failure, not a pass.

mod case;
mod check;
mod tensors;

pub use case::Case;
pub use check::{Checker, Outliers, Row, Status};
pub use tensors::{Array, Tensors};
