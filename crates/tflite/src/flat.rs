//! Reading FlatBuffers: tables, vectors and strings by field number, every offset checked.
//!
//! Format: the FlatBuffers "internals" page. Offsets are unsigned and relative to where they lie; a table begins with the
//! signed distance to its list of field offsets.

use crate::error::{Error, Result};

/// A table of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
    fields: usize,
    fields_len: usize,
}

fn get<'a, const N: usize>(bytes: &'a [u8], at: usize, what: &'static str) -> Result<&'a [u8; N]> {
    let end = at.checked_add(N).ok_or(Error::OutOfBounds { what, len: bytes.len() })?;
    bytes
        .get(at..end)
        .and_then(|slice| slice.try_into().ok())
        .ok_or(Error::OutOfBounds { what, len: bytes.len() })
}

fn u32_at(bytes: &[u8], at: usize, what: &'static str) -> Result<usize> {
    Ok(u32::from_le_bytes(*get(bytes, at, what)?) as usize)
}

/// Where the offset stored at `at` points.
fn follow(bytes: &[u8], at: usize, what: &'static str) -> Result<usize> {
    let to = at.checked_add(u32_at(bytes, at, what)?);
    to.filter(|to| *to < bytes.len()).ok_or(Error::OutOfBounds { what, len: bytes.len() })
}

impl<'a> Table<'a> {
    /// The root table.
    pub(crate) fn root(bytes: &'a [u8]) -> Result<Self> {
        Self::at(bytes, follow(bytes, 0, "the root table")?)
    }

    fn at(bytes: &'a [u8], at: usize) -> Result<Self> {
        let what = "a table";
        let bad = Error::OutOfBounds { what, len: bytes.len() };
        let back = i64::from(i32::from_le_bytes(*get(bytes, at, what)?));
        let fields = usize::try_from(at as i64 - back).map_err(|_| bad.clone())?;
        let fields_len = usize::from(u16::from_le_bytes(*get(bytes, fields, what)?));
        if fields_len < 4 || fields.checked_add(fields_len).is_none_or(|end| end > bytes.len()) {
            return Err(bad);
        }
        Ok(Self { bytes, at, fields, fields_len })
    }

    /// Where field `id` lies; `None` where the file leaves it out.
    fn field(&self, id: usize) -> Result<Option<usize>> {
        let entry = 4 + 2 * id;
        if entry + 2 > self.fields_len {
            return Ok(None);
        }
        let offset = usize::from(u16::from_le_bytes(*get(self.bytes, self.fields + entry, "a field")?));
        Ok((offset != 0).then_some(self.at + offset))
    }

    pub(crate) fn u32(&self, id: usize, default: u32) -> Result<u32> {
        self.field(id)?.map_or(Ok(default), |at| Ok(u32::from_le_bytes(*get(self.bytes, at, "a number")?)))
    }

    pub(crate) fn i32(&self, id: usize, default: i32) -> Result<i32> {
        self.field(id)?.map_or(Ok(default), |at| Ok(i32::from_le_bytes(*get(self.bytes, at, "a number")?)))
    }

    pub(crate) fn u8(&self, id: usize, default: u8) -> Result<u8> {
        self.field(id)?.map_or(Ok(default), |at| Ok(get::<1>(self.bytes, at, "a byte")?[0]))
    }

    pub(crate) fn bool(&self, id: usize) -> Result<bool> {
        Ok(self.u8(id, 0)? != 0)
    }

    pub(crate) fn table(&self, id: usize) -> Result<Option<Self>> {
        self.field(id)?
            .map(|at| Self::at(self.bytes, follow(self.bytes, at, "a table's offset")?))
            .transpose()
    }

    /// Start and number of a vector's elements of `size` bytes.
    fn vector(&self, id: usize, size: usize, what: &'static str) -> Result<Option<(usize, usize)>> {
        let Some(at) = self.field(id)? else { return Ok(None) };
        let at = follow(self.bytes, at, what)?;
        let n = u32_at(self.bytes, at, what)?;
        let end = n.checked_mul(size).and_then(|bytes| bytes.checked_add(at + 4));
        match end {
            Some(end) if end <= self.bytes.len() => Ok(Some((at + 4, n))),
            _ => Err(Error::OutOfBounds { what, len: self.bytes.len() }),
        }
    }

    /// A vector of bytes; empty where it is absent.
    pub(crate) fn bytes(&self, id: usize) -> Result<&'a [u8]> {
        let found = self.vector(id, 1, "a vector of bytes")?;
        Ok(found.map_or(&[][..], |(start, n)| &self.bytes[start..start + n]))
    }

    /// A string; empty where it is absent.
    pub(crate) fn text(&self, id: usize) -> Result<String> {
        Ok(String::from_utf8_lossy(self.bytes(id)?).into_owned())
    }

    /// A vector of at most `limit` 32-bit integers; `None` where it is absent.
    pub(crate) fn ints(&self, id: usize, what: &'static str, limit: usize) -> Result<Option<Vec<i32>>> {
        let Some((start, n)) = self.vector(id, 4, what)? else { return Ok(None) };
        check(what, n, limit)?;
        let words = self.bytes[start..start + 4 * n].as_chunks::<4>().0;
        Ok(Some(words.iter().map(|word| i32::from_le_bytes(*word)).collect()))
    }

    /// A vector of at most `limit` 16-bit integers; `None` where it is absent.
    pub(crate) fn shorts(&self, id: usize, what: &'static str, limit: usize) -> Result<Option<Vec<u16>>> {
        let Some((start, n)) = self.vector(id, 2, what)? else { return Ok(None) };
        check(what, n, limit)?;
        let words = self.bytes[start..start + 2 * n].as_chunks::<2>().0;
        Ok(Some(words.iter().map(|word| u16::from_le_bytes(*word)).collect()))
    }

    /// A vector of at most `limit` tables; empty where it is absent.
    pub(crate) fn tables(&self, id: usize, what: &'static str, limit: usize) -> Result<Vec<Self>> {
        let Some((start, n)) = self.vector(id, 4, what)? else { return Ok(Vec::new()) };
        check(what, n, limit)?;
        (0..n).map(|i| Self::at(self.bytes, follow(self.bytes, start + 4 * i, what)?)).collect()
    }
}

/// Refuses counts above a limit.
pub(crate) fn check(what: &'static str, value: usize, limit: usize) -> Result<()> {
    if value <= limit { Ok(()) } else { Err(Error::TooLarge { what, value, limit }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_made_table_is_read() {
        // Root offset 12; field list at 4: 8 bytes long, table of 12 bytes, field 0 at 4, field 1 left out.
        let mut bytes = vec![12, 0, 0, 0, 8, 0, 12, 0, 4, 0, 0, 0];
        bytes.extend([8, 0, 0, 0, 42, 0, 0, 0]);
        let root = Table::root(&bytes).unwrap();
        assert_eq!(root.i32(0, 7).unwrap(), 42);
        assert_eq!((root.i32(1, 7).unwrap(), root.i32(9, 8).unwrap()), (7, 8));
        assert!(root.bytes(1).unwrap().is_empty());
        // Field 0 read as a vector points outside.
        assert!(matches!(root.bytes(0), Err(Error::OutOfBounds { .. })));
    }

    #[test]
    fn cut_files_are_refused() {
        for bytes in [&[][..], &[0], &[4, 0, 0, 0], &[200, 0, 0, 0, 1, 1], &[4, 0, 0, 0, 255, 255, 255, 127]]
        {
            assert!(Table::root(bytes).is_err());
        }
    }
}
