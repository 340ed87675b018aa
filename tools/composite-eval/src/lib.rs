//! Clips whose truth is known, what is measured on them, what anything must beat, and composites without any diffusion.

pub mod baselines;
pub mod clip;
pub mod composite;
pub mod fit;
pub mod recorded;
pub mod scores;
