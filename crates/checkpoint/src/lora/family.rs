//! Adapters that look like LoRA or come in the same files, and are merged in another way: known by name, and refused by it.
//!
//! Merged as plain LoRA they would give a wrong model without a word. Sources of the names: PEFT's tuners, LyCORIS, kohya's scripts,
//! ComfyUI's weight adapters.

use serde_json::Value;

/// Segments of a key and the family they belong to. A token that ends in `_` is the beginning of a segment.
const TOKENS: [(&str, &str); 34] = [
    ("dora_", "DoRA"),
    ("hada_", "LoHa"),
    ("lokr_", "LoKr"),
    ("oft_", "OFT"),
    ("boft_", "BOFT"),
    ("glora_", "GLoRA"),
    ("ia3_", "IA³"),
    ("on_input", "IA³"),
    ("w_norm", "whole norms (w_norm)"),
    ("b_norm", "whole norms (b_norm)"),
    ("set_weight", "whole weights (set_weight)"),
    ("set_bias", "whole biases (set_bias)"),
    ("reshape_weight", "weights of another shape (reshape_weight)"),
    ("lora_mid", "LoCon with a middle matrix"),
    ("lora_t1", "Tucker LoRA"),
    ("lora_t2", "Tucker LoRA"),
    ("lora_embedding_", "LoRA of an embedding"),
    ("lora_E", "AdaLoRA"),
    ("ranknum", "AdaLoRA"),
    ("vera_", "VeRA"),
    ("vblora_", "VB-LoRA"),
    ("randlora_", "RandLoRA"),
    ("fourierft_", "FourierFT"),
    ("waveft_", "WaveFT"),
    ("hra_", "HRA"),
    ("bone_", "Bone"),
    ("miss_", "MiSS"),
    ("shira_", "SHiRA"),
    ("poly_", "Poly"),
    ("c3a_", "C3A"),
    ("road_", "RoAd"),
    ("delora_", "DeLoRA"),
    ("ssf_", "SSF"),
    ("bundle_emb", "embeddings of new words (bundle_emb)"),
];

/// GLoRA's four matrices have names that only count at the end of a key.
const GLORA: [&str; 4] = [".a1.weight", ".a2.weight", ".b1.weight", ".b2.weight"];

/// The family that a tensor belongs to, where it isn't LoRA.
pub(super) fn of_key(key: &str) -> Option<&'static str> {
    if key.contains("magnitude") {
        return Some("DoRA");
    }
    if GLORA.iter().any(|end| key.ends_with(end)) {
        return Some("GLoRA");
    }
    let of = |segment: &str| {
        let fits =
            |token: &str| if token.ends_with('_') { segment.starts_with(token) } else { segment == token };
        TOKENS.iter().find(|(token, _)| fits(token)).map(|(_, family)| *family)
    };
    key.split('.').find_map(of)
}

/// Ways to begin PEFT's training that change the base: the saved pair doesn't fit the untouched one.
const CHANGES_BASE: [&str; 5] = ["pissa", "olora", "corda", "loftq", "lora_ga"];

/// The family that a configuration of PEFT (`adapter_config.json`, or its copy in a file's metadata) speaks of, where it isn't
/// plain LoRA.
pub(super) fn of_config(config: &Value) -> Option<String> {
    if config["use_dora"] == true {
        return Some("DoRA (use_dora)".to_owned());
    }
    if config["use_qalora"] == true {
        return Some("QALoRA (use_qalora)".to_owned());
    }
    if let Some(kind) = config["peft_type"].as_str().filter(|kind| !kind.eq_ignore_ascii_case("lora")) {
        return Some(format!("{kind} (peft_type)"));
    }
    let begun = config["init_lora_weights"].as_str().unwrap_or_default().to_ascii_lowercase();
    let changed = CHANGES_BASE.iter().any(|way| begun.starts_with(way));
    changed.then(|| format!("LoRA on a changed base (init_lora_weights {begun})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_family_has_its_name() {
        let m = "diffusion_model.blocks.0.self_attn.q";
        for (end, family) in [
            (".lora_magnitude_vector", "DoRA"),
            (".lora_magnitude_vector.default.weight", "DoRA"),
            (".dora_scale", "DoRA"),
            (".hada_w2_b", "LoHa"),
            (".hada_t1", "LoHa"),
            (".lokr_w1", "LoKr"),
            (".lokr_w2_a", "LoKr"),
            (".lokr_t2", "LoKr"),
            (".oft_blocks", "OFT"),
            (".oft_R.weight", "OFT"),
            (".oft_diag", "OFT"),
            (".boft_R", "BOFT"),
            (".a1.weight", "GLoRA"),
            (".ia3_l", "IA³"),
            (".on_input", "IA³"),
            (".lora_mid.weight", "LoCon with a middle matrix"),
            (".lora_E.default", "AdaLoRA"),
            (".vera_lambda_b", "VeRA"),
        ] {
            assert_eq!(of_key(&format!("{m}{end}")), Some(family), "{end}");
        }
        for plain in
            [".lora_A.weight", ".lora_down.weight", ".alpha", ".diff", ".diff_b", ".weight", ".lora_B.bias"]
        {
            assert_eq!(of_key(&format!("{m}{plain}")), None, "{plain}");
        }
        assert_eq!(
            of_config(&json!({ "peft_type": "LORA", "use_dora": false, "init_lora_weights": true })),
            None
        );
        for config in [
            json!({ "use_dora": true }),
            json!({ "peft_type": "LOHA" }),
            json!({ "init_lora_weights": "pissa_niter_4" }),
        ] {
            assert!(of_config(&config).is_some(), "{config}");
        }
    }
}
