//! The numbers that decide what a Gaussian contributes, in one place for the CPU code and the shaders.
//!
//! They are those of the CUDA rasterizer that LHM and AniCrafter use
//! (`ashawkey/diff-gaussian-rasterization`, commit 8829d14, `cuda_rasterizer/{auxiliary.h,forward.cu}`).

/// Side of a square tile in pixels. A Gaussian is cut at the border of the tiles that its rectangle covers.
pub const TILE: usize = 16;
/// Gaussians at or in front of this view depth are dropped, in metres.
pub const NEAR_CULL: f32 = 0.2;
/// Added to the diagonal of the projected covariance, in square pixels.
pub const LOW_PASS: f32 = 0.3;
/// A Gaussian reaches this many standard deviations of its longest axis.
pub const RADIUS_SIGMAS: f32 = 3.0;
/// Lower bound under the root of the projected covariance's eigenvalues.
pub const EIGEN_FLOOR: f32 = 0.1;
/// The Jacobian is evaluated no further out than this many half fields of view.
pub const FOV_CLAMP: f32 = 1.3;
/// Keeps the perspective division finite.
pub const W_EPSILON: f32 = 1e-7;
/// Largest opacity of one Gaussian at one pixel.
pub const MAX_ALPHA: f32 = 0.99;
/// Contributions below this opacity are skipped.
pub const MIN_ALPHA: f32 = 1.0 / 255.0;
/// A pixel stops before the Gaussian that would bring its transmittance below this.
pub const MIN_TRANSMITTANCE: f32 = 1e-4;
/// Longest side of an image, in pixels.
pub const MAX_IMAGE_SIDE: usize = 16_384;
