//! Scaled dot-product attention whose score matrix never outgrows a budget.

use crate::ops;
use candle_core::{DType, Result, Tensor, bail};
use kernels::Precision;

/// Scores held at once, in elements: 2²⁸, a GiB in f32, and far from where 32-bit indices end.
const SCORE_BUDGET: usize = 1 << 28;

/// `softmax(scale · q kᵀ + bias) v`, head by head.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// N: the width D of queries, keys and values is N heads of K = D / N elements.
    pub n_heads: usize,
    /// What the scores are multiplied by; `None` is 1/√K.
    pub scale: Option<f64>,
    /// Added to the scores: `[N, Lq, Lk]`, or `[1, Lq, Lk]` for all heads, f32.
    pub bias: Option<&'a Tensor>,
    /// Whether both products may round their factors to bf16.
    pub precision: Precision,
    /// Largest number of scores held at once where no fused kernel runs.
    pub score_budget: usize,
    /// Whether a fused kernel may run on a device that has one: CUDA, with bf16 factors, heads of 64 or 128 and no bias.
    pub fused: bool,
}

/// Plain attention: scores times 1/√K, no bias.
///
/// # Shapes
/// `q` `[B, Lq, N·K]`, `k` and `v` `[B, Lk, N·K]` → `[B, Lq, N·K]`, f32.
///
/// # Errors
/// When the shapes don't fit.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, n_heads: usize) -> Result<Tensor> {
    Attention::new(n_heads).forward(q, k, v)
}

impl<'a> Attention<'a> {
    /// Attention with `n_heads` heads, the usual scale and no bias.
    #[must_use]
    pub fn new(n_heads: usize) -> Self {
        Self {
            n_heads,
            scale: None,
            bias: None,
            precision: Precision::F32,
            score_budget: SCORE_BUDGET,
            fused: true,
        }
    }

    /// Computes the attention.
    ///
    /// # Shapes
    /// `q` `[B, Lq, N·K]`, `k` and `v` `[B, Lk, N·K]` → `[B, Lq, N·K]`, f32.
    ///
    /// # Errors
    /// When the shapes don't fit.
    pub fn forward(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (b, lq, d) = q.dims3()?;
        let (bk, lk, dk) = k.dims3()?;
        let n = self.n_heads;
        if bk != b || dk != d || v.dims() != k.dims() || n == 0 || !d.is_multiple_of(n) || lk == 0 {
            bail!("attention with {n} heads was handed q {:?}, k {:?}, v {:?}", q.dims(), k.dims(), v.dims());
        }
        if let Some(bias) = self.bias {
            let (heads, rows, columns) = bias.dims3()?;
            if (heads != 1 && heads != n) || rows != lq || columns != lk {
                bail!("an attention bias of {:?} doesn't fit {n} heads and {lq} x {lk} scores", bias.dims());
            }
        }
        for tensor in [q, k, v] {
            if tensor.dtype() != DType::F32 {
                bail!("attention takes f32, got {:?}", tensor.dtype());
            }
        }
        ops::choose(|backend| backend.attention(self, q, k, v))
    }

    /// What scores are multiplied by with heads of `head` elements.
    pub(crate) fn scale_of(&self, head: usize) -> f64 {
        self.scale.unwrap_or(1.0 / (head as f64).sqrt())
    }
}
