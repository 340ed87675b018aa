//! RMS norm, layer norm, and the shift-and-scale modulation of diffusion transformers.

use crate::{Rope3d, Weights, slices};
use candle_core::{D, DType, Device, Result, Tensor, bail};
use kernels::Modulation;

/// `x / √(mean(x²) + eps) · weight` over the last axis.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// Reads `weight` `[d]`.
    ///
    /// # Errors
    /// When the tensor is missing or has another shape.
    pub fn load(weights: &Weights, d: usize, eps: f64) -> Result<Self> {
        Ok(Self::new(weights.get_f32(d, "weight")?, eps))
    }

    /// A norm with a given `weight` `[d]` in f32.
    #[must_use]
    pub fn new(weight: Tensor, eps: f64) -> Self {
        Self { weight, eps }
    }

    /// Normalises each row.
    ///
    /// # Shapes
    /// `[.., d]` → `[.., d]`, f32.
    ///
    /// # Errors
    /// When the last axis isn't `d`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let d = self.weight.dims1()?;
        check_rows(x, d)?;
        if slices::on_kernels(&[x, &self.weight]) {
            return slices::read_f32([x, &self.weight], |[rows, weight]| {
                let mut out = vec![0.0; rows.len()];
                kernels::rms_norm(rows, weight, self.eps as f32, &mut out);
                Tensor::from_vec(out, x.shape(), &Device::Cpu)
            });
        }
        #[cfg(feature = "cuda")]
        if let Some(out) = crate::cuda::rms_norm_rope(x, &self.weight, None, self.eps) {
            return out;
        }
        let mean_square = x.sqr()?.mean_keepdim(D::Minus1)?;
        x.broadcast_div(&(mean_square + self.eps)?.sqrt()?)?.broadcast_mul(&self.weight)
    }

    /// Normalises each row over its whole width, then turns its heads as [`Rope3d::forward`] does. `x` is consumed
    /// because its memory may be reused.
    ///
    /// # Shapes
    /// `[B, L, N·K]` → the same, f32; the tokens stand at `first .. first + L`.
    ///
    /// # Errors
    /// When the shapes don't fit.
    pub fn forward_rope(&self, x: Tensor, rope: &Rope3d, first: usize) -> Result<Tensor> {
        let (b, l, d) = x.dims3()?;
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            check_rows(&x, self.weight.dims1()?)?;
            let (cos, sin) = rope.rows(first, l, d)?;
            if let Some(out) = crate::cuda::rms_norm_rope(&x, &self.weight, Some((&cos, &sin)), self.eps) {
                return out;
            }
        }
        if !slices::on_kernels(&[&x, &self.weight]) || b != 1 || !x.is_contiguous() {
            return rope.forward(&self.forward(&x)?, first);
        }
        if d != self.weight.dims1()? {
            bail!("an RMS norm of width {} was handed {:?}", self.weight.dims1()?, x.dims());
        }
        let (cos, sin) = rope.rows(first, l, d)?;
        slices::read::<f32, _>(&self.weight, |weight| {
            slices::update_from(&x, [&cos, &sin], |x, cos, sin| {
                kernels::rms_norm_rope(x, rope.head_dim(), weight, self.eps as f32, cos, sin);
                Ok(())
            })
        })?;
        Ok(x)
    }
}

/// `(x - mean) / √(variance + eps)`, then `· weight + bias` where it has them, over the last axis.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    affine: Option<(Tensor, Tensor)>,
    eps: f64,
}

impl LayerNorm {
    /// Reads `weight` `[d]` and `bias` `[d]`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(weights: &Weights, d: usize, eps: f64) -> Result<Self> {
        Ok(Self { affine: Some((weights.get_f32(d, "weight")?, weights.get_f32(d, "bias")?)), eps })
    }

    /// The norm without weights.
    #[must_use]
    pub fn plain(eps: f64) -> Self {
        Self { affine: None, eps }
    }

    /// Normalises each row.
    ///
    /// # Shapes
    /// `[.., d]` → `[.., d]`, f32.
    ///
    /// # Errors
    /// When the last axis isn't `d`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if let Some((weight, _)) = &self.affine {
            check_rows(x, weight.dims1()?)?;
        }
        if slices::on_kernels(&[x]) && x.rank() > 0 {
            return self.with_kernel(x);
        }
        #[cfg(feature = "cuda")]
        if x.dtype() == DType::F32 {
            let affine = self.affine.as_ref().map(|(weight, bias)| (weight, bias));
            if let Some(out) = crate::cuda::layer_norm(x, affine, 0.0, self.eps) {
                return out;
            }
        }
        let normal = self.normal(x)?;
        match &self.affine {
            Some((weight, bias)) => normal.broadcast_mul(weight)?.broadcast_add(bias),
            None => Ok(normal),
        }
    }

    /// Normalises each row, then `· (1 + scale) + shift`: the modulation of a diffusion transformer.
    ///
    /// # Shapes
    /// `[.., d]`, `shift` and `scale` `[d]` → `[.., d]`, f32.
    ///
    /// # Errors
    /// When the shapes don't fit.
    pub fn forward_modulated(&self, x: &Tensor, shift: &Tensor, scale: &Tensor) -> Result<Tensor> {
        if shift.rank() != 1 || shift.dims() != scale.dims() {
            bail!("a modulation's shift {:?} and scale {:?} must be rows", shift.dims(), scale.dims());
        }
        let d = shift.dims1()?;
        check_rows(x, d)?;
        if self.affine.is_none() && slices::on_kernels(&[x, shift, scale]) {
            return slices::read_f32([x, shift, scale], |[rows, shift, scale]| {
                let mut out = vec![0.0; rows.len()];
                let (shift, scale) = (Modulation::Row(shift), Modulation::Row(scale));
                kernels::modulated_layer_norm(rows, d, scale, shift, self.eps as f32, &mut out);
                Tensor::from_vec(out, x.shape(), &Device::Cpu)
            });
        }
        #[cfg(feature = "cuda")]
        if self.affine.is_none()
            && let Some(out) = crate::cuda::layer_norm(x, Some((scale, shift)), 1.0, self.eps)
        {
            return out;
        }
        self.forward(x)?.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(shift)
    }

    fn with_kernel(&self, x: &Tensor) -> Result<Tensor> {
        let d = x.dim(D::Minus1)?;
        let run = |rows: &[f32], weight: Option<&[f32]>, bias: Option<&[f32]>| {
            let mut out = vec![0.0; rows.len()];
            kernels::layer_norm(rows, d, weight, bias, self.eps as f32, &mut out);
            Tensor::from_vec(out, x.shape(), &Device::Cpu)
        };
        match &self.affine {
            Some((weight, bias)) => slices::read_f32([x, weight, bias], |[x, w, b]| run(x, Some(w), Some(b))),
            None => slices::read_f32([x], |[x]| run(x, None, None)),
        }
    }

    fn normal(&self, x: &Tensor) -> Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        centred.broadcast_div(&(variance + self.eps)?.sqrt()?)
    }
}

/// Refuses a tensor whose rows aren't f32 of width `d`.
fn check_rows(x: &Tensor, d: usize) -> Result<()> {
    if x.dims().last() != Some(&d) {
        bail!("a norm of width {d} was handed {:?}", x.dims());
    }
    if x.dtype() != DType::F32 {
        bail!("a norm takes activations in f32, got {:?}", x.dtype());
    }
    Ok(())
}
