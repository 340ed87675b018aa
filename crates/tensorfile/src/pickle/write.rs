//! Writing state dicts and lists in PyTorch's zip format.

use super::PickleError;
use crate::safetensors::SafetensorsError;
use crate::zip::ZipWriter;
use crate::{Dtype, Error, Result, TensorInfo, TensorView, element_count};
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
    fill: impl FnMut(&str, &TensorInfo) -> Result<Option<Cow<'a, [u8]>>>,
) -> Result<()> {
    let path = path.as_ref();
    let pickle = state_dict(tensors).map_err(|e| Error::in_file(path, e))?;
    write(path, &pickle, tensors, fill)
}

/// One item of a list that [`write_torch_list`] writes.
#[derive(Clone, Debug)]
pub enum TorchItem<'a> {
    /// A tensor.
    Tensor(TensorView<'a>),
    /// A Python `float`.
    Float(f64),
    /// A Python `int`.
    Int(i64),
}

/// Writes a list of tensors and numbers as `torch.save` would, under a temporary name that is then renamed.
///
/// ```
/// use anicrafter_tensorfile::{Pickle, TensorView, pickle::{TorchItem, write_torch_list}};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("list.pth");
/// let items = [TorchItem::Tensor(TensorView::from_f32(&[2], &[1.0, 2.0])?), TorchItem::Float(0.5)];
/// write_torch_list(&path, &items)?;
/// let file = Pickle::open(&path)?;
/// assert_eq!(file.root().as_list().and_then(|items| items[1].as_f64()), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`PickleError::StorageType`] for types without a PyTorch storage; when the file can't be written.
pub fn write_torch_list(path: impl AsRef<Path>, items: &[TorchItem<'_>]) -> Result<()> {
    let path = path.as_ref();
    let mut pickle = b"\x80\x02](".to_vec();
    let mut views = Vec::new();
    for item in items {
        match item {
            TorchItem::Tensor(view) => {
                let storage = storage(view.dtype()).map_err(|e| Error::in_file(path, e.into()))?;
                tensor(&mut pickle, storage, views.len(), view.shape());
                views.push(view);
            }
            TorchItem::Float(x) => {
                pickle.push(b'G');
                pickle.extend(x.to_be_bytes());
            }
            TorchItem::Int(n) => {
                pickle.extend([0x8a, 8]);
                pickle.extend(n.to_le_bytes());
            }
        }
    }
    pickle.extend(b"e.");
    let infos: Vec<(&str, TensorInfo)> = views.iter().map(|view| ("", view.info())).collect();
    let mut views = views.into_iter();
    let bytes = |_: &str, _: &TensorInfo| Ok(views.next().map(|view| Cow::Borrowed(view.bytes())));
    write(path, &pickle, &infos, bytes)
}

/// The archive around a pickle and its storages.
fn write<'a>(
    path: &Path,
    pickle: &[u8],
    tensors: &[(&str, TensorInfo)],
    mut fill: impl FnMut(&str, &TensorInfo) -> Result<Option<Cow<'a, [u8]>>>,
) -> Result<()> {
    let mut failed = None;
    let written = crate::write_atomically(path, |file| {
        let mut zip = ZipWriter::new(file);
        zip.stored("archive/data.pkl", pickle, 64)?;
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

fn state_dict(tensors: &[(&str, TensorInfo)]) -> Result<Vec<u8>> {
    let mut out = b"\x80\x02}(".to_vec();
    for (index, (name, info)) in tensors.iter().enumerate() {
        let storage = storage(info.dtype).map_err(|e| Error::in_tensor(name, e.into()))?;
        if element_count(&info.shape).and_then(|n| info.dtype.bytes_for(n)).is_none() {
            let (shape, dtype) = (info.shape.clone(), info.dtype);
            return Err(Error::in_tensor(name, Error::SizeMismatch { shape, dtype, found: 0 }));
        }
        text(&mut out, name);
        tensor(&mut out, storage, index, &info.shape);
    }
    out.extend(b"u.");
    Ok(out)
}

/// A call that rebuilds a contiguous tensor of a storage of its own.
fn tensor(out: &mut Vec<u8>, storage: &str, index: usize, shape: &[usize]) {
    out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    text(out, "storage");
    out.extend(format!("ctorch\n{storage}\n").bytes());
    text(out, &index.to_string());
    text(out, "cpu");
    int(out, shape.iter().product());
    out.extend(b"tQK\x00(");
    for &extent in shape {
        int(out, extent);
    }
    out.extend(b"t(");
    for axis in 0..shape.len() {
        int(out, shape[axis + 1..].iter().product());
    }
    out.extend(b"t\x89ccollections\nOrderedDict\n)RtR");
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
