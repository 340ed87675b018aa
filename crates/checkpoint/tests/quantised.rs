//! Scaled weights of 8 bits, formats that are refused, and models among the other tensors of a file.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use anicrafter_checkpoint::{Checkpoint, Error, Manifest, Model};
use candle_core::{DType, Device};
use nn::WeightSource;
use std::collections::BTreeMap;
use std::sync::Arc;
use tensorfile::{Dtype, TensorSource, TensorView, parse, safetensors_bytes};

const W: &str = "blocks.0.ffn.0.weight";
const M: &str = "blocks.0.ffn.0";

fn f32s(shape: &[usize], numbers: &[f32]) -> TensorView<'static> {
    TensorView::from_f32(shape, numbers).unwrap()
}

fn raw(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> TensorView<'static> {
    TensorView::new(dtype, shape.to_vec(), bytes.to_vec()).unwrap()
}

/// A layer of [2, 4] in fp8 (all 1.5, or as given) among what a transformer is known by.
fn open(
    weight: Option<TensorView<'static>>,
    more: &[(&str, TensorView<'static>)],
) -> Result<Checkpoint, Error> {
    let weight = weight.unwrap_or_else(|| raw(Dtype::F8E4M3, &[2, 4], &[0x3c; 8]));
    let mut tensors = vec![("patch_embedding.weight", f32s(&[1], &[0.0])), (W, weight)];
    tensors.extend(more.iter().cloned());
    file(&tensors)
}

fn file(tensors: &[(&str, TensorView<'static>)]) -> Result<Checkpoint, Error> {
    let source: Arc<dyn TensorSource> =
        Arc::from(parse(safetensors_bytes(tensors, &BTreeMap::new()).unwrap()).unwrap());
    Checkpoint::from_tensors(source).for_model(Model::Dit)
}

fn numbers(checkpoint: &Checkpoint, dtype: DType) -> Vec<f32> {
    let tensor = checkpoint.dense(W, &(2, 4).into(), dtype, &Device::Cpu).unwrap();
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn scales_of_every_spelling_and_shape_are_multiplied() {
    let scalar = f32s(&[], &[2.0]);
    let half = raw(Dtype::BF16, &[1], &[0x00, 0x40]);
    let rows = [f32s(&[2], &[2.0, 4.0]), f32s(&[2, 1], &[2.0, 4.0]), f32s(&[2, 1, 1], &[2.0, 4.0])];
    let blocks = f32s(&[2, 2], &[2.0, 4.0, 6.0, 8.0]);
    let per_row = vec![3.0, 3.0, 3.0, 3.0, 6.0, 6.0, 6.0, 6.0];
    let mut cases = vec![
        (".scale_weight", scalar.clone(), vec![3.0; 8]),
        (".weight_scale", scalar.clone(), vec![3.0; 8]),
        (".weight_scale", half, vec![3.0; 8]),
        (".weight_scale_inv", scalar, vec![3.0; 8]),
        (".weight_scale", blocks, vec![3.0, 3.0, 6.0, 6.0, 9.0, 9.0, 12.0, 12.0]),
    ];
    cases.extend(rows.map(|scale| (".weight_scale", scale, per_row.clone())));
    for (suffix, scale, expected) in cases {
        let shape = scale.shape().to_vec();
        let checkpoint = open(
            None,
            &[
                (&format!("{M}{suffix}"), scale),
                ("scaled_fp8", raw(Dtype::F8E4M3, &[0], &[])),
                (&format!("{M}.scale_input"), f32s(&[], &[7.0])),
                (&format!("{M}.comfy_quant"), raw(Dtype::U8, &[26], br#"{"format":"float8_e4m3fn"}"#)),
            ],
        )
        .unwrap();
        for dtype in [DType::F32, DType::BF16, DType::F16, DType::F64] {
            assert_eq!(numbers(&checkpoint, dtype), expected, "{suffix} {shape:?} {dtype:?}");
        }
        // What belongs to a weight is no tensor of its own.
        assert_eq!(checkpoint.names().collect::<Vec<_>>(), [W, "patch_embedding.weight"]);
    }
    let e5m2 = raw(Dtype::F8E5M2, &[2, 4], &[0x3e; 8]);
    let checkpoint = open(Some(e5m2), &[(&format!("{M}.scale_weight"), f32s(&[], &[2.0]))]).unwrap();
    assert_eq!(numbers(&checkpoint, DType::F32), [3.0; 8]);
    let int8 = raw(Dtype::I8, &[2, 4], &[3, 3, 3, 3, 0xfd, 0xfd, 0xfd, 0xfd]);
    let checkpoint =
        open(Some(int8.clone()), &[(&format!("{M}.weight_scale"), f32s(&[2, 1], &[0.5, 1.0]))]).unwrap();
    assert_eq!(numbers(&checkpoint, DType::F32), [1.5, 1.5, 1.5, 1.5, -3.0, -3.0, -3.0, -3.0]);
    let bitsandbytes = [
        (&*format!("{M}.SCB"), f32s(&[2], &[127.0, 254.0])),
        (&*format!("{M}.weight_format"), raw(Dtype::U8, &[], &[0])),
    ];
    let checkpoint = open(Some(int8), &bitsandbytes).unwrap();
    assert_eq!(numbers(&checkpoint, DType::F32), [3.0, 3.0, 3.0, 3.0, -6.0, -6.0, -6.0, -6.0]);
}

#[test]
fn quanto_calls_its_weights_otherwise() {
    let checkpoint = file(&[
        ("patch_embedding.weight", f32s(&[1], &[0.0])),
        ("blocks.0.ffn.0.weight._data", raw(Dtype::I8, &[2, 4], &[3; 8])),
        ("blocks.0.ffn.0.weight._scale", f32s(&[2, 1], &[0.5, 1.0])),
        ("blocks.0.ffn.0.input_scale", f32s(&[], &[1.0])),
        ("blocks.0.ffn.0.output_scale", f32s(&[], &[1.0])),
    ])
    .unwrap();
    assert_eq!(numbers(&checkpoint, DType::F32), [1.5, 1.5, 1.5, 1.5, 3.0, 3.0, 3.0, 3.0]);
}

#[test]
fn what_cannot_be_decoded_is_refused_by_name() {
    let scale = || (format!("{M}.weight_scale"), f32s(&[], &[1.0]));
    let packed = || Some(raw(Dtype::U8, &[2, 4], &[0; 8]));
    let json =
        |text: &'static str| (format!("{M}.comfy_quant"), raw(Dtype::U8, &[text.len()], text.as_bytes()));
    type Refused = (Option<TensorView<'static>>, Vec<(String, TensorView<'static>)>, &'static str);
    let cases: Vec<Refused> = vec![
        (packed(), vec![(format!("{M}.weight_scale"), raw(Dtype::F8E4M3, &[2], &[0; 2]))], "nvfp4"),
        (packed(), vec![scale(), (format!("{M}.weight_scale_2"), f32s(&[], &[1.0]))], "nvfp4"),
        (packed(), vec![scale(), json(r#"{"format":"nvfp4"}"#)], "nvfp4"),
        (None, vec![scale(), json(r#"{"format":"mxfp8"}"#)], "mxfp8"),
        (None, vec![(format!("{M}.weight_scale"), raw(Dtype::F8E8M0, &[2, 1], &[0; 2]))], "mxfp8"),
        (None, vec![scale(), json(r#"{"format":"int8_tensorwise","convrot":true}"#)], "convrot"),
        (None, vec![json(r#"{"format":"float8_e4m3fn"}"#)], "without the scale"),
        (None, vec![scale(), json("?")], "doesn't name"),
        (packed(), vec![], "without a scale"),
        (Some(raw(Dtype::I8, &[2, 4], &[1; 8])), vec![], "without a scale"),
        (None, vec![(format!("{M}.qweight"), raw(Dtype::I8, &[2], &[0; 2]))], "GPTQ"),
        (None, vec![(format!("{W}.absmax"), f32s(&[1], &[1.0]))], "bitsandbytes"),
        (None, vec![scale(), (format!("{M}.scale_weight"), f32s(&[], &[1.0]))], "two scales"),
    ];
    for (weight, more, words) in cases {
        let more: Vec<(&str, TensorView<'static>)> =
            more.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
        let error =
            open(weight, &more).map(|c| c.names().map(str::to_owned).collect::<Vec<_>>()).unwrap_err();
        assert!(matches!(error, Error::Quantisation { .. }), "{words}: {error}");
        assert!(error.to_string().contains(words) && error.to_string().contains(M), "{words}: {error}");
    }
    // A lost scale among others, and a marked file without any.
    let other = [
        ("blocks.1.ffn.0.weight", raw(Dtype::F8E4M3, &[1, 1], &[0x3c])),
        ("blocks.1.ffn.0.weight_scale", f32s(&[], &[1.0])),
    ];
    for more in [&other[..], &[("scaled_fp8", raw(Dtype::F8E4M3, &[2], &[0; 2]))]] {
        let error = open(None, more).unwrap_err();
        assert!(matches!(&error, Error::Quantisation { tensor, .. } if tensor == W), "{error}");
    }
    assert!(open(None, &[]).is_ok(), "plain fp8 has no scales");
    let error = open(None, &[(&format!("{M}.weight_scale"), f32s(&[3], &[1.0; 3]))]).unwrap_err();
    assert!(matches!(error, Error::ScaleShape { .. }), "{error}");
    let bad = open(None, &[(&format!("{M}.weight_scale"), f32s(&[], &[f32::NAN]))]).unwrap();
    assert!(bad.dense(W, &(2, 4).into(), DType::F32, &Device::Cpu).is_err());
    // A scale of nothing is named as what nobody asked for.
    let orphan = open(None, &[("blocks.7.ffn.0.weight_scale", f32s(&[], &[1.0]))]).unwrap();
    assert!(orphan.report().unused.contains(&"blocks.7.ffn.0.weight_scale".to_owned()));
}

#[test]
fn a_part_of_an_all_in_one_file_is_exact() {
    let tensors = [
        ("model.diffusion_model.patch_embedding.weight", f32s(&[1], &[0.0])),
        ("model.diffusion_model.blocks.0.ffn.0.weight", f32s(&[2, 4], &[1.0; 8])),
        ("vae.decoder.conv1.weight", f32s(&[1], &[0.0])),
        ("text_encoders.umt5xxl.transformer.shared.weight", f32s(&[1], &[0.0])),
        ("text_encoders.umt5xxl.transformer.encoder.block.0.layer.0.layer_norm.weight", f32s(&[1], &[0.0])),
        ("text_encoders.umt5xxl.spiece_model", raw(Dtype::U8, &[3], &[1, 2, 3])),
        // A part in a format that isn't decoded doesn't spoil the others.
        (
            "text_encoders.umt5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q.weight_scale_2",
            f32s(&[], &[1.0]),
        ),
    ];
    let checkpoint = file(&tensors).unwrap();
    let manifest = Manifest {
        tensors: [("patch_embedding.weight", vec![1]), (W, vec![2, 4])]
            .map(|(n, s)| (n.to_owned(), s))
            .into(),
    };
    let report = checkpoint.compare(&manifest).strict().unwrap();
    assert_eq!((report.loaded.len(), report.ignored.len()), (2, 5));
    assert_eq!(checkpoint.sentencepiece().unwrap(), Some(vec![1, 2, 3]));
    let source: Arc<dyn TensorSource> =
        Arc::from(parse(safetensors_bytes(&tensors, &BTreeMap::new()).unwrap()).unwrap());
    let text = Checkpoint::from_tensors(source).for_model(Model::T5);
    assert!(matches!(text, Err(Error::Quantisation { .. })));
}

#[test]
fn a_folded_patch_embedding_is_the_same_kernel() {
    let kernel: Vec<f32> = (0..24_u8).map(f32::from).collect();
    let checkpoint = file(&[
        ("patch_embedding.weight", f32s(&[6, 1, 2, 2], &kernel)),
        ("patch_embedding.bias", f32s(&[2], &[0.0; 2])),
        (W, f32s(&[2, 4], &[0.0; 8])),
    ])
    .unwrap();
    let tensor = checkpoint
        .dense("patch_embedding.weight", &(2, 3, 1, 2, 2).into(), DType::F32, &Device::Cpu)
        .unwrap();
    assert_eq!(tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap(), kernel);
    assert!(
        checkpoint.dense("patch_embedding.weight", &(3, 2, 1, 2, 2).into(), DType::F32, &Device::Cpu).is_ok()
    );
    assert!(
        checkpoint
            .dense("patch_embedding.weight", &(2, 4, 1, 2, 2).into(), DType::F32, &Device::Cpu)
            .is_err()
    );
}
