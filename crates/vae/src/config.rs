//! Hyperparameters, named as in the reference constructor.

use crate::preview::Colours;
use crate::{Error, Result};
use std::borrow::Cow;

/// Mean of the latents of Wan 2.1 by channel (`diffsynth/models/wan_video_vae.py`, `WanVideoVAE`).
pub const WAN_2_1_MEAN: [f32; 16] = [
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632,
    -0.1922, -0.9497, 0.2503, -0.2921,
];

/// Standard deviation of the latents of Wan 2.1 by channel (same source).
pub const WAN_2_1_STD: [f32; 16] = [
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382,
    1.1253, 2.8251, 1.9160,
];

/// Widths and compression factors of an autoencoder.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Config {
    /// Channels at full resolution.
    pub dim: usize,
    /// Channels of the latents.
    pub z_dim: usize,
    /// Channels of each level as multiples of `dim`; each level but the last halves the picture.
    pub dim_mult: Vec<usize>,
    /// Residual blocks of each encoder level; the decoder has one more.
    pub num_res_blocks: usize,
    /// Scales (1, 1/2, 1/4 …) with attention after each residual block.
    #[serde(default)]
    pub attn_scales: Vec<f64>,
    /// Which of the halvings also halve the frames.
    #[serde(alias = "temporal_downsample")]
    pub temperal_downsample: Vec<bool>,
    /// What is subtracted from each latent channel, `z_dim` values.
    pub mean: Vec<f32>,
    /// What each latent channel is divided by then, `z_dim` values.
    pub std: Vec<f32>,
    /// What latents look like without a decoder; those of Wan 2.1 where nothing is said and the latents are Wan 2.1's
    /// ([`Config::colours`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colours: Option<Colours>,
}

impl Config {
    /// The published Wan 2.1 autoencoder: 8×8 pixels and 4 frames to a latent of 16 channels.
    #[must_use]
    pub fn wan_2_1() -> Self {
        Self {
            dim: 96,
            z_dim: 16,
            dim_mult: vec![1, 2, 4, 4],
            num_res_blocks: 2,
            attn_scales: Vec::new(),
            temperal_downsample: vec![false, true, true],
            mean: WAN_2_1_MEAN.to_vec(),
            std: WAN_2_1_STD.to_vec(),
            colours: None,
        }
    }

    /// The same shape with `dim` channels at the first level: 8×8×4 compression at any cost.
    #[must_use]
    pub fn small(dim: usize) -> Self {
        Self { dim, ..Self::wan_2_1() }
    }

    /// What latents look like without a decoder, where that is known.
    #[must_use]
    pub fn colours(&self) -> Option<Cow<'_, Colours>> {
        let is_wan_2_1 = self.mean == WAN_2_1_MEAN && self.std == WAN_2_1_STD;
        let own = self.colours.as_ref().map(Cow::Borrowed);
        own.or_else(|| is_wan_2_1.then(|| Cow::Owned(Colours::wan_2_1())))
    }

    /// Pixels to a latent in each spatial direction.
    #[must_use]
    pub fn spatial_factor(&self) -> usize {
        1 << self.dim_mult.len().saturating_sub(1)
    }

    /// Frames to a latent frame (after the first, which stands alone).
    #[must_use]
    pub fn temporal_factor(&self) -> usize {
        1 << self.temperal_downsample.iter().filter(|&&t| t).count()
    }

    /// Latent frames of a video: 1 and one more for each whole chunk after the first frame.
    #[must_use]
    pub fn latent_frames(&self, frames: usize) -> usize {
        if frames == 0 { 0 } else { 1 + (frames - 1) / self.temporal_factor() }
    }

    /// Frames that so many latent frames decode to.
    #[must_use]
    pub fn video_frames(&self, latent_frames: usize) -> usize {
        if latent_frames == 0 { 0 } else { 1 + (latent_frames - 1) * self.temporal_factor() }
    }

    /// Does the encoder's level have attention? Its scale is 1/2^`level`.
    pub(crate) fn encoder_attends(&self, level: usize) -> bool {
        self.attn_scales.contains(&0.5_f64.powi(level as i32))
    }

    /// Does the decoder's level have attention? The reference starts its scale one step too high.
    pub(crate) fn decoder_attends(&self, level: usize) -> bool {
        self.attn_scales.contains(&0.5_f64.powi(level as i32 - 1))
    }

    /// Checks that the numbers fit each other.
    ///
    /// # Errors
    /// [`Error::Config`] that names the field.
    pub fn validate(&self) -> Result<()> {
        let fail = |why: String| Err(Error::Config(why));
        if self.dim == 0 || self.z_dim == 0 || self.dim_mult.is_empty() || self.dim_mult.contains(&0) {
            return fail("dim, z_dim and dim_mult must be positive".to_owned());
        }
        let halvings = self.dim_mult.len() - 1;
        if halvings > 8 || self.num_res_blocks > 64 {
            return fail("more than 9 levels or 64 residual blocks".to_owned());
        }
        if self.temperal_downsample.len() != halvings {
            let n = self.temperal_downsample.len();
            return fail(format!("temperal_downsample has {n} entries for {halvings} halvings"));
        }
        if self.mean.len() != self.z_dim || self.std.len() != self.z_dim {
            let (mean, std) = (self.mean.len(), self.std.len());
            return fail(format!("mean and std have {mean} and {std} entries for z_dim {}", self.z_dim));
        }
        if !self.mean.iter().all(|m| m.is_finite()) || !self.std.iter().all(|s| s.is_finite() && *s > 0.0) {
            return fail("mean must be finite and std finite and positive".to_owned());
        }
        if let Some(colours) = &self.colours {
            if colours.map.len() != self.z_dim {
                let rows = colours.map.len();
                return fail(format!("colours.map has {rows} rows for z_dim {}", self.z_dim));
            }
            if !colours.map.as_flattened().iter().chain(&colours.bias).all(|c| c.is_finite()) {
                return fail("colours must be finite".to_owned());
            }
        }
        // The decoder halves the channels of every level but the first, when it doubles the picture.
        for (level, mult) in self.dim_mult.iter().enumerate().skip(1) {
            if !self.dim.checked_mul(*mult).is_some_and(|channels| channels.is_multiple_of(2)) {
                return fail(format!(
                    "level {level} has dim · dim_mult[{level}] = {} · {mult} channels: upsampling halves them, so \
                     they must be even",
                    self.dim
                ));
            }
        }
        Ok(())
    }
}
