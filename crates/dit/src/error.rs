//! What can go wrong.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A hyperparameter doesn't fit the others.
    #[error("config: {0}")]
    Config(String),
    /// An input has another shape than the config asks for.
    #[error("{what}: expected {expected}, got {got:?}")]
    Shape {
        /// The argument's name.
        what: &'static str,
        /// The shape that the model takes, in words.
        expected: String,
        /// The shape that came.
        got: Vec<usize>,
    },
    /// The config asks for an input that wasn't given, or refuses one that was.
    #[error("{what} is {}", if *.wanted { "missing" } else { "given, but this model takes none" })]
    Input {
        /// Which input.
        what: &'static str,
        /// Does the model take it?
        wanted: bool,
    },
    /// The observer asked to stop.
    #[error("cancelled before block {block} of {of}")]
    Cancelled {
        /// The block that would have run next.
        block: usize,
        /// Blocks of a pass.
        of: usize,
    },
    /// Self-attention is shared by heads, and these ranks can't share these heads.
    #[error(
        "{ranks} ranks can't share {heads} heads: as many as divide them can, {}", divisors(*heads)
    )]
    Heads {
        /// Ranks of the group.
        ranks: usize,
        /// Heads of the model.
        heads: usize,
    },
    /// A probe would see a part of what it asks for.
    #[error(
        "intermediate results can't be watched on {ranks} ranks, each of which has a part of them: watch one rank"
    )]
    Watched {
        /// Ranks of the group.
        ranks: usize,
    },
    /// What was embedded on some ranks was handed to others.
    #[error("rank {} of {} was handed the tokens of rank {} of {}", .rank.0, .rank.1, .embedded.0, .embedded.1)]
    OtherRank {
        /// Whose turn it is, of how many.
        rank: (usize, usize),
        /// Who embedded it, of how many.
        embedded: (usize, usize),
    },
    /// Ranks record no gradients.
    #[error("no gradient can be recorded where ranks share the tokens")]
    Gradient,
    /// Another rank failed, or the way to it.
    #[error(transparent)]
    Ranks(#[from] ranks::Error),
    /// A tensor operation or a weight failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// Shorthand for a result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

fn divisors(n: usize) -> String {
    let all: Vec<String> = (1..=n).filter(|d| n.is_multiple_of(*d)).map(|d| d.to_string()).collect();
    all.join(", ")
}
