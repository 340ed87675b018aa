//! Weights out of thin air, for benches, tests and examples.

use crate::WeightSource;
use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Result, Shape, Tensor};
use half::bf16;
use rayon::prelude::*;
use std::sync::Arc;

/// A source that has every tensor one asks for: values that depend only on the seed, the name and the place in the
/// tensor, of a size that keeps activations near 1 from layer to layer.
///
/// Vectors named `weight` lie around 1 (norms), other vectors around 0; everything else is uniform with variance
/// 1 / fan-in.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomWeights {
    /// Another seed gives other weights.
    pub seed: u64,
}

impl WeightSource for RandomWeights {
    fn dense(&self, name: &str, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
        let start = name.bytes().fold(mix(self.seed), |state, byte| mix(state ^ u64::from(byte)));
        let (centre, reach) = match shape.dims() {
            [_] if name.ends_with("weight") => (1.0, 0.1),
            [_] | [] => (0.0, 0.1),
            [_, rest @ ..] => (0.0, (3.0 / rest.iter().product::<usize>() as f32).sqrt()),
        };
        let value = |i: usize| {
            let bits = mix(start.wrapping_add(i as u64)) >> 40; // 24 bits
            centre + reach * (bits as f32 / (1 << 23) as f32 - 1.0)
        };
        let n = shape.elem_count();
        let tensor = if dtype == DType::BF16 {
            let values: Vec<bf16> = (0..n).into_par_iter().map(|i| bf16::from_f32(value(i))).collect();
            Tensor::from_vec(values, shape, device)?
        } else {
            Tensor::from_vec((0..n).into_par_iter().map(value).collect::<Vec<f32>>(), shape, device)?
        };
        tensor.to_dtype(dtype)
    }

    fn quantized(&self, _: &str, _: (usize, usize), _: &Device) -> Result<Option<Arc<QTensor>>> {
        Ok(None)
    }

    fn contains(&self, _: &str) -> bool {
        true
    }
}

/// Steele, Lea and Flood's SplitMix64 finaliser.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_on_name_and_seed_and_has_the_stated_variance() {
        let get = |seed, name: &str| {
            let t = RandomWeights { seed }.dense(name, &(64, 256).into(), DType::F32, &Device::Cpu).unwrap();
            t.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let a = get(0, "a.weight");
        assert_eq!(a, get(0, "a.weight"));
        assert_ne!(a, get(1, "a.weight"));
        assert_ne!(a, get(0, "b.weight"));
        let variance = a.iter().map(|x| x * x).sum::<f32>() / a.len() as f32;
        assert!((variance * 256.0 - 1.0).abs() < 0.05, "{variance}");
    }
}
