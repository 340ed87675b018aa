//! What can be wrong with the pictures, masks and planes that a caller hands in.

/// Why an operation on pictures or masks was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two pictures that must have the same size don't.
    #[error("{what} is {got:?} pixels (width, height), expected {expected:?}")]
    Size {
        /// What was measured.
        what: &'static str,
        /// Width and height that it should have.
        expected: (u32, u32),
        /// Width and height that it has.
        got: (u32, u32),
    },
    /// A plain buffer doesn't hold as many elements as its size asks for.
    #[error("{what} holds {got} elements, expected {expected}")]
    Length {
        /// What was counted.
        what: &'static str,
        /// Number of elements that it should hold.
        expected: usize,
        /// Number of elements that it holds.
        got: usize,
    },
    /// A picture has no pixels where at least one is needed.
    #[error("{what} has no pixels ({width}x{height})")]
    Empty {
        /// What is empty.
        what: &'static str,
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// A picture is too large to be addressed.
    #[error("{what} of {width}x{height} pixels is too large")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// The number of frames doesn't fit the operation.
    #[error("{what}: {got} frames, expected {expected}")]
    Frames {
        /// What was counted.
        what: &'static str,
        /// What would fit, in words.
        expected: String,
        /// Number of frames handed in.
        got: usize,
    },
    /// A parameter is outside its range or not a number.
    #[error("{name} is {value}, expected {expected}")]
    Parameter {
        /// The parameter's name.
        name: &'static str,
        /// What it may be, in words.
        expected: &'static str,
        /// What it is.
        value: String,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn same_size(what: &'static str, expected: (u32, u32), got: (u32, u32)) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Size { what, expected, got }) }
}

pub(crate) fn same_length(what: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Length { what, expected, got }) }
}

/// Checks a parameter that must be a finite number in `range`.
pub(crate) fn in_range(
    name: &'static str,
    value: f32,
    range: std::ops::RangeInclusive<f32>,
    expected: &'static str,
) -> Result<()> {
    if range.contains(&value) {
        Ok(())
    } else {
        Err(Error::Parameter { name, expected, value: value.to_string() })
    }
}
