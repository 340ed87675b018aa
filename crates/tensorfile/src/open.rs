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
        // A safetensors header's length may begin with the bytes that a pickle begins with, but then it fits the file.
        [length @ .., b'{'] if is_header_length(length, data.len()) => {
            Ok(Box::new(Safetensors::parse(data)?))
        }
        [0x80, 2..=5, ..] => Ok(Box::new(Pickle::parse(data)?)),
        [.., b'{'] => Ok(Box::new(Safetensors::parse(data)?)),
        _ => {
            crate::impostor::refuse(&data)?;
            Err(Error::UnknownFormat)
        }
    }
}

/// Do these eight bytes say how long a header is that a file of `len` bytes has room for?
fn is_header_length(bytes: &[u8], len: usize) -> bool {
    let length = bytes.try_into().map(u64::from_le_bytes);
    length.is_ok_and(|length| length.checked_add(8).is_some_and(|end| end <= len as u64))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_header_whose_length_looks_like_a_pickle() {
        // 0x0280 = 640 bytes of header: the same first two bytes as a pickle of protocol 2.
        let mut header = br#"{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#.to_vec();
        header.resize(0x0280, b' ');
        let file = [&640u64.to_le_bytes()[..], &header, &[7]].concat();
        assert_eq!(file[..2], [0x80, 2]);
        assert_eq!(parse(file).unwrap().names(), ["x"]);
    }
}
