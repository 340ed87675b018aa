//! What can go wrong among ranks.

use crate::Call;

/// An error of this crate. Ranks are numbered as in the whole program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A rank said that it can't go on, or panicked.
    #[error("rank {rank} failed: {why}")]
    Failed {
        /// Which one.
        rank: usize,
        /// What it said.
        why: String,
    },
    /// A rank was done while others waited for it.
    #[error("rank {rank} is gone: it ended before a call ({waiting}) that rank {by} waits in")]
    Gone {
        /// The one that left.
        rank: usize,
        /// The one that waited.
        by: usize,
        /// What it waited in.
        waiting: Call,
    },
    /// Two ranks called different things.
    #[error(
        "rank {rank} calls {calls} where rank {other} calls {others}: all ranks must make the same calls"
    )]
    Mismatch {
        /// One of them.
        rank: usize,
        /// What it called.
        calls: Call,
        /// The other.
        other: usize,
        /// What that one called.
        others: Call,
    },
    /// This rank's own buffers don't fit a call.
    #[error("{what}: {got} bytes don't fit {size} ranks, {expected} were expected")]
    Length {
        /// The call.
        what: &'static str,
        /// Bytes that were given.
        got: usize,
        /// Bytes that fit.
        expected: usize,
        /// Ranks of the group.
        size: usize,
    },
    /// There is no such rank.
    #[error("there is no rank {rank} in a group of {size}")]
    NoRank {
        /// The number.
        rank: usize,
        /// Ranks of the group.
        size: usize,
    },
    /// More bytes than can be sent at once.
    #[error("{bytes} bytes are too many for one message")]
    TooLong {
        /// How many.
        bytes: u64,
    },
    /// Ranks can't be started, or not joined.
    #[error("ranks can't be started: {0}")]
    Start(String),
    /// The library below failed.
    #[error("rank {rank}: {why}")]
    Library {
        /// This rank.
        rank: usize,
        /// The library's word.
        why: String,
    },
}

/// Shorthand for a result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
