//! SMPL-X body model in plain Rust.

mod affine;
pub mod camera;
mod error;
mod forward;
mod kernel_blocks;
mod kinematics;
mod landmarks;
mod lanes;
mod load;
mod model;
mod motion;
mod points;
mod pose;
pub mod rotation;
pub mod skeleton;
pub mod synthetic;
mod weights;

pub use affine::{
    AFFINE_IDENTITY, Affine, affine, affine_from_4x4, affine_to_4x4, compose, invert_rigid, linear,
    transform_point,
};
pub use camera::{Camera, CameraMatrices};
pub use error::{Error, Result};
pub use forward::{Frame, Posed};
pub use kinematics::{PosedJoints, Rotations, pose_joints, world_rotation};
pub use landmarks::{FaceContour, SurfacePoints};
pub use load::LoadOptions;
pub use model::{BodyArrays, BodyModel, Hand, JointSource};
pub use motion::{Gaps, Loop, Motion, MotionFrame};
pub use points::{
    AvatarPoints, KdTree, PointBinding, PointFrame, PointSkin, PosedPoints, Retarget, SurfaceHit,
    SurfaceTree, constrained_vertices, fit_proportions, neutral_pose, neutral_to_zero, ply_points,
};
pub use pose::{BodyPose, HandMean, Side};
pub use skeleton::{EXTRA_JOINT_NAMES, JOINT_NAMES, N_JOINTS, PARENTS};
pub use weights::{SparseWeights, VertexWeight};
