//! The operations that have several implementations, and the one place that chooses among them.
//!
//! A backend is a file with an [`Ops`] in it. Asked for an operation it answers `None` where it doesn't take these tensors
//! (another device, another type, a recorded gradient), and the next backend is asked; candle's operations come last and take
//! everything. Shapes and types were checked by the layers before they come here. Convolutions choose at load time instead,
//! since the choice decides how their feature maps are kept: [`crate::conv3d`].

mod candle;
#[cfg(feature = "cuda")]
mod cuda;
mod kernels;
mod matrix;

pub(crate) use matrix::Matrix;

use crate::{Activation, Attention, Linear};
use candle_core::{Result, Tensor, bail};

/// A backend's answer: `None` where another one has to do it.
pub(crate) type Offer<T> = Option<Result<T>>;

/// The backends, in the order in which they are asked.
const BACKENDS: &[&(dyn Ops + Sync)] = &[
    &kernels::Kernels,
    #[cfg(feature = "cuda")]
    &cuda::Cuda,
    &candle::Candle,
];

/// What a backend can do. Activations are f32, rows lie along the last axis.
#[expect(unused_variables, reason = "a backend that doesn't offer an operation looks at nothing")]
pub(crate) trait Ops {
    /// The form in which a weight `[d_out, d_in]`, f32 or bf16, is kept for products.
    fn prepare(&self, weight: &Tensor) -> Offer<Matrix> {
        None
    }

    /// `activation(x Wᵀ + b)`: `[.., d_in]` → `[.., d_out]`.
    fn linear(&self, layer: &Linear, x: &Tensor, activation: Activation) -> Offer<Tensor> {
        None
    }

    /// `residual[:, first .. first + l] += gate · (x Wᵀ + b)`: `[B, l, d_in]` onto `[B, L, d_out]`, in place where possible.
    fn linear_add(
        &self,
        layer: &Linear,
        x: &Tensor,
        residual: &Tensor,
        first: usize,
        gate: Option<&Tensor>,
    ) -> Offer<Tensor> {
        None
    }

    /// `activation(product + bias)` in f32 of a product `[rows, d]` of any type.
    fn finish_product(
        &self,
        product: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
    ) -> Offer<Tensor> {
        None
    }

    /// The activation of each element.
    fn activate(&self, x: &Tensor, activation: Activation) -> Offer<Tensor> {
        None
    }

    /// `x[:, first .. first + l] += gate · y`: `[B, l, D]` onto `[B, L, D]`, in place where no gradient is recorded.
    fn add_gated(&self, x: &Tensor, first: usize, y: &Tensor, gate: Option<&Tensor>) -> Offer<Tensor> {
        None
    }

    /// `x / √(mean(x²) + eps) · weight` row by row.
    fn rms_norm(&self, x: &Tensor, weight: &Tensor, eps: f64) -> Offer<Tensor> {
        None
    }

    /// [`Ops::rms_norm`], then [`Ops::rope`]; may write over `x` `[B, L, N·K]`.
    fn rms_norm_rope(&self, x: &Tensor, weight: &Tensor, eps: f64, rope: &RopeRows) -> Offer<Tensor> {
        None
    }

    /// `(x - mean) / √(variance + eps)` row by row, then `· weight + bias` where they are given.
    fn layer_norm(&self, x: &Tensor, affine: Option<(&Tensor, &Tensor)>, eps: f64) -> Offer<Tensor> {
        None
    }

    /// The norm without weights, then `· (1 + scale) + shift`.
    fn modulated_layer_norm(&self, x: &Tensor, shift: &Tensor, scale: &Tensor, eps: f64) -> Offer<Tensor> {
        None
    }

    /// Turns adjacent pairs of each head's elements: `[B, L, N·K]`.
    fn rope(&self, x: &Tensor, rope: &RopeRows) -> Offer<Tensor> {
        None
    }

    /// `softmax(scale · q kᵀ + bias) v` head by head, `q` `[B, Lq, N·K]`, `k` and `v` `[B, Lk, N·K]`.
    fn attention(&self, options: &Attention<'_>, q: &Tensor, k: &Tensor, v: &Tensor) -> Offer<Tensor> {
        None
    }
}

/// Cosines and sines `[L, K/2]` of the angles that some tokens' heads are turned by.
pub(crate) struct RopeRows {
    pub(crate) cos: Tensor,
    pub(crate) sin: Tensor,
}

/// The first offer for an operation.
pub(crate) fn choose<T>(ask: impl Fn(&dyn Ops) -> Offer<T>) -> Result<T> {
    match BACKENDS.iter().find_map(|backend| ask(*backend)) {
        Some(result) => result,
        None => bail!("no backend has this operation"),
    }
}
