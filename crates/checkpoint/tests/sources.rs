//! Files of every kind as weights: types, shapes, names, reports.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use anicrafter_checkpoint::{Checkpoint, Error, Manifest, Model};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use nn::WeightSource;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tensorfile::{
    Dtype, TensorInfo, TensorSource, TensorView, parse, safetensors_bytes, write_gguf_with,
    write_safetensors, write_torch_with,
};

const CPU: Device = Device::Cpu;

fn view(shape: &[usize], first: f32) -> TensorView<'static> {
    let n: usize = shape.iter().product();
    TensorView::from_f32(shape, &(0..n).map(|i| first + i as f32).collect::<Vec<_>>()).unwrap()
}

fn memory(tensors: &[(&str, TensorView<'_>)]) -> Arc<dyn TensorSource> {
    Arc::from(parse(safetensors_bytes(tensors, &BTreeMap::new()).unwrap()).unwrap())
}

fn write(path: &Path, tensors: &[(&str, TensorView<'_>)]) {
    write_safetensors(path, tensors, &BTreeMap::new()).unwrap();
}

/// Single rows of a matrix, compared with those of the whole; one that isn't there is an error.
fn check_rows(checkpoint: &Checkpoint, name: &str, shape: (usize, usize)) {
    let last = shape.0 as u32 - 1;
    for dtype in [DType::F32, DType::BF16] {
        let whole = checkpoint.dense(name, &shape.into(), dtype, &CPU).unwrap();
        let wanted = [last, 0, last];
        let expected = whole.index_select(&Tensor::new(&wanted, &CPU).unwrap(), 0).unwrap();
        let rows = checkpoint.rows(name, shape, &wanted, dtype, &CPU).unwrap();
        assert_eq!(rows.dtype(), dtype);
        let numbers = |t: Tensor| t.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(numbers(rows), numbers(expected), "{name} {dtype:?}");
    }
    assert!(checkpoint.rows(name, shape, &[last + 1], DType::F32, &CPU).is_err());
}

#[test]
fn rows_are_read_alone() {
    let numbers = view(&[3, 4], -2.0);
    let half = TensorView::new(Dtype::F16, vec![3, 4], (0..24).collect::<Vec<u8>>()).unwrap();
    let fp8 = TensorView::new(Dtype::F8E4M3, vec![3, 4], (0x30..0x3c).collect::<Vec<u8>>()).unwrap();
    let scale = TensorView::from_f32(&[3, 1], &[1.0, 2.0, 4.0]).unwrap();
    let checkpoint = Checkpoint::from_tensors(memory(&[
        ("a.weight", numbers),
        ("b.weight", half),
        ("c.weight", fp8),
        ("c.scale_weight", scale),
    ]));
    for name in ["a.weight", "b.weight", "c.weight"] {
        check_rows(&checkpoint, name, (3, 4));
    }
    assert!(checkpoint.rows("d.weight", (3, 4), &[0], DType::F32, &CPU).is_err());
    assert!(checkpoint.rows("a.weight", (3, 5), &[0], DType::F32, &CPU).is_err());
    assert_eq!(checkpoint.rows("a.weight", (3, 4), &[], DType::F32, &CPU).unwrap().dims(), [0, 4]);
}

#[test]
fn every_stored_type_is_converted_once() {
    let stored = [
        (Dtype::F64, [1.5_f64, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()),
        (Dtype::F32, [1.5_f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect()),
        (Dtype::F16, vec![0x00, 0x3e, 0x00, 0xc0]),
        (Dtype::BF16, vec![0xc0, 0x3f, 0x00, 0xc0]),
        (Dtype::F8E4M3, vec![0x3c, 0xc0]),
        (Dtype::F8E5M2, vec![0x3e, 0xc0]),
    ];
    for (dtype, bytes) in stored {
        let checkpoint =
            Checkpoint::from_tensors(memory(&[("x", TensorView::new(dtype, vec![2], bytes).unwrap())]));
        for wanted in [DType::F32, DType::BF16, DType::F16, DType::F64] {
            let tensor = checkpoint.dense("x", &2.into(), wanted, &CPU).unwrap();
            assert_eq!(tensor.dtype(), wanted);
            assert_eq!(
                tensor.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap(),
                [1.5, -2.0],
                "{dtype} as {wanted:?}"
            );
        }
    }
}

#[test]
fn missing_and_misshaped_tensors_are_named() {
    let checkpoint = Checkpoint::from_tensors(memory(&[
        ("a", view(&[2, 3], 0.0)),
        ("b", view(&[4], 0.0)),
        ("c", view(&[1, 1, 4], 0.0)),
    ]));
    assert!(checkpoint.dense("a", &(2, 3).into(), DType::F32, &CPU).is_ok());
    let error = checkpoint.dense("b", &5.into(), DType::F32, &CPU).unwrap_err().to_string();
    assert!(error.contains('b') && error.contains("[5]") && error.contains("[4]"), "{error}");
    let error = checkpoint.dense("layer.x", &1.into(), DType::F32, &CPU).unwrap_err().to_string();
    assert!(error.contains("layer.x"), "{error}");
    // Axes of extent 1 may be written or not.
    assert_eq!(checkpoint.dense("c", &4.into(), DType::F32, &CPU).unwrap().dims(), [4]);
    let report = checkpoint.report();
    assert_eq!(
        (report.loaded.len(), report.missing[0].as_str(), report.misshaped[0].name.as_str()),
        (2, "layer.x", "b")
    );
    let text = report.to_string();
    assert!(text.contains("missing    layer.x") && text.contains("expected [5], found [4]"), "{text}");
    assert!(matches!(report.strict(), Err(Error::Mismatch(_))));

    let expected = [("a", vec![2, 3]), ("b", vec![2, 2]), ("d", vec![1])];
    let manifest = Manifest { tensors: expected.map(|(n, s)| (n.to_owned(), s)).into() };
    let report = checkpoint.compare(&manifest);
    assert_eq!(report.loaded, ["a"]);
    assert_eq!(report.missing, ["d"]);
    assert_eq!(report.unused, ["c"]);
    assert_eq!(report.misshaped[0].found, [4]);
    assert!(!report.clone().allow_unused(&["c"]).is_complete());
    assert!(report.allow_unused(&["c"]).unused.is_empty());
}

#[test]
fn folders_indices_and_lists() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    assert!(matches!(Checkpoint::open(&[dir.path()]), Err(Error::EmptyFolder(_))));
    assert!(matches!(Checkpoint::open(&[] as &[PathBuf]), Err(Error::NoFiles)));
    write(&path("m-00001-of-00002.safetensors"), &[("a", view(&[2], 0.0))]);
    assert!(
        matches!(Checkpoint::open(&[dir.path()]), Err(Error::AbsentShards { files, .. }) if files == ["m-00002-of-00002.safetensors"])
    );
    write(&path("m-00002-of-00002.safetensors"), &[("b", view(&[2], 0.0))]);
    assert_eq!(Checkpoint::open(&[dir.path()]).unwrap().names().collect::<Vec<_>>(), ["a", "b"]);
    let list = [path("m-00002-of-00002.safetensors"), path("m-00001-of-00002.safetensors")];
    assert_eq!(Checkpoint::open(&list).unwrap().names().count(), 2);
    write(&path("other.safetensors"), &[("c", view(&[2], 0.0))]);
    assert!(
        matches!(Checkpoint::open(&[dir.path()]), Err(Error::WhichFile { files, .. }) if files.len() == 3)
    );
    let index = r#"{"weight_map":{"a":"m-00001-of-00002.safetensors","c":"other.safetensors"}}"#;
    std::fs::write(path("m.safetensors.index.json"), index).unwrap();
    assert_eq!(Checkpoint::open(&[dir.path()]).unwrap().names().collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(Checkpoint::open(&[path("m.safetensors.index.json")]).unwrap().names().count(), 2);
}

#[test]
fn a_wrapped_pickle_is_a_model() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vae.pth");
    let tensors = [
        ("model_state.decoder.conv1.weight", TensorInfo { dtype: Dtype::F32, shape: vec![1, 2] }),
        ("model_state.conv2.bias", TensorInfo { dtype: Dtype::F32, shape: vec![2] }),
    ];
    write_torch_with(&path, &tensors, |_, i| Ok(Some(Cow::Owned(vec![0; i.len() * 4])))).unwrap();
    let checkpoint = Checkpoint::open_model(Model::Vae, &[&path]).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["conv2.bias", "decoder.conv1.weight"]);
    assert!(matches!(Checkpoint::open_model(Model::Dit, &[&path]), Err(Error::NotThisModel { .. })));
}

#[test]
fn separate_projections_are_stacked() {
    let name = |p: &str| format!("vision_model.encoder.layers.0.self_attn.{p}_proj.weight");
    let (q, k, v) = (name("q"), name("k"), name("v"));
    let tensors = [
        (k.as_str(), view(&[2, 2], 10.0)),
        (q.as_str(), view(&[2, 2], 0.0)),
        (v.as_str(), view(&[2, 2], 20.0)),
        ("vision_model.embeddings.class_embedding", view(&[4], 0.0)),
    ];
    let checkpoint = Checkpoint::from_tensors(memory(&tensors)).for_model(Model::Clip).unwrap();
    let fused = checkpoint
        .dense("visual.transformer.0.attn.to_qkv.weight", &(6, 2).into(), DType::F32, &CPU)
        .unwrap();
    let expected = [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0, 20.0, 21.0, 22.0, 23.0];
    assert_eq!(fused.flatten_all().unwrap().to_vec1::<f32>().unwrap(), expected);
    check_rows(&checkpoint, "visual.transformer.0.attn.to_qkv.weight", (6, 2));
    assert_eq!(checkpoint.stored_bytes("visual.transformer.0.attn.to_qkv.weight"), 48);
    assert!(checkpoint.dense("visual.cls_embedding", &(1, 1, 4).into(), DType::F32, &CPU).is_ok());
    assert!(checkpoint.report().is_exact());
}

#[test]
fn modules_are_cut_out_by_their_marker() {
    let tensors =
        [("pipe.blend_embedding.0.weight", view(&[1], 1.0)), ("x.smplx_embedding.0.weight", view(&[1], 2.0))];
    let all = Checkpoint::from_tensors(memory(&tensors));
    let blend = all.module("blend_embedding").unwrap();
    assert_eq!(blend.names().collect::<Vec<_>>(), ["0.weight"]);
    assert_eq!(
        blend.dense("0.weight", &1.into(), DType::F32, &CPU).unwrap().to_vec1::<f32>().unwrap(),
        [1.0]
    );
    assert!(all.module("other").is_err());
}

#[test]
fn quantised_blocks_decode_like_candles() {
    let dir = tempfile::tempdir().unwrap();
    let dense: Vec<f32> = (0..512_u32).map(|i| ((i * 7919 % 1000) as f32 - 500.0) / 300.0).collect();
    let dense = Tensor::from_vec(dense, (2, 256), &CPU).unwrap();
    for (own, candle) in [
        (Dtype::Q4_0, GgmlDType::Q4_0),
        (Dtype::Q4_1, GgmlDType::Q4_1),
        (Dtype::Q5_0, GgmlDType::Q5_0),
        (Dtype::Q5_1, GgmlDType::Q5_1),
        (Dtype::Q8_0, GgmlDType::Q8_0),
        (Dtype::Q2K, GgmlDType::Q2K),
        (Dtype::Q3K, GgmlDType::Q3K),
        (Dtype::Q4K, GgmlDType::Q4K),
        (Dtype::Q5K, GgmlDType::Q5K),
        (Dtype::Q6K, GgmlDType::Q6K),
    ] {
        let blocks = QTensor::quantize(&dense, candle).unwrap();
        let path = dir.path().join("q.gguf");
        let info = TensorInfo { dtype: own, shape: vec![2, 256] };
        let data = blocks.data().unwrap();
        write_gguf_with(&path, &[], &[("w", info)], |_, _| Ok(Some(Cow::Borrowed(&data[..])))).unwrap();
        let checkpoint = Checkpoint::open(&[&path]).unwrap();
        let theirs = blocks.dequantize(&CPU).unwrap().to_vec2::<f32>().unwrap();
        let ours =
            checkpoint.dense("w", &(2, 256).into(), DType::F32, &CPU).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(ours, theirs, "{own}");
        check_rows(&checkpoint, "w", (2, 256));
        let kept = checkpoint.quantized("w", (2, 256), &CPU).unwrap().unwrap();
        assert_eq!((kept.dtype(), kept.data().unwrap()), (candle, data.clone()), "{own}");
        assert!(checkpoint.quantized("w", (256, 2), &CPU).is_err());
    }
    let plain = Checkpoint::from_tensors(memory(&[("w", view(&[2, 2], 0.0))]));
    assert!(plain.quantized("w", (2, 2), &CPU).unwrap().is_none());
}
