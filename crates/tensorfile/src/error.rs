//! What can be wrong with a tensor file.

use crate::gguf::GgufError;
use crate::npy::NpyError;
use crate::pickle::PickleError;
use crate::safetensors::SafetensorsError;
use crate::zip::ZipError;
use std::path::{Path, PathBuf};

/// Result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Anything that can go wrong when a tensor file is read or written; the text names file, tensor and cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something is wrong with this file.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: Box<Self>,
    },
    /// Something is wrong with this tensor.
    #[error("tensor {name:?}: {cause}")]
    Tensor {
        /// Its name in the file.
        name: String,
        /// What is wrong.
        cause: Box<Self>,
    },
    /// The operating system refused.
    #[error("{0}")]
    Io(std::io::Error),
    /// A folder or device where a file was expected.
    #[error("not a regular file")]
    NotAFile,
    /// The file has no tensor of that name.
    #[error("no tensor {name:?}")]
    NoSuchTensor {
        /// The name that was asked for.
        name: String,
    },
    /// Whole numbers were asked for, the tensor holds something else.
    #[error("holds {found}, not whole numbers")]
    NotIntegers {
        /// The stored type.
        found: crate::Dtype,
    },
    /// A number doesn't fit the type that was asked for.
    #[error("the number {value} at index {index} doesn't fit i64")]
    OutOfRange {
        /// The number.
        value: u64,
        /// Its position in row-major order.
        index: usize,
    },
    /// Bytes, shape and type of a tensor contradict each other.
    #[error("shape {shape:?} of {dtype} doesn't take {found} bytes")]
    SizeMismatch {
        /// The shape.
        shape: Vec<usize>,
        /// The element type.
        dtype: crate::Dtype,
        /// Number of bytes there are.
        found: usize,
    },
    /// A broken zip archive.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// A broken npy array.
    #[error(transparent)]
    Npy(#[from] NpyError),
    /// A broken safetensors file or index.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// A broken pickle, or one that calls code.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// A broken GGUF file.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// Something else under a tensor file's name: a Git LFS pointer, a web page, half a download.
    #[error("this is {what}: {advice}")]
    NotTensors {
        /// What it is.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// None of the formats that this crate reads.
    #[error("neither safetensors, npz, PyTorch nor GGUF")]
    UnknownFormat,
}

impl Error {
    /// The same error with the file's name in front; unchanged where it names a file already.
    #[must_use]
    pub fn in_file(path: &Path, cause: Self) -> Self {
        match cause {
            Self::File { .. } => cause,
            _ => Self::File { path: path.to_owned(), cause: Box::new(cause) },
        }
    }

    /// The same error with the tensor's name in front.
    #[must_use]
    pub fn in_tensor(name: &str, cause: Self) -> Self {
        match cause {
            Self::Tensor { .. } | Self::NoSuchTensor { .. } => cause,
            _ => Self::Tensor { name: name.to_owned(), cause: Box::new(cause) },
        }
    }

    /// The cause without the file's and the tensor's names around it.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::File { cause, .. } | Self::Tensor { cause, .. } => cause.root(),
            _ => self,
        }
    }
}
