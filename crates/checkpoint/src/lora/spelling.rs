//! How LoRA files name their tensors. Sources: PEFT, diffusers, kohya's and musubi's scripts, VideoX-Fun, LightX2V, LyCORIS, and
//! the files that are published for Wan.

/// What a tensor of a LoRA is to its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// `[rank, in]`
    Down,
    /// `[out, rank]`
    Up,
    /// What the up matrix's layer adds besides: `[out]`, for the module's bias.
    UpBias,
    /// One number.
    Alpha,
    /// A difference to the module's tensor of this suffix.
    Difference(&'static str),
}

/// What a key of a LoRA file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key<'a> {
    /// A part of a module's LoRA. The module is named as the file spells it, without what all names begin with.
    Part(&'a str, Part),
    /// A tensor of the model itself, to be taken in place of the base's (PEFT's `modules_to_save` and biases).
    Whole(String),
    /// Something of a LoRA that no rule knows.
    Unknown,
}

/// Endings; `*` is one segment of any name (PEFT's adapter name). The first that fits counts.
const ENDINGS: [(&str, Part); 25] = [
    (".lora_A.weight", Part::Down),
    (".lora_B.weight", Part::Up),
    (".lora_B.bias", Part::UpBias),
    (".lora_A.*.weight", Part::Down),
    (".lora_B.*.weight", Part::Up),
    (".lora_B.*.bias", Part::UpBias),
    (".lora_A", Part::Down),
    (".lora_B", Part::Up),
    (".lora_down.weight", Part::Down),
    (".lora_up.weight", Part::Up),
    (".lora_up.bias", Part::UpBias),
    (".lora_down", Part::Down),
    (".lora_up", Part::Up),
    (".lora.down.weight", Part::Down),
    (".lora.up.weight", Part::Up),
    (".lora.up.bias", Part::UpBias),
    (".lora_linear_layer.down.weight", Part::Down),
    (".lora_linear_layer.up.weight", Part::Up),
    (".lora_linear_layer.up.bias", Part::UpBias),
    (".alpha", Part::Alpha),
    (".lora_alpha", Part::Alpha),
    (".network_alpha", Part::Alpha),
    (".diff_b", Part::Difference(".bias")),
    (".diff_m", Part::Difference(".modulation")),
    (".diff", Part::Difference(".weight")),
];

/// What stands in front of the module's own name, in any order and number. Longer ones come first.
const PREFIXES: [&str; 14] = [
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "lora_transformer_",
    "lora_unet__",
    "lora_unet_",
    "transformer.",
    "state_dict.",
    "lycoris_",
    "module.",
    "model.",
    "unet.",
    "lora.",
    "dit.",
];

/// What `key` says. Tensors of adapters that aren't LoRA are [`family`](super::family::of_key)'s to find first.
pub(super) fn read(key: &str) -> Key<'_> {
    if let Some((module, part)) = ENDINGS.iter().find_map(|(end, part)| Some((strip(key, end)?, *part))) {
        return if module.is_empty() { Key::Unknown } else { Key::Part(without_prefix(module), part) };
    }
    if key.split('.').any(|segment| segment.to_ascii_lowercase().contains("lora_")) {
        return Key::Unknown;
    }
    // PEFT keeps the base's layer as `base_layer` and saved modules as `modules_to_save.NAME`.
    let mut segments: Vec<&str> = Vec::new();
    let mut rest = without_prefix(key).split('.').peekable();
    while let Some(segment) = rest.next() {
        match segment {
            "base_layer" => {}
            "modules_to_save" => {
                // The adapter's name is there in training checkpoints and not in saved adapters.
                if rest.peek().is_some_and(|next| !matches!(*next, "weight" | "bias")) {
                    rest.next();
                }
            }
            _ => segments.push(segment),
        }
    }
    Key::Whole(segments.join("."))
}

fn without_prefix(name: &str) -> &str {
    // AniCrafter's shards: what follows "pipe.dit.", wherever that stands.
    let mut name = name.split_once("pipe.dit.").map_or(name, |(_, inner)| inner);
    while let Some(rest) = PREFIXES.iter().find_map(|p| name.strip_prefix(p)).filter(|r| !r.is_empty()) {
        name = rest;
    }
    name
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
        use Part::{Alpha, Difference, Down, Up, UpBias};
        let table = [
            ("pipe.dit.blocks.0.self_attn.q.lora_A.default.weight", "blocks.0.self_attn.q", Down),
            ("x.pipe.dit.blocks.0.ffn.2.lora_B.weight", "blocks.0.ffn.2", Up),
            ("diffusion_model.blocks.1.cross_attn.k_img.lora_B.weight", "blocks.1.cross_attn.k_img", Up),
            ("base_model.model.blocks.1.ffn.0.lora_A.weight", "blocks.1.ffn.0", Down),
            ("base_model.model.dit.blocks.1.ffn.0.lora_A.weight", "blocks.1.ffn.0", Down),
            ("transformer.blocks.2.attn1.to_q.lora_A.weight", "blocks.2.attn1.to_q", Down),
            ("diffusion_model.blocks.2.ffn.0.lora_A", "blocks.2.ffn.0", Down),
            ("diffusion_model.blocks.2.ffn.0.lora_B", "blocks.2.ffn.0", Up),
            ("transformer.blocks.2.attn1.to_q.lora_B.bias", "blocks.2.attn1.to_q", UpBias),
            ("transformer.blocks.2.attn1.to_q.lora_B.fast.bias", "blocks.2.attn1.to_q", UpBias),
            ("lora_unet_blocks_3_ffn_0.lora_up.weight", "blocks_3_ffn_0", Up),
            ("lora_unet__blocks_3_ffn_0.lora_down.weight", "blocks_3_ffn_0", Down),
            ("lora_unet_blocks_3_ffn_0.alpha", "blocks_3_ffn_0", Alpha),
            ("blocks.4.ffn.0.lora_down.weight", "blocks.4.ffn.0", Down),
            ("diffusion_model.head.head.diff", "head.head", Difference(".weight")),
            ("diffusion_model.blocks.0.norm3.diff_b", "blocks.0.norm3", Difference(".bias")),
            ("diffusion_model.blocks.0.diff_m", "blocks.0", Difference(".modulation")),
            ("diffusion_model.blocks.0.modulation.diff", "blocks.0.modulation", Difference(".weight")),
        ];
        for (key, module, part) in table {
            assert_eq!(read(key), Key::Part(module, part), "{key}");
        }
        for (key, name) in [
            ("pipe.blend_embedding.0.weight", "pipe.blend_embedding.0.weight"),
            ("pipe.dit.head.head.bias", "head.head.bias"),
            ("base_model.model.head.head.weight", "head.head.weight"),
            ("base_model.model.head.head.modules_to_save.default.weight", "head.head.weight"),
            ("base_model.model.head.head.modules_to_save.weight", "head.head.weight"),
            ("base_model.model.blocks.0.ffn.0.base_layer.bias", "blocks.0.ffn.0.bias"),
        ] {
            assert_eq!(read(key), Key::Whole(name.to_owned()), "{key}");
        }
        for key in ["a.lora_A..weight", "lora_A.weight", "a.lora_A.bias", "a.lora_C.weight", ".lora_A.weight"]
        {
            assert_eq!(read(key), Key::Unknown, "{key}");
        }
    }
}
