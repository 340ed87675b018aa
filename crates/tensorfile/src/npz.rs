//! The npz format: a zip archive of npy arrays.

use crate::npy::{self, NpyError, NpyHeader};
use crate::zip::{Entry, ZipArchive, ZipWriter};
use crate::{Data, Error, Result, TensorInfo, TensorSource, TensorView};
use std::borrow::Cow;
use std::io::Cursor;
use std::path::Path;

/// An opened npz archive.
///
/// ```
/// use anicrafter_tensorfile::{Npz, TensorSource, TensorView, write_npz_bytes};
/// let bytes = write_npz_bytes(&[("weights", TensorView::from_f32(&[2, 2], &[1.0, 2.0, 3.0, 4.0])?)], true)?;
/// let npz = Npz::parse(bytes)?;
/// assert_eq!(npz.f64("weights")?, (vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]));
/// # Ok::<(), anicrafter_tensorfile::Error>(())
/// ```
#[derive(Debug)]
pub struct Npz {
    zip: ZipArchive,
    arrays: Vec<Array>,
    limit: u64,
}

#[derive(Debug)]
struct Array {
    name: String,
    entry: Entry,
    header: NpyHeader,
}

impl Npz {
    /// Largest deflated array that is read unless [`Npz::with_limit`] says otherwise.
    pub const DEFAULT_LIMIT: u64 = 1 << 30;

    /// Opens an archive on disk (mapped).
    ///
    /// # Errors
    /// When the file can't be opened, or as [`Npz::parse`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(crate::impostor::map(path)?).map_err(|e| Error::in_file(path, e))
    }

    /// Parses an archive in memory: the directory and every array's header.
    ///
    /// # Errors
    /// [`Error::Zip`], [`Error::Npy`] (with the array's name) when either is broken.
    pub fn parse(data: impl Into<Data>) -> Result<Self> {
        let zip = ZipArchive::parse(data.into())?;
        let mut arrays = Vec::new();
        for entry in zip.entries() {
            let Some(name) = entry.name.strip_suffix(".npy") else { continue };
            let header = zip.head(entry, NpyHeader::MAX_BYTES).map_err(Error::from).and_then(|head| {
                let header = NpyHeader::parse(&head)?;
                // Sizes that contradict each other are found now, before anything is inflated.
                if let Ok(bytes) = header.data_bytes() {
                    let found = entry.size.saturating_sub(header.data_start as u64);
                    if bytes.map(|n| n as u64) != Some(found) {
                        let expected = bytes.map_or("more than addressable".to_owned(), |n| n.to_string());
                        return Err(NpyError::Size { expected, found }.into());
                    }
                }
                Ok(header)
            });
            let header = header.map_err(|e| Error::in_tensor(name, e))?;
            arrays.push(Array { name: name.to_owned(), entry: entry.clone(), header });
        }
        Ok(Self { zip, arrays, limit: Self::DEFAULT_LIMIT })
    }

    /// The same archive with another limit, in bytes, to the size of a deflated array.
    #[must_use]
    pub fn with_limit(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    /// Every array's name and header, those of Python objects and text included.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &NpyHeader)> {
        self.arrays.iter().map(|a| (a.name.as_str(), &a.header))
    }

    /// Is there an array of that name, readable or not?
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.arrays.iter().any(|a| a.name == name)
    }

    /// A text array of one element (`gender` in motion files, say).
    ///
    /// # Errors
    /// [`Error::NoSuchTensor`]; [`NpyError::Unsupported`] for anything but one string; broken archives.
    pub fn text(&self, name: &str) -> Result<String> {
        let array = self.array(name)?;
        let named = |e: Error| Error::in_tensor(name, e);
        let header = &array.header;
        let unsupported = || named(NpyError::Unsupported { descr: header.descr.clone() }.into());
        let scalar = header.shape.iter().all(|&d| d == 1);
        let (order, kind) = header.descr.split_at_checked(1).ok_or_else(unsupported)?;
        let (kind, len) = kind.split_at_checked(1).ok_or_else(unsupported)?;
        let len: usize = len.parse().map_err(|_| unsupported())?;
        let bytes = self.zip.read(&array.entry, self.limit).map_err(|e| named(e.into()))?;
        let data = bytes.get(header.data_start..).unwrap_or_default();
        let width = match kind {
            "U" if scalar => len.checked_mul(4),
            "S" if scalar => Some(len),
            _ => return Err(unsupported()),
        };
        if width != Some(data.len()) {
            let expected = width.map_or("more than addressable".to_owned(), |n| n.to_string());
            return Err(named(NpyError::Size { expected, found: data.len() as u64 }.into()));
        }
        let chars: Option<String> = if kind == "S" {
            std::str::from_utf8(data).ok().map(str::to_owned)
        } else {
            let code =
                |c: &[u8; 4]| if order == ">" { u32::from_be_bytes(*c) } else { u32::from_le_bytes(*c) };
            data.as_chunks::<4>().0.iter().map(|c| char::from_u32(code(c))).collect()
        };
        let text = chars.ok_or_else(|| named(NpyError::Header { what: "its text isn't Unicode" }.into()))?;
        Ok(text.trim_end_matches('\0').to_owned())
    }

    fn array(&self, name: &str) -> Result<&Array> {
        let found = self.arrays.iter().find(|a| a.name == name);
        found.ok_or_else(|| Error::NoSuchTensor { name: name.to_owned() })
    }
}

impl TensorSource for Npz {
    /// Names of the arrays of numbers; those of objects and text are in [`Npz::headers`].
    fn names(&self) -> Vec<&str> {
        self.headers().filter(|(_, h)| h.dtype().is_ok()).map(|(n, _)| n).collect()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        let header = &self.array(name).ok()?.header;
        let (dtype, _) = header.dtype().ok()?;
        Some(TensorInfo { dtype, shape: header.shape.clone() })
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        let array = self.array(name)?;
        let read = || {
            array.header.dtype()?;
            let start = array.header.data_start;
            let data = match self.zip.read(&array.entry, self.limit)? {
                Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(start..).unwrap_or_default()),
                Cow::Owned(mut bytes) => {
                    bytes.drain(..start.min(bytes.len()));
                    Cow::Owned(bytes)
                }
            };
            Ok(npy::elements(&array.header, data)?)
        };
        read().map_err(|e| Error::in_tensor(name, e))
    }
}

/// An npz archive in memory; `deflate` as in NumPy's `savez_compressed`.
///
/// # Errors
/// [`NpyError::Unsupported`] for types that NumPy doesn't have.
pub fn write_npz_bytes(arrays: &[(&str, TensorView<'_>)], deflate: bool) -> Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, view) in arrays {
        let bytes = npy::write(view).map_err(|e| Error::in_tensor(name, e.into()))?;
        let entry = format!("{name}.npy");
        if deflate { zip.deflated(&entry, &bytes) } else { zip.stored(&entry, &bytes, 64) }
            .map_err(Error::Io)?;
    }
    Ok(zip.finish().map_err(Error::Io)?.into_inner())
}

/// Writes an npz archive to disk under a temporary name, then renames it.
///
/// # Errors
/// As [`write_npz_bytes`], and when the file can't be written.
pub fn write_npz(path: impl AsRef<Path>, arrays: &[(&str, TensorView<'_>)], deflate: bool) -> Result<()> {
    let path = path.as_ref();
    let bytes = write_npz_bytes(arrays, deflate).map_err(|e| Error::in_file(path, e))?;
    crate::write_atomically(path, |file| std::io::Write::write_all(file, &bytes))
}
