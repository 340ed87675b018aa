//! LoRA files: which tensors belong together, what they change, and how strongly.

mod merge;
mod spelling;

pub(crate) use merge::{Patch, apply, check};

use crate::keys::{Model, to_own};
use crate::{Error, Result};
use spelling::{Part, split};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use tensorfile::TensorSource;

/// How strongly a LoRA's product counts.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Alpha {
    /// The file's `alpha` over the rank, 1 where the file has none; an `adapter_config.json` beside the file counts
    /// as the file's. What LoRA files of the ecosystem mean.
    FromFile,
    /// The plain product: what AniCrafter's shards mean, whatever else they hold.
    Ignore,
    /// This alpha over the rank.
    Fixed(f64),
}

/// An opened LoRA.
#[derive(Clone, Debug)]
pub struct Lora {
    name: String,
    source: Arc<dyn TensorSource>,
    modules: BTreeMap<String, Module>,
    ignored: Vec<String>,
    alpha: Alpha,
    /// From `adapter_config.json`.
    adapter: Option<Adapter>,
}

#[derive(Clone, Debug, Default)]
struct Module {
    down: Option<String>,
    up: Option<String>,
    alpha: Option<String>,
    /// Differences to add to `.weight`, `.bias` and `.modulation`.
    diffs: Vec<(&'static str, String)>,
}

#[derive(Clone, Copy, Debug, serde::Deserialize)]
struct Adapter {
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
}

impl Lora {
    /// Opens a LoRA of one or several files (paths as in [`open_tensors`](crate::open_tensors)).
    ///
    /// # Errors
    /// When a file can't be read, holds no LoRA tensors, half a pair, or a kind of adapter that can't be merged.
    pub fn open(paths: &[impl AsRef<Path>], alpha: Alpha) -> Result<Self> {
        let source = crate::open_tensors(paths)?;
        let first = paths.first().map_or(Path::new(""), |p| p.as_ref());
        let name = first.file_name().unwrap_or(first.as_os_str()).to_string_lossy().into_owned();
        let mut lora = Self::from_tensors(name, source, alpha)?;
        let beside = if first.is_dir() { first } else { first.parent().unwrap_or(Path::new("")) };
        let config = beside.join("adapter_config.json");
        if alpha == Alpha::FromFile && config.is_file() {
            lora.adapter = Some(crate::read_config(config)?);
        }
        Ok(lora)
    }

    /// A LoRA from tensors that are open already.
    ///
    /// # Errors
    /// As [`Lora::open`].
    pub fn from_tensors(
        name: impl Into<String>,
        source: Arc<dyn TensorSource>,
        alpha: Alpha,
    ) -> Result<Self> {
        let name = name.into();
        let mut modules: BTreeMap<String, Module> = BTreeMap::new();
        let mut ignored = Vec::new();
        for key in source.names() {
            let Some((target, part)) = split(key) else {
                ignored.push(key.to_owned());
                continue;
            };
            let module = modules.entry(target.to_owned()).or_default();
            let key = key.to_owned();
            let slot = match part {
                Part::Unsupported => return Err(Error::LoraKind { lora: name, key }),
                Part::Diff(suffix) => {
                    module.diffs.push((suffix, key));
                    continue;
                }
                Part::Down => &mut module.down,
                Part::Up => &mut module.up,
                Part::Alpha => &mut module.alpha,
            };
            if let Some(first) = slot.replace(key.clone()) {
                return Err(Error::Ambiguous { name: target.to_owned(), first, second: key });
            }
        }
        // An alpha alone says nothing.
        modules.retain(|_, m| m.down.is_some() || m.up.is_some() || !m.diffs.is_empty());
        if modules.is_empty() {
            return Err(Error::NotLora { lora: name });
        }
        for (target, module) in &modules {
            let has = match (&module.down, &module.up) {
                (Some(_), None) => "down (A)",
                (None, Some(_)) => "up (B)",
                _ => continue,
            };
            return Err(Error::LoraHalf { lora: name, target: target.clone(), has });
        }
        Ok(Self { name, source, modules, ignored, alpha, adapter: None })
    }

    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tensors of the files that are no LoRA: condition embedders among AniCrafter's shards, say.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The patches for a model that has the tensors `known`, by the model's names.
    ///
    /// # Errors
    /// [`Error::LoraTargets`] naming every target that the model doesn't have; [`Error::LoraNumber`].
    pub(crate) fn patches(
        &self,
        model: Option<Model>,
        known: &BTreeSet<&str>,
        strength: f64,
    ) -> Result<BTreeMap<String, Vec<Patch>>> {
        let number = |what: &str| Error::LoraNumber { lora: self.name.clone(), what: what.to_owned() };
        if !strength.is_finite() {
            return Err(number("the strength"));
        }
        // kohya writes `lora_unet_blocks_0_self_attn_q`: names with the dots lost, found by losing them everywhere.
        let undotted: BTreeMap<String, &str> = known
            .iter()
            .filter_map(|name| name.strip_suffix(".weight"))
            .map(|module| (module.replace('.', "_"), module))
            .collect();
        let find = |target: &str, suffix: &str| {
            let dotted = format!("{target}{suffix}");
            let own = model.map_or(dotted.clone(), |m| to_own(m, &dotted));
            if known.contains(dotted.as_str()) {
                return Some(dotted);
            }
            if known.contains(own.as_str()) {
                return Some(own);
            }
            let module = undotted.get(target).map(|module| format!("{module}{suffix}"));
            module.filter(|name| known.contains(name.as_str()))
        };
        let mut patches: BTreeMap<String, Vec<Patch>> = BTreeMap::new();
        let mut unknown = Vec::new();
        for (target, module) in &self.modules {
            let mut add = |suffix: &str, patch: Patch| match find(target, suffix) {
                Some(name) => patches.entry(name).or_default().push(patch),
                None => unknown.push(format!("{target}{suffix}")),
            };
            let patch = |up: &String, down: Option<&String>, scale: f64| Patch {
                lora: self.name.clone(),
                source: Arc::clone(&self.source),
                up: up.clone(),
                down: down.cloned(),
                scale: scale * strength,
            };
            if let (Some(down), Some(up)) = (&module.down, &module.up) {
                let scale = self.scale(module, down)?;
                add(".weight", patch(up, Some(down), scale));
            }
            for (suffix, key) in &module.diffs {
                add(suffix, patch(key, None, 1.0));
            }
        }
        if !unknown.is_empty() {
            return Err(Error::LoraTargets { lora: self.name.clone(), targets: unknown });
        }
        Ok(patches)
    }

    fn scale(&self, module: &Module, down: &str) -> Result<f64> {
        let rank = self.source.info(down).and_then(|i| i.shape.first().copied()).unwrap_or(1).max(1) as f64;
        Ok(match (self.alpha, &module.alpha, self.adapter) {
            (Alpha::Ignore, _, _) | (Alpha::FromFile, None, None) => 1.0,
            (Alpha::Fixed(alpha), _, _) => alpha / rank,
            (Alpha::FromFile, Some(key), _) => {
                let (_, numbers) = self.source.f64(key)?;
                match numbers[..] {
                    [alpha] if alpha.is_finite() => alpha / rank,
                    _ => return Err(Error::LoraNumber { lora: self.name.clone(), what: key.clone() }),
                }
            }
            (Alpha::FromFile, None, Some(adapter)) => {
                adapter.lora_alpha / if adapter.use_rslora { rank.sqrt() } else { rank }
            }
        })
    }
}
