//! The Wan 2.1 causal 3-D video autoencoder.
//!
//! 8×8 pixels and 4 frames become one latent of 16 channels; the first frame stands alone, so a picture is
//! a video of one frame. [`Vae::encode`] and [`Vae::decode`] take whole videos, [`Vae::encode_stream`] and
//! [`Vae::decode_stream`] take them bit by bit with the same result in memory that doesn't grow with their
//! length, [`Vae::encode_tiled`] and [`Vae::decode_tiled`] cut the picture up as the reference does.
//! [`Vae::peak_bytes`] says beforehand how much memory a pass needs.
//!
//! Ported from `diffsynth/models/wan_video_vae.py` of AniCrafter (commit e9e8965), which follows
//! `wan/modules/vae.py` of Wan 2.1. Weights keep the keys of `Wan2.1_VAE.pth`. Other sizes and compression
//! factors: [`Config`].
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use anicrafter_vae::{Config, Vae};
//!
//! # fn main() -> Result<(), anicrafter_vae::Error> {
//! let config = Config::small(2);
//! let vae = Vae::load(&config, &anicrafter_vae::random_weights(&config, 1, &Device::Cpu)?)?;
//! let video = Tensor::zeros((1, 3, 5, 16, 24), DType::F32, &Device::Cpu)?;
//! let latents = vae.encode(&video, &mut ())?;
//! assert_eq!(latents.dims(), [1, 16, 2, 2, 3]);
//! assert_eq!(vae.decode(&latents, &mut ())?.dims(), [1, 3, 5, 16, 24]);
//! # Ok(())
//! # }
//! ```

mod block;
mod config;
mod error;
mod flops;
mod memory;
mod model;
mod network;
mod observer;
pub mod preview;
mod random;
mod stats;
mod stream;
mod tiles;

pub use config::{Config, WAN_2_1_MEAN, WAN_2_1_STD};
pub use error::{Error, Result};
pub use memory::Direction;
pub use model::{Backend, Halves, Vae};
pub use nn::conv3d::Storage;
pub use observer::Observer;
pub use random::random_weights;
pub use stream::{DecodeStream, EncodeStream};
pub use tiles::Tiles;
