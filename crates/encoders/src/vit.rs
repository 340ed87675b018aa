//! What the vision transformers have in common: patches to tokens, and pre-norm blocks with one matrix for queries, keys and
//! values. CLIP's tower, DINOv2 and Sapiens differ in the names of their tensors and in what stands before and behind the
//! blocks.

use crate::{Error, Result};
use candle_core::{DType, Tensor};
use nn::{Activation, Attention, LayerNorm, Linear, Precision, Weights};

/// Where a block keeps its layers, below its own place in the tree of weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    pub(crate) norm1: &'static str,
    pub(crate) qkv: &'static str,
    pub(crate) proj: &'static str,
    pub(crate) norm2: &'static str,
    pub(crate) fc1: &'static str,
    pub(crate) fc2: &'static str,
    /// Factors of both residual branches, where the model has them (LayerScale).
    pub(crate) scales: Option<[&'static str; 2]>,
}

/// Sizes of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// D, width of the tokens.
    pub(crate) dim: usize,
    /// N; a head has D / N elements.
    pub(crate) heads: usize,
    /// Width inside the MLP.
    pub(crate) hidden: usize,
    /// Added to the variance in the layer norms.
    pub(crate) eps: f64,
}

impl Sizes {
    /// Refuses sizes of which no block can be made.
    pub(crate) fn check(&self, model: &'static str) -> Result<()> {
        if self.heads == 0 || self.dim == 0 || !self.dim.is_multiple_of(self.heads) || self.hidden == 0 {
            let why = format!(
                "a width of {} with {} heads and {} elements inside the MLP",
                self.dim, self.heads, self.hidden
            );
            return Err(Error::Config { model, why });
        }
        Ok(())
    }
}

/// `x += s1 · attention(norm1(x))`, then `x += s2 · mlp(norm2(x))` with the GELU of the error function.
#[derive(Debug)]
pub(crate) struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    proj: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    scales: Option<[Tensor; 2]>,
    heads: usize,
    precision: Precision,
}

impl Block {
    /// Reads the block that `weights` stands at. Attention follows the weights: bf16 weights allow bf16 products.
    pub(crate) fn load(names: &Names, sizes: &Sizes, weights: &Weights) -> Result<Self> {
        let Sizes { dim: d, heads, hidden, eps } = *sizes;
        let scale = |name: &str| weights.get_f32(d, name);
        Ok(Self {
            norm1: LayerNorm::load(&weights.pp(names.norm1), d, eps)?,
            qkv: Linear::load(&weights.pp(names.qkv), d, 3 * d)?,
            proj: Linear::load(&weights.pp(names.proj), d, d)?,
            norm2: LayerNorm::load(&weights.pp(names.norm2), d, eps)?,
            fc1: Linear::load(&weights.pp(names.fc1), d, hidden)?,
            fc2: Linear::load(&weights.pp(names.fc2), hidden, d)?,
            scales: match names.scales {
                Some([a, b]) => Some([scale(a)?, scale(b)?]),
                None => None,
            },
            heads,
            precision: if weights.dtype() == DType::BF16 { Precision::Bf16 } else { Precision::F32 },
        })
    }

    /// `[B, L, D]` → the same. `x` stays what it is, so that it can be shown.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let d = x.dim(2)?;
        let qkv = self.qkv.forward(&self.norm1.forward(x)?)?; // [B, L, 3·D]
        let part = |i: usize| qkv.narrow(2, i * d, d)?.contiguous();
        let attention = Attention { precision: self.precision, ..Attention::new(self.heads) };
        let attended = attention.forward(&part(0)?, &part(1)?, &part(2)?)?;
        let x = self.add(x, self.proj.forward(&attended)?, 0)?;
        let hidden = self.fc1.forward_act(&self.norm2.forward(&x)?, Activation::GeluErf)?;
        self.add(&x, self.fc2.forward(&hidden)?, 1)
    }

    fn add(&self, x: &Tensor, y: Tensor, branch: usize) -> Result<Tensor> {
        let y = match &self.scales {
            Some(scales) => y.broadcast_mul(&scales[branch])?,
            None => y,
        };
        Ok((x + y)?)
    }
}

/// Square patches of a picture to tokens: a convolution whose stride is its size.
#[derive(Debug)]
pub(crate) struct PatchEmbed {
    linear: Linear,
    patch: usize,
}

impl PatchEmbed {
    /// Reads `weight` `[D, 3, P, P]`, and `bias` `[D]` if the layer has one.
    pub(crate) fn load(weights: &Weights, d: usize, patch: usize, bias: bool) -> Result<Self> {
        let kernel = weights.get((d, 3, patch, patch), "weight")?;
        let bias = if bias { Some(weights.get_f32(d, "bias")?) } else { None };
        Ok(Self { linear: Linear::new(kernel.reshape((d, 3 * patch * patch))?, bias)?, patch })
    }

    /// `[B, 3, H, W]` → `[B, H/P · W/P, D]`, row by row.
    pub(crate) fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let (b, _, h, w) = pixels.dims4()?;
        let p = self.patch;
        let grid = pixels.reshape(&[b, 3, h / p, p, w / p, p][..])?; // [B, 3, h, P, w, P]
        let rows = grid.permute(&[0, 2, 4, 1, 3, 5][..])?.contiguous()?;
        Ok(self.linear.forward(&rows.reshape((b, h / p * (w / p), 3 * p * p))?)?)
    }
}

/// Refuses numbers of a configuration that are beyond any model, so that products of a few of them stay far from overflow.
pub(crate) fn check_numbers(model: &'static str, numbers: &[(&str, usize)]) -> Result<()> {
    const MOST: usize = 1 << 16;
    match numbers.iter().find(|(_, n)| *n > MOST) {
        Some((name, n)) => Err(Error::Config { model, why: format!("{name} is {n}, more than {MOST}") }),
        None => Ok(()),
    }
}

/// Refuses pixels of another shape than `[B, 3, size, size]`.
pub(crate) fn check_pixels(what: &'static str, pixels: &Tensor, size: usize) -> Result<()> {
    match *pixels.dims() {
        [_, 3, h, w] if (h, w) == (size, size) => Ok(()),
        _ => {
            let expected = format!("[B, 3, {size}, {size}]");
            Err(Error::Shape { what, expected, got: pixels.dims().to_vec() })
        }
    }
}
