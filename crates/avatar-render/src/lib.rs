//! Renders 3D Gaussian avatars and body meshes.

pub mod camera;
pub mod constants;
pub mod error;
pub mod frame;
pub mod gaussians;
pub mod sh;
pub mod splat;

pub use camera::Camera;
pub use error::{Error, Result};
pub use frame::{Frame, PixelRect};
pub use gaussians::{Colors, Gaussians};
pub use splat::{CpuIsa, SplatOptions, SplatRenderer};
