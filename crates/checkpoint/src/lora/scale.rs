//! What a LoRA's product is multiplied by, and who says so: one resolver for every module.
//!
//! The scale is alpha over the rank (over its root with rsLoRA). Alpha comes from the module's own tensor; else from the file's
//! metadata; else, for files of PEFT, from the `adapter_config.json` beside them; where nobody states one, the scale is 1.

use super::family;
use crate::{Error, Result};
use regex_lite::Regex;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use tensorfile::TensorSource;

/// Who stated a scale.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ScaleOrigin {
    /// The module's own alpha tensor.
    AlphaTensor,
    /// This entry of the file's metadata.
    Metadata(String),
    /// PEFT's configuration file beside the tensors.
    AdapterConfig(PathBuf),
    /// The caller: [`Alpha::Fixed`](crate::Alpha::Fixed).
    Caller,
    /// Nobody, or nobody was asked ([`Alpha::Ignore`](crate::Alpha::Ignore)): the product counts as it is.
    Unstated,
}

impl fmt::Display for ScaleOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlphaTensor => f.write_str("from its alpha tensors"),
            Self::Metadata(key) => write!(f, "from the file's metadata ({key})"),
            Self::AdapterConfig(path) => write!(f, "from {}", path.display()),
            Self::Caller => f.write_str("from the alpha that was asked for"),
            Self::Unstated => f.write_str("no alpha is stated"),
        }
    }
}

/// Alphas that aren't tensors: what the metadata or a configuration file says about all modules.
#[derive(Clone, Debug)]
pub(super) struct Stated {
    origin: ScaleOrigin,
    alpha: Option<f64>,
    rank: Option<f64>,
    alphas: Vec<(Regex, f64)>,
    ranks: Vec<(Regex, f64)>,
    rank_stabilised: bool,
}

impl Stated {
    /// What the file's own metadata says, most specific entry first.
    pub(super) fn in_metadata(lora: &str, source: &dyn TensorSource) -> Result<Vec<Self>> {
        let number =
            |key: &str| Error::LoraNumber { lora: lora.to_owned(), what: format!("the metadata's {key}") };
        let mut found = Vec::new();
        const ADAPTER: &str = "lora_adapter_metadata";
        if let Some(text) = source.metadata_text(ADAPTER) {
            let config: Value = serde_json::from_str(&text).map_err(|_| number(ADAPTER))?;
            let config = component(&config).ok_or_else(|| number(ADAPTER))?;
            found.extend(Self::of_config(lora, &config, ScaleOrigin::Metadata(ADAPTER.to_owned()))?);
        }
        for key in ["lora_alpha", "alpha", "ss_network_alpha"] {
            let Some(text) = source.metadata_text(key) else { continue };
            // kohya's scripts write Python's None where no alpha was given.
            if matches!(text.trim(), "" | "None" | "null") {
                continue;
            }
            let alpha = text.trim().trim_matches('"').parse().ok().filter(|a: &f64| a.is_finite());
            found.push(Self {
                origin: ScaleOrigin::Metadata(key.to_owned()),
                alpha: Some(alpha.ok_or_else(|| number(key))?),
                rank: None,
                alphas: Vec::new(),
                ranks: Vec::new(),
                rank_stabilised: false,
            });
        }
        if let Some(args) = source.metadata_text("ss_network_args")
            && let Ok(args) = serde_json::from_str::<Value>(&args)
            && ["dora_wd", "use_dora"].iter().any(|k| args[k] == true || args[k].as_str() == Some("True"))
        {
            let key = "ss_network_args".to_owned();
            return Err(Error::LoraKind { lora: lora.to_owned(), key, family: "DoRA".to_owned() });
        }
        Ok(found)
    }

    /// What a configuration file of PEFT says; `None` where it states no alpha.
    pub(super) fn in_file(lora: &str, path: &Path) -> Result<Option<Self>> {
        let config: Value = crate::read_config(path)?;
        Self::of_config(lora, &config, ScaleOrigin::AdapterConfig(path.to_owned()))
    }

    fn of_config(lora: &str, config: &Value, origin: ScaleOrigin) -> Result<Option<Self>> {
        let place = match &origin {
            ScaleOrigin::AdapterConfig(path) => path.display().to_string(),
            ScaleOrigin::Metadata(key) => format!("the metadata's {key}"),
            other => other.to_string(),
        };
        if let Some(family) = family::of_config(config) {
            return Err(Error::LoraKind { lora: lora.to_owned(), key: place, family });
        }
        let wrong =
            |key: &str| Error::LoraNumber { lora: lora.to_owned(), what: format!("{key} of {place}") };
        let number = |key: &str| match &config[key] {
            Value::Null => Ok(None),
            value => value.as_f64().filter(|x| x.is_finite()).map(Some).ok_or_else(|| wrong(key)),
        };
        let patterns = |key: &str| match &config[key] {
            Value::Null => Ok(Vec::new()),
            Value::Object(entries) => {
                let one = |(pattern, value): (&String, &Value)| {
                    // As PEFT matches: the whole name, or the end of it after a dot.
                    let regex = Regex::new(&format!(r"^(?:.*\.)?(?:{pattern})$")).ok()?;
                    Some((regex, value.as_f64().filter(|x| x.is_finite())?))
                };
                // The order in the file is lost; the longest pattern is the most specific.
                let mut entries: Vec<_> = entries.iter().collect();
                entries.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.len()));
                entries.into_iter().map(one).collect::<Option<_>>().ok_or_else(|| wrong(key))
            }
            _ => Err(wrong(key)),
        };
        let stated = Self {
            alpha: number("lora_alpha")?,
            rank: number("r")?,
            alphas: patterns("alpha_pattern")?,
            ranks: patterns("rank_pattern")?,
            rank_stabilised: config["use_rslora"] == true,
            origin,
        };
        Ok((stated.alpha.is_some() || !stated.alphas.is_empty()).then_some(stated))
    }

    /// The scale of `module` (as the file spells it) with factors of `rank`; `None` where nothing is stated about it.
    pub(super) fn scale(&self, lora: &str, module: &str, rank: usize) -> Result<Option<(f64, ScaleOrigin)>> {
        let by_pattern =
            |list: &[(Regex, f64)]| list.iter().find(|(regex, _)| regex.is_match(module)).map(|(_, x)| *x);
        let Some(alpha) = by_pattern(&self.alphas).or(self.alpha) else { return Ok(None) };
        let found = rank as f64;
        if let Some(stated) = by_pattern(&self.ranks).or(self.rank).filter(|r| *r != found) {
            let (lora, module) = (lora.to_owned(), module.to_owned());
            return Err(Error::LoraRank { lora, module, stated, found: rank, origin: self.origin.clone() });
        }
        let scale = alpha / if self.rank_stabilised { found.sqrt() } else { found };
        Ok(Some((scale, self.origin.clone())))
    }
}

/// diffusers puts the component's name in front of every key (`transformer.lora_alpha`); others write the keys plainly. `None`
/// where it can't be told which component is meant.
fn component(config: &Value) -> Option<Value> {
    let object = config.as_object()?;
    if object.contains_key("lora_alpha") || object.contains_key("r") {
        return Some(config.clone());
    }
    let prefixes: BTreeSet<&str> = object.keys().filter_map(|k| Some(k.split_once('.')?.0)).collect();
    let prefix = match prefixes.len() {
        0 => return Some(config.clone()),
        1 => *prefixes.first()?,
        _ => *prefixes.get("transformer")?,
    };
    let inner = object.iter().filter_map(|(key, value)| {
        Some((key.strip_prefix(prefix)?.strip_prefix('.')?.to_owned(), value.clone()))
    });
    Some(Value::Object(inner.collect()))
}
