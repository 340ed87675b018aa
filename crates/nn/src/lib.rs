//! Layers that video diffusion models share, each once.
//!
//! Dimension letters used throughout: B batch, T frames, C channels, H/W height/width, L tokens, D width,
//! N heads, K head dim.

mod weights;

pub use weights::{WeightSource, Weights};
