//! The two encoders that condition Wan video models: UMT5 for the prompt ([`umt5`]) and the image tower of CLIP
//! ViT-H/14 for the reference picture ([`clip_vision`]).
//!
//! Models take a `Config` and an [`nn::Weights`] cursor and give tensors; nothing here opens a file.
//!
//! ```
//! use anicrafter_encoders::umt5::clean_prompt;
//! assert_eq!(clean_prompt("  A  person\tdancing &amp; “smiling”  "), "A person dancing & \"smiling\"");
//! ```

pub mod clip_vision;
mod error;
pub mod umt5;

pub use error::{Error, Result};
