//! Which models a file holds, and the names of the one that is wanted.

use super::{Model, Parts, Spelling, apply, rename, tables};
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The model's names for what a file holds.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub(crate) by_name: BTreeMap<String, Parts>,
    /// Tensors of the file that nobody knows.
    pub(crate) outside: Vec<String>,
    /// Other models of an all-in-one file, and extras that nobody needs.
    pub(crate) harmless: Vec<String>,
}

/// One model in a file.
#[derive(Debug)]
struct Held {
    model: Model,
    prefix: String,
    spelling: &'static Spelling,
}

impl Held {
    /// How long a beginning of `name` speaks for this model; `None` where the name isn't the model's.
    fn claims(&self, name: &str) -> Option<usize> {
        let inner = name.strip_prefix(&self.prefix)?;
        if self.spelling.roots.is_empty() {
            return Some(self.prefix.len());
        }
        let root = self.spelling.roots.iter().find(|root| inner.starts_with(**root))?;
        Some(self.prefix.len() + root.len())
    }
}

const ALL: [Model; 6] = [Model::Dit, Model::Vae, Model::T5, Model::Clip, Model::Lhm, Model::Sapiens];

fn held(names: &[&str]) -> Vec<Held> {
    let mut found: Vec<Held> = Vec::new();
    for model in ALL {
        for spelling in tables::spellings(model) {
            let mut prefixes = BTreeSet::new();
            for name in names {
                let before = spelling.anchors.iter().find_map(|anchor| name.strip_suffix(anchor));
                prefixes.extend(before.filter(|p| p.is_empty() || p.ends_with('.')));
            }
            for prefix in prefixes {
                let beside = || {
                    let mut inner = names.iter().filter_map(|n| n.strip_prefix(prefix));
                    inner.any(|n| spelling.beside.iter().any(|b| n.starts_with(b)))
                };
                // Spellings are tried in order; the first that fits a prefix is the one.
                let taken = found.iter().any(|h| h.model == model && h.prefix == prefix);
                if !taken && (spelling.beside.is_empty() || beside()) {
                    found.push(Held { model, prefix: prefix.to_owned(), spelling });
                }
            }
        }
    }
    found
}

/// Finds `model` among the names of a file; `below` chooses one by its prefix where there are several.
pub(crate) fn name_tensors(model: Model, names: &[&str], below: Option<&str>) -> Result<Named> {
    let all = held(names);
    let mine: Vec<&Held> =
        all.iter().filter(|h| h.model == model && below.is_none_or(|b| h.prefix == b)).collect();
    let wanted = match mine[..] {
        [one] => one,
        [] => {
            let anchors = tables::spellings(model).iter().map(|s| s.anchors[0].to_owned()).collect();
            let holds = all.iter().map(|h| h.model.name()).collect::<BTreeSet<_>>().into_iter().collect();
            return Err(Error::NotThisModel { model: model.name(), anchors, holds });
        }
        _ => {
            let prefixes = mine.iter().map(|h| format!("{:?}", h.prefix)).collect();
            return Err(Error::SeveralModels { model: model.name(), prefixes });
        }
    };
    let mut named = Named::default();
    let mut slots: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
    for name in names {
        let claim = wanted.claims(name);
        let others = all.iter().filter(|h| !std::ptr::eq(*h, wanted)).filter_map(|h| h.claims(name)).max();
        // A prefix of the whole file claims all that nobody claims better.
        let elsewhere = others > claim || claim.unwrap_or(0) == 0 && tables::is_other_part(name);
        let inner = name.strip_prefix(&wanted.prefix).unwrap_or(name);
        if elsewhere || is_harmless(wanted.spelling, inner) || tables::is_harmless_anywhere(name) {
            named.harmless.push((*name).to_owned());
            continue;
        }
        let alias = wanted.spelling.aliases.iter().find(|(alias, _)| *alias == inner);
        if alias.is_some_and(|(_, first)| names.contains(&format!("{}{first}", wanted.prefix).as_str())) {
            named.harmless.push((*name).to_owned());
            continue;
        }
        if claim.is_none() {
            named.outside.push((*name).to_owned());
            continue;
        }
        // `to#0`, `to#1` …: parts of one tensor of the model.
        let renamed = rename(wanted.spelling.rules, inner);
        let (to, slot) = match renamed.split_once('#') {
            Some((to, rest)) => {
                let (slot, tail) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
                (format!("{to}{tail}"), slot.parse().unwrap_or(0))
            }
            None => (renamed, 0),
        };
        let parts = slots.entry(to.clone()).or_default();
        if let Some((_, first)) = parts.iter().find(|(s, _)| *s == slot) {
            let (first, second) = (first.clone(), (*name).to_owned());
            return Err(Error::Ambiguous { name: to, first, second });
        }
        parts.push((slot, (*name).to_owned()));
    }
    for (to, mut parts) in slots {
        parts.sort();
        named.by_name.insert(to, parts.into_iter().map(|(_, name)| name).collect());
    }
    Ok(named)
}

fn is_harmless(spelling: &Spelling, inner: &str) -> bool {
    spelling.harmless.iter().any(|pattern| {
        apply(pattern, "", inner).is_some_and(|(_, rest)| rest.is_empty() || pattern.ends_with('.'))
    })
}
