//! The small weights that are part of the program.

use super::Configs;
use crate::{DetailTransfer, Error, Result};
use checkpoint::{Checkpoint, Model};
use sha2::{Digest, Sha256};
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

/// A hash of all files, so that results of another version's weights aren't taken for those of these.
pub(super) fn digest() -> &'static str {
    static DIGEST: OnceLock<String> = OnceLock::new();
    DIGEST.get_or_init(|| {
        let mut hash = Sha256::new();
        for (name, bytes) in anicrafter_demo_weights::FILES {
            hash.update(name.as_bytes());
            hash.update(bytes);
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
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
