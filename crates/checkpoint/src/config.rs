//! Hyperparameters: presets of the published models, and configuration files.

use crate::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;

fn presets() -> Value {
    // The file is part of the program; a test parses it.
    serde_json::from_str(include_str!("data/presets.json")).unwrap_or(Value::Null)
}

/// The names of all presets.
#[must_use]
pub fn preset_names() -> Vec<String> {
    presets().as_object().map(|o| o.keys().cloned().collect()).unwrap_or_default()
}

/// The hyperparameters of a published model under the reference's own names.
///
/// ```
/// let config: serde_json::Value = anicrafter_checkpoint::preset("wan2.1-t2v-1.3b")?;
/// assert_eq!(config["num_layers"], 30);
/// # Ok::<(), anicrafter_checkpoint::Error>(())
/// ```
///
/// # Errors
/// [`Error::NoPreset`] for an unknown name; [`Error::Config`] when `T` wants other fields.
pub fn preset<T: DeserializeOwned>(name: &str) -> Result<T> {
    let found = presets().get(name).cloned();
    let value = found.ok_or_else(|| Error::NoPreset { name: name.to_owned(), known: preset_names() })?;
    serde_json::from_value(value).map_err(|e| Error::Config { path: name.into(), message: e.to_string() })
}

/// A configuration file in JSON: the published `config.json`, diffusers' one, or one's own.
///
/// # Errors
/// [`Error::Io`] when it can't be read, [`Error::Config`] when it isn't what `T` wants.
pub fn read_config<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::Io { path: path.to_owned(), message: e.to_string() })?;
    serde_json::from_str(&text).map_err(|e| Error::Config { path: path.to_owned(), message: e.to_string() })
}
