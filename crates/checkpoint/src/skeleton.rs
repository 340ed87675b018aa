//! Files with the names, shapes and types of a real installation, and next to nothing in them.
//!
//! They are sparse: 90 GB of tensors take some megabytes of disk. They exist to try loaders, memory plans and speed at full
//! size without the real weights.

use crate::install::{
    ANICRAFTER_SHARDS, CLIP_FILE, DIT_INDEX, DIT_SHARDS, DIT_STEM, T5_FILE, VAE_FILE, shard,
};
use crate::{Error, Manifest, Model, Result, preset};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use tensorfile::{Dtype, TensorInfo, write_safetensors_with, write_torch_with};

/// What to write.
#[derive(Clone, Debug)]
pub struct Skeleton {
    /// Type of the transformer's tensors; the published shards are F32.
    pub dit: Dtype,
    /// Transformer blocks whose matrices are filled with small random numbers; those of other blocks are zeros.
    pub blocks: std::ops::Range<usize>,
    /// Rank of the LoRA in AniCrafter's shards.
    pub rank: usize,
    /// Seed of the random numbers.
    pub seed: u64,
    /// The transformer's configuration, under the reference's names.
    pub config: Value,
}

impl Default for Skeleton {
    fn default() -> Self {
        let config = preset("wan2.1-i2v-14b-720p").unwrap_or(Value::Null);
        Self { dit: Dtype::F32, blocks: 0..0, rank: 128, seed: 0, config }
    }
}

/// Tensors with at most this many elements are always filled: norms, biases, modulation, small convolutions.
const SMALL: usize = 1 << 16;

/// Writes all files of an installation into `folder`: seven transformer shards with their index, the VAE, the text encoder, the
/// image encoder, and AniCrafter's two shards that are read (of eleven).
///
/// # Errors
/// When the configuration lacks a number or a file can't be written.
pub fn write_skeleton(folder: impl AsRef<Path>, skeleton: &Skeleton) -> Result<()> {
    let folder = folder.as_ref();
    std::fs::create_dir_all(folder)
        .map_err(|e| Error::Io { path: folder.to_owned(), message: e.to_string() })?;
    let filled = |name: &str| {
        let block =
            name.strip_prefix("blocks.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        block.is_some_and(|b| skeleton.blocks.contains(&b))
    };
    let mut fill = |name: &str, info: &TensorInfo| {
        let wanted = filled(name) || info.len() <= SMALL;
        Ok(wanted.then(|| Cow::Owned(random(name, info, skeleton.seed))))
    };

    let dit = Manifest::of(Model::Dit, &skeleton.config)?;
    let dit: Vec<_> =
        dit.tensors.into_iter().map(|(n, shape)| (n, TensorInfo { dtype: skeleton.dit, shape })).collect();
    let mut map = BTreeMap::new();
    for (number, part) in dit.chunks(dit.len().div_ceil(DIT_SHARDS)).enumerate() {
        let file = shard(DIT_STEM, number + 1, DIT_SHARDS);
        write_safetensors_with(folder.join(&file), &borrowed(part), &BTreeMap::new(), &mut fill)?;
        map.extend(part.iter().map(|(name, _)| (name.clone(), file.clone())));
    }
    let total: u64 = dit.iter().filter_map(|(_, i)| i.dtype.bytes_for(i.len())).map(|n| n as u64).sum();
    let index = serde_json::json!({ "metadata": { "total_size": total }, "weight_map": map });
    let path = folder.join(DIT_INDEX);
    std::fs::write(&path, index.to_string()).map_err(|e| Error::Io { path, message: e.to_string() })?;

    for (file, model, config, dtype) in [
        (VAE_FILE, Model::Vae, "wan2.1-vae", Dtype::F32),
        (T5_FILE, Model::T5, "umt5-xxl", Dtype::BF16),
        (CLIP_FILE, Model::Clip, "clip-vit-h-14", Dtype::F32),
    ] {
        let manifest = Manifest::of(model, &preset(config)?)?;
        let tensors: Vec<_> =
            manifest.tensors.into_iter().map(|(n, shape)| (n, TensorInfo { dtype, shape })).collect();
        write_torch_with(folder.join(file), &borrowed(&tensors), &mut fill)?;
    }

    let tensors = anicrafter(skeleton)?;
    let half = tensors.len().div_ceil(2);
    for (part, number) in tensors.chunks(half).zip([ANICRAFTER_SHARDS - 1, ANICRAFTER_SHARDS]) {
        let file = shard("model", number, ANICRAFTER_SHARDS);
        write_safetensors_with(folder.join(file), &borrowed(part), &BTreeMap::new(), &mut fill)?;
    }
    Ok(())
}

fn borrowed(tensors: &[(String, TensorInfo)]) -> Vec<(&str, TensorInfo)> {
    tensors.iter().map(|(name, info)| (name.as_str(), info.clone())).collect()
}

/// LoRA pairs for the linear layers that the trainer targets, and the condition embedders.
fn anicrafter(skeleton: &Skeleton) -> Result<Vec<(String, TensorInfo)>> {
    let info = |shape: Vec<usize>| TensorInfo { dtype: Dtype::F32, shape };
    let mut tensors = Vec::new();
    for (name, shape) in Manifest::of(Model::Dit, &skeleton.config)?.tensors {
        let Some(module) = name.strip_suffix(".weight") else { continue };
        let Some((_, layer)) = module.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) else {
            continue;
        };
        let targets =
            ["q", "k", "v", "o"].map(|l| [format!("self_attn.{l}"), format!("cross_attn.{l}")]).concat();
        if targets.iter().any(|t| t == layer) || matches!(layer, "ffn.0" | "ffn.2") {
            let (down, up) = (vec![skeleton.rank, shape[1]], vec![shape[0], skeleton.rank]);
            tensors.push((format!("pipe.dit.{module}.lora_A.default.weight"), info(down)));
            tensors.push((format!("pipe.dit.{module}.lora_B.default.weight"), info(up)));
        }
    }
    for (name, shape) in Manifest::embedders(&skeleton.config)?.tensors {
        tensors.push((format!("pipe.{name}"), info(shape)));
    }
    Ok(tensors)
}

/// Numbers around 0 for matrices, around 1 for norms, so that a model built from them stays finite.
fn random(name: &str, info: &TensorInfo, seed: u64) -> Vec<u8> {
    let norm = info.shape.len() == 1 && name.ends_with(".weight") || name.ends_with("gamma");
    let fan_in: usize = info.shape.iter().skip(1).product();
    let width = if fan_in > 1 { (3.0 / fan_in as f32).sqrt() } else { 0.02 };
    let centre = f32::from(u8::from(norm));
    // One stream a tensor: the same numbers whatever else is written.
    let mut state = name
        .bytes()
        .fold(seed ^ 0x9e37_79b9_7f4a_7c15, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
        | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let unit = (state >> 40) as f32 / (1_u32 << 24) as f32;
        centre + width * (2.0 * unit - 1.0)
    };
    let mut out = Vec::with_capacity(info.dtype.bytes_for(info.len()).unwrap_or(0));
    for _ in 0..info.len() {
        match info.dtype {
            Dtype::BF16 => out.extend(half::bf16::from_f32(next()).to_le_bytes()),
            Dtype::F16 => out.extend(half::f16::from_f32(next()).to_le_bytes()),
            _ => out.extend(next().to_le_bytes()),
        }
    }
    out
}
