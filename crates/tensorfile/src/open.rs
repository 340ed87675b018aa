//! Opening a file of any format.

use crate::{Data, Error, Gguf, Npz, Pickle, Result, Safetensors, TensorSource};
use std::path::Path;

/// Opens a file (mapped) by what it holds, whatever it is called.
///
/// # Errors
/// When the file can't be opened; [`Error::UnknownFormat`]; whatever is wrong with the file.
pub fn open(path: impl AsRef<Path>) -> Result<Box<dyn TensorSource>> {
    let path = path.as_ref();
    parse(crate::impostor::map(path)?).map_err(|e| Error::in_file(path, e))
}

/// As [`open`], for bytes in memory.
///
/// # Errors
/// [`Error::UnknownFormat`]; whatever is wrong with the file.
pub fn parse(data: impl Into<Data>) -> Result<Box<dyn TensorSource>> {
    let data = data.into();
    match &data[..data.len().min(9)] {
        [b'G', b'G', b'U', b'F', ..] => Ok(Box::new(Gguf::parse(data)?)),
        [b'P', b'K', 3, 4, ..] => {
            let zip = crate::zip::ZipArchive::parse(data.clone())?;
            let torch = zip.entries().iter().any(|e| e.name == "data.pkl" || e.name.ends_with("/data.pkl"));
            drop(zip);
            if torch { Ok(Box::new(Pickle::parse(data)?)) } else { Ok(Box::new(Npz::parse(data)?)) }
        }
        [0x80, 2..=5, ..] => Ok(Box::new(Pickle::parse(data)?)),
        [.., b'{'] => Ok(Box::new(Safetensors::parse(data)?)),
        _ => {
            crate::impostor::refuse(&data)?;
            Err(Error::UnknownFormat)
        }
    }
}
