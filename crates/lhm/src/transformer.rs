//! The transformer of points and picture tokens: in each layer the head's points first meet the head picture's tokens, then all
//! points the body picture's.
//!
//! Ported from `TransformerDecoder` with blocks `sd3_mm_bh_cond` (`LHM/models/transformer.py`, aigc3d/LHM b31e76a).

use crate::block::JointBlock;
use crate::observer::{Observer, Part, probe_of, tell};
use crate::{Error, Result, TransformerConfig};
use candle_core::Tensor;
use nn::{Activation, LayerNorm, Linear, Weights};

/// Points that are handled at a time: bounds the memory of what lies between layers, doesn't change the result.
pub(crate) const ROWS: usize = 4096;

/// Points and tokens to the points' features.
///
/// It runs once for a picture, so that a layer's weights are read when its turn comes and dropped behind it: memory is that of one
/// block (151 MB of the 500M model's 1.4 GB in f32).
#[derive(Debug)]
pub struct Transformer {
    config: TransformerConfig,
    weights: Weights,
}

impl Transformer {
    /// `weights` stands at `transformer` in LHM's file.
    ///
    /// # Errors
    /// When the configuration isn't one of this crate's.
    pub fn new(config: &TransformerConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        Ok(Self { config: config.clone(), weights: weights.clone() })
    }

    /// Runs it. `x` is consumed because its memory is reused: a clone of it sees the result too. A probe is shown `cond`,
    /// `layer0.head.attn`, `layer0.head`, `layer0`, `layer0.context` … and `out`.
    ///
    /// # Shapes
    /// `x` `[1, N, D]` embedded points, the last quarter of which are the head's; `cond` `[1, body tokens + head tokens, cond_dim]`;
    /// `temb` `[1, 2·D]`, half for the body and half for the head → `[1, N, D]`.
    ///
    /// # Errors
    /// When shapes don't fit, a weight is missing or has another shape, or the observer wants no more.
    pub fn forward(
        &self,
        x: Tensor,
        cond: &Tensor,
        temb: &Tensor,
        observer: &mut dyn Observer,
    ) -> Result<Tensor> {
        let c = &self.config;
        let shape = |what, expected: String, got: &Tensor| {
            Err(Error::Shape { what, expected, got: got.dims().to_vec() })
        };
        let d = c.inner_dim;
        let n = match *x.dims() {
            [1, n, width] if width == d && n >= 4 => n,
            _ => return shape("the embedded points", format!("[1, 4 or more, {d}]"), &x),
        };
        let tokens = match *cond.dims() {
            [1, l, width] if width == c.cond_dim && l > c.body_tokens => l,
            _ => {
                return shape(
                    "the picture's tokens",
                    format!("[1, more than {}, {}]", c.body_tokens, c.cond_dim),
                    cond,
                );
            }
        };
        if temb.dims() != [1, 2 * d] {
            return shape("the picture's mood", format!("[1, {}]", 2 * d), temb);
        }
        let mood = Activation::Silu.forward(temb)?;
        let [body_mood, head_mood] = [0, 1].map(|i| mood.narrow(1, i * d, d)?.contiguous());
        let (body_mood, head_mood) = (body_mood?, head_mood?);
        let cond = Linear::load(&self.weights.pp("linear_cond_proj"), c.cond_dim, d)?.forward(cond)?;
        probe_of(observer).show("cond", &cond);
        let mut body = cond.narrow(1, 0, c.body_tokens)?.copy()?;
        let mut head = cond.narrow(1, c.body_tokens, tokens - c.body_tokens)?.copy()?;
        drop(cond);

        let first_head = (n as f64 * 0.75) as usize;
        let mut work = Work::new([n - first_head, n], [tokens - c.body_tokens, c.body_tokens], c.num_layers);
        let mut x = x;
        for i in 0..c.num_layers {
            let last = i + 1 == c.num_layers;
            let weights = self.weights.pp("layers").pp(i);
            let load = |name: &str| JointBlock::load(c, &weights.pp(name), last);
            let name = format!("layer{i}");

            let points = x.narrow(1, first_head, n - first_head)?.copy()?;
            let block = load("head_dit")?;
            let (points, tokens) = {
                let mut on_rows = |rows| work.step(0, rows);
                let mut seen = Shown { observer: &mut *observer, on_rows: &mut on_rows };
                seen.run(&block, points, head, &head_mood, &format!("{name}.head"))?
            };
            drop(block);
            head = tokens;
            let mut probe = probe_of(observer);
            probe.show(format_args!("{name}.head"), &points);
            if !last {
                probe.show_with(format_args!("{name}.head_context"), || head.copy())?;
            }
            x.slice_set(&points.contiguous()?, 1, first_head)?;
            drop(points);

            let block = load("body_dit")?;
            (x, body) = {
                let mut on_rows = |rows| work.step(1, rows);
                let mut seen = Shown { observer: &mut *observer, on_rows: &mut on_rows };
                seen.run(&block, x, body, &body_mood, &format!("{name}.body"))?
            };
            let mut probe = probe_of(observer);
            probe.show_with(&name, || x.copy())?;
            if !last {
                probe.show_with(format_args!("{name}.context"), || Tensor::cat(&[&body, &head], 1))?;
            }
        }
        tell(observer, Part::Points, 1.0)?;
        let out = LayerNorm::load(&self.weights.pp("norm"), d, c.eps)?.forward(&x)?;
        probe_of(observer).show("out", &out);
        Ok(out)
    }
}

/// A block's run, with the observer told of its rows.
struct Shown<'a, 'b> {
    observer: &'a mut dyn Observer,
    on_rows: &'b mut dyn FnMut(usize) -> f64,
}

impl Shown<'_, '_> {
    fn run(
        &mut self,
        block: &JointBlock,
        points: Tensor,
        context: Tensor,
        mood: &Tensor,
        name: &str,
    ) -> Result<(Tensor, Tensor)> {
        // A probe and the progress are the same observer: what the block shows is kept until it is done.
        let mut kept = Vec::new();
        let wanted: Vec<String> = ["attn", "attn_context"].map(|what| format!("{name}.{what}")).to_vec();
        let watched = self.observer.probe().is_some_and(|probe| wanted.iter().any(|name| probe.wants(name)));
        let observer = &mut *self.observer;
        let on_rows = &mut *self.on_rows;
        let mut told = |rows: usize| tell(observer, Part::Points, on_rows(rows));
        let mut keep = |what: &str, value: &Tensor| kept.push((what.to_owned(), value.clone()));
        let mut probe = nn::ProbeAt::root(if watched { Some(&mut keep) } else { None });
        let done = block.forward(points, context, mood, ROWS, &mut told, &mut probe)?;
        drop(probe);
        let mut probe = probe_of(self.observer);
        for (what, value) in kept {
            probe.show(format_args!("{name}.{what}"), &value);
        }
        Ok(done)
    }
}

/// How far the run is, by the scores of attention, which take nearly all of the time.
struct Work {
    keys: [usize; 2],
    done: f64,
    all: f64,
}

impl Work {
    fn new(points: [usize; 2], tokens: [usize; 2], layers: usize) -> Self {
        let keys = [0, 1].map(|i| points[i] + tokens[i]);
        // The last layer's tokens ask nothing.
        let scores = |i: usize| keys[i] as f64 * (points[i] * layers + tokens[i] * (layers - 1)) as f64;
        Self { keys, done: 0.0, all: scores(0) + scores(1) }
    }

    fn step(&mut self, block: usize, rows: usize) -> f64 {
        self.done += rows as f64 * self.keys[block] as f64;
        self.done / self.all
    }
}
