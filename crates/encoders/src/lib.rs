//! Encoders of prompts and pictures: UMT5 ([`umt5`]) and the image tower of CLIP ViT-H/14 ([`clip_vision`]), which condition Wan
//! video models; DINOv2 with registers ([`dinov2`]) and Sapiens ([`sapiens`]), which LHM makes avatars with.
//!
//! Models take a `Config` and an [`nn::Weights`] cursor and give tensors; nothing here opens a file.
//!
//! ```
//! use anicrafter_encoders::umt5::clean_prompt;
//! assert_eq!(clean_prompt("  A  person\tdancing &amp; “smiling”  "), "A person dancing & \"smiling\"");
//! ```

pub mod clip_vision;
pub mod dinov2;
mod error;
mod observer;
pub mod resize;
pub mod sapiens;
mod square;
pub mod umt5;
mod vit;

pub use error::{Error, Result};
pub use observer::Observer;
