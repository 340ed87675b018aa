//! What a body is likely to do when landmarks don't say: a reference rotation, how far each axis may be from it, how fast it
//! may change, and hinges that bend one way only.

use super::math::V3;
use super::rig::JOINTS;

/// What is expected of a joint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Axis-angle.
    pub reference: V3,
    /// Radians about each axis.
    pub spread: V3,
    /// Radians that the change from frame to frame may itself change by, at 20 frames a second.
    pub jerk: f64,
}

/// A hinge: an axis, and the angles it allows.
pub(crate) const HINGES: [(usize, usize, [f64; 2]); 4] =
    [(18, 1, [-2.6, 0.0]), (19, 1, [0.0, 2.6]), (4, 0, [0.0, 2.6]), (5, 0, [0.0, 2.6])];

/// How firmly hinges refuse, in radians.
pub(crate) const HINGE_SPREAD: f64 = 0.05;

const fn expected(reference: V3, spread: V3, jerk: f64) -> Expected {
    Expected { reference, spread, jerk }
}

/// A trunk whose hips aren't seen is upright, to within these radians.
pub(crate) const UPRIGHT_SPREAD: f64 = 0.25;
/// How much nearer to the reference joints stay that nobody sees, and radians by which they move from frame to frame.
pub(crate) const UNSEEN: (f64, f64) = (3.0, 0.02);

/// Every joint in the order of SMPL-X.
pub(crate) const EXPECTED: [Expected; JOINTS] = [
    expected([0.0; 3], [f64::INFINITY; 3], 0.05),
    expected([-0.05, 0.0, 0.05], [0.6, 0.35, 0.3], 0.10),
    expected([-0.05, 0.0, -0.05], [0.6, 0.35, 0.3], 0.10),
    expected([0.05, 0.0, 0.0], [0.15, 0.15, 0.12], 0.03),
    expected([0.15, 0.0, 0.0], [0.8, 0.1, 0.1], 0.12),
    expected([0.15, 0.0, 0.0], [0.8, 0.1, 0.1], 0.12),
    expected([0.0; 3], [0.15, 0.15, 0.12], 0.03),
    expected([0.0; 3], [0.3, 0.2, 0.2], 0.10),
    expected([0.0; 3], [0.3, 0.2, 0.2], 0.10),
    expected([0.0; 3], [0.12, 0.12, 0.1], 0.03),
    expected([0.0; 3], [0.2, 0.1, 0.1], 0.10),
    expected([0.0; 3], [0.2, 0.1, 0.1], 0.10),
    expected([0.0; 3], [0.3, 0.35, 0.25], 0.05),
    expected([0.0; 3], [0.15, 0.2, 0.2], 0.05),
    expected([0.0; 3], [0.15, 0.2, 0.2], 0.05),
    expected([0.05, 0.0, 0.0], [0.3, 0.35, 0.25], 0.05),
    expected([0.0, -0.2, -1.0], [0.7, 0.9, 0.8], 0.10),
    expected([0.0, 0.2, 1.0], [0.7, 0.9, 0.8], 0.10),
    expected([0.0, -0.5, 0.0], [0.4, 1.5, 0.2], 0.14),
    expected([0.0, 0.5, 0.0], [0.4, 1.5, 0.2], 0.14),
    expected([0.0; 3], [0.5, 0.3, 0.4], 0.10),
    expected([0.0; 3], [0.5, 0.3, 0.4], 0.10),
];

/// The same for the whole body's place: metres across, down and away.
pub(crate) const TRANSLATION_JERK: V3 = [0.02, 0.02, 0.03];
