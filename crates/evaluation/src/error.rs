//! What can go wrong in a comparison.

use std::path::PathBuf;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in a comparison.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two things that should match don't.
    #[error("{what}: {a} and {b} don't match")]
    Mismatch {
        /// What doesn't match.
        what: &'static str,
        /// The first one's.
        a: String,
        /// The second one's.
        b: String,
    },
    /// A file that can't be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// Motions without cameras can't be compared in the picture.
    #[error("both motions need a camera in every frame: add focal, princpt and img_size_wh")]
    NoCamera,
    /// A picture of the page can't be packed.
    #[error(transparent)]
    Picture(#[from] image::ImageError),
    /// Body or motion.
    #[error(transparent)]
    Body(#[from] smplx::Error),
    /// Masks.
    #[error(transparent)]
    Mask(#[from] bg_mask::Error),
    /// A video.
    #[error(transparent)]
    Media(#[from] media::Error),
}
