//! The Wan 2.1 video diffusion transformer (text to video, image to video), with a place for condition tokens such as
//! AniCrafter's.
//!
//! A [`Config`] and an [`nn::Weights`] cursor go in, tensors come out; nothing here opens a file. A step is
//! *embed → blocks → head* ([`WanModel::embed`], [`WanModel::run_blocks`], [`WanModel::head`], or all at once
//! [`WanModel::forward`]), so that a step cache can leave the blocks out. The blocks come from a [`BlockProvider`]: all
//! in memory, or streamed from their source within a budget. [`plan`] says beforehand what a job takes, [`cost`] what it gains from
//! several machines: [`WanModel::on_ranks`] is the model with its tokens shared among ranks.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use anicrafter_dit::{Conditions, Config, WanModel};
//! use nn::{RandomWeights, Weights};
//! use std::sync::Arc;
//!
//! # fn main() -> anicrafter_dit::Result<()> {
//! let config = Config { dim: 48, ffn_dim: 64, num_heads: 2, num_layers: 2, text_dim: 32, ..Config::t2v_1_3b() };
//! let weights = Weights::new(Arc::new(RandomWeights::default()), DType::F32, &Device::Cpu);
//! let model = WanModel::load(&config, &weights)?;
//! let prompt = anicrafter_dit::pad_context(&Tensor::ones((1, 7, 32), DType::F32, &Device::Cpu)?, config.text_len)?;
//! let conditions = Conditions { context: &prompt, clip_feature: None, y: None, add_condition: None };
//! let branch = model.branch(&conditions)?;
//! let latents = Tensor::randn(0_f32, 1.0, (1, 16, 2, 4, 6), &Device::Cpu)?; // [B, C, T, H, W]
//! let prediction = model.forward(&latents, 875.0, &branch, &mut ())?;
//! assert_eq!(prediction.dims(), latents.dims());
//! # Ok(())
//! # }
//! ```

mod block;
mod config;
pub mod cost;
mod error;
mod model;
mod observer;
mod pass;
pub mod plan;
mod provider;
mod share;
mod team;

pub use block::{Block, Context, Scope};
pub use config::Config;
pub use error::{Error, Result};
pub use model::{Branch, Conditions, WanModel, pad_context, rows_at_a_time};
pub use nn::Streaming;
pub use observer::Observer;
pub use pass::{Embedded, OnRanks};
pub use provider::{BlockProvider, Resident, Streamed};
pub use share::Among;
pub use team::{Division, Team, Turn};
