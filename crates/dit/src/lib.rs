//! The Wan 2.1 video diffusion transformer, with AniCrafter's avatar-background conditions.

mod block;
pub mod condition;
mod config;
mod embedder;
mod error;
mod model;
mod observer;
mod provider;

pub use block::{Block, Context, Scope};
pub use config::Config;
pub use embedder::{ConditionEmbedder, ConditionEmbedders, Rounding, condition_tokens, embedder_frames};
pub use error::{Error, Result};
pub use model::{Branch, Conditions, Embedded, WanModel, pad_context};
pub use observer::Observer;
pub use provider::{BlockProvider, Resident, Streamed, Streaming};
