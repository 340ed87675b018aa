//! Weights for tests, examples and benches: any config, no files.

use crate::{Config, Result};
use candle_core::{DType, Device, Shape, Tensor};
use nn::{WeightSource, Weights};
use std::sync::Arc;

/// Makes each tensor that is asked for out of its name, its shape and the seed.
struct Random {
    seed: u64,
}

impl WeightSource for Random {
    fn dense(&self, name: &str, shape: &Shape, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let inputs: usize = shape.dims().iter().skip(1).product();
        // Convolutions keep the variance, biases are small, norms scale by about 1.
        let (centre, spread) = match (name.ends_with("gamma"), name.ends_with("bias")) {
            (true, _) => (1.0, 0.2),
            (_, true) => (0.0, 0.05),
            _ => (0.0, (3.0 / inputs as f32).sqrt()),
        };
        // FNV-1a of the name, then an LCG with the multiplier of PCG.
        let start = name
            .bytes()
            .fold(self.seed ^ 0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        let mut state = start;
        let values: Vec<f32> = (0..shape.elem_count())
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let unit = (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0;
                centre + spread * unit
            })
            .collect();
        Tensor::from_vec(values, shape.clone(), device)?.to_dtype(dtype)
    }

    fn contains(&self, _: &str) -> bool {
        true
    }
}

/// Random f32 weights for `config`: the same seed gives the same weights. Use
/// [`Weights::with_dtype`] for bf16.
///
/// # Errors
/// When the config is inconsistent.
pub fn random_weights(config: &Config, seed: u64, device: &Device) -> Result<Weights> {
    config.validate()?;
    Ok(Weights::new(Arc::new(Random { seed }), DType::F32, device))
}
