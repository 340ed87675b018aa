//! LoRA files: which tensors belong together, what they change, and how strongly.

mod family;
mod merge;
mod report;
mod scale;
mod spelling;
mod targets;

pub(crate) use merge::{Change, Patch, apply, check};
pub use report::{LoraReport, LoraScale};
pub use scale::ScaleOrigin;

use crate::keys::Model;
use crate::{Error, Result};
use scale::Stated;
use spelling::{Key, Part};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use targets::Targets;
use tensorfile::TensorSource;

/// How strongly a LoRA's product counts.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Alpha {
    /// What the file states over the rank, 1 where it states nothing: each module's own alpha tensor, else the file's
    /// metadata, else the `adapter_config.json` of PEFT's files. What LoRA files of the ecosystem mean; every tensor of the
    /// file must be understood.
    FromFile,
    /// The plain product: what AniCrafter's shards mean, whatever else they hold. Tensors that are no LoRA are left alone
    /// ([`Lora::ignored`]).
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
    /// The model's own tensors among the file's, by name.
    whole: BTreeMap<String, String>,
    ignored: Vec<String>,
    alpha: Alpha,
    stated: Vec<Stated>,
    skip_unmatched: bool,
}

#[derive(Clone, Debug, Default)]
struct Module {
    down: Option<String>,
    up: Option<String>,
    up_bias: Option<String>,
    alpha: Option<String>,
    /// Differences to add to `.weight`, `.bias` and `.modulation`.
    differences: Vec<(&'static str, String)>,
}

/// What is done to each tensor of a model.
pub(crate) type Patches = BTreeMap<String, Vec<Patch>>;

impl Lora {
    /// Opens a LoRA of one or several files (paths as in [`open_tensors`](crate::open_tensors)).
    ///
    /// # Errors
    /// When a file can't be read, holds no LoRA tensors, half a pair, tensors that aren't understood, or a kind of adapter that
    /// can't be merged.
    pub fn open(paths: &[impl AsRef<Path>], alpha: Alpha) -> Result<Self> {
        let source = crate::open_tensors(paths)?;
        let first = paths.first().map_or(Path::new(""), |p| p.as_ref());
        let mut lora = Self::from_tensors(first.display().to_string(), source, alpha)?;
        let folder = if first.is_dir() { first } else { first.parent().unwrap_or(Path::new("")) };
        let config = folder.join("adapter_config.json");
        if alpha == Alpha::FromFile && lora.is_of_peft(first) && config.is_file() {
            lora.stated.extend(Stated::in_file(&lora.name, &config)?);
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
        let mut whole: BTreeMap<String, String> = BTreeMap::new();
        let (mut unknown, mut ignored) = (Vec::new(), Vec::new());
        for key in source.names() {
            if let Some(family) = family::of_key(key) {
                return Err(Error::LoraKind { lora: name, key: key.to_owned(), family: family.to_owned() });
            }
            let key = key.to_owned();
            let (target, part) = match spelling::read(&key) {
                Key::Part(target, part) => (target.to_owned(), part),
                Key::Whole(_) | Key::Unknown if alpha == Alpha::Ignore => {
                    ignored.push(key);
                    continue;
                }
                Key::Whole(tensor) => {
                    if let Some(first) = whole.insert(tensor.clone(), key.clone()) {
                        return Err(Error::Ambiguous { name: tensor, first, second: key });
                    }
                    continue;
                }
                Key::Unknown => {
                    unknown.push(key);
                    continue;
                }
            };
            let module = modules.entry(target.clone()).or_default();
            let slot = match part {
                Part::Difference(suffix) => {
                    module.differences.push((suffix, key));
                    continue;
                }
                Part::Down => &mut module.down,
                Part::Up => &mut module.up,
                Part::UpBias => &mut module.up_bias,
                Part::Alpha => &mut module.alpha,
            };
            if let Some(first) = slot.replace(key.clone()) {
                return Err(Error::Ambiguous { name: target, first, second: key });
            }
        }
        if !modules.values().any(Module::changes) {
            return Err(Error::NotLora { lora: name });
        }
        for (target, module) in &modules {
            let has = match (&module.down, &module.up, &module.up_bias) {
                (Some(_), None, _) => "down (A)",
                (None, Some(_), _) => "up (B)",
                (None, None, Some(_)) => "bias of an up (B)",
                _ => continue,
            };
            return Err(Error::LoraHalf { lora: name, target: target.clone(), has });
        }
        // An alpha without a matrix: the matrices have names that nobody knows, or are lost.
        for module in modules.values().filter(|m| !m.changes()) {
            unknown.extend(module.alpha.clone());
        }
        modules.retain(|_, m| m.changes());
        if alpha == Alpha::Ignore {
            ignored.append(&mut unknown);
            ignored.sort();
        }
        if !unknown.is_empty() {
            unknown.sort();
            return Err(Error::LoraKeys { lora: name, keys: unknown });
        }
        let stated = match alpha {
            Alpha::FromFile => Stated::in_metadata(&name, source.as_ref())?,
            _ => Vec::new(),
        };
        Ok(Self { name, source, modules, whole, ignored, alpha, stated, skip_unmatched: false })
    }

    /// What the model doesn't have, or has in another shape, is left out and listed in the [`LoraReport`] rather than refused:
    /// so a LoRA that was made for text-to-video serves image-to-video.
    #[must_use]
    pub fn skip_unmatched(self, skip_unmatched: bool) -> Self {
        Self { skip_unmatched, ..self }
    }

    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tensors of the files that are no LoRA: condition embedders among AniCrafter's shards, say. Only with
    /// [`Alpha::Ignore`]; otherwise such a tensor is an error.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Does an `adapter_config.json` beside it speak of it? PEFT's files are told by their name, or by the names in them.
    fn is_of_peft(&self, path: &Path) -> bool {
        let named = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("adapter_model"));
        path.is_dir() || named || self.source.names().iter().all(|key| key.starts_with("base_model.model."))
    }

    /// The patches for a model that has the tensors `known`, by the model's names; `shape` tells a tensor's shape.
    ///
    /// # Errors
    /// [`Error::LoraTargets`] naming every target that the model doesn't have, [`Error::LoraShape`] where one doesn't fit, both
    /// unless what doesn't fit is left out; [`Error::LoraNumber`], [`Error::LoraRank`].
    pub(crate) fn patches(
        &self,
        model: Option<Model>,
        known: &BTreeSet<&str>,
        shape: impl Fn(&str) -> Vec<usize>,
        strength: f64,
    ) -> Result<(Patches, LoraReport)> {
        if !strength.is_finite() {
            return Err(Error::LoraNumber { lora: self.name.clone(), what: "the strength".to_owned() });
        }
        let targets = Targets::new(model, known);
        let mut patches = Patches::new();
        let (mut unmatched, mut all) = (Vec::new(), 0);
        let mut add = |target: Option<String>, wanted: String, change: Change, scale: f64| -> Result<()> {
            all += 1;
            let Some(target) = target else {
                unmatched.push(wanted);
                return Ok(());
            };
            let (lora, source) = (self.name.clone(), Arc::clone(&self.source));
            let patch = Patch { lora, source, change, scale: scale * strength };
            match check(&patch, &target, &shape(&target)) {
                Ok(()) => patches.entry(target).or_default().push(patch),
                Err(_) if self.skip_unmatched => unmatched.push(target),
                Err(error) => return Err(error),
            }
            Ok(())
        };
        let mut scales: Vec<LoraScale> = Vec::new();
        for (module, parts) in &self.modules {
            if let (Some(down), Some(up)) = (&parts.down, &parts.up) {
                let (scale, origin) = self.scale(module, parts, down)?;
                match scales.iter_mut().find(|s| s.scale == scale && s.origin == origin) {
                    Some(same) => same.modules += 1,
                    None => scales.push(LoraScale { scale, origin, modules: 1 }),
                }
                let product = Change::Product { up: up.clone(), down: down.clone() };
                add(targets.find(module, ".weight"), format!("{module}.weight"), product, scale)?;
                if let Some(bias) = &parts.up_bias {
                    let bias = Change::Difference(bias.clone());
                    add(targets.find(module, ".bias"), format!("{module}.bias"), bias, scale)?;
                }
            }
            for (suffix, key) in &parts.differences {
                let difference = Change::Difference(key.clone());
                add(targets.find(module, suffix), format!("{module}{suffix}"), difference, 1.0)?;
            }
        }
        for (tensor, key) in &self.whole {
            add(targets.tensor(tensor), tensor.clone(), Change::Whole(key.clone()), 1.0)?;
        }
        if !unmatched.is_empty() && (!self.skip_unmatched || patches.is_empty()) {
            return Err(Error::LoraTargets { lora: self.name.clone(), targets: unmatched, all });
        }
        let (mut pairs, mut differences, mut whole) = (0, 0, 0);
        for list in patches.values_mut() {
            // A tensor that takes the base's place comes before what is added to it.
            list.sort_by(|a, b| a.change.cmp(&b.change));
            for patch in list.iter() {
                *match &patch.change {
                    Change::Whole(_) => &mut whole,
                    Change::Difference(_) => &mut differences,
                    Change::Product { .. } => &mut pairs,
                } += 1;
            }
        }
        scales.sort_by_key(|s| std::cmp::Reverse(s.modules));
        let (lora, targets) = (self.name.clone(), patches.len());
        let report =
            LoraReport { lora, strength, targets, pairs, differences, whole, scales, left_out: unmatched };
        Ok((patches, report))
    }

    /// The one place that decides a module's scale.
    fn scale(&self, module: &str, parts: &Module, down: &str) -> Result<(f64, ScaleOrigin)> {
        let rank = self.source.info(down).and_then(|i| i.shape.first().copied()).unwrap_or(1).max(1);
        match self.alpha {
            Alpha::Ignore => return Ok((1.0, ScaleOrigin::Unstated)),
            Alpha::Fixed(alpha) => return Ok((alpha / rank as f64, ScaleOrigin::Caller)),
            Alpha::FromFile => {}
        }
        if let Some(key) = &parts.alpha {
            let (_, numbers) = self.source.f64(key)?;
            return match numbers[..] {
                [alpha] if alpha.is_finite() => Ok((alpha / rank as f64, ScaleOrigin::AlphaTensor)),
                _ => Err(Error::LoraNumber { lora: self.name.clone(), what: key.clone() }),
            };
        }
        for stated in &self.stated {
            if let Some(scale) = stated.scale(&self.name, module, rank)? {
                return Ok(scale);
            }
        }
        Ok((1.0, ScaleOrigin::Unstated))
    }
}

impl Module {
    fn changes(&self) -> bool {
        self.down.is_some() || self.up.is_some() || self.up_bias.is_some() || !self.differences.is_empty()
    }
}
