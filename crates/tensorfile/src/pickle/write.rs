//! Writing state dicts in PyTorch's zip format.

use super::PickleError;
use crate::safetensors::SafetensorsError;
use crate::zip::ZipWriter;
use crate::{Dtype, Error, Result, TensorInfo, element_count};
use std::borrow::Cow;
use std::path::Path;

/// Writes a state dict (name → tensor) as `torch.save` would, under a temporary name that is then renamed. The bytes of
/// each tensor are asked for one tensor at a time; `None` leaves zeros, as a hole where the file system has such.
///
/// # Errors
/// What `fill` returns; [`PickleError::StorageType`] for types without a PyTorch storage;
/// [`SafetensorsError::Filled`] for the wrong number of bytes; when the file can't be written.
pub fn write_torch_with<'a>(
    path: impl AsRef<Path>,
    tensors: &[(&str, TensorInfo)],
    mut fill: impl FnMut(&str, &TensorInfo) -> Result<Option<Cow<'a, [u8]>>>,
) -> Result<()> {
    let path = path.as_ref();
    let pickle = pickle(tensors).map_err(|e| Error::in_file(path, e))?;
    let mut failed = None;
    let written = crate::atomic::write(path, |file| {
        let mut zip = ZipWriter::new(file);
        zip.stored("archive/data.pkl", &pickle, 64)?;
        zip.stored("archive/byteorder", b"little", 64)?;
        for (index, (name, info)) in tensors.iter().enumerate() {
            let entry = format!("archive/data/{index}");
            let size = info.dtype.bytes_for(info.len()).unwrap_or(0);
            match fill(name, info) {
                Ok(None) => zip.zeros(&entry, size as u64, 64)?,
                Ok(Some(bytes)) if bytes.len() == size => zip.stored(&entry, &bytes, 64)?,
                other => {
                    let filled = |found| {
                        SafetensorsError::Filled { name: (*name).to_owned(), expected: size, found }.into()
                    };
                    failed = Some(other.map_or_else(|e| e, |bytes| filled(bytes.map_or(0, |b| b.len()))));
                    return Err(std::io::Error::other("a tensor's bytes were not to be had"));
                }
            }
        }
        zip.stored("archive/version", b"3\n", 64)?;
        zip.finish()?;
        Ok(())
    });
    match failed {
        Some(error) => Err(Error::in_file(path, error)),
        None => written,
    }
}

fn pickle(tensors: &[(&str, TensorInfo)]) -> Result<Vec<u8>> {
    let mut out = b"\x80\x02}(".to_vec();
    for (index, (name, info)) in tensors.iter().enumerate() {
        let storage = storage(info.dtype).map_err(|e| Error::in_tensor(name, e.into()))?;
        if element_count(&info.shape).and_then(|n| info.dtype.bytes_for(n)).is_none() {
            let (shape, dtype) = (info.shape.clone(), info.dtype);
            return Err(Error::in_tensor(name, Error::SizeMismatch { shape, dtype, found: 0 }));
        }
        text(&mut out, name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend(format!("ctorch\n{storage}\n").bytes());
        text(&mut out, &index.to_string());
        text(&mut out, "cpu");
        int(&mut out, info.len());
        out.extend(b"tQK\x00(");
        for &extent in &info.shape {
            int(&mut out, extent);
        }
        out.extend(b"t(");
        for axis in 0..info.shape.len() {
            int(&mut out, info.shape[axis + 1..].iter().product());
        }
        out.extend(b"t\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend(b"u.");
    Ok(out)
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.bytes());
}

fn int(out: &mut Vec<u8>, n: usize) {
    out.extend([0x8a, 8]);
    out.extend((n as u64).to_le_bytes());
}

fn storage(dtype: Dtype) -> Result<&'static str, PickleError> {
    Ok(match dtype {
        Dtype::Bool => "BoolStorage",
        Dtype::U8 => "ByteStorage",
        Dtype::I8 => "CharStorage",
        Dtype::I16 => "ShortStorage",
        Dtype::I32 => "IntStorage",
        Dtype::I64 => "LongStorage",
        Dtype::F16 => "HalfStorage",
        Dtype::BF16 => "BFloat16Storage",
        Dtype::F32 => "FloatStorage",
        Dtype::F64 => "DoubleStorage",
        other => return Err(PickleError::StorageType { name: other.to_string() }),
    })
}
