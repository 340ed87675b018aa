//! The Wan 2.1 video diffusion transformer, with AniCrafter's avatar-background conditions.

mod block;
mod config;
mod error;
mod model;
mod observer;
mod provider;

pub use block::{Block, Context, Scope};
pub use config::Config;
pub use error::{Error, Result};
pub use model::{Branch, Conditions, Embedded, WanModel, pad_context};
pub use observer::Observer;
pub use provider::{BlockProvider, Resident, Streamed, Streaming};
