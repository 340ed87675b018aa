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
#[cfg(feature = "models")]
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
mod lhm;
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

/// Where models run.
#[cfg(feature = "models")]
pub use candle_core::Device;

/// Without models, nothing runs anywhere but on the CPU.
#[cfg(not(feature = "models"))]
#[derive(Clone, Copy, Debug)]
pub enum Device {
    /// The processor.
    Cpu,
}

/// Runs a case and records the comparisons.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// Code for the CPU alone.
    OnCpu(fn(&Case, &mut Checker<'_>) -> Result<()>),
    /// A model, which runs on any device.
    OnDevice(fn(&Case, &mut Checker<'_>, &Device) -> Result<()>),
}

/// The kinds that this build can run.
pub const KINDS: &[(&str, Run)] = &[
    #[cfg(feature = "body")]
    ("avatar_animate", Run::OnCpu(avatar_animate::run)),
    #[cfg(feature = "body")]
    ("camera", Run::OnCpu(camera::run)),
    #[cfg(feature = "body")]
    ("smplx", Run::OnCpu(smplx::run)),
    #[cfg(feature = "models")]
    ("clip", Run::OnDevice(clip::run)),
    #[cfg(feature = "models")]
    ("condition_embed", Run::OnDevice(condition_embed::run)),
    #[cfg(feature = "whole")]
    ("denoise", Run::OnDevice(denoise::run)),
    #[cfg(feature = "models")]
    ("dit", Run::OnDevice(dit::run)),
    #[cfg(feature = "models")]
    ("dit_t2v", Run::OnDevice(dit::run)),
    #[cfg(feature = "models")]
    ("dinov2", Run::OnDevice(lhm::dinov2)),
    #[cfg(feature = "models")]
    ("sapiens", Run::OnDevice(lhm::sapiens)),
    #[cfg(feature = "models")]
    ("lhm_end_to_end", Run::OnDevice(lhm::end_to_end)),
    #[cfg(feature = "models")]
    ("lhm_heads", Run::OnDevice(lhm::heads)),
    #[cfg(feature = "models")]
    ("lhm_points", Run::OnDevice(lhm::points)),
    #[cfg(feature = "models")]
    ("lhm_preprocess", Run::OnCpu(lhm::preprocess)),
    #[cfg(feature = "models")]
    ("lhm_transformer", Run::OnDevice(lhm::transformer)),
    #[cfg(feature = "models")]
    ("lora", Run::OnCpu(lora::run)),
    #[cfg(feature = "models")]
    ("noise", Run::OnCpu(noise::run)),
    #[cfg(feature = "models")]
    ("scheduler", Run::OnDevice(scheduler::run)),
    #[cfg(feature = "models")]
    ("t5", Run::OnDevice(t5::run)),
    #[cfg(feature = "models")]
    ("teacache", Run::OnDevice(teacache::run)),
    #[cfg(feature = "models")]
    ("tokenizer", Run::OnCpu(tokenizer::run)),
    #[cfg(feature = "models")]
    ("vae", Run::OnDevice(vae::run)),
    #[cfg(feature = "render")]
    ("composite", Run::OnCpu(composite::run)),
    #[cfg(feature = "render")]
    ("image_ops", Run::OnCpu(image_ops::run)),
    #[cfg(feature = "models")]
    ("mask", Run::OnCpu(mask::run)),
    #[cfg(feature = "render")]
    ("splat", Run::OnCpu(splat::run)),
];
