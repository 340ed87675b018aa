//! The files around pickles: PyTorch's zip format, its older format, and a bare pickle.

use super::machine::{Declared, Id, Machine};
use super::tensor::TensorRef;
use super::{PickleError, Value};
use crate::zip::ZipArchive;
use crate::{Data, Dtype, Error, Result, TensorInfo, TensorSource, TensorView};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

/// Largest pickle that is inflated from a compressed entry.
const MAX_INFLATED: u64 = 64 << 20;

/// An opened PyTorch file or pickle.
///
/// As a [`TensorSource`] its tensors are named by their path through nested dictionaries and lists:
/// `model_state.encoder.conv1.weight`. [`Pickle::root`] has the whole tree, numbers and text included.
#[derive(Debug)]
pub struct Pickle {
    data: Data,
    root: Value,
    storages: Vec<Range<usize>>,
    big_endian: bool,
    names: Vec<String>,
    tensors: HashMap<String, TensorRef>,
    arrays: HashMap<String, std::sync::Arc<TensorView<'static>>>,
}

impl Pickle {
    /// Opens a file (mapped). Tensors are read when they are asked for; a compressed file is unpacked first.
    ///
    /// # Errors
    /// When the file can't be opened, or as [`Pickle::parse`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let data = Data::map(path)?;
        let parsed = if super::unpack::is_packed(&data) {
            // What isn't a packed pickle after all may be known as something else.
            Self::parse(data.clone()).map_err(|error| crate::impostor::refuse(&data).err().unwrap_or(error))
        } else {
            crate::impostor::refuse(&data).and_then(|()| Self::parse(data))
        };
        parsed.map_err(|e| Error::in_file(path, e))
    }

    /// Parses a file in memory; every tensor's window is checked against its storage.
    ///
    /// # Errors
    /// [`Error::Pickle`], [`Error::Zip`].
    pub fn parse(data: impl Into<Data>) -> Result<Self> {
        let data = super::unpack::unpacked(data.into())?;
        let parsed =
            if ZipArchive::looks_like(&data) { parse_zip(data.clone())? } else { parse_stream(&data)? };
        let mut file = Self {
            data,
            root: parsed.root,
            storages: parsed.storages,
            big_endian: parsed.big_endian,
            names: Vec::new(),
            tensors: HashMap::new(),
            arrays: HashMap::new(),
        };
        let root = std::mem::replace(&mut file.root, Value::None);
        file.collect(&root, &mut String::new())?;
        file.root = root;
        Ok(file)
    }

    /// Everything that was pickled.
    #[must_use]
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// The elements of one of this file's tensors; borrowed unless its strides ask for gathering.
    ///
    /// # Errors
    /// [`PickleError::OutOfStorage`] for a tensor of another file.
    pub fn view(&self, tensor: &TensorRef) -> Result<TensorView<'_>> {
        let storage = self.storages.get(tensor.storage).cloned().unwrap_or_default();
        tensor.check(storage.len(), self.data.len())?;
        let view = tensor.view(&self.data[storage], self.big_endian);
        view.ok_or_else(|| PickleError::Expanded { shape: tensor.shape.clone() }.into())
    }

    fn collect(&mut self, value: &Value, path: &mut String) -> Result<()> {
        let len = path.len();
        let descend = |this: &mut Self, path: &mut String, key: &str, value: &Value| {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(key);
            let done = this.collect(value, path);
            path.truncate(len);
            done
        };
        match value {
            Value::Dict(entries) => {
                for (key, value) in entries {
                    match key {
                        Value::Str(key) => descend(self, path, key, value)?,
                        Value::Int(key) => descend(self, path, &key.to_string(), value)?,
                        _ => {}
                    }
                }
            }
            Value::List(items) | Value::Tuple(items) => {
                for (index, value) in items.iter().enumerate() {
                    descend(self, path, &index.to_string(), value)?;
                }
            }
            Value::Tensor(tensor) => {
                let storage = self.storages[tensor.storage].len();
                let check = tensor.check(storage, self.data.len());
                check.map_err(|e| Error::in_tensor(path, e.into()))?;
                if self.tensors.insert(path.clone(), (**tensor).clone()).is_some() {
                    return Err(PickleError::Duplicate { name: path.clone() }.into());
                }
                self.names.push(path.clone());
            }
            Value::Array(array) => {
                if self.arrays.insert(path.clone(), array.clone()).is_some() {
                    return Err(PickleError::Duplicate { name: path.clone() }.into());
                }
                self.names.push(path.clone());
            }
            _ => {}
        }
        Ok(())
    }

    fn range(&self, name: &str) -> Option<Range<usize>> {
        let tensor = self.tensors.get(name)?;
        let storage = self.storages.get(tensor.storage)?;
        // A view's own part of a shared storage, as far as that is simple to say.
        let start = storage.start + tensor.offset * tensor.dtype.block_bytes();
        let len = tensor.info().len() * tensor.dtype.block_bytes();
        Some(start..start.saturating_add(len).min(storage.end))
    }
}

impl TensorSource for Pickle {
    fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        let tensor = self.tensors.get(name).map(TensorRef::info);
        tensor.or_else(|| self.arrays.get(name).map(|a| a.info()))
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        if let Some(array) = self.arrays.get(name) {
            let bytes = array.bytes();
            return TensorView::new(array.dtype(), array.shape().to_vec(), bytes);
        }
        let tensor = self.tensors.get(name).ok_or_else(|| Error::NoSuchTensor { name: name.to_owned() })?;
        self.view(tensor).map_err(|e| Error::in_tensor(name, e))
    }

    fn release(&self, name: &str) {
        if let Some(range) = self.range(name) {
            self.data.release(range);
        }
    }

    fn prefetch(&self, name: &str) {
        if let Some(range) = self.range(name) {
            self.data.prefetch(range);
        }
    }
}

struct Parsed {
    root: Value,
    storages: Vec<Range<usize>>,
    big_endian: bool,
}

fn parse_zip(data: Data) -> Result<Parsed> {
    let zip = ZipArchive::parse(data)?;
    let pickle = zip.entries().iter().find(|e| e.name == "data.pkl" || e.name.ends_with("/data.pkl"));
    let pickle = pickle.ok_or(PickleError::NotPickle)?;
    let prefix = pickle.name.strip_suffix("data.pkl").unwrap_or_default();
    let mut big_endian = false;
    if let Ok(entry) = zip.entry(&format!("{prefix}byteorder")) {
        big_endian = match &*zip.read(entry, 64)? {
            b"little" => false,
            b"big" => true,
            other => {
                let found = String::from_utf8_lossy(&other[..other.len().min(32)]).into_owned();
                return Err(PickleError::ByteOrder { found }.into());
            }
        };
    }
    let bytes = zip.read(pickle, MAX_INFLATED)?;
    let mut machine = Machine::new(&bytes, 0);
    let root = machine.run()?;
    let mut storages = Vec::new();
    for declared in &machine.storages {
        let expected = expected_bytes(declared);
        let key = declared.key.clone();
        let Ok(entry) = zip.entry(&format!("{prefix}data/{key}")) else {
            return Err(PickleError::Storage { key, expected, found: 0 }.into());
        };
        if !entry.is_stored() {
            return Err(PickleError::CompressedStorage { key }.into());
        }
        let found = entry.range.len() as u64;
        if found < expected {
            return Err(PickleError::Storage { key, expected, found }.into());
        }
        storages.push(entry.range.start..entry.range.start + expected as usize);
    }
    let root = machine.value(root)?;
    Ok(Parsed { root, storages, big_endian })
}

fn expected_bytes(declared: &Declared) -> u64 {
    declared.elements.saturating_mul(declared.dtype.map_or(1, Dtype::block_bytes) as u64)
}

/// A bare pickle, or PyTorch's older format.
fn parse_stream(data: &[u8]) -> Result<Parsed> {
    // Protocol 2 and later say so; protocols 0 and 1 begin with an instruction that opens a collection.
    if !matches!(data.first(), Some(0x80 | b'(' | b']' | b'}')) {
        return Err(PickleError::NotPickle.into());
    }
    let mut first = Machine::new(data, 0);
    let id = first.run()?;
    if first.is_magic(id) {
        let legacy = Legacy::read(data, first.position(), 0)?;
        let root = legacy.machine.value(legacy.root)?;
        return Ok(Parsed { root, storages: legacy.storages, big_endian: legacy.big_endian });
    }
    let root = first.value(id)?;
    if let Some(declared) = first.storages.first() {
        let (key, expected) = (declared.key.clone(), expected_bytes(declared));
        return Err(PickleError::Storage { key, expected, found: 0 }.into());
    }
    Ok(Parsed { root, storages: Vec::new(), big_endian: false })
}

/// PyTorch's older format: magic number, version, system, object, storage keys, storages.
pub(super) struct Legacy<'a> {
    pub(super) machine: Machine<'a>,
    pub(super) root: Id,
    /// Where each of the machine's storages lies.
    pub(super) storages: Vec<Range<usize>>,
    pub(super) big_endian: bool,
}

impl<'a> Legacy<'a> {
    /// Reads on behind the magic number, which ends at `at`.
    pub(super) fn read(data: &'a [u8], at: usize, depth: usize) -> Result<Self, PickleError> {
        let next = |at: usize| {
            let mut machine = Machine::nested(data, at, depth);
            let id = machine.run()?;
            let value = machine.value(id)?;
            Ok::<_, PickleError>((value, machine.position()))
        };
        let (_version, at) = next(at)?;
        let (system, at) = next(at)?;
        let big_endian = system.get("little_endian") == Some(&Value::Bool(false));
        let mut machine = Machine::nested(data, at, depth);
        let root = machine.run()?;
        let (keys, mut at) = next(machine.position())?;
        let mut storages = vec![0..0; machine.storages.len()];
        for key in keys.as_list().unwrap_or_default() {
            let key = key.as_str().ok_or(PickleError::Broken { at, what: "a storage's key isn't text" })?;
            let header: [u8; 8] = data
                .get(at..at.saturating_add(8))
                .and_then(|b| b.try_into().ok())
                .ok_or(PickleError::Truncated { at })?;
            let elements = if big_endian { u64::from_be_bytes(header) } else { u64::from_le_bytes(header) };
            let index = machine.storage_by_key.get(key).copied();
            let index = index.ok_or(PickleError::Broken { at, what: "a storage that no tensor uses" })?;
            let declared = &machine.storages[index];
            let expected = expected_bytes(declared);
            let start = at + 8;
            let found = data.len().saturating_sub(start) as u64;
            if elements != declared.elements || found < expected {
                return Err(PickleError::Storage { key: key.to_owned(), expected, found });
            }
            at = start + expected as usize;
            storages[index] = start..at;
        }
        for (declared, range) in machine.storages.iter().zip(&storages) {
            if (range.len() as u64) < expected_bytes(declared) {
                let (key, expected) = (declared.key.clone(), expected_bytes(declared));
                return Err(PickleError::Storage { key, expected, found: 0 });
            }
        }
        Ok(Self { machine, root, storages, big_endian })
    }
}
