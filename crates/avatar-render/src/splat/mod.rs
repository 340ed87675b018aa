//! Gaussian splatting on the CPU.
//!
//! The stages, each a file: [`project`](project()) every Gaussian to the image, order them by depth, bin them into
//! bands of tiles, composite each tile front to back. [`mod@reference`] states the same without any trick; the fast
//! path is compared with it.

mod band;
mod project;
pub mod reference;
mod renderer;
mod sort;
mod tile;

pub use project::{Projected, TileRect, project};
pub use renderer::SplatRenderer;

/// How to splat.
#[derive(Clone, Debug, PartialEq)]
pub struct SplatOptions {
    /// Colour behind everything.
    pub background: [f32; 3],
    /// Multiplies every scale.
    pub scale_modifier: f32,
    /// Also count the Gaussians blended into each pixel.
    pub contributors: bool,
}

impl Default for SplatOptions {
    fn default() -> Self {
        Self { background: [0.0; 3], scale_modifier: 1.0, contributors: false }
    }
}
