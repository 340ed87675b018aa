//! One golden case: its description and its tensors.

use crate::{Array, Tensors};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A golden case read from its folder.
#[derive(Debug)]
pub struct Case {
    /// The folder.
    pub dir: PathBuf,
    /// The folder's name.
    pub name: String,
    /// What the case is about: `dit`, `vae`, `splat` …
    pub kind: String,
    /// The whole `case.json`.
    pub json: Value,
    /// Weights under the reference's own state-dict keys; empty where the case has none.
    pub weights: Tensors,
    /// Inputs, named `<run>.<tensor>`, or `<tensor>` where all runs share it.
    pub inputs: Tensors,
    /// Expected outputs, named `<run>.<tensor>` or `<tensor>`.
    pub outputs: Tensors,
}

impl Case {
    /// Opens the case in `dir`.
    ///
    /// # Errors
    /// When a file is missing or can't be parsed.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let path = dir.join("case.json");
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let json: Value =
            serde_json::from_str(&text).with_context(|| format!("parsing {}", path.display()))?;
        let kind = json["kind"].as_str().with_context(|| format!("{}: no kind", path.display()))?.to_owned();
        let optional = |file: &str| {
            let path = dir.join(file);
            if path.exists() { Tensors::open(&path) } else { Ok(Tensors::default()) }
        };
        Ok(Self {
            name: dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned(),
            kind,
            weights: optional("weights.safetensors")?,
            inputs: optional("inputs.safetensors")?,
            outputs: Tensors::open(&dir.join("outputs.safetensors"))?,
            dir: dir.to_owned(),
            json,
        })
    }

    /// The hyperparameters, named as in the reference's constructors.
    #[must_use]
    pub fn config(&self) -> &Value {
        &self.json["config"]
    }

    /// The runs: each an object with its scalars, most with a `name`.
    #[must_use]
    pub fn runs(&self) -> &[Value] {
        self.json["runs"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The runs with their names.
    ///
    /// # Errors
    /// When a run has no name.
    pub fn named_runs(&self) -> Result<Vec<(&str, &Value)>> {
        self.runs()
            .iter()
            .map(|run| {
                Ok((
                    run["name"].as_str().with_context(|| format!("{}: a run without a name", self.name))?,
                    run,
                ))
            })
            .collect()
    }

    /// The full name of a run's input: `<run>.<tensor>` if it exists, else the shared `<tensor>`.
    #[must_use]
    pub fn input_name(&self, run: &str, tensor: &str) -> String {
        let own = format!("{run}.{tensor}");
        if self.inputs.contains(&own) { own } else { tensor.to_owned() }
    }

    /// Does the run (or the whole case) have this input?
    #[must_use]
    pub fn has_input(&self, run: &str, tensor: &str) -> bool {
        self.inputs.contains(&self.input_name(run, tensor))
    }

    /// A run's input as f32.
    ///
    /// # Errors
    /// When there is no such tensor or it holds integers.
    pub fn input_f32(&self, run: &str, tensor: &str) -> Result<Array<f32>> {
        self.inputs.f32(&self.input_name(run, tensor))
    }

    /// A run's input as u8.
    ///
    /// # Errors
    /// When there is no such tensor or it isn't stored as bytes.
    pub fn input_u8(&self, run: &str, tensor: &str) -> Result<Array<u8>> {
        self.inputs.u8(&self.input_name(run, tensor))
    }

    /// A run's input as i64.
    ///
    /// # Errors
    /// When there is no such tensor or it holds floating-point numbers.
    pub fn input_i64(&self, run: &str, tensor: &str) -> Result<Array<i64>> {
        self.inputs.i64(&self.input_name(run, tensor))
    }
}
