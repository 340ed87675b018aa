//! Latent statistics: from the encoder's mean to normalised latents and back.

use crate::{Config, Result};
use candle_core::{DType, Device, Tensor};

/// `(mu - mean) · (1/std)` and back, with both constants rounded to the model's type as the reference does.
#[derive(Debug)]
pub(crate) struct LatentStats {
    mean: Tensor,
    inverse_std: Tensor,
}

impl LatentStats {
    pub(crate) fn new(config: &Config, dtype: DType, device: &Device) -> Result<Self> {
        let inverse: Vec<f32> = config.std.iter().map(|s| 1.0 / s).collect();
        let column = |values: &[f32]| -> Result<Tensor> {
            let rounded = Tensor::new(values, device)?.to_dtype(dtype)?.to_dtype(DType::F32)?;
            Ok(rounded.reshape((config.z_dim, 1, 1, 1))?)
        };
        Ok(Self { mean: column(&config.mean)?, inverse_std: column(&inverse)? })
    }

    /// `mu` `[z_dim, T, H, W]`
    pub(crate) fn normalise(&self, mu: &Tensor) -> Result<Tensor> {
        let mu = mu.to_dtype(DType::F32)?;
        Ok(mu.broadcast_sub(&self.mean)?.broadcast_mul(&self.inverse_std)?)
    }

    /// `z` `[z_dim, T, H, W]`
    pub(crate) fn restore(&self, z: &Tensor) -> Result<Tensor> {
        let z = z.to_dtype(DType::F32)?;
        Ok(z.broadcast_div(&self.inverse_std)?.broadcast_add(&self.mean)?)
    }
}
