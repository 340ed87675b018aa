//! What can go wrong between a weight file and a model.

use crate::names::listing;
use std::path::PathBuf;

/// Result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Anything that can go wrong when weights are found, named, merged or handed out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is broken or can't be read.
    #[error(transparent)]
    File(#[from] tensorfile::Error),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// The caller wanted to stop.
    #[error("stopped")]
    Cancelled,
    /// A tensor below `blocks` whose block has no number.
    #[error("tensor {name:?} belongs to no numbered block")]
    NotABlock {
        /// The tensor.
        name: String,
    },
    /// Something else where prepared weights should be.
    #[error("{}: this isn't what preparing weights writes; remove it, and it is made anew", path.display())]
    NotPrepared {
        /// The file or folder.
        path: PathBuf,
    },
    /// No path was given.
    #[error("no weight files were named")]
    NoFiles,
    /// A folder without weights.
    #[error("{}: the folder has no weight files", .0.display())]
    EmptyFolder(PathBuf),
    /// A folder with several weight files that don't belong together.
    #[error("{}: the folder has several weight files and no index, name the ones to read: {}", folder.display(), files.join(", "))]
    WhichFile {
        /// The folder.
        folder: PathBuf,
        /// The candidates.
        files: Vec<String>,
    },
    /// A series of shards with gaps.
    #[error("{}: {} of the shards are absent:{}", folder.display(), files.len(), listing(files))]
    AbsentShards {
        /// The folder.
        folder: PathBuf,
        /// The absent files.
        files: Vec<String>,
    },
    /// The files hold no such model.
    #[error("the files hold no {model}: no tensor is called {}{}", anchors.join(" or "), if holds.is_empty() { String::new() } else { format!("; they hold a {}", holds.join(" and a ")) })]
    NotThisModel {
        /// What was looked for.
        model: &'static str,
        /// The tensors by which it is known.
        anchors: Vec<String>,
        /// The models that were found.
        holds: Vec<&'static str>,
    },
    /// The files hold several such models.
    #[error("the files hold more than one {model}, below {}; take a file with one, or say which (Checkpoint::open_part)", prefixes.join(" and "))]
    SeveralModels {
        /// What was looked for.
        model: &'static str,
        /// Where they are.
        prefixes: Vec<String>,
    },
    /// A quantised format that isn't decoded: loaded as it is stored, the weight would be wrong.
    #[error(
        "{tensor:?} is stored as {format}, which isn't supported; take the model in bf16, in fp8 or int8 with plain scales, or as GGUF"
    )]
    Quantisation {
        /// The weight, or its module.
        tensor: String,
        /// What it is stored as.
        format: String,
    },
    /// A scale that can't be spread over its weight.
    #[error(
        "the scale {scale:?} of shape {found:?} doesn't fit {tensor:?} of shape {shape:?}: one number, one a row, or one a block of rows and columns was expected"
    )]
    ScaleShape {
        /// The weight.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The scale.
        scale: String,
        /// The scale's shape.
        found: Vec<usize>,
    },
    /// Two tensors of the file mean the same tensor of the model.
    #[error("{first:?} and {second:?} both mean {name:?}")]
    Ambiguous {
        /// The model's tensor.
        name: String,
        /// One of the file's.
        first: String,
        /// The other.
        second: String,
    },
    /// LoRA targets that the model doesn't have.
    #[error("LoRA {lora}: {} of its {all} parts change what the model doesn't have{}:{}", targets.len(), if targets.len() == *all { " (it is for another model, or names it in a way that isn't known here)" } else { "; skip_unmatched (--skip-unmatched) leaves them out" }, listing(targets))]
    LoraTargets {
        /// The LoRA.
        lora: String,
        /// The targets.
        targets: Vec<String>,
        /// Parts that the LoRA has.
        all: usize,
    },
    /// A LoRA whose shapes don't fit their target.
    #[error(
        "LoRA {lora}: {factors:?} doesn't fit {target:?} of shape {shape:?} (it is for another model; skip_unmatched, or --skip-unmatched, leaves such parts out)"
    )]
    LoraShape {
        /// The LoRA.
        lora: String,
        /// The model's tensor.
        target: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Shapes of the up and the down matrix, or of the difference alone.
        factors: Vec<Vec<usize>>,
    },
    /// One half of a LoRA pair is missing.
    #[error("LoRA {lora}: {target:?} has an {has} matrix and no other half")]
    LoraHalf {
        /// The LoRA.
        lora: String,
        /// The target as the file spells it.
        target: String,
        /// Which half there is.
        has: &'static str,
    },
    /// A kind of adapter that can't be merged.
    #[error(
        "LoRA {lora}: {key:?} says that this is {family}, which isn't supported; merged as a plain LoRA it would be wrong"
    )]
    LoraKind {
        /// The LoRA.
        lora: String,
        /// The tensor, or the entry that says so.
        key: String,
        /// What the adapter is.
        family: String,
    },
    /// Tensors of a LoRA file that nobody understands.
    #[error("LoRA {lora}: {} of its tensors aren't understood, and may not be dropped:{}", keys.len(), listing(keys))]
    LoraKeys {
        /// The LoRA.
        lora: String,
        /// The tensors.
        keys: Vec<String>,
    },
    /// A configuration that contradicts the tensors.
    #[error(
        "LoRA {lora}: {module:?} has rank {found}, and rank {stated} {origin}: one of the files belongs to another LoRA"
    )]
    LoraRank {
        /// The LoRA.
        lora: String,
        /// The module as the file spells it.
        module: String,
        /// The rank that is stated.
        stated: f64,
        /// The rank of the tensors.
        found: usize,
        /// Who states it.
        origin: crate::ScaleOrigin,
    },
    /// A file without a single LoRA tensor.
    #[error("{lora}: holds no LoRA tensors")]
    NotLora {
        /// The file.
        lora: String,
    },
    /// An alpha that isn't one number, or a strength that isn't finite.
    #[error("LoRA {lora}: {what} isn't a usable number")]
    LoraNumber {
        /// The LoRA.
        lora: String,
        /// Which number.
        what: String,
    },
    /// A configuration file that isn't what it should be.
    #[error("{}: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A preset that doesn't exist.
    #[error("there is no preset {name:?}; there are {}", known.join(", "))]
    NoPreset {
        /// The name.
        name: String,
        /// All names.
        known: Vec<String>,
    },
    /// A configuration that lacks a number.
    #[error("the configuration has no usable {0:?}")]
    ConfigField(String),
    /// Weights that don't match the model.
    #[error("the weights don't match the model: {0}")]
    Mismatch(Box<crate::Report>),
    /// A series of shards that isn't all there.
    #[error("shard {} of {stem} is missing", list(missing))]
    MissingShards {
        /// What the series' files are called, with `?` for their numbers.
        stem: String,
        /// The numbers that aren't there.
        missing: Vec<usize>,
    },
    /// A part of an installation whose files weren't found or don't fit.
    #[error("{part}: {why}")]
    NoPart {
        /// The part.
        part: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The operating system refused.
    #[error("{}: {message}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        message: String,
    },
}

fn list(numbers: &[usize]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
