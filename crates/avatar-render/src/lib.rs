//! Renders 3D Gaussian avatars and body meshes.

pub mod avatar;
pub mod camera;
pub mod constants;
pub mod error;
pub mod frame;
pub mod gaussians;
mod io;
pub mod mesh;
pub mod sh;
pub mod splat;
pub mod synthetic;

pub use avatar::{Avatar, LhmBody};
pub use camera::Camera;
pub use error::{Error, Result};
pub use frame::{Frame, PixelRect};
pub use gaussians::{Colors, Gaussians};
pub use mesh::{Mesh, MeshFrame, MeshOptions, MeshRenderer};
pub use splat::{CpuIsa, SplatOptions, SplatRenderer};
