//! The convolution layer.

use super::frames::{Data, view};
use super::norm::Read;
use super::workspace::{Storage, Values, Workspace};
use super::{Calls, ConvShape, Frames, tensor};
use crate::{Weights, slices};
use candle_core::{DType, Result, Tensor, bail};
use kernels::conv::{Conv, Frame, FrameMut, Input};
use kernels::{Attention, Heads, Precision};
use std::ops::Range;
use std::sync::Arc;

/// What a convolution sees along time: zeros, then cached frames, then new ones.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// Frames of zeros in front.
    pub zeros: usize,
    /// Cached frames of an earlier chunk.
    pub past: Option<&'a Frames>,
    /// The new frames.
    pub frames: &'a Frames,
}

impl<'a> Window<'a> {
    /// The frames alone.
    #[must_use]
    pub fn of(frames: &'a Frames) -> Self {
        Self { zeros: 0, past: None, frames }
    }

    /// The frames with `n` frames before them: cached ones as far as there are any, else zeros.
    #[must_use]
    pub fn causal(past: Option<&'a Frames>, frames: &'a Frames, n: usize) -> Self {
        Self { zeros: n.saturating_sub(past.map_or(0, Frames::len)), past, frames }
    }
}

/// A 3-D convolution (a 2-D one with a temporal kernel of 1), weights as PyTorch stores them: `weight`
/// `[c_out, c_in, kt, kh, kw]`, `bias` `[c_out]`.
#[derive(Clone, Debug)]
pub struct Conv3d {
    shape: ConvShape,
    form: Form,
}

#[derive(Clone)]
enum Form {
    Packed(Arc<Conv>),
    Dense { weight: Tensor, bias: Option<Tensor> },
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Packed(_) => write!(f, "packed"),
            Self::Dense { weight, .. } => write!(f, "{:?}", weight.dtype()),
        }
    }
}

impl Conv3d {
    /// Loads a convolution with bias that is called with whole clips or single frames alike.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(weights: &Weights, shape: ConvShape) -> Result<Self> {
        Self::load_for(weights, shape, Calls::Frames)
    }

    /// Loads a convolution with bias, its weights packed for the calls it will get.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load_for(weights: &Weights, shape: ConvShape, calls: Calls) -> Result<Self> {
        let weight = weights.get(&stored(&shape), "weight")?;
        let bias = weights.get_f32(shape.c_out, "bias")?;
        Self::from_tensors(&weight, Some(&bias), shape, calls)
    }

    /// Loads a 2-D convolution with bias, `weight` `[c_out, c_in, kh, kw]`; the shape's temporal kernel is 1.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load_2d(weights: &Weights, shape: ConvShape) -> Result<Self> {
        let [_, kh, kw] = shape.kernel;
        let weight = weights.get((shape.c_out, shape.c_in, kh, kw), "weight")?.unsqueeze(2)?;
        let bias = weights.get_f32(shape.c_out, "bias")?;
        Self::from_tensors(&weight, Some(&bias), shape, Calls::Frames)
    }

    /// A convolution of the given tensors: `weight` `[c_out, c_in, kt, kh, kw]` in f32 or bf16, `bias` `[c_out]`.
    ///
    /// # Errors
    /// When a tensor has another shape, or the shape a zero.
    pub fn from_tensors(
        weight: &Tensor,
        bias: Option<&Tensor>,
        shape: ConvShape,
        calls: Calls,
    ) -> Result<Self> {
        if weight.dims() != stored(&shape) || weight.elem_count() == 0 || shape.stride.contains(&0) {
            bail!("a weight of {:?} for a convolution of {:?}, {shape:?}", weight.dims(), stored(&shape));
        }
        if let Some(bias) = bias.filter(|b| b.dims() != [shape.c_out]) {
            bail!("a bias of {:?} for {} output channels", bias.dims(), shape.c_out);
        }
        let form = if slices::on_kernels(&[weight]) {
            let precision = if weight.dtype() == DType::BF16 { Precision::Bf16 } else { Precision::F32 };
            let weight = weight.to_dtype(DType::F32)?;
            let bias = bias.map(Tensor::to_vec1).transpose()?;
            let conv = slices::read::<f32, _>(&weight, |w| {
                Ok(Conv::with_precision(shape, w, bias.as_deref(), calls, precision))
            })?;
            Form::Packed(Arc::new(conv))
        } else {
            Form::Dense { weight: weight.clone(), bias: bias.cloned() }
        };
        Ok(Self { shape, form })
    }

    /// A convolution of some of the output channels of stored weights.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or there are no such channels.
    pub fn load_outputs(weights: &Weights, shape: ConvShape, outputs: Range<usize>) -> Result<Self> {
        let (start, n) = (outputs.start, outputs.len());
        let weight = weights.get(&stored(&shape), "weight")?.narrow(0, start, n)?;
        let bias = weights.get_f32(shape.c_out, "bias")?.narrow(0, start, n)?;
        Self::from_tensors(&weight, Some(&bias), ConvShape { c_out: n, ..shape }, Calls::Frames)
    }

    /// Channels, kernel, stride and padding.
    #[must_use]
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// Is the work done by the CPU kernels (on buffers), not by candle's operations (on tensors)?
    #[must_use]
    pub fn on_kernels(&self) -> bool {
        matches!(self.form, Form::Packed(_))
    }

    /// Bytes of the weights as this layer keeps them.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        match &self.form {
            Form::Packed(conv) => conv.weight_bytes(),
            Form::Dense { weight, .. } => weight.elem_count() * weight.dtype().size_in_bytes(),
        }
    }

    /// Convolves a window, adding `residual` where given.
    ///
    /// # Errors
    /// When channels, sizes or kinds of frames don't fit.
    pub fn apply(
        &self,
        workspace: &Workspace,
        window: Window<'_>,
        read: Read<'_>,
        residual: Option<&Frames>,
    ) -> Result<Frames> {
        let [c, h, w] = window.frames.size();
        if c != self.shape.c_in {
            bail!("frames of {c} channels for a convolution of {}", self.shape.c_in);
        }
        if let Some(past) = window.past.filter(|p| p.size() != window.frames.size()) {
            bail!("cached frames of {:?} (C, H, W) before frames of {:?}", past.size(), window.frames.size());
        }
        let factor = if read.upsample { 2 } else { 1 };
        let (h2, w2) = self.shape.size(factor * h, factor * w);
        let frames = window.zeros + window.past.map_or(0, Frames::len) + window.frames.len();
        let n = self.shape.frames(frames);
        let size = [self.shape.c_out, h2, w2];
        if n * h2 * w2 == 0 {
            bail!("{frames} frames of {h}×{w} pixels are too few for a kernel of {:?}", self.shape.kernel);
        }
        if let Some(residual) = residual.filter(|r| r.size() != size || r.len() != n) {
            bail!("a residual of {:?} for a result of {size:?} (C, H, W)", residual.size());
        }
        match &self.form {
            Form::Packed(conv) => {
                let frames = buffers(&window)?;
                let residual = residual.map(views).transpose()?;
                let mut input = Input::new(&frames, h, w, c);
                input.upsample = read.upsample;
                input.silu = read.silu;
                input.gamma = read.norm.map(super::ChannelNorm::gamma);
                if input.gamma.is_some_and(|g| g.len() != c) {
                    bail!("a norm over other than {c} channels");
                }
                let mut out: Vec<_> = (0..n).map(|_| workspace.buffer(h2 * w2 * self.shape.c_out)).collect();
                let mut targets: Vec<FrameMut<'_>> = out
                    .iter_mut()
                    .map(|buffer| match buffer.values_mut() {
                        Values::F32(values) => FrameMut::F32(values),
                        Values::Bf16(values) => FrameMut::Bf16(values),
                    })
                    .collect();
                conv.forward(&input, residual.as_deref(), &mut targets);
                Ok(Frames::from_buffers(out, size))
            }
            Form::Dense { weight, bias } => {
                let past = window.past.map_or(0, Frames::len);
                let all = Frames::tail(window.past, window.frames, past + window.frames.len())?;
                let Data::Tensor(x) = all.data() else { bail!("buffers for a layer of candle's operations") };
                let y = tensor::convolve(&self.shape, weight, bias.as_ref(), (window.zeros, x), read)?;
                let y = match residual.map(Frames::data) {
                    None => y,
                    Some(Data::Tensor(residual)) => (y + residual)?,
                    Some(Data::Buffers(_)) => bail!("buffers for a layer of candle's operations"),
                };
                Frames::of_tensor(y)
            }
        }
    }

    /// Convolves `x` `[B, c_in, T, H, W]` with frames of zeros `[before, after]` each clip.
    ///
    /// # Errors
    /// When channels or sizes don't fit.
    pub fn forward(&self, x: &Tensor, zeros: [usize; 2]) -> Result<Tensor> {
        let (b, _, _, _, _) = x.dims5()?;
        let x = if zeros[1] > 0 { x.pad_with_zeros(2, 0, zeros[1])? } else { x.clone() };
        let workspace = Workspace::new(if self.on_kernels() { Storage::F32 } else { Storage::Tensor });
        let mut clips = Vec::with_capacity(b);
        for i in 0..b {
            let frames = Frames::from_tensor(&workspace, &x.get(i)?)?;
            let window = Window { zeros: zeros[0], past: None, frames: &frames };
            clips.push(self.apply(&workspace, window, Read::PLAIN, None)?.to_tensor()?);
        }
        Tensor::stack(&clips, 0)
    }
}

/// The shape of the weight as PyTorch stores it.
fn stored(shape: &ConvShape) -> [usize; 5] {
    let [kt, kh, kw] = shape.kernel;
    [shape.c_out, shape.c_in, kt, kh, kw]
}

fn views(frames: &Frames) -> Result<Vec<Frame<'_>>> {
    match frames.data() {
        Data::Buffers(frames) => Ok(frames.iter().map(|f| view(f)).collect()),
        Data::Tensor(_) => bail!("a tensor for a layer of the CPU kernels"),
    }
}

fn buffers<'a>(window: &Window<'a>) -> Result<Vec<Option<Frame<'a>>>> {
    let mut frames = vec![None; window.zeros];
    for part in window.past.into_iter().chain([window.frames]) {
        frames.extend(views(part)?.into_iter().map(Some));
    }
    Ok(frames)
}

/// Single-head attention within each frame over its pixels: `qkv` with channels `[q | k | v]` to a third of them.
///
/// # Errors
/// When the channels aren't three equal parts.
pub fn attend_per_frame(workspace: &Workspace, qkv: &Frames) -> Result<Frames> {
    let [c3, h, w] = qkv.size();
    if c3 % 3 != 0 {
        bail!("{c3} channels aren't queries, keys and values");
    }
    let c = c3 / 3;
    let frames = match qkv.data() {
        Data::Tensor(x) => return tensor::attend(x),
        Data::Buffers(frames) => frames,
    };
    let mut out = Vec::with_capacity(frames.len());
    for frame in frames {
        let widened;
        let data = match frame.values() {
            Values::F32(values) => values,
            Values::Bf16(values) => {
                widened = values.iter().map(|v| v.to_f32()).collect::<Vec<f32>>();
                &widened
            }
        };
        let part = |n: usize| Heads {
            data: &data[n * c..],
            len: h * w,
            heads: 1,
            dim: c,
            token_stride: c3,
            head_stride: 0,
        };
        let mut result = vec![0.0; h * w * c];
        let options = Attention { precision: Precision::F32, ..Attention::new(c) };
        kernels::attention(part(0), part(1), part(2), &options, &mut result);
        let mut buffer = workspace.buffer(h * w * c);
        match buffer.values_mut() {
            Values::F32(values) => values.copy_from_slice(&result),
            Values::Bf16(values) => {
                values.iter_mut().zip(&result).for_each(|(v, &r)| *v = half::bf16::from_f32(r));
            }
        }
        out.push(buffer);
    }
    Ok(Frames::from_buffers(out, [c, h, w]))
}
