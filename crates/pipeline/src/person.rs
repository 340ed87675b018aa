//! A person in one picture: mask and pose, as an avatar is baked from.

use crate::Result;
use image::{GrayImage, RgbImage};
use mocap::{FitOptions, TrackOptions, Tracker};
use smplx::{BodyModel, MotionFrame};

/// Which person, and how the picture was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PersonOptions {
    /// Which one where there are several, from 0: the largest first.
    pub person: usize,
    /// Focal length in pixels; `None` reckons with 60° across the width.
    pub focal_px: Option<f32>,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Person {
    /// White on the person, of the picture's size, its edges where the picture's are.
    pub mask: GrayImage,
    /// Pose, place and camera, of the body's average shape.
    pub frame: MotionFrame,
    /// Mean distance of the landmarks from the posed body, in pixels.
    pub residual_px: f32,
    /// People in the picture.
    pub people: usize,
}

/// Finds a person in a picture with the embedded models.
///
/// # Errors
/// When nobody is in view, or fewer people than asked for; when the focal length isn't positive.
pub fn find_person(picture: &RgbImage, body: &BodyModel, options: &PersonOptions) -> Result<Person> {
    let size: [u32; 2] = picture.dimensions().into();
    let mut tracker = Tracker::new(TrackOptions { person: options.person })?;
    let tracked = tracker.next_frame(picture)?;
    let people = tracked.people.unwrap_or(0);
    if tracked.observation.is_none() && people > 0 {
        return Err(mocap::Error::NoSuchPerson { wanted: options.person + 1, found: people }.into());
    }
    // The frame rate is of no consequence to one frame.
    let options = FitOptions { focal_px: options.focal_px, ..FitOptions::new(25.0, size) };
    let mut fitted = mocap::fit(body, &[tracked.observation], &[false], &options)?;
    let frame = fitted.motion.frames.swap_remove(0);
    let radius = (size[0].max(size[1]) as usize / MATTE_STEP).clamp(2, 100);
    let mask = bg_mask::refine_matte(picture, &tracked.matte, radius)?;
    Ok(Person { mask, frame, residual_px: fitted.residual_px[0], people })
}

/// The networks' mattes are right to about this share of the picture's longer side.
const MATTE_STEP: usize = 100;
