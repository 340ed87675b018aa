//! Scaled dot-product attention whose score matrix never outgrows a budget.

use crate::slices;
use candle_core::{D, DType, Device, Result, Tensor, bail};
use kernels::{Heads, Precision};

/// Scores held at once, in elements: 2²⁸, a GiB in f32, and far from where 32-bit indices end.
const SCORE_BUDGET: usize = 1 << 28;

/// `softmax(scale · q kᵀ + bias) v`, head by head.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Number of heads.
    pub n_heads: usize,
    /// What the scores are multiplied by; `None` is 1/√K.
    pub scale: Option<f64>,
    /// Added to the scores: `[N, Lq, Lk]`, or `[1, Lq, Lk]` for all heads, f32.
    pub bias: Option<&'a Tensor>,
    /// Whether both products may round their factors to bf16.
    pub precision: Precision,
    /// Largest number of scores held at once where no fused kernel runs.
    pub score_budget: usize,
    /// Whether a fused kernel may run on a device that has one: CUDA, with bf16 factors, heads of 128 and no bias.
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
        if slices::on_kernels(&[q, k, v]) {
            return self.with_kernel(q, k, v);
        }
        #[cfg(feature = "cuda")]
        if self.fused && self.bias.is_none() && self.precision == Precision::Bf16 {
            let scale = self.scale.unwrap_or(1.0 / ((d / n) as f64).sqrt());
            if let Some(out) = crate::cuda::attention([q, k, v], n, scale) {
                return out;
            }
        }
        self.with_candle(q, k, v)
    }

    fn with_kernel(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (b, lq, d) = q.dims3()?;
        let (n, head) = (self.n_heads, d / self.n_heads);
        let run = |bias: Option<&[f32]>| {
            let scale = self.scale.unwrap_or(1.0 / (head as f64).sqrt()) as f32;
            let options = kernels::Attention {
                scale,
                bias,
                precision: self.precision,
                ..kernels::Attention::new(head)
            };
            slices::read_f32([q, k, v], |[q, k, v]| {
                let mut out = vec![0.0; b * lq * d];
                let keys = k.len() / b;
                for ((out, q), (k, v)) in
                    out.chunks_mut(lq * d).zip(q.chunks(lq * d)).zip(k.chunks(keys).zip(v.chunks(keys)))
                {
                    let [q, k, v] = [q, k, v].map(|x| Heads::new(x, n, head));
                    kernels::attention(q, k, v, &options, out);
                }
                Tensor::from_vec(out, (b, lq, d), &Device::Cpu)
            })
        };
        match self.bias {
            // One bias for all heads is `[Lq, Lk]` for the kernel: the same elements.
            Some(bias) => slices::read::<f32, _>(bias, |bias| run(Some(bias))),
            None => run(None),
        }
    }

    /// The candle operations, over as many heads and queries at a time as the budget allows.
    fn with_candle(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (b, lq, d) = q.dims3()?;
        let lk = k.dims()[1];
        let (n, head) = (self.n_heads, d / self.n_heads);
        let dtype = match self.precision {
            Precision::Bf16 if !q.device().is_cpu() => DType::BF16,
            _ => DType::F32,
        };
        let scale = self.scale.unwrap_or(1.0 / (head as f64).sqrt());
        let heads = |x: &Tensor| x.to_dtype(dtype)?.reshape((b, (), n, head))?.transpose(1, 2)?.contiguous();
        let keys = heads(k)?.transpose(2, 3)?; // [B, N, K, Lk]
        let values = heads(v)?; // [B, N, Lk, K]
        let (group, rows) = split(self.score_budget / (b * lk), n, lq);
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
                if let Some(bias) = self.bias {
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
