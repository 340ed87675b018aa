//! What a convolution does to its input while reading it.

use crate::Weights;
use candle_core::{DType, Result, Tensor};

/// RMS norm over channels with a learned scale, as the Wan VAE defines it: `x / max(‖x‖, 1e-12) · sqrt(C) · gamma`.
#[derive(Clone, Debug)]
pub struct ChannelNorm {
    gamma: Tensor,
    values: Vec<f32>,
}

impl ChannelNorm {
    /// Loads `gamma`, stored as `[C, 1, …]` with `trailing` axes of extent 1.
    ///
    /// # Errors
    /// When the tensor is missing or has another shape.
    pub fn load(weights: &Weights, channels: usize, trailing: usize) -> Result<Self> {
        let mut shape = vec![channels];
        shape.resize(1 + trailing, 1);
        let gamma = weights.get_f32(shape, "gamma")?.flatten_all()?;
        let values = gamma.to_vec1()?;
        Ok(Self { gamma, values })
    }

    /// `[C]`
    pub(crate) fn gamma(&self) -> &[f32] {
        &self.values
    }

    /// The norm of a tensor `[T, C, H, W]`, in f32.
    pub(crate) fn of_tensor(&self, x: &Tensor) -> Result<Tensor> {
        let c = self.values.len();
        let dtype = x.dtype();
        let x = x.to_dtype(DType::F32)?;
        let norm = x.sqr()?.sum_keepdim(1)?.sqrt()?.maximum(1e-12)?; // [T, 1, H, W]
        let scale = (self.gamma.reshape((1, c, 1, 1))? * (c as f64).sqrt())?;
        x.broadcast_div(&norm)?.broadcast_mul(&scale)?.to_dtype(dtype)
    }
}

/// What happens to each pixel before the convolution sees it, in this order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Read<'a> {
    /// RMS norm over channels.
    pub norm: Option<&'a ChannelNorm>,
    /// `x · sigmoid(x)`.
    pub silu: bool,
    /// Nearest ×2 upsampling in both spatial directions.
    pub upsample: bool,
}

impl<'a> Read<'a> {
    /// The input as it is.
    pub const PLAIN: Self = Self { norm: None, silu: false, upsample: false };

    /// Norm, then SiLU.
    #[must_use]
    pub fn norm_silu(norm: &'a ChannelNorm) -> Self {
        Self { norm: Some(norm), silu: true, upsample: false }
    }
}
