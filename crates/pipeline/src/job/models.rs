//! Which weights, where, and how they are held.

use super::settings::settings;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::str::FromStr;

settings! {
    /// Which weights, where, and how they are held.
    #[heading = "Models"]
    pub struct Models, changed by ModelChanges {
        /// The embedded small weights, or the real ones.
        #[arg(long)]
        preset: Preset [Preset] = Preset::Demo,
        /// The folder with the real weights: as Wan2.1-I2V-14B-720P is published, ComfyUI's models folder, a diffusers folder,
        /// the hub's cache, or loose files.
        #[arg(long)]
        wan: Option<PathBuf> [PathBuf] = None,
        /// The folder with AniCrafter's own files, where they don't lie in the other one, or one file that holds them.
        #[arg(long)]
        anicrafter: Option<PathBuf> [PathBuf] = None,
        /// Another folder of small weights for the demo preset.
        #[arg(long = "demo-weights")]
        demo: Option<PathBuf> [PathBuf] = None,
        /// Draws the demo preset's weights at random, in another shape: for trying stages, with noise as the result.
        #[arg(long, num_args = 0..=1, default_missing_value = "true")]
        untrained: bool [bool] = false,
        /// Another file (or list of shards) for the transformer: safetensors or GGUF.
        #[arg(long)]
        dit: Vec<PathBuf> [Vec<PathBuf>] = Vec::new(),
        /// The autoencoder's file or folder, in place of the one that is found in the folders; so are the following.
        #[arg(long)]
        vae: Option<PathBuf> [PathBuf] = None,
        /// The text encoder's file, index or folder.
        #[arg(long)]
        text_encoder: Option<PathBuf> [PathBuf] = None,
        /// The image encoder's file, index or folder.
        #[arg(long)]
        image_encoder: Option<PathBuf> [PathBuf] = None,
        /// The text encoder's tokenizer: tokenizer.json, spiece.model, a folder with one of them, or a text encoder's file that
        /// holds it.
        #[arg(long)]
        tokenizer: Option<PathBuf> [PathBuf] = None,
        /// Further LoRA files, merged in order: FILE or FILE=STRENGTH on the command line, once for each.
        #[arg(long)]
        lora: Vec<Lora> [Vec<Lora>] = Vec::new(),
        /// Leaves out what of a LoRA doesn't fit the transformer, and lists it: for a LoRA made for a sibling of the model.
        #[arg(long, num_args = 0..=1, default_missing_value = "true")]
        skip_unmatched: bool [bool] = false,
        /// What the transformer's weights are held in.
        #[arg(long)]
        dtype: Dtype [Dtype] = Dtype::Bf16,
        /// What the transformer's quantised weights (dtype q8 or q4, or a GGUF file) are multiplied by.
        #[arg(long)]
        activations: Activations [Activations] = Activations::Float,
        /// `cpu`, `cuda:N`, `metal` or `auto`.
        #[arg(long)]
        device: String [String] = "auto".to_owned(),
        /// Memory for the weights of the text encoder, and afterwards of the transformer, in GiB; the rest is streamed from the files.
        /// Absent: all of them are held.
        #[arg(long = "memory")]
        memory_gib: Option<f64> [f64] = None,
        /// Prepares the transformer's weights once, in a file each block: LoRAs merged, converted, packed as they are computed with.
        /// A step then only reads them.
        #[arg(long)]
        prepare: Prepare [Prepare] = Prepare::Auto,
        /// The folder for prepared weights, which are as large as the transformer in its dtype.
        #[arg(long)]
        prepared: Option<PathBuf> [PathBuf] = None,
        /// Works on tiles in the VAE, as the reference can: less memory, small differences.
        #[arg(long = "tiled", num_args = 0..=1, default_missing_value = "true")]
        tiled_vae: bool [bool] = false,
    }
}

/// Which weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum), value(rename_all = "lower"))]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Preset {
    /// The embedded small weights.
    #[default]
    Demo,
    /// Wan2.1-I2V-14B-720P with AniCrafter's LoRA and embedders.
    AniCrafter,
}

/// The numbers that weights are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Dtype {
    /// Single precision.
    F32,
    /// Half the memory, the reference's choice.
    Bf16,
    /// Blocks of the transformer in 8-bit blocks.
    Q8,
    /// Blocks of the transformer in 4-bit blocks.
    Q4,
    /// Blocks of the transformer in 8 bits with a scale a row, multiplied as integers: activations are rounded to 8 bits with a scale a
    /// token. CPU only.
    Int8,
}

impl Dtype {
    /// Are the transformer's matrices in quantised blocks, which activations of either form are multiplied by?
    pub(crate) fn is_blocks(self) -> bool {
        matches!(self, Self::Q8 | Self::Q4)
    }
}

/// What the transformer's blocks multiply quantised weights by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Activations {
    /// Activations as they are, up to the compute type.
    #[default]
    Float,
    /// Activations rounded to 8 bits, in integer arithmetic: faster on a CPU. Needs quantised weights.
    Int8,
}

/// When the transformer's weights are prepared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Prepare {
    /// Where they don't fit into models.memory_gib, so that every step reads them.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never: every step converts and merges again what doesn't fit into memory.
    Never,
}

/// A LoRA file and its strength.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Lora {
    /// The file.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub path: PathBuf,
    /// What its change is multiplied by. Absent: what [`super::Sampling::few_step`]'s preset says for it, else 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
}

impl Lora {
    /// What its change is multiplied by.
    #[must_use]
    pub fn strength(&self) -> f64 {
        self.strength.unwrap_or(1.0)
    }
}

impl FromStr for Lora {
    type Err = String;

    /// `FILE` or `FILE=STRENGTH`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.rsplit_once('=') {
            Some((path, strength)) => {
                let strength = strength.parse().map_err(|_| format!("{strength:?} isn't a strength"))?;
                Ok(Self { path: path.into(), strength: Some(strength) })
            }
            None => Ok(Self { path: text.into(), strength: None }),
        }
    }
}

impl Models {
    /// May there be quantised weights, if activations of 8 bits are to be multiplied by them? What a folder holds, and a GGUF
    /// file's formats, are looked at with the weights, the device when it is opened.
    pub(super) fn check_activations(&self) -> Result<()> {
        let gguf = |path: &PathBuf| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"));
        let maybe = self.dtype.is_blocks()
            || self.dit.iter().any(gguf)
            || (self.dit.is_empty() && self.wan.is_some());
        // With dtype int8 they always are.
        if self.activations == Activations::Float
            || self.dtype == Dtype::Int8
            || maybe && self.preset != Preset::Demo
        {
            return Ok(());
        }
        let why = if self.preset == Preset::Demo {
            "int8 needs quantised weights, and the demo preset's small ones aren't quantised"
        } else {
            "int8 needs quantised weights: take models.dtype (--dtype) q8 or q4, or a GGUF file as models.dit (--dit)"
        };
        Err(Error::Option { option: "models.activations", why: why.to_owned() })
    }
}
