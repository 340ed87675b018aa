//! The hands' mean pose and components, in SMPL-X's layout.
//!
//! MakeHuman has no collection of hand poses to take statistics from. The mean is the flat hand of the rest pose, and
//! the components are an orthonormal basis of all 45 numbers whose first six are useful alone, so that the usual six
//! coefficients close, spread and point a hand. They are this project's own, not SMPL-X's: coefficients made for
//! SMPL-X's hands mean something else here, joint rotations mean the same.

use crate::skeleton;

/// Numbers of a hand pose: 15 joints as axis times angle.
pub const ENTRIES: usize = 45;

/// Rows are orthonormal components.
pub type Components = Vec<[f64; ENTRIES]>;

/// A movement of the left hand: joints (`left_` left out) and how much each turns about x, y, z. In the rest pose the
/// left fingers point along x with the palm down, so a finger closes about -z and spreads about y.
type Movement = &'static [(&'static str, [f64; 3])];

const CLOSE: Movement = &[
    ("index1", [0.0, 0.0, -1.0]),
    ("index2", [0.0, 0.0, -1.0]),
    ("index3", [0.0, 0.0, -0.6]),
    ("middle1", [0.0, 0.0, -1.0]),
    ("middle2", [0.0, 0.0, -1.0]),
    ("middle3", [0.0, 0.0, -0.6]),
    ("ring1", [0.0, 0.0, -1.0]),
    ("ring2", [0.0, 0.0, -1.0]),
    ("ring3", [0.0, 0.0, -0.6]),
    ("pinky1", [0.0, 0.0, -1.0]),
    ("pinky2", [0.0, 0.0, -1.0]),
    ("pinky3", [0.0, 0.0, -0.6]),
];
const SPREAD: Movement = &[
    ("index1", [0.0, -1.0, 0.0]),
    ("middle1", [0.0, -0.3, 0.0]),
    ("ring1", [0.0, 0.4, 0.0]),
    ("pinky1", [0.0, 1.0, 0.0]),
];
const THUMB_ACROSS: Movement =
    &[("thumb1", [0.6, 0.6, 0.0]), ("thumb2", [0.0, 0.6, 0.0]), ("thumb3", [0.0, 0.6, 0.0])];
const POINT: Movement = &[
    ("index1", [0.0, 0.0, 1.0]),
    ("index2", [0.0, 0.0, 1.0]),
    ("index3", [0.0, 0.0, 0.6]),
    ("ring1", [0.0, 0.0, -0.5]),
    ("ring2", [0.0, 0.0, -0.5]),
    ("pinky1", [0.0, 0.0, -0.5]),
    ("pinky2", [0.0, 0.0, -0.5]),
];
const HOOK: Movement = &[
    ("index1", [0.0, 0.0, 1.0]),
    ("index2", [0.0, 0.0, -1.0]),
    ("index3", [0.0, 0.0, -1.0]),
    ("middle1", [0.0, 0.0, 1.0]),
    ("middle2", [0.0, 0.0, -1.0]),
    ("middle3", [0.0, 0.0, -1.0]),
    ("ring1", [0.0, 0.0, 1.0]),
    ("ring2", [0.0, 0.0, -1.0]),
    ("ring3", [0.0, 0.0, -1.0]),
    ("pinky1", [0.0, 0.0, 1.0]),
    ("pinky2", [0.0, 0.0, -1.0]),
    ("pinky3", [0.0, 0.0, -1.0]),
];
const THUMB_OUT: Movement = &[("thumb1", [0.0, 0.0, 1.0])];

const MOVEMENTS: [Movement; 6] = [CLOSE, SPREAD, THUMB_ACROSS, POINT, HOOK, THUMB_OUT];

/// Number of the first joint of the left hand.
const FIRST: usize = 25;

/// Components of the left and of the right hand; the right one's are mirror images.
#[must_use]
pub fn components() -> [Components; 2] {
    let unit = |k: usize| std::array::from_fn(|i| if i == k { 1.0 } else { 0.0 });
    let candidates = MOVEMENTS.iter().map(|m| entries(m)).chain((0..ENTRIES).map(unit));
    let mut left: Components = Vec::with_capacity(ENTRIES);
    for mut candidate in candidates {
        // Twice: once more removes what rounding left of the earlier components.
        for earlier in left.iter().chain(&left) {
            let along: f64 = candidate.iter().zip(earlier).map(|(a, b)| a * b).sum();
            candidate.iter_mut().zip(earlier).for_each(|(a, b)| *a -= along * b);
        }
        let norm = candidate.iter().map(|a| a * a).sum::<f64>().sqrt();
        if norm > 1e-3 && left.len() < ENTRIES {
            left.push(candidate.map(|a| a / norm));
        }
    }
    let right =
        left.iter().map(|row| std::array::from_fn(|i| if i % 3 == 0 { row[i] } else { -row[i] })).collect();
    [left, right]
}

fn entries(movement: Movement) -> [f64; ENTRIES] {
    let mut pose = [0.0; ENTRIES];
    for (name, turn) in movement {
        if let Some(j) = skeleton::joint(&format!("left_{name}")) {
            pose[(j - FIRST) * 3..][..3].copy_from_slice(turn);
        }
    }
    pose
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_an_orthonormal_basis() {
        for hand in components() {
            assert_eq!(hand.len(), ENTRIES);
            for (i, a) in hand.iter().enumerate() {
                for (j, b) in hand.iter().enumerate() {
                    let dot: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
                    assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-9, "{i} {j} {dot}");
                }
            }
        }
    }

    #[test]
    fn the_first_component_closes_the_left_hand_downwards() {
        let close = &components()[0][0];
        assert!(close[2] < 0.0 && close[0] == 0.0);
    }
}
