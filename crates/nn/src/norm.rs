//! RMS norm, layer norm, and the shift-and-scale modulation of diffusion transformers.

use crate::{Rope3d, Weights, ops};
use candle_core::{DType, Result, Tensor, bail};

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
        check_rows(x, self.weight.dims1()?)?;
        ops::choose(|backend| backend.rms_norm(x, &self.weight, self.eps))
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
        let (_, l, d) = x.dims3()?;
        check_rows(&x, self.weight.dims1()?)?;
        let rows = rope.rows(first, l, d)?;
        ops::choose(|backend| backend.rms_norm_rope(&x, &self.weight, self.eps, &rows))
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
        let affine = self.affine.as_ref().map(|(weight, bias)| (weight, bias));
        ops::choose(|backend| backend.layer_norm(x, affine, self.eps))
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
        check_rows(x, shift.dims1()?)?;
        if self.affine.is_some() {
            return self.forward(x)?.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(shift);
        }
        ops::choose(|backend| backend.modulated_layer_norm(x, shift, scale, self.eps))
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
