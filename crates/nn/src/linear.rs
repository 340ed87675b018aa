//! `y = x Wᵀ + b`, with the weights in f32, in bf16 or in the blocks of a quantised file.

use crate::{Activation, Inputs, Weights, add_gated, quantize, slices};
use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{DType, Device, Module, Result, Tensor, bail};
use half::bf16;
use kernels::{Gate, PackedBf16, PackedF32, Precision, Weight};
use std::sync::Arc;

/// An affine map over the last axis.
///
/// Activations go in and come out in f32. With bf16 weights the product rounds its input to bf16 and accumulates in
/// f32. On the CPU the weights are repacked for the kernels when the layer is made, unless they are variables of a
/// training run; quantised blocks stay as they are, and the product dequantises them while it reads, or, with
/// [`Inputs::Int8`], rounds its input to 8 bits and multiplies integers.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Matrix,
    bias: Option<Tensor>,
    d_in: usize,
    d_out: usize,
}

#[derive(Clone)]
enum Matrix {
    /// `[d_out, d_in]` in f32 or bf16.
    Dense(Tensor),
    PackedF32(Arc<PackedF32>),
    PackedBf16(Arc<PackedBf16>),
    Quantized(Arc<QTensor>, Inputs),
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dense(weight) => write!(f, "{:?}", weight.dtype()),
            Self::PackedF32(_) => write!(f, "F32, packed"),
            Self::PackedBf16(_) => write!(f, "BF16, packed"),
            Self::Quantized(weight, Inputs::Float) => write!(f, "{:?}", weight.dtype()),
            Self::Quantized(weight, Inputs::Int8) => write!(f, "{:?} by 8 bits", weight.dtype()),
        }
    }
}

impl Matrix {
    /// Takes the form that this device multiplies fastest.
    fn of(weight: Tensor) -> Result<Self> {
        let (n, k) = weight.dims2()?;
        if !slices::on_kernels(&[&weight]) {
            return Ok(Self::Dense(weight));
        }
        match weight.dtype() {
            DType::F32 => {
                slices::read::<f32, _>(&weight, |w| Ok(Self::PackedF32(Arc::new(PackedF32::new(w, n, k)))))
            }
            DType::BF16 => {
                slices::read::<bf16, _>(&weight, |w| Ok(Self::PackedBf16(Arc::new(PackedBf16::new(w, n, k)))))
            }
            other => bail!("a linear layer needs weights in f32 or bf16, got {other:?}"),
        }
    }
}

impl Linear {
    /// Reads `weight` `[d_out, d_in]` and `bias` `[d_out]`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, and as [`Linear::load_without_bias`].
    pub fn load(weights: &Weights, d_in: usize, d_out: usize) -> Result<Self> {
        let bias = weights.get_f32(d_out, "bias")?;
        Ok(Self { bias: Some(bias), ..Self::load_without_bias(weights, d_in, d_out)? })
    }

    /// Reads `weight` `[d_out, d_in]`.
    ///
    /// # Errors
    /// When the tensor is missing or has another shape; when it is quantised and inputs of 8 bits were asked for that its
    /// format or the device has no products for.
    pub fn load_without_bias(weights: &Weights, d_in: usize, d_out: usize) -> Result<Self> {
        let weight = match weights.get_quantized((d_out, d_in), "weight")? {
            Some(quantized) => {
                if weights.inputs() == Inputs::Int8 {
                    let name = weights.name("weight");
                    if !weights.device().is_cpu() {
                        bail!(
                            "{name}: inputs of 8 bits are for the CPU, the weights are on {:?}",
                            weights.device()
                        );
                    }
                    if quantize::kind(quantized.dtype()).is_none() {
                        bail!(
                            "{name}: inputs of 8 bits need weights in Q8_0, Q4_0, Q4_K, Q5_K or Q6_K, not {:?}",
                            quantized.dtype()
                        );
                    }
                }
                Matrix::Quantized(quantized, weights.inputs())
            }
            None => Matrix::of(weights.get((d_out, d_in), "weight")?)?,
        };
        Ok(Self { weight, bias: None, d_in, d_out })
    }

    /// A layer of given tensors: `weight` `[d_out, d_in]` in f32 or bf16, `bias` `[d_out]` in f32.
    ///
    /// # Errors
    /// When the shapes don't fit together.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let (d_out, d_in) = weight.dims2()?;
        if let Some(bias) = &bias
            && bias.dims() != [d_out]
        {
            bail!("a bias of shape {:?} doesn't fit a weight of shape {:?}", bias.dims(), weight.dims());
        }
        Ok(Self { weight: Matrix::of(weight)?, bias, d_in, d_out })
    }

    /// Width of the input.
    #[must_use]
    pub fn d_in(&self) -> usize {
        self.d_in
    }

    /// Width of the output.
    #[must_use]
    pub fn d_out(&self) -> usize {
        self.d_out
    }

    /// `x Wᵀ + b`.
    ///
    /// # Shapes
    /// `[.., d_in]` → `[.., d_out]`, f32.
    ///
    /// # Errors
    /// When the last axis of `x` isn't `d_in`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_act(x, Activation::None)
    }

    /// `activation(x Wᵀ + b)` in one go.
    ///
    /// # Shapes
    /// `[.., d_in]` → `[.., d_out]`, f32.
    ///
    /// # Errors
    /// When the last axis of `x` isn't `d_in`.
    pub fn forward_act(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let mut dims = self.checked_dims(x)?;
        let rows = x.elem_count() / self.d_in;
        if let Some(last) = dims.last_mut() {
            *last = self.d_out;
        }
        if !self.runs_on_kernels(x) {
            return self.with_candle(&x.reshape((rows, self.d_in))?, activation)?.reshape(dims);
        }
        self.with_kernel(activation, |linear| {
            slices::read::<f32, _>(x, |x| {
                let mut out = vec![0.0; rows * self.d_out];
                linear.forward(x, &mut out);
                Tensor::from_vec(out, dims, &Device::Cpu)
            })
        })
    }

    /// `residual[:, first .. first + l] += gate · (x Wᵀ + b)`, in place where no gradient is recorded.
    ///
    /// `residual` is consumed because its memory is reused: whoever still holds a clone of it sees the sum too.
    ///
    /// # Shapes
    /// `x` `[B, l, d_in]`, `residual` `[B, L, d_out]`, `gate` `[d_out]` → `[B, L, d_out]`, f32. Where `l < L`, B is 1.
    ///
    /// # Errors
    /// When the shapes don't fit.
    pub fn forward_add(
        &self,
        x: &Tensor,
        residual: Tensor,
        first: usize,
        gate: Option<&Tensor>,
    ) -> Result<Tensor> {
        self.checked_dims(x)?;
        let ((b, l, _), (br, l_all, d)) = (x.dims3()?, residual.dims3()?);
        let gate_fits = gate.is_none_or(|g| g.dims() == [self.d_out]);
        if br != b || d != self.d_out || first + l > l_all || (l < l_all && b != 1) || !gate_fits {
            bail!(
                "a linear layer of {} outputs can't add {:?} to rows {first}.. of {:?}",
                self.d_out,
                x.dims(),
                residual.dims()
            );
        }
        if !self.runs_on_kernels(x) || !slices::on_kernels(&[&residual]) || !residual.is_contiguous() {
            return add_gated(residual, first, &self.forward(x)?, gate);
        }
        let rows = residual.narrow(1, first, l)?;
        self.with_kernel(Activation::None, |linear| {
            slices::update_from(&rows, [x, gate.unwrap_or(x)], |out, x, g| {
                linear.forward_add(x, if gate.is_some() { Gate::Row(g) } else { Gate::One }, out);
                Ok(())
            })
        })?;
        Ok(residual)
    }

    fn checked_dims(&self, x: &Tensor) -> Result<Vec<usize>> {
        let dims = x.dims().to_vec();
        if dims.last() != Some(&self.d_in) {
            bail!("a linear layer of input width {} was handed {dims:?}", self.d_in);
        }
        if x.dtype() != DType::F32 {
            bail!("a linear layer takes activations in f32, got {:?}", x.dtype());
        }
        Ok(dims)
    }

    fn runs_on_kernels(&self, x: &Tensor) -> bool {
        !matches!(self.weight, Matrix::Dense(_)) && slices::on_kernels(&[x])
    }

    fn with_kernel<R>(
        &self,
        activation: Activation,
        f: impl FnOnce(kernels::Linear<'_>) -> Result<R>,
    ) -> Result<R> {
        let (n, k) = (self.d_out, self.d_in);
        let finish = |linear: kernels::Linear<'_>| {
            let linear = linear.activation(activation.into());
            match &self.bias {
                Some(bias) => slices::read::<f32, _>(bias, |bias| f(linear.bias(bias))),
                None => f(linear),
            }
        };
        match &self.weight {
            Matrix::PackedF32(w) => finish(kernels::Linear::new(Weight::PackedF32(w), n, k)),
            Matrix::PackedBf16(w) => finish(kernels::Linear::new(Weight::PackedBf16(w), n, k)),
            Matrix::Quantized(w, inputs) => match quantize::kind(w.dtype()) {
                Some(kind) => {
                    let data = w.data()?;
                    let linear = kernels::Linear::new(Weight::Quantized(kind, &data), n, k);
                    finish(match inputs {
                        Inputs::Float => linear,
                        Inputs::Int8 => linear.precision(Precision::Int8),
                    })
                }
                None => finish(kernels::Linear::new(Weight::Bf16(&quantize::widen(w)?), n, k)),
            },
            Matrix::Dense(_) => bail!("weights of a training run aren't packed"),
        }
    }

    fn with_candle(&self, rows: &Tensor, activation: Activation) -> Result<Tensor> {
        let product = match &self.weight {
            Matrix::Dense(weight) if rows.device().is_cpu() => {
                rows.matmul(&weight.to_dtype(DType::F32)?.t()?)?
            }
            Matrix::Dense(weight) => {
                let product = rows.to_dtype(weight.dtype())?.matmul(&weight.t()?)?;
                #[cfg(feature = "cuda")]
                if let Some(out) = crate::cuda::finish_product(&product, self.bias.as_ref(), activation) {
                    return out;
                }
                product.to_dtype(DType::F32)?
            }
            Matrix::Quantized(weight, _) => {
                QMatMul::from_arc(weight.clone())?.forward(&rows.contiguous()?)?
            }
            Matrix::PackedF32(_) | Matrix::PackedBf16(_) => {
                bail!("no gradient passes through packed weights: make the layer from variables")
            }
        };
        let sum = match &self.bias {
            Some(bias) => product.broadcast_add(bias)?,
            None => product,
        };
        activation.forward(&sum)
    }
}
