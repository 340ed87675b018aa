//! The ten expression columns, made of the CC0 face unit targets.

use crate::Point;
use crate::error::Error;
use crate::makehuman::{MakeHuman, RestBody};
use crate::wheel::Wheel;

/// Number of columns.
pub const COLUMNS: usize = 10;

/// Name of each column and the face units that it sums.
pub const UNITS: [(&str, &[&str]); COLUMNS] = [
    ("smile", &["mouthSmileLeft", "mouthSmileRight"]),
    ("frown", &["mouthFrownLeft", "mouthFrownRight"]),
    ("pucker", &["mouthPucker"]),
    ("funnel", &["mouthFunnel"]),
    ("brow inner up", &["browInnerUp"]),
    ("brow down", &["browDownLeft", "browDownRight"]),
    ("blink", &["eyeBlinkLeft", "eyeBlinkRight"]),
    ("eyes wide", &["eyeWideLeft", "eyeWideRight"]),
    ("cheek puff", &["cheekPuff"]),
    ("upper lip up", &["mouthUpperUpLeft", "mouthUpperUpRight"]),
];

/// Vertex offsets of each column on the rest body, in metres.
///
/// # Errors
/// A face unit is missing in the wheel or damaged.
pub fn columns(
    wheel: &mut Wheel,
    human: &MakeHuman,
    rest: &RestBody,
    scale: f64,
) -> Result<Vec<Vec<Point>>, Error> {
    UNITS.iter().map(|(_, units)| human.face_units(wheel, units, rest, scale)).collect()
}
