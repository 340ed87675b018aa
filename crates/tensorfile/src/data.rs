//! The bytes of a file: mapped, owned or embedded in the program.
#![expect(unsafe_code, reason = "memory maps")]

use crate::{Error, Result};
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

/// Immutable bytes that parsers borrow from. Cloning is cheap.
#[derive(Clone)]
pub struct Data(Inner);

#[derive(Clone)]
enum Inner {
    Static(&'static [u8]),
    Owned(Arc<Vec<u8>>),
    Map(Arc<memmap2::Mmap>),
}

impl Data {
    /// Maps a file into memory: nothing is read until it is touched, and the system may drop it at any time.
    ///
    /// The file must not be truncated or rewritten in place while it is mapped: replace files by renaming, as the
    /// writers of this crate do.
    ///
    /// # Errors
    /// When the file can't be opened or mapped.
    pub fn map(path: &Path) -> Result<Self> {
        let io = |e| Error::in_file(path, Error::Io(e));
        let file = File::open(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        if !meta.is_file() {
            return Err(Error::in_file(path, Error::NotAFile));
        }
        if meta.len() == 0 {
            return Ok(Self(Inner::Static(&[])));
        }
        // SAFETY: the map is read-only and every parser of this crate checks ranges against its length. That
        // nobody truncates the file meanwhile is the documented duty of the caller's system, as for any map.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        Ok(Self(Inner::Map(Arc::new(map))))
    }

    /// Tells the system that the pages that lie wholly in `range` won't be needed soon, so that they stop
    /// counting as resident. Reading them again is allowed and reads the file again. No effect on owned bytes.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Inner::Map(map) = &self.0 {
            const PAGE: usize = 4096;
            let start = range.start.div_ceil(PAGE) * PAGE;
            let end = range.end.min(map.len()) / PAGE * PAGE;
            if start < end {
                // SAFETY: the mapping is read-only and backed by a file, so dropping its pages loses no data:
                // the next access reads them again.
                let advised = unsafe {
                    map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start)
                };
                // Advice may be refused (a file system without support); the data stay valid either way.
                drop(advised);
            }
        }
        #[cfg(not(unix))]
        drop(range);
    }

    /// Asks the system to start reading `range` in the background. No effect on owned bytes.
    pub fn prefetch(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Inner::Map(map) = &self.0 {
            let end = range.end.min(map.len());
            if range.start < end {
                drop(map.advise_range(memmap2::Advice::WillNeed, range.start, end - range.start));
            }
        }
        #[cfg(not(unix))]
        drop(range);
    }
}

/// Part of a file's bytes, which it keeps mapped; when it is dropped, its pages stop counting as resident.
///
/// A model that computes straight from a mapped file holds its weights as regions.
#[derive(Debug)]
pub struct Region {
    data: Data,
    range: Range<usize>,
}

impl Region {
    /// The bytes of `range`.
    ///
    /// # Panics
    /// If the range doesn't lie in the data.
    #[must_use]
    pub fn new(data: Data, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= data.len(), "a region outside of its data");
        Self { data, range }
    }

    /// Reads the bytes that aren't in memory yet, now and in this thread: who multiplies by them later doesn't wait.
    pub fn read_now(&self) {
        self.data.prefetch(self.range.clone());
        // Touching maps the pages too, which asking the system to read ahead doesn't.
        const PAGE: usize = 4096;
        let touched: u8 = self.iter().step_by(PAGE).fold(0, |sum, byte| sum.wrapping_add(*byte));
        std::hint::black_box(touched);
    }
}

impl Deref for Region {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.data[self.range.clone()]
    }
}

impl AsRef<[u8]> for Region {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.data.release(self.range.clone());
    }
}

impl Deref for Data {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Static(bytes) => bytes,
            Inner::Owned(bytes) => bytes,
            Inner::Map(map) => map,
        }
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Inner::Owned(Arc::new(bytes)))
    }
}

impl From<&'static [u8]> for Data {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Inner::Static(bytes))
    }
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.0 {
            Inner::Static(_) => "static",
            Inner::Owned(_) => "owned",
            Inner::Map(_) => "mapped",
        };
        write!(f, "Data({kind}, {} bytes)", self.len())
    }
}
