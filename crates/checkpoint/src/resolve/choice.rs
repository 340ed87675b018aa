//! What was chosen for each part, and what is wrong with the others.

use super::Part;
use crate::{Error, Report, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use tensorfile::Dtype;

/// Why a file was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The user said so.
    Named,
    /// It has the published file's name.
    PublishedName,
    /// It lies in the folder that a layout keeps this part in.
    Folder(&'static str),
    /// Its tensors are the part's.
    Tensors,
    /// It is called as tokenizers are.
    Tokenizer,
    /// It is a tensor of the text encoder's file.
    InTextEncoder,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named => f.write_str("named"),
            Self::PublishedName => f.write_str("by its name"),
            Self::Folder(folder) => write!(f, "in {folder}/"),
            Self::Tensors => f.write_str("by its tensors"),
            Self::Tokenizer => f.write_str("by its name"),
            Self::InTextEncoder => f.write_str("in the text encoder's file"),
        }
    }
}

/// The files of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The part.
    pub part: Part,
    /// What is opened, all together: a file, an index, a folder, or the shards of a series.
    pub paths: Vec<PathBuf>,
    /// Why these.
    pub why: Why,
    /// Others that would have done.
    pub passed_over: Vec<PathBuf>,
    /// Tensors that were found to fit.
    pub tensors: usize,
    /// The types that they are stored in.
    pub dtypes: Vec<Dtype>,
}

impl Choice {
    /// Every file that is read: an index with the shards that it lists.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for path in &self.paths {
            files.push(path.clone());
            let folder = path.parent().unwrap_or(Path::new(""));
            files.extend(super::candidates::listed(path).into_iter().map(|name| folder.join(name)));
        }
        files
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ok", files(&self.paths))?;
        if self.tensors > 0 {
            write!(f, ", {} tensors, {:?}", self.tensors, self.dtypes)?;
        }
        write!(f, " ({})", self.why)?;
        if !self.passed_over.is_empty() {
            write!(f, "; passed over: {}", files(&self.passed_over))?;
        }
        Ok(())
    }
}

/// Why a part has no files.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// Nothing like it was found.
    Absent {
        /// Where it was looked for.
        folders: Vec<PathBuf>,
        /// How many files (or sets of shards) were there.
        looked_at: usize,
    },
    /// Its files can't be read, or aren't what they should be.
    Broken {
        /// The files.
        paths: Vec<PathBuf>,
        /// What is wrong.
        error: Error,
    },
    /// Its tensors aren't the part's.
    Mismatch {
        /// The files.
        paths: Vec<PathBuf>,
        /// What matches and what doesn't.
        report: Report,
    },
    /// Several would do, and nothing says which is meant.
    Ambiguous {
        /// The first file of each.
        paths: Vec<PathBuf>,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { folders, .. } if folders.is_empty() => {
                f.write_str("no folder to look in was named")
            }
            Self::Absent { folders, looked_at } => {
                write!(
                    f,
                    "absent: looked through {looked_at} files and sets of shards below {}",
                    files(folders)
                )
            }
            Self::Broken { error: error @ (Error::Io { .. } | Error::File(_)), .. } => write!(f, "{error}"),
            Self::Broken { paths, error } => write!(f, "{}: {error}", files(paths)),
            Self::Mismatch { paths, report } => write!(f, "{}: {report}", files(paths)),
            Self::Ambiguous { paths } => {
                write!(f, "several files fit, name the one that is meant: {}", files(paths))
            }
        }
    }
}

/// One path, or the first and how many more.
fn files(paths: &[PathBuf]) -> String {
    let show = |path: &Path| path.display().to_string();
    match paths {
        [] => String::new(),
        [one] => show(one),
        [first, second] => format!("{}, {}", show(first), show(second)),
        [first, .., last] => format!("{} … {} ({} files)", show(first), show(last), paths.len()),
    }
}

/// Every part that was asked for, in the order of use: its files, or what is wrong.
#[derive(Debug, Default)]
pub struct Resolution {
    parts: BTreeMap<Part, std::result::Result<Choice, Problem>>,
}

impl Resolution {
    pub(super) fn add(&mut self, part: Part, outcome: std::result::Result<Choice, Problem>) {
        self.parts.insert(part, outcome);
    }

    /// The parts with their files or problems.
    pub fn parts(&self) -> impl Iterator<Item = (Part, &std::result::Result<Choice, Problem>)> {
        self.parts.iter().map(|(part, outcome)| (*part, outcome))
    }

    /// What was chosen for a part.
    #[must_use]
    pub fn choice(&self, part: Part) -> Option<&Choice> {
        self.parts.get(&part)?.as_ref().ok()
    }

    /// The files of a part.
    ///
    /// # Errors
    /// [`Error::NoPart`] with what is wrong with it.
    pub fn files(&self, part: Part) -> Result<&[PathBuf]> {
        match self.parts.get(&part) {
            Some(Ok(choice)) => Ok(&choice.paths),
            Some(Err(problem)) => Err(Error::NoPart { part: part.name(), why: problem.to_string() }),
            None => Err(Error::NoPart { part: part.name(), why: "it wasn't looked for".to_owned() }),
        }
    }

    /// Has every part its files?
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.parts.values().all(std::result::Result::is_ok)
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (part, outcome) in self.parts() {
            write!(f, "{:<14} ", part.name())?;
            match outcome {
                Ok(choice) => writeln!(f, "{choice}")?,
                Err(problem) => writeln!(f, "{problem}")?,
            }
        }
        Ok(())
    }
}
