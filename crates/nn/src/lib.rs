//! Layers that video diffusion models share, each once: linear layers (f32, bf16, quantised), norms, attention, 3-D RoPE,
//! the timestep embedding, patches.
//!
//! Tensors are candle's. On the CPU, where no gradient is recorded, the work is done by the kernels of crate `kernels`;
//! on CUDA and Metal, and in training, by candle's operations, which compute the same. Activations are f32 everywhere;
//! weights may be f32, bf16 or quantised.
//!
//! Dimension letters used throughout: B batch, T frames, C channels, H/W height/width, L tokens, D width,
//! N heads, K head dim.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use anicrafter_nn::{Linear, Weights};
//! use std::collections::HashMap;
//!
//! # fn main() -> candle_core::Result<()> {
//! let device = Device::Cpu;
//! let tensors = HashMap::from([
//!     ("proj.weight".to_owned(), Tensor::new(&[[1_f32, 2.0], [0.0, -1.0]], &device)?),
//!     ("proj.bias".to_owned(), Tensor::new(&[0.5_f32, 0.0], &device)?),
//! ]);
//! let weights = Weights::from_tensors(tensors, DType::F32, &device);
//! let linear = Linear::load(&weights.pp("proj"), 2, 2)?;
//! let y = linear.forward(&Tensor::new(&[[3_f32, 4.0]], &device)?)?;
//! assert_eq!(y.to_vec2::<f32>()?, [[11.5, -4.0]]);
//! # Ok(())
//! # }
//! ```

mod activation;
mod attention;
pub mod conv3d;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod linear;
mod norm;
mod ops;
mod packed;
mod patch;
mod probe;
mod quantize;
mod random;
mod residual;
mod rope;
mod slices;
mod streamed;
mod timestep;
mod weights;

pub use activation::Activation;
pub use attention::{Attention, attention};
pub use device::{DeviceError, open_device, peak_device_memory};
pub use kernels::Precision;
pub use linear::Linear;
pub use norm::{LayerNorm, RmsNorm};
pub use packed::{Packed, PackedForm};
pub use patch::{Grid, patchify, unpatchify};
pub use probe::{Pieces, Probe, ProbeAt, Recording};
pub use quantize::{QuantizeOnLoad, RoundOnLoad};
pub use random::{RandomBlocks, RandomWeights};
pub use residual::add_gated;
pub use rope::Rope3d;
pub use streamed::{Streamed, Streaming};
pub use timestep::timestep_embedding;
pub use weights::{Inputs, WeightSource, Weights};
