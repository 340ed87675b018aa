//! How the ecosystem names the tensors of the models: spellings as data, and the engine that applies them.
//!
//! The names of the published Wan files are this project's names. Other spellings are known by their anchors, tensors that
//! files of that spelling have; whatever stands in front of an anchor (`model.`, `state_dict.`, `model.diffusion_model.` …) is
//! the prefix of the whole model.

mod parts;
mod spell;
mod tables;

pub(crate) use parts::name_tensors;
pub(crate) use spell::spell;

/// One of the models whose weights are files of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Model {
    /// The Wan diffusion transformer.
    Dit,
    /// The Wan VAE.
    Vae,
    /// The UMT5 text encoder.
    T5,
    /// The CLIP image encoder.
    Clip,
    /// LHM, which makes avatars.
    Lhm,
    /// Sapiens' encoder, which LHM sees bodies with.
    Sapiens,
}

impl Model {
    /// What messages call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dit => "Wan transformer",
            Self::Vae => "Wan VAE",
            Self::T5 => "UMT5 encoder",
            Self::Clip => "CLIP image encoder",
            Self::Lhm => "LHM",
            Self::Sapiens => "Sapiens encoder",
        }
    }
}

/// A way to name a model's tensors.
#[derive(Debug)]
pub(crate) struct Spelling {
    /// Tensors that files of this spelling have; any of them tells it, for one may be lost on the way.
    anchors: &'static [&'static str],
    /// Beginnings of names of which one must be there too, where an anchor alone could be another model's. Empty: none.
    beside: &'static [&'static str],
    /// Beginnings of all of the model's names, where it shares a prefix with others. Empty: everything below the prefix.
    roots: &'static [&'static str],
    rules: &'static [Rule],
    /// Names of what files hold besides and nobody needs; `{}` is one number, a name that ends in a dot stands for all below it.
    harmless: &'static [&'static str],
    /// Second names of a tensor: the first is harmless where the second is there.
    aliases: &'static [(&'static str, &'static str)],
}

/// Names that begin with `from` begin with `to` instead; `{}` stands for one number, the same on both sides. What follows is
/// looked up in `rest` and kept where it isn't there.
#[derive(Debug)]
struct Rule {
    from: &'static str,
    to: &'static str,
    rest: &'static [(&'static str, &'static str)],
}

/// A model's tensor: the file's tensors that make it up, stacked along the first axis (nearly always one).
pub(crate) type Parts = Vec<String>;

/// One name in the model's own spelling; unchanged where no rule knows it.
pub(crate) fn to_own(model: Model, name: &str) -> String {
    tables::spellings(model)
        .iter()
        .filter(|s| !s.rules.is_empty())
        .map(|s| rename(s.rules, name))
        .find(|renamed| renamed != name && !renamed.contains('#'))
        .unwrap_or_else(|| name.to_owned())
}

/// A model's own name as each other library spells it.
pub(crate) fn to_others(model: Model, own: &str) -> Vec<String> {
    let spelled = |s: &Spelling| s.anchors.first().map(|anchor| spell(model, anchor, own));
    tables::spellings(model).iter().filter_map(spelled).flatten().filter(|name| name != own).collect()
}

fn rename(rules: &[Rule], name: &str) -> String {
    for rule in rules {
        if let Some((to, rest)) = apply(rule.from, rule.to, name) {
            for (from, replacement) in rule.rest {
                if let Some(tail) = rest.strip_prefix(from) {
                    return format!("{to}{replacement}{tail}");
                }
            }
            return format!("{to}{rest}");
        }
    }
    name.to_owned()
}

/// The new beginning and the rest of a name that begins with `from`.
fn apply<'a>(from: &str, to: &str, name: &'a str) -> Option<(String, &'a str)> {
    let mut rest = name;
    let mut numbers = Vec::new();
    for (i, piece) in from.split("{}").enumerate() {
        if i > 0 {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if digits == 0 {
                return None;
            }
            numbers.push(&rest[..digits]);
            rest = &rest[digits..];
        }
        rest = rest.strip_prefix(piece)?;
    }
    let mut out = String::new();
    for (i, piece) in to.split("{}").enumerate() {
        if i > 0 {
            out += numbers.get(i - 1)?;
        }
        out += piece;
    }
    Some((out, rest))
}

#[cfg(test)]
mod tests;
