//! The safetensors format: a JSON header, then the tensors' bytes without gaps.

mod shards;
mod write;

pub use shards::Shards;
pub use write::{safetensors_bytes, write_safetensors, write_safetensors_with};

use crate::{Data, Dtype, Error, Region, Result, TensorInfo, TensorSource, TensorView};
use serde::de::{Deserializer, MapAccess, Visitor};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;

/// What can be wrong with a safetensors file or with the index of a sharded one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SafetensorsError {
    /// Fewer than the eight bytes that say how long the header is.
    #[error("the file is {found} bytes long, too short for a safetensors header")]
    TooShort {
        /// Length of the file.
        found: usize,
    },
    /// A header longer than the file or than [`Safetensors::MAX_HEADER`].
    #[error("the header claims {claimed} bytes, at most {limit} are possible")]
    HeaderLength {
        /// Claimed length.
        claimed: u64,
        /// What the file and the format allow.
        limit: u64,
    },
    /// The header isn't the JSON that it should be.
    #[error("the header isn't valid: {message}")]
    HeaderJson {
        /// The JSON parser's words.
        message: String,
    },
    /// Two tensors of one name, in one file or in two shards.
    #[error("two tensors are called {name:?}")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// An element type that this reader doesn't know.
    #[error(
        "tensor {name:?} has elements of type {dtype:?}, which can't be decoded; take the file in bf16, fp8 or int8"
    )]
    UnknownDtype {
        /// The tensor.
        name: String,
        /// The type as written.
        dtype: String,
    },
    /// The file ends before its header or its tensors do.
    #[error(
        "the file ends after {found} of at least {expected} bytes: its download or copy was cut short, fetch it again"
    )]
    Cut {
        /// Bytes that the header speaks of.
        expected: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// Offsets in the wrong order.
    #[error("tensor {name:?} claims bytes {start} to {end}")]
    Offsets {
        /// The tensor.
        name: String,
        /// First byte, counted behind the header.
        start: usize,
        /// One past the last byte.
        end: usize,
    },
    /// The tensor's bytes overlap another's or leave a gap.
    #[error("tensor {name:?} begins at byte {found}, {expected} was due: tensors overlap or leave a gap")]
    Layout {
        /// The tensor.
        name: String,
        /// Where the previous tensor ends.
        expected: usize,
        /// Where this one begins.
        found: usize,
    },
    /// Shape and type don't take as many bytes as the offsets span.
    #[error("tensor {name:?}, shape {shape:?} of {dtype}, can't take {found} bytes")]
    Size {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its type.
        dtype: Dtype,
        /// Bytes that its offsets span.
        found: usize,
    },
    /// Bytes behind the last tensor.
    #[error("{found} bytes follow the last tensor")]
    TrailingBytes {
        /// How many.
        found: usize,
    },
    /// An index file that isn't what it should be.
    #[error("the index isn't valid: {message}")]
    Index {
        /// What is wrong.
        message: String,
    },
    /// An index that points out of its own folder.
    #[error("the index names {file:?}, which isn't a plain file name")]
    ShardPath {
        /// What it names.
        file: String,
    },
    /// A tensor isn't in the shard that the index names.
    #[error("the index places tensor {name:?} in {file:?}, which doesn't have it")]
    NotInShard {
        /// The tensor.
        name: String,
        /// The shard.
        file: String,
    },
    /// An element type that the format can't write.
    #[error("safetensors has no type for {dtype}")]
    Unwritable {
        /// The type.
        dtype: Dtype,
    },
    /// The writer was handed something else than it was promised.
    #[error("tensor {name:?} takes {expected} bytes, {found} were handed over")]
    Filled {
        /// The tensor.
        name: String,
        /// What its shape and type take.
        expected: usize,
        /// What came.
        found: usize,
    },
}

/// One opened safetensors file.
#[derive(Debug)]
pub struct Safetensors {
    data: Data,
    names: Vec<String>,
    tensors: HashMap<String, Stored>,
    metadata: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Stored {
    info: TensorInfo,
    range: Range<usize>,
}

#[derive(serde::Deserialize)]
struct Described {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

impl Safetensors {
    /// Longest header that is read, in bytes; the format's own limit.
    pub const MAX_HEADER: u64 = 100_000_000;

    /// Opens a file (mapped).
    ///
    /// # Errors
    /// When the file can't be opened, or as [`Safetensors::parse`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(crate::impostor::map(path)?).map_err(|e| Error::in_file(path, e))
    }

    /// Parses a file in memory. Every tensor's offsets, type and shape are checked here, once.
    ///
    /// # Errors
    /// [`Error::Safetensors`].
    pub fn parse(data: impl Into<Data>) -> Result<Self> {
        let data = data.into();
        let Some((len, rest)) = data.split_first_chunk::<8>() else {
            return Err(SafetensorsError::TooShort { found: data.len() }.into());
        };
        let claimed = u64::from_le_bytes(*len);
        let limit = Self::MAX_HEADER.min(rest.len() as u64);
        if claimed > limit && claimed <= Self::MAX_HEADER && rest.starts_with(b"{") {
            return Err(SafetensorsError::Cut { expected: claimed + 8, found: data.len() as u64 }.into());
        }
        if claimed > limit {
            return Err(SafetensorsError::HeaderLength { claimed, limit }.into());
        }
        let (header, body) = rest.split_at(usize::try_from(claimed).unwrap_or(usize::MAX));
        let mut parser = serde_json::Deserializer::from_slice(header);
        let parsed = parser.deserialize_map(HeaderVisitor).and_then(|h| parser.end().map(|()| h));
        let header_end = data.len() - body.len();
        let header = parsed.map_err(|e| SafetensorsError::HeaderJson { message: e.to_string() })?;
        if let Some(name) = header.duplicate {
            return Err(SafetensorsError::Duplicate { name }.into());
        }
        let metadata = header.metadata;
        let mut tensors = Vec::with_capacity(header.tensors.len());
        for (name, described) in header.tensors {
            let stored = check(&name, described)?;
            tensors.push((name, stored));
        }
        let last = tensors.iter().map(|(_, t)| t.range.end).max().unwrap_or(0);
        if last > body.len() {
            let (expected, found) = ((header_end as u64).saturating_add(last as u64), data.len() as u64);
            return Err(SafetensorsError::Cut { expected, found }.into());
        }
        tensors.sort_by_key(|(_, t)| (t.range.start, t.range.end));
        let mut end = 0;
        for (name, stored) in &mut tensors {
            if stored.range.start != end {
                let found = stored.range.start;
                return Err(SafetensorsError::Layout { name: name.clone(), expected: end, found }.into());
            }
            end = stored.range.end;
            stored.range = stored.range.start + header_end..stored.range.end + header_end;
        }
        if end != body.len() {
            return Err(SafetensorsError::TrailingBytes { found: body.len() - end }.into());
        }
        let names = tensors.iter().map(|(name, _)| name.clone()).collect();
        Ok(Self { names, tensors: tensors.into_iter().collect(), metadata, data })
    }

    /// The file's `__metadata__`.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

fn check(name: &str, described: Described) -> Result<Stored, SafetensorsError> {
    let name = || name.to_owned();
    let Some(dtype) = dtype_of(&described.dtype) else {
        return Err(SafetensorsError::UnknownDtype { name: name(), dtype: described.dtype });
    };
    let (start, end) = described.data_offsets;
    if start > end {
        return Err(SafetensorsError::Offsets { name: name(), start, end });
    }
    let shape = described.shape;
    if crate::element_count(&shape).and_then(|n| dtype.bytes_for(n)) != Some(end - start) {
        return Err(SafetensorsError::Size { name: name(), shape, dtype, found: end - start });
    }
    Ok(Stored { info: TensorInfo { dtype, shape }, range: start..end })
}

const DTYPES: [(&str, Dtype); 16] = [
    ("BOOL", Dtype::Bool),
    ("U8", Dtype::U8),
    ("I8", Dtype::I8),
    ("U16", Dtype::U16),
    ("I16", Dtype::I16),
    ("U32", Dtype::U32),
    ("I32", Dtype::I32),
    ("U64", Dtype::U64),
    ("I64", Dtype::I64),
    ("F8_E4M3", Dtype::F8E4M3),
    ("F8_E5M2", Dtype::F8E5M2),
    ("F8_E8M0", Dtype::F8E8M0),
    ("F16", Dtype::F16),
    ("BF16", Dtype::BF16),
    ("F32", Dtype::F32),
    ("F64", Dtype::F64),
];

fn dtype_of(name: &str) -> Option<Dtype> {
    DTYPES.iter().find(|(n, _)| *n == name).map(|(_, d)| *d)
}

fn name_of(dtype: Dtype) -> Result<&'static str, SafetensorsError> {
    let found = DTYPES.iter().find(|(_, d)| *d == dtype).map(|(n, _)| *n);
    found.ok_or(SafetensorsError::Unwritable { dtype })
}

#[derive(Default)]
struct Header {
    tensors: BTreeMap<String, Described>,
    metadata: BTreeMap<String, String>,
    duplicate: Option<String>,
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                // The format says text; some writers put numbers, objects or null there.
                let entries: Option<BTreeMap<String, serde_json::Value>> = map.next_value()?;
                let text = |value| match value {
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                };
                header.metadata =
                    entries.unwrap_or_default().into_iter().map(|(key, value)| (key, text(value))).collect();
            } else if header.tensors.insert(name.clone(), map.next_value()?).is_some() {
                header.duplicate.get_or_insert(name);
            }
        }
        Ok(header)
    }
}

impl Safetensors {
    /// A tensor's bytes, which stay mapped when this reader is gone.
    ///
    /// # Errors
    /// [`Error::NoSuchTensor`].
    pub fn region(&self, name: &str) -> Result<Region> {
        Ok(Region::new(self.data.clone(), self.stored(name)?.range.clone()))
    }

    fn stored(&self, name: &str) -> Result<&Stored> {
        self.tensors.get(name).ok_or_else(|| Error::NoSuchTensor { name: name.to_owned() })
    }
}

impl TensorSource for Safetensors {
    fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        self.tensors.get(name).map(|t| t.info.clone())
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        let stored = self.stored(name)?;
        let bytes = &self.data[stored.range.clone()];
        TensorView::new(stored.info.dtype, stored.info.shape.clone(), bytes)
            .map_err(|e| Error::in_tensor(name, e))
    }

    fn metadata_text(&self, key: &str) -> Option<String> {
        self.metadata.get(key).cloned()
    }

    fn release(&self, name: &str) {
        if let Ok(stored) = self.stored(name) {
            self.data.release(stored.range.clone());
        }
    }

    fn prefetch(&self, name: &str) {
        if let Ok(stored) = self.stored(name) {
            self.data.prefetch(stored.range.clone());
        }
    }
}
