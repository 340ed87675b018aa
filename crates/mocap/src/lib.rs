//! From an ordinary video to a person's masks, landmarks and SMPL-X motion, with small embedded models.
//!
//! A [`Tracker`] follows everybody from frame to frame and gives landmarks and what the networks say of each one's pixels;
//! [`fit`] turns the landmarks of a person in the whole clip into a [`smplx::Motion`] with its camera. Nothing is downloaded, and it runs on the CPU.
//!
//! ```no_run
//! use anicrafter_mocap::{FitOptions, TrackOptions, Tracker, fit};
//!
//! # fn frames() -> Vec<image::RgbImage> { Vec::new() }
//! # let body: smplx::BodyModel = unimplemented!();
//! let mut tracker = Tracker::new(TrackOptions::default())?;
//! let (mut seen, mut cuts) = (Vec::new(), Vec::new());
//! for frame in frames() {
//!     let tracked = tracker.next_frame(&frame)?;
//!     cuts.push(tracked.cut);
//!     seen.push(None);
//!     for (frame, sighting) in tracked.into_sightings().filter(|(_, s)| s.person == 0) {
//!         seen[frame] = Some(sighting.observation);
//!     }
//! }
//! let fitted = fit(&body, &seen, &cuts, &FitOptions::new(25.0, [1280, 720]))?;
//! # Ok::<(), anicrafter_mocap::Error>(())
//! ```

mod cuts;
mod detector;
mod error;
mod face;
mod fit;
mod hands;
mod identity;
mod landmarks;
mod network;
mod past;
mod reader;
mod region;
mod segmentation;
mod tracker;

pub use detector::{Detection, Detector};
pub use error::{Error, Result};
pub use face::{Face, FaceReader};
pub use fit::{FitOptions, Fitted, Gap, fit, fit_watched, same_shot, usual_focal_px};
pub use hands::{Hand, HandReader, N_HAND_LANDMARKS};
pub use landmarks::{LANDMARK_NAMES, Landmark, Landmarker, N_LANDMARKS, Observation, Segmenter};
pub use region::Region;
pub use segmentation::{Evidence, Segmentation, Spread, SpreadRow};
pub use tracker::{Sighting, TrackOptions, Tracked, Tracker};
