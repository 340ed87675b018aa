//! A small model that finds the landmarks of a face, as bytes. What it is and where from: README.md.

/// A face's landmarks: `[1, 192, 192, 3]` in 0..1 → `[1, 1, 1, 1404]` in pixels, `[1, 1, 1, 1]` the logit of a face.
pub const FACE_LANDMARK: &[u8] = include_bytes!("../face_landmark.tflite");
