//! What can go wrong with a farm.

use std::path::{Path, PathBuf};

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a farm.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A job, or a stage of one.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// A video that was to be shown.
    #[error(transparent)]
    Media(#[from] media::Error),
    /// A file or folder that can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// A file whose content isn't what it should be.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A cell, a row or a column of a table of shots that can't be taken.
    #[error("{}{}{}: {why}", path.display(), place(", row ", *row), place(", column ", column.as_deref()))]
    Table {
        /// The table.
        path: PathBuf,
        /// The line in the file, from 1: the header's is the first.
        row: Option<u64>,
        /// The column's name.
        column: Option<String>,
        /// What is wrong there.
        why: String,
    },
    /// Two shots that would be in each other's way.
    #[error("{first} and {second} have the same {what}, {value}: each shot needs its own")]
    Twice {
        /// What they share: a name, an output.
        what: &'static str,
        /// What it is.
        value: String,
        /// Where the first one comes from: a job file, a row of a table.
        first: String,
        /// Where the second one comes from.
        second: String,
    },
    /// A shot whose job can't run.
    #[error("shot {shot}: {source}")]
    Shot {
        /// Its name.
        shot: String,
        /// What is wrong.
        source: Box<pipeline::Error>,
    },
    /// An object store that doesn't answer now: it may do so later.
    #[error("{address}: {why}")]
    Unreachable {
        /// Its address.
        address: String,
        /// What became of the attempts to reach it.
        why: String,
    },
    /// An object store, or something in it.
    #[error("{address}: {why}")]
    Store {
        /// Its address.
        address: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A setting that can't be honoured.
    #[error("{option}: {why}")]
    Option {
        /// What the command line calls it.
        option: &'static str,
        /// What is wrong with it and what would be right.
        why: String,
    },
}

fn place(before: &str, what: Option<impl std::fmt::Display>) -> String {
    what.map(|what| format!("{before}{what}")).unwrap_or_default()
}

impl Error {
    /// An error of the system at a path.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
