//! The CPU kernels of crate `kernels`, on tensors in main memory where no gradient is recorded.

use super::{Matrix, Offer, Ops, RopeRows};
use crate::slices::{self, on_kernels};
use crate::{Activation, Attention, Inputs, Linear, packed, quantize};
use ::kernels::{self, Gate, Heads, Modulation, Precision, QuantKind, Weight};
use candle_core::{D, DType, Device, Result, Tensor, bail};

/// The CPU's backend.
pub(super) struct Kernels;

impl Ops for Kernels {
    fn prepare(&self, weight: &Tensor) -> Offer<Matrix> {
        on_kernels(&[weight]).then(|| packed::pack(weight))
    }

    fn linear(&self, layer: &Linear, x: &Tensor, activation: Activation) -> Offer<Tensor> {
        takes(layer, x).then(|| {
            let mut dims = x.dims().to_vec();
            let rows = x.elem_count() / layer.d_in;
            if let Some(last) = dims.last_mut() {
                *last = layer.d_out;
            }
            with_linear(layer, activation, |linear| {
                slices::read::<f32, _>(x, |x| {
                    let mut out = vec![0.0; rows * layer.d_out];
                    linear.forward(x, &mut out);
                    Tensor::from_vec(out, dims, &Device::Cpu)
                })
            })
        })
    }

    fn linear_add(
        &self,
        layer: &Linear,
        x: &Tensor,
        residual: &Tensor,
        first: usize,
        gate: Option<&Tensor>,
    ) -> Offer<Tensor> {
        (takes(layer, x) && on_kernels(&[residual]) && residual.is_contiguous()).then(|| {
            let rows = residual.narrow(1, first, x.dim(1)?)?;
            with_linear(layer, Activation::None, |linear| {
                slices::update_from(&rows, [x, gate.unwrap_or(x)], |out, x, g| {
                    linear.forward_add(x, if gate.is_some() { Gate::Row(g) } else { Gate::One }, out);
                    Ok(())
                })
            })?;
            Ok(residual.clone())
        })
    }

    fn activate(&self, x: &Tensor, activation: Activation) -> Offer<Tensor> {
        (on_kernels(&[x]) && x.dtype() == DType::F32).then(|| {
            let mut out = slices::read::<f32, _>(x, |x| Ok(x.to_vec()))?;
            match activation {
                Activation::None => {}
                Activation::GeluTanh => kernels::gelu_tanh(&mut out),
                Activation::GeluErf => kernels::gelu_erf(&mut out),
                Activation::Silu => kernels::silu(&mut out),
            }
            Tensor::from_vec(out, x.shape(), &Device::Cpu)
        })
    }

    fn add_gated(&self, x: &Tensor, first: usize, y: &Tensor, gate: Option<&Tensor>) -> Offer<Tensor> {
        (on_kernels(&[x, y]) && x.is_contiguous()).then(|| {
            let rows = x.narrow(1, first, y.dim(1)?)?;
            slices::update_from(&rows, [y, gate.unwrap_or(y)], |x, y, g| {
                match gate {
                    Some(_) => kernels::gate_add(x, y, g),
                    None => kernels::add(x, y),
                }
                Ok(())
            })?;
            Ok(x.clone())
        })
    }

    fn rms_norm(&self, x: &Tensor, weight: &Tensor, eps: f64) -> Offer<Tensor> {
        on_kernels(&[x, weight]).then(|| {
            slices::read_f32([x, weight], |[rows, weight]| {
                let mut out = vec![0.0; rows.len()];
                kernels::rms_norm(rows, weight, eps as f32, &mut out);
                Tensor::from_vec(out, x.shape(), &Device::Cpu)
            })
        })
    }

    fn rms_norm_rope(&self, x: &Tensor, weight: &Tensor, eps: f64, rope: &RopeRows) -> Offer<Tensor> {
        (on_kernels(&[x, weight]) && x.dims()[0] == 1 && x.is_contiguous()).then(|| {
            let head = 2 * rope.cos.dim(1)?;
            slices::read::<f32, _>(weight, |weight| {
                slices::update_from(x, [&rope.cos, &rope.sin], |x, cos, sin| {
                    kernels::rms_norm_rope(x, head, weight, eps as f32, cos, sin);
                    Ok(())
                })
            })?;
            Ok(x.clone())
        })
    }

    fn layer_norm(&self, x: &Tensor, affine: Option<(&Tensor, &Tensor)>, eps: f64) -> Offer<Tensor> {
        (on_kernels(&[x]) && x.rank() > 0).then(|| {
            let d = x.dim(D::Minus1)?;
            let run = |rows: &[f32], weight: Option<&[f32]>, bias: Option<&[f32]>| {
                let mut out = vec![0.0; rows.len()];
                kernels::layer_norm(rows, d, weight, bias, eps as f32, &mut out);
                Tensor::from_vec(out, x.shape(), &Device::Cpu)
            };
            match affine {
                Some((weight, bias)) => {
                    slices::read_f32([x, weight, bias], |[x, w, b]| run(x, Some(w), Some(b)))
                }
                None => slices::read_f32([x], |[x]| run(x, None, None)),
            }
        })
    }

    fn modulated_layer_norm(&self, x: &Tensor, shift: &Tensor, scale: &Tensor, eps: f64) -> Offer<Tensor> {
        on_kernels(&[x, shift, scale]).then(|| {
            let d = shift.dims1()?;
            slices::read_f32([x, shift, scale], |[rows, shift, scale]| {
                let mut out = vec![0.0; rows.len()];
                let (shift, scale) = (Modulation::Row(shift), Modulation::Row(scale));
                kernels::modulated_layer_norm(rows, d, scale, shift, eps as f32, &mut out);
                Tensor::from_vec(out, x.shape(), &Device::Cpu)
            })
        })
    }

    fn rope(&self, x: &Tensor, rope: &RopeRows) -> Offer<Tensor> {
        (on_kernels(&[x]) && x.dims()[0] == 1).then(|| {
            let (d, head) = (x.dim(D::Minus1)?, 2 * rope.cos.dim(1)?);
            slices::read_f32([x, &rope.cos, &rope.sin], |[values, cos, sin]| {
                let mut out = values.to_vec();
                kernels::rope(&mut out, d / head, head, cos, sin);
                Tensor::from_vec(out, x.shape(), &Device::Cpu)
            })
        })
    }

    fn attention(&self, options: &Attention<'_>, q: &Tensor, k: &Tensor, v: &Tensor) -> Offer<Tensor> {
        on_kernels(&[q, k, v]).then(|| attend(options, q, k, v))
    }
}

/// Does the layer have a form for these kernels, and is its input theirs?
fn takes(layer: &Linear, x: &Tensor) -> bool {
    !matches!(layer.weight, Matrix::Dense(_)) && on_kernels(&[x])
}

/// Calls `f` with the kernel's form of a layer.
fn with_linear<R>(
    layer: &Linear,
    activation: Activation,
    f: impl FnOnce(kernels::Linear<'_>) -> Result<R>,
) -> Result<R> {
    let (n, k) = (layer.d_out, layer.d_in);
    let finish = |linear: kernels::Linear<'_>| {
        let linear = linear.activation(activation.into());
        match &layer.bias {
            Some(bias) => slices::read::<f32, _>(bias, |bias| f(linear.bias(bias))),
            None => f(linear),
        }
    };
    match &layer.weight {
        Matrix::PackedF32(w) => finish(kernels::Linear::new(Weight::PackedF32(w), n, k)),
        Matrix::PackedBf16(w) => finish(kernels::Linear::new(Weight::PackedBf16(w), n, k)),
        Matrix::PackedInt8(w) => finish(kernels::Linear::new(Weight::PackedInt8(w), n, k)),
        Matrix::Quantized(w, inputs) => match quantize::kind(w.dtype()) {
            Some(kind) => finish(by_blocks(kind, &w.data()?, *inputs, (n, k))),
            None => finish(kernels::Linear::new(Weight::Bf16(&quantize::widen(w)?), n, k)),
        },
        Matrix::Blocks(kind, blocks, inputs) => {
            finish(by_blocks(*kind, (**blocks).as_ref(), *inputs, (n, k)))
        }
        Matrix::Dense(_) => bail!("weights of a training run aren't packed"),
    }
}

/// A product by quantised blocks, which takes its input as it was asked for.
fn by_blocks(kind: QuantKind, blocks: &[u8], inputs: Inputs, (n, k): (usize, usize)) -> kernels::Linear<'_> {
    let linear = kernels::Linear::new(Weight::Quantized(kind, blocks), n, k);
    match inputs {
        Inputs::Float => linear,
        Inputs::Int8 => linear.precision(Precision::Int8),
    }
}

fn attend(options: &Attention<'_>, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let (b, lq, d) = q.dims3()?;
    let (n, head) = (options.n_heads, d / options.n_heads);
    let run = |bias: Option<&[f32]>| {
        let kernel = kernels::Attention {
            scale: options.scale_of(head) as f32,
            bias,
            precision: options.precision,
            ..kernels::Attention::new(head)
        };
        slices::read_f32([q, k, v], |[q, k, v]| {
            let mut out = vec![0.0; b * lq * d];
            let keys = k.len() / b;
            for ((out, q), (k, v)) in
                out.chunks_mut(lq * d).zip(q.chunks(lq * d)).zip(k.chunks(keys).zip(v.chunks(keys)))
            {
                let [q, k, v] = [q, k, v].map(|x| Heads::new(x, n, head));
                kernels::attention(q, k, v, &kernel, out);
            }
            Tensor::from_vec(out, (b, lq, d), &Device::Cpu)
        })
    };
    match options.bias {
        // One bias for all heads is `[Lq, Lk]` for the kernel: the same elements.
        Some(bias) => slices::read::<f32, _>(bias, |bias| run(Some(bias))),
        None => run(None),
    }
}
