//! What can go wrong.

use crate::Strides;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Pictures of a clip that don't belong together, or that the models can't take.
    #[error("{what}: {got}, expected {expected}")]
    Clip {
        /// What was measured, with the frame's number where it is one frame.
        what: String,
        /// What would fit.
        expected: String,
        /// What came.
        got: String,
    },
    /// The embedders give tokens for other steps than the VAE gives latents for.
    #[error(
        "the condition embedders step {} frames and {} pixels at a time, which doesn't fit a VAE of {} frames and {} pixels to a latent",
        .embedder[0], .embedder[1], .vae.time, .vae.space
    )]
    Strides {
        /// Frames and pixels to a token of the embedders.
        embedder: [usize; 2],
        /// The VAE's.
        vae: Strides,
    },
    /// A blur that can't be computed.
    #[error("the mask's blur: {name} is {value}, expected {expected}")]
    Blur {
        /// The parameter.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        value: String,
    },
    /// A tensor has another shape than its place asks for.
    #[error("{what}: expected {expected}, got {got:?}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// The shape in words.
        expected: String,
        /// The shape that came.
        got: Vec<usize>,
    },
    /// The observer asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The VAE.
    #[error(transparent)]
    Vae(vae::Error),
    /// The transformer's inputs.
    #[error(transparent)]
    Dit(#[from] dit::Error),
    /// A tensor operation failed, or a weight is missing or has another shape.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl From<vae::Error> for Error {
    fn from(error: vae::Error) -> Self {
        match error {
            vae::Error::Cancelled { .. } => Self::Cancelled,
            other => Self::Vae(other),
        }
    }
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;
