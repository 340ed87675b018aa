//! The 55 joints of SMPL-X: order, names, parents, and where each part of the pose lies.

use std::ops::Range;

/// J: number of joints.
pub const N_JOINTS: usize = 55;
/// Number of joints of the pose correctives: all but the root.
pub const N_POSE_JOINTS: usize = N_JOINTS - 1;
/// P: number of pose-corrective columns, nine for each joint but the root.
pub const N_POSE_FEATURES: usize = N_POSE_JOINTS * 9;
/// Joints of one hand.
pub const N_HAND_JOINTS: usize = 15;
/// Joints of the body without the root.
pub const N_BODY_JOINTS: usize = 21;

/// The root joint.
pub const PELVIS: usize = 0;
/// The left hip: first joint of `body_pose`.
pub const LEFT_HIP: usize = 1;
/// The right hip.
pub const RIGHT_HIP: usize = 2;
/// The neck.
pub const NECK: usize = 12;
/// The left shoulder.
pub const LEFT_SHOULDER: usize = 16;
/// The right shoulder.
pub const RIGHT_SHOULDER: usize = 17;
/// The jaw.
pub const JAW: usize = 22;
/// The left eye.
pub const LEFT_EYE: usize = 23;
/// The right eye.
pub const RIGHT_EYE: usize = 24;
/// The joints of `body_pose`.
pub const BODY: Range<usize> = 1..22;
/// The joints of the left hand: index, middle, pinky, ring, thumb, three each.
pub const LEFT_HAND: Range<usize> = 25..40;
/// The joints of the right hand, in the same order.
pub const RIGHT_HAND: Range<usize> = 40..55;

/// Parent of each joint; `None` for the root. Every parent comes before its children.
///
/// Source: `kintree_table` of the published SMPL-X model files.
pub const PARENTS: [Option<u8>; N_JOINTS] = {
    const RAW: [i8; N_JOINTS] = [
        -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15, 20, 25, 26, 20,
        28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38, 21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52,
        53,
    ];
    let mut parents = [None; N_JOINTS];
    let mut j = 1;
    while j < N_JOINTS {
        parents[j] = Some(RAW[j] as u8);
        j += 1;
    }
    parents
};

/// Name of each joint, as in the `smplx` Python package.
pub const JOINT_NAMES: [&str; N_JOINTS] = [
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

/// Name of each of the 21 extra joints that the Python package appends to the 55: surface vertices.
pub const EXTRA_JOINT_NAMES: [&str; 21] = [
    "nose",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
    "left_thumb",
    "left_index",
    "left_middle",
    "left_ring",
    "left_pinky",
    "right_thumb",
    "right_index",
    "right_middle",
    "right_ring",
    "right_pinky",
];

/// The vertices of the extra joints on the official topology of 10,475 vertices.
///
/// Source: the vertex table of the `smplx` Python package 0.1.28, in the order in which it appends them.
pub const OFFICIAL_EXTRA_VERTICES: [u32; 21] = [
    9120, 9929, 9448, 616, 6, 5770, 5780, 8846, 8463, 8474, 8635, 5361, 4933, 5058, 5169, 5286, 8079, 7669,
    7794, 7905, 8022,
];

/// V of the official topology.
pub const OFFICIAL_N_VERTICES: usize = 10_475;
