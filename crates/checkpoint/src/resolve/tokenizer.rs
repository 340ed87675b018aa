//! The text encoder's tokenizer: a file of its own, or a tensor in the text encoder's.

use super::candidates::{Found, file_name};
use super::{Choice, Part, Problem, Why};
use crate::{Checkpoint, Error, Result};
use std::path::{Path, PathBuf};

/// The tensor that ComfyUI's text encoders keep their SentencePiece model in.
const IN_WEIGHTS: &str = "spiece_model";

/// A tokenizer as its file holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenizerModel {
    /// The text of a `tokenizer.json`.
    Json(Vec<u8>),
    /// A SentencePiece model (`spiece.model`).
    SentencePiece(Vec<u8>),
}

/// Is this what tokenizers' files are called?
pub(super) fn is_tokenizer(path: &Path) -> bool {
    matches!(
        file_name(path).as_str(),
        "tokenizer.json" | "spiece.model" | "sentencepiece.bpe.model" | "tokenizer.model"
    )
}

/// Reads a tokenizer that was [chosen](super::resolve).
///
/// # Errors
/// When the file can't be read, or holds no tokenizer.
pub fn read_tokenizer(path: &Path) -> Result<TokenizerModel> {
    let read =
        || std::fs::read(path).map_err(|e| Error::Io { path: path.to_owned(), message: e.to_string() });
    match file_name(path).rsplit_once('.').map(|(_, extension)| extension.to_owned()).as_deref() {
        Some("json") if !file_name(path).ends_with(".index.json") => Ok(TokenizerModel::Json(read()?)),
        Some("model") => Ok(TokenizerModel::SentencePiece(read()?)),
        _ => {
            let none = || {
                let error = tensorfile::Error::NoSuchTensor { name: IN_WEIGHTS.to_owned() };
                tensorfile::Error::in_file(path, error)
            };
            let bytes = Checkpoint::open(&[path])?.sentencepiece()?;
            Ok(TokenizerModel::SentencePiece(bytes.ok_or_else(none)?))
        }
    }
}

fn choice(path: PathBuf, why: Why, passed_over: Vec<PathBuf>) -> Choice {
    Choice { part: Part::Tokenizer, paths: vec![path], why, passed_over, tensors: 0, dtypes: Vec::new() }
}

/// A file, or a folder that holds one.
pub(super) fn named(paths: &[PathBuf]) -> std::result::Result<Choice, Problem> {
    let [path] = paths else {
        return Err(Problem::Ambiguous { paths: paths.to_vec() });
    };
    if !path.is_dir() {
        return match std::fs::metadata(path) {
            Ok(_) => Ok(choice(path.clone(), Why::Named, Vec::new())),
            Err(e) => {
                let error = Error::Io { path: path.clone(), message: e.to_string() };
                Err(Problem::Broken { paths: paths.to_vec(), error })
            }
        };
    }
    let found = super::candidates::look_through(paths);
    match first(&found) {
        Some((path, passed_over)) => Ok(choice(path, Why::Named, passed_over)),
        None => Err(Problem::Absent { folders: paths.to_vec(), looked_at: 0 }),
    }
}

/// In a folder, or in the text encoder's file.
pub(super) fn find(
    found: &Found,
    text_encoder: Option<&Choice>,
    folders: &[PathBuf],
) -> std::result::Result<Choice, Problem> {
    if let Some((path, passed_over)) = first(found) {
        return Ok(choice(path, Why::Tokenizer, passed_over));
    }
    if let Some(weights) = text_encoder
        && let Some(path) = weights.paths.iter().find(|path| holds_tokenizer(path))
    {
        return Ok(choice(path.clone(), Why::InTextEncoder, Vec::new()));
    }
    Err(Problem::Absent { folders: folders.to_vec(), looked_at: found.tokenizers.len() })
}

/// Does a text encoder's file carry its tokenizer? Names only are looked at.
fn holds_tokenizer(path: &Path) -> bool {
    crate::open_tensors(&[path])
        .is_ok_and(|file| file.names().iter().any(|name| name.rsplit('.').next() == Some(IN_WEIGHTS)))
}

/// UMT5's own folder before any other; `tokenizer.json` before the SentencePiece model that it was made from.
fn first(found: &Found) -> Option<(PathBuf, Vec<PathBuf>)> {
    let rank = |path: &PathBuf| {
        let folder = path.parent().map(file_name).unwrap_or_default();
        let place = if folder.contains("umt5") {
            0
        } else if folder.contains("tokenizer") {
            1
        } else {
            2
        };
        (place, !file_name(path).ends_with(".json"))
    };
    let mut sorted: Vec<&PathBuf> = found.tokenizers.iter().collect();
    sorted.sort_by_key(|path| rank(path));
    let (best, rest) = sorted.split_first()?;
    // The other form of the same tokenizer isn't worth a word.
    let others = rest.iter().filter(|p| p.parent() != best.parent()).map(|p| (*p).clone()).collect();
    Some(((*best).clone(), others))
}
