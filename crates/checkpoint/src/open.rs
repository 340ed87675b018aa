//! From paths to tensors: files, indices, shards, folders.

use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tensorfile::{Shards, TensorSource};

const WEIGHTS: [&str; 7] = ["safetensors", "sft", "gguf", "pth", "pt", "ckpt", "bin"];

/// What trainers put beside the weights.
const BESIDE: [&str; 5] =
    ["training_args.bin", "optimizer.pt", "optimizer.bin", "scheduler.pt", "scheduler.bin"];

/// The files that count in a folder of several, best first: PEFT's and diffusers' names for a LoRA.
const PREFERRED: [&str; 4] = [
    "adapter_model.safetensors",
    "adapter_model.bin",
    "pytorch_lora_weights.safetensors",
    "pytorch_lora_weights.bin",
];

/// Opens weight files: each path is a file of any format, the index of a sharded checkpoint, or a folder that holds an
/// index, a complete series of shards (`…-00001-of-00007…`), or one weight file. Files whose names begin with a dot don't
/// count.
///
/// # Errors
/// When a file can't be read, or a folder doesn't say which of its files are meant.
pub fn open_tensors(paths: &[impl AsRef<Path>]) -> Result<Arc<dyn TensorSource>> {
    let mut parts: Vec<Box<dyn TensorSource>> = Vec::new();
    for path in paths {
        let path = path.as_ref();
        if path.is_dir() {
            for file in in_folder(path)? {
                parts.push(open_one(&file)?);
            }
        } else {
            parts.push(open_one(path)?);
        }
    }
    match parts.len() {
        0 => Err(Error::NoFiles),
        1 => Ok(Arc::from(parts.remove(0))),
        _ => Ok(Arc::new(Shards::new(parts)?)),
    }
}

fn open_one(path: &Path) -> Result<Box<dyn TensorSource>> {
    if extension(path) == "json" {
        return Ok(Box::new(Shards::open_index(path)?));
    }
    Ok(tensorfile::open(path)?)
}

/// In lower case; empty where there is none.
fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |e: std::io::Error| Error::Io { path: folder.to_owned(), message: e.to_string() };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        // Names with a dot in front are the system's (`._model.safetensors` of macOS) or a download's in progress.
        if path.is_file() && !file_name(&path).starts_with('.') {
            files.push(path);
        }
    }
    files.sort();
    let indices: Vec<PathBuf> = files
        .iter()
        .filter(|p| file_name(p).to_ascii_lowercase().ends_with(".index.json"))
        .cloned()
        .collect();
    let which = |files: &[PathBuf]| Error::WhichFile {
        folder: folder.to_owned(),
        files: files.iter().map(|p| file_name(p)).collect(),
    };
    match &indices[..] {
        [] => {}
        [one] => return Ok(vec![one.clone()]),
        several => {
            // Variants (`.fp16.safetensors.index.json`) come beside the plain one; safetensors come before pickles.
            let plain = |p: &&PathBuf| {
                let name = file_name(p).to_ascii_lowercase();
                let stem = name.trim_end_matches(".index.json");
                stem.strip_suffix(".safetensors").is_some_and(|stem| !stem.contains('.'))
            };
            let mut plain = several.iter().filter(plain);
            return match (plain.next(), plain.next()) {
                (Some(one), None) => Ok(vec![one.clone()]),
                _ => Err(which(several)),
            };
        }
    }
    let weights: Vec<PathBuf> = files
        .into_iter()
        .filter(|p| WEIGHTS.contains(&extension(p).as_str()) && !BESIDE.contains(&file_name(p).as_str()))
        .collect();
    if weights.is_empty() {
        return Err(Error::EmptyFolder(folder.to_owned()));
    }
    match series(&weights.iter().map(|p| file_name(p)).collect::<Vec<_>>()) {
        Some(absent) if absent.is_empty() => return Ok(weights),
        Some(absent) => return Err(Error::AbsentShards { folder: folder.to_owned(), files: absent }),
        None => {}
    }
    if weights.len() == 1 {
        return Ok(weights);
    }
    let preferred = PREFERRED.iter().find_map(|name| weights.iter().find(|p| file_name(p) == *name));
    preferred.map(|one| vec![one.clone()]).ok_or_else(|| which(&weights))
}

/// Are these shards `stem-00001-of-0000N.ext` of one series? Then the names of those that are absent.
fn series(names: &[String]) -> Option<Vec<String>> {
    let parse = |name: &str| {
        let (stem, rest) = name.split_once("-of-")?;
        let (stem, number) = stem.rsplit_once('-')?;
        let (total, extension) = rest.split_once('.')?;
        let counted = (number.parse::<usize>().ok()?, total.parse::<usize>().ok()?);
        Some((stem.to_owned(), counted.0, counted.1, number.len(), extension.to_owned()))
    };
    let parsed: Option<Vec<_>> = names.iter().map(|n| parse(n)).collect();
    let parsed = parsed?;
    let (stem, _, total, width, extension) = parsed.first()?;
    // More shards than anybody writes: a name that only looks like one.
    let one =
        parsed.iter().all(|p| (&p.0, &p.2, &p.4) == (stem, total, extension) && (1..=*total).contains(&p.1));
    (one && *total < 10_000).then_some(())?;
    let absent = (1..=*total).filter(|n| parsed.iter().all(|p| p.1 != *n));
    Some(absent.map(|n| format!("{stem}-{n:0width$}-of-{total:0width$}.{extension}")).collect())
}
