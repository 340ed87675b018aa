//! The tensors that a model has: names and shapes for a configuration, from compact patterns.

mod lhm;
mod vae;

use crate::keys::Model;
use crate::{Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;

/// Names and shapes of a model's tensors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Shape by name.
    pub tensors: BTreeMap<String, Vec<usize>>,
}

/// The numbers that a pattern file speaks of.
type Numbers = BTreeMap<&'static str, usize>;

impl Manifest {
    /// The tensors of a model in the published spelling. `config` has the reference's hyperparameter names, as
    /// [`preset`](crate::preset) and configuration files have them.
    ///
    /// # Errors
    /// [`Error::ConfigField`] when the configuration lacks a number.
    pub fn of(model: Model, config: &Value) -> Result<Self> {
        let get = |name: &str| field(config, name);
        let or = |name: &str, default: usize| match &config[name] {
            Value::Null => Ok(default),
            _ => field(config, name),
        };
        let (text, numbers): (&str, Numbers) = match model {
            Model::Dit => {
                let [t, h, w] = patch(config)?;
                let (dim, out) = (get("dim")?, get("out_dim")?);
                let numbers = [
                    ("dim", dim),
                    ("dim6", 6 * dim),
                    ("in_dim", get("in_dim")?),
                    ("ffn_dim", get("ffn_dim")?),
                    ("head_dim", out * t * h * w),
                    ("text_dim", get("text_dim")?),
                    ("freq_dim", get("freq_dim")?),
                    ("image_dim", or("image_dim", 1280)?),
                    ("num_layers", get("num_layers")?),
                    ("patch_t", t),
                    ("patch_h", h),
                    ("patch_w", w),
                    ("has_image_input", usize::from(config["has_image_input"].as_bool().unwrap_or(false))),
                ];
                (include_str!("data/dit.txt"), numbers.into())
            }
            Model::Vae => return vae::manifest(config),
            Model::Lhm => return lhm::lhm(config),
            Model::Sapiens => return lhm::sapiens(config),
            Model::T5 => {
                let mut numbers = Numbers::new();
                for name in ["vocab", "dim", "dim_attn", "dim_ffn", "num_heads", "num_layers", "num_buckets"]
                {
                    numbers.insert(name, get(name)?);
                }
                (include_str!("data/t5.txt"), numbers)
            }
            Model::Clip => {
                let (dim, patch) = (get("vision_dim")?, get("patch_size")?.max(1));
                let grid = get("image_size")? / patch;
                let text_dim = or("text_dim", 0)?;
                let numbers = [
                    ("vision_dim", dim),
                    ("vision_dim3", 3 * dim),
                    ("vision_mlp", or("vision_mlp_ratio", 4)? * dim),
                    ("vision_layers", get("vision_layers")?),
                    ("vision_tokens", grid * grid + 1),
                    ("patch_size", patch),
                    ("embed_dim", or("embed_dim", 0)?),
                    ("text_layers", or("text_layers", 0)?),
                    ("text_dim", text_dim),
                    ("text_mlp", 4 * text_dim),
                    ("text_vocab", or("text_vocab", 0)?),
                    ("text_positions", or("text_positions", 0)?),
                ];
                (include_str!("data/clip.txt"), numbers.into())
            }
        };
        expand(text, &numbers)
    }

    /// The condition embedders (`blend_embedding.…`, `smplx_embedding.…`) for a transformer's configuration.
    ///
    /// # Errors
    /// [`Error::ConfigField`] when the configuration lacks a number.
    pub fn embedders(dit: &Value) -> Result<Self> {
        let [t, h, w] = patch(dit)?;
        let numbers = [
            ("dim", field(dit, "dim")?),
            ("condition_channels", 4),
            ("patch_t", t),
            ("patch_h", h),
            ("patch_w", w),
        ];
        expand(include_str!("data/embedders.txt"), &numbers.into())
    }

    /// The tensors whose names begin with `prefix` and a dot, without both.
    #[must_use]
    pub fn below(&self, prefix: &str) -> Self {
        let inner = |name: &str| Some(name.strip_prefix(prefix)?.strip_prefix('.')?.to_owned());
        Self { tensors: self.tensors.iter().filter_map(|(n, s)| Some((inner(n)?, s.clone()))).collect() }
    }

    /// Number of parameters.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.tensors.values().map(|shape| shape.iter().map(|&d| d as u64).product::<u64>()).sum()
    }
}

fn field(config: &Value, name: &str) -> Result<usize> {
    let number = config[name].as_u64().and_then(|n| usize::try_from(n).ok());
    // Products of a few extents must stay far from overflow.
    number.filter(|&n| n < 1 << 20).ok_or_else(|| Error::ConfigField(name.to_owned()))
}

fn patch(config: &Value) -> Result<[usize; 3]> {
    let extents = config["patch_size"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sizes: Vec<usize> = extents
        .iter()
        .filter_map(|v| v.as_u64())
        .filter_map(|n| usize::try_from(n).ok())
        .filter(|n| *n < 64)
        .collect();
    sizes.try_into().map_err(|_| Error::ConfigField("patch_size".to_owned()))
}

fn expand(text: &str, numbers: &Numbers) -> Result<Manifest> {
    let number = |word: &str| {
        let literal = word.parse().ok();
        literal.or_else(|| numbers.get(word).copied()).ok_or_else(|| Error::ConfigField(word.to_owned()))
    };
    let mut tensors = BTreeMap::new();
    let mut wanted = true;
    for line in text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        if name == "if" {
            wanted = number(words.next().unwrap_or_default())? != 0;
            continue;
        }
        if !wanted {
            continue;
        }
        let shape = words.map(number).collect::<Result<Vec<_>>>()?;
        for name in names(name, &number)? {
            tensors.insert(name, shape.clone());
        }
    }
    Ok(Manifest { tensors })
}

/// Expands `{a,b}` and `[count]`, from the left.
fn names(pattern: &str, number: &impl Fn(&str) -> Result<usize>) -> Result<Vec<String>> {
    let Some(at) = pattern.find(['{', '[']) else {
        return Ok(vec![pattern.to_owned()]);
    };
    let (head, rest) = pattern.split_at(at);
    let close = if rest.starts_with('{') { '}' } else { ']' };
    let (inside, tail) = rest[1..].split_once(close).unwrap_or((&rest[1..], ""));
    let options: Vec<String> = if close == '}' {
        inside.split(',').map(str::to_owned).collect()
    } else {
        (0..number(inside)?).map(|i| i.to_string()).collect()
    };
    let tails = names(tail, number)?;
    let join =
        |option: String| tails.iter().map(move |tail| format!("{head}{option}{tail}")).collect::<Vec<_>>();
    Ok(options.into_iter().flat_map(join).collect())
}
