//! Our kernels for CUDA ([`crate::cuda`]), which do in one pass what candle's operations do in several.

use super::{Offer, Ops, RopeRows};
use crate::{Activation, Attention, Precision};
use candle_core::{DType, Tensor};

/// The backend of CUDA cards.
pub(super) struct Cuda;

impl Ops for Cuda {
    fn finish_product(
        &self,
        product: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
    ) -> Offer<Tensor> {
        crate::cuda::finish_product(product, bias, activation)
    }

    fn add_gated(&self, x: &Tensor, first: usize, y: &Tensor, gate: Option<&Tensor>) -> Offer<Tensor> {
        let done = crate::cuda::gate_add(x, first, y, gate)?;
        Some(done.map(|()| x.clone()))
    }

    fn rms_norm(&self, x: &Tensor, weight: &Tensor, eps: f64) -> Offer<Tensor> {
        crate::cuda::rms_norm_rope(x, weight, None, eps)
    }

    fn rms_norm_rope(&self, x: &Tensor, weight: &Tensor, eps: f64, rope: &RopeRows) -> Offer<Tensor> {
        crate::cuda::rms_norm_rope(x, weight, Some((&rope.cos, &rope.sin)), eps)
    }

    fn layer_norm(&self, x: &Tensor, affine: Option<(&Tensor, &Tensor)>, eps: f64) -> Offer<Tensor> {
        if x.dtype() != DType::F32 {
            return None;
        }
        crate::cuda::layer_norm(x, affine, 0.0, eps)
    }

    fn modulated_layer_norm(&self, x: &Tensor, shift: &Tensor, scale: &Tensor, eps: f64) -> Offer<Tensor> {
        crate::cuda::layer_norm(x, Some((scale, shift)), 1.0, eps)
    }

    fn attention(&self, options: &Attention<'_>, q: &Tensor, k: &Tensor, v: &Tensor) -> Offer<Tensor> {
        if !options.fused || options.bias.is_some() || options.precision != Precision::Bf16 {
            return None;
        }
        let head = q.dims().last()? / options.n_heads;
        crate::cuda::attention([q, k, v], options.n_heads, options.scale_of(head))
    }
}
