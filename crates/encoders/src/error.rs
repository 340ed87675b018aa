//! What can go wrong in an encoder.

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in an encoder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration that describes no model.
    #[error("the configuration of {model} is impossible: {why}")]
    Config {
        /// Which model.
        model: &'static str,
        /// What doesn't fit.
        why: String,
    },
    /// A tokenizer file that can't be used.
    #[error("the tokenizer can't be used: {0}")]
    Tokenizer(String),
    /// A SentencePiece model file that is damaged.
    #[error("the SentencePiece model is damaged at byte {at}: {why}")]
    SentencePiece {
        /// Where.
        at: usize,
        /// What is wrong there.
        why: &'static str,
    },
    /// A token id that the embedding table doesn't have.
    #[error("token id {id} lies outside a vocabulary of {vocab}")]
    TokenOutOfRange {
        /// The id.
        id: u32,
        /// The size of the vocabulary.
        vocab: usize,
    },
    /// More tokens than the model is given room for.
    #[error("{got} tokens don't fit a context of {room}")]
    TooManyTokens {
        /// Number of tokens.
        got: usize,
        /// Number of rows.
        room: usize,
    },
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
    /// The observer asked to stop.
    #[error("cancelled before block {block} of {of}")]
    Cancelled {
        /// The block that would have run next.
        block: usize,
        /// Blocks of the model.
        of: usize,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
