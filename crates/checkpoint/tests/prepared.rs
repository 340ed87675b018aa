//! Prepared weights give the numbers of the weights that they were made of.
#![expect(clippy::unwrap_used, reason = "tests")]

use anicrafter_checkpoint::{Error, Manifest, Prepared, PreparedFor, prepare};
use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use nn::{Linear, QuantizeOnLoad, WeightSource, Weights};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// Two blocks of one layer each, and a tensor that belongs to none.
fn model() -> (Manifest, Arc<dyn WeightSource>) {
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    for block in 0..2 {
        let random = |shape: &[usize]| Tensor::randn(0_f32, 1.0, shape, &Device::Cpu).unwrap();
        tensors.insert(format!("blocks.{block}.q.weight"), random(&[32, 256]));
        tensors.insert(format!("blocks.{block}.q.bias"), random(&[32]));
        tensors.insert(format!("blocks.{block}.modulation"), random(&[1, 6, 8]));
    }
    tensors.insert("head.weight".to_owned(), Tensor::zeros((2, 2), DType::F32, &Device::Cpu).unwrap());
    let shapes = tensors.iter().map(|(name, t)| (name.clone(), t.dims().to_vec())).collect();
    (Manifest { tensors: shapes }, Arc::new(tensors))
}

fn on(_: usize, _: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn forward(source: Arc<dyn WeightSource>, dtype: DType) -> Vec<Vec<f32>> {
    let weights = Weights::new(source, dtype, &Device::Cpu).pp("blocks").pp(1);
    let x = Tensor::arange(0_f32, 512.0, &Device::Cpu).unwrap().reshape((2, 256)).unwrap();
    Linear::load(&weights.pp("q"), 256, 32).unwrap().forward(&x).unwrap().to_vec2().unwrap()
}

fn open(folder: &Path) -> Prepared {
    Prepared::open(folder).unwrap().unwrap()
}

#[test]
fn products_have_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let (manifest, source) = model();
    for dtype in [DType::F32, DType::BF16] {
        for target in [PreparedFor::Cpu, PreparedFor::Device] {
            let folder = dir.path().join(format!("{dtype:?}-{target:?}"));
            prepare(&folder, &manifest, source.as_ref(), dtype, target, &mut on).unwrap();
            let prepared = Arc::new(open(&folder));
            assert!(!prepared.is_quantized() && prepared.bytes() > 0 && !prepared.contains("head.weight"));
            assert_eq!(
                forward(prepared.clone(), dtype),
                forward(source.clone(), dtype),
                "{dtype:?} {target:?}"
            );
            let weights = Weights::new(prepared, dtype, &Device::Cpu);
            let modulation = weights.get_f32((1, 6, 8), "blocks.0.modulation").unwrap();
            let expected = source.dense("blocks.0.modulation", modulation.shape(), DType::F32, &Device::Cpu);
            assert_eq!(
                modulation.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
                expected.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
            );
        }
    }
    let folder = dir.path().join("q4");
    let quantized: Arc<dyn WeightSource> = Arc::new(QuantizeOnLoad::new(source, GgmlDType::Q4K));
    prepare(&folder, &manifest, quantized.as_ref(), DType::BF16, PreparedFor::Cpu, &mut on).unwrap();
    let prepared = open(&folder);
    assert!(prepared.is_quantized());
    assert_eq!(forward(Arc::new(prepared), DType::BF16), forward(quantized, DType::BF16));
}

#[test]
fn an_interrupted_preparation_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, part) = (dir.path().join("ready"), dir.path().join("ready.part"));
    let (manifest, source) = model();
    let mut stop = |done, _| if done == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let stopped = prepare(&folder, &manifest, source.as_ref(), DType::F32, PreparedFor::Cpu, &mut stop);
    assert!(matches!(stopped, Err(Error::Cancelled)));
    assert!(Prepared::open(&folder).unwrap().is_none());
    let first = part.join("block-000.safetensors");
    let written = std::fs::metadata(&first).unwrap().modified().unwrap();
    prepare(&folder, &manifest, source.as_ref(), DType::F32, PreparedFor::Cpu, &mut on).unwrap();
    let kept = std::fs::metadata(folder.join("block-000.safetensors")).unwrap().modified().unwrap();
    assert_eq!(kept, written, "the first block was written again");
    assert!(!part.exists());
    assert_eq!(forward(Arc::new(open(&folder)), DType::F32), forward(source, DType::F32));
}

#[test]
fn what_does_not_fit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("ready");
    let (manifest, source) = model();
    prepare(&folder, &manifest, source.as_ref(), DType::BF16, PreparedFor::Cpu, &mut on).unwrap();
    let prepared = open(&folder);
    let name = "blocks.0.q.weight";
    let message = |result: candle_core::Result<Option<nn::Packed>>| result.unwrap_err().to_string();
    assert!(message(prepared.packed(name, (32, 255), DType::BF16)).contains(name));
    assert!(message(prepared.packed(name, (32, 256), DType::F32)).contains("bf16"));
    assert!(message(prepared.packed("blocks.9.q.weight", (32, 256), DType::F32)).contains("blocks.9"));
    std::fs::write(folder.join("block-001.safetensors"), b"cut").unwrap();
    assert!(Prepared::open(&folder).unwrap_err().to_string().contains("block-001"));
    let plain = tensorfile::TensorView::from_f32(&[1], &[0.0]).unwrap();
    tensorfile::write_safetensors(folder.join("block-001.safetensors"), &[("a", plain)], &Default::default())
        .unwrap();
    assert!(matches!(Prepared::open(&folder), Err(Error::NotPrepared { .. })));
}
