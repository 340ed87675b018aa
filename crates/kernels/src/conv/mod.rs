//! Convolutions over video frames, channels last, without a materialised im2col.
//!
//! A feature map is a list of frames, each `[H, W, C]` in `f32` or bf16; time is the list, so causal padding and
//! cached frames of an earlier call are just entries of it (`None` is a frame of zeros that costs nothing).
//! [`Conv`] holds packed weights; [`Conv::forward`] fuses what stands before it (RMS norm over channels,
//! SiLU, nearest ×2 upsampling) into its reads, and what stands after it (bias, residual) into its writes.
//!
//! Two algorithms in `f32`:
//! * **direct**: rows of the input are copied (normalised, padded) into a band that fits the cache; a kernel row
//!   of one output row is then an ordinary matrix product on that band, because the pixels under neighbouring kernel
//!   columns lie next to each other;
//! * **Winograd F(4×4, 3×3)** for 3×3 kernels with stride 1 and enough input channels: 36 products instead of 144 for
//!   16 outputs. With three temporal taps and not too few channels, pairs of frames use F(2, 3) along time too: 144
//!   products instead of 864 for 32 outputs. Layers whose weights would grow too large take **F(2×2, 3×3)**: 16
//!   products instead of 36 for 4 outputs; under upsampling 9 of them (a doubled row makes the third transformed row
//!   zero). A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308.
//!
//! On CPUs with tiles ([`crate::Level::Amx`]) weights that may be rounded to bf16 take a third:
//! * **tiled**: the direct sum in bf16, without a copy of what lies under the kernel. Tiles make 15 times the products of AVX-512's
//!   `f32`, which is more than Winograd saves.
//!
//! Rounding errors of F(4×4, 3×3) are about twice those of the direct sum, with the points that `winograd` evaluates at.

mod direct;
mod dispatch;
mod reference;
mod rows;
#[cfg(test)]
mod tests;
mod tile;
#[cfg(any(target_arch = "x86_64", test))]
mod tiled;
mod vectors;
mod winograd;

use half::bf16;

pub use reference::conv_reference;

use crate::Precision;
#[cfg(target_arch = "x86_64")]
use crate::{Level, level};
#[cfg(target_arch = "x86_64")]
use ::simd::Amx;
use direct::Direct;
#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;
#[cfg(target_arch = "x86_64")]
use tiled::Tiled;
use winograd::Winograd;

/// One frame `[H, W, C]` to read.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Half the memory; widened on reading.
    Bf16(&'a [bf16]),
}

impl Frame<'_> {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::Bf16(data) => data.len(),
        }
    }

    /// No elements?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An element as f32.
    fn at(&self, i: usize) -> f32 {
        match self {
            Self::F32(data) => data[i],
            Self::Bf16(data) => data[i].to_f32(),
        }
    }
}

/// One frame `[H, W, C]` to write.
#[derive(Debug)]
pub enum FrameMut<'a> {
    /// Single precision.
    F32(&'a mut [f32]),
    /// Half the memory; rounded to nearest even on writing.
    Bf16(&'a mut [bf16]),
}

impl FrameMut<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::Bf16(data) => data.len(),
        }
    }
}

/// What a convolution reads.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// All frames under the temporal kernel, oldest first: cached and padding ones included. `None` is zeros.
    pub frames: &'a [Option<Frame<'a>>],
    /// H of the frames.
    pub height: usize,
    /// W of the frames.
    pub width: usize,
    /// C of the frames.
    pub channels: usize,
    /// Does the convolution see each pixel doubled in both directions (nearest ×2)?
    pub upsample: bool,
    /// Divide each pixel by its root mean square over the channels and multiply by this `[C]` first.
    pub gamma: Option<&'a [f32]>,
    /// Apply `x · sigmoid(x)` first (after the norm).
    pub silu: bool,
}

impl<'a> Input<'a> {
    /// Frames as they are.
    #[must_use]
    pub fn new(frames: &'a [Option<Frame<'a>>], height: usize, width: usize, channels: usize) -> Self {
        Self { frames, height, width, channels, upsample: false, gamma: None, silu: false }
    }

    /// Height and width that the kernel slides over.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let factor = if self.upsample { 2 } else { 1 };
        (self.height * factor, self.width * factor)
    }

    fn check(&self) {
        let len = self.height * self.width * self.channels;
        assert!(len > 0, "an input of {}×{}×{}", self.height, self.width, self.channels);
        for (t, frame) in self.frames.iter().enumerate() {
            assert!(frame.is_none_or(|f| f.len() == len), "input frame {t} isn't [H, W, C]");
        }
        assert!(
            self.gamma.is_none_or(|g| g.len() == self.channels),
            "gamma doesn't have a value for each channel"
        );
    }
}

/// Zeros around a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// The same on all sides: `h` rows, `w` columns.
    #[must_use]
    pub fn symmetric(h: usize, w: usize) -> Self {
        Self { top: h, bottom: h, left: w, right: w }
    }
}

/// The geometry of a convolution. Temporal padding is the caller's: absent frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
    /// Taps along T, H, W.
    pub kernel: [usize; 3],
    /// Steps along T, H, W.
    pub stride: [usize; 3],
    /// Spatial zeros.
    pub padding: Padding,
}

impl ConvShape {
    /// Output frames for that many input frames.
    #[must_use]
    pub fn frames(&self, input: usize) -> usize {
        if input < self.kernel[0] { 0 } else { (input - self.kernel[0]) / self.stride[0] + 1 }
    }

    /// Output height and width for an (upsampled) input.
    #[must_use]
    pub fn size(&self, height: usize, width: usize) -> (usize, usize) {
        let one = |n: usize, k: usize, stride: usize| if n < k { 0 } else { (n - k) / stride + 1 };
        let p = self.padding;
        (
            one(height + p.top + p.bottom, self.kernel[1], self.stride[1]),
            one(width + p.left + p.right, self.kernel[2], self.stride[2]),
        )
    }

    /// Multiply-adds, counted twice, of the plain algorithm for one output frame.
    #[must_use]
    pub fn flops(&self, height: usize, width: usize) -> f64 {
        let (h, w) = self.size(height, width);
        let taps: usize = self.kernel.iter().product();
        2.0 * (h * w) as f64 * (taps * self.c_in) as f64 * self.c_out as f64
    }

    fn weights(&self) -> usize {
        self.c_out * self.c_in * self.kernel.iter().product::<usize>()
    }
}

/// How a layer will mostly be called, which decides how its weights are packed. Every call works with either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Calls {
    /// A frame at a time.
    #[default]
    Frames,
    /// Two or more frames at a time.
    Clips,
}

#[derive(Debug)]
enum Algorithm {
    Direct(Direct),
    Winograd(Winograd),
    /// With what other levels than that of tiles take, made when it is asked for.
    #[cfg(target_arch = "x86_64")]
    Tiled(Tiled, Calls, OnceLock<Box<Algorithm>>),
}

impl Algorithm {
    /// The faster one in `f32`.
    fn exact(shape: &ConvShape, weight: &[f32], calls: Calls) -> Self {
        if Winograd::suits(shape) {
            Self::Winograd(Winograd::new(shape, weight, calls))
        } else {
            Self::Direct(Direct::new(shape, weight))
        }
    }

    /// Number of 32-bit words of weights.
    fn len(&self) -> usize {
        match self {
            Self::Direct(direct) => direct.len(),
            Self::Winograd(winograd) => winograd.len(),
            #[cfg(target_arch = "x86_64")]
            Self::Tiled(tiled, _, other) => tiled.len() + other.get().map_or(0, |other| other.len()),
        }
    }

    fn run(&self, job: &dispatch::Job<'_>, target: &dispatch::Target<'_>) {
        match self {
            Self::Direct(direct) => direct.run(job, target),
            Self::Winograd(winograd) => winograd.run(job, target),
            #[cfg(target_arch = "x86_64")]
            Self::Tiled(tiled, calls, other) => match Amx::detect() {
                Some(amx) if level() == Level::Amx => tiled.run(amx, job, target),
                _ => {
                    let exact = || Box::new(Self::exact(job.shape, &tiled.weight(job.shape), *calls));
                    other.get_or_init(exact).run(job, target);
                }
            },
        }
    }
}

/// A convolution with packed weights.
#[derive(Debug)]
pub struct Conv {
    shape: ConvShape,
    bias: Vec<f32>,
    algorithm: Algorithm,
}

impl Conv {
    /// Packs `weight` `[c_out, c_in, kt, kh, kw]` and `bias` `[c_out]`.
    ///
    /// # Panics
    /// If a slice doesn't fit the shape, or the shape has a zero.
    #[must_use]
    pub fn new(shape: ConvShape, weight: &[f32], bias: Option<&[f32]>, calls: Calls) -> Self {
        Self::with_precision(shape, weight, bias, calls, Precision::F32)
    }

    /// [`Conv::new`] with a precision of the products: in [`Precision::Bf16`] weights and inputs may be rounded to bf16 where the
    /// CPU has tiles for it ([`crate::Level::Amx`]) and whole steps of 32 input channels. Other precisions are `f32`.
    ///
    /// # Panics
    /// As [`Conv::new`].
    #[must_use]
    pub fn with_precision(
        shape: ConvShape,
        weight: &[f32],
        bias: Option<&[f32]>,
        calls: Calls,
        precision: Precision,
    ) -> Self {
        assert!(shape.weights() > 0 && !shape.stride.contains(&0), "a convolution without extent: {shape:?}");
        assert_eq!(weight.len(), shape.weights(), "the weight isn't [c_out, c_in, kt, kh, kw] of {shape:?}");
        assert!(
            bias.is_none_or(|b| b.len() == shape.c_out),
            "bias doesn't have a value for each output channel"
        );
        let mut padded = vec![0.0; shape.c_out + 24];
        if let Some(bias) = bias {
            padded[..shape.c_out].copy_from_slice(bias);
        }
        #[cfg(target_arch = "x86_64")]
        if precision == Precision::Bf16 && level() == Level::Amx && Tiled::suits(&shape) {
            let algorithm = Algorithm::Tiled(Tiled::new(&shape, weight), calls, OnceLock::new());
            return Self { shape, bias: padded, algorithm };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = precision;
        let algorithm = Algorithm::exact(&shape, weight, calls);
        Self { shape, bias: padded, algorithm }
    }

    /// The geometry.
    #[must_use]
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// Bytes of the packed weights.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        4 * self.algorithm.len()
    }

    /// Convolves `input` into `out`, one frame `[H', W', c_out]` for each step of the temporal kernel, adding
    /// `residual` (frames like `out`) where given.
    ///
    /// # Panics
    /// If frames don't fit the shape.
    pub fn forward(&self, input: &Input<'_>, residual: Option<&[Frame<'_>]>, out: &mut [FrameMut<'_>]) {
        input.check();
        let shape = &self.shape;
        assert_eq!(input.channels, shape.c_in, "the input has other channels than the weight");
        assert_eq!(out.len(), shape.frames(input.frames.len()), "output frames don't fit {shape:?}");
        let (h, w) = input.size();
        let (h, w) = shape.size(h, w);
        let len = h * w * shape.c_out;
        for (t, frame) in out.iter().enumerate() {
            assert_eq!(frame.len(), len, "output frame {t} isn't [{h}, {w}, {}]", shape.c_out);
        }
        if let Some(residual) = residual {
            assert_eq!(residual.len(), out.len(), "residual and output differ in frames");
            assert!(
                residual.iter().all(|f| f.len() == len),
                "a residual frame differs in size from the output"
            );
        }
        if len == 0 || out.is_empty() {
            return;
        }
        let job = dispatch::Job { shape, input, bias: &self.bias, size: (h, w) };
        let target = dispatch::Target::new(residual, out);
        self.algorithm.run(&job, &target);
    }
}
