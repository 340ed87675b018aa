//! How LoRA files name their tensors. Sources: PEFT, diffusers, kohya's scripts, LyCORIS, and the files that are published
//! for Wan.

/// What a tensor of a LoRA file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// `[rank, in]`
    Down,
    /// `[out, rank]`
    Up,
    /// One number.
    Alpha,
    /// A difference to the module's tensor of this suffix.
    Diff(&'static str),
    /// Part of an adapter that is merged in another way.
    Unsupported,
}

/// Endings; `*` is one segment of any name (PEFT's adapter name).
const ENDINGS: [(&str, Part); 24] = [
    (".lora_A.weight", Part::Down),
    (".lora_B.weight", Part::Up),
    (".lora_A.*.weight", Part::Down),
    (".lora_B.*.weight", Part::Up),
    (".lora_down.weight", Part::Down),
    (".lora_up.weight", Part::Up),
    (".lora.down.weight", Part::Down),
    (".lora.up.weight", Part::Up),
    (".lora_linear_layer.down.weight", Part::Down),
    (".lora_linear_layer.up.weight", Part::Up),
    (".alpha", Part::Alpha),
    (".lora_alpha", Part::Alpha),
    (".diff", Part::Diff(".weight")),
    (".diff_b", Part::Diff(".bias")),
    (".diff_m", Part::Diff(".modulation")),
    (".dora_scale", Part::Unsupported),
    (".lora_magnitude_vector.*", Part::Unsupported),
    (".lora_mid.weight", Part::Unsupported),
    (".hada_w1_a", Part::Unsupported),
    (".lokr_w1", Part::Unsupported),
    (".lokr_w2", Part::Unsupported),
    (".lokr_w1_a", Part::Unsupported),
    (".oft_blocks", Part::Unsupported),
    (".lora_B.bias", Part::Unsupported),
];

/// What stands in front of the module's own name. Longer ones come first.
const PREFIXES: [&str; 10] = [
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "lora_unet_",
    "lora_transformer_",
    "lycoris_",
    "unet.",
    "model.",
    "dit.",
];

/// The module that a LoRA's tensor changes, as far as the file says, and what the tensor is. `None` for tensors that are
/// no LoRA.
pub(super) fn split(key: &str) -> Option<(&str, Part)> {
    let (module, part) = ENDINGS.iter().find_map(|(ending, part)| Some((strip(key, ending)?, *part)))?;
    // AniCrafter's shards: what follows "pipe.dit.", wherever that stands.
    if let Some((_, inner)) = module.split_once("pipe.dit.") {
        return Some((inner, part));
    }
    let stripped = PREFIXES.iter().find_map(|p| module.strip_prefix(p)).unwrap_or(module);
    // "base_model.model." may stand in front of another prefix.
    let stripped = PREFIXES.iter().find_map(|p| stripped.strip_prefix(p)).unwrap_or(stripped);
    Some((stripped, part))
}

fn strip<'a>(key: &'a str, ending: &str) -> Option<&'a str> {
    let Some((before, after)) = ending.split_once('*') else {
        return key.strip_suffix(ending);
    };
    let rest = key.strip_suffix(after)?;
    let dot = rest.rfind('.')?;
    (dot + 1 < rest.len()).then_some(())?;
    rest[..=dot].strip_suffix(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ecosystem_in_one_table() {
        let table = [
            ("pipe.dit.blocks.0.self_attn.q.lora_A.default.weight", "blocks.0.self_attn.q", Part::Down),
            ("x.pipe.dit.blocks.0.ffn.2.lora_B.weight", "blocks.0.ffn.2", Part::Up),
            (
                "diffusion_model.blocks.1.cross_attn.k_img.lora_B.weight",
                "blocks.1.cross_attn.k_img",
                Part::Up,
            ),
            ("base_model.model.blocks.1.ffn.0.lora_A.weight", "blocks.1.ffn.0", Part::Down),
            ("base_model.model.dit.blocks.1.ffn.0.lora_A.weight", "blocks.1.ffn.0", Part::Down),
            ("transformer.blocks.2.attn1.to_q.lora_A.weight", "blocks.2.attn1.to_q", Part::Down),
            ("lora_unet_blocks_3_ffn_0.lora_up.weight", "blocks_3_ffn_0", Part::Up),
            ("lora_unet_blocks_3_ffn_0.alpha", "blocks_3_ffn_0", Part::Alpha),
            ("blocks.4.ffn.0.lora_down.weight", "blocks.4.ffn.0", Part::Down),
            ("diffusion_model.head.head.diff", "head.head", Part::Diff(".weight")),
            ("diffusion_model.blocks.0.norm3.diff_b", "blocks.0.norm3", Part::Diff(".bias")),
            ("diffusion_model.blocks.0.diff_m", "blocks.0", Part::Diff(".modulation")),
            ("diffusion_model.blocks.0.ffn.0.dora_scale", "blocks.0.ffn.0", Part::Unsupported),
        ];
        for (key, module, part) in table {
            assert_eq!(split(key), Some((module, part)), "{key}");
        }
        for other in
            ["pipe.blend_embedding.0.weight", "pipe.dit.head.head.bias", "a.lora_A..weight", "lora_A.weight"]
        {
            assert_eq!(split(other), None, "{other}");
        }
    }
}
