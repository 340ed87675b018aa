//! What can go wrong, one variant for each cause.

use std::path::PathBuf;
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
    /// A file could not be read or written.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something is wrong with this file.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Self>,
    },
    /// A file that is something else.
    #[error("this is {found}, not an avatar; {advice}")]
    NotAnAvatar {
        /// What it is.
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// A damaged `.spz`.
    #[error("spz: {what}")]
    Spz {
        /// What is wrong with it.
        what: String,
    },
    /// A name to write to whose ending says no format that this crate writes.
    #[error("{}: avatars are written as .ply or .safetensors", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A container that can't be parsed.
    #[error(transparent)]
    Container(#[from] tensorfile::Error),
    /// The body model refused what it was given.
    #[error(transparent)]
    Body(#[from] smplx::Error),
    /// A pickle that isn't the list LHM writes.
    #[error("LHM avatar: {what}")]
    Lhm {
        /// What is missing or wrong.
        what: String,
    },
    /// A `.ply` that isn't one of Gaussians, or is damaged.
    #[error(transparent)]
    Ply(#[from] tensorfile::ply::PlyError),
    /// A `.ply` whose properties `f_rest_*` make no degree of spherical harmonics.
    #[error("ply: {found} properties f_rest_*, not 0, 9, 24 or 45")]
    HarmonicCount {
        /// How many there are.
        found: usize,
    },
    /// A safetensors file whose metadata isn't that of an avatar.
    #[error("safetensors avatar: {what}")]
    Metadata {
        /// What is wrong.
        what: String,
    },
    /// A tensor of another shape than the format says.
    #[error("tensor {tensor:?}: expected shape {expected}, got {got:?}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// What it should be; letters stand for any length.
        expected: &'static str,
        /// What it is.
        got: Vec<usize>,
    },
    /// An avatar without what LHM stores beside the Gaussians can't be posed by a body.
    #[error(
        "this avatar has no body data (query points and neutral transforms): it can be drawn but not posed"
    )]
    NoBody,
    /// Nothing is there to be looked at.
    #[error("this avatar has no Gaussians, or none that is anywhere")]
    Empty,
    /// A triangle that names a vertex that doesn't exist.
    #[error("triangle {face} names vertex {vertex} of {vertices}")]
    Face {
        /// The triangle.
        face: usize,
        /// The vertex it names.
        vertex: u32,
        /// How many vertices there are.
        vertices: usize,
    },
    /// A back end that isn't there.
    #[error("no {wanted} renderer: {why}")]
    NoRenderer {
        /// What was asked for.
        wanted: &'static str,
        /// Why it can't be had.
        why: String,
    },
    /// The GPU failed during a frame.
    #[error("gpu: {what}")]
    Gpu {
        /// What it said.
        what: String,
    },
}
