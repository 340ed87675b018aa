//! Skinning weights over SMPL-X's joints, and linear blend skinning with them.

use crate::Point;
use crate::makehuman::MakeHuman;
use crate::repose::Rigid;
use crate::skeleton::{JOINTS, PARENTS};
use nalgebra::Rotation3;

/// Weights kept of each vertex.
pub const SLOTS: usize = 6;

/// The sum of a vertex' weights in steps.
pub const STEPS: u32 = 255;

/// Weights of one vertex in steps of 1/255, by falling weight; they sum to 255.
pub type VertexWeights = [(u8, u8); SLOTS];

/// Sums the rig's weights over the bones of each joint, keeps the largest six and rounds them to 1/255.
#[must_use]
pub fn merge_weights(human: &MakeHuman) -> Vec<VertexWeights> {
    human
        .mesh
        .kept
        .iter()
        .map(|&v| {
            let mut merged = [0.0; JOINTS];
            for &(bone, weight) in &human.rig.weights[v] {
                merged[human.joint_of_bone[bone]] += weight;
            }
            round_weights(&merged)
        })
        .collect()
}

/// Largest-remainder rounding of the largest six weights.
fn round_weights(weights: &[f64; JOINTS]) -> VertexWeights {
    let mut order: Vec<usize> = (0..JOINTS).filter(|&j| weights[j] > 0.0).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
    order.truncate(SLOTS);
    let sum: f64 = order.iter().map(|&j| weights[j]).sum();
    let exact: Vec<f64> = order.iter().map(|&j| weights[j] / sum * f64::from(STEPS)).collect();
    let mut steps: Vec<u32> = exact.iter().map(|x| x.floor() as u32).collect();
    let mut by_remainder: Vec<usize> = (0..steps.len()).collect();
    by_remainder.sort_by(|&a, &b| (exact[b].fract()).total_cmp(&exact[a].fract()).then(a.cmp(&b)));
    let missing = STEPS.saturating_sub(steps.iter().sum());
    for &slot in by_remainder.iter().cycle().take(missing as usize) {
        steps[slot] += 1;
    }
    let mut result = [(0, 0); SLOTS];
    let mut nonzero: Vec<(u8, u8)> =
        order.iter().zip(&steps).filter(|&(_, &s)| s > 0).map(|(&j, &s)| (j as u8, s as u8)).collect();
    nonzero.sort_by_key(|&(j, s)| (std::cmp::Reverse(s), j));
    result[..nonzero.len()].copy_from_slice(&nonzero);
    result
}

/// Motion of each joint from the rest pose to a pose given by a rotation per joint.
#[must_use]
pub fn chain(joints: &[Point], rotations: &[Rotation3<f64>]) -> Vec<Rigid> {
    let mut motions: Vec<Rigid> = Vec::with_capacity(JOINTS);
    for j in 0..JOINTS {
        let (rotation, at) = match usize::try_from(PARENTS[j]) {
            Ok(p) => (motions[p].rotation * rotations[j], motions[p].apply(&joints[j])),
            Err(_) => (rotations[j], joints[j]),
        };
        motions.push(Rigid { rotation, translation: at - rotation * joints[j] });
    }
    motions
}

/// Blended motion of a vertex as a 3x4 matrix.
#[must_use]
pub fn blend(weights: &VertexWeights, motions: &[Rigid]) -> (nalgebra::Matrix3<f64>, Point) {
    let mut linear = nalgebra::Matrix3::zeros();
    let mut shift = Point::zeros();
    for &(j, w) in weights.iter().filter(|(_, w)| *w > 0) {
        let (motion, w) = (&motions[usize::from(j)], f64::from(w) / f64::from(STEPS));
        linear += motion.rotation.matrix() * w;
        shift += motion.translation * w;
    }
    (linear, shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_weights_sum_to_255_and_fall() {
        let mut weights = [0.0; JOINTS];
        for (j, w) in weights.iter_mut().enumerate().take(9) {
            *w = 1.0 / (3.0 + j as f64);
        }
        let rounded = round_weights(&weights);
        assert_eq!(rounded.iter().map(|&(_, w)| u32::from(w)).sum::<u32>(), 255);
        assert!(rounded.windows(2).all(|w| w[0].1 >= w[1].1));
        assert_eq!(rounded[0].0, 0);
    }

    #[test]
    fn no_rotation_moves_nothing() {
        let joints: Vec<Point> = (0..JOINTS).map(|j| Point::new(j as f64, 1.0, -2.0)).collect();
        let motions = chain(&joints, &[Rotation3::identity(); JOINTS]);
        assert!(motions.iter().all(|m| m.translation.norm() < 1e-12));
    }
}
