//! Convolutions over video: 3-D ones with causal caches, 2-D ones as their special case.
//!
//! [`Frames`] is the feature map of one video. On the CPU it is a list of shared channels-last buffers that come
//! from and return to a [`Workspace`], so caching a frame for the next chunk or padding with zeros copies nothing; the
//! kernels of `kernels::conv` fuse RMS norm, SiLU, upsampling, bias and residual. On CUDA and Metal, and where
//! gradients are recorded, it is a candle tensor `[T, C, H, W]` and every layer is made of candle's
//! operations (a temporal kernel as a sum of `conv2d`s). Layers don't show which of the two they run on.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use anicrafter_nn::conv3d::{Conv3d, ConvShape, Padding};
//! use anicrafter_nn::Weights;
//!
//! # fn main() -> candle_core::Result<()> {
//! // A temporal difference: y[t] = x[t + 1] - x[t].
//! let weight = Tensor::new(&[-1_f32, 1.0], &Device::Cpu)?.reshape((1, 1, 2, 1, 1))?; // [O=1, I=1, 2, 1, 1]
//! let tensors = [("w.weight".to_owned(), weight), ("w.bias".to_owned(), Tensor::new(&[0_f32], &Device::Cpu)?)];
//! let weights = Weights::from_tensors(tensors.into(), DType::F32, &Device::Cpu);
//! let shape = ConvShape { c_in: 1, c_out: 1, kernel: [2, 1, 1], stride: [1, 1, 1], padding: Padding::default() };
//! let conv = Conv3d::load(&weights.pp("w"), shape)?;
//! let x = Tensor::new(&[1_f32, 4.0, 9.0], &Device::Cpu)?.reshape((1, 1, 3, 1, 1))?; // [B, C, T, H, W]
//! assert_eq!(conv.forward(&x, [0, 0])?.flatten_all()?.to_vec1::<f32>()?, [3.0, 5.0]);
//! # Ok(())
//! # }
//! ```

mod frames;
mod layer;
mod norm;
mod tensor;
mod workspace;

pub use frames::Frames;
pub use kernels::conv::{Calls, ConvShape, Padding};
pub use layer::{Conv3d, Window, attend_per_frame};
pub use norm::{ChannelNorm, Read};
pub use workspace::{Storage, Workspace};
