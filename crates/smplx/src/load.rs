//! Reading body files: the official SMPL-X `.npz` and the compact form of the embedded body.

mod compact;
mod official;
mod source;

use crate::error::{Error, Result};
use crate::model::BodyModel;
use source::Arrays;
use std::path::Path;
use tensorfile::Npz;

/// What to keep of a body file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Shape components to keep at most: the official file has 300, most parameters use 10.
    pub max_betas: usize,
    /// Expression components to keep at most: the official file has 100.
    pub max_expressions: usize,
}

impl Default for LoadOptions {
    /// Everything the file has.
    fn default() -> Self {
        Self { max_betas: usize::MAX, max_expressions: usize::MAX }
    }
}

impl LoadOptions {
    /// 10 shape and 10 expression components, the Python package's default: 5 MB instead of 50.
    pub const TEN: Self = Self { max_betas: 10, max_expressions: 10 };
}

impl BodyModel {
    /// Opens a body file: an official SMPL-X `.npz` or a compact one.
    ///
    /// # Errors
    /// When the file can't be read, or an array is missing, has the wrong shape or holds impossible values.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, LoadOptions::default())
    }

    /// Opens a body file and keeps what `options` say.
    ///
    /// # Errors
    /// As [`BodyModel::open`].
    pub fn open_with(path: impl AsRef<Path>, options: LoadOptions) -> Result<Self> {
        Self::from_npz(&Npz::open(path).map_err(Error::Npz)?, options)
    }

    /// Parses a body file in memory.
    ///
    /// # Errors
    /// As [`BodyModel::open`].
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self> {
        Self::from_bytes_with(bytes, LoadOptions::default())
    }

    /// Parses a body file in memory and keeps what `options` say.
    ///
    /// # Errors
    /// As [`BodyModel::open`].
    pub fn from_bytes_with(bytes: impl Into<Vec<u8>>, options: LoadOptions) -> Result<Self> {
        Self::from_npz(&Npz::parse(bytes.into()).map_err(Error::Npz)?, options)
    }

    fn from_npz(npz: &Npz, options: LoadOptions) -> Result<Self> {
        let arrays = Arrays(npz);
        if npz.contains(compact::MARK) {
            compact::load(&arrays, options)
        } else {
            official::load(&arrays, options)
        }
    }
}
