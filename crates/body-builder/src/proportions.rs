//! The constants that make MakeHuman's average body stand like SMPL-X's mean body.
//!
//! MakeHuman's middle of all sliders is a person of other proportions than SMPL-X's mean: driven by poses that were
//! estimated for SMPL-X, its outline overlaps SMPL-X's only to about 0.85 (intersection over union). The scalars below
//! were chosen so that joint distances match SMPL-X's published mean proportions and so that outlines agree; they are
//! settings of MakeHuman's own sliders, rest angles and one scale. No vertex of another body model is used.

use crate::Point;
use crate::measures::Measure;
use crate::morph::Macro;
use crate::repose::RestAngles;
use crate::skeleton::{self, JOINTS};

/// Everything that fixes the mean body.
#[derive(Clone, Debug)]
pub struct Proportions {
    /// MakeHuman's macro details.
    pub macros: Macro,
    /// MakeHuman's measures, in the order of [`Measure::ALL`].
    pub measures: [f64; Measure::COUNT],
    /// Size of the body relative to MakeHuman's metres.
    pub scale: f64,
    /// Where the pelvis joint lies in SMPL-X's frame [m].
    pub pelvis: Point,
    /// Rest angles of the joints.
    pub rest: RestAngles,
}

impl Proportions {
    /// MakeHuman's average body in a plain T-pose, in SMPL-X's frame.
    #[must_use]
    pub fn makehuman() -> Self {
        Self {
            macros: Macro::default(),
            measures: [0.0; Measure::COUNT],
            scale: 1.0,
            pelvis: Point::from(PELVIS),
            rest: [Point::zeros(); JOINTS],
        }
    }

    /// The proportions of the embedded body.
    #[must_use]
    pub fn fitted() -> Self {
        let mut p = Self { scale: SCALE, ..Self::makehuman() };
        for (name, degrees) in REST_ANGLES_DEGREES {
            if let Some(j) = skeleton::joint(name) {
                p.rest[j] = Point::from(degrees).map(f64::to_radians);
                p.rest[skeleton::mirror(j)] = mirror_angle(p.rest[j]);
            }
        }
        p
    }
}

/// The mirror image (in the plane x = 0) of a rotation given as axis times angle.
#[must_use]
pub fn mirror_angle(a: Point) -> Point {
    Point::new(a.x, -a.y, -a.z)
}

/// The pelvis joint of SMPL-X's mean body lies this far below the origin of its frame [m].
pub const PELVIS: [f64; 3] = [0.0, -0.3432, -0.0014];

/// MakeHuman's average adult is smaller than SMPL-X's.
const SCALE: f64 = 1.057;

/// Rest angles of the joints of the middle and the left, axis times angle [degrees].
const REST_ANGLES_DEGREES: [(&str, [f64; 3]); 28] = [
    ("left_hip", [-0.5, -4.0, -2.5]),
    ("spine1", [-1.5, 0.0, 0.0]),
    ("left_knee", [5.5, 0.5, 3.5]),
    ("spine2", [0.5, 0.0, 0.0]),
    ("left_ankle", [-2.5, -0.5, 1.0]),
    ("spine3", [1.5, 0.0, 0.0]),
    ("left_foot", [0.5, -1.5, -3.5]),
    ("neck", [-3.0, 0.0, 0.0]),
    ("left_collar", [-1.0, 2.0, -2.0]),
    ("head", [-3.5, 0.0, 0.0]),
    ("left_shoulder", [0.5, 1.5, -4.5]),
    ("left_elbow", [-3.0, -2.5, 6.0]),
    ("left_wrist", [-3.0, 0.0, 0.0]),
    ("left_index1", [4.0, 7.0, -4.5]),
    ("left_index2", [1.0, 0.5, -4.5]),
    ("left_index3", [0.5, 0.0, -1.5]),
    ("left_middle1", [-0.5, -11.5, -5.0]),
    ("left_middle2", [-1.5, -10.0, -7.0]),
    ("left_middle3", [-0.5, 0.0, -3.5]),
    ("left_pinky1", [-0.5, -3.5, -3.0]),
    ("left_pinky2", [0.0, -2.5, -1.0]),
    ("left_pinky3", [0.0, -3.0, -0.5]),
    ("left_ring1", [0.0, -5.0, -3.5]),
    ("left_ring2", [-0.5, -6.5, -2.5]),
    ("left_ring3", [-0.5, -2.0, -2.5]),
    ("left_thumb1", [-2.5, 0.5, 7.5]),
    ("left_thumb2", [-7.0, -3.5, 5.0]),
    ("left_thumb3", [-2.5, -2.5, 2.0]),
];
