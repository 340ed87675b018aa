//! One person's landmarks and segmentation in a region.
//!
//! Layout of the outputs: MediaPipe's `pose_landmark_cpu.pbtxt` and the calculators it names. Landmarks are five numbers each
//! (x, y, depth in pixels of the 256 × 256 input, logits of visibility and presence); the 34th and 35th span the region for
//! the next frame. Metric landmarks are centred at the hips, in axes of the turned region.

use crate::detector::ENLARGE;
use crate::error::Result;
use crate::face::Face;
use crate::hands::Hand;
use crate::network::{Network, logistic};
use crate::region::Region;
use image::RgbImage;
use serde::{Deserialize, Serialize};

/// Number of landmarks.
pub const N_LANDMARKS: usize = 33;
/// Side of the models' input.
pub(crate) const SIZE: usize = 256;
const POINTS: usize = 39;

/// Names of the landmarks in order.
pub const LANDMARK_NAMES: [&str; N_LANDMARKS] = [
    "nose",
    "left_eye_inner",
    "left_eye",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_pinky",
    "right_pinky",
    "left_index",
    "right_index",
    "left_thumb",
    "right_thumb",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_foot_index",
    "right_foot_index",
];

/// A landmark of a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Landmark {
    /// Where it is in the picture, in pixels from the upper left corner.
    pub pixel: [f32; 2],
    /// Where it is in metres: x right, y down, z away from the viewer, along the ray to the middle of the hips, which is the
    /// origin.
    pub metric: [f32; 3],
    /// How likely it is in view and not hidden, 0..1.
    pub visibility: f32,
    /// How likely it lies in the picture, 0..1.
    pub presence: f32,
}

/// One person in one frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The region that was looked at.
    pub region: Region,
    /// How sure the model is that there is somebody, 0..1.
    pub score: f32,
    /// The landmarks in the order of [`LANDMARK_NAMES`].
    pub landmarks: Vec<Landmark>,
    /// The left and the right hand, where they were seen.
    #[serde(default)]
    pub hands: [Option<Hand>; 2],
    /// The face, where it was seen: the landmarks from the nose to the mouth are its own then.
    #[serde(default)]
    pub face: Option<Face>,
}

/// The left and the right hip.
const HIPS: [usize; 2] = [23, 24];

/// The middle of the hips, in pixels.
fn hips(landmarks: &[Landmark]) -> [f32; 2] {
    let [left, right] = HIPS.map(|i| landmarks.get(i).map_or([0.0; 2], |landmark| landmark.pixel));
    [0, 1].map(|k| (left[k] + right[k]) / 2.0)
}

/// Does a pixel lie in a picture of a size?
pub(crate) fn is_inside([x, y]: [f32; 2], [w, h]: [u32; 2]) -> bool {
    x >= 0.0 && y >= 0.0 && x < w as f32 && y < h as f32
}

impl Observation {
    /// A picture of that size shows less than down to the hips: what the landmarks' network makes of arms and legs is a guess.
    pub(crate) fn is_close(&self, size: [u32; 2]) -> bool {
        !is_inside(hips(&self.landmarks), size)
    }

    /// The same in a picture whose upper left corner lies so many pixels to the left and above.
    #[must_use]
    pub fn moved(&self, by: [f32; 2]) -> Self {
        let shift = |place: &mut [f32; 2]| *place = [place[0] + by[0], place[1] + by[1]];
        let mut moved = self.clone();
        shift(&mut moved.region.centre);
        moved.landmarks.iter_mut().for_each(|landmark| shift(&mut landmark.pixel));
        for hand in moved.hands.iter_mut().flatten() {
            shift(&mut hand.region.centre);
            hand.pixels.iter_mut().for_each(shift);
        }
        moved.face.iter_mut().for_each(|face| shift(&mut face.region.centre));
        moved
    }
}

/// What the landmark model says about a region.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub observation: Observation,
    /// Probability of the person, `[256, 256]` over the region.
    pub segmentation: Vec<f32>,
    /// The region for the next frame.
    pub next: Region,
    /// The upright region to segment where the hips lie out of the picture.
    pub close: Option<Region>,
}

/// The landmark model.
#[derive(Debug)]
pub struct Landmarker {
    network: Network,
}

impl Landmarker {
    /// Reads the model.
    ///
    /// # Errors
    /// When it can't be read or does another task.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let network = Network::read("pose landmark", bytes, SIZE, |outputs| {
            let sizes: Vec<usize> = outputs.iter().map(|o| o.iter().product()).collect();
            matches!(sizes[..], [a, 1, s, _, m] if a == POINTS * 5 && s == SIZE * SIZE && m == POINTS * 3)
        })?;
        Ok(Self { network })
    }

    /// Reads a region; `input` is its picture, `[256, 256, 3]` in 0..1.
    /// `size` is that of the picture around it.
    pub(crate) fn read(&self, region: Region, input: &[f32], size: (u32, u32)) -> Result<Reading> {
        let outputs = self.network.run(input)?;
        let (points, metric) = (&outputs[0].data, &outputs[4].data);
        let pixel =
            |i: usize| region.to_picture([points[5 * i] / SIZE as f32, points[5 * i + 1] / SIZE as f32]);
        let (sin, cos) = region.angle.sin_cos();
        let landmarks: Vec<Landmark> = (0..N_LANDMARKS)
            .map(|i| {
                let [x, y, z] = [0, 1, 2].map(|k| metric[3 * i + k]);
                Landmark {
                    pixel: pixel(i),
                    metric: [cos * x - sin * y, sin * x + cos * y, z],
                    visibility: logistic(points[5 * i + 3]),
                    presence: logistic(points[5 * i + 4]),
                }
            })
            .collect();
        let (next, close) = match close_regions(&landmarks, size) {
            Some((next, close)) => (next, Some(close)),
            None => (Region::from_points(pixel(33), pixel(34), ENLARGE), None),
        };
        let score = outputs[1].data[0];
        let segmentation = outputs[2].data.iter().map(|v| logistic(*v)).collect();
        Ok(Reading {
            observation: Observation { region, score, landmarks, hands: [None, None], face: None },
            segmentation,
            next,
            close,
        })
    }
}

/// Landmarks of head and shoulders.
const UPPER: [usize; 9] = [0, 2, 5, 7, 8, 9, 10, 11, 12];
/// Metres from the middle of the shoulders down to that of the hips.
const TORSO_M: f32 = 0.5;
/// Sides of the regions for landmarks and for segmentation, and how far above the nose the latter begins, in metres.
const WHOLE_M: f32 = 2.4;
const BUST_M: [f32; 2] = [1.5, 0.45];
/// Landmarks that lie out of the picture by more than this part of its longer side aren't seen.
const BORDER: f32 = 0.01;

/// Where the hips lie out of the picture: the region for the next landmarks, and the one to segment. What is guessed about hips
/// must not turn or move them: both are upright and measured by head and shoulders.
fn close_regions(landmarks: &[Landmark], (width, height): (u32, u32)) -> Option<(Region, Region)> {
    let (w, h) = (width as f32, height as f32);
    let border = BORDER * w.max(h);
    let is_inside = |[x, y]: [f32; 2]| x > -border && y > -border && x < w + border && y < h + border;
    if is_inside(hips(landmarks)) {
        return None;
    }
    let seen: Vec<&Landmark> =
        UPPER.iter().map(|i| &landmarks[*i]).filter(|l| is_inside(l.pixel) && l.visibility > 0.3).collect();
    if seen.len() < 4 {
        return None;
    }
    let mean = |of: &dyn Fn(&Landmark) -> f32| seen.iter().map(|l| of(l)).sum::<f32>() / seen.len() as f32;
    let middle = [0, 1].map(|k| (mean(&|l| l.pixel[k]), mean(&|l| l.metric[k])));
    let spread = |pixels: bool| {
        mean(&|l| {
            (0..2)
                .map(|k| if pixels { l.pixel[k] - middle[k].0 } else { l.metric[k] - middle[k].1 })
                .map(|v| v * v)
                .sum()
        })
    };
    let per_metre = (spread(true) / spread(false).max(1e-6)).sqrt();
    if !(per_metre.is_finite() && per_metre > 1.0) {
        return None;
    }
    // Where something known in metres lies in the picture.
    let place = |k: usize, metres: f32| middle[k].0 + per_metre * (metres - middle[k].1);
    let shoulders = [0, 1].map(|k| place(k, (landmarks[11].metric[k] + landmarks[12].metric[k]) / 2.0));
    let next = Region::of_whole(shoulders, per_metre);
    let size = (BUST_M[0] * per_metre).min(w.max(h));
    let top = place(1, landmarks[0].metric[1]) - BUST_M[1] * per_metre;
    // As much of the picture as there is.
    let within = |at: f32, side: f32| {
        if size >= side { side / 2.0 } else { at.clamp(size / 2.0, side - size / 2.0) }
    };
    let close = Region { centre: [within(shoulders[0], w), within(top + size / 2.0, h)], size, angle: 0.0 };
    Some((next, close))
}

impl Region {
    /// The upright region for the landmarks of a body that is mostly out of the picture, by the middle of its shoulders and the pixels of
    /// a metre.
    pub(crate) fn of_whole(shoulders: [f32; 2], per_metre: f32) -> Self {
        let centre = [shoulders[0], shoulders[1] + TORSO_M * per_metre];
        Self { centre, size: WHOLE_M * per_metre, angle: 0.0 }
    }

    /// The reverse: pixels of a metre in the region of a body that is mostly out of the picture.
    pub(crate) fn pixels_of_a_metre(&self) -> f32 {
        self.size / WHOLE_M
    }
}

/// The segmentation model.
#[derive(Debug)]
pub struct Segmenter {
    network: Network,
}

impl Segmenter {
    /// Reads the model.
    ///
    /// # Errors
    /// When it can't be read or does another task.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let wanted: [&[usize]; 1] = [&[1, SIZE, SIZE, 1]];
        Ok(Self { network: Network::read("selfie segmentation", bytes, SIZE, |outputs| *outputs == wanted)? })
    }

    /// Probability of a person, `[256, 256]`.
    pub(crate) fn read(&self, input: &[f32]) -> Result<Vec<f32>> {
        let mut outputs = self.network.run(input)?;
        Ok(outputs.swap_remove(0).data)
    }
}

/// A region's picture for both models.
pub(crate) fn input(region: &Region, picture: &RgbImage) -> Vec<f32> {
    region.sample(picture, SIZE, 0.0, 1.0)
}
