//! What the video is like.

use super::settings::settings;
use serde::{Deserialize, Serialize};

settings! {
    /// What the video is like.
    #[heading = "Video"]
    pub struct Video, changed by VideoChanges {
        /// Width in pixels, a multiple of 16. 0 for both: as large as the background, for a condition video alone.
        #[arg(skip)]
        width: u32 [u32] = 1280,
        /// Height in pixels, a multiple of 16.
        #[arg(skip)]
        height: u32 [u32] = 720,
        /// Frames of a window, of the form 4k + 1.
        #[arg(long)]
        window: usize [usize] = 81,
        /// Frames that neighbouring windows share.
        #[arg(long)]
        overlap: usize [usize] = 9,
        /// Frames a second of the result: its frames are repeated or left out, so that speed and sound stay; the background's
        /// where it is absent or 0.
        #[arg(long)]
        fps: Option<f64> [f64] = None,
        /// What to do with a background of another shape.
        #[arg(long)]
        fit: Fit [Fit] = Fit::Stretch,
        /// How the avatar is blended in.
        #[arg(long)]
        blend: Blend [Blend] = Blend::Reference,
        /// Keeps or drops the model's first frame, which belongs to the reference picture: kept, as the reference does, the
        /// background's last frame is lost; dropped, every frame of the result belongs to one of the background.
        #[arg(long)]
        first_frame: FirstFrame [FirstFrame] = FirstFrame::Keep,
        /// Takes the colour difference to the window before out of each window.
        #[arg(long, num_args = 0..=1, default_missing_value = "true")]
        match_windows: bool [bool] = false,
        /// Fits the avatar's colours to the background's light.
        #[arg(long, num_args = 0..=1, default_missing_value = "true")]
        match_light: bool [bool] = false,
        /// Draws a soft shadow where the feet touch the ground.
        #[arg(long, num_args = 0..=1, default_missing_value = "true")]
        contact_shadow: bool [bool] = false,
    }
}

/// How inputs of another shape are brought to the video's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Fit {
    /// Stretched, as the reference does.
    Stretch,
    /// Cut to the video's aspect ratio around the middle, then scaled.
    Crop,
    /// Scaled to fit, with black borders.
    Pad,
}

/// What becomes of the model's first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum FirstFrame {
    /// It stays.
    Keep,
    /// It goes.
    Drop,
}

/// How the avatar is blended over the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Blend {
    /// The reference's blend, which multiplies by alpha twice: what its weights were trained on.
    Reference,
    /// The correct "over".
    Over,
}
