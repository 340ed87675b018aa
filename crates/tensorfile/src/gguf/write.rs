//! Writing GGUF files.

use super::{GgufError, GgufValue, TYPES};
use crate::safetensors::SafetensorsError;
use crate::{Error, Result, TensorInfo, element_count};
use std::borrow::Cow;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

const ALIGNMENT: u64 = 32;

/// Writes a version 3 file under a temporary name, then renames it. Metadata may be numbers, truth values and text. The
/// bytes of each tensor are asked for one tensor at a time; `None` leaves zeros, as a hole where the file system has
/// such. Shapes are row-major, slowest axis first; up to eight axes are written as they are.
///
/// # Errors
/// What `fill` returns; [`GgufError::Shape`], [`GgufError::ValueType`] and [`SafetensorsError::Filled`] for what
/// can't be written; when the file can't be written.
pub fn write_gguf_with<'a>(
    path: impl AsRef<Path>,
    metadata: &[(&str, GgufValue)],
    tensors: &[(&str, TensorInfo)],
    mut fill: impl FnMut(&str, &TensorInfo) -> Result<Option<Cow<'a, [u8]>>>,
) -> Result<()> {
    let path = path.as_ref();
    let (header, sizes) = header(metadata, tensors).map_err(|e| Error::in_file(path, e.into()))?;
    let mut failed = None;
    let written = crate::write_atomically(path, |file| {
        file.write_all(&header)?;
        let mut at = header.len() as u64;
        for ((name, info), &size) in tensors.iter().zip(&sizes) {
            at = at.next_multiple_of(ALIGNMENT);
            match fill(name, info) {
                Ok(None) => {}
                Ok(Some(bytes)) if bytes.len() == size => {
                    file.seek(SeekFrom::Start(at))?;
                    file.write_all(&bytes)?;
                }
                other => {
                    let filled = |found| {
                        SafetensorsError::Filled { name: (*name).to_owned(), expected: size, found }.into()
                    };
                    failed = Some(other.map_or_else(|e| e, |bytes| filled(bytes.map_or(0, |b| b.len()))));
                    return Err(std::io::Error::other("a tensor's bytes were not to be had"));
                }
            }
            at += size as u64;
        }
        file.set_len(at)
    });
    match failed {
        Some(error) => Err(Error::in_file(path, error)),
        None => written,
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.bytes());
}

fn header(
    metadata: &[(&str, GgufValue)],
    tensors: &[(&str, TensorInfo)],
) -> Result<(Vec<u8>, Vec<usize>), GgufError> {
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(&mut out, key);
        let (kind, bytes): (u32, Vec<u8>) = match value {
            GgufValue::Int(x) => (11, x.to_le_bytes().to_vec()),
            GgufValue::Big(x) => (10, x.to_le_bytes().to_vec()),
            GgufValue::Float(x) => (12, x.to_le_bytes().to_vec()),
            GgufValue::Bool(x) => (7, vec![u8::from(*x)]),
            GgufValue::Text(x) => {
                let mut bytes = Vec::new();
                text(&mut bytes, x);
                (8, bytes)
            }
            GgufValue::Array(_) => return Err(GgufError::ValueType { key: (*key).to_owned(), found: 9 }),
        };
        out.extend(kind.to_le_bytes());
        out.extend(bytes);
    }
    let mut sizes = Vec::new();
    let mut offset = 0_u64;
    for (name, info) in tensors {
        let (dtype, shape) = (info.dtype, &info.shape);
        let impossible = || GgufError::Shape { name: (*name).to_owned(), shape: shape.clone(), dtype };
        let number = TYPES.iter().find(|(_, d)| *d == dtype).map(|(n, _)| *n).ok_or_else(impossible)?;
        let whole_rows = shape.last().is_none_or(|&row| row.is_multiple_of(dtype.block_len()));
        let size = element_count(shape).and_then(|n| dtype.bytes_for(n)).filter(|_| whole_rows);
        let size = size.ok_or_else(impossible)?;
        text(&mut out, name);
        out.extend((shape.len() as u32).to_le_bytes());
        for &extent in shape.iter().rev() {
            out.extend((extent as u64).to_le_bytes());
        }
        out.extend(number.to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset = (offset + size as u64).next_multiple_of(ALIGNMENT);
        sizes.push(size);
    }
    let padded = out.len().next_multiple_of(ALIGNMENT as usize);
    out.resize(padded, 0);
    Ok((out, sizes))
}
