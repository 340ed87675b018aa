//! Small models that find, track and segment a person in a video, as bytes. What they are and where from: README.md.

/// Finds people: `[1, 224, 224, 3]` in −1..1 → 2254 boxes (`[1, 2254, 12]`) and scores (`[1, 2254, 1]`).
pub const POSE_DETECTION: &[u8] = include_bytes!("../pose_detection.tflite");

/// One person's landmarks and segmentation: `[1, 256, 256, 3]` in 0..1 → `[1, 195]`, `[1, 1]`, `[1, 256, 256, 1]` logits,
/// heat maps, `[1, 117]` in metres.
pub const POSE_LANDMARK: &[u8] = include_bytes!("../pose_landmark_full.tflite");

/// Person or not: `[1, 256, 256, 3]` in 0..1 → `[1, 256, 256, 1]` probabilities.
pub const SELFIE_SEGMENTATION: &[u8] = include_bytes!("../selfie_segmentation.tflite");

/// A hand's landmarks: `[1, 224, 224, 3]` in 0..1 → `[1, 63]` in pixels, `[1, 1]` how likely there is a hand, `[1, 1]` how likely
/// it is a right one, `[1, 63]` in metres.
pub const HAND_LANDMARK: &[u8] = include_bytes!("../hand_landmark_lite.tflite");

pub use anicrafter_face_model::FACE_LANDMARK;
