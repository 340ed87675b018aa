//! The constants that make MakeHuman's average body stand like SMPL-X's mean body.
//!
//! MakeHuman's middle of all sliders is a person of other proportions than SMPL-X's mean: driven by poses that were
//! estimated for SMPL-X, the outline of the plain body overlaps SMPL-X's to 0.78 (intersection over union, mean of 81
//! frames), that of the fitted one to 0.94.
//!
//! The scalars below are settings of MakeHuman's own sliders, rest angles and one scale. They were fitted by least
//! squares to an earlier prototype of this body (the same MakeHuman mesh, whose own proportions had been fitted to
//! SMPL-X's mean body) and rounded; index, middle and ring finger were then set apart evenly by eye. No vertex of
//! another body model is used. `examples/silhouette_iou.rs` measures the overlap.

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
    /// Where the pelvis joint lies in SMPL-X's frame, in metres.
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
        let mut p = Self { macros: MACROS, scale: SCALE, ..Self::makehuman() };
        for (measure, value) in MEASURES {
            p.measures[measure as usize] = value;
        }
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

/// The pelvis joint of SMPL-X's mean body lies this far below the origin of its frame, in metres.
pub const PELVIS: [f64; 3] = [0.0, -0.3432, -0.0014];

/// MakeHuman's average adult is smaller than SMPL-X's.
const SCALE: f64 = 1.0547;

/// Macro details: sex near the middle, a young adult, a little heavier than average.
const MACROS: Macro =
    Macro { gender: 0.579, age: 0.543, muscle: 0.400, weight: 0.696, height: 0.475, proportions: 0.319 };

/// Measures that aren't zero: shoulders narrower and legs shorter than MakeHuman's, waist and chest fuller.
const MEASURES: [(Measure, f64); 26] = [
    (Measure::ShoulderDistance, -0.46),
    (Measure::UpperArmLength, -0.09),
    (Measure::ForearmLength, -0.06),
    (Measure::ThighLength, -0.28),
    (Measure::ShinLength, -0.21),
    (Measure::NeckHeight, -0.10),
    (Measure::NapeToWaist, -0.09),
    (Measure::WaistToHip, 0.16),
    (Measure::BustGirth, 0.13),
    (Measure::WaistGirth, 0.17),
    (Measure::HipGirth, 0.06),
    (Measure::ThighGirth, 0.10),
    (Measure::CalfGirth, 0.08),
    (Measure::UpperArmGirth, 0.03),
    (Measure::NeckGirth, 0.05),
    (Measure::HeadDepth, -0.02),
    (Measure::TorsoDepth, 0.04),
    (Measure::TorsoWidth, -0.04),
    (Measure::HipDepth, 0.09),
    (Measure::HipWidth, 0.04),
    (Measure::FootSize, -0.04),
    (Measure::ForearmFat, 0.06),
    (Measure::UpperArmFat, 0.08),
    (Measure::ShoulderMuscle, 0.08),
    (Measure::KneeGirth, 0.02),
    (Measure::WristGirth, -0.06),
];

/// Rest angles of the joints of the middle and the left, axis times angle, in degrees.
const REST_ANGLES_DEGREES: [(&str, [f64; 3]); 28] = [
    ("left_hip", [-0.5, -2.7, -2.8]),
    ("spine1", [-1.8, 0.0, 0.0]),
    ("left_knee", [7.4, 0.5, 2.9]),
    ("spine2", [0.9, 0.0, 0.0]),
    ("left_ankle", [-4.9, 7.3, 0.5]),
    ("spine3", [0.9, 0.0, 0.0]),
    ("left_foot", [1.1, -1.3, -1.4]),
    ("neck", [-2.7, 0.0, 0.0]),
    ("left_collar", [-1.6, 2.7, 6.1]),
    ("head", [-3.2, 0.0, 0.0]),
    ("left_shoulder", [2.6, 3.3, -14.4]),
    ("left_elbow", [-3.5, -5.2, 7.9]),
    ("left_wrist", [-3.1, 0.1, -0.1]),
    ("left_index1", [4.6, 7.5, -4.3]),
    ("left_index2", [1.2, 0.5, -4.5]),
    ("left_index3", [0.6, -0.2, -1.2]),
    ("left_middle1", [-0.8, -6.6, -5.0]),
    ("left_middle2", [-2.2, -3.0, -6.9]),
    ("left_middle3", [-0.7, 0.3, -3.3]),
    ("left_pinky1", [-1.7, -13.0, -2.6]),
    ("left_pinky2", [-0.4, -2.7, -0.8]),
    ("left_pinky3", [-0.3, -2.3, -0.2]),
    ("left_ring1", [-0.7, -12.0, -3.3]),
    ("left_ring2", [-1.0, -4.5, -2.5]),
    ("left_ring3", [-0.9, -1.6, -2.2]),
    ("left_thumb1", [-2.4, 1.1, 7.4]),
    ("left_thumb2", [-7.2, -4.2, 5.0]),
    ("left_thumb3", [-2.7, -2.6, 1.7]),
];
