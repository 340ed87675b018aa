//! Candle's operations: every device, and training. They take everything, and are what the other backends are compared with.

use super::{Matrix, Offer, Ops, RopeRows, choose};
use crate::{Activation, Attention, Linear, Precision};
use candle_core::quantized::QMatMul;
use candle_core::{D, DType, Module, Result, Tensor, bail};

/// The backend that is asked last.
pub(super) struct Candle;

impl Ops for Candle {
    fn prepare(&self, weight: &Tensor) -> Offer<Matrix> {
        Some(Ok(Matrix::Dense(weight.clone())))
    }

    fn linear(&self, layer: &Linear, x: &Tensor, activation: Activation) -> Offer<Tensor> {
        let run = || {
            let mut dims = x.dims().to_vec();
            let rows = x.reshape((x.elem_count() / layer.d_in, layer.d_in))?;
            if let Some(last) = dims.last_mut() {
                *last = layer.d_out;
            }
            let product = match &layer.weight {
                Matrix::Dense(weight) if rows.device().is_cpu() => {
                    rows.matmul(&weight.to_dtype(DType::F32)?.t()?)?
                }
                Matrix::Dense(weight) => rows.to_dtype(weight.dtype())?.matmul(&weight.t()?)?,
                Matrix::Quantized(weight, _) => {
                    QMatMul::from_arc(weight.clone())?.forward(&rows.contiguous()?)?
                }
                Matrix::PackedF32(_) | Matrix::PackedBf16(_) | Matrix::PackedInt8(_) | Matrix::Blocks(..) => {
                    bail!("no gradient passes through packed weights: make the layer from variables")
                }
            };
            choose(|ops| ops.finish_product(&product, layer.bias.as_ref(), activation))?.reshape(dims)
        };
        Some(run())
    }

    fn linear_add(
        &self,
        layer: &Linear,
        x: &Tensor,
        residual: &Tensor,
        first: usize,
        gate: Option<&Tensor>,
    ) -> Offer<Tensor> {
        let y = choose(|ops| ops.linear(layer, x, Activation::None));
        Some(y.and_then(|y| choose(|ops| ops.add_gated(residual, first, &y, gate))))
    }

    fn finish_product(
        &self,
        product: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
    ) -> Offer<Tensor> {
        let run = || {
            let product = product.to_dtype(DType::F32)?;
            let sum = match bias {
                Some(bias) => product.broadcast_add(bias)?,
                None => product,
            };
            activation.forward(&sum)
        };
        Some(run())
    }

    fn activate(&self, x: &Tensor, activation: Activation) -> Offer<Tensor> {
        Some(match activation {
            Activation::None => Ok(x.clone()),
            Activation::GeluTanh => x.gelu(),
            Activation::GeluErf => x.gelu_erf(),
            Activation::Silu => x.silu(),
        })
    }

    fn add_gated(&self, x: &Tensor, first: usize, y: &Tensor, gate: Option<&Tensor>) -> Offer<Tensor> {
        let run = || {
            let l = y.dim(1)?;
            let y = match gate {
                Some(gate) => y.broadcast_mul(gate)?,
                None => y.clone(),
            };
            if l == x.dim(1)? {
                return x + y;
            }
            if x.track_op() || y.track_op() {
                bail!("a part of the tokens can't be updated in place while gradients are recorded");
            }
            let sum = (x.narrow(1, first, l)?.contiguous()? + y)?;
            x.slice_set(&sum.contiguous()?, 1, first)?;
            Ok(x.clone())
        };
        Some(run())
    }

    fn rms_norm(&self, x: &Tensor, weight: &Tensor, eps: f64) -> Offer<Tensor> {
        let run = || {
            let mean_square = x.sqr()?.mean_keepdim(D::Minus1)?;
            x.broadcast_div(&(mean_square + eps)?.sqrt()?)?.broadcast_mul(weight)
        };
        Some(run())
    }

    fn rms_norm_rope(&self, x: &Tensor, weight: &Tensor, eps: f64, rope: &RopeRows) -> Offer<Tensor> {
        let normal = choose(|ops| ops.rms_norm(x, weight, eps));
        Some(normal.and_then(|normal| choose(|ops| ops.rope(&normal, rope))))
    }

    fn layer_norm(&self, x: &Tensor, affine: Option<(&Tensor, &Tensor)>, eps: f64) -> Offer<Tensor> {
        let run = || {
            let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
            let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
            let normal = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
            match affine {
                Some((weight, bias)) => normal.broadcast_mul(weight)?.broadcast_add(bias),
                None => Ok(normal),
            }
        };
        Some(run())
    }

    fn modulated_layer_norm(&self, x: &Tensor, shift: &Tensor, scale: &Tensor, eps: f64) -> Offer<Tensor> {
        let normal = choose(|ops| ops.layer_norm(x, None, eps));
        Some(normal.and_then(|normal| normal.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(shift)))
    }

    fn rope(&self, x: &Tensor, rope: &RopeRows) -> Offer<Tensor> {
        let run = || {
            let (b, l, d) = x.dims3()?;
            let half = rope.cos.dim(1)?;
            let cos = rope.cos.reshape((1, l, 1, half, 1))?;
            let sin = rope.sin.reshape((1, l, 1, half, 1))?;
            let pairs = x.reshape((b, l, d / (2 * half), half, 2))?; // [B, L, N, K/2, 2]
            let (re, im) = (pairs.narrow(4, 0, 1)?, pairs.narrow(4, 1, 1)?);
            let turned_re = (re.broadcast_mul(&cos)? - im.broadcast_mul(&sin)?)?;
            let turned_im = (re.broadcast_mul(&sin)? + im.broadcast_mul(&cos)?)?;
            Tensor::cat(&[turned_re, turned_im], 4)?.reshape((b, l, d)) // [B, L, N·K]
        };
        Some(run())
    }

    fn attention(&self, options: &Attention<'_>, q: &Tensor, k: &Tensor, v: &Tensor) -> Offer<Tensor> {
        Some(attend(options, q, k, v))
    }
}

/// Attention over as many heads and queries at a time as the budget allows.
fn attend(options: &Attention<'_>, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let (b, lq, d) = q.dims3()?;
    let lk = k.dims()[1];
    let (n, head) = (options.n_heads, d / options.n_heads);
    let dtype = match options.precision {
        Precision::Bf16 if !q.device().is_cpu() => DType::BF16,
        _ => DType::F32,
    };
    let scale = options.scale_of(head);
    let heads = |x: &Tensor| x.to_dtype(dtype)?.reshape((b, (), n, head))?.transpose(1, 2)?.contiguous();
    let keys = heads(k)?.transpose(2, 3)?; // [B, N, K, Lk]
    let values = heads(v)?; // [B, N, Lk, K]
    let (group, rows) = split(options.score_budget / (b * lk), n, lq);
    let mut parts = Vec::with_capacity(lq.div_ceil(rows));
    for start in (0..lq).step_by(rows) {
        let len = rows.min(lq - start);
        let queries = (heads(&q.narrow(1, start, len)?)? * scale)?; // [B, N, rows, K]
        let mut groups = Vec::with_capacity(n.div_ceil(group));
        for first in (0..n).step_by(group) {
            let count = group.min(n - first);
            // A batched product on a device wants one step from matrix to matrix.
            let of = |x: &Tensor| {
                let part = x.narrow(1, first, count)?;
                if b == 1 || count == n || x.device().is_cpu() { Ok(part) } else { part.contiguous() }
            };
            let mut scores = of(&queries)?.matmul(&of(&keys)?)?.to_dtype(DType::F32)?; // [B, n, rows, Lk]
            if let Some(bias) = options.bias {
                let bias = if bias.dims()[0] == 1 { bias.clone() } else { bias.narrow(0, first, count)? };
                scores = scores.broadcast_add(&bias.narrow(1, start, len)?)?;
            }
            let share = if scores.track_op() {
                candle_nn::ops::softmax(&scores, D::Minus1)?
            } else {
                candle_nn::ops::softmax_last_dim(&scores)?
            };
            drop(scores);
            groups.push(share.to_dtype(dtype)?.matmul(&of(&values)?)?.to_dtype(DType::F32)?); // [B, n, rows, K]
        }
        let out = Tensor::cat(&groups, 1)?; // [B, N, rows, K]
        parts.push(out.transpose(1, 2)?.reshape((b, len, d))?); // [B, rows, N·K]
    }
    if parts.len() == 1 { Ok(parts.remove(0)) } else { Tensor::cat(&parts, 1) }
}

/// How many heads and queries fit at a time into so many rows of scores: rather few heads than few queries, since a
/// product of few rows wastes a device.
fn split(rows: usize, n_heads: usize, queries: usize) -> (usize, usize) {
    const GOOD_ROWS: usize = 1024;
    let per_head = queries.min(GOOD_ROWS);
    let group = (rows / per_head).clamp(1, n_heads);
    (group, (rows / group).clamp(1, queries))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn scores_stay_within_the_budget() {
        for (budget, lk, n, lq) in
            [(1 << 26, 75_600, 40, 75_600), (1 << 28, 75_600, 40, 75_600), (100, 7, 3, 9)]
        {
            let (group, rows) = split(budget / lk, n, lq);
            assert!(group * rows * lk <= budget && group >= 1 && rows >= 1, "{group} heads, {rows} queries");
        }
        assert_eq!(split(1 << 20, 12, 100), (12, 100));
        assert_eq!(split((1 << 28) / 75_600, 40, 75_600), (3, 1183));
        // Even a budget smaller than one row of scores is served, row by row.
        assert_eq!(split(0, 4, 10), (1, 1));
    }
}
