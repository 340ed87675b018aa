//! What goes in.

use super::actor::Actor;
use super::settings::settings;
use super::strokes::Stroke;
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
        /// Strokes of a brush on frames, which correct the person's mask and what stays in front.
        #[arg(skip)]
        strokes: Vec<Stroke> [Vec<Stroke>] = Vec::new(),
        /// Interpolates frames that a motion lacks, in place of an error.
        #[arg(long, num_args = 0..=1, default_missing_value = "true")]
        fill_gaps: bool [bool] = false,
        /// Which person of a motion with several; once for each motion. The one with the most frames where none is named.
        #[arg(long = "motion-person")]
        motion_persons: Vec<usize> [Vec<usize>] = Vec::new(),
        /// A camera for motions that have none, or in place of their own: a JSON file with focal, princpt, img_size_wh, and view
        /// (from the motion's world, y up, to the camera: 3 rows of 4 numbers). Else such a motion is seen from the front.
        #[arg(long)]
        camera: Option<PathBuf> [PathBuf] = None,
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
