//! Weight files of Wan video models and AniCrafter, as tensors for the models of this workspace.
//!
//! [`Checkpoint`] opens safetensors (one file, sharded, with or without an index), PyTorch pickles and GGUF, under the names
//! of the published files or of other libraries ([`Model`]), merges any number of LoRAs ([`Lora`]) on the way, and says
//! exactly what matched ([`Report`]). [`Manifest`] knows the tensors of every model for every configuration;
//! [`resolve`] finds the files of an installation in any of the layouts that people have, and compares them with these.
//!
//! ```
//! use anicrafter_checkpoint::{Manifest, Model, preset};
//!
//! let config: serde_json::Value = preset("wan2.1-i2v-14b-720p")?;
//! let manifest = Manifest::of(Model::Dit, &config)?;
//! assert_eq!(manifest.tensors.len(), 1303);
//! assert_eq!(manifest.parameters(), 16_394_878_784);
//! # Ok::<(), anicrafter_checkpoint::Error>(())
//! ```

mod checkpoint;
mod companions;
mod config;
mod convert;
mod error;
mod headers;
mod keys;
mod lhm;
mod lora;
mod manifest;
mod names;
mod open;
mod prepared;
mod report;
mod resolve;
mod shape;
mod skeleton;

pub use checkpoint::{Checkpoint, OnQuantized};
pub use config::{preset, preset_names, read_config};
pub use error::{Error, Result};
pub use keys::Model;
pub use lhm::{LhmFiles, open_strictly, write_lhm_skeleton};
pub use lora::{Alpha, Lora, LoraReport, LoraScale, ScaleOrigin};
pub use manifest::Manifest;
pub use open::open_tensors;
pub use prepared::{PREPARED_FORMAT, Prepared, PreparedFor, prepare, prepared_so_far};
pub use report::{Misshaped, Report};
pub use resolve::{
    Choice, Part, Problem, Request, Resolution, TokenizerModel, Why, check_installation, read_tokenizer,
    resolve,
};
pub use skeleton::{Layout, Skeleton, write_skeleton};
