//! GGUF's metadata values, and the cursor that reads a header.

use super::GgufError;
use std::ops::Range;

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum GgufValue {
    /// A whole number of any signed width, or an unsigned one that fits.
    Int(i64),
    /// A `u64` beyond `i64::MAX`.
    Big(u64),
    /// A floating-point number of either width.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Text.
    Text(String),
    /// An array, left in the file until [`Gguf::array`](super::Gguf::array) asks for it: a tokenizer's vocabulary
    /// has hundreds of thousands of entries.
    Array(GgufArray),
}

impl GgufValue {
    /// A whole number.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(x) => Some(*x),
            _ => None,
        }
    }

    /// A whole number that isn't negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(x) => u64::try_from(*x).ok(),
            Self::Big(x) => Some(*x),
            _ => None,
        }
    }

    /// Text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Where an array's elements lie in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GgufArray {
    kind: u32,
    count: u64,
    range: Range<usize>,
    narrow: bool,
}

impl GgufArray {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Has it no elements?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn elements(&self, data: &[u8]) -> Result<Vec<GgufValue>, GgufError> {
        let mut reader = Reader::new(data.get(..self.range.end).unwrap_or_default(), self.range.start);
        reader.narrow = self.narrow;
        (0..self.count).map(|_| reader.value("", self.kind, 1)).collect()
    }
}

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
    /// Version 1 counts in 32 bits.
    pub(super) narrow: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, narrow: false }
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], GgufError> {
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or(GgufError::Truncated { at: self.at })?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        let at = self.at;
        self.take(N as u64)?.try_into().map_err(|_| GgufError::Truncated { at })
    }

    pub(super) fn u32(&mut self) -> Result<u32, GgufError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, GgufError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn length(&mut self) -> Result<u64, GgufError> {
        if self.narrow { self.u32().map(u64::from) } else { self.u64() }
    }

    pub(super) fn text(&mut self) -> Result<&'a str, GgufError> {
        let len = self.length()?;
        let at = self.at;
        std::str::from_utf8(self.take(len)?).map_err(|_| GgufError::Text { at })
    }

    pub(super) fn value(&mut self, key: &str, kind: u32, depth: u32) -> Result<GgufValue, GgufError> {
        Ok(match kind {
            0 => GgufValue::Int(u8::from_le_bytes(self.array()?).into()),
            1 => GgufValue::Int(i8::from_le_bytes(self.array()?).into()),
            2 => GgufValue::Int(u16::from_le_bytes(self.array()?).into()),
            3 => GgufValue::Int(i16::from_le_bytes(self.array()?).into()),
            4 => GgufValue::Int(self.u32()?.into()),
            5 => GgufValue::Int(i32::from_le_bytes(self.array()?).into()),
            6 => GgufValue::Float(f32::from_le_bytes(self.array()?).into()),
            7 => GgufValue::Bool(self.array::<1>()?[0] != 0),
            8 => GgufValue::Text(self.text()?.to_owned()),
            9 => GgufValue::Array(self.skip_array(key, depth)?),
            10 => {
                let x = self.u64()?;
                i64::try_from(x).map_or(GgufValue::Big(x), GgufValue::Int)
            }
            11 => GgufValue::Int(i64::from_le_bytes(self.array()?)),
            12 => GgufValue::Float(f64::from_le_bytes(self.array()?)),
            found => return Err(GgufError::ValueType { key: key.to_owned(), found }),
        })
    }

    fn skip_array(&mut self, key: &str, depth: u32) -> Result<GgufArray, GgufError> {
        let kind = self.u32()?;
        let count = self.length()?;
        let start = self.at;
        let width = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            _ => 0,
        };
        match kind {
            8 => {
                for _ in 0..count {
                    self.text()?;
                }
            }
            9 if depth < 4 => {
                for _ in 0..count {
                    self.skip_array(key, depth + 1)?;
                }
            }
            _ if width > 0 => {
                self.take(count.checked_mul(width).ok_or(GgufError::Truncated { at: start })?)?;
            }
            found => return Err(GgufError::ValueType { key: key.to_owned(), found }),
        }
        Ok(GgufArray { kind, count, range: start..self.at, narrow: self.narrow })
    }
}
