//! Zip archives, as far as npz and PyTorch files use them: stored and deflated entries, zip64.
//!
//! Stored entries are borrowed from the archive's bytes. Entries that share bytes are refused, and so is a
//! directory that promises more than the archive holds.

mod read;
mod write;

pub use read::{Entry, ZipArchive};
pub use write::ZipWriter;

/// What can be wrong with a zip archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZipError {
    /// No end-of-directory record: not a zip file, or a truncated one.
    #[error(
        "the archive has no directory at its end: it isn't a zip file, or its download or copy was cut short; fetch it again"
    )]
    NoDirectory,
    /// A record lies outside the archive or has the wrong signature.
    #[error("the {what} at byte {at} is broken or lies outside the archive")]
    BrokenRecord {
        /// Which record.
        what: &'static str,
        /// Where it should be.
        at: u64,
    },
    /// A name that isn't UTF-8.
    #[error("the name of entry {index} isn't UTF-8")]
    Name {
        /// Position in the directory.
        index: usize,
    },
    /// Two entries of one name.
    #[error("two entries are called {name:?}")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// Two entries share bytes.
    #[error("the bytes of entry {name:?} overlap those of another entry")]
    Overlap {
        /// The later entry.
        name: String,
    },
    /// Encrypted, or compressed with something else than deflate.
    #[error(
        "entry {name:?} is encrypted or uses compression method {method}; only stored and deflated are read"
    )]
    Unsupported {
        /// The entry.
        name: String,
        /// Zip's number of the method.
        method: u16,
    },
    /// The deflate stream is broken, or gives more or fewer bytes than the directory promises.
    #[error("entry {name:?} doesn't inflate to the {expected} bytes that the directory promises")]
    Inflate {
        /// The entry.
        name: String,
        /// Promised size.
        expected: u64,
    },
    /// The checksum differs.
    #[error("entry {name:?} has checksum {found:08x}, the directory says {expected:08x}")]
    Checksum {
        /// The entry.
        name: String,
        /// From the directory.
        expected: u32,
        /// Of the bytes.
        found: u32,
    },
    /// Inflating would take more than the caller allows.
    #[error("entry {name:?} inflates to {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The entry.
        name: String,
        /// Its inflated size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// There is no entry of that name.
    #[error("no entry {name:?}")]
    NoEntry {
        /// The name.
        name: String,
    },
}
