//! One transformer block: self-attention, cross-attention to text and image, feed-forward.
//!
//! After `DiTBlock` of AniCrafter's `diffsynth/models/wan_video_dit.py` (commit e9e8965).

use crate::{Among, Config, Result};
use candle_core::{DType, Tensor};
use nn::{
    Activation, Attention, LayerNorm, Linear, Pieces, Precision, ProbeAt, RmsNorm, Rope3d, Weights, add_gated,
};

/// The text and image rows that the tokens attend to, embedded.
#[derive(Clone, Debug)]
pub struct Context {
    /// `[B, text rows, D]`, zero rows of the padding included.
    pub text: Tensor,
    /// `[B, image rows, D]`; `None` in a text-to-video model.
    pub image: Option<Tensor>,
}

/// What all blocks of a pass over one branch share.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Keys and values of cross-attention come from these rows.
    pub context: &'a Context,
    /// `[1, 6, D]`: shift, scale and gate of self-attention, then of the feed-forward layer.
    pub t_mod: &'a Tensor,
    /// The angles of the tokens that are here.
    pub rope: &'a Rope3d,
    /// Tokens that are handled at a time; bounds the memory, doesn't change the result.
    pub rows: usize,
    /// The ranks that share the tokens; `None` where all of them are here.
    pub ranks: Option<Among<'a>>,
}

/// Self-attention, cross-attention and feed-forward layer, each added to the tokens.
#[derive(Clone, Debug)]
pub struct Block {
    modulation: Tensor,
    norm1: LayerNorm,
    self_attn: SelfAttention,
    norm3: LayerNorm,
    cross_attn: CrossAttention,
    norm2: LayerNorm,
    ffn_in: Linear,
    ffn_out: Linear,
}

impl Block {
    /// Reads the block at `weights` (`blocks.<n>`).
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(config: &Config, weights: &Weights) -> Result<Self> {
        let d = config.dim;
        let ffn = weights.pp("ffn");
        Ok(Self {
            modulation: weights.get_f32((1, 6, d), "modulation")?,
            norm1: LayerNorm::plain(config.eps),
            self_attn: SelfAttention::load(config, &weights.pp("self_attn"))?,
            norm3: LayerNorm::load(&weights.pp("norm3"), d, config.eps)?,
            cross_attn: CrossAttention::load(config, &weights.pp("cross_attn"))?,
            norm2: LayerNorm::plain(config.eps),
            ffn_in: Linear::load(&ffn.pp(0), d, config.ffn_dim)?,
            ffn_out: Linear::load(&ffn.pp(2), config.ffn_dim, d)?,
        })
    }

    /// Runs the block. `x` is consumed because its memory is reused: a clone of it sees the result too.
    ///
    /// # Shapes
    /// `x` `[B, L, D]` → the same, f32.
    ///
    /// # Errors
    /// When the shapes don't fit.
    pub fn forward(&self, x: Tensor, scope: &Scope<'_>) -> Result<Tensor> {
        self.forward_probed(x, scope, &mut ProbeAt::default())
    }

    pub(crate) fn forward_probed(
        &self,
        x: Tensor,
        scope: &Scope<'_>,
        probe: &mut ProbeAt<'_>,
    ) -> Result<Tensor> {
        let rows = self.modulation.broadcast_add(scope.t_mod)?.squeeze(0)?; // [6, D]
        let row = |i: usize| rows.get(i);
        let (shift_msa, scale_msa, gate_msa) = (row(0)?, row(1)?, row(2)?);
        let (shift_mlp, scale_mlp, gate_mlp) = (row(3)?, row(4)?, row(5)?);
        let chunks = chunks(&x, scope.rows)?;

        let msa_in = |x: &Tensor| self.norm1.forward_modulated(x, &shift_msa, &scale_msa);
        let x = match scope.ranks {
            None => self.self_attn.add_to(x, msa_in, &gate_msa, &chunks, scope.rope, probe)?,
            Some(among) => self.self_attn.add_among(x, msa_in, &gate_msa, &chunks, scope.rope, among)?,
        };

        let keys = self.cross_attn.keys(scope.context)?;
        let mut x = x;
        let mut seen = probe.pieces("cross_attn");
        for &(first, len) in &chunks {
            let normal = self.norm3.forward(&x.narrow(1, first, len)?)?;
            x = self.cross_attn.add_to(x, &normal, first, &keys, &mut seen)?;
        }
        probe.show_pieces(seen, 1)?;

        let mut seen = probe.pieces("ffn");
        for &(first, len) in &chunks {
            let mlp_in = self.norm2.forward_modulated(&x.narrow(1, first, len)?, &shift_mlp, &scale_mlp)?;
            let hidden = self.ffn_in.forward_act(&mlp_in, Activation::GeluTanh)?; // [B, rows, ffn_dim]
            seen.add_with(|| self.ffn_out.forward(&hidden))?;
            x = self.ffn_out.forward_add(&hidden, x, first, Some(&gate_mlp))?;
        }
        probe.show_pieces(seen, 1)?;
        Ok(x)
    }
}

/// The token ranges (first, length) that are handled one after the other.
fn chunks(x: &Tensor, rows: usize) -> Result<Vec<(usize, usize)>> {
    let (b, l, _) = x.dims3()?;
    if b > 1 || x.track_op() {
        return Ok(vec![(0, l)]);
    }
    Ok((0..l).step_by(rows.max(1)).map(|first| (first, rows.max(1).min(l - first))).collect())
}

/// Attention among the tokens.
#[derive(Clone, Debug)]
struct SelfAttention {
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    norm_q: RmsNorm,
    norm_k: RmsNorm,
    n_heads: usize,
    precision: Precision,
}

impl SelfAttention {
    fn load(config: &Config, weights: &Weights) -> Result<Self> {
        let d = config.dim;
        Ok(Self {
            q: Linear::load(&weights.pp("q"), d, d)?,
            k: Linear::load(&weights.pp("k"), d, d)?,
            v: Linear::load(&weights.pp("v"), d, d)?,
            o: Linear::load(&weights.pp("o"), d, d)?,
            norm_q: RmsNorm::load(&weights.pp("norm_q"), d, config.eps)?,
            norm_k: RmsNorm::load(&weights.pp("norm_k"), d, config.eps)?,
            n_heads: config.num_heads,
            precision: precision(weights),
        })
    }

    /// `x += gate · o(attention(q, k, v))`; `input` normalises a range of tokens.
    fn add_to(
        &self,
        mut x: Tensor,
        input: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
        gate: &Tensor,
        chunks: &[(usize, usize)],
        rope: &Rope3d,
        probe: &mut ProbeAt<'_>,
    ) -> Result<Tensor> {
        // Keys and values of all tokens first; then the queries need only themselves.
        let mut keys = Gathered::new(&x, chunks)?;
        let mut values = Gathered::new(&x, chunks)?;
        let mut only_input = None;
        for &(first, len) in chunks {
            let h = input(&x.narrow(1, first, len)?)?;
            keys.put(first, self.norm_k.forward_rope(self.k.forward(&h)?, rope, first)?)?;
            values.put(first, self.v.forward(&h)?)?;
            if chunks.len() == 1 {
                only_input = Some(h);
            }
        }
        let (keys, values) = (keys.tensor, values.tensor);
        let (mut seen_q, mut seen) = (probe.pieces("self_attn.norm_q"), probe.pieces("self_attn"));
        for &(first, len) in chunks {
            let h = match only_input.take() {
                Some(h) => h,
                None => input(&x.narrow(1, first, len)?)?,
            };
            let q = self.q.forward(&h)?;
            drop(h);
            seen_q.add_with(|| self.norm_q.forward(&q))?;
            let q = self.norm_q.forward_rope(q, rope, first)?;
            let attention = Attention { precision: self.precision, ..Attention::new(self.n_heads) };
            let out = attention.forward(&q, &keys, &values)?;
            seen.add_with(|| self.o.forward(&out))?;
            x = self.o.forward_add(&out, x, first, Some(gate))?;
        }
        probe.show_pieces(seen_q, 1)?;
        probe.show_pieces(seen, 1)?;
        Ok(x)
    }

    /// [`SelfAttention::add_to`] where each rank has a part of the tokens: for the attention itself, all of them come to each for
    /// its own heads.
    fn add_among(
        &self,
        mut x: Tensor,
        input: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
        gate: &Tensor,
        chunks: &[(usize, usize)],
        rope: &Rope3d,
        among: Among<'_>,
    ) -> Result<Tensor> {
        let mut queries = Gathered::new(&x, chunks)?;
        let mut keys = Gathered::new(&x, chunks)?;
        let mut values = Gathered::new(&x, chunks)?;
        for &(first, len) in chunks {
            let h = input(&x.narrow(1, first, len)?)?;
            queries.put(first, self.norm_q.forward_rope(self.q.forward(&h)?, rope, first)?)?;
            keys.put(first, self.norm_k.forward_rope(self.k.forward(&h)?, rope, first)?)?;
            values.put(first, self.v.forward(&h)?)?;
        }
        let queries = among.to_heads(&queries.tensor)?;
        // Padding takes no part: nobody looks at it, and what it sees itself is thrown away.
        let real = |x: Tensor| Result::Ok(x.narrow(1, 0, among.part.tokens)?.contiguous()?);
        let keys = real(among.to_heads(&keys.tensor)?)?;
        let values = real(among.to_heads(&values.tensor)?)?;
        let n_heads = self.n_heads / among.part.ranks;
        let attention = Attention { precision: self.precision, ..Attention::new(n_heads) };
        let out = attention.forward(&queries, &keys, &values)?;
        drop((queries, keys, values));
        let out = among.to_tokens(&out)?;
        for &(first, len) in chunks {
            x = self.o.forward_add(&out.narrow(1, first, len)?, x, first, Some(gate))?;
        }
        Ok(x)
    }
}

/// A tensor that is put together chunk by chunk along the tokens.
struct Gathered {
    tensor: Tensor,
    parts: usize,
}

impl Gathered {
    fn new(like: &Tensor, chunks: &[(usize, usize)]) -> Result<Self> {
        // One chunk replaces the tensor, so that nothing is allocated for it.
        let tensor = if chunks.len() == 1 { like.clone() } else { like.zeros_like()? };
        Ok(Self { tensor, parts: chunks.len() })
    }

    fn put(&mut self, first: usize, part: Tensor) -> Result<()> {
        if self.parts == 1 {
            self.tensor = part;
        } else {
            self.tensor.slice_set(&part, 1, first)?;
        }
        Ok(())
    }
}

/// Attention to the text rows and, with an image input, to the image rows; the two results are added.
#[derive(Clone, Debug)]
struct CrossAttention {
    q: Linear,
    norm_q: RmsNorm,
    text: KeyValue,
    image: Option<KeyValue>,
    o: Linear,
    n_heads: usize,
    precision: Precision,
}

#[derive(Clone, Debug)]
struct KeyValue {
    k: Linear,
    v: Linear,
    norm_k: RmsNorm,
}

impl KeyValue {
    fn load(config: &Config, weights: &Weights, suffix: &str) -> Result<Self> {
        let d = config.dim;
        Ok(Self {
            k: Linear::load(&weights.pp(format!("k{suffix}")), d, d)?,
            v: Linear::load(&weights.pp(format!("v{suffix}")), d, d)?,
            norm_k: RmsNorm::load(&weights.pp(format!("norm_k{suffix}")), d, config.eps)?,
        })
    }

    fn of(&self, rows: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((self.norm_k.forward(&self.k.forward(rows)?)?, self.v.forward(rows)?))
    }
}

impl CrossAttention {
    fn load(config: &Config, weights: &Weights) -> Result<Self> {
        let d = config.dim;
        let image =
            if config.has_image_input { Some(KeyValue::load(config, weights, "_img")?) } else { None };
        Ok(Self {
            q: Linear::load(&weights.pp("q"), d, d)?,
            norm_q: RmsNorm::load(&weights.pp("norm_q"), d, config.eps)?,
            text: KeyValue::load(config, weights, "")?,
            image,
            o: Linear::load(&weights.pp("o"), d, d)?,
            n_heads: config.num_heads,
            precision: precision(weights),
        })
    }

    /// Keys and values of the text rows, then of the image rows.
    fn keys(&self, context: &Context) -> Result<Vec<(Tensor, Tensor)>> {
        let mut keys = vec![self.text.of(&context.text)?];
        if let (Some(layers), Some(rows)) = (&self.image, &context.image) {
            keys.push(layers.of(rows)?);
        }
        Ok(keys)
    }

    fn add_to(
        &self,
        x: Tensor,
        normal: &Tensor,
        first: usize,
        keys: &[(Tensor, Tensor)],
        seen: &mut Pieces,
    ) -> Result<Tensor> {
        let q = self.norm_q.forward(&self.q.forward(normal)?)?;
        let attention = Attention { precision: self.precision, ..Attention::new(self.n_heads) };
        let mut sum: Option<Tensor> = None;
        for (k, v) in keys {
            let out = attention.forward(&q, k, v)?;
            sum = Some(match sum {
                Some(sum) => add_gated(sum, 0, &out, None)?,
                None => out,
            });
        }
        match sum {
            Some(sum) => {
                seen.add_with(|| self.o.forward(&sum))?;
                Ok(self.o.forward_add(&sum, x, first, None)?)
            }
            None => Ok(x),
        }
    }
}

/// Attention follows the weights: bf16 weights allow bf16 products.
fn precision(weights: &Weights) -> Precision {
    if weights.dtype() == DType::BF16 { Precision::Bf16 } else { Precision::F32 }
}
