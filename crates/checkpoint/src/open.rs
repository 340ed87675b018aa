//! From paths to tensors: files, indices, shards, folders.

use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tensorfile::{Shards, TensorSource};

const WEIGHTS: [&str; 6] = ["safetensors", "gguf", "pth", "pt", "ckpt", "bin"];

/// Opens weight files: each path is a file of any format, the index of a sharded checkpoint, or a folder that holds an
/// index, a complete series of shards (`…-00001-of-00007…`), or one weight file.
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
    if path.extension().is_some_and(|e| e == "json") {
        return Ok(Box::new(Shards::open_index(path)?));
    }
    Ok(tensorfile::open(path)?)
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |e: std::io::Error| Error::Io { path: folder.to_owned(), message: e.to_string() };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    let name = |p: &PathBuf| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let indices: Vec<_> =
        files.iter().filter(|p| name(p).ends_with(".safetensors.index.json")).cloned().collect();
    if indices.len() == 1 {
        return Ok(indices);
    }
    let weights: Vec<_> = files
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| WEIGHTS.iter().any(|w| e == *w)))
        .collect();
    match weights.len() {
        0 => Err(Error::EmptyFolder(folder.to_owned())),
        1 => Ok(weights),
        _ if is_series(&weights.iter().map(name).collect::<Vec<_>>()) => Ok(weights),
        _ => Err(Error::WhichFile { folder: folder.to_owned(), files: weights.iter().map(name).collect() }),
    }
}

/// Are these `stem-00001-of-0000N.ext` to `stem-0000N-of-0000N.ext`, all of them?
fn is_series(names: &[String]) -> bool {
    let parse = |name: &str| {
        let (stem, rest) = name.split_once("-of-")?;
        let (stem, number) = stem.rsplit_once('-')?;
        let (total, extension) = rest.split_once('.')?;
        Some((
            stem.to_owned(),
            number.parse::<usize>().ok()?,
            total.parse::<usize>().ok()?,
            extension.to_owned(),
        ))
    };
    let parsed: Option<Vec<_>> = names.iter().map(|n| parse(n)).collect();
    parsed.is_some_and(|parts| {
        parts.iter().enumerate().all(|(i, (stem, number, total, extension))| {
            *stem == parts[0].0 && *extension == parts[0].3 && *number == i + 1 && *total == parts.len()
        })
    })
}
