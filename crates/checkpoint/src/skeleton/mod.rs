//! Files with the names, shapes and types of a real installation, and next to nothing in them.
//!
//! They are sparse: 90 GB of tensors take some megabytes of disk. They exist to try loaders, memory plans and speed at full
//! size without the real weights.

mod layout;
mod tokenizer;

use crate::{Manifest, Model, Result, preset};
use layout::Writer;
use serde_json::Value;
use std::path::Path;
use tensorfile::{Dtype, TensorInfo};

/// How files and folders are laid out, and how tensors are called in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// Wan's folder, as it is published.
    #[default]
    Published,
    /// ComfyUI's `models/` with the files that are repackaged for it.
    ComfyUi,
    /// A diffusers folder.
    Diffusers,
    /// Quantised files: `unet/` and `clip/` of ComfyUI with GGUF files in them.
    Gguf,
}

impl Layout {
    /// All layouts with the names that they have on a command line.
    pub const ALL: [(&'static str, Self); 4] = [
        ("published", Self::Published),
        ("comfyui", Self::ComfyUi),
        ("diffusers", Self::Diffusers),
        ("gguf", Self::Gguf),
    ];
}

/// What to write.
#[derive(Clone, Debug)]
pub struct Skeleton {
    /// Where the files lie and what is called how.
    pub layout: Layout,
    /// Type of the transformer's tensors; the published shards are F32. In the GGUF layout, that of the blocks' matrices.
    pub dit: Dtype,
    /// Transformer blocks whose matrices are filled with small random numbers; those of other blocks are zeros.
    pub blocks: std::ops::Range<usize>,
    /// Rank of the LoRA in AniCrafter's shards.
    pub rank: usize,
    /// Seed of the random numbers.
    pub seed: u64,
    /// The transformer's configuration, under the reference's names.
    pub config: Value,
    /// The autoencoder's.
    pub vae: Value,
    /// The text encoder's.
    pub text: Value,
    /// The image encoder's.
    pub image: Value,
}

impl Default for Skeleton {
    fn default() -> Self {
        let config = |name| preset(name).unwrap_or(Value::Null);
        Self {
            layout: Layout::Published,
            dit: Dtype::F32,
            blocks: 0..0,
            rank: 128,
            seed: 0,
            config: config("wan2.1-i2v-14b-720p"),
            vae: config("wan2.1-vae"),
            text: config("umt5-xxl"),
            image: config("clip-vit-h-14"),
        }
    }
}

/// Tensors with at most this many elements are always filled: norms, biases, modulation, small convolutions.
pub(crate) const SMALL: usize = 1 << 16;

/// AniCrafter's shards; the reference reads the last two of them.
const ANICRAFTER_SHARDS: usize = 11;

/// Writes all files of an installation into `folder`: the transformer, the VAE, the text encoder with a toy of a tokenizer, the
/// image encoder, and AniCrafter's two shards that are read (of eleven).
///
/// # Errors
/// When the configuration lacks a number or a file can't be written.
pub fn write_skeleton(folder: impl AsRef<Path>, skeleton: &Skeleton) -> Result<()> {
    let folder = folder.as_ref();
    let writer = Writer { folder, skeleton };
    writer.dit(tensors(Model::Dit, &skeleton.config)?)?;
    writer.vae(tensors(Model::Vae, &skeleton.vae)?)?;
    writer.text(tensors(Model::T5, &skeleton.text)?)?;
    writer.image(tensors(Model::Clip, &skeleton.image)?)?;
    let tensors = anicrafter(skeleton)?;
    let half = tensors.len().div_ceil(2);
    for (part, number) in tensors.chunks(half).zip([ANICRAFTER_SHARDS - 1, ANICRAFTER_SHARDS]) {
        writer.safetensors(&layout::shard("model", number, ANICRAFTER_SHARDS), part)?;
    }
    Ok(())
}

/// Names and shapes.
type Tensors = Vec<(String, Vec<usize>)>;

fn tensors(model: Model, config: &Value) -> Result<Tensors> {
    Ok(Manifest::of(model, config)?.tensors.into_iter().collect())
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
pub(crate) fn random(name: &str, info: &TensorInfo, seed: u64) -> Vec<u8> {
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
