//! UMT5: prompt cleaning, tokens and the encoder.
//!
//! Ported from `diffsynth/prompters/wan_prompter.py` and `diffsynth/models/wan_video_text_encoder.py` of the
//! AniCrafter repository (UMT5: arXiv 2304.09151; T5: arXiv 1910.10683).

mod clean;
mod model;
mod sentencepiece;
mod tokenizer;

pub use clean::clean_prompt;
pub use model::{Config, TextEncoder};
pub use tokenizer::{TokenizedPrompt, Tokenizer};
