//! Renders 3D Gaussian avatars and body meshes to colour, alpha and depth.
//!
//! | what | with |
//! | --- | --- |
//! | an avatar from a file, posed by a body | [`Avatar`] |
//! | Gaussians to a picture, on the CPU | [`SplatRenderer`] |
//! | a mesh to a shaded picture on black | [`MeshRenderer`] |
//! | either of them, on the GPU where there is one | [`Renderer`] (feature `gpu`) |
//!
//! Axes are OpenCV's: x right, y down, z forward; lengths are metres; pixel (i, j) is row j, column i, and buffers are
//! row-major. Dimension letters: G Gaussians, V vertices, H and W the picture.
//!
//! ```
//! use anicrafter_avatar_render::{Colors, Frame, Gaussians, SplatOptions, SplatRenderer, synthetic};
//!
//! // One red ball of 5 cm, two metres in front of the camera.
//! let ball = Gaussians {
//!     means: vec![[0.0, 0.0, 2.0]],
//!     scales: vec![[0.05; 3]],
//!     rotations: vec![[1.0, 0.0, 0.0, 0.0]],
//!     opacities: vec![0.9],
//!     colors: Colors::Rgb(vec![[1.0, 0.0, 0.0]]),
//! };
//! let camera = synthetic::camera(65, 65, 100.0)?;
//! let mut frame = Frame::new();
//! SplatRenderer::new().render(&ball, &camera, &SplatOptions::default(), &mut frame)?;
//! let middle = 32 * 65 + 32;
//! assert!((frame.alpha()[middle] - 0.9).abs() < 1e-4);
//! assert!((frame.mean_depth()[middle] - 2.0).abs() < 1e-4);
//! # Ok::<(), anicrafter_avatar_render::Error>(())
//! ```

pub mod avatar;
pub mod backend;
pub mod camera;
pub mod constants;
pub mod error;
pub mod frame;
pub mod gaussians;
#[cfg(feature = "gpu")]
pub mod gpu;
mod io;
pub mod mesh;
pub mod sh;
pub mod splat;
pub mod synthetic;
pub mod turntable;

pub use avatar::{Avatar, LhmBody};
pub use backend::{Renderer, RendererChoice};
pub use camera::Camera;
pub use error::{Error, Result};
pub use frame::{Frame, PixelRect};
pub use gaussians::{Colors, Gaussians};
pub use mesh::{Mesh, MeshFrame, MeshOptions, MeshRenderer};
pub use simd::Level;
pub use splat::{SplatOptions, SplatRenderer};
pub use turntable::Turntable;
