//! What can go wrong between a video and a motion.

/// Why a person couldn't be tracked or a motion not be fitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A model file that can't be used.
    #[error("the {model} model: {source}")]
    Model {
        /// Which model.
        model: &'static str,
        /// Why.
        source: tflite::Error,
    },
    /// A model file whose inputs and outputs aren't those of its task.
    #[error("the {model} model has another shape than its task: {found}")]
    Task {
        /// Which model.
        model: &'static str,
        /// What it has.
        found: String,
    },
    /// A picture without pixels.
    #[error("frame {frame} has no pixels")]
    Empty {
        /// Which frame.
        frame: usize,
    },
    /// Nobody was found in any frame.
    #[error(
        "nobody was found in {frames} frames: is there a person in the video, larger than a tenth of the picture?"
    )]
    Nobody {
        /// Frames looked at.
        frames: usize,
    },
    /// Fewer people than the one that was asked for.
    #[error("person {wanted} was asked for, at most {found} are in view at once")]
    NoSuchPerson {
        /// Which one, counted from 1.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
    /// A setting outside of its range.
    #[error("{name}: {problem}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The body model.
    #[error(transparent)]
    Body(#[from] smplx::Error),
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
