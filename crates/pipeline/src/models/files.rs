//! Which files a job's weights are in.

use crate::job::{Models, Preset};
use crate::{Error, Result};
use checkpoint::Model;
use std::path::{Path, PathBuf};

/// A part of the weights that is loaded on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Part {
    /// A model with files of its own.
    Model(Model),
    /// The condition embedders and, with the real weights, AniCrafter's LoRA.
    AniCrafter,
}

impl Part {
    /// The published file, or the name that all published shards begin with.
    fn published(self) -> &'static str {
        match self {
            Self::Model(Model::Vae) => "Wan2.1_VAE.pth",
            Self::Model(Model::T5) => "models_t5_umt5-xxl-enc-bf16.pth",
            Self::Model(Model::Clip) => "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
            Self::AniCrafter => "model",
            Self::Model(_) => "diffusion_pytorch_model",
        }
    }

    /// The file in a folder of small weights, without its extension.
    fn small(self) -> &'static str {
        match self {
            Self::Model(Model::Vae) => "vae",
            Self::Model(Model::T5) => "t5",
            Self::Model(Model::Clip) => "clip",
            Self::AniCrafter => "anicrafter",
            Self::Model(_) => "dit",
        }
    }
}

/// The files of a part; `None` for weights that are drawn at random.
pub(super) fn files(models: &Models, part: Part) -> Result<Option<Vec<PathBuf>>> {
    if part == Part::Model(Model::Dit) && !models.dit.is_empty() {
        return Ok(Some(models.dit.clone()));
    }
    let files = match (models.preset, part) {
        (Preset::Demo, _) => return Ok(models.demo.as_ref().map(|folder| small_files(folder, part.small()))),
        (Preset::AniCrafter, Part::AniCrafter) => {
            let path = needed(models.anicrafter.as_deref(), "models.anicrafter", "AniCrafter's files")?;
            if path.is_file() {
                vec![path.to_owned()]
            } else {
                // The two shards of eleven that count, as the reference's script names them.
                [10, 11].map(|n| path.join(format!("model-{n:05}-of-00011.safetensors"))).to_vec()
            }
        }
        (Preset::AniCrafter, Part::Model(Model::Dit)) => transformer_files(wan(models)?, part.published()),
        (Preset::AniCrafter, _) => vec![wan(models)?.join(part.published())],
    };
    Ok(Some(files))
}

/// The tokenizer's file; `None` for the one that is part of this crate.
pub(super) fn tokenizer(models: &Models) -> Result<Option<PathBuf>> {
    if models.preset == Preset::Demo {
        return Ok(None);
    }
    let at = wan(models)?.join("google").join("umt5-xxl");
    let json = at.join("tokenizer.json");
    Ok(Some(if json.is_file() { json } else { at.join("spiece.model") }))
}

fn wan(models: &Models) -> Result<&Path> {
    needed(models.wan.as_deref(), "models.wan", "the real weights")
}

fn needed<'a>(path: Option<&'a Path>, option: &'static str, what: &str) -> Result<&'a Path> {
    path.ok_or_else(|| Error::Option { option, why: format!("the folder of {what} is needed") })
}

/// All seven shards through their index, or one by one.
fn transformer_files(folder: &Path, stem: &str) -> Vec<PathBuf> {
    let index = folder.join(format!("{stem}.safetensors.index.json"));
    if index.is_file() {
        return vec![index];
    }
    (1..=7).map(|n| folder.join(format!("{stem}-{n:05}-of-00007.safetensors"))).collect()
}

/// A small model's file in a folder of weights, or its shards, there or one folder below.
#[must_use]
pub fn small_files(folder: &Path, name: &str) -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let is_shard = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let rest = file.strip_prefix(name).and_then(|rest| rest.strip_suffix(".safetensors"));
        rest.is_some_and(|rest| rest.starts_with('-') && rest.contains("-of-"))
    };
    let here = entries(folder);
    let below = here.iter().filter(|path| path.is_dir()).flat_map(|path| entries(path));
    let mut shards: Vec<PathBuf> = here.iter().cloned().chain(below).filter(is_shard).collect();
    shards.sort_by_key(|path| path.file_name().map(std::ffi::OsStr::to_owned));
    let whole = folder.join(format!("{name}.safetensors"));
    if shards.is_empty() || whole.is_file() { vec![whole] } else { shards }
}
