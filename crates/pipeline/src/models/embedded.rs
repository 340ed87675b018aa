//! The small weights that are part of the program.

use super::Configs;
use crate::work::Fingerprint;
use crate::{DetailTransfer, Error, Result};
use checkpoint::{Checkpoint, Model};
use std::sync::{Arc, OnceLock};
use tensorfile::{Safetensors, Shards, TensorSource};

/// The packaged configurations.
pub(super) fn configs() -> Result<Configs> {
    Configs::parse(anicrafter_demo_weights::CONFIG)
}

/// How far the weights' difference is to be trusted.
pub(super) fn detail_transfer() -> Result<DetailTransfer> {
    DetailTransfer::parse(anicrafter_demo_weights::DETAIL)
}

/// The fingerprint of all files, so that results of another version's weights aren't taken for those of these.
pub(super) fn fingerprint() -> &'static Fingerprint {
    static FINGERPRINT: OnceLock<Fingerprint> = OnceLock::new();
    FINGERPRINT.get_or_init(|| {
        let files = anicrafter_demo_weights::FILES.iter();
        let contents: Vec<&[u8]> = files.flat_map(|(name, bytes)| [name.as_bytes(), bytes]).collect();
        Fingerprint::of_bytes(&contents)
    })
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
