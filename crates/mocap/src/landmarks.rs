//! One person's landmarks and segmentation in a region.
//!
//! Layout of the outputs: MediaPipe's `pose_landmark_cpu.pbtxt` and the calculators it names. Landmarks are five numbers each
//! (x, y, depth in pixels of the 256 × 256 input, logits of visibility and presence); the 34th and 35th span the region for
//! the next frame. Metric landmarks are centred at the hips, in axes of the turned region.

use crate::detector::ENLARGE;
use crate::error::Result;
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
}

/// What the landmark model says about a region.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub observation: Observation,
    /// Probability of the person, `[256, 256]` over the region.
    pub segmentation: Vec<f32>,
    /// The region for the next frame.
    pub next: Region,
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
    pub(crate) fn read(&self, region: Region, input: &[f32]) -> Result<Reading> {
        let outputs = self.network.run(input)?;
        let (points, metric) = (&outputs[0].data, &outputs[4].data);
        let pixel =
            |i: usize| region.to_picture([points[5 * i] / SIZE as f32, points[5 * i + 1] / SIZE as f32]);
        let (sin, cos) = region.angle.sin_cos();
        let landmarks = (0..N_LANDMARKS)
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
        let next = Region::from_points(pixel(33), pixel(34), ENLARGE);
        let score = outputs[1].data[0];
        let segmentation = outputs[2].data.iter().map(|v| logistic(*v)).collect();
        Ok(Reading {
            observation: Observation { region, score, landmarks, hands: [None, None] },
            segmentation,
            next,
        })
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
