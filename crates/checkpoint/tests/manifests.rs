//! The pattern files expand to the published files: their hashes of names and shapes are the ones that the reference knows
//! (`diffsynth/configs/model_config.py`), computed as it computes them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use anicrafter_checkpoint::{Manifest, Model, preset, preset_names};
use md5::{Digest, Md5};
use serde_json::Value;

/// `hash_state_dict_keys(state_dict, with_shape=True)`.
fn hash(manifest: &Manifest) -> String {
    let mut keys = Vec::new();
    for (name, shape) in &manifest.tensors {
        let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
        keys.push(format!("{name}:{}", shape.join("_")));
        keys.push(name.clone());
    }
    keys.sort();
    Md5::digest(keys.join(",")).iter().map(|b| format!("{b:02x}")).collect()
}

fn manifest(model: Model, name: &str) -> Manifest {
    Manifest::of(model, &preset::<Value>(name).unwrap()).unwrap()
}

#[test]
fn published_files_by_their_hashes() {
    for (model, name, count, parameters, expected) in [
        (Model::Dit, "wan2.1-i2v-14b-720p", 1303, 16_394_878_784, "6bfcfb3b342cb286ce886889d519a77e"),
        (Model::Vae, "wan2.1-vae", 194, 126_892_531, "ccc42284ea13e1ad04693284c7a09be6"),
        (Model::T5, "umt5-xxl", 242, 5_680_910_336, "9c8818c2cbea55eca56c7b447df170da"),
        (Model::Clip, "clip-vit-h-14", 784, 1_193_014_785, "5941c53e207d62f20f9025686193c40b"),
    ] {
        let manifest = manifest(model, name);
        assert_eq!((manifest.tensors.len(), manifest.parameters()), (count, parameters), "{name}");
        assert_eq!(hash(&manifest), expected, "{name}");
    }
}

#[test]
fn every_preset_has_a_manifest() {
    for name in preset_names() {
        let model = match name.as_str() {
            "wan2.1-vae" => Model::Vae,
            "umt5-xxl" => Model::T5,
            "clip-vit-h-14" => Model::Clip,
            _ => Model::Dit,
        };
        assert!(!manifest(model, &name).tensors.is_empty(), "{name}");
    }
    let text = manifest(Model::Dit, "wan2.1-t2v-1.3b");
    assert_eq!(text.tensors["patch_embedding.weight"], [1536, 16, 1, 2, 2]);
    assert!(!text.tensors.keys().any(|n| n.contains("img")));
    let embedders = Manifest::embedders(&preset::<Value>("wan2.1-i2v-14b-720p").unwrap()).unwrap();
    assert_eq!((embedders.tensors.len(), embedders.parameters()), (28, 738_368));
}

#[test]
fn configurations_must_have_their_numbers() {
    for broken in [
        r#"{}"#,
        r#"{"dim":-1,"z_dim":16}"#,
        r#"{"dim":96,"z_dim":1e30}"#,
        r#"{"dim":18446744073709551615,"z_dim":1}"#,
        "3",
    ] {
        let config: Value = serde_json::from_str(broken).unwrap();
        assert!(
            matches!(Manifest::of(Model::Vae, &config), Err(anicrafter_checkpoint::Error::ConfigField(_))),
            "{broken}"
        );
    }
    let unknown = preset::<Value>("wan3").unwrap_err();
    assert!(
        matches!(&unknown, anicrafter_checkpoint::Error::NoPreset { known, .. } if known.len() == 7),
        "{unknown}"
    );
}
