//! SMPL-X's 55 joints: names, parents, which of MakeHuman's bones belong to each, and where each lies on the rig.
//!
//! Names, order and parents are those of SMPL-X, since its poses are indexed by them. The joints of MakeHuman's rig
//! lie elsewhere for the pelvis, the hips, the spine and the collars (its spine bends at the back of the vertebrae, its
//! thighs at the outer hip), so those are moved by constants given in [`OFFSETS`].

use std::collections::BTreeMap;

use crate::Point;
use crate::error::Error;
use crate::rig::Rig;

/// Number of joints.
pub const JOINTS: usize = 55;

/// Names of the joints.
pub const NAMES: [&str; JOINTS] = [
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "jaw",
    "left_eye_smplhf",
    "right_eye_smplhf",
    "left_index1",
    "left_index2",
    "left_index3",
    "left_middle1",
    "left_middle2",
    "left_middle3",
    "left_pinky1",
    "left_pinky2",
    "left_pinky3",
    "left_ring1",
    "left_ring2",
    "left_ring3",
    "left_thumb1",
    "left_thumb2",
    "left_thumb3",
    "right_index1",
    "right_index2",
    "right_index3",
    "right_middle1",
    "right_middle2",
    "right_middle3",
    "right_pinky1",
    "right_pinky2",
    "right_pinky3",
    "right_ring1",
    "right_ring2",
    "right_ring3",
    "right_thumb1",
    "right_thumb2",
    "right_thumb3",
];

/// Parent of each joint; -1 for the pelvis.
pub const PARENTS: [i16; JOINTS] = [
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15, 20, 25, 26, 20, 28,
    29, 20, 31, 32, 20, 34, 35, 20, 37, 38, 21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53,
];

/// The committed table: bone name to joint name.
const BONE_TABLE: &str = include_str!("../data/bone_to_joint.json");

/// Number of a joint by name.
#[must_use]
pub fn joint(name: &str) -> Option<usize> {
    NAMES.iter().position(|n| *n == name)
}

/// The joint on the other side; a joint of the middle is its own mirror image.
#[must_use]
pub fn mirror(j: usize) -> usize {
    let other = match NAMES[j].split_once('_') {
        Some(("left", rest)) => joint(&format!("right_{rest}")),
        Some(("right", rest)) => joint(&format!("left_{rest}")),
        _ => None,
    };
    other.unwrap_or(j)
}

/// For each bone of the rig the joint that moves it.
///
/// # Errors
/// A bone of the rig is not in the committed table.
pub fn joint_of_bones(rig: &Rig) -> Result<Vec<usize>, Error> {
    let file = "data/bone_to_joint.json";
    let table: BTreeMap<String, String> =
        serde_json::from_str(BONE_TABLE).map_err(|source| Error::Json { entry: file.to_owned(), source })?;
    rig.bones
        .iter()
        .map(|bone| {
            table
                .get(&bone.name)
                .and_then(|name| joint(name))
                .ok_or_else(|| Error::malformed(file, &bone.name, "one of the 55 joints", "no entry"))
        })
        .collect()
}

/// A joint's place: a weighted sum of bone heads (weights sum to one).
#[derive(Clone, Debug)]
pub struct JointRule {
    heads: Vec<(usize, f64)>,
    /// Added to the sum, as a share of the skeleton's size (see [`size`]).
    offset: Point,
}

impl JointRule {
    /// The joint on a body whose bone heads and size are given.
    #[must_use]
    pub fn at(&self, heads: &[Point], size: f64) -> Point {
        self.heads.iter().map(|&(b, w)| heads[b] * w).sum::<Point>() + self.offset * size
    }
}

/// Height of the eyes above the ankles, which the offsets scale with, in metres.
#[must_use]
pub fn size(rig: &Rig, heads: &[Point]) -> f64 {
    let height = |name: &str| rig.bone(name).map_or(0.0, |b| heads[b].y);
    height("eye.L") - height("foot.L")
}

/// Offsets of joints from their bone heads, in metres on the mean body, left side; x is mirrored for the right.
///
/// SMPL-X's pelvis lies lower and further forward than MakeHuman's, its hips closer together, its spine and neck further
/// forward in the body. Fitted together with the [proportions](crate::proportions), from the same prototype.
pub const OFFSETS: [(&str, [f64; 3]); 7] = [
    ("pelvis", [0.0, -0.0102, 0.0627]),
    ("left_hip", [-0.0514, -0.0215, 0.0077]),
    ("spine1", [0.0, 0.0024, 0.0289]),
    ("spine2", [0.0, 0.0018, 0.0324]),
    ("spine3", [0.0, -0.0184, 0.0468]),
    ("neck", [0.0, -0.04, 0.015]),
    ("left_collar", [0.0305, 0.0006, 0.0285]),
];

/// The mean body's size in the sense of [`size`], which the offsets were measured at, in metres.
const MEAN_SIZE: f64 = 1.5361;

/// Heads whose mean is a joint, left side; `.L` becomes `.R` on the right.
const HEADS: [(&str, &[(&str, f64)]); 16] = [
    ("pelvis", &[("spine04", 1.0)]),
    ("left_hip", &[("upperleg01.L", 1.0)]),
    ("spine1", &[("spine03", 0.5), ("spine02", 0.5)]),
    ("spine2", &[("spine02", 0.4), ("spine01", 0.6)]),
    ("spine3", &[("spine01", 1.0)]),
    ("neck", &[("neck01", 1.0)]),
    ("head", &[("head", 1.0)]),
    ("jaw", &[("jaw", 1.0)]),
    ("left_eye_smplhf", &[("eye.L", 1.0)]),
    ("left_collar", &[("clavicle.L", 0.55), ("spine01", 0.45)]),
    ("left_shoulder", &[("upperarm01.L", 1.0)]),
    ("left_elbow", &[("lowerarm01.L", 1.0)]),
    ("left_wrist", &[("wrist.L", 1.0)]),
    ("left_knee", &[("lowerleg01.L", 1.0)]),
    ("left_ankle", &[("foot.L", 1.0)]),
    (
        "left_foot",
        &[("toe1-1.L", 0.2), ("toe2-1.L", 0.2), ("toe3-1.L", 0.2), ("toe4-1.L", 0.2), ("toe5-1.L", 0.2)],
    ),
];

/// Rule of each joint for a rig.
///
/// # Errors
/// The rig lacks a bone.
pub fn joint_rules(rig: &Rig) -> Result<Vec<JointRule>, Error> {
    let bone = |name: &str| {
        rig.bone(name)
            .ok_or_else(|| Error::malformed("rig.default.json", name, "a bone", "none of that name"))
    };
    NAMES
        .iter()
        .map(|&name| {
            let right = name.starts_with("right_");
            let left_name = name.replace("right_", "left_");
            let side = |bone: &str| if right { bone.replace(".L", ".R") } else { bone.to_owned() };
            let heads = match finger_bone(&left_name) {
                Some(finger) => vec![(bone(&side(&finger))?, 1.0)],
                None => HEADS
                    .iter()
                    .find(|(n, _)| *n == left_name)
                    .map_or(&[][..], |(_, heads)| heads)
                    .iter()
                    .map(|&(b, w)| Ok((bone(&side(b))?, w)))
                    .collect::<Result<_, Error>>()?,
            };
            let mut offset = OFFSETS
                .iter()
                .find(|(n, _)| *n == left_name)
                .map_or(Point::zeros(), |&(_, o)| Point::from(o));
            if right {
                offset.x = -offset.x;
            }
            Ok(JointRule { heads, offset: offset / MEAN_SIZE })
        })
        .collect()
}

/// `left_index2` is bone `finger2-2.L`: the thumb is MakeHuman's finger 1, the little finger 5.
fn finger_bone(name: &str) -> Option<String> {
    let rest = name.strip_prefix("left_")?;
    let finger = ["thumb", "index", "middle", "ring", "pinky"].iter().position(|f| rest.starts_with(f))?;
    Some(format!("finger{}-{}.L", finger + 1, &rest[rest.len() - 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_first_and_mirror_like_the_names() {
        for j in 1..JOINTS {
            assert!((PARENTS[j] as usize) < j);
            assert_eq!(PARENTS[mirror(j)] as usize, mirror(PARENTS[j] as usize));
            assert_eq!(mirror(mirror(j)), j);
        }
    }

    #[test]
    fn fingers_are_numbered_from_the_thumb() {
        assert_eq!(finger_bone("left_pinky3").as_deref(), Some("finger5-3.L"));
        assert_eq!(finger_bone("left_wrist"), None);
    }
}
