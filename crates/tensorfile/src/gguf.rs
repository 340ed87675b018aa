//! The GGUF format of llama.cpp and its relatives, as diffusion models use it too.

mod value;
mod write;

pub use value::{GgufArray, GgufValue};
pub use write::write_gguf_with;

use crate::{Data, Dtype, Error, Result, TensorInfo, TensorSource, TensorView, element_count};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use value::Reader;

/// What can be wrong with a GGUF file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// It doesn't begin with `GGUF`.
    #[error("not a GGUF file")]
    NotGguf,
    /// A version other than 1, 2 and 3, or a big-endian file.
    #[error("GGUF version {found} isn't supported (big-endian files aren't, either)")]
    Version {
        /// The version as read.
        found: u32,
    },
    /// The file ends inside the header.
    #[error(
        "the header is truncated at byte {at}: the file's download or copy was cut short, fetch it again"
    )]
    Truncated {
        /// Where more was due.
        at: usize,
    },
    /// More tensors or entries than the file has room for.
    #[error("the header claims {claimed} {what}, the file has room for {limit}")]
    Count {
        /// Of what.
        what: &'static str,
        /// Claimed number.
        claimed: u64,
        /// Possible number.
        limit: u64,
    },
    /// A metadata type that doesn't exist, or arrays nested too deeply.
    #[error("metadata {key:?} has unknown or too deeply nested type {found}")]
    ValueType {
        /// The entry.
        key: String,
        /// Number of the type.
        found: u32,
    },
    /// Text that isn't UTF-8.
    #[error("the text at byte {at} isn't UTF-8")]
    Text {
        /// Where it is.
        at: usize,
    },
    /// A tensor type that this reader can't decode.
    #[error("tensor {name:?} is stored as {} (ggml type {found}), which isn't supported; take a file in Q2_K to Q8_0, IQ4_NL or IQ4_XS", type_name(*found))]
    TensorType {
        /// The tensor.
        name: String,
        /// ggml's number of the type.
        found: u32,
    },
    /// A shape with too many axes, too many elements, or rows that don't fill whole blocks.
    #[error("tensor {name:?} has the impossible shape {shape:?} for {dtype}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape, slowest axis first.
        shape: Vec<usize>,
        /// Its type.
        dtype: Dtype,
    },
    /// A recorded original shape with another number of elements.
    #[error("the original shape of tensor {name:?}, {original:?}, contradicts its stored shape {stored:?}")]
    OriginalShape {
        /// The tensor.
        name: String,
        /// As stored, slowest axis first.
        stored: Vec<usize>,
        /// As recorded in the metadata.
        original: Vec<i64>,
    },
    /// A tensor outside the file.
    #[error("tensor {name:?} claims {len} bytes from byte {start}, the file has {available}")]
    Range {
        /// The tensor.
        name: String,
        /// First byte in the file.
        start: u64,
        /// Number of bytes.
        len: usize,
        /// Bytes of the file.
        available: usize,
    },
    /// The file ends before its tensors do.
    #[error(
        "the file ends after {found} of {expected} bytes: its download or copy was cut short, fetch it again"
    )]
    Cut {
        /// Bytes that the header speaks of.
        expected: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// Two tensors share bytes.
    #[error("tensor {name:?} overlaps another tensor")]
    Overlap {
        /// The later one.
        name: String,
    },
    /// Two tensors or two metadata entries of one name.
    #[error("{name:?} occurs twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// An alignment that isn't a power of two.
    #[error("alignment {found} isn't a power of two")]
    Alignment {
        /// The alignment.
        found: u64,
    },
}

/// Axes that a tensor may have. The format's own limit is 4; files of video models hold 5.
const MAX_AXES: u32 = 8;

/// ggml's numbers of the types that can be decoded.
const TYPES: [(u32, Dtype); 22] = [
    (0, Dtype::F32),
    (1, Dtype::F16),
    (2, Dtype::Q4_0),
    (3, Dtype::Q4_1),
    (6, Dtype::Q5_0),
    (7, Dtype::Q5_1),
    (8, Dtype::Q8_0),
    (9, Dtype::Q8_1),
    (10, Dtype::Q2K),
    (11, Dtype::Q3K),
    (12, Dtype::Q4K),
    (13, Dtype::Q5K),
    (14, Dtype::Q6K),
    (15, Dtype::Q8K),
    (20, Dtype::IQ4NL),
    (23, Dtype::IQ4XS),
    (24, Dtype::I8),
    (25, Dtype::I16),
    (26, Dtype::I32),
    (27, Dtype::I64),
    (28, Dtype::F64),
    (30, Dtype::BF16),
];

/// ggml's names of types that can't be decoded.
const OTHER_TYPES: [(u32, &str); 14] = [
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
];

fn type_name(number: u32) -> &'static str {
    OTHER_TYPES.iter().find(|(n, _)| *n == number).map_or("an unknown type", |(_, name)| name)
}

/// An opened GGUF file.
///
/// Shapes are row-major, slowest axis first (the file stores them the other way round). Where a converter stored a
/// tensor in fewer axes and recorded `comfy.gguf.orig_shape.<name>`, the recorded shape is handed out.
#[derive(Debug)]
pub struct Gguf {
    data: Data,
    metadata: Vec<(String, GgufValue)>,
    names: Vec<String>,
    tensors: HashMap<String, (TensorInfo, Range<usize>)>,
}

impl Gguf {
    /// Opens a file (mapped).
    ///
    /// # Errors
    /// When the file can't be opened, or as [`Gguf::parse`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(crate::impostor::map(path)?).map_err(|e| Error::in_file(path, e))
    }

    /// Parses a file in memory; every tensor's type, shape and place are checked.
    ///
    /// # Errors
    /// [`Error::Gguf`].
    pub fn parse(data: impl Into<Data>) -> Result<Self> {
        Ok(parse(data.into())?)
    }

    /// All metadata in the file's order.
    #[must_use]
    pub fn metadata(&self) -> &[(String, GgufValue)] {
        &self.metadata
    }

    /// One metadata entry.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&GgufValue> {
        self.metadata.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// The elements of a metadata array.
    ///
    /// # Errors
    /// As [`Gguf::parse`], for an array of another file.
    pub fn array(&self, array: &GgufArray) -> Result<Vec<GgufValue>> {
        Ok(array.elements(&self.data)?)
    }
}

struct Listed {
    name: String,
    info: TensorInfo,
    offset: u64,
    len: usize,
}

fn parse(data: Data) -> Result<Gguf, GgufError> {
    if !data.starts_with(b"GGUF") {
        return Err(GgufError::NotGguf);
    }
    let mut reader = Reader::new(&data, 4);
    let version = reader.u32()?;
    if !(1..=3).contains(&version) {
        return Err(GgufError::Version { found: version });
    }
    reader.narrow = version == 1;
    let tensor_count = reader.length()?;
    let entry_count = reader.length()?;
    // A tensor takes at least its name's length, its axes, type and offset; an entry a name, a type and a byte.
    let room = data.len() as u64;
    for (what, claimed, least) in [("tensors", tensor_count, 20), ("metadata entries", entry_count, 9)] {
        if claimed > room / least {
            return Err(GgufError::Count { what, claimed, limit: room / least });
        }
    }
    let mut metadata: Vec<(String, GgufValue)> = Vec::new();
    let mut keys = std::collections::HashSet::new();
    for _ in 0..entry_count {
        let key = reader.text()?.to_owned();
        let kind = reader.u32()?;
        let value = reader.value(&key, kind, 0)?;
        if !keys.insert(key.clone()) {
            return Err(GgufError::Duplicate { name: key });
        }
        metadata.push((key, value));
    }
    let by_key: HashMap<&str, &GgufValue> = metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
    let alignment = by_key.get("general.alignment").and_then(|v| v.as_u64()).unwrap_or(32);
    if !alignment.is_power_of_two() {
        return Err(GgufError::Alignment { found: alignment });
    }
    let mut listed = Vec::new();
    for _ in 0..tensor_count {
        listed.push(list_tensor(&mut reader, &by_key, &data)?);
    }
    let start = (reader.at as u64).checked_next_multiple_of(alignment).unwrap_or(u64::MAX);
    let mut names = Vec::new();
    let mut tensors = HashMap::new();
    let mut places: Vec<(Range<usize>, &str)> = Vec::new();
    // Where the last tensor ends; offsets beyond any file are lies and not cuts.
    let ends =
        |t: &Listed| start.checked_add(t.offset)?.checked_add(t.len as u64).filter(|end| *end < 1 << 48);
    let expected = listed.iter().map(ends).try_fold(0, |last, end| Some(end?.max(last)));
    if let Some(expected) = expected.filter(|end| *end > data.len() as u64) {
        return Err(GgufError::Cut { expected, found: data.len() as u64 });
    }
    for tensor in &listed {
        let range = || {
            let first = usize::try_from(start.checked_add(tensor.offset)?).ok()?;
            let end = first.checked_add(tensor.len)?;
            (end <= data.len()).then_some(first..end)
        };
        let range = range().ok_or_else(|| GgufError::Range {
            name: tensor.name.clone(),
            start: start.saturating_add(tensor.offset),
            len: tensor.len,
            available: data.len(),
        })?;
        if tensors.insert(tensor.name.clone(), (tensor.info.clone(), range.clone())).is_some() {
            return Err(GgufError::Duplicate { name: tensor.name.clone() });
        }
        names.push(tensor.name.clone());
        places.push((range, &tensor.name));
    }
    places.sort_by_key(|(range, _)| (range.start, range.end));
    for pair in places.windows(2) {
        if pair[0].0.end > pair[1].0.start {
            return Err(GgufError::Overlap { name: pair[1].1.to_owned() });
        }
    }
    Ok(Gguf { metadata, names, tensors, data })
}

fn list_tensor(
    reader: &mut Reader<'_>,
    metadata: &HashMap<&str, &GgufValue>,
    data: &[u8],
) -> Result<Listed, GgufError> {
    let name = reader.text()?.to_owned();
    let axes = reader.u32()?;
    if axes > MAX_AXES {
        return Err(GgufError::Count {
            what: "axes of a tensor",
            claimed: axes.into(),
            limit: MAX_AXES.into(),
        });
    }
    let mut shape = Vec::new();
    for _ in 0..axes {
        let extent = reader.length()?;
        shape.push(usize::try_from(extent).unwrap_or(usize::MAX));
    }
    shape.reverse();
    let found = reader.u32()?;
    let offset = reader.u64()?;
    let known = TYPES.iter().find(|(number, _)| *number == found);
    let Some(&(_, dtype)) = known else {
        return Err(GgufError::TensorType { name, found });
    };
    let rows_fill_blocks = shape.last().is_none_or(|&row| row.is_multiple_of(dtype.block_len()));
    let len = element_count(&shape).and_then(|n| dtype.bytes_for(n)).filter(|_| rows_fill_blocks);
    let Some(len) = len else {
        return Err(GgufError::Shape { name, shape, dtype });
    };
    if let Some(GgufValue::Array(array)) = metadata.get(format!("comfy.gguf.orig_shape.{name}").as_str()) {
        let original: Vec<i64> = array.elements(data)?.iter().filter_map(GgufValue::as_i64).take(9).collect();
        let sizes: Option<Vec<usize>> = original.iter().map(|&d| usize::try_from(d).ok()).collect();
        match sizes {
            Some(sizes) if sizes.len() <= 8 && element_count(&sizes) == element_count(&shape) => {
                shape = sizes;
            }
            _ => return Err(GgufError::OriginalShape { name, stored: shape, original }),
        }
    }
    Ok(Listed { name, info: TensorInfo { dtype, shape }, offset, len })
}

impl TensorSource for Gguf {
    fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        self.tensors.get(name).map(|(info, _)| info.clone())
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        let found = self.tensors.get(name);
        let (info, range) = found.ok_or_else(|| Error::NoSuchTensor { name: name.to_owned() })?;
        TensorView::new(info.dtype, info.shape.clone(), &self.data[range.clone()])
            .map_err(|e| Error::in_tensor(name, e))
    }

    fn metadata_text(&self, key: &str) -> Option<String> {
        Some(match self.get(key)? {
            GgufValue::Text(text) => text.clone(),
            GgufValue::Int(x) => x.to_string(),
            GgufValue::Big(x) => x.to_string(),
            GgufValue::Float(x) => x.to_string(),
            GgufValue::Bool(x) => x.to_string(),
            GgufValue::Array(_) => return None,
        })
    }

    fn release(&self, name: &str) {
        if let Some((_, range)) = self.tensors.get(name) {
            self.data.release(range.clone());
        }
    }

    fn prefetch(&self, name: &str) {
        if let Some((_, range)) = self.tensors.get(name) {
            self.data.prefetch(range.clone());
        }
    }
}
