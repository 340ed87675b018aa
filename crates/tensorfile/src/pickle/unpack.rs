//! What pickles come wrapped in: zlib and gzip, as joblib compresses, and `.npy` arrays of objects, as `numpy.save` writes a
//! dictionary.

use super::PickleError;
use super::rebuild::is_object;
use crate::npy::NpyHeader;
use crate::{Data, Result};
use std::io::Read;

/// Largest pickle that is unpacked.
const MAX_UNPACKED: u64 = 1 << 30;

fn is_zlib(data: &[u8]) -> bool {
    matches!(data, [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..])
}

fn is_gzip(data: &[u8]) -> bool {
    data.starts_with(b"\x1f\x8b")
}

/// Is this something that [`unpacked`] unpacks?
pub(super) fn is_packed(data: &[u8]) -> bool {
    is_zlib(data) || is_gzip(data) || data.starts_with(b"\x93NUMPY")
}

/// The pickle inside, or the bytes as they are.
pub(super) fn unpacked(data: Data) -> Result<Data> {
    let mut inner = Vec::new();
    let read = if is_zlib(&data) {
        flate2::read::ZlibDecoder::new(&data[..]).take(MAX_UNPACKED + 1).read_to_end(&mut inner)
    } else if is_gzip(&data) {
        flate2::read::MultiGzDecoder::new(&data[..]).take(MAX_UNPACKED + 1).read_to_end(&mut inner)
    } else if data.starts_with(b"\x93NUMPY") {
        let header = NpyHeader::parse(&data)?;
        if !is_object(&header.descr) {
            return Err(PickleError::NotPickle.into());
        }
        return Ok(data[header.data_start..].to_vec().into());
    } else {
        return Ok(data);
    };
    read.map_err(|e| PickleError::Packed { why: e.to_string() })?;
    if inner.len() as u64 > MAX_UNPACKED {
        return Err(PickleError::TooMuch { what: "bytes", limit: MAX_UNPACKED as usize }.into());
    }
    Ok(inner.into())
}
