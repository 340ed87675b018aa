//! The image tower of CLIP ViT-H/14 (open-clip, XLM-RoBERTa-large variant), as Wan's image-to-video models use it:
//! the tokens before the last block, without the final norm.
//!
//! Ported from `diffsynth/models/wan_video_image_encoder.py` of the AniCrafter repository (CLIP: arXiv 2103.00020).

mod model;
mod preprocess;

pub use model::{Config, ImageEncoder};
pub use preprocess::preprocess;
