//! A person in one picture: mask and pose, as an avatar is baked from.

use crate::Result;
use image::{GrayImage, RgbImage};
use mocap::{Detection, Detector, FitOptions, Landmark, Sighting, TrackOptions, Tracker};
use smplx::{BodyModel, MotionFrame};

/// Which person, and how the picture was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PersonOptions {
    /// Which one where there are several, from 0: the largest first.
    pub person: usize,
    /// Focal length in pixels; `None` reckons with 60° across the longer side.
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
    /// The head's box: left, top, right, bottom in pixels; it may reach beyond the picture. `None` where no head is in view.
    pub head: Option<[f32; 4]>,
    /// The share of the body's height that is in view, 0 to 1.
    pub body_ratio: f32,
    /// People in the picture.
    pub people: usize,
}

/// Finds a person in a picture with the embedded models.
///
/// # Errors
/// When nobody is in view, or fewer people than asked for; when the focal length isn't positive.
pub fn find_person(picture: &RgbImage, body: &BodyModel, options: &PersonOptions) -> Result<Person> {
    let size: [u32; 2] = picture.dimensions().into();
    let seen = Tracker::new(TrackOptions::default())?.next_frame(picture)?.people;
    let mut found = surest(seen, &find_people(picture)?);
    let people = found.len();
    if people == 0 {
        return Err(mocap::Error::Nobody { frames: 1 }.into());
    }
    if options.person >= people {
        return Err(mocap::Error::NoSuchPerson { wanted: options.person + 1, found: people }.into());
    }
    let sighting = found.swap_remove(options.person);
    // The frame rate is of no consequence to one frame.
    let options = FitOptions { focal_px: options.focal_px, ..FitOptions::new(25.0, size) };
    let head = head_box(&sighting.observation.landmarks, size);
    let matte = sighting.evidence.matte(picture.dimensions());
    let mut fitted = mocap::fit(body, &[Some(sighting.observation)], &[false], &options)?;
    let frame = fitted.motion.frames.swap_remove(0);
    let radius = (size[0].max(size[1]) as usize / MATTE_STEP).clamp(2, 100);
    let mask = bg_mask::refine_matte(picture, &matte, radius)?;
    let body_ratio = body_ratio(body, &frame, size)?;
    Ok(Person { mask, frame, residual_px: fitted.residual_px[0], head, body_ratio, people })
}

/// Of those who were seen, the ones whom the detector is sure of in the whole picture; all, where it is sure of none. A video's later
/// frames tell who is nobody, one picture doesn't.
fn surest(mut seen: Vec<Sighting>, sure: &[Detection]) -> Vec<Sighting> {
    let mut found = Vec::new();
    for detection in sure {
        let away = |s: &Sighting| {
            let [a, b] = [&s.observation.region, &detection.region].map(|region| region.centre);
            (a[0] - b[0]).hypot(a[1] - b[1])
        };
        let nearest = (0..seen.len()).min_by(|&a, &b| away(&seen[a]).total_cmp(&away(&seen[b])));
        if let Some(nearest) = nearest.filter(|&n| away(&seen[n]) < 0.5 * detection.region.size) {
            found.push(seen.remove(nearest));
        }
    }
    if found.is_empty() { seen } else { found }
}

/// Height of a head over the distance from between the eyes to the mouth, and over that from ear to ear: the larger counts, for
/// a face that looks up or down has a short first, and one in profile a short second.
const HEAD_HEIGHT: [f32; 2] = [3.6, 1.55];
/// Width of a head over its height, hair included.
const HEAD_WIDTH: f32 = 0.8;
/// How far the head's middle lies above the eyes, over its height.
const ABOVE_THE_EYES: f32 = 0.02;

/// The box around the head that the face's landmarks speak of.
fn head_box(landmarks: &[Landmark], [w, h]: [u32; 2]) -> Option<[f32; 4]> {
    const NOSE: usize = 0;
    const EYES: [usize; 2] = [2, 5];
    const EARS: [usize; 2] = [7, 8];
    const MOUTH: [usize; 2] = [9, 10];
    if landmarks.len() < 11 || landmarks[NOSE].presence < 0.5 {
        return None;
    }
    let pixel = |i: usize| landmarks[i].pixel;
    let [x, y] = pixel(NOSE);
    if !(0.0..w as f32).contains(&x) || !(0.0..h as f32).contains(&y) {
        return None;
    }
    let middle = |[a, b]: [usize; 2]| [0, 1].map(|k| (pixel(a)[k] + pixel(b)[k]) / 2.0);
    let distance = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
    let (eyes, ears, mouth) = (middle(EYES), middle(EARS), middle(MOUTH));
    let face = distance(eyes, mouth);
    let height = (HEAD_HEIGHT[0] * face).max(HEAD_HEIGHT[1] * distance(pixel(EARS[0]), pixel(EARS[1])));
    if !(height >= 1.0) {
        return None;
    }
    let up = [0, 1].map(|k| if face > 0.0 { (eyes[k] - mouth[k]) / face } else { -(k as f32) });
    let [cx, cy] = [0, 1].map(|k| (eyes[k] + ears[k]) / 2.0 + up[k] * ABOVE_THE_EYES * height);
    let (half_w, half_h) = (HEAD_WIDTH * height / 2.0, height / 2.0);
    Some([cx - half_w, cy - half_h, cx + half_w, cy + half_h])
}

/// The share of the posed body's height that lies in the picture.
fn body_ratio(body: &BodyModel, frame: &MotionFrame, [_, h]: [u32; 2]) -> Result<f32> {
    let Some(camera) = frame.camera else { return Ok(1.0) };
    let mut full = [[0.0; 3]; smplx::N_JOINTS];
    let vertices = body.forward(&frame.as_frame(&mut full))?.vertices;
    let rows = vertices.iter().filter_map(|p| Some(camera.project(*p)?[1]));
    let (low, high) =
        rows.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)));
    if !(high > low) {
        return Ok(0.0);
    }
    let inside = |y: f32| y.clamp(0.0, h as f32);
    Ok(((inside(high) - inside(low)) / (high - low)).clamp(0.0, 1.0))
}

/// Everybody in a picture, the largest first: as [`PersonOptions::person`] and a job's `replace.person` count them.
///
/// # Errors
/// When the picture is empty or the model can't run.
pub fn find_people(picture: &RgbImage) -> Result<Vec<Detection>> {
    Ok(Detector::new()?.detect(picture)?)
}

/// The networks' mattes are right to about this share of the picture's longer side.
const MATTE_STEP: usize = 100;
