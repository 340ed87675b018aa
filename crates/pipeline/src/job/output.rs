//! What comes out.

use super::settings::settings;
use crate::Stage;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

settings! {
    /// What comes out.
    #[heading = "Output"]
    pub struct Output, changed by OutputChanges {
        /// The video.
        #[arg(id = "output", short = 'o', long = "output")]
        video: PathBuf [PathBuf] = PathBuf::from("out.mp4"),
        /// The folder for finished stages; next to the video where it isn't given.
        #[arg(long)]
        work: Option<PathBuf> [PathBuf] = None,
        /// A folder for finished stages that other jobs may use too, in place of the work folder: where jobs agree in everything that a
        /// stage depends on, one makes it and all take it.
        #[arg(long)]
        shared: Option<PathBuf> [PathBuf] = None,
        /// Stops after this step, whose result is then the output: a video, for masks also a folder, for a motion a .json.
        #[arg(long)]
        until: Option<Until> [Until] = None,
        /// Also writes the four panels: reference, body, condition, result.
        #[arg(long, num_args = 0..=1, default_missing_value = "true")]
        panels: bool [bool] = false,
        /// Puts the source background back outside the person, or leaves the model's.
        #[arg(long)]
        background_lock: bool [bool] = false,
        /// Adds what the VAE's round trip loses: condition + decoded result − decoded condition.
        #[arg(long)]
        detail_transfer: bool [bool] = false,
        /// Writes a self-contained report page.
        #[arg(long, num_args = 0..=1, default_missing_value = "true")]
        report: bool [bool] = false,
        /// Also writes the body on black: a video, or a folder for pictures.
        #[arg(skip)]
        mesh: Option<PathBuf> [PathBuf] = None,
        /// Also writes the person's mask: a video, or a folder for pictures.
        #[arg(skip)]
        mask: Option<PathBuf> [PathBuf] = None,
        /// Writes a preview picture every so many steps; 0 for none.
        #[arg(long)]
        preview_every: usize [usize] = 0,
        /// Saves the latents every so many steps, so that an interrupted loop goes on from there; 0 for never.
        #[arg(long)]
        save_every: usize [usize] = 5,
    }
}

/// Where a job may stop before its video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Until {
    /// The person's masks, found in the raw video.
    Masks,
    /// The person's motion, found in the raw video.
    Motion,
    /// The raw video without the person.
    Plate,
    /// The condition video: the avatar over the background.
    Composite,
}

impl From<Until> for Stage {
    fn from(until: Until) -> Self {
        match until {
            Until::Masks => Self::Masks,
            Until::Motion => Self::Motion,
            Until::Plate => Self::Plate,
            Until::Composite => Self::Composite,
        }
    }
}
