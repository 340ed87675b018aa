//! What can go wrong.

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a picture and an avatar.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Hyperparameters that describe no model, or one that this crate doesn't have.
    #[error("LHM's configuration: {0}")]
    Config(String),
    /// A picture that the model can't be given.
    #[error("the picture doesn't serve: {0}")]
    Picture(Unfit),
    /// An input of another shape than the model takes.
    #[error("{what} must be {expected}, got {got:?}")]
    Shape {
        /// Which input.
        what: &'static str,
        /// What its shape must be.
        expected: String,
        /// Its shape.
        got: Vec<usize>,
    },
    /// A number of the result isn't finite: damaged weights.
    #[error("the model's {what} isn't finite; are the weights damaged?")]
    NotFinite {
        /// Which output.
        what: &'static str,
    },
    /// The observer asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// An encoder failed.
    #[error(transparent)]
    Encoder(encoders::Error),
    /// The body model refused what it was given.
    #[error(transparent)]
    Body(#[from] smplx::Error),
    /// A picture operation failed.
    #[error(transparent)]
    Pixels(#[from] bg_mask::Error),
    /// A tensor operation or a weight failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl From<Unfit> for Error {
    fn from(why: Unfit) -> Self {
        Self::Picture(why)
    }
}

impl From<encoders::Error> for Error {
    fn from(error: encoders::Error) -> Self {
        match error {
            encoders::Error::Cancelled { .. } => Self::Cancelled,
            other => Self::Encoder(other),
        }
    }
}

/// Why a picture can't become an avatar; the original ends with an assertion or hands nothing on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// The mask is empty.
    #[error(
        "nobody is in it: the mask has no pixel that is at least half white. Give another picture, or a mask"
    )]
    Nobody,
    /// The mask has another size than the picture.
    #[error("the mask is {mask:?} pixels (width, height), the picture {picture:?}")]
    MaskSize {
        /// The picture's size.
        picture: (u32, u32),
        /// The mask's.
        mask: (u32, u32),
    },
    /// The person's box is at least as wide as high.
    #[error(
        "the person takes {width} x {height} pixels, and must be higher than wide. Give a picture of somebody who stands upright \
         with the arms at the sides, or a mask of that person alone"
    )]
    TooWide {
        /// Width of the enlarged box.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// What is cut out isn't of the model's shape: too small or too far from the middle.
    #[error(
        "what is cut out around the person is {width} x {height} pixels, not {aspect} times as high as wide. Give a larger picture \
         of the person, or a cleaner mask"
    )]
    Aspect {
        /// Width of the cut.
        width: u32,
        /// Its height.
        height: u32,
        /// The model's ratio of height to width.
        aspect: String,
    },
    /// What is cut out would take gigabytes.
    #[error(
        "what is cut out around the person would be {width} x {height} pixels, more than {most} million. Give a smaller picture, or a \
         cleaner mask"
    )]
    TooLarge {
        /// Width of the cut, padded.
        width: u32,
        /// Its height.
        height: u32,
        /// Pixels that are allowed, in millions.
        most: u32,
    },
    /// Too little of the body is in view.
    #[error(
        "only {:.0} % of the body's height is in view, and more than {:.0} % are needed. Give a picture that shows more of the body", ratio * 100.0, least * 100.0
    )]
    TooLittle {
        /// The visible share.
        ratio: f32,
        /// The share that is needed.
        least: f32,
    },
    /// A box or a share that isn't a number.
    #[error("{what} is {value}")]
    Number {
        /// What it is.
        what: &'static str,
        /// Its value.
        value: String,
    },
}
