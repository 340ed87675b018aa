//! Weights out of thin air, for benches, tests and examples.

use crate::WeightSource;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use half::{bf16, f16};
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
        let start = start(self.seed, name);
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

    fn contains(&self, _: &str) -> bool {
        true
    }
}

/// As [`RandomWeights`], but matrices of whole blocks come in quantised blocks of random bytes: [`GgmlDType::Q8_0`] or
/// [`GgmlDType::Q4K`], without the cost of quantising. Every other format is an error.
#[derive(Clone, Copy, Debug)]
pub struct RandomBlocks {
    /// Another seed gives other weights.
    pub seed: u64,
    /// Format of the blocks.
    pub dtype: GgmlDType,
}

impl WeightSource for RandomBlocks {
    fn dense(&self, name: &str, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
        RandomWeights { seed: self.seed }.dense(name, shape, dtype, device)
    }

    fn quantized(&self, name: &str, shape: (usize, usize), device: &Device) -> Result<Option<Arc<QTensor>>> {
        let (n, k) = shape;
        // Of the uniform bytes or nibbles: 1 / their own root mean square.
        let unit = match self.dtype {
            GgmlDType::Q8_0 => 1.0 / 73.9,
            GgmlDType::Q4K => 1.0 / 4.61,
            other => bail!("no random blocks of {other:?}"),
        };
        if !k.is_multiple_of(self.dtype.block_size()) {
            return Ok(None);
        }
        let start = start(self.seed, name);
        let scale = f16::from_f32(unit / (k as f32).sqrt()).to_le_bytes();
        let size = self.dtype.type_size();
        let mut bytes = vec![0; n * k / self.dtype.block_size() * size];
        bytes.par_chunks_mut(size).enumerate().for_each(|(i, block)| {
            for (j, word) in block.chunks_mut(8).enumerate() {
                let random = mix(start.wrapping_add((i << 8 | j) as u64)).to_le_bytes();
                word.copy_from_slice(&random[..word.len()]);
            }
            block[..2].copy_from_slice(&scale);
            if self.dtype == GgmlDType::Q4K {
                // Values are scale · 1 · nibble − minimum · 15: around 0 with a minimum of half a scale.
                let half = f16::from_f32(unit / (k as f32).sqrt() / 2.0).to_le_bytes();
                block[2..4].copy_from_slice(&half);
                block[4..8].fill(1);
                block[8..12].fill(15);
                block[12..16].fill(0xf1);
            }
        });
        let storage = QStorage::from_data(bytes.into(), device, self.dtype)?;
        Ok(Some(Arc::new(QTensor::new(storage, shape)?)))
    }

    fn contains(&self, _: &str) -> bool {
        true
    }
}

/// Where the numbers of a tensor start.
fn start(seed: u64, name: &str) -> u64 {
    name.bytes().fold(mix(seed), |state, byte| mix(state ^ u64::from(byte)))
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
