//! SMPL-X body model in plain Rust: posing, skinning of arbitrary points, motion files, cameras, mesh export.
//!
//! [`BodyModel`] loads a body and poses it; [`PointSkin`] moves the points of an avatar with it; [`Motion`] holds poses and
//! cameras over time; [`export`] writes OBJ, PLY and glTF. Everything is plain slices of `f32` on the CPU: no tensor library
//! and no renderer. Lengths are metres, angles radians, quaternions (w, x, y, z), matrices row major.
//!
//! ```
//! use anicrafter_smplx::{BodyModel, Frame, Rotations, synthetic};
//!
//! // A random body of 120 vertices; `BodyModel::open` reads real ones.
//! let size = synthetic::Size { n_vertices: 120, ..synthetic::Size::OFFICIAL };
//! let model: BodyModel = synthetic::body(size, 1);
//! let rest = model.forward(&Frame::REST)?;
//! assert!((rest.vertices[7][1] - model.v_template()[7][1]).abs() < 1e-6);
//!
//! // Half a turn of the root about y, two metres forward: z is mirrored about the pelvis.
//! let mut pose = [[0.0; 3]; 55];
//! pose[0] = [0.0, std::f32::consts::PI, 0.0];
//! let frame = Frame { rotations: Rotations::AxisAngle(&pose), translation: [0.0, 0.0, 2.0], ..Frame::REST };
//! let turned = model.forward(&frame)?;
//! let pelvis = rest.joints.positions[0][2];
//! let expected = 2.0 * pelvis - rest.vertices[7][2] + 2.0;
//! assert!((turned.vertices[7][2] - expected).abs() < 1e-5);
//! # Ok::<(), anicrafter_smplx::Error>(())
//! ```
//!
//! # Cost
//!
//! For V = 10,475 vertices and 55 joints:
//!
//! | work | floor |
//! | --- | --- |
//! | one frame | reading the pose correctives once: 486 × 31,440 × 4 = 61.1 MB (25.5 GB/s for 2.4 ms), 32 MFLOP |
//! | 81 frames | 2 × 81 × 486 × 31,440 = 2.48 GFLOP (5.3 ms at two cores' peak of 466 GFLOP/s with AVX-512), 10.2 MB written |
//! | memory | 61.1 MB of correctives + 0.13 MB for each shape and expression component (50.3 MB for all 400) |
//!
//! Columns of the correctives that are zero everywhere are dropped when a body is loaded: a body whose correctives touch
//! only four joints keeps 36 of 486 columns and poses a frame in a fraction of that. Measured figures come from
//! `cargo bench -p anicrafter-smplx` (`smplx_forward/1`, `smplx_forward/81`, `skin_points/40000`).

mod affine;
mod blocks;
pub mod camera;
mod error;
pub mod export;
mod forward;
mod kinematics;
mod landmarks;
mod lanes;
mod load;
mod model;
mod motion;
mod point_loop;
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
pub use motion::{
    CameraFile, Gaps, Loop, Motion, MotionFrame, OpenOptions, Opened, REST_PELVIS, Stance, View,
};
pub use points::{
    AvatarPoints, KdTree, PointBinding, PointFrame, PointSkin, PosedPoints, Retarget, SurfaceHit,
    SurfaceTree, constrained_vertices, fit_proportions, neutral_pose, neutral_to_zero, ply_points,
    with_proportions,
};
pub use pose::{BodyPose, HandMean, Side};
pub use skeleton::{EXTRA_JOINT_NAMES, JOINT_NAMES, N_JOINTS, PARENTS};
pub use weights::{SparseWeights, VertexWeight};
