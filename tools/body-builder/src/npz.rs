//! Writing `.npz` files: a deflated zip of `.npy` arrays, with fixed times so that equal content gives equal bytes.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::error::Error;

/// An element type of an array.
pub trait Element: Copy {
    /// NumPy's name of the type, little endian.
    const DESCR: &'static str;
    /// Appends the little-endian bytes.
    fn push(self, bytes: &mut Vec<u8>);
}

macro_rules! element {
    ($($t:ty => $descr:literal),*) => {$(
        impl Element for $t {
            const DESCR: &'static str = $descr;
            fn push(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
element!(u8 => "|u1", u16 => "<u2", u32 => "<u4", i16 => "<i2", i64 => "<i8", f32 => "<f4");

/// An `.npz` file in the making.
#[derive(Debug)]
pub struct NpzWriter {
    zip: ZipWriter<Cursor<Vec<u8>>>,
    path: PathBuf,
}

impl NpzWriter {
    /// Starts a file; `path` is where [`NpzWriter::finish`] writes it.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { zip: ZipWriter::new(Cursor::new(Vec::new())), path: path.to_owned() }
    }

    /// Adds an array in C order.
    ///
    /// # Errors
    /// The data does not have as many elements as the shape says, or the zip writer fails.
    pub fn add<T: Element>(&mut self, name: &str, shape: &[usize], data: &[T]) -> Result<(), Error> {
        let count: usize = shape.iter().product();
        if data.len() != count {
            return Err(Error::malformed(
                name,
                "shape",
                format!("{count} elements for {shape:?}"),
                data.len().to_string(),
            ));
        }
        let mut bytes = header(T::DESCR, shape);
        data.iter().for_each(|&x| x.push(&mut bytes));
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(9))
            .last_modified_time(zip::DateTime::DEFAULT);
        let wheel = |source| Error::Wheel { path: self.path.clone(), source };
        self.zip.start_file(format!("{name}.npy"), options).map_err(wheel)?;
        self.zip.write_all(&bytes).map_err(|source| Error::Io { path: self.path.clone(), source })
    }

    /// Writes the file.
    ///
    /// # Errors
    /// The zip writer or the file system fails.
    pub fn finish(self) -> Result<(), Error> {
        let Self { zip, path } = self;
        let bytes = zip.finish().map_err(|source| Error::Wheel { path: path.clone(), source })?.into_inner();
        std::fs::write(&path, bytes).map_err(|source| Error::Io { path, source })
    }
}

/// The `.npy` header, version 1.0, padded so that the data starts at a multiple of 64 bytes.
fn header(descr: &str, shape: &[usize]) -> Vec<u8> {
    let dims: String = shape.iter().map(|n| format!("{n},")).collect();
    let mut dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}), }}");
    let padded = (10 + dict.len() + 1).next_multiple_of(64);
    dict.extend(std::iter::repeat_n(' ', padded - 11 - dict.len()));
    dict.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(dict.len() as u16).to_le_bytes());
    bytes.extend_from_slice(dict.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_aligned() {
        for shape in [&[3usize][..], &[55, 3, 10], &[]] {
            let h = header("<f4", shape);
            assert_eq!(h.len() % 64, 0);
            assert_eq!(usize::from(u16::from_le_bytes([h[8], h[9]])) + 10, h.len());
        }
    }

    #[test]
    fn a_wrong_shape_is_an_error() {
        assert!(NpzWriter::new(Path::new("x")).add("a", &[2, 2], &[1u8, 2, 3]).is_err());
    }
}
