//! A model's own name as another library spells it: the tables, read backwards.

use super::{Model, Rule, rename, tables};

/// The name (or names, where the other library keeps a tensor in parts that are stacked) of the spelling with this anchor. A name that
/// the spelling doesn't change stays.
pub(crate) fn spell(model: Model, anchor: &str, own: &str) -> Vec<String> {
    let Some(spelling) = tables::spellings(model).iter().find(|s| s.anchors.contains(&anchor)) else {
        return vec![own.to_owned()];
    };
    let mut parts: Vec<(usize, String)> = Vec::new();
    // Later rules speak of fewer names.
    for rule in spelling.rules.iter().rev() {
        for (slot, name) in backwards(rule, own) {
            let forward = rename(spelling.rules, &name);
            let whole = match forward.split_once('#') {
                None => forward,
                Some((to, rest)) => format!("{to}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit())),
            };
            if whole == own && parts.iter().all(|(s, _)| *s != slot) {
                parts.push((slot, name));
            }
        }
        if !parts.is_empty() {
            break;
        }
    }
    parts.sort();
    let names: Vec<String> = parts.into_iter().map(|(_, name)| name).collect();
    if names.is_empty() { vec![own.to_owned()] } else { names }
}

/// What a rule may have made `own` from, with the number of the part that it would be.
fn backwards(rule: &Rule, own: &str) -> Vec<(usize, String)> {
    let Some((from, rest)) = super::apply(rule.to, rule.from, own) else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for (theirs, ours) in rule.rest {
        let (slot, ours) = match ours.split_once('#') {
            Some((to, number)) => (number.trim_end_matches('.').parse().unwrap_or(0), format!("{to}.")),
            None => (0, (*ours).to_owned()),
        };
        if let Some(tail) = rest.strip_prefix(ours.as_str()) {
            names.push((slot, format!("{from}{theirs}{tail}")));
        }
    }
    if names.is_empty() {
        names.push((0, format!("{from}{rest}")));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Manifest, preset};
    use std::collections::BTreeSet;

    #[test]
    fn every_tensor_of_every_model_comes_back() {
        for (model, config, anchor) in [
            (Model::Dit, "wan2.1-i2v-14b-720p", "condition_embedder.time_embedder.linear_1.weight"),
            (Model::Vae, "wan2.1-vae", "decoder.conv_in.weight"),
            (Model::T5, "umt5-xxl", "shared.weight"),
            (Model::T5, "umt5-xxl", "token_embd.weight"),
        ] {
            let manifest = Manifest::of(model, &preset(config).unwrap()).unwrap();
            let spelled: BTreeSet<String> =
                manifest.tensors.keys().flat_map(|name| spell(model, anchor, name)).collect();
            assert_eq!(spelled.len(), manifest.tensors.len(), "{anchor}");
            let names: Vec<&str> = spelled.iter().map(String::as_str).collect();
            let named = super::super::name_tensors(model, &names, None).unwrap();
            assert!(named.by_name.keys().eq(manifest.tensors.keys()), "{anchor}");
        }
        let anchor = "vision_model.embeddings.class_embedding";
        let parts = spell(Model::Clip, anchor, "visual.transformer.7.attn.to_qkv.bias");
        assert_eq!(
            parts,
            ["q", "k", "v"].map(|p| format!("vision_model.encoder.layers.7.self_attn.{p}_proj.bias"))
        );
        assert_eq!(spell(Model::Clip, anchor, "visual.cls_embedding"), [anchor]);
    }
}
