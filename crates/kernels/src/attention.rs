//! Attention without a score matrix in memory: blocked softmax that keeps a running maximum and sum.

pub(crate) mod blocked;

use crate::Precision;
use crate::gemm::Mat;
use crate::gemm::product::{Bf16Pairs, F32};
#[cfg(target_arch = "x86_64")]
use simd::Level;
use simd::{bf16_is_faster, level};

/// A strided view of `[L, N, K]` queries, keys or values.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a> {
    /// The elements; the first is that of token 0, head 0.
    pub data: &'a [f32],
    /// L, number of tokens.
    pub len: usize,
    /// N, number of heads.
    pub heads: usize,
    /// K, width of a head.
    pub dim: usize,
    /// Elements from a token to the next.
    pub token_stride: usize,
    /// Elements from a head to the next.
    pub head_stride: usize,
}

impl<'a> Heads<'a> {
    /// A contiguous `[L, N, K]`.
    ///
    /// # Panics
    /// If `data` isn't whole tokens.
    #[must_use]
    pub fn new(data: &'a [f32], heads: usize, dim: usize) -> Self {
        let width = heads * dim;
        assert!(
            width > 0 && data.len().is_multiple_of(width),
            "data isn't whole tokens of {heads} heads of {dim}"
        );
        Self { data, len: data.len() / width, heads, dim, token_stride: width, head_stride: dim }
    }

    /// A contiguous `[N, L, K]`.
    ///
    /// # Panics
    /// If `data` isn't whole heads.
    #[must_use]
    pub fn head_major(data: &'a [f32], heads: usize, dim: usize) -> Self {
        let width = heads * dim;
        assert!(width > 0 && data.len().is_multiple_of(width), "data isn't {heads} heads of rows of {dim}");
        let len = data.len() / width;
        Self { data, len, heads, dim, token_stride: dim, head_stride: len * dim }
    }

    /// Rows of a head from a token on, `[len - l, K]`.
    pub(crate) fn rows(&self, l: usize, n: usize) -> Mat<'a> {
        Mat {
            data: &self.data[l * self.token_stride + n * self.head_stride..],
            rows: self.len - l,
            cols: self.dim,
            row_stride: self.token_stride,
            col_stride: 1,
        }
    }

    fn check(&self, name: &str) {
        assert!(self.heads > 0 && self.dim > 0, "{name} has no heads or no head dim");
        if self.len > 0 {
            let last = (self.len - 1) * self.token_stride + (self.heads - 1) * self.head_stride + self.dim;
            assert!(last <= self.data.len(), "{name} reaches beyond its data: {last} of {}", self.data.len());
        }
    }
}

/// Settings of [`attention`].
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Factor of the scores, usually `1 / sqrt(K)`.
    pub scale: f32,
    /// Added to the scaled scores: `[N, Lq, Lk]`, or `[Lq, Lk]` for all heads.
    pub bias: Option<&'a [f32]>,
    /// `[Lk]`: keys that may be attended to. A query without any gives zeros.
    pub key_mask: Option<&'a [bool]>,
    /// Of both products.
    pub precision: Precision,
}

impl Attention<'_> {
    /// Plain attention with the usual scale for `head_dim`.
    #[must_use]
    pub fn new(head_dim: usize) -> Self {
        Self {
            scale: 1.0 / (head_dim as f32).sqrt(),
            bias: None,
            key_mask: None,
            precision: Precision::default(),
        }
    }
}

/// `softmax(q · kᵀ · scale + bias) · v` for each head.
///
/// # Shapes
/// `q` `[Lq, N, K]`, `k` and `v` `[Lk, N, K]`, `out` contiguous `[Lq, N, K]`.
///
/// # Panics
/// If the views disagree in heads, head dim or keys, or a slice doesn't fit.
pub fn attention(q: Heads<'_>, k: Heads<'_>, v: Heads<'_>, options: &Attention<'_>, out: &mut [f32]) {
    q.check("q");
    k.check("k");
    v.check("v");
    assert_eq!((q.heads, q.dim), (k.heads, k.dim), "q and k differ in heads or head dim");
    assert_eq!((q.heads, q.dim), (v.heads, v.dim), "q and v differ in heads or head dim");
    assert_eq!(k.len, v.len, "k and v differ in length");
    assert_eq!(out.len(), q.len * q.heads * q.dim, "out isn't [Lq, N, K]");
    assert!(options.key_mask.is_none_or(|m| m.len() == k.len), "key mask doesn't have an entry for each key");
    let scores = q.len * k.len;
    assert!(
        options.bias.is_none_or(|b| b.len() == scores || b.len() == scores * q.heads),
        "bias is neither [N, Lq, Lk] nor [Lq, Lk]"
    );
    if out.is_empty() {
        return;
    }
    if k.len == 0 {
        out.fill(0.0);
        return;
    }
    let level = level();
    #[cfg(target_arch = "x86_64")]
    if options.precision == Precision::Bf16
        && level == Level::Amx
        && let Some(amx) = simd::Amx::detect()
    {
        return crate::amx::attention::run(amx, level, [q, k, v], options, out);
    }
    if options.precision == Precision::Bf16 && bf16_is_faster(level) {
        blocked::run(level, Bf16Pairs, [q, k, v], options, out);
    } else {
        blocked::run(level, F32, [q, k, v], options, out);
    }
}

#[cfg(test)]
mod tests {
    use super::{Attention, Heads, blocked};
    use crate::gemm::product::{Bf16Pairs, F32};
    use simd::Level;

    /// The path of bf16 products against that of `f32` products, at every level: odd numbers of keys, odd head dims.
    #[test]
    fn pairs_agree_with_single_products_at_every_level() {
        let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        for (q_len, k_len, heads, dim) in [(1, 1, 1, 1), (20, 33, 2, 7), (50, 401, 1, 64), (100, 193, 2, 128)]
        {
            let data =
                |len: usize, from: usize| (0..len * heads * dim).map(|i| value(i + from)).collect::<Vec<_>>();
            let (q, k, v) = (data(q_len, 0), data(k_len, 5), data(k_len, 77));
            let views = [&q, &k, &v].map(|x| Heads::new(x, heads, dim));
            let options = Attention::new(dim);
            for level in Level::supported() {
                let (mut single, mut pairs) = (vec![0.0; q.len()], vec![f32::NAN; q.len()]);
                blocked::run(level, F32, views, &options, &mut single);
                blocked::run(level, Bf16Pairs, views, &options, &mut pairs);
                for (i, (single, pairs)) in single.iter().zip(&pairs).enumerate() {
                    // Weights and values are rounded to 2^-9 of themselves, scores by the same of their terms.
                    assert!(
                        (single - pairs).abs() < 0.02,
                        "{i} at {level:?}: {single} in f32, {pairs} in pairs"
                    );
                }
            }
        }
    }
}
