//! One module for each kind of golden case: it reads the case, calls the public API of the crate that ports it and
//! hands every output to the checker.

#[cfg(feature = "render")]
mod splat;

#[cfg(feature = "body")]
mod avatar_animate;
#[cfg(feature = "body")]
mod camera;
#[cfg(feature = "body")]
mod smplx;

#[cfg(feature = "render")]
mod composite;
#[cfg(feature = "render")]
mod image_ops;
#[cfg(feature = "render")]
mod mask;
#[cfg(any(feature = "render", feature = "models"))]
mod pictures;

#[cfg(feature = "models")]
mod clip;
#[cfg(feature = "models")]
mod condition_embed;
#[cfg(feature = "whole")]
mod denoise;
#[cfg(feature = "models")]
mod dit;
#[cfg(feature = "models")]
mod lora;
#[cfg(feature = "models")]
mod noise;
#[cfg(feature = "models")]
mod scheduler;
#[cfg(feature = "models")]
mod t5;
#[cfg(feature = "models")]
mod teacache;
#[cfg(feature = "models")]
mod tensor;
#[cfg(feature = "models")]
mod tokenizer;
#[cfg(feature = "models")]
mod vae;

use anyhow::Result;
use testkit::{Case, Checker};

/// Runs a case and records the comparisons.
pub type Run = fn(&Case, &mut Checker<'_>) -> Result<()>;

/// The kinds that this build can run.
pub const KINDS: &[(&str, Run)] = &[
    #[cfg(feature = "body")]
    ("avatar_animate", avatar_animate::run),
    #[cfg(feature = "body")]
    ("camera", camera::run),
    #[cfg(feature = "body")]
    ("smplx", smplx::run),
    #[cfg(feature = "models")]
    ("clip", clip::run),
    #[cfg(feature = "models")]
    ("condition_embed", condition_embed::run),
    #[cfg(feature = "whole")]
    ("denoise", denoise::run),
    #[cfg(feature = "models")]
    ("dit", dit::run),
    #[cfg(feature = "models")]
    ("dit_t2v", dit::run),
    #[cfg(feature = "models")]
    ("lora", lora::run),
    #[cfg(feature = "models")]
    ("noise", noise::run),
    #[cfg(feature = "models")]
    ("scheduler", scheduler::run),
    #[cfg(feature = "models")]
    ("t5", t5::run),
    #[cfg(feature = "models")]
    ("teacache", teacache::run),
    #[cfg(feature = "models")]
    ("tokenizer", tokenizer::run),
    #[cfg(feature = "models")]
    ("vae", vae::run),
    #[cfg(feature = "render")]
    ("composite", composite::run),
    #[cfg(feature = "render")]
    ("image_ops", image_ops::run),
    #[cfg(feature = "render")]
    ("mask", mask::run),
    #[cfg(feature = "render")]
    ("splat", splat::run),
];
