//! Skinning points that aren't the body's own vertices: a Gaussian avatar, a garment.
//!
//! The chain of LHM and AniCrafter: an avatar's points are stored in a *neutral* pose (hips turned out by 20 degrees).
//! Each point follows a vertex of the body. It goes by that vertex's blend of the 55 neutral→zero transforms to the
//! zero pose, is moved there by the shape directions of its vertex, and goes by the same weights to the frame's pose.
//! There are no pose correctives. The joints are those of the **shaped** zero pose.

mod binding;
mod kd_tree;
mod lhm;
mod proportions;
mod retarget;
mod skin;
mod surface;

pub use binding::PointBinding;
pub use kd_tree::KdTree;
pub use lhm::{constrained_vertices, ply_points};
pub use proportions::with_proportions;
pub use retarget::{Retarget, fit_proportions};
pub use skin::{AvatarPoints, PointFrame, PointSkin, PosedPoints, neutral_pose, neutral_to_zero};
pub use surface::{SurfaceHit, SurfaceTree};
