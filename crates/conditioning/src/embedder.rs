//! AniCrafter's condition embedders: two stacks of 3-D convolutions from masked frames to the model's tokens.
//!
//! The frames run through
//! the stack a few at a time, each layer keeping only what its kernel still needs: the result is that of the whole
//! clip, in the memory of a few frames.

use crate::{Error, Result, Rounding};
use candle_core::{DType, Device, Tensor};
use nn::Weights;
use nn::conv3d::{Calls, Conv3d, ConvShape, Frames, Padding, Read, Storage, Window, Workspace};

/// Channels of an embedder's input: mask, red, green, blue.
const IN_CHANNELS: usize = 4;
/// Channels between the layers.
const HIDDEN_CHANNELS: usize = 16;
/// Strides of the 3×3×3 layers.
const STRIDES: [[usize; 3]; 6] = [[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]];
/// Kernel and stride of the last layer.
const LAST: [usize; 3] = [1, 2, 2];
/// Frames that are pushed through the stack at a time: one of the last layer's.
const FRAMES: usize = 4;

/// One stack: `blend_embedding` or `smplx_embedding`. Always f32.
#[derive(Clone, Debug)]
pub struct ConditionEmbedder {
    layers: Vec<Conv3d>,
}

impl ConditionEmbedder {
    /// Reads the stack at `weights` for a model of width `dim`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(dim: usize, weights: &Weights) -> Result<Self> {
        let weights = weights.with_dtype(DType::F32);
        let mut layers = Vec::with_capacity(STRIDES.len() + 1);
        let mut c_in = IN_CHANNELS;
        for (n, stride) in STRIDES.into_iter().enumerate() {
            let padding = Padding::symmetric(1, 1);
            let shape = ConvShape { c_in, c_out: HIDDEN_CHANNELS, kernel: [3, 3, 3], stride, padding };
            layers.push(Conv3d::load_for(&weights.pp(2 * n), shape, Calls::Clips)?);
            c_in = HIDDEN_CHANNELS;
        }
        let shape = ConvShape { c_in, c_out: dim, kernel: LAST, stride: LAST, padding: Padding::default() };
        layers.push(Conv3d::load_for(&weights.pp(2 * STRIDES.len()), shape, Calls::Frames)?);
        Ok(Self { layers })
    }

    /// Embeds frames.
    ///
    /// # Shapes
    /// `[1, 4, F + 3, H, W]` → `[1, D, T, H/16, W/16]`, f32; H and W are multiples of 16, F + 3 of 4.
    ///
    /// # Errors
    /// When the shape doesn't fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let parts = self.stream(x)?.collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&parts, 1)?.unsqueeze(0)?)
    }

    /// The embedded frames, part by part: each item is `[D, t, H/16, W/16]`.
    fn stream<'a>(&'a self, x: &Tensor) -> Result<Stream<'a>> {
        let dims = x.dims().to_vec();
        let fits = matches!(dims[..], [1, IN_CHANNELS, f, h, w]
            if f > 0 && f.is_multiple_of(FRAMES) && h > 0 && h.is_multiple_of(16) && w > 0 && w.is_multiple_of(16));
        if !fits {
            let expected = format!("[1, {IN_CHANNELS}, 4n, 16n, 16n]");
            return Err(Error::Shape { what: "embedder input", expected, got: dims });
        }
        let kernels = self.layers.iter().all(Conv3d::on_kernels);
        Ok(Stream {
            layers: &self.layers,
            workspace: Workspace::new(if kernels { Storage::F32 } else { Storage::Tensor }),
            x: x.squeeze(0)?.to_dtype(DType::F32)?,
            next: 0,
            waiting: self.layers.iter().map(Waiting::new).collect(),
        })
    }
}

/// Frames on their way through the layers.
struct Stream<'a> {
    layers: &'a [Conv3d],
    workspace: Workspace,
    /// `[4, F + 3, H, W]`
    x: Tensor,
    next: usize,
    waiting: Vec<Waiting>,
}

/// What a layer has been given and still needs.
struct Waiting {
    zeros: usize,
    frames: Option<Frames>,
}

impl Waiting {
    fn new(layer: &Conv3d) -> Self {
        Self { zeros: padding_in_time(layer), frames: None }
    }
}

/// Frames of zeros before and after the clip: the layers are padded in time as in space.
fn padding_in_time(layer: &Conv3d) -> usize {
    layer.shape().kernel[0] / 2
}

impl Iterator for Stream<'_> {
    type Item = Result<Tensor>;

    fn next(&mut self) -> Option<Self::Item> {
        let total = self.x.dims()[1];
        while self.next < total {
            let part = self.x.narrow(1, self.next, FRAMES).map_err(Error::from);
            self.next += FRAMES;
            let out = part.and_then(|part| self.push(&part, self.next == total));
            if let Some(out) = out.transpose() {
                return Some(out);
            }
        }
        None
    }
}

impl Stream<'_> {
    /// Pushes frames through the stack; gives the outputs that are complete.
    fn push(&mut self, part: &Tensor, last: bool) -> Result<Option<Tensor>> {
        let mut frames = Some(Frames::from_tensor(&self.workspace, part)?);
        for (n, (layer, waiting)) in self.layers.iter().zip(&mut self.waiting).enumerate() {
            // An activation stands between the layers.
            let read = if n == 0 { Read::PLAIN } else { Read { silu: true, ..Read::PLAIN } };
            frames = push(layer, (&self.workspace, self.x.device()), read, waiting, frames, last)?;
        }
        Ok(frames.map(|frames| frames.to_tensor()).transpose()?)
    }
}

/// Gives a layer its next frames (if any) and takes the outputs that are complete.
fn push(
    layer: &Conv3d,
    (workspace, device): (&Workspace, &Device),
    read: Read<'_>,
    waiting: &mut Waiting,
    frames: Option<Frames>,
    last: bool,
) -> Result<Option<Frames>> {
    let mut all = match (waiting.frames.take(), frames) {
        (Some(old), Some(new)) => Frames::tail(Some(&old), &new, old.len() + new.len())?,
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return Ok(None),
    };
    let padding = padding_in_time(layer);
    if last && padding > 0 {
        let [c, h, w] = all.size();
        let zeros = Tensor::zeros((c, padding, h, w), DType::F32, device)?;
        let zeros = Frames::from_tensor(workspace, &zeros)?;
        all = Frames::tail(Some(&all), &zeros, all.len() + padding)?;
    }
    let n = layer.shape().frames(waiting.zeros + all.len());
    if n == 0 {
        waiting.frames = Some(all);
        return Ok(None);
    }
    let out =
        layer.apply(workspace, Window { zeros: waiting.zeros, past: None, frames: &all }, read, None)?;
    let used = n * layer.shape().stride[0] - waiting.zeros;
    waiting.zeros = 0;
    waiting.frames = if used < all.len() { Some(all.narrow(used, all.len() - used)?) } else { None };
    Ok(Some(out))
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
    /// Reads `blend_embedding` and `smplx_embedding` below `weights` for a transformer of width `dim`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(dim: usize, weights: &Weights) -> Result<Self> {
        Ok(Self {
            blend: ConditionEmbedder::load(dim, &weights.pp("blend_embedding"))?,
            smplx: ConditionEmbedder::load(dim, &weights.pp("smplx_embedding"))?,
        })
    }

    /// Frames and pixels to a token: the published stacks' own.
    pub(crate) fn strides() -> [usize; 2] {
        let product = |axis: usize| STRIDES.iter().chain([&LAST]).map(|stride| stride[axis]).product();
        [product(0), product(1)]
    }

    /// The tokens to add after patchifying ([`dit::Conditions::add_condition`]).
    ///
    /// # Shapes
    /// `blend` and `smplx` `[1, 4, F + 3, H, W]` ([`Clip::embedder_inputs`](crate::Clip::embedder_inputs)) →
    /// `[1, L, D]`, f32.
    ///
    /// # Errors
    /// When the shapes don't fit.
    pub fn tokens(&self, blend: &Tensor, smplx: &Tensor, rounding: Rounding) -> Result<Tensor> {
        if blend.dims() != smplx.dims() {
            let expected = format!("{:?}, as the blend input", blend.dims());
            return Err(Error::Shape { what: "smplx input", expected, got: smplx.dims().to_vec() });
        }
        let mut parts = Vec::new();
        for (blend, smplx) in self.blend.stream(blend)?.zip(self.smplx.stream(smplx)?) {
            parts.push(condition_tokens(&blend?.unsqueeze(0)?, &smplx?.unsqueeze(0)?, rounding)?);
        }
        Ok(Tensor::cat(&parts, 1)?)
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
    // A sum of two bf16 numbers is itself rounded to bf16.
    let sum = rounding.apply(&(rounding.apply(blend)? + rounding.apply(smplx)?)?)?;
    Ok(sum.flatten_from(2)?.transpose(1, 2)?.contiguous()?) // [B, L, D]
}
