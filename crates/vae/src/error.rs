//! What can go wrong.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A hyperparameter doesn't fit the others.
    #[error("config: {0}")]
    Config(String),
    /// An input has another shape than the model takes.
    #[error("{what}: expected {expected}, got {got:?}")]
    Shape {
        /// Which input.
        what: &'static str,
        /// The shape in words.
        expected: String,
        /// The shape that came.
        got: Vec<usize>,
    },
    /// Height or width isn't a multiple of the spatial compression.
    #[error("a video of {height}×{width} pixels: both must be multiples of {factor}")]
    Size {
        /// Height that came.
        height: usize,
        /// Width that came.
        width: usize,
        /// The spatial compression.
        factor: usize,
    },
    /// Tiles that leave gaps or have no extent.
    #[error("tiles of {size:?} with steps of {stride:?}: steps must be at least 1 and at most the size")]
    Tiles {
        /// Height and width of a tile, in latents.
        size: [usize; 2],
        /// Step down and to the right, in latents.
        stride: [usize; 2],
    },
    /// The observer asked to stop.
    #[error("cancelled after {done} of {of} chunks")]
    Cancelled {
        /// Chunks that were finished.
        done: usize,
        /// Chunks in all.
        of: usize,
    },
    /// A tensor operation failed, or a weight is missing or has another shape.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;
