//! What can go wrong.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option has a value that makes no sense.
    #[error("{option} is {value}, not {allowed}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What it was.
        value: f32,
        /// What it may be.
        allowed: &'static str,
    },
    /// Two things that belong together differ in length or size.
    #[error("{what}: {expected} expected, {found} found")]
    Length {
        /// What was looked at.
        what: &'static str,
        /// What it should have been.
        expected: usize,
        /// What it was.
        found: usize,
    },
    /// A picture of the surroundings can't be used.
    #[error("{}: {why}", path.display())]
    Environment {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Too little of the person was seen to tell the light.
    #[error("the light can't be told: {seen} places of the body were seen, {needed} are needed")]
    TooLittle {
        /// How many were seen.
        seen: usize,
        /// How many are needed.
        needed: usize,
    },
    /// The body.
    #[error(transparent)]
    Body(#[from] smplx::Error),
    /// A renderer.
    #[error(transparent)]
    Render(#[from] avatar_render::Error),
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

/// Refuses a number outside of its range.
pub(crate) fn in_range(
    option: &'static str,
    value: f32,
    range: std::ops::RangeInclusive<f32>,
    allowed: &'static str,
) -> Result<()> {
    if range.contains(&value) { Ok(()) } else { Err(Error::Option { option, value, allowed }) }
}

/// Refuses lengths that differ.
pub(crate) fn same_length(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Length { what, expected, found }) }
}
