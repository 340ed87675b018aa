//! `y = x Wᵀ + b`, with the weights in f32, in bf16 or in the blocks of a quantised file.

use crate::ops::{self, Matrix};
use crate::{Activation, Inputs, PackedForm, Weights, quantize};
use candle_core::quantized::GgmlDType;
use candle_core::{DType, Result, Tensor, bail};

/// An affine map over the last axis.
///
/// Activations go in and come out in f32. With bf16 weights the product sums in f32, and rounds its input to bf16 where
/// the CPU multiplies bf16 faster than f32. On the CPU the weights are repacked for the kernels when the layer is made, unless they are variables of a
/// training run; quantised blocks stay as they are, and the product dequantises them while it reads, or, with
/// [`Inputs::Int8`], rounds its input to 8 bits and multiplies integers.
#[derive(Clone, Debug)]
pub struct Linear {
    pub(crate) weight: Matrix,
    pub(crate) bias: Option<Tensor>,
    pub(crate) d_in: usize,
    pub(crate) d_out: usize,
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
        let name = || weights.name("weight");
        if let Some(packed) = weights.get_packed((d_out, d_in), "weight")? {
            if let PackedForm::Blocks(dtype) = packed.form() {
                check_inputs(weights, dtype, name)?;
            }
            let weight = packed.into_matrix(weights.inputs());
            return Ok(Self { weight, bias: None, d_in, d_out });
        }
        let weight = match weights.get_quantized((d_out, d_in), "weight")? {
            Some(quantized) => {
                check_inputs(weights, quantized.dtype(), name)?;
                Matrix::Quantized(quantized, weights.inputs())
            }
            None => prepare(&weights.get((d_out, d_in), "weight")?)?,
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
        Ok(Self { weight: prepare(&weight)?, bias, d_in, d_out })
    }

    /// Length of the last axis of what comes in.
    #[must_use]
    pub fn d_in(&self) -> usize {
        self.d_in
    }

    /// Length of the last axis of what goes out.
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
        self.check_input(x)?;
        ops::choose(|backend| backend.linear(self, x, activation))
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
        self.check_input(x)?;
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
        ops::choose(|backend| backend.linear_add(self, x, &residual, first, gate))
    }

    fn check_input(&self, x: &Tensor) -> Result<()> {
        if x.dims().last() != Some(&self.d_in) {
            bail!("a linear layer of input width {} was handed {:?}", self.d_in, x.dims());
        }
        if x.dtype() != DType::F32 {
            bail!("a linear layer takes activations in f32, got {:?}", x.dtype());
        }
        Ok(())
    }
}

/// Has the device products by weights of this type that take their input as it was asked for?
fn check_inputs(weights: &Weights, dtype: GgmlDType, name: impl Fn() -> String) -> Result<()> {
    if weights.inputs() == Inputs::Float {
        return Ok(());
    }
    if !weights.device().is_cpu() {
        let device = weights.device();
        bail!("{}: inputs of 8 bits are for the CPU, the weights are on {device:?}", name());
    }
    if quantize::kind(dtype).is_none() {
        bail!("{}: inputs of 8 bits need weights in Q8_0, Q4_0, Q4_K, Q5_K or Q6_K, not {dtype:?}", name());
    }
    Ok(())
}

/// The form in which this weight's device keeps it for products.
fn prepare(weight: &Tensor) -> Result<Matrix> {
    ops::choose(|backend| backend.prepare(weight))
}
