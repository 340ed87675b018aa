//! Weights that have seen no data: drawn from a seed and the tensor's name.

use candle_core::{DType, Device, Shape, Tensor};
use checkpoint::Manifest;
use nn::WeightSource;

/// Random weights of the right names and shapes.
pub(super) struct Untrained {
    manifest: Manifest,
    seed: u64,
}

impl Untrained {
    pub(super) fn new(manifest: Manifest, seed: u64) -> Self {
        Self { manifest, seed }
    }
}

impl WeightSource for Untrained {
    fn dense(&self, name: &str, shape: &Shape, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let Some(expected) = self.manifest.tensors.get(name) else {
            return Err(candle_core::Error::CannotFindTensor { path: name.to_owned() }.bt());
        };
        if expected.as_slice() != shape.dims() {
            let (expected, got) = (expected.as_slice().into(), shape.clone());
            return Err(candle_core::Error::UnexpectedShape { msg: name.to_owned(), expected, got }.bt());
        }
        let n = shape.elem_count();
        let values = if name.contains("norm") && name.ends_with("weight") {
            vec![1.0; n]
        } else if name.ends_with("bias") {
            vec![0.0; n]
        } else {
            let fan_in = shape.dims().iter().skip(1).product::<usize>().max(1);
            let scale = 1.0 / (fan_in as f32).sqrt();
            // FNV-1a over the name, so that every tensor has its own numbers.
            let seed = name
                .bytes()
                .fold(self.seed ^ 0xcbf2_9ce4, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0193));
            sampler::noise::randn(seed, n).into_iter().map(|x| x * scale).collect()
        };
        Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
    }

    fn contains(&self, name: &str) -> bool {
        self.manifest.tensors.contains_key(name)
    }
}
