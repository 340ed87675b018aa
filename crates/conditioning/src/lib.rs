//! AniCrafter's conditioning of the Wan 2.1 transformer: from pictures to mask, condition tokens, latents and `y`.
//!
//! A [`Clip`] is the pictures of a window: the character's reference picture, the avatar over the background, the body on black.
//! A [`Conditioner`] turns it into [`ClipConditions`] with two models, the VAE's encoder and the [`ConditionEmbedders`].
//! [`Prompts::branches`] says what each branch of guidance is told of them.
//!
//! Nobody else needs to know how frames and pixels become latents ([`Strides`], from the VAE's configuration), that the reference
//! picture takes the models' first frame, or which pixels are background. Letters: F frames with the reference picture's, H and W
//! pixels, T latent frames, h and w latents.
//!
//! After `wan_video_v2v_combine.py` (lines 277–307, 384–405, 527–573) and `run_pipeline.py` (493–501) of the AniCrafter repository
//! at commit e9e8965.
//!
//! ```
//! use anicrafter_conditioning::{Clip, Strides};
//! use image::{Rgb, RgbImage};
//!
//! let strides = Strides::of(&vae::Config::wan_2_1());
//! let white = RgbImage::from_pixel(64, 48, Rgb([255; 3]));
//! let (blend, mesh) = (vec![white.clone(); 4], vec![RgbImage::new(64, 48); 4]);
//! let clip = Clip::new(&white, &blend, &mesh, strides)?;
//! let mask = clip.latent_mask()?;
//! assert_eq!((mask.frames, mask.height, mask.width), (4, 6, 8));
//! assert!(mask.data.iter().all(|x| (x - 1.0).abs() < 1e-6)); // black meshes: background everywhere
//! # Ok::<(), anicrafter_conditioning::Error>(())
//! ```

mod branches;
mod clip;
mod conditioner;
mod embedder;
mod error;
pub mod mask;
mod rounding;
mod strides;

pub use branches::Prompts;
pub use clip::Clip;
pub use conditioner::{ClipConditions, Conditioner, assemble_y};
pub use embedder::{ConditionEmbedder, ConditionEmbedders, condition_tokens};
pub use error::{Error, Result};
pub use mask::Planes;
pub use rounding::Rounding;
pub use strides::Strides;
