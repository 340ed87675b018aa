//! LoRA: spellings, alphas, stacks, quantised targets, and everything that must be refused.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use anicrafter_checkpoint::{Alpha, Checkpoint, Error, Lora, Model, OnQuantized};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use nn::WeightSource;
use proptest::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use tensorfile::{Dtype, TensorInfo, TensorSource, TensorView, parse, safetensors_bytes, write_gguf_with};

const CPU: Device = Device::Cpu;

fn f32s(shape: &[usize], numbers: &[f32]) -> TensorView<'static> {
    TensorView::from_f32(shape, numbers).unwrap()
}

fn memory(tensors: &[(&str, TensorView<'_>)]) -> Arc<dyn TensorSource> {
    Arc::from(parse(safetensors_bytes(tensors, &BTreeMap::new()).unwrap()).unwrap())
}

/// A transformer with one 2 × 2 layer, its bias, a modulation and a convolution.
fn base() -> Checkpoint {
    let tensors = [
        ("patch_embedding.weight", f32s(&[2, 1, 1, 2, 2], &[0.0; 8])),
        ("blocks.0.self_attn.q.weight", f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0])),
        ("blocks.0.self_attn.q.bias", f32s(&[2], &[1.0, 1.0])),
        ("blocks.0.modulation", f32s(&[1, 6, 1], &[0.0; 6])),
    ];
    Checkpoint::from_tensors(memory(&tensors)).for_model(Model::Dit).unwrap()
}

/// A rank-1 pair whose product is `[[1, 2], [10, 20]]`.
fn pair() -> [TensorView<'static>; 2] {
    [f32s(&[1, 2], &[1.0, 2.0]), f32s(&[2, 1], &[1.0, 10.0])]
}

fn lora(tensors: &[(&str, TensorView<'_>)], alpha: Alpha) -> Result<Lora, Error> {
    Lora::from_tensors("test", memory(tensors), alpha)
}

fn q(checkpoint: &Checkpoint) -> Vec<f32> {
    let tensor = checkpoint.dense("blocks.0.self_attn.q.weight", &(2, 2).into(), DType::F32, &CPU).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn merged(tensors: &[(&str, TensorView<'_>)], alpha: Alpha, strength: f64) -> Vec<f32> {
    q(&base().with_lora(&lora(tensors, alpha).unwrap(), strength).unwrap())
}

#[test]
fn every_spelling_reaches_the_same_tensor() {
    let [down, up] = pair();
    for (a, b) in [
        (
            "pipe.dit.blocks.0.self_attn.q.lora_A.default.weight",
            "pipe.dit.blocks.0.self_attn.q.lora_B.default.weight",
        ),
        (
            "diffusion_model.blocks.0.self_attn.q.lora_A.weight",
            "diffusion_model.blocks.0.self_attn.q.lora_B.weight",
        ),
        (
            "base_model.model.blocks.0.self_attn.q.lora_A.weight",
            "base_model.model.blocks.0.self_attn.q.lora_B.weight",
        ),
        ("lora_unet_blocks_0_self_attn_q.lora_down.weight", "lora_unet_blocks_0_self_attn_q.lora_up.weight"),
        ("transformer.blocks.0.attn1.to_q.lora_A.weight", "transformer.blocks.0.attn1.to_q.lora_B.weight"),
        ("blocks.0.self_attn.q.lora.down.weight", "blocks.0.self_attn.q.lora.up.weight"),
    ] {
        let tensors = [(a, down.clone()), (b, up.clone())];
        assert_eq!(merged(&tensors, Alpha::FromFile, 1.0), [2.0, 4.0, 13.0, 24.0], "{a}");
        assert_eq!(merged(&tensors, Alpha::FromFile, 0.5), [1.5, 3.0, 8.0, 14.0], "{a}");
        assert_eq!(merged(&tensors, Alpha::FromFile, 0.0), [1.0, 2.0, 3.0, 4.0], "{a}");
    }
}

#[test]
fn alpha_counts_in_any_type() {
    let alphas = [
        TensorView::from_i64(&[], &[2]).unwrap(),
        f32s(&[1], &[2.0]),
        TensorView::new(Dtype::BF16, vec![], vec![0x00, 0x40]).unwrap(),
        TensorView::new(Dtype::U8, vec![], vec![2]).unwrap(),
    ];
    // Rank 2 with one empty row: alpha 2 over rank 2 is 1; alpha ignored would be the same, so the rank is 4.
    let down = f32s(&[4, 2], &[1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let up = f32s(&[2, 4], &[1.0, 0.0, 0.0, 0.0, 10.0, 0.0, 0.0, 0.0]);
    for alpha in alphas {
        let tensors = [
            ("blocks.0.self_attn.q.lora_down.weight", down.clone()),
            ("blocks.0.self_attn.q.lora_up.weight", up.clone()),
            ("blocks.0.self_attn.q.alpha", alpha),
        ];
        assert_eq!(merged(&tensors, Alpha::FromFile, 1.0), [1.5, 3.0, 8.0, 14.0]);
        assert_eq!(merged(&tensors, Alpha::Ignore, 1.0), [2.0, 4.0, 13.0, 24.0]);
        assert_eq!(merged(&tensors, Alpha::Fixed(1.0), 1.0), [1.25, 2.5, 5.5, 9.0]);
    }
    let two = [
        ("blocks.0.self_attn.q.lora_A.weight", down),
        ("blocks.0.self_attn.q.lora_B.weight", up),
        ("blocks.0.self_attn.q.alpha", f32s(&[2], &[1.0, 1.0])),
    ];
    let error = base().with_lora(&lora(&two, Alpha::FromFile).unwrap(), 1.0).unwrap_err();
    assert!(matches!(error, Error::LoraNumber { .. }), "{error}");
}

#[test]
fn an_adapter_config_states_the_alpha() {
    let dir = tempfile::tempdir().unwrap();
    let [down, up] = pair();
    let tensors = [
        ("base_model.model.blocks.0.self_attn.q.lora_A.weight", down),
        ("base_model.model.blocks.0.self_attn.q.lora_B.weight", up),
    ];
    let path = dir.path().join("adapter_model.safetensors");
    tensorfile::write_safetensors(&path, &tensors, &BTreeMap::new()).unwrap();
    std::fs::write(
        dir.path().join("adapter_config.json"),
        r#"{"r": 1, "lora_alpha": 3, "peft_type": "LORA"}"#,
    )
    .unwrap();
    let opened = Lora::open(&[&path], Alpha::FromFile).unwrap();
    assert_eq!(q(&base().with_lora(&opened, 1.0).unwrap()), [4.0, 8.0, 33.0, 64.0]);
    let ignored = Lora::open(&[&path], Alpha::Ignore).unwrap();
    assert_eq!(q(&base().with_lora(&ignored, 1.0).unwrap()), [2.0, 4.0, 13.0, 24.0]);
}

#[test]
fn differences_reach_weights_biases_and_modulation() {
    let tensors = [
        ("diffusion_model.blocks.0.self_attn.q.diff", f32s(&[2, 2], &[1.0; 4])),
        ("diffusion_model.blocks.0.self_attn.q.diff_b", f32s(&[2], &[5.0, 6.0])),
        ("diffusion_model.blocks.0.diff_m", f32s(&[1, 6, 1], &[1.0; 6])),
    ];
    let checkpoint = base().with_lora(&lora(&tensors, Alpha::FromFile).unwrap(), 2.0).unwrap();
    assert_eq!(q(&checkpoint), [3.0, 4.0, 5.0, 6.0]);
    let bias = checkpoint.dense("blocks.0.self_attn.q.bias", &2.into(), DType::F32, &CPU).unwrap();
    assert_eq!(bias.to_vec1::<f32>().unwrap(), [11.0, 13.0]);
    assert_eq!(checkpoint.patched().len(), 3);
}

#[test]
fn convolutions_and_stacks() {
    let conv = [
        ("patch_embedding.lora_down.weight", f32s(&[1, 1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0])),
        ("patch_embedding.lora_up.weight", f32s(&[2, 1, 1, 1, 1], &[1.0, -1.0])),
    ];
    let checkpoint = base().with_lora(&lora(&conv, Alpha::FromFile).unwrap(), 1.0).unwrap();
    let patch =
        checkpoint.dense("patch_embedding.weight", &(2, 1, 1, 2, 2).into(), DType::F32, &CPU).unwrap();
    assert_eq!(
        patch.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        [1.0, 2.0, 3.0, 4.0, -1.0, -2.0, -3.0, -4.0]
    );
    let [down, up] = pair();
    let tensors = [("blocks.0.self_attn.q.lora_A.weight", down), ("blocks.0.self_attn.q.lora_B.weight", up)];
    let one = lora(&tensors, Alpha::FromFile).unwrap();
    let stack =
        base().with_lora(&one, 1.0).unwrap().with_lora(&one, -0.5).unwrap().with_lora(&one, 0.0).unwrap();
    assert_eq!(q(&stack), [1.5, 3.0, 8.0, 14.0]);
}

#[test]
fn what_cannot_be_merged_is_refused() {
    let [down, up] = pair();
    let build = |tensors: &[(&str, TensorView<'_>)]| {
        lora(tensors, Alpha::FromFile).and_then(|l| base().with_lora(&l, 1.0))
    };
    let unknown = build(&[
        ("blocks.0.self_attn.q.lora_A.weight", down.clone()),
        ("blocks.0.self_attn.q.lora_B.weight", up.clone()),
        ("blocks.9.ffn.0.lora_A.weight", down.clone()),
        ("blocks.9.ffn.0.lora_B.weight", up.clone()),
    ])
    .unwrap_err();
    assert!(
        matches!(&unknown, Error::LoraTargets { targets, .. } if *targets == ["blocks.9.ffn.0.weight"]),
        "{unknown}"
    );
    // Even at strength 0: a LoRA for another model is a mistake, not a no-op.
    let other =
        lora(&[("x.lora_A.weight", down.clone()), ("x.lora_B.weight", up.clone())], Alpha::FromFile).unwrap();
    assert!(matches!(base().with_lora(&other, 0.0), Err(Error::LoraTargets { .. })));
    let half = build(&[("blocks.0.self_attn.q.lora_B.weight", up.clone())]).unwrap_err();
    assert!(matches!(half, Error::LoraHalf { has: "up (B)", .. }), "{half}");
    let shape = build(&[
        ("blocks.0.self_attn.q.lora_A.weight", f32s(&[1, 3], &[0.0; 3])),
        ("blocks.0.self_attn.q.lora_B.weight", up.clone()),
    ])
    .unwrap_err();
    assert!(matches!(shape, Error::LoraShape { .. }), "{shape}");
    let rank = build(&[
        ("blocks.0.self_attn.q.lora_A.weight", f32s(&[2, 2], &[0.0; 4])),
        ("blocks.0.self_attn.q.lora_B.weight", up.clone()),
    ])
    .unwrap_err();
    assert!(matches!(rank, Error::LoraShape { .. }), "{rank}");
    let kind = build(&[("blocks.0.self_attn.q.dora_scale", up.clone())]).unwrap_err();
    assert!(matches!(kind, Error::LoraKind { .. }), "{kind}");
    let none = build(&[("blocks.0.self_attn.q.weight", down.clone())]).unwrap_err();
    assert!(matches!(none, Error::NotLora { .. }), "{none}");
    let twice = build(&[
        ("blocks.0.self_attn.q.lora_A.weight", down.clone()),
        ("blocks.0.self_attn.q.lora_down.weight", down.clone()),
    ])
    .unwrap_err();
    assert!(matches!(twice, Error::Ambiguous { .. }), "{twice}");
    let good = lora(
        &[("blocks.0.self_attn.q.lora_A.weight", down), ("blocks.0.self_attn.q.lora_B.weight", up)],
        Alpha::FromFile,
    )
    .unwrap();
    assert!(matches!(base().with_lora(&good, f64::NAN), Err(Error::LoraNumber { .. })));
}

#[test]
fn quantised_matrices_take_lora_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("q.gguf");
    let dense =
        Tensor::from_vec((0..64_u32).map(|i| i as f32 / 10.0).collect::<Vec<_>>(), (2, 32), &CPU).unwrap();
    let blocks = QTensor::quantize(&dense, GgmlDType::Q8_0).unwrap();
    let data = blocks.data().unwrap();
    let info = TensorInfo { dtype: Dtype::Q8_0, shape: vec![2, 32] };
    write_gguf_with(&path, &[], &[("w.weight", info)], |_, _| Ok(Some(Cow::Borrowed(&data[..])))).unwrap();
    let tensors =
        [("w.lora_A.weight", f32s(&[1, 32], &[1.0; 32])), ("w.lora_B.weight", f32s(&[2, 1], &[1.0, -1.0]))];
    let lora = lora(&tensors, Alpha::FromFile).unwrap();
    let open = || Checkpoint::open(&[&path]).unwrap().with_lora(&lora, 1.0).unwrap();
    let expected = blocks
        .dequantize(&CPU)
        .unwrap()
        .broadcast_add(&Tensor::new(&[[1_f32], [-1.0]], &CPU).unwrap())
        .unwrap();
    let exact = open().dense("w.weight", &(2, 32).into(), DType::F32, &CPU).unwrap();
    assert_eq!(exact.to_vec2::<f32>().unwrap(), expected.to_vec2::<f32>().unwrap());
    let again = open().quantized("w.weight", (2, 32), &CPU).unwrap().unwrap();
    assert_eq!(again.dtype(), GgmlDType::Q8_0);
    let again = again.dequantize(&CPU).unwrap();
    let worst = (again - &expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(worst > 0.0 && worst < 0.05, "{worst}");
    let dense = open().on_quantized(OnQuantized::Dense);
    assert!(dense.quantized("w.weight", (2, 32), &CPU).unwrap().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_names_and_shapes_end_in_a_result(names in prop::collection::vec("(diffusion_model\\.|lora_unet_)?[a-c._0]{0,8}(\\.lora_(A|B|up|down)\\.weight|\\.alpha|\\.diff)?", 1..5), shape in prop::collection::vec(0_usize..3, 0..4)) {
        let n: usize = shape.iter().product();
        let mut unique = names;
        unique.sort();
        unique.dedup();
        let tensors: Vec<_> = unique.iter().map(|name| (name.as_str(), f32s(&shape, &vec![0.5; n]))).collect();
        if let Ok(lora) = lora(&tensors, Alpha::FromFile) {
            let target = Checkpoint::from_tensors(memory(&[("a.weight", f32s(&shape, &vec![1.0; n]))]));
            if let Ok(merged) = target.with_lora(&lora, 1.0) {
                drop(merged.dense("a.weight", &shape.into(), DType::F32, &CPU));
            }
        }
    }
}
