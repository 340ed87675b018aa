//! The UMT5 encoder.

use crate::observer::{Observer, Probing, probe_of, step};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use nn::{Activation, Attention, Linear, Probe, ProbeAt, RmsNorm, Streamed, Streaming, Weights};
use serde::{Deserialize, Serialize};

/// The encoder's hyperparameters, named as in the reference's constructor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Token ids lie below this.
    pub vocab: usize,
    /// D, width of the token stream.
    pub dim: usize,
    /// Width of queries, keys and values of all heads together.
    pub dim_attn: usize,
    /// Width inside the feed-forward layer.
    pub dim_ffn: usize,
    /// N; `dim_attn` is N heads of `dim_attn` / N elements.
    pub num_heads: usize,
    /// Blocks of attention and feed-forward layer.
    pub num_layers: usize,
    /// Number of relative-position buckets, both directions together.
    pub num_buckets: usize,
    /// One position table for all blocks (T5) or one for each (UMT5).
    pub shared_pos: bool,
}

impl Config {
    /// UMT5-XXL, the text encoder of Wan 2.1.
    #[must_use]
    pub fn umt5_xxl() -> Self {
        Self {
            vocab: 256_384,
            dim: 4096,
            dim_attn: 4096,
            dim_ffn: 10_240,
            num_heads: 64,
            num_layers: 24,
            num_buckets: 32,
            shared_pos: false,
        }
    }

    /// Checks that the numbers describe a model.
    ///
    /// # Errors
    /// When they don't.
    pub fn validate(&self) -> Result<()> {
        let fail = |why: String| Err(Error::Config { model: "UMT5", why });
        if self.num_heads == 0 || !self.dim_attn.is_multiple_of(self.num_heads) {
            return fail(format!(
                "dim_attn {} isn't a multiple of num_heads {}",
                self.dim_attn, self.num_heads
            ));
        }
        if self.num_buckets < 4 || !self.num_buckets.is_multiple_of(4) {
            return fail(format!("num_buckets must be a multiple of 4, got {}", self.num_buckets));
        }
        if self.vocab == 0 || self.dim == 0 || self.dim_ffn == 0 || self.num_layers == 0 {
            return fail("a dimension is 0".to_owned());
        }
        Ok(())
    }
}

/// Text to the rows that a Wan transformer attends to.
#[derive(Debug)]
pub struct TextEncoder {
    /// A large table of which a prompt needs a few rows: they are looked up where it is stored.
    token_embedding: Weights,
    pos_embedding: Option<RelativePosition>,
    blocks: Streamed<Block, Error>,
    norm: RmsNorm,
    vocab: usize,
    dim: usize,
}

const EPS: f64 = 1e-6;

impl TextEncoder {
    /// Reads the encoder's weights: keys as in `models_t5_umt5-xxl-enc-bf16.pth`.
    ///
    /// # Errors
    /// When the configuration is impossible, or a tensor is missing or has another shape.
    pub fn new(config: &Config, weights: &Weights) -> Result<Self> {
        Self::streamed(config, weights, Streaming::none(config.num_layers))
    }

    /// As [`TextEncoder::new`]; blocks that aren't kept are read again whenever prompts are encoded.
    ///
    /// # Errors
    /// As [`TextEncoder::new`]; what is wrong with a block that isn't kept shows when it is read.
    pub fn streamed(config: &Config, weights: &Weights, streaming: Streaming) -> Result<Self> {
        config.validate()?;
        let token_embedding = weights.pp("token_embedding");
        token_embedding.rows((config.vocab, config.dim), "weight", &[0])?;
        let pos_embedding = config
            .shared_pos
            .then(|| RelativePosition::load(config, &weights.pp("pos_embedding")))
            .transpose()?;
        let known = config.clone();
        let load = move |weights: &Weights| Block::load(&known, weights);
        Ok(Self {
            token_embedding,
            pos_embedding,
            blocks: Streamed::load(config.num_layers, &weights.pp("blocks"), streaming, load)?,
            norm: RmsNorm::load(&weights.pp("norm"), config.dim, EPS)?,
            vocab: config.vocab,
            dim: config.dim,
        })
    }

    /// Encodes a prompt into the context that the video model takes: `[1, context_len, D]`, rows after the prompt zero.
    ///
    /// # Errors
    /// As [`TextEncoder::encode_all`].
    pub fn encode(&self, ids: &[u32], context_len: usize) -> Result<Tensor> {
        let mut encoded = self.encode_all(&[ids], context_len, &mut ())?;
        Ok(encoded.swap_remove(0))
    }

    /// Encodes prompts, each as [`TextEncoder::encode`] does: block by block, so that each block is read once for all of them.
    ///
    /// Only the real tokens are run: padding is masked out of the attention and its rows are zeroed in the end, so it
    /// can't change anything.
    ///
    /// # Errors
    /// When there are more ids than rows or none, an id lies outside the vocabulary, a block can't be read, or the observer wants
    /// no more.
    pub fn encode_all(
        &self,
        prompts: &[&[u32]],
        context_len: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Tensor>> {
        if let Some(ids) = prompts.iter().find(|ids| ids.len() > context_len || ids.is_empty()) {
            return Err(Error::TooManyTokens { got: ids.len(), room: context_len });
        }
        let prompts: Vec<_> = prompts.iter().map(|ids| (*ids, ids.len())).collect();
        let encoded = self.run(&prompts, observer)?;
        let padded = encoded
            .into_iter()
            .zip(prompts)
            .map(|(rows, (_, len))| Ok(rows.pad_with_zeros(1, 0, context_len - len)?));
        padded.collect()
    }

    /// Runs the encoder over `ids` of which the first `valid` are real and the others padding.
    ///
    /// # Shapes
    /// L ids → `[1, L, D]` in f32.
    ///
    /// # Errors
    /// When an id lies outside the vocabulary, or a block can't be read.
    pub fn forward(&self, ids: &[u32], valid: usize) -> Result<Tensor> {
        Ok(self.run(&[(ids, valid)], &mut ())?.swap_remove(0))
    }

    /// As [`TextEncoder::forward`], showing `block0`, `block0.attn`, `block0.ffn`, `block0.pos_bias` … to a probe.
    ///
    /// # Errors
    /// As [`TextEncoder::forward`].
    pub fn forward_probed(&self, ids: &[u32], valid: usize, probe: &mut dyn Probe) -> Result<Tensor> {
        Ok(self.run(&[(ids, valid)], &mut Probing(probe))?.swap_remove(0))
    }

    /// Prompts with the number of their ids that are real.
    fn run(&self, prompts: &[(&[u32], usize)], observer: &mut dyn Observer) -> Result<Vec<Tensor>> {
        let mut streams = Vec::with_capacity(prompts.len());
        let mut shared = Vec::with_capacity(prompts.len());
        for (ids, valid) in prompts {
            if let Some(&id) = ids.iter().find(|&&id| id as usize >= self.vocab) {
                return Err(Error::TokenOutOfRange { id, vocab: self.vocab });
            }
            let rows =
                self.token_embedding.rows((self.vocab, self.dim), "weight", ids)?.to_dtype(DType::F32)?;
            streams.push(rows.unsqueeze(0)?);
            let position = self.pos_embedding.as_ref().map(|all| all.position(ids.len())).transpose()?;
            shared.push(position.map(|position| without_padding(position, *valid)).transpose()?);
        }
        let n_blocks = self.blocks.n_blocks();
        self.blocks.for_each(&mut |n, block| {
            step(observer, n, n_blocks)?;
            let name = format!("block{n}");
            for ((x, shared), (_, valid)) in streams.iter_mut().zip(&shared).zip(prompts) {
                let mut probe = probe_of(observer);
                *x = block.forward(x, *valid, shared.as_ref(), &mut probe.pp(&name))?;
                probe.show(&name, x);
            }
            Ok(())
        })?;
        step(observer, n_blocks, n_blocks)?;
        streams.iter().map(|x| Ok(self.norm.forward(x)?)).collect()
    }
}

#[derive(Debug)]
struct Block {
    norm1: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    norm2: RmsNorm,
    gate: Linear,
    fc1: Linear,
    fc2: Linear,
    pos_embedding: Option<RelativePosition>,
    n_heads: usize,
}

impl Block {
    fn load(config: &Config, weights: &Weights) -> Result<Self> {
        let (d, inner, wide) = (config.dim, config.dim_attn, config.dim_ffn);
        let attn = weights.pp("attn");
        let ffn = weights.pp("ffn");
        let linear = |at: Weights, d_in, d_out| Linear::load_without_bias(&at, d_in, d_out);
        let own_position =
            (!config.shared_pos).then(|| RelativePosition::load(config, &weights.pp("pos_embedding")));
        Ok(Self {
            norm1: RmsNorm::load(&weights.pp("norm1"), d, EPS)?,
            q: linear(attn.pp("q"), d, inner)?,
            k: linear(attn.pp("k"), d, inner)?,
            v: linear(attn.pp("v"), d, inner)?,
            o: linear(attn.pp("o"), inner, d)?,
            norm2: RmsNorm::load(&weights.pp("norm2"), d, EPS)?,
            gate: linear(ffn.pp("gate").pp(0), d, wide)?,
            fc1: linear(ffn.pp("fc1"), d, wide)?,
            fc2: linear(ffn.pp("fc2"), wide, d)?,
            pos_embedding: own_position.transpose()?,
            n_heads: config.num_heads,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        valid: usize,
        shared: Option<&Tensor>,
        probe: &mut ProbeAt<'_>,
    ) -> Result<Tensor> {
        let bias = match (&self.pos_embedding, shared) {
            (Some(own), _) => {
                let position = own.position(x.dim(1)?)?;
                probe.show_with("pos_bias", || position.unsqueeze(0))?;
                Some(without_padding(position, valid)?)
            }
            (None, shared) => shared.cloned(),
        };
        let h = self.norm1.forward(x)?;
        let (q, k, v) = (self.q.forward(&h)?, self.k.forward(&h)?, self.v.forward(&h)?);
        // T5 doesn't scale its scores.
        let attention = Attention { scale: Some(1.0), bias: bias.as_ref(), ..Attention::new(self.n_heads) };
        let attended = self.o.forward(&attention.forward(&q, &k, &v)?)?;
        probe.show("attn", &attended);
        let x = (x + attended)?;

        let h = self.norm2.forward(&x)?;
        let gate = self.gate.forward_act(&h, Activation::GeluTanh)?;
        let wide = (self.fc1.forward(&h)? * gate)?;
        let narrow = self.fc2.forward(&wide)?;
        probe.show("ffn", &narrow);
        Ok((x + narrow)?)
    }
}

/// A learned bias for each head and each bucket of relative distance.
#[derive(Debug)]
struct RelativePosition {
    /// `[buckets, N]`
    embedding: Tensor,
    n_buckets: usize,
}

impl RelativePosition {
    fn load(config: &Config, weights: &Weights) -> Result<Self> {
        let shape = (config.num_buckets, config.num_heads);
        let embedding = weights.pp("embedding").get_f32(shape, "weight")?;
        Ok(Self { embedding, n_buckets: config.num_buckets })
    }

    /// The bias `[N, L, L]`, without a mask.
    fn position(&self, len: usize) -> Result<Tensor> {
        let table = self.embedding.to_device(&Device::Cpu)?.to_vec2::<f32>()?; // [buckets, N]
        let heads = self.embedding.dim(1)?;
        // The bias depends on the distance alone: a head's rows are windows of one line over all distances.
        let reach = len as i64 - 1;
        let buckets: Vec<usize> = (-reach..=reach).map(|distance| bucket(distance, self.n_buckets)).collect();
        let mut bias = Vec::with_capacity(heads * len * len);
        for head in 0..heads {
            let line: Vec<f32> = buckets.iter().map(|&bucket| table[bucket][head]).collect();
            (0..len).for_each(|query| bias.extend_from_slice(&line[len - 1 - query..][..len]));
        }
        Ok(Tensor::from_vec(bias, (heads, len, len), self.embedding.device())?)
    }
}

/// The bias `[N, L, L]` with the columns of padding, those after `valid`, at the lowest finite value.
fn without_padding(bias: Tensor, valid: usize) -> Result<Tensor> {
    let (heads, len, _) = bias.dims3()?;
    if valid >= len {
        return Ok(bias);
    }
    let masked = Tensor::full(f32::MIN, (heads, len, len - valid), bias.device())?;
    Ok(Tensor::cat(&[&bias.narrow(2, 0, valid)?, &masked], 2)?)
}

/// The distance beyond which all keys share a bucket.
const MAX_DISTANCE: f32 = 128.0;

/// The bucket of a distance: one half for keys before the query, one for keys after it; exact up to a quarter of the
/// buckets, logarithmic beyond, in f32 as the reference computes it.
fn bucket(distance: i64, n_buckets: usize) -> usize {
    let half = n_buckets / 2;
    let exact = half / 2;
    let offset = if distance > 0 { half } else { 0 };
    let distance = distance.unsigned_abs() as usize;
    if distance < exact {
        return offset + distance;
    }
    let ratio = (distance as f32 / exact as f32).ln() / (MAX_DISTANCE / exact as f32).ln();
    offset + (exact + (ratio * (half - exact) as f32) as usize).min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::ops::ControlFlow;

    #[test]
    fn near_distances_are_exact_and_far_ones_share_the_last_bucket() {
        assert_eq!(bucket(0, 32), 0);
        assert_eq!(bucket(-7, 32), 7);
        assert_eq!(bucket(7, 32), 23);
        assert_eq!(bucket(-8, 32), 8);
        assert_eq!(bucket(-127, 32), 15);
        assert_eq!(bucket(-5000, 32), 15);
        assert_eq!(bucket(5000, 32), 31);
    }

    fn config() -> Config {
        Config {
            vocab: 11,
            dim: 8,
            dim_attn: 8,
            dim_ffn: 16,
            num_heads: 2,
            num_layers: 2,
            num_buckets: 8,
            shared_pos: false,
        }
    }

    fn weights() -> Weights {
        let mut tensors = HashMap::new();
        let mut add = |name: String, shape: &[usize]| {
            let n: usize = shape.iter().product();
            let seed = tensors.len();
            let data: Vec<f32> =
                (0..n).map(|i| (((i * 37 + seed * 101) % 97) as f32 / 97.0 - 0.5) * 0.8).collect();
            tensors.insert(name, Tensor::from_vec(data, shape, &Device::Cpu).unwrap());
        };
        add("token_embedding.weight".into(), &[11, 8]);
        add("norm.weight".into(), &[8]);
        for i in 0..2 {
            for name in ["q", "k", "v", "o"] {
                add(format!("blocks.{i}.attn.{name}.weight"), &[8, 8]);
            }
            add(format!("blocks.{i}.norm1.weight"), &[8]);
            add(format!("blocks.{i}.norm2.weight"), &[8]);
            add(format!("blocks.{i}.ffn.gate.0.weight"), &[16, 8]);
            add(format!("blocks.{i}.ffn.fc1.weight"), &[16, 8]);
            add(format!("blocks.{i}.ffn.fc2.weight"), &[8, 16]);
            add(format!("blocks.{i}.pos_embedding.embedding.weight"), &[8, 2]);
        }
        Weights::from_tensors(tensors, DType::F32, &Device::Cpu)
    }

    fn tiny() -> TextEncoder {
        TextEncoder::new(&config(), &weights()).unwrap()
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn streamed_blocks_and_prompts_together_change_nothing() {
        let prompts: [&[u32]; 3] = [&[3, 9, 1], &[1], &[10, 2, 2, 7, 1]];
        let alone: Vec<_> = prompts.iter().map(|ids| values(&tiny().encode(ids, 6).unwrap())).collect();
        for (in_flight, keep) in [(1, 0), (2, 0), (1, 1), (1, 2)] {
            let streaming = Streaming { in_flight, keep };
            let model = TextEncoder::streamed(&config(), &weights(), streaming).unwrap();
            for _ in 0..2 {
                let mut blocks = Vec::new();
                let mut watch = |n: usize, of: usize| {
                    blocks.push((n, of));
                    ControlFlow::Continue(())
                };
                let together = model.encode_all(&prompts, 6, &mut watch).unwrap();
                assert_eq!(together.iter().map(values).collect::<Vec<_>>(), alone, "{streaming:?}");
                assert_eq!(blocks, [(0, 2), (1, 2), (2, 2)]);
            }
        }
        let mut stop =
            |n: usize, _: usize| if n == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let cancelled = tiny().encode_all(&prompts, 6, &mut stop);
        assert!(matches!(cancelled, Err(Error::Cancelled { block: 1, of: 2 })));
        assert!(tiny().encode_all(&[], 6, &mut ()).unwrap().is_empty());
    }

    #[test]
    fn padding_changes_nothing() {
        let model = tiny();
        let short = model.encode(&[3, 9, 1], 6).unwrap();
        assert_eq!(short.dims(), [1, 6, 8]);
        let padded = model.forward(&[3, 9, 1, 0, 0, 0], 3).unwrap();
        let a = short.narrow(1, 0, 3).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let b = padded.narrow(1, 0, 3).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} {b:?}");
        let tail = short.narrow(1, 3, 3).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(tail.iter().all(|&x| x == 0.0));
    }

    #[test]
    fn bad_tokens_are_errors() {
        let model = tiny();
        assert!(matches!(model.encode(&[11], 6), Err(Error::TokenOutOfRange { id: 11, vocab: 11 })));
        assert!(matches!(model.encode(&[1; 7], 6), Err(Error::TooManyTokens { got: 7, room: 6 })));
    }
}
