//! The small weights that are part of the program.

use super::Configs;
use crate::{DetailTransfer, Error, Result};
use checkpoint::{Checkpoint, Model};
use std::sync::Arc;
use tensorfile::{Safetensors, Shards, TensorSource};

/// The packaged configurations.
pub(super) fn configs() -> Result<Configs> {
    Configs::parse(anicrafter_demo_weights::CONFIG)
}

/// How far the weights' difference is to be trusted.
pub(super) fn detail_transfer() -> Result<DetailTransfer> {
    DetailTransfer::parse(anicrafter_demo_weights::DETAIL)
}

/// A model's tensors.
pub(super) fn model(model: Model) -> Result<Checkpoint> {
    let files: &[&'static [u8]] = match model {
        Model::Dit => &anicrafter_demo_weights::DIT,
        Model::Vae => &[anicrafter_demo_weights::VAE],
        Model::T5 => &[anicrafter_demo_weights::TEXT],
        Model::Clip => &[anicrafter_demo_weights::IMAGE],
        _ => return Err(Error::Internal("a model without small weights")),
    };
    Ok(open(files)?.for_model(model)?)
}

/// The condition embedders.
pub(super) fn embedders() -> Result<Checkpoint> {
    open(&[anicrafter_demo_weights::EMBEDDERS])
}

fn open(files: &[&'static [u8]]) -> Result<Checkpoint> {
    let mut parts: Vec<Box<dyn TensorSource>> = Vec::new();
    for file in files {
        parts.push(Box::new(Safetensors::parse(*file).map_err(checkpoint::Error::from)?));
    }
    Ok(Checkpoint::from_tensors(Arc::new(Shards::new(parts).map_err(checkpoint::Error::from)?)))
}
