//! LoRA files as people hold them: who states the scale, biases and whole weights, what is refused or left out, and the report.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use anicrafter_checkpoint::{Alpha, Checkpoint, Error, Lora, Model, ScaleOrigin};
use candle_core::{DType, Device};
use nn::WeightSource;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tensorfile::{TensorSource, TensorView, parse, safetensors_bytes, write_safetensors};

const Q: &str = "blocks.0.self_attn.q";

fn f32s(shape: &[usize], numbers: &[f32]) -> TensorView<'static> {
    TensorView::from_f32(shape, numbers).unwrap()
}

type Tensors = Vec<(String, TensorView<'static>)>;

fn named(list: &[(&str, TensorView<'static>)]) -> Tensors {
    list.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect()
}

fn bytes(tensors: &Tensors, metadata: &[(&str, &str)]) -> Vec<u8> {
    let borrowed: Vec<_> = tensors.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
    let metadata: BTreeMap<String, String> =
        metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    safetensors_bytes(&borrowed, &metadata).unwrap()
}

fn source(tensors: &Tensors, metadata: &[(&str, &str)]) -> Arc<dyn TensorSource> {
    Arc::from(parse(bytes(tensors, metadata)).unwrap())
}

/// Everything is 0.5; a layer, its bias, a norm, a modulation, and a patch embedding of three channels.
fn base() -> Checkpoint {
    let tensors = named(&[
        ("patch_embedding.weight", f32s(&[2, 3, 1, 2, 2], &[0.5; 24])),
        ("blocks.0.self_attn.q.weight", f32s(&[2, 2], &[0.5; 4])),
        ("blocks.0.self_attn.q.bias", f32s(&[2], &[0.5; 2])),
        ("blocks.0.norm3.weight", f32s(&[2], &[0.5; 2])),
        ("blocks.0.modulation", f32s(&[1, 6, 2], &[0.5; 12])),
        ("head.head.weight", f32s(&[2, 2], &[0.5; 4])),
    ]);
    Checkpoint::from_tensors(source(&tensors, &[])).for_model(Model::Dit).unwrap()
}

/// A pair of rank 4 whose product is 0.5 everywhere.
fn pair(module: &str, down: &str, up: &str) -> Tensors {
    vec![
        (format!("{module}{down}"), f32s(&[4, 2], &[0.5; 8])),
        (format!("{module}{up}"), f32s(&[2, 4], &[0.25; 8])),
    ]
}

fn plain(module: &str) -> Tensors {
    pair(module, ".lora_A.weight", ".lora_B.weight")
}

fn open(tensors: &Tensors, metadata: &[(&str, &str)]) -> Result<Checkpoint, Error> {
    base().with_lora(&Lora::from_tensors("my.safetensors", source(tensors, metadata), Alpha::FromFile)?, 1.0)
}

fn first(checkpoint: &Checkpoint, name: &str) -> f32 {
    let shape = checkpoint.info(name).unwrap().shape;
    let tensor = checkpoint.dense(name, &shape.as_slice().into(), DType::F32, &Device::Cpu).unwrap();
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0]
}

#[test]
fn the_scale_comes_from_whoever_is_nearest() {
    let module = format!("transformer.{Q}");
    let adapter = r#"{"transformer.r": 4, "transformer.lora_alpha": 2, "transformer.use_dora": false}"#;
    let patterns = r#"{"r": 8, "lora_alpha": 8, "rank_pattern": {"self_attn.q": 4}, "alpha_pattern": {".*attn\\.[qk]": 2}}"#;
    let stabilised = r#"{"lora_alpha": 4, "use_rslora": true}"#;
    for (metadata, weight) in [
        (vec![], 1.0),
        (vec![("lora_adapter_metadata", adapter)], 0.75),
        (vec![("lora_adapter_metadata", patterns)], 0.75),
        (vec![("lora_adapter_metadata", r#"{"unet.lora_alpha": 2}"#)], 0.75),
        (
            vec![("lora_adapter_metadata", r#"{"transformer.lora_alpha": 2, "text_encoder.lora_alpha": 9}"#)],
            0.75,
        ),
        (vec![("lora_adapter_metadata", stabilised)], 1.5),
        (vec![("lora_alpha", "2")], 0.75),
        (vec![("alpha", "2.0")], 0.75),
        (vec![("ss_network_alpha", "2"), ("ss_network_dim", "4")], 0.75),
        (vec![("ss_network_alpha", "None")], 1.0),
        // The adapter's own metadata comes first.
        (vec![("lora_adapter_metadata", adapter), ("ss_network_alpha", "400")], 0.75),
    ] {
        let checkpoint = open(&plain(&module), &metadata).unwrap();
        assert_eq!(first(&checkpoint, &format!("{Q}.weight")), weight, "{metadata:?}");
        let mut own = plain(&module);
        own.push((format!("{module}.alpha"), f32s(&[], &[1.0])));
        let checkpoint = open(&own, &metadata).unwrap();
        assert_eq!(first(&checkpoint, &format!("{Q}.weight")), 0.625, "{metadata:?}");
        assert_eq!(checkpoint.lora_reports()[0].scales[0].origin, ScaleOrigin::AlphaTensor);
    }
    let wrong_rank = r#"{"r": 16, "lora_alpha": 16}"#;
    let error = open(&plain(&module), &[("lora_adapter_metadata", wrong_rank)]).unwrap_err();
    assert!(matches!(error, Error::LoraRank { found: 4, .. }), "{error}");
    for (key, value) in [
        ("lora_alpha", "many"),
        ("lora_adapter_metadata", "{"),
        ("lora_adapter_metadata", r#"{"lora_alpha": "x"}"#),
        ("lora_adapter_metadata", r#"{"alpha_pattern": {"(": 1}}"#),
    ] {
        let error = open(&plain(&module), &[(key, value)]).unwrap_err();
        assert!(matches!(&error, Error::LoraNumber { what, .. } if what.contains(key)), "{value}: {error}");
    }
    for value in [r#"{"transformer.use_dora": true}"#, r#"{"peft_type": "LOHA"}"#] {
        let error = open(&plain(&module), &[("lora_adapter_metadata", value)]).unwrap_err();
        assert!(matches!(error, Error::LoraKind { .. }), "{value}: {error}");
    }
}

#[test]
fn an_adapter_config_counts_for_pefts_files_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("adapter_config.json"), r#"{"peft_type":"LORA","r":4,"lora_alpha":8}"#)
        .unwrap();
    let write = |name: &str, tensors: &Tensors| {
        let path = dir.path().join(name);
        let borrowed: Vec<_> = tensors.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
        write_safetensors(&path, &borrowed, &BTreeMap::new()).unwrap();
        path
    };
    let weight = |path: &Path| {
        let checkpoint = base().with_lora(&Lora::open(&[path], Alpha::FromFile).unwrap(), 1.0).unwrap();
        first(&checkpoint, &format!("{Q}.weight"))
    };
    assert_eq!(weight(&write("kohya.safetensors", &plain(&format!("diffusion_model.{Q}")))), 1.0);
    assert_eq!(weight(&write("peft.safetensors", &plain(&format!("base_model.model.{Q}")))), 1.5);
    assert_eq!(weight(&write("adapter_model.safetensors", &plain(Q))), 1.5);
    // PEFT's name is the one that counts in a folder of several.
    assert_eq!(weight(dir.path()), 1.5);
    std::fs::write(dir.path().join("adapter_config.json"), r#"{"use_dora":true,"lora_alpha":8}"#).unwrap();
    let error = Lora::open(&[dir.path()], Alpha::FromFile).unwrap_err();
    assert!(matches!(&error, Error::LoraKind { key, .. } if key.contains("adapter_config.json")), "{error}");
}

#[test]
fn biases_and_whole_weights_are_merged() {
    for (bias, named) in [(".lora_B.bias", ""), (".lora_B.fast.bias", ".fast")] {
        let module = format!("transformer.{Q}");
        let mut tensors = pair(&module, &format!(".lora_A{named}.weight"), &format!(".lora_B{named}.weight"));
        tensors.push((format!("{module}{bias}"), f32s(&[2], &[0.25; 2])));
        let checkpoint = open(&tensors, &[("lora_alpha", "8")]).unwrap();
        assert_eq!(first(&checkpoint, &format!("{Q}.weight")), 1.5);
        assert_eq!(first(&checkpoint, &format!("{Q}.bias")), 1.0, "the bias of B is scaled as B is");
    }
    let mut tensors = plain(&format!("base_model.model.{Q}"));
    for (name, value) in [
        ("base_model.model.head.head.modules_to_save.default.weight", 3.0),
        ("base_model.model.blocks.0.self_attn.q.base_layer.weight", 2.0),
    ] {
        tensors.push((name.to_owned(), f32s(&[2, 2], &[value; 4])));
    }
    let lora = Lora::from_tensors("l", source(&tensors, &[]), Alpha::FromFile).unwrap();
    let checkpoint = base().with_lora(&lora, 1.0).unwrap();
    assert_eq!(first(&checkpoint, "head.head.weight"), 3.0);
    let rows = checkpoint.rows("head.head.weight", (2, 2), &[1], DType::F32, &Device::Cpu).unwrap();
    assert_eq!(rows.to_vec2::<f32>().unwrap(), [[3.0; 2]], "rows are merged too");
    assert_eq!(first(&checkpoint, &format!("{Q}.weight")), 2.5, "replaced first, then the pair");
    let half = base().with_lora(&lora, 0.5).unwrap();
    assert_eq!(first(&half, "head.head.weight"), 1.75);
    let report = &checkpoint.lora_reports()[0];
    assert_eq!((report.targets, report.pairs, report.whole), (2, 1, 2));
}

#[test]
fn spellings_of_modules_and_modulations() {
    for (module, down, up) in [
        ("lora_unet__blocks_0_self_attn_q", ".lora_down.weight", ".lora_up.weight"),
        ("lora_unet_blocks_0_attn1_to_q", ".lora_down.weight", ".lora_up.weight"),
        ("lycoris_blocks_0_attn1_to_q", ".lora_down.weight", ".lora_up.weight"),
        ("diffusion_model.blocks.0.self_attn.q", ".lora_A", ".lora_B"),
        ("diffusion_model.blocks.0.attn1.to_q", ".lora_A.weight", ".lora_B.weight"),
        ("state_dict.module.blocks.0.self_attn.q", ".lora_A.weight", ".lora_B.weight"),
    ] {
        let checkpoint = open(&pair(module, down, up), &[]).unwrap();
        assert_eq!(first(&checkpoint, &format!("{Q}.weight")), 1.0, "{module}");
    }
    for name in [
        "diffusion_model.blocks.0.modulation.diff",
        "diffusion_model.blocks.0.diff_m",
        "transformer.blocks.0.scale_shift_table.diff",
    ] {
        let checkpoint = open(&named(&[(name, f32s(&[1, 6, 2], &[0.25; 12]))]), &[]).unwrap();
        assert_eq!(first(&checkpoint, "blocks.0.modulation"), 0.75, "{name}");
    }
}

#[test]
fn what_is_not_understood_is_an_error() {
    let with = |key: &str| {
        let mut tensors = plain(Q);
        tensors.push((key.to_owned(), f32s(&[2], &[0.1; 2])));
        open(&tensors, &[]).unwrap_err()
    };
    for (key, family) in [
        ("blocks.0.self_attn.q.lora_magnitude_vector", "DoRA"),
        ("blocks.0.self_attn.k.hada_w1_b", "LoHa"),
        ("blocks.0.self_attn.k.lokr_w2", "LoKr"),
        ("blocks.0.norm3.w_norm", "w_norm"),
        ("blocks.0.norm3.set_weight", "set_weight"),
    ] {
        let error = with(key);
        assert!(matches!(&error, Error::LoraKind { family: f, .. } if f.contains(family)), "{key}: {error}");
    }
    for key in
        ["blocks.0.self_attn.q.lora_C.weight", "blocks.0.ffn.0.alpha", "blocks.0.self_attn.q.lora_A.bias"]
    {
        let error = with(key);
        assert!(matches!(&error, Error::LoraKeys { keys, .. } if keys == &[key]), "{key}: {error}");
    }
    for key in ["blocks.9.norm3.weight", "global_step", "blocks.0.self_attn.q.strange"] {
        let error = with(key);
        assert!(matches!(&error, Error::LoraTargets { targets, .. } if targets == &[key]), "{key}: {error}");
    }
}

#[test]
fn what_does_not_fit_is_left_out_on_request_and_listed() {
    // As a distillation LoRA for text-to-video holds it: fewer channels into the patch embedding, blocks that others have.
    let mut tensors = plain(&format!("diffusion_model.{Q}"));
    tensors.push(("diffusion_model.patch_embedding.diff".to_owned(), f32s(&[2, 1, 1, 2, 2], &[0.25; 8])));
    tensors.extend((0..40).flat_map(|b| plain(&format!("diffusion_model.vace_blocks.{b}.self_attn.q"))));
    let lora = Lora::from_tensors("t2v.safetensors", source(&tensors, &[]), Alpha::FromFile).unwrap();
    let error = base().with_lora(&lora, 1.0).unwrap_err();
    assert!(matches!(error, Error::LoraShape { .. }), "{error}");
    let merged = base().with_lora(&lora.clone().skip_unmatched(true), 1.0).unwrap();
    assert_eq!(first(&merged, &format!("{Q}.weight")), 1.0);
    assert_eq!(first(&merged, "patch_embedding.weight"), 0.5);
    let report = &merged.lora_reports()[0];
    assert_eq!((report.targets, report.left_out.len()), (1, 41));
    let text = report.to_string();
    assert!(text.lines().count() <= 5 && text.contains("vace_blocks.*.self_attn.q.weight (40)"), "{text}");
    assert!(text.contains("t2v.safetensors") && text.contains("no alpha is stated"), "{text}");

    // A LoRA of which nothing fits is for another model, whatever was asked for; and its refusal is short.
    let foreign: Tensors = (0..400).flat_map(|b| plain(&format!("double_blocks.{b}.img_attn.qkv"))).collect();
    let lora = Lora::from_tensors("flux", source(&foreign, &[]), Alpha::FromFile).unwrap();
    for skip in [false, true] {
        let error = base().with_lora(&lora.clone().skip_unmatched(skip), 1.0).unwrap_err();
        assert!(matches!(&error, Error::LoraTargets { all: 400, .. }), "{error}");
        let text = error.to_string();
        assert!(text.lines().count() <= 10 && text.len() < 1000, "{text}");
    }
}
