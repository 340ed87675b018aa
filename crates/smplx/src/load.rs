//! Reading body files: the official SMPL-X `.npz` and the compact form of the embedded body.

mod compact;
mod official;
mod source;

use crate::error::{Error, Result};
use crate::model::BodyModel;
use sniff::Kind;
use source::Arrays;
use std::path::Path;
use tensorfile::{Npz, TensorSource};

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
        let path = path.as_ref();
        let io = |source| Error::Io { path: path.to_owned(), source };
        let in_file = |cause| Error::File { path: path.to_owned(), source: Box::new(cause) };
        let kind = Kind::of_file(path).map_err(io)?;
        let npz = match Npz::open(path) {
            Ok(npz) => npz,
            Err(tensorfile::Error::File { cause, .. })
                if matches!(kind, Kind::Npz | Kind::Zip | Kind::Unknown) =>
            {
                return Err(in_file(Error::Npz(*cause)));
            }
            Err(_) => return Err(in_file(not_a_body(kind))),
        };
        Self::from_npz(&npz, options).map_err(in_file)
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
            refuse_other_bodies(npz)?;
            official::load(&arrays, options)
        }
    }
}

const WANTED: &str = "a SMPL-X body";
const GET_IT: &str =
    "; take SMPLX_NEUTRAL.npz from smpl-x.is.tue.mpg.de, or leave the body out: there is an embedded one";

/// What a file is instead of a body's archive.
fn not_a_body(kind: Kind) -> Error {
    let advice = match kind {
        Kind::Pickle => "; of SMPL-X's download the .npz files are read, not the .pkl ones",
        _ => kind.advice().unwrap_or(GET_IT),
    };
    let separator = if advice.starts_with(';') { "" } else { "; " };
    Error::NotThis { found: kind.to_string(), wanted: WANTED, advice: format!("{separator}{advice}") }
}

/// Bodies of SMPL-X's family are told apart by their joints.
fn refuse_other_bodies(npz: &Npz) -> Result<()> {
    let joints = npz.info("kintree_table").and_then(|info| info.shape.last().copied());
    let found = match joints {
        Some(24) => "a SMPL body (24 joints)",
        Some(52) => "a SMPL+H body (52 joints)",
        Some(16) => "a MANO hand (16 joints)",
        Some(5) => "a FLAME head (5 joints)",
        None if npz.contains("poses") => "a motion (AMASS)",
        _ => return Ok(()),
    };
    Err(Error::NotThis { found: found.to_owned(), wanted: WANTED, advice: GET_IT.to_owned() })
}
