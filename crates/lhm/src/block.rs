//! A block of the transformer: points and picture tokens attend to both together, then each goes through a feed-forward layer
//! of its own, all of it modulated by what the picture shows on the whole.
//!
//! Ported from `SD3MMJointTransformerBlock` (`LHM/models/transformer_dit.py`, aigc3d/LHM b31e76a) and the `Attention` and norms of
//! diffusers 0.32 that it is made of.

use crate::{Result, TransformerConfig};
use candle_core::{DType, Tensor};
use nn::{Activation, Attention, LayerNorm, Linear, Precision, ProbeAt, RmsNorm, Weights, add_gated};

/// What a block is told while it runs: after so many rows of queries.
pub(crate) type OnRows<'a> = dyn FnMut(usize) -> Result<()> + 'a;

/// Queries, keys and values of points or of picture tokens, queries and keys normalised head by head.
#[derive(Debug)]
struct Projections {
    /// `None` where nobody asks: the picture tokens of the last layer.
    query: Option<(Linear, RmsNorm)>,
    key: (Linear, RmsNorm),
    value: Linear,
    head: usize,
}

impl Projections {
    /// Reads linear layers and norms of these names; the query's come first.
    fn load(
        config: &TransformerConfig,
        weights: &Weights,
        [q, k, v]: [&str; 3],
        [norm_q, norm_k]: [&str; 2],
        asks: bool,
    ) -> Result<Self> {
        let (d, head) = (config.inner_dim, config.inner_dim / config.num_heads);
        let with_norm = |linear: &str, norm: &str| {
            let norm = RmsNorm::load(&weights.pp(norm), head, config.eps)?;
            candle_core::Result::Ok((Linear::load(&weights.pp(linear), d, d)?, norm))
        };
        Ok(Self {
            query: if asks { Some(with_norm(q, norm_q)?) } else { None },
            key: with_norm(k, norm_k)?,
            value: Linear::load(&weights.pp(v), d, d)?,
            head,
        })
    }

    fn normalised(&self, (linear, norm): &(Linear, RmsNorm), x: &Tensor) -> Result<Tensor> {
        let y = linear.forward(x)?;
        let (b, l, d) = y.dims3()?;
        Ok(norm.forward(&y.reshape((b, l * (d / self.head), self.head))?)?.reshape((b, l, d))?)
    }

    fn key(&self, x: &Tensor) -> Result<Tensor> {
        self.normalised(&self.key, x)
    }

    fn query(&self, x: &Tensor) -> Result<Option<Tensor>> {
        self.query.as_ref().map(|layers| self.normalised(layers, x)).transpose()
    }
}

/// Two linear layers with a GELU between them.
#[derive(Debug)]
struct FeedForward {
    wide: Linear,
    back: Linear,
}

impl FeedForward {
    fn load(config: &TransformerConfig, weights: &Weights) -> Result<Self> {
        let (d, wide) = (config.inner_dim, config.inner_dim * config.ff_mult);
        let net = weights.pp("net");
        let (wide, back) = (Linear::load(&net.pp("0.proj"), d, wide)?, Linear::load(&net.pp(2), wide, d)?);
        Ok(Self { wide, back })
    }

    fn hidden(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.wide.forward_act(x, Activation::GeluTanh)?)
    }
}

/// What becomes of the picture tokens behind attention; the last layer drops them.
#[derive(Debug)]
struct ContextOut {
    to_add_out: Linear,
    ff: FeedForward,
}

/// A block.
#[derive(Debug)]
pub(crate) struct JointBlock {
    norm1: Linear,
    norm1_context: Linear,
    points: Projections,
    context: Projections,
    to_out: Linear,
    ff: FeedForward,
    context_out: Option<ContextOut>,
    plain1: LayerNorm,
    plain2: LayerNorm,
    n_heads: usize,
    precision: Precision,
}

impl JointBlock {
    /// Reads the block that `weights` stands at. In the last layer the picture tokens end here.
    pub(crate) fn load(config: &TransformerConfig, weights: &Weights, last: bool) -> Result<Self> {
        let (d, attn) = (config.inner_dim, weights.pp("attn"));
        let modulation =
            |name: &str, parts: usize| Linear::load(&weights.pp(name).pp("linear"), d, parts * d);
        let context = ["add_q_proj", "add_k_proj", "add_v_proj"];
        let context_out = if last {
            None
        } else {
            let to_add_out = Linear::load(&attn.pp("to_add_out"), d, d)?;
            Some(ContextOut { to_add_out, ff: FeedForward::load(config, &weights.pp("ff_context"))? })
        };
        Ok(Self {
            norm1: modulation("norm1", 6)?,
            norm1_context: modulation("norm1_context", if last { 2 } else { 6 })?,
            points: Projections::load(config, &attn, ["to_q", "to_k", "to_v"], ["norm_q", "norm_k"], true)?,
            context: Projections::load(config, &attn, context, ["norm_added_q", "norm_added_k"], !last)?,
            to_out: Linear::load(&attn.pp("to_out.0"), d, d)?,
            ff: FeedForward::load(config, &weights.pp("ff"))?,
            context_out,
            plain1: LayerNorm::plain(config.norm1_eps),
            plain2: LayerNorm::plain(config.eps),
            n_heads: config.num_heads,
            precision: if weights.dtype() == DType::BF16 { Precision::Bf16 } else { Precision::F32 },
        })
    }

    /// Runs the block over `rows` points at a time. Both inputs are consumed because their memory is reused: clones of them see
    /// the results too.
    ///
    /// # Shapes
    /// `x` `[1, N, D]`, `context` `[1, C, D]`, `mood` `[1, D]` (the modulation's input behind its SiLU) → points, and the tokens
    /// for the next layer.
    pub(crate) fn forward(
        &self,
        mut x: Tensor,
        mut context: Tensor,
        mood: &Tensor,
        rows: usize,
        on_rows: &mut OnRows<'_>,
        probe: &mut ProbeAt<'_>,
    ) -> Result<(Tensor, Tensor)> {
        let (_, n, d) = x.dims3()?;
        let c = context.dim(1)?;
        let [shift, scale, gate, shift2, scale2, gate2] = parts(&self.norm1, mood)?;
        let chunks: Vec<(usize, usize)> =
            (0..n).step_by(rows).map(|first| (first, rows.min(n - first))).collect();
        let input = |x: &Tensor, (first, len): (usize, usize)| {
            self.plain1.forward_modulated(&x.narrow(1, first, len)?, &shift, &scale)
        };

        // Keys and values of all first, points before tokens; then queries need only themselves.
        let mut keys = Tensor::zeros((1, n + c, d), DType::F32, x.device())?;
        let mut values = keys.zeros_like()?;
        for &chunk in &chunks {
            let h = input(&x, chunk)?;
            put(&mut keys, &self.points.key(&h)?, chunk.0)?;
            put(&mut values, &self.points.value.forward(&h)?, chunk.0)?;
        }
        let context_in = self.context_input(&context, mood)?;
        put(&mut keys, &self.context.key(&context_in)?, n)?;
        put(&mut values, &self.context.value.forward(&context_in)?, n)?;
        let attention = Attention { precision: self.precision, ..Attention::new(self.n_heads) };

        if let (Some(out), Some(q)) = (&self.context_out, self.context.query(&context_in)?) {
            let attended = attention.forward(&q, &keys, &values)?;
            drop((q, context_in));
            probe.show_with("attn_context", || out.to_add_out.forward(&attended))?;
            let [_, _, gate, shift2, scale2, gate2] = parts(&self.norm1_context, mood)?;
            context = out.to_add_out.forward_add(&attended, context, 0, Some(&gate))?;
            on_rows(c)?;
            let h = self.plain2.forward_modulated(&context, &shift2, &scale2)?;
            let h = out.ff.back.forward(&out.ff.hidden(&h)?)?;
            // The reference adds it twice, gated and as it is.
            context = add_gated(context, 0, &h, Some(&gate2))?;
            context = add_gated(context, 0, &h, None)?;
        }

        let mut seen = probe.pieces("attn");
        for &(first, len) in &chunks {
            let Some(q) = self.points.query(&input(&x, (first, len))?)? else { continue };
            let attended = attention.forward(&q, &keys, &values)?;
            drop(q);
            seen.add_with(|| self.to_out.forward(&attended))?;
            x = self.to_out.forward_add(&attended, x, first, Some(&gate))?;
            on_rows(len)?;
        }
        probe.show_pieces(seen, 1)?;
        drop((keys, values));

        for &(first, len) in &chunks {
            let h = self.plain2.forward_modulated(&x.narrow(1, first, len)?, &shift2, &scale2)?;
            x = self.ff.back.forward_add(&self.ff.hidden(&h)?, x, first, Some(&gate2))?;
        }
        Ok((x, context))
    }

    /// The tokens as attention sees them. In the last layer the modulation has two parts, the scale first.
    fn context_input(&self, context: &Tensor, mood: &Tensor) -> Result<Tensor> {
        if self.context_out.is_some() {
            let [shift, scale, ..]: [Tensor; 6] = parts(&self.norm1_context, mood)?;
            return Ok(self.plain1.forward_modulated(context, &shift, &scale)?);
        }
        let [scale, shift] = parts(&self.norm1_context, mood)?;
        Ok(self.plain1.forward_modulated(context, &shift, &scale)?)
    }
}

/// The rows `[D]` of a modulation.
fn parts<const N: usize>(layer: &Linear, mood: &Tensor) -> Result<[Tensor; N]> {
    let rows = layer.forward(mood)?.flatten_all()?;
    let d = rows.dim(0)? / N;
    let parts: candle_core::Result<Vec<Tensor>> =
        (0..N).map(|i| rows.narrow(0, i * d, d)?.contiguous()).collect();
    parts?.try_into().map_err(|_| candle_core::Error::Msg("a modulation of too few parts".to_owned()).into())
}

/// Writes rows of a tensor.
fn put(all: &mut Tensor, rows: &Tensor, first: usize) -> Result<()> {
    Ok(all.slice_set(&rows.contiguous()?, 1, first)?)
}
