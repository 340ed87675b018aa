//! What can go wrong, one variant for each cause.

use thiserror::Error;

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be rendered, read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// An image without pixels, or one that is too large.
    #[error("image of {width}x{height} pixels: each side must be 1 to {max}", max = crate::constants::MAX_IMAGE_SIDE)]
    ImageSize {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// A camera with a number that isn't finite or a focal length that isn't positive.
    #[error("camera: {what} is {value}")]
    Camera {
        /// The quantity.
        what: &'static str,
        /// Its value.
        value: f32,
    },
    /// A column of another length than the positions.
    #[error("{field}: expected {expected} values, got {got}")]
    Length {
        /// The column.
        field: &'static str,
        /// How many values it should have.
        expected: usize,
        /// How many it has.
        got: usize,
    },
    /// A value that is NaN or infinite where the file format or the caller promises a number.
    #[error("{field} of element {index} is not finite")]
    NotFinite {
        /// The column.
        field: &'static str,
        /// The element.
        index: usize,
    },
    /// More Gaussians, vertices or triangles than indices of 32 bits can name.
    #[error("{what}: {count} is more than this crate can index")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
    },
    /// Spherical harmonics of a degree that isn't supported.
    #[error("spherical harmonics of degree {degree}: 0 to 3 are supported")]
    ShDegree {
        /// The degree.
        degree: u8,
    },
}
