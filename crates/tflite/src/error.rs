//! What can be wrong with a model file or its inputs.

/// Why a model was refused or couldn't run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes aren't a TensorFlow Lite file.
    #[error("not a TensorFlow Lite model: {0}")]
    NotAModel(&'static str),
    /// An offset or length points outside the file.
    #[error("the model is damaged: {what} lies outside of its {len} bytes")]
    OutOfBounds {
        /// What was read.
        what: &'static str,
        /// Bytes of the file.
        len: usize,
    },
    /// The file asks for more than a small vision model may hold.
    #[error("the model is too large: {what} is {value}, at most {limit} are read")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// How many.
        value: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A table's content contradicts itself.
    #[error("the model is inconsistent: {0}")]
    Inconsistent(String),
    /// An operator that isn't here.
    #[error("operator {0} isn't supported")]
    Operator(String),
    /// A supported operator with an option, type or shape that isn't.
    #[error("operator {operator}: {why}")]
    Unsupported {
        /// Its name.
        operator: &'static str,
        /// What isn't supported.
        why: String,
    },
    /// The inputs of a run don't fit the model.
    #[error("input {index}: {got} numbers were given, the model takes {expected}")]
    Input {
        /// Which input.
        index: usize,
        /// Numbers that it takes.
        expected: usize,
        /// Numbers that were given.
        got: usize,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
