//! AniCrafter's condition embedders: two stacks of 3-D convolutions from masked frames to the model's tokens.
//!
//! After `wan_video_v2v_combine.py` of AniCrafter (lines 277-307, 559-573), commit e9e8965. The frames run through
//! the stack a few at a time, each layer keeping only what its kernel still needs: the result is that of the whole
//! clip, in the memory of a few frames.

use crate::condition::LEADING_FRAMES;
use crate::{Config, Error, Result};
use candle_core::{DType, Tensor};
use nn::{Activation, Weights};

/// Channels of an embedder's input: mask, red, green, blue.
const IN_CHANNELS: usize = 4;
/// Channels between the layers.
const HIDDEN_CHANNELS: usize = 16;
/// Strides of the 3×3×3 layers; the last layer is 1×2×2 with stride 1×2×2.
const STRIDES: [[usize; 3]; 6] = [[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]];
/// Frames that are pushed through the stack at a time: one of the last layer's.
const FRAMES: usize = 4;

/// How the two embedders' outputs are rounded before they are added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// Not at all.
    #[default]
    None,
    /// To bf16, as the reference does for its bf16 model.
    Bf16,
}

/// One stack: `blend_embedding` or `smplx_embedding`. Always f32.
#[derive(Clone, Debug)]
pub struct ConditionEmbedder {
    layers: Vec<Layer>,
}

impl ConditionEmbedder {
    /// Reads the stack at `weights` for a model of width `dim`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(dim: usize, weights: &Weights) -> Result<Self> {
        let mut layers = Vec::with_capacity(STRIDES.len() + 1);
        let mut c_in = IN_CHANNELS;
        for (n, stride) in STRIDES.into_iter().enumerate() {
            let weights = weights.pp(2 * n);
            layers.push(Layer::load(&weights, [HIDDEN_CHANNELS, c_in, 3, 3, 3], stride, 1)?);
            c_in = HIDDEN_CHANNELS;
        }
        let weights = weights.pp(2 * STRIDES.len());
        layers.push(Layer::load(&weights, [dim, c_in, 1, 2, 2], [1, 2, 2], 0)?);
        Ok(Self { layers })
    }

    /// Embeds frames.
    ///
    /// # Shapes
    /// `[B, 4, F + 3, H, W]` → `[B, D, T, H/16, W/16]`, f32; H and W are multiples of 16, F + 3 of 4.
    ///
    /// # Errors
    /// When the shape doesn't fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let dims = x.dims().to_vec();
        let fits = matches!(dims[..], [_, IN_CHANNELS, f, h, w]
            if f > 0 && f.is_multiple_of(FRAMES) && h > 0 && h.is_multiple_of(16) && w > 0 && w.is_multiple_of(16));
        if !fits {
            let expected = format!("[B, {IN_CHANNELS}, 4n, 16n, 16n]");
            return Err(Error::Shape { what: "embedder input", expected, got: dims });
        }
        let x = x.to_dtype(DType::F32)?;
        let frames = dims[2];
        let mut waiting: Vec<Option<Tensor>> = vec![None; self.layers.len()];
        let mut outputs = Vec::with_capacity(frames / FRAMES);
        for first in (0..frames).step_by(FRAMES) {
            let mut part = Some(x.narrow(2, first, FRAMES)?);
            let last = first + FRAMES == frames;
            for (n, (layer, waiting)) in self.layers.iter().zip(&mut waiting).enumerate() {
                // The activation follows every layer but the last.
                let activation = if n + 1 < self.layers.len() { Activation::Silu } else { Activation::None };
                part = match layer.push(part, waiting, last)? {
                    Some(out) => Some(activation.forward(&out)?),
                    None => None,
                };
            }
            outputs.extend(part);
        }
        Ok(Tensor::cat(&outputs, 2)?)
    }
}

/// Both stacks.
#[derive(Clone, Debug)]
pub struct ConditionEmbedders {
    /// For the avatar blended over the background.
    pub blend: ConditionEmbedder,
    /// For the render of the body mesh.
    pub smplx: ConditionEmbedder,
}

impl ConditionEmbedders {
    /// Reads `blend_embedding` and `smplx_embedding` below `weights`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(config: &Config, weights: &Weights) -> Result<Self> {
        Ok(Self {
            blend: ConditionEmbedder::load(config.dim, &weights.pp("blend_embedding"))?,
            smplx: ConditionEmbedder::load(config.dim, &weights.pp("smplx_embedding"))?,
        })
    }

    /// The tokens to add after patchifying ([`Conditions::add_condition`](crate::Conditions::add_condition)).
    ///
    /// # Shapes
    /// `blend` and `smplx` `[B, 4, F + 3, H, W]` ([`embedder_input`](crate::condition::embedder_input)) →
    /// `[B, L, D]`, f32.
    ///
    /// # Errors
    /// When the shapes don't fit.
    pub fn tokens(&self, blend: &Tensor, smplx: &Tensor, rounding: Rounding) -> Result<Tensor> {
        if blend.dims() != smplx.dims() {
            let expected = format!("{:?}, as the blend input", blend.dims());
            return Err(Error::Shape { what: "smplx input", expected, got: smplx.dims().to_vec() });
        }
        condition_tokens(&self.blend.forward(blend)?, &self.smplx.forward(smplx)?, rounding)
    }
}

/// Adds the two embedders' outputs and lays them out as tokens.
///
/// # Shapes
/// Two `[B, D, t, h, w]` → `[B, t·h·w, D]`.
///
/// # Errors
/// When the shapes differ.
pub fn condition_tokens(blend: &Tensor, smplx: &Tensor, rounding: Rounding) -> Result<Tensor> {
    let round = |x: &Tensor| match rounding {
        Rounding::None => Ok(x.clone()),
        Rounding::Bf16 => x.to_dtype(DType::BF16)?.to_dtype(DType::F32),
    };
    // A sum of two bf16 numbers is itself rounded to bf16.
    let sum = round(&(round(blend)? + round(smplx)?)?)?;
    Ok(sum.flatten_from(2)?.transpose(1, 2)?.contiguous()?) // [B, L, D]
}

/// A convolution over a stream of frames.
#[derive(Clone, Debug)]
struct Layer {
    /// One `[c_out, c_in, kh, kw]` for each temporal tap.
    taps: Vec<Tensor>,
    /// `[1, c_out, 1, 1]`.
    bias: Tensor,
    stride: [usize; 3],
    /// Zeros on all sides, in time and space.
    padding: usize,
}

impl Layer {
    fn load(weights: &Weights, shape: [usize; 5], stride: [usize; 3], padding: usize) -> Result<Self> {
        let weight = weights.get_f32(&shape[..], "weight")?;
        let taps: candle_core::Result<_> =
            (0..shape[2]).map(|k| weight.narrow(2, k, 1)?.squeeze(2)?.contiguous()).collect();
        let bias = weights.get_f32(shape[0], "bias")?.reshape((1, (), 1, 1))?;
        Ok(Self { taps: taps?, bias, stride, padding })
    }

    /// Takes the next frames `[B, C, t, H, W]` (if any) and gives the outputs that are complete. `waiting` holds the
    /// frames that later outputs still need.
    fn push(
        &self,
        frames: Option<Tensor>,
        waiting: &mut Option<Tensor>,
        last: bool,
    ) -> Result<Option<Tensor>> {
        let like = frames.as_ref().or(waiting.as_ref());
        let Some(like) = like else { return Ok(None) };
        let (b, c, _, h, w) = like.dims5()?;
        let zeros = Tensor::zeros((b, c, self.padding, h, w), DType::F32, like.device())?;
        let mut parts = Vec::with_capacity(3);
        parts.push(waiting.take().unwrap_or_else(|| zeros.clone()));
        parts.extend(frames);
        if last {
            parts.push(zeros);
        }
        parts.retain(|part| part.dims()[2] > 0);
        let window = Tensor::cat(&parts, 2)?;
        let len = window.dims()[2];
        let n_out = if len < self.taps.len() { 0 } else { (len - self.taps.len()) / self.stride[0] + 1 };
        let used = n_out * self.stride[0];
        *waiting = Some(window.narrow(2, used.min(len), len - used.min(len))?);
        if n_out == 0 {
            return Ok(None);
        }
        self.convolve(&window, n_out).map(Some)
    }

    /// `n_out` outputs of the window's frames, without temporal padding.
    fn convolve(&self, window: &Tensor, n_out: usize) -> Result<Tensor> {
        let (b, c, _, h, w) = window.dims5()?;
        let mut sum: Option<Tensor> = None;
        for (k, tap) in self.taps.iter().enumerate() {
            let at: Vec<u32> = (0..n_out).map(|n| (n * self.stride[0] + k) as u32).collect();
            let at = Tensor::new(at, window.device())?;
            let frames = window.index_select(&at, 2)?.transpose(1, 2)?.reshape((b * n_out, c, h, w))?;
            let part = frames.conv2d(tap, self.padding, self.stride[1], 1, 1)?; // [B·n, c_out, H', W']
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
        let Some(sum) = sum else {
            return Err(Error::Config("a convolution without taps".into()));
        };
        let out = sum.broadcast_add(&self.bias)?;
        let (_, c_out, h, w) = out.dims4()?;
        Ok(out.reshape((b, n_out, c_out, h, w))?.transpose(1, 2)?.contiguous()?) // [B, c_out, n, H', W']
    }
}

/// Frames that an embedder reads for F pixel frames.
#[must_use]
pub fn embedder_frames(frames: usize) -> usize {
    frames + LEADING_FRAMES
}
