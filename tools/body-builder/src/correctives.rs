//! Pose correctives: with the arms lowered, return to the shoulders and elbows that MakeHuman's artists sculpted.
//!
//! The rest pose was skinned out of the sculpted A-pose, and skinning back with the 55 merged joints does not quite
//! give the A-pose again. The difference is what a corrective should add when shoulder and elbow are turned as in
//! the A-pose. As in SMPL-X, correctives are linear in the entries of R - I of each joint; with D the wanted offset and
//! E the matrix R - I of the A-pose, the column of entry k is `D * E_k / |E|²`, which gives D exactly in the A-pose,
//! nothing in the rest pose, and a share by similarity elsewhere.

use nalgebra::{Matrix3, Rotation3};

use crate::Point;
use crate::error::Error;
use crate::makehuman::{MakeHuman, RestBody};
use crate::repose::Rigid;
use crate::rig::Rig;
use crate::skeleton::{self, JOINTS, PARENTS};
use crate::skin::{self, STEPS, VertexWeights};

/// Offsets below this are left out, in metres.
const SMALLEST: f64 = 3e-4;

/// Offsets above this are cut: they come from vertices where blending is nearly singular, in metres.
const LARGEST: f64 = 0.012;

/// Columns whose entry of E is below this share of |E| are left out.
const SMALLEST_ENTRY: f64 = 0.05;

/// A column of the pose correctives.
#[derive(Clone, Debug)]
pub struct PoseColumn {
    /// Number among the 486 columns: (joint - 1) * 9 + entry of R - I, row by row.
    pub column: usize,
    /// Vertices, ascending, and their offsets, in metres.
    pub offsets: Vec<(usize, Point)>,
}

/// An arm's joints and the rotations that take the rest pose to MakeHuman's A-pose.
struct Arm {
    shoulder: usize,
    elbow: usize,
    rotations: [Rotation3<f64>; 2],
    /// First bones: of the collar's end, the upper arm, the forearm.
    bones: [usize; 3],
}

/// The correctives of the shoulders and elbows, ascending by column.
///
/// # Errors
/// The rig lacks a bone of the arms.
pub fn columns(
    human: &MakeHuman,
    rest: &RestBody,
    weights: &[VertexWeights],
) -> Result<Vec<PoseColumn>, Error> {
    let arms = [arm(human, rest, "left", "L")?, arm(human, rest, "right", "R")?];
    let mut rotations = [Rotation3::identity(); JOINTS];
    let mut aimed = rest.motions.clone();
    for arm in &arms {
        rotations[arm.shoulder] = arm.rotations[0];
        rotations[arm.elbow] = arm.rotations[1];
        lower(&human.rig, arm.bones, &mut aimed);
    }
    let motions = skin::chain(&rest.joints, &rotations);

    let mut per_joint: Vec<Vec<(usize, Point)>> = vec![Vec::new(); JOINTS];
    for (v, vertex_weights) in weights.iter().enumerate() {
        let (linear, shift) = skin::blend(vertex_weights, &motions);
        let Some(back) = linear.try_inverse() else { continue };
        let target: Point = human.rig.weights[human.mesh.kept[v]]
            .iter()
            .map(|&(b, w)| aimed[b].apply(&rest.sculpted[v]) * w)
            .sum();
        let offset = back * (target - linear * rest.vertices[v] - shift);
        let offset = offset * (LARGEST / offset.norm().max(LARGEST));
        for arm in &arms {
            let [at_shoulder, at_elbow] = shares(arm, vertex_weights);
            for (joint, share) in [(arm.shoulder, at_shoulder), (arm.elbow, at_elbow)] {
                if (offset * share).norm() >= SMALLEST {
                    per_joint[joint].push((v, offset * share));
                }
            }
        }
    }

    let mut columns: Vec<PoseColumn> = (0..JOINTS)
        .filter(|&joint| !per_joint[joint].is_empty())
        .flat_map(|joint| spread(joint, &rotations[joint], &per_joint[joint]))
        .collect();
    columns.sort_by_key(|c| c.column);
    Ok(columns)
}

fn arm(human: &MakeHuman, rest: &RestBody, side: &str, suffix: &str) -> Result<Arm, Error> {
    let bone = |stem: &str| {
        let name = format!("{stem}.{suffix}");
        let missing = || Error::malformed("rig.default.json", &name, "a bone", "none of that name");
        human.rig.bone(&name).ok_or_else(missing)
    };
    let joint = |name: &str| {
        let name = format!("{side}_{name}");
        skeleton::joint(&name)
            .ok_or_else(|| Error::malformed("skeleton", &name, "a joint", "none of that name"))
    };
    let bones = [bone("shoulder01")?, bone("upperarm01")?, bone("lowerarm01")?];
    let [collar, upper, fore] = bones.map(|b| rest.motions[b].rotation);
    let (shoulder, elbow) = (collar * upper.inverse(), collar * fore.inverse());
    Ok(Arm {
        shoulder: joint("shoulder")?,
        elbow: joint("elbow")?,
        rotations: [shoulder, shoulder.inverse() * elbow],
        bones,
    })
}

/// Lets the bones of an arm follow the collar rigidly, as they do in the A-pose.
fn lower(rig: &Rig, [collar, upper, _]: [usize; 3], motions: &mut [Rigid]) {
    let mut in_arm = vec![false; rig.bones.len()];
    for (b, bone) in rig.bones.iter().enumerate() {
        in_arm[b] = b == upper || bone.parent.is_some_and(|p| in_arm[p]);
        if in_arm[b] {
            motions[b] = motions[collar];
        }
    }
}

/// How much of a vertex' offset the shoulder and the elbow take: the elbow what lies in its bend, the shoulder what
/// lies above. The forearm's twist belongs to neither.
fn shares(arm: &Arm, weights: &VertexWeights) -> [f64; 2] {
    let sum = |wanted: &dyn Fn(usize) -> bool| -> f64 {
        let steps = weights.iter().filter(|(j, _)| wanted(usize::from(*j))).map(|(_, w)| f64::from(*w));
        steps.sum::<f64>() / f64::from(STEPS)
    };
    let below_elbow = sum(&|j| is_below(j, arm.elbow));
    let upper = sum(&|j| j == arm.shoulder);
    let reach = sum(&|j| is_below(j, arm.shoulder));
    if reach == 0.0 {
        return [0.0, 0.0];
    }
    let elbow = (4.0 * upper * below_elbow).min(1.0);
    [(1.0 - elbow) * (1.0 - below_elbow), elbow]
}

/// Whether `j` is `ancestor` or hangs below it.
fn is_below(j: usize, ancestor: usize) -> bool {
    let mut at = j as i16;
    while at > ancestor as i16 {
        at = PARENTS[at as usize];
    }
    at == ancestor as i16
}

/// The columns of one joint for a wanted offset at one rotation.
fn spread(joint: usize, rotation: &Rotation3<f64>, offsets: &[(usize, Point)]) -> Vec<PoseColumn> {
    let entries: Matrix3<f64> = rotation.matrix() - Matrix3::identity();
    let square = entries.norm_squared();
    (0..9)
        .map(|k| (k, entries[(k / 3, k % 3)]))
        .filter(|(_, entry)| entry.abs() >= SMALLEST_ENTRY * square.sqrt())
        .map(|(k, entry)| PoseColumn {
            column: (joint - 1) * 9 + k,
            offsets: offsets.iter().map(|&(v, d)| (v, d * (entry / square))).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_give_the_offset_back_at_their_own_rotation() {
        let rotation = Rotation3::new(Point::new(0.1, -0.2, -0.8));
        let wanted = Point::new(0.004, -0.002, 0.001);
        let feature: Matrix3<f64> = rotation.matrix() - Matrix3::identity();
        let sum: Point = spread(16, &rotation, &[(3, wanted)])
            .iter()
            .map(|c| c.offsets[0].1 * feature[((c.column % 9) / 3, c.column % 3)])
            .sum();
        assert!((sum - wanted).norm() < 0.02 * wanted.norm(), "{sum}");
    }

    #[test]
    fn the_hand_hangs_below_the_elbow_and_the_head_does_not() {
        let joint = |name| skeleton::joint(name).unwrap();
        assert!(is_below(joint("left_index3"), joint("left_elbow")));
        assert!(!is_below(joint("head"), joint("left_elbow")));
        assert!(!is_below(joint("right_wrist"), joint("left_shoulder")));
    }
}
