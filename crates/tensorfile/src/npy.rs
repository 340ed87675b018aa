//! The npy format: one NumPy array.

use crate::{Dtype, Result, TensorView, element_count};
use std::borrow::Cow;

/// What can be wrong with an npy array.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
    /// It doesn't begin with NumPy's signature.
    #[error("not an npy array")]
    NotNpy,
    /// A version of the format that doesn't exist yet.
    #[error("npy version {major}.{minor} is unknown")]
    Version {
        /// Major version.
        major: u8,
        /// Minor version.
        minor: u8,
    },
    /// The header isn't the dictionary it should be.
    #[error("the npy header is broken: {what}")]
    Header {
        /// What is wrong with it.
        what: &'static str,
    },
    /// An element type that isn't a number: Python objects, records, text, dates, complex.
    #[error("elements of type {descr:?} aren't numbers that this reader knows")]
    Unsupported {
        /// NumPy's description of the type.
        descr: String,
    },
    /// More or fewer bytes than the header promises.
    #[error("the header promises {expected} bytes of elements, there are {found}")]
    Size {
        /// Promised; `None` in the text where it overflows.
        expected: String,
        /// There are.
        found: u64,
    },
}

/// The header of an npy array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NpyHeader {
    /// NumPy's description of the element type, `<f8` say; a record type is kept as it is written.
    pub descr: String,
    /// Is the first axis the fastest?
    pub fortran_order: bool,
    /// Extent of every axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// Where the elements begin.
    pub data_start: usize,
}

impl NpyHeader {
    /// Longest header that is read: version 2 allows 4 GiB, no array of numbers needs more than some 100 bytes.
    pub const MAX_BYTES: usize = 1 << 16;

    /// Parses the header at the start of `bytes`, which may end anywhere behind it.
    ///
    /// # Errors
    /// [`NpyError::NotNpy`], [`NpyError::Version`], [`NpyError::Header`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NpyError> {
        let header = |what| NpyError::Header { what };
        let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or(NpyError::NotNpy)?;
        let (len, start) = match *rest {
            [1, 0, a, b, ..] => (usize::from(u16::from_le_bytes([a, b])), 10),
            [2 | 3, 0, a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]) as usize, 12),
            [major, minor, ..] if !matches!((major, minor), (1..=3, 0)) => {
                return Err(NpyError::Version { major, minor });
            }
            _ => return Err(header("it is truncated")),
        };
        let text = bytes.get(start..).and_then(|b| b.get(..len)).ok_or(header("it is truncated"))?;
        let text = std::str::from_utf8(text).map_err(|_| header("it isn't UTF-8"))?;
        let mut parser = Parser { rest: text.trim() };
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        parser.expect("{")?;
        while !parser.take("}") {
            let key = parser.string()?;
            parser.expect(":")?;
            match key {
                "descr" => descr = Some(parser.descr()?),
                "fortran_order" => fortran_order = Some(parser.boolean()?),
                "shape" => shape = Some(parser.shape()?),
                _ => return Err(header("it has an unknown key")),
            }
            if !parser.take(",") {
                parser.expect("}")?;
                break;
            }
        }
        if !parser.rest.trim().is_empty() {
            return Err(header("something follows the dictionary"));
        }
        Ok(Self {
            descr: descr.ok_or(header("it has no descr"))?,
            fortran_order: fortran_order.ok_or(header("it has no fortran_order"))?,
            shape: shape.ok_or(header("it has no shape"))?,
            data_start: start + len,
        })
    }

    /// The element type and whether it is big-endian.
    ///
    /// # Errors
    /// [`NpyError::Unsupported`] for anything but numbers and booleans.
    pub fn dtype(&self) -> Result<(Dtype, bool), NpyError> {
        let unsupported = || NpyError::Unsupported { descr: self.descr.clone() };
        let (order, kind) = self.descr.split_at_checked(1).ok_or_else(unsupported)?;
        let big = match order {
            "<" | "|" => false,
            "=" => cfg!(target_endian = "big"),
            ">" => true,
            _ => return Err(unsupported()),
        };
        let dtype = match kind {
            "b1" | "?" => Dtype::Bool,
            "u1" => Dtype::U8,
            "i1" => Dtype::I8,
            "u2" => Dtype::U16,
            "i2" => Dtype::I16,
            "u4" => Dtype::U32,
            "i4" => Dtype::I32,
            "u8" => Dtype::U64,
            "i8" => Dtype::I64,
            "f2" => Dtype::F16,
            "f4" => Dtype::F32,
            "f8" => Dtype::F64,
            _ => return Err(unsupported()),
        };
        Ok((dtype, big))
    }

    /// Number of bytes that the elements take; `None` where that overflows.
    ///
    /// # Errors
    /// [`NpyError::Unsupported`] for anything but numbers and booleans.
    pub fn data_bytes(&self) -> Result<Option<usize>, NpyError> {
        let (dtype, _) = self.dtype()?;
        Ok(element_count(&self.shape).and_then(|n| dtype.bytes_for(n)))
    }
}

/// Parses a whole npy array. Row-major little-endian elements are borrowed, everything else is reordered.
///
/// # Errors
/// [`Error::Npy`](crate::Error::Npy).
pub fn parse(bytes: &[u8]) -> Result<TensorView<'_>> {
    let header = NpyHeader::parse(bytes)?;
    Ok(elements(&header, Cow::Borrowed(&bytes[header.data_start..]))?)
}

/// The elements behind a header: row-major, little-endian.
pub(crate) fn elements<'a>(header: &NpyHeader, data: Cow<'a, [u8]>) -> Result<TensorView<'a>, NpyError> {
    let (dtype, big) = header.dtype()?;
    let expected = header.data_bytes()?;
    if expected != Some(data.len()) {
        let expected = expected.map_or("more than addressable".to_owned(), |n| n.to_string());
        return Err(NpyError::Size { expected, found: data.len() as u64 });
    }
    let width = dtype.block_bytes();
    let mut data = data;
    if big && width > 1 {
        data.to_mut().chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
    if header.fortran_order && header.shape.iter().filter(|&&d| d > 1).count() > 1 && !data.is_empty() {
        data = Cow::Owned(row_major(&data, &header.shape, width));
    }
    // The size was checked above, so the view can't refuse it.
    TensorView::new(dtype, header.shape.clone(), data)
        .map_err(|_| NpyError::Header { what: "its shape and type contradict each other" })
}

/// Column-major to row-major.
fn row_major(data: &[u8], shape: &[usize], width: usize) -> Vec<u8> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut step = width;
    for &extent in shape {
        strides.push(step);
        step *= extent;
    }
    let mut out = Vec::with_capacity(data.len());
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    loop {
        out.extend_from_slice(&data[at..at + width]);
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return out;
            }
            axis -= 1;
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
}

/// The npy form of a tensor: version 1.0, row-major, little-endian.
///
/// # Errors
/// [`NpyError::Unsupported`] for types that NumPy doesn't have (BF16, 8-bit floats, quantised blocks).
pub fn write(view: &TensorView<'_>) -> Result<Vec<u8>, NpyError> {
    let descr = match view.dtype() {
        Dtype::Bool => "|b1",
        Dtype::U8 => "|u1",
        Dtype::I8 => "|i1",
        Dtype::U16 => "<u2",
        Dtype::I16 => "<i2",
        Dtype::U32 => "<u4",
        Dtype::I32 => "<i4",
        Dtype::U64 => "<u8",
        Dtype::I64 => "<i8",
        Dtype::F16 => "<f2",
        Dtype::F32 => "<f4",
        Dtype::F64 => "<f8",
        other => return Err(NpyError::Unsupported { descr: other.to_string() }),
    };
    let mut shape = String::new();
    for extent in view.shape() {
        shape += &format!("{extent}, ");
    }
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
    let padded = (10 + header.len() + 1).next_multiple_of(64);
    header += &" ".repeat(padded - 11 - header.len());
    header.push('\n');
    let len = u16::try_from(header.len()).map_err(|_| NpyError::Header { what: "it has too many axes" })?;
    let mut out = Vec::with_capacity(padded + view.bytes().len());
    out.extend(b"\x93NUMPY\x01\x00");
    out.extend(len.to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(view.bytes());
    Ok(out)
}

/// The little of Python's literals that a header is written in.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn take(&mut self, token: &str) -> bool {
        let trimmed = self.rest.trim_start();
        match trimmed.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), NpyError> {
        if self.take(token) { Ok(()) } else { Err(NpyError::Header { what: "it isn't a dictionary" }) }
    }

    fn string(&mut self) -> Result<&'a str, NpyError> {
        let broken = NpyError::Header { what: "a string is missing" };
        let trimmed = self.rest.trim_start();
        let Some(quote) = trimmed.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
            return Err(broken);
        };
        let (text, rest) = trimmed[1..].split_once(quote).ok_or(broken)?;
        self.rest = rest;
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, NpyError> {
        if self.take("True") {
            Ok(true)
        } else if self.take("False") {
            Ok(false)
        } else {
            Err(NpyError::Header { what: "fortran_order is neither True nor False" })
        }
    }

    /// A type's description: a string, or the list of a record type, which is kept as written.
    fn descr(&mut self) -> Result<String, NpyError> {
        let trimmed = self.rest.trim_start();
        if !trimmed.starts_with('[') {
            return Ok(self.string()?.to_owned());
        }
        let mut depth = 0_usize;
        for (at, c) in trimmed.char_indices() {
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let (descr, rest) = trimmed.split_at(at + 1);
                self.rest = rest;
                return Ok(descr.to_owned());
            }
        }
        Err(NpyError::Header { what: "its descr has no end" })
    }

    fn shape(&mut self) -> Result<Vec<usize>, NpyError> {
        self.expect("(")?;
        let mut shape = Vec::new();
        while !self.take(")") {
            let trimmed = self.rest.trim_start();
            let digits = trimmed.len() - trimmed.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, rest) = trimmed.split_at(digits);
            // Python 2 wrote long integers with an L.
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            shape.push(number.parse().map_err(|_| NpyError::Header { what: "an extent isn't a number" })?);
            if shape.len() > 32 {
                return Err(NpyError::Header { what: "it has more than 32 axes" });
            }
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(shape)
    }
}
