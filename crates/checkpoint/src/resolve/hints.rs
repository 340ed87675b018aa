//! What the names of files and folders promise, as data. They decide where to look first and what is meant where several
//! files would do, never what a file is.

use super::candidates::{Candidate, file_name, shard};
use super::{Part, Why};
use std::path::{Path, PathBuf};

/// How early a candidate is looked at; smaller is earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hint {
    root: usize,
    place: Place,
    /// What the rest of the name speaks for; smaller is better.
    variant: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Under the published file's name.
    Published,
    /// In the folder that a layout keeps this part in.
    Folder(&'static str),
    /// Anywhere else.
    Elsewhere,
}

impl Hint {
    /// Do name or folder say that this is the part?
    pub(super) fn is_promise(&self) -> bool {
        self.place != Place::Elsewhere
    }

    pub(super) fn why(&self) -> Why {
        match self.place {
            Place::Published => Why::PublishedName,
            Place::Folder(folder) => Why::Folder(folder),
            Place::Elsewhere => Why::Tensors,
        }
    }
}

/// AniCrafter's shards: of eleven, the reference reads the last two.
const ANICRAFTER_SHARDS: usize = 11;

/// File names, in small letters, without `-00001-of-00007` and the extension: the published ones and those of folders of small
/// weights.
fn published(part: Part) -> &'static [&'static str] {
    match part {
        Part::Transformer => &["diffusion_pytorch_model", "dit"],
        Part::Vae => &["wan2.1_vae", "vae"],
        Part::TextEncoder => &["models_t5_umt5-xxl-enc-bf16", "t5"],
        Part::ImageEncoder => &["models_clip_open-clip-xlm-roberta-large-vit-huge-14", "clip"],
        Part::AniCrafter => &["anicrafter"],
        Part::Tokenizer => &[],
    }
}

/// Folders of ComfyUI's `models/` and of diffusers, in small letters.
fn folders(part: Part) -> &'static [&'static str] {
    match part {
        Part::Transformer => &["diffusion_models", "unet", "transformer"],
        Part::Vae => &["vae"],
        Part::TextEncoder => &["text_encoders", "clip", "text_encoder"],
        Part::ImageEncoder => &["clip_vision", "image_encoder"],
        Part::AniCrafter | Part::Tokenizer => &[],
    }
}

/// Words in the names of transformers of one shape: AniCrafter's base is the image-to-video model for 720p.
const VARIANTS: [(&str, i32); 14] = [
    ("720p", -2),
    ("i2v", -1),
    ("480p", 2),
    ("flf2v", 3),
    ("t2v", 3),
    ("vace", 3),
    ("fun", 3),
    ("inp", 3),
    ("control", 3),
    ("skyreels", 3),
    ("animate", 3),
    ("wan2.2", 3),
    ("wan2_2", 3),
    ("distill", 3),
];

/// What the name and place of a candidate promise for a part.
pub(super) fn of(part: Part, candidate: &Candidate) -> Hint {
    let name = candidate.name();
    let stem = stem(candidate.paths.first().map_or(Path::new(""), PathBuf::as_path));
    let folder = folders(part).iter().find(|f| candidate.folders.iter().any(|c| c == *f)).copied();
    // diffusers calls the transformer and the autoencoder by one name, each in its own folder.
    let elsewhere = Part::ALL
        .into_iter()
        .filter(|other| *other != part)
        .any(|other| folders(other).iter().any(|f| candidate.folders.last().is_some_and(|last| last == f)));
    let place = if part == Part::AniCrafter && is_anicrafter_pair(&candidate.paths) {
        Place::Published
    } else if let Some(folder) = folder {
        Place::Folder(folder)
    } else if published(part).contains(&stem.as_str()) && !elsewhere {
        Place::Published
    } else {
        Place::Elsewhere
    };
    let variant = match part {
        Part::Transformer => {
            let path = format!("{}/{name}", candidate.folders.join("/"));
            let has = |word: &&(&str, i32)| path.contains(word.0);
            VARIANTS.iter().filter(has).map(|(_, score)| score).sum()
        }
        Part::AniCrafter => -i32::from(name.contains("anicrafter")),
        _ => 0,
    };
    Hint { root: candidate.root, place, variant }
}

/// A file's name in small letters without a shard's number, an index's ending and the extension.
fn stem(path: &Path) -> String {
    if let Some(shard) = shard(path) {
        return shard.stem.to_lowercase();
    }
    let name = file_name(path);
    let name = name.strip_suffix(".index.json").unwrap_or(&name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned()
}

/// One of AniCrafter's two shards of eleven that hold something of its own.
pub(super) fn is_anicrafter_shard(path: &Path) -> bool {
    shard(path).is_some_and(|s| {
        s.stem == "model" && s.total == ANICRAFTER_SHARDS && s.number + 1 >= ANICRAFTER_SHARDS
    })
}

pub(super) fn is_anicrafter_pair(paths: &[PathBuf]) -> bool {
    paths.len() == 2 && paths[0] != paths[1] && paths.iter().all(|p| is_anicrafter_shard(p))
}

/// Words that name a precision or a container.
const PRECISIONS: [&str; 22] = [
    "fp32",
    "fp16",
    "bf16",
    "fp8",
    "f32",
    "f16",
    "f8",
    "int8",
    "e4m3fn",
    "e4m3",
    "e5m2",
    "scaled",
    "fast",
    "pth",
    "bin",
    "safetensors",
    "sft",
    "gguf",
    "ckpt",
    "pt",
    "index",
    "json",
];

/// A name without what only says how its numbers are stored: `wan2.1_i2v_720p_14B_fp8_scaled.safetensors` and
/// `Wan2.1-I2V-720P-14B-Q4_K_M.gguf` are the same model.
pub(super) fn without_precision(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    let mut kept = Vec::new();
    let mut in_quantisation = false;
    for word in words.map(str::to_lowercase) {
        let quantisation = word.len() >= 2
            && (word.starts_with('q') || word.starts_with("iq"))
            && word.trim_start_matches(['i', 'q']).bytes().all(|b| b.is_ascii_digit());
        // `Q4_K_M`, `Q8_0`: what follows a quantisation's number belongs to it.
        let follows = in_quantisation && (word.len() <= 2 || matches!(word.as_str(), "xxs" | "xxl"));
        in_quantisation = quantisation || follows;
        if !in_quantisation && !PRECISIONS.contains(&word.as_str()) {
            kept.push(word);
        }
    }
    kept.sort();
    kept.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_is_no_part_of_a_models_name() {
        let plain = without_precision("Wan2.1-I2V-14B-720P-BF16.safetensors");
        for name in [
            "wan2.1_i2v_720p_14B_fp8_e4m3fn_scaled.safetensors",
            "wan2.1-i2v-14b-720p-Q4_K_M.gguf",
            "wan2.1-i2v-14b-720p-IQ4_XS.gguf",
        ] {
            assert_eq!(without_precision(name), plain, "{name}");
        }
        assert_ne!(without_precision("wan2.1_i2v_480p_14B_bf16.safetensors"), plain);
        assert_ne!(without_precision("skyreels-i2v-14b-720p-Q8_0.gguf"), plain);
    }

    fn hint(part: Part, folders: &[&str], file: &str) -> Hint {
        let folders = folders.iter().map(|f| (*f).to_owned()).collect();
        of(part, &Candidate { paths: vec![file.into()], root: 0, folders })
    }

    #[test]
    fn places_of_the_layouts() {
        let diffusers = "diffusion_pytorch_model.safetensors";
        assert!(hint(Part::Transformer, &["transformer"], diffusers).is_promise());
        assert!(!hint(Part::Transformer, &["vae"], diffusers).is_promise());
        assert!(hint(Part::Vae, &["vae"], diffusers).is_promise());
        assert!(hint(Part::Transformer, &[], "diffusion_pytorch_model.safetensors.index.json").is_promise());
        assert!(hint(Part::TextEncoder, &["clip"], "umt5_xxl_fp16.safetensors").is_promise());
        assert!(hint(Part::ImageEncoder, &["clip_vision", "wan"], "clip_vision_h.safetensors").is_promise());
        let better = hint(Part::Transformer, &["unet"], "wan2.1-i2v-14b-720p-q8_0.gguf");
        assert!(better < hint(Part::Transformer, &["unet"], "wan2.1-i2v-14b-480p-q8_0.gguf"));
    }
}
