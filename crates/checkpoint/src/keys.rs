//! How the ecosystem names the tensors of the four models: spellings as data, and the engine that applies them.
//!
//! The names of the published Wan files are this project's names. Other spellings are known by an anchor, a tensor that
//! every file of that spelling has; whatever stands in front of the anchor (`model.`, `state_dict.`,
//! `model.diffusion_model.` …) is the prefix of the whole model.

mod tables;

use crate::{Error, Result};
use std::collections::BTreeMap;

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
        }
    }
}

/// A way to name a model's tensors.
pub(crate) struct Spelling {
    /// A tensor that every file of this spelling has.
    anchor: &'static str,
    rules: &'static [Rule],
}

/// Names that begin with `from` begin with `to` instead; `{}` stands for one number, the same on both sides. What follows is
/// looked up in `rest` and kept where it isn't there.
struct Rule {
    from: &'static str,
    to: &'static str,
    rest: &'static [(&'static str, &'static str)],
}

/// A model's tensor: the file's tensors that make it up, stacked along the first axis (nearly always one).
pub(crate) type Parts = Vec<String>;

/// The model's names for what a file holds.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub(crate) by_name: BTreeMap<String, Parts>,
    /// Tensors of the file that lie outside the model.
    pub(crate) outside: Vec<String>,
}

/// Finds `model` among the names of a file.
pub(crate) fn name_tensors(model: Model, names: &[&str]) -> Result<Named> {
    let spellings = tables::spellings(model);
    let mut found: Vec<(&str, &Spelling)> = Vec::new();
    for spelling in spellings {
        for name in names {
            let prefix = name.strip_suffix(spelling.anchor);
            if let Some(prefix) = prefix.filter(|p| p.is_empty() || p.ends_with('.')) {
                found.push((prefix, spelling));
            }
        }
        // Spellings are tried in order; the first that fits is the one.
        if !found.is_empty() {
            break;
        }
    }
    let (prefix, spelling) = match found[..] {
        [one] => one,
        [] => {
            let anchors = spellings.iter().map(|s| s.anchor.to_owned()).collect();
            return Err(Error::NotThisModel { model: model.name(), anchors });
        }
        _ => {
            let prefixes = found.iter().map(|(prefix, _)| format!("{prefix:?}")).collect();
            return Err(Error::SeveralModels { model: model.name(), prefixes });
        }
    };
    let mut named = Named::default();
    let mut slots: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
    for name in names {
        let Some(inner) = name.strip_prefix(prefix) else {
            named.outside.push((*name).to_owned());
            continue;
        };
        // `to#0`, `to#1` …: parts of one tensor of the model.
        let renamed = rename(spelling.rules, inner);
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
    let back = |rules: &[Rule]| {
        let mut first = None;
        for rule in rules {
            let Some((from, rest)) = apply(rule.to, rule.from, own) else { continue };
            for (inner, replacement) in rule.rest {
                if let Some(tail) = rest.strip_prefix(replacement) {
                    return Some(format!("{from}{inner}{tail}"));
                }
            }
            first = first.or_else(|| Some(format!("{from}{rest}")));
        }
        first
    };
    tables::spellings(model).iter().filter_map(|s| back(s.rules)).collect()
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
mod tests {
    use super::*;

    fn one(model: Model, names: &[&str]) -> BTreeMap<String, Parts> {
        name_tensors(model, names).unwrap().by_name
    }

    #[test]
    fn prefixes_come_from_the_anchor() {
        for prefix in ["", "model.", "model.diffusion_model.", "a.b.c."] {
            let names = [
                format!("{prefix}patch_embedding.weight"),
                format!("{prefix}blocks.3.ffn.0.bias"),
                "x.y".to_owned(),
            ];
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let named = name_tensors(Model::Dit, &names).unwrap();
            assert!(named.by_name.contains_key("blocks.3.ffn.0.bias"), "{prefix}");
            assert_eq!(named.outside.len(), usize::from(!prefix.is_empty()));
        }
        let two = ["ema.patch_embedding.weight", "model.patch_embedding.weight"];
        assert!(matches!(name_tensors(Model::Dit, &two), Err(Error::SeveralModels { .. })));
        assert!(matches!(name_tensors(Model::Vae, &two), Err(Error::NotThisModel { .. })));
        assert!(matches!(
            name_tensors(Model::Vae, &["xdecoder.conv1.weight"]),
            Err(Error::NotThisModel { .. })
        ));
    }

    #[test]
    fn diffusers_names_become_wan_names() {
        let dit = [
            ("condition_embedder.time_proj.weight", "time_projection.1.weight"),
            ("condition_embedder.text_embedder.linear_2.bias", "text_embedding.2.bias"),
            ("condition_embedder.image_embedder.ff.net.0.proj.weight", "img_emb.proj.1.weight"),
            ("condition_embedder.image_embedder.norm2.bias", "img_emb.proj.4.bias"),
            ("patch_embedding.weight", "patch_embedding.weight"),
            ("blocks.17.attn1.to_out.0.weight", "blocks.17.self_attn.o.weight"),
            ("blocks.17.attn2.add_k_proj.bias", "blocks.17.cross_attn.k_img.bias"),
            ("blocks.17.attn2.norm_added_k.weight", "blocks.17.cross_attn.norm_k_img.weight"),
            ("blocks.17.norm2.weight", "blocks.17.norm3.weight"),
            ("blocks.17.ffn.net.0.proj.weight", "blocks.17.ffn.0.weight"),
            ("blocks.17.ffn.net.2.bias", "blocks.17.ffn.2.bias"),
            ("blocks.17.scale_shift_table", "blocks.17.modulation"),
            ("scale_shift_table", "head.modulation"),
            ("proj_out.weight", "head.head.weight"),
        ];
        let mut names: Vec<&str> = dit.iter().map(|(from, _)| *from).collect();
        names.push("condition_embedder.time_embedder.linear_1.weight");
        let named = one(Model::Dit, &names);
        for (from, to) in dit {
            assert_eq!(named.get(to), Some(&vec![from.to_owned()]), "{from}");
            assert_eq!(to_own(Model::Dit, from), to);
            assert_eq!(to_others(Model::Dit, to), [from]);
        }
        let vae = [
            ("decoder.conv_in.weight", "decoder.conv1.weight"),
            ("quant_conv.bias", "conv1.bias"),
            ("post_quant_conv.weight", "conv2.weight"),
            ("encoder.down_blocks.3.conv_shortcut.weight", "encoder.downsamples.3.shortcut.weight"),
            ("encoder.down_blocks.5.time_conv.bias", "encoder.downsamples.5.time_conv.bias"),
            ("encoder.mid_block.resnets.1.norm2.gamma", "encoder.middle.2.residual.3.gamma"),
            ("decoder.mid_block.attentions.0.to_qkv.weight", "decoder.middle.1.to_qkv.weight"),
            ("decoder.up_blocks.1.resnets.2.conv2.weight", "decoder.upsamples.6.residual.6.weight"),
            ("decoder.up_blocks.1.resnets.0.conv_shortcut.bias", "decoder.upsamples.4.shortcut.bias"),
            ("decoder.up_blocks.2.upsamplers.0.resample.1.weight", "decoder.upsamples.11.resample.1.weight"),
            ("decoder.norm_out.gamma", "decoder.head.0.gamma"),
            ("encoder.conv_out.weight", "encoder.head.2.weight"),
        ];
        let named = one(Model::Vae, &vae.map(|(from, _)| from));
        for (from, to) in vae {
            assert_eq!(named.get(to), Some(&vec![from.to_owned()]), "{from}");
        }
    }

    #[test]
    fn text_and_image_encoders_of_other_libraries() {
        let t5 = [
            ("shared.weight", "token_embedding.weight"),
            (
                "encoder.block.7.layer.0.SelfAttention.relative_attention_bias.weight",
                "blocks.7.pos_embedding.embedding.weight",
            ),
            ("encoder.block.7.layer.1.DenseReluDense.wi_0.weight", "blocks.7.ffn.gate.0.weight"),
            ("encoder.block.7.layer.1.layer_norm.weight", "blocks.7.norm2.weight"),
            ("encoder.final_layer_norm.weight", "norm.weight"),
        ];
        let named = one(Model::T5, &t5.map(|(from, _)| from));
        for (from, to) in t5 {
            assert_eq!(named.get(to), Some(&vec![from.to_owned()]), "{from}");
        }
        let gguf = [
            ("token_embd.weight", "token_embedding.weight"),
            ("enc.blk.2.ffn_up.weight", "blocks.2.ffn.fc1.weight"),
            ("enc.output_norm.weight", "norm.weight"),
        ];
        let named = one(Model::T5, &gguf.map(|(from, _)| from));
        for (from, to) in gguf {
            assert_eq!(named.get(to), Some(&vec![from.to_owned()]), "{from}");
        }
        let clip = [
            "vision_model.embeddings.class_embedding",
            "vision_model.encoder.layers.0.self_attn.v_proj.weight",
            "vision_model.encoder.layers.0.self_attn.q_proj.weight",
            "vision_model.encoder.layers.0.self_attn.k_proj.weight",
            "vision_model.encoder.layers.0.mlp.fc2.bias",
        ];
        let named = one(Model::Clip, &clip);
        assert_eq!(named["visual.transformer.0.attn.to_qkv.weight"], [clip[2], clip[3], clip[1]]);
        assert_eq!(named["visual.transformer.0.mlp.2.bias"], [clip[4]]);
        assert_eq!(named["visual.cls_embedding"], [clip[0]]);
    }

    #[test]
    fn two_names_for_one_tensor_are_refused() {
        let names =
            ["condition_embedder.time_embedder.linear_1.weight", "proj_out.weight", "head.head.weight"];
        assert!(
            matches!(name_tensors(Model::Dit, &names), Err(Error::Ambiguous { name, .. }) if name == "head.head.weight")
        );
    }
}
