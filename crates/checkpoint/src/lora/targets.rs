//! From the names that LoRA files use to a model's tensors.

use crate::keys::{Model, to_others, to_own};
use std::collections::{BTreeSet, HashMap};

/// The tensors of a model, to be found under any spelling.
#[derive(Debug)]
pub(crate) struct Targets<'a> {
    model: Option<Model>,
    known: &'a BTreeSet<&'a str>,
    /// kohya's scripts write `blocks_0_self_attn_q`: names with the dots lost, found by losing them everywhere. `None` where
    /// two tensors would have the name.
    undotted: HashMap<String, Option<&'a str>>,
}

impl<'a> Targets<'a> {
    pub(crate) fn new(model: Option<Model>, known: &'a BTreeSet<&'a str>) -> Self {
        let mut undotted: HashMap<String, Option<&str>> = HashMap::new();
        for &name in known {
            let others = model.map(|m| to_others(m, name)).unwrap_or_default();
            for spelled in others.into_iter().chain([name.to_owned()]) {
                let entry = undotted.entry(spelled.replace('.', "_")).or_insert(Some(name));
                if *entry != Some(name) {
                    *entry = None;
                }
            }
        }
        Self { model, known, undotted }
    }

    /// The model's tensor that is `suffix` of `module`; where `suffix` is `.weight` and there is none, the one that is called
    /// `module` itself (modulations).
    pub(crate) fn find(&self, module: &str, suffix: &str) -> Option<String> {
        let whole = self.tensor(&format!("{module}{suffix}"));
        whole.or_else(|| if suffix == ".weight" { self.tensor(module) } else { None })
    }

    /// The model's tensor of that name, in any spelling.
    pub(crate) fn tensor(&self, name: &str) -> Option<String> {
        if self.known.contains(name) {
            return Some(name.to_owned());
        }
        let own = self.model.map(|m| to_own(m, name)).filter(|own| self.known.contains(own.as_str()));
        own.or_else(|| (*self.undotted.get(&name.replace('.', "_"))?).map(str::to_owned))
    }
}
