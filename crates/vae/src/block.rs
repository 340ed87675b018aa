//! The blocks of encoder and decoder, each with its place in the feature cache.
//!
//! Reference: `diffsynth/models/wan_video_vae.py` of AniCrafter (commit e9e8965), `ResidualBlock`, `AttentionBlock`,
//! `Resample`. Differences: the cache holds a block's input before norm and SiLU, which the convolution applies while it
//! reads; frames of zeros are counted, not stored.

use candle_core::Result;
use nn::conv3d::{Calls, ChannelNorm, Conv3d, ConvShape, Frames, Padding, Read, Window, Workspace};
use nn::{ProbeAt, Weights};
use std::fmt::Display;

/// Frames that a temporal kernel of 3 looks back.
const LOOK_BACK: usize = 2;

/// What one layer keeps from chunk to chunk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    past: Option<Frames>,
    /// Has there been a chunk before?
    started: bool,
}

/// The feature cache of one pass: a slot for each caching layer, in the order of the network.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cache {
    slots: Vec<Slot>,
    next: usize,
}

impl Cache {
    /// Starts a chunk.
    pub(crate) fn rewind(&mut self) {
        self.next = 0;
    }

    fn slot(&mut self) -> &mut Slot {
        if self.next == self.slots.len() {
            self.slots.push(Slot::default());
        }
        self.next += 1;
        &mut self.slots[self.next - 1]
    }
}

/// What every block needs while it runs.
pub(crate) struct Pass<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) cache: &'a mut Cache,
    pub(crate) probe: ProbeAt<'a>,
}

impl Pass<'_> {
    /// Shows a module's output.
    pub(crate) fn show(&mut self, name: impl Display, value: &Frames) -> Result<()> {
        self.probe.show_with(name, || value.to_tensor()?.unsqueeze(0))
    }
}

/// A 3×3×3 convolution that sees the past and never the future.
#[derive(Debug)]
pub(crate) struct CausalConv(Conv3d);

impl CausalConv {
    pub(crate) fn load(weights: &Weights, c_in: usize, c_out: usize, calls: Calls) -> Result<Self> {
        let padding = Padding::symmetric(1, 1);
        let shape = ConvShape { c_in, c_out, kernel: [3, 3, 3], stride: [1, 1, 1], padding };
        Ok(Self(Conv3d::load_for(weights, shape, calls)?))
    }

    pub(crate) fn forward(
        &self,
        pass: &mut Pass<'_>,
        x: &Frames,
        read: Read<'_>,
        residual: Option<&Frames>,
    ) -> Result<Frames> {
        let slot = pass.cache.slot();
        let window = Window::causal(slot.past.as_ref(), x, LOOK_BACK);
        let y = self.0.apply(pass.workspace, window, read, residual)?;
        slot.past = Some(Frames::tail(slot.past.as_ref(), x, LOOK_BACK)?);
        Ok(y)
    }

    pub(crate) fn conv(&self) -> &Conv3d {
        &self.0
    }
}

/// A 1×1×1 convolution.
pub(crate) fn pointwise(weights: &Weights, c_in: usize, c_out: usize) -> Result<Conv3d> {
    Conv3d::load(weights, pointwise_shape(c_in, c_out))
}

fn pointwise_shape(c_in: usize, c_out: usize) -> ConvShape {
    ConvShape { c_in, c_out, kernel: [1, 1, 1], stride: [1, 1, 1], padding: Padding::default() }
}

/// `conv(silu(norm(conv(silu(norm(x)))))) + shortcut(x)`
#[derive(Debug)]
pub(crate) struct Residual {
    norms: [ChannelNorm; 2],
    convs: [CausalConv; 2],
    shortcut: Option<Conv3d>,
}

impl Residual {
    pub(crate) fn load(weights: &Weights, c_in: usize, c_out: usize, calls: Calls) -> Result<Self> {
        let path = weights.pp("residual");
        let shortcut =
            if c_in == c_out { None } else { Some(pointwise(&weights.pp("shortcut"), c_in, c_out)?) };
        Ok(Self {
            norms: [ChannelNorm::load(&path.pp(0), c_in, 3)?, ChannelNorm::load(&path.pp(3), c_out, 3)?],
            convs: [
                CausalConv::load(&path.pp(2), c_in, c_out, calls)?,
                CausalConv::load(&path.pp(6), c_out, c_out, calls)?,
            ],
            shortcut,
        })
    }

    fn forward(&self, pass: &mut Pass<'_>, x: Frames) -> Result<Frames> {
        let y = self.convs[0].forward(pass, &x, Read::norm_silu(&self.norms[0]), None)?;
        let x = match &self.shortcut {
            None => x,
            Some(shortcut) => shortcut.apply(pass.workspace, Window::of(&x), Read::PLAIN, None)?,
        };
        self.convs[1].forward(pass, &y, Read::norm_silu(&self.norms[1]), Some(&x))
    }

    fn convs(&self) -> impl Iterator<Item = &Conv3d> {
        self.convs.iter().map(CausalConv::conv).chain(&self.shortcut)
    }
}

/// Single-head attention over the pixels of each frame.
#[derive(Debug)]
pub(crate) struct Attention {
    norm: ChannelNorm,
    to_qkv: Conv3d,
    proj: Conv3d,
}

impl Attention {
    pub(crate) fn load(weights: &Weights, c: usize) -> Result<Self> {
        Ok(Self {
            norm: ChannelNorm::load(&weights.pp("norm"), c, 2)?,
            to_qkv: Conv3d::load_2d(&weights.pp("to_qkv"), pointwise_shape(c, 3 * c))?,
            proj: Conv3d::load_2d(&weights.pp("proj"), pointwise_shape(c, c))?,
        })
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &Frames) -> Result<Frames> {
        let read = Read { norm: Some(&self.norm), ..Read::PLAIN };
        let qkv = self.to_qkv.apply(pass.workspace, Window::of(x), read, None)?; // channels [q | k | v]
        let y = nn::conv3d::attend_per_frame(pass.workspace, &qkv)?;
        self.proj.apply(pass.workspace, Window::of(&y), Read::PLAIN, Some(x))
    }
}

/// Halves the picture, and perhaps the frames.
#[derive(Debug)]
pub(crate) struct Downsample {
    resample: Conv3d,
    time_conv: Option<Conv3d>,
}

impl Downsample {
    pub(crate) fn load(weights: &Weights, c: usize, temporal: bool) -> Result<Self> {
        let padding = Padding { bottom: 1, right: 1, ..Padding::default() };
        let shape = ConvShape { c_in: c, c_out: c, kernel: [1, 3, 3], stride: [1, 2, 2], padding };
        let time = ConvShape { kernel: [3, 1, 1], stride: [2, 1, 1], ..pointwise_shape(c, c) };
        let time_conv = if temporal { Some(Conv3d::load(&weights.pp("time_conv"), time)?) } else { None };
        Ok(Self { resample: Conv3d::load_2d(&weights.pp("resample.1"), shape)?, time_conv })
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &Frames) -> Result<Frames> {
        let x = self.resample.apply(pass.workspace, Window::of(x), Read::PLAIN, None)?;
        let Some(time_conv) = &self.time_conv else { return Ok(x) };
        let slot = pass.cache.slot();
        // The first chunk only fills the cache.
        let y = match &slot.past {
            None => x.clone(),
            Some(past) => {
                let window = Window { zeros: 0, past: Some(past), frames: &x };
                time_conv.apply(pass.workspace, window, Read::PLAIN, None)?
            }
        };
        slot.past = Some(Frames::tail(None, &x, 1)?);
        Ok(y)
    }
}

/// Doubles the picture, and perhaps the frames; halves the channels.
#[derive(Debug)]
pub(crate) struct Upsample {
    resample: Conv3d,
    /// The two halves of the temporal convolution: even and odd frames.
    time_conv: Option<[Conv3d; 2]>,
}

impl Upsample {
    pub(crate) fn load(weights: &Weights, c: usize, temporal: bool) -> Result<Self> {
        let padding = Padding::symmetric(1, 1);
        let shape = ConvShape { c_in: c, c_out: c / 2, kernel: [1, 3, 3], stride: [1, 1, 1], padding };
        let time = ConvShape { kernel: [3, 1, 1], ..pointwise_shape(c, 2 * c) };
        let time_conv = if temporal {
            let weights = weights.pp("time_conv");
            Some([
                Conv3d::load_outputs(&weights, time, 0..c)?,
                Conv3d::load_outputs(&weights, time, c..2 * c)?,
            ])
        } else {
            None
        };
        Ok(Self { resample: Conv3d::load_2d(&weights.pp("resample.1"), shape)?, time_conv })
    }

    fn forward(&self, pass: &mut Pass<'_>, x: Frames) -> Result<Frames> {
        let mut x = x;
        if let Some([even, odd]) = &self.time_conv {
            let slot = pass.cache.slot();
            // The first chunk keeps its single frame and leaves no trace in the cache.
            if slot.started {
                let window = Window::causal(slot.past.as_ref(), &x, LOOK_BACK);
                let even = even.apply(pass.workspace, window, Read::PLAIN, None)?;
                let odd = odd.apply(pass.workspace, window, Read::PLAIN, None)?;
                slot.past = Some(Frames::tail(slot.past.as_ref(), &x, LOOK_BACK)?);
                x = Frames::interleave(&even, &odd)?;
            }
            slot.started = true;
        }
        let read = Read { upsample: true, ..Read::PLAIN };
        self.resample.apply(pass.workspace, Window::of(&x), read, None)
    }
}

/// A numbered module of `downsamples`, `middle` or `upsamples`.
#[derive(Debug)]
pub(crate) enum Block {
    Residual(Box<Residual>),
    Attention(Box<Attention>),
    Downsample(Box<Downsample>),
    Upsample(Box<Upsample>),
}

impl Block {
    pub(crate) fn forward(&self, pass: &mut Pass<'_>, x: Frames) -> Result<Frames> {
        match self {
            Self::Residual(block) => block.forward(pass, x),
            Self::Attention(block) => block.forward(pass, &x),
            Self::Downsample(block) => block.forward(pass, &x),
            Self::Upsample(block) => block.forward(pass, x),
        }
    }

    pub(crate) fn convs(&self) -> Vec<&Conv3d> {
        match self {
            Self::Residual(block) => block.convs().collect(),
            Self::Attention(block) => vec![&block.to_qkv, &block.proj],
            Self::Downsample(block) => [&block.resample].into_iter().chain(&block.time_conv).collect(),
            Self::Upsample(block) => {
                [&block.resample].into_iter().chain(block.time_conv.iter().flatten()).collect()
            }
        }
    }
}
