//! Writing safetensors files.

use super::{SafetensorsError, name_of};
use crate::{Error, Result, TensorInfo, TensorView};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

/// Bytes of a cache line.
const LINE: usize = 64;

struct Plan {
    header: Vec<u8>,
    /// Index of the tensor in the caller's order, its first byte in the file, its length.
    places: Vec<(usize, u64, usize)>,
    len: u64,
}

fn plan(tensors: &[(&str, TensorInfo)], metadata: &BTreeMap<String, String>) -> Result<Plan> {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    // Wide elements first keeps every tensor aligned, as other writers of the format do.
    order.sort_by_key(|&i| (std::cmp::Reverse(tensors[i].1.dtype.block_bytes()), tensors[i].0));
    let mut header = String::from("{");
    if !metadata.is_empty() {
        header += &format!("\"__metadata__\":{},", serde_json::json!(metadata));
    }
    let mut seen = BTreeSet::new();
    let mut places = Vec::new();
    let mut at = 0_usize;
    for i in order {
        let (name, info) = &tensors[i];
        if !seen.insert(*name) || *name == "__metadata__" {
            return Err(SafetensorsError::Duplicate { name: (*name).to_owned() }.into());
        }
        let dtype = name_of(info.dtype).map_err(|e| Error::in_tensor(name, e.into()))?;
        let size = crate::element_count(&info.shape).and_then(|n| info.dtype.bytes_for(n));
        let end = size.and_then(|size| at.checked_add(size));
        let (Some(size), Some(end)) = (size, end) else {
            let (shape, dtype) = (info.shape.clone(), info.dtype);
            return Err(Error::in_tensor(name, Error::SizeMismatch { shape, dtype, found: 0 }));
        };
        let described = serde_json::json!({
            "dtype": dtype, "shape": info.shape, "data_offsets": [at, end],
        });
        header += &format!("{}:{described},", serde_json::json!(name));
        places.push((i, at as u64, size));
        at = end;
    }
    if header.ends_with(',') {
        header.pop();
    }
    header.push('}');
    // The tensors begin at a cache line, so that whoever maps the file can compute on them where they lie.
    let padded = (8 + header.len()).next_multiple_of(LINE) - 8;
    header += &" ".repeat(padded - header.len());
    for place in &mut places {
        place.1 += 8 + padded as u64;
    }
    Ok(Plan { header: header.into_bytes(), places, len: 8 + padded as u64 + at as u64 })
}

/// Writes a file under a temporary name, then renames it. The bytes of each tensor are asked for one tensor at a time;
/// `None` leaves zeros, as a hole where the file system has such, so that a skeleton of any size costs no disk.
///
/// # Errors
/// What `fill` returns; [`SafetensorsError::Filled`], [`SafetensorsError::Duplicate`],
/// [`SafetensorsError::Unwritable`]; when the file can't be written.
pub fn write_safetensors_with<'a>(
    path: impl AsRef<Path>,
    tensors: &[(&str, TensorInfo)],
    metadata: &BTreeMap<String, String>,
    mut fill: impl FnMut(&str, &TensorInfo) -> Result<Option<Cow<'a, [u8]>>>,
) -> Result<()> {
    let path = path.as_ref();
    let plan = plan(tensors, metadata).map_err(|e| Error::in_file(path, e))?;
    let mut failed = None;
    let written = crate::write_atomically(path, |file| {
        file.write_all(&(plan.header.len() as u64).to_le_bytes())?;
        file.write_all(&plan.header)?;
        file.set_len(plan.len)?;
        for &(i, at, size) in &plan.places {
            let (name, info) = &tensors[i];
            let bytes = match fill(name, info) {
                Ok(Some(bytes)) if bytes.len() != size => {
                    let (name, found) = ((*name).to_owned(), bytes.len());
                    Err(SafetensorsError::Filled { name, expected: size, found }.into())
                }
                other => other,
            };
            match bytes {
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    file.seek(SeekFrom::Start(at))?;
                    file.write_all(&bytes)?;
                }
                Err(error) => {
                    failed = Some(error);
                    return Err(std::io::Error::other("a tensor's bytes were not to be had"));
                }
            }
        }
        Ok(())
    });
    match failed {
        Some(error) => Err(Error::in_file(path, error)),
        None => written,
    }
}

/// Writes tensors to disk under a temporary name, then renames the file.
///
/// # Errors
/// As [`write_safetensors_with`].
pub fn write_safetensors(
    path: impl AsRef<Path>,
    tensors: &[(&str, TensorView<'_>)],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let infos: Vec<_> = tensors.iter().map(|(name, view)| (*name, view.info())).collect();
    let bytes: BTreeMap<&str, &[u8]> = tensors.iter().map(|(name, view)| (*name, view.bytes())).collect();
    write_safetensors_with(path, &infos, metadata, |name, _| Ok(bytes.get(name).map(|b| Cow::Borrowed(*b))))
}

/// A safetensors file in memory.
///
/// # Errors
/// [`SafetensorsError::Duplicate`], [`SafetensorsError::Unwritable`].
pub fn safetensors_bytes(
    tensors: &[(&str, TensorView<'_>)],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let infos: Vec<_> = tensors.iter().map(|(name, view)| (*name, view.info())).collect();
    let plan = plan(&infos, metadata)?;
    let mut out = Vec::new();
    out.extend((plan.header.len() as u64).to_le_bytes());
    out.extend(&plan.header);
    for (i, _, _) in plan.places {
        out.extend(tensors[i].1.bytes());
    }
    Ok(out)
}
