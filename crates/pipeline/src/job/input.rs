//! What goes in.

use super::settings::settings;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

settings! {
    /// What goes in.
    #[heading = "Input"]
    pub struct Input, changed by InputChanges {
        /// Avatars, each with its own motion: the first one's camera counts.
        #[arg(skip)]
        actors: Vec<Actor> [Vec<Actor>] = Vec::new(),
        /// The background: a video or a folder of pictures. May be left out where there is a raw video to find it in.
        #[arg(long)]
        background: PathBuf [PathBuf] = PathBuf::new(),
        /// A picture of the character; where there is none, the avatar is rendered from the front.
        #[arg(long)]
        character: Option<PathBuf> [PathBuf] = None,
        /// A mask for the character picture, white on the person; else its alpha channel is taken, or the person found in it.
        #[arg(long)]
        character_mask: Option<PathBuf> [PathBuf] = None,
        /// A ready render of the body on black, in place of ours.
        #[arg(long)]
        mesh_video: Option<PathBuf> [PathBuf] = None,
        /// A body model in SMPL-X's format (.npz); the embedded CC0 body where there is none.
        #[arg(long)]
        body: Option<PathBuf> [PathBuf] = None,
        /// Things that stay in front of the person: a matte video or folder, white in front. May be given several times.
        #[arg(long = "occluder")]
        occluders: Vec<PathBuf> [Vec<PathBuf>] = Vec::new(),
        /// First frame of motion and background.
        #[arg(long)]
        start: usize [usize] = 0,
        /// Frame to stop before.
        #[arg(long)]
        end: Option<usize> [usize] = None,
        /// Takes every n-th frame.
        #[arg(long)]
        stride: usize [usize] = 1,
    }
}

/// One avatar and its motion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Actor {
    /// `*_gaussian.pth`, `.ply` or `.safetensors`.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub avatar: PathBuf,
    /// A folder of AniCrafter's parameter files, an AMASS `.npz` or an own motion file. Empty where it is to be found in the
    /// raw video.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub motion: PathBuf,
}
