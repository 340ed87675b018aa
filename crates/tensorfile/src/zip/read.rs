//! Reading zip archives.

use super::ZipError;
use crate::Data;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;

type Result<T> = std::result::Result<T, ZipError>;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;

/// One file of an archive.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its path in the archive.
    pub name: String,
    /// Size once inflated, as the directory promises.
    pub size: u64,
    /// Where its (possibly deflated) bytes lie in the archive.
    pub range: Range<usize>,
    deflated: bool,
    crc: u32,
}

impl Entry {
    /// Are the bytes of [`Entry::range`] the file's bytes as they are?
    #[must_use]
    pub fn is_stored(&self) -> bool {
        !self.deflated
    }
}

/// A parsed archive.
#[derive(Debug)]
pub struct ZipArchive {
    data: Data,
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
}

impl ZipArchive {
    /// Does `bytes` begin like a zip archive that has entries?
    #[must_use]
    pub fn looks_like(bytes: &[u8]) -> bool {
        bytes.starts_with(&LOCAL.to_le_bytes())
    }

    /// Parses the directory.
    ///
    /// # Errors
    /// Any [`ZipError`] about the directory and its entries' positions; their bytes are checked when read.
    pub fn parse(data: Data) -> Result<Self> {
        let directory = find_directory(&data)?;
        let mut entries = Vec::new();
        let mut by_name = HashMap::new();
        let mut at = directory.start;
        for index in 0..directory.entries {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let (entry, next) = central_entry(&data, at, index)?;
            at = next;
            if by_name.insert(entry.name.clone(), entries.len()).is_some() {
                return Err(ZipError::Duplicate { name: entry.name });
            }
            entries.push(entry);
        }
        let mut order: Vec<&Entry> = entries.iter().collect();
        order.sort_by_key(|e| (e.range.start, e.range.end));
        for pair in order.windows(2) {
            if pair[0].range.end > pair[1].range.start {
                return Err(ZipError::Overlap { name: pair[1].name.clone() });
            }
        }
        Ok(Self { data, entries, by_name })
    }

    /// The archive's bytes.
    #[must_use]
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// All entries in the directory's order; folders too, as names that end in `/`.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of that name.
    ///
    /// # Errors
    /// [`ZipError::NoEntry`].
    pub fn entry(&self, name: &str) -> Result<&Entry> {
        let index = self.by_name.get(name).ok_or_else(|| ZipError::NoEntry { name: name.to_owned() })?;
        Ok(&self.entries[*index])
    }

    /// The whole file, its checksum verified. Stored entries are borrowed; deflated ones may be at most `limit`
    /// bytes once inflated.
    ///
    /// # Errors
    /// [`ZipError::TooLarge`], [`ZipError::Inflate`], [`ZipError::Checksum`].
    pub fn read(&self, entry: &Entry, limit: u64) -> Result<Cow<'_, [u8]>> {
        let raw = self.raw(entry);
        let bytes = if entry.deflated {
            if entry.size > limit {
                return Err(ZipError::TooLarge { name: entry.name.clone(), size: entry.size, limit });
            }
            Cow::Owned(inflate(entry, raw, entry.size)?)
        } else {
            Cow::Borrowed(raw)
        };
        // PyTorch writes 0 where it was told to compute no checksums, and never looks at them.
        let found = if entry.crc == 0 { 0 } else { crc32fast::hash(&bytes) };
        if found != entry.crc {
            let (name, expected) = (entry.name.clone(), entry.crc);
            return Err(ZipError::Checksum { name, expected, found });
        }
        Ok(bytes)
    }

    /// The first bytes of a file, at most `len`, without a look at the rest or at the checksum.
    ///
    /// # Errors
    /// [`ZipError::Inflate`].
    pub fn head(&self, entry: &Entry, len: usize) -> Result<Cow<'_, [u8]>> {
        let raw = self.raw(entry);
        if !entry.deflated {
            return Ok(Cow::Borrowed(&raw[..raw.len().min(len)]));
        }
        let mut out = Vec::new();
        let wanted = u64::try_from(len).unwrap_or(u64::MAX).min(entry.size);
        let read = flate2::read::DeflateDecoder::new(raw).take(wanted).read_to_end(&mut out);
        let broken = || ZipError::Inflate { name: entry.name.clone(), expected: entry.size };
        read.map_err(|_| broken())?;
        Ok(Cow::Owned(out))
    }

    fn raw(&self, entry: &Entry) -> &[u8] {
        // An entry of another archive may reach beyond this one's end.
        self.data.get(entry.range.clone()).unwrap_or_default()
    }
}

fn inflate(entry: &Entry, raw: &[u8], size: u64) -> Result<Vec<u8>> {
    let broken = || ZipError::Inflate { name: entry.name.clone(), expected: size };
    // Deflate can't expand by more than 1032; grow from a modest guess, so that a lie costs nothing.
    if size / 1032 > raw.len() as u64 {
        return Err(broken());
    }
    let guess = size.min(raw.len() as u64 * 8 + 1024);
    let mut out = Vec::with_capacity(usize::try_from(guess).map_err(|_| broken())?);
    let mut decoder = flate2::read::DeflateDecoder::new(raw).take(size + 1);
    decoder.read_to_end(&mut out).map_err(|_| broken())?;
    if out.len() as u64 != size {
        return Err(broken());
    }
    Ok(out)
}

struct Directory {
    start: u64,
    entries: u64,
}

fn bytes_at<const N: usize>(data: &[u8], at: u64) -> Option<[u8; N]> {
    let at = usize::try_from(at).ok()?;
    data.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(data: &[u8], at: u64) -> Option<u16> {
    bytes_at(data, at).map(u16::from_le_bytes)
}

fn u32_at(data: &[u8], at: u64) -> Option<u32> {
    bytes_at(data, at).map(u32::from_le_bytes)
}

fn u64_at(data: &[u8], at: u64) -> Option<u64> {
    bytes_at(data, at).map(u64::from_le_bytes)
}

fn find_directory(data: &[u8]) -> Result<Directory> {
    const END_BYTES: usize = 22;
    let last = data.len().checked_sub(END_BYTES).ok_or(ZipError::NoDirectory)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    let end = (first..=last)
        .rev()
        .find(|&at| {
            u32_at(data, at as u64) == Some(END)
                && u16_at(data, at as u64 + 20)
                    .is_some_and(|comment| at + END_BYTES + usize::from(comment) <= data.len())
        })
        .ok_or(ZipError::NoDirectory)? as u64;
    let broken = ZipError::BrokenRecord { what: "end-of-directory record", at: end };
    let (Some(entries), Some(start)) = (u16_at(data, end + 10), u32_at(data, end + 16)) else {
        return Err(broken);
    };
    let locator = end.checked_sub(20).filter(|&at| u32_at(data, at) == Some(LOCATOR64));
    let (entries, start) = match locator {
        None => (u64::from(entries), u64::from(start)),
        Some(locator) => {
            let at = u64_at(data, locator + 8).unwrap_or(u64::MAX);
            let fields = || {
                (u32_at(data, at)? == END64).then_some(())?;
                Some((u64_at(data, at.checked_add(32)?)?, u64_at(data, at.checked_add(48)?)?))
            };
            fields().ok_or(ZipError::BrokenRecord { what: "zip64 end-of-directory record", at })?
        }
    };
    // Each entry takes at least 46 bytes of directory.
    let room = (data.len() as u64).checked_sub(start).ok_or(broken)?;
    if entries > room / 46 {
        return Err(ZipError::BrokenRecord { what: "directory", at: start });
    }
    Ok(Directory { start, entries })
}

fn central_entry(data: &[u8], at: u64, index: usize) -> Result<(Entry, u64)> {
    let broken = || ZipError::BrokenRecord { what: "directory entry", at };
    let header: [u8; 46] = bytes_at(data, at).ok_or_else(broken)?;
    let word = |i: usize| u16::from_le_bytes([header[i], header[i + 1]]);
    let long = |i: usize| u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
    if long(0) != CENTRAL {
        return Err(broken());
    }
    let (name_len, extra_len, comment_len) = (u64::from(word(28)), u64::from(word(30)), u64::from(word(32)));
    let slice = |start: u64, len: u64| {
        let start = usize::try_from(start).ok()?;
        data.get(start..start.checked_add(usize::try_from(len).ok()?)?)
    };
    let name = slice(at + 46, name_len).ok_or_else(broken)?;
    let name = std::str::from_utf8(name).map_err(|_| ZipError::Name { index })?.to_owned();
    let extra = slice(at + 46 + name_len, extra_len).ok_or_else(broken)?;
    let next = at + 46 + name_len + extra_len + comment_len;

    let mut compressed = u64::from(long(20));
    let mut size = u64::from(long(24));
    let mut local = u64::from(long(42));
    let mut wide = zip64_fields(extra);
    for field in [&mut size, &mut compressed, &mut local] {
        if *field == u64::from(u32::MAX) {
            *field = wide.next().ok_or_else(broken)?;
        }
    }

    let (flags, method) = (word(8), word(10));
    if flags & 1 != 0 || !matches!(method, 0 | 8) {
        return Err(ZipError::Unsupported { name, method });
    }
    let range = local_range(data, local, compressed)?;
    if method == 0 && size != compressed {
        return Err(broken());
    }
    Ok((Entry { name, size, range, deflated: method == 8, crc: long(16) }, next))
}

/// The 64-bit numbers of the zip64 extra field, in order.
fn zip64_fields(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut found: &[u8] = &[];
    while let [id0, id1, len0, len1, rest @ ..] = extra {
        let len = usize::from(u16::from_le_bytes([*len0, *len1])).min(rest.len());
        if u16::from_le_bytes([*id0, *id1]) == 1 {
            found = &rest[..len];
            break;
        }
        extra = &rest[len..];
    }
    found.as_chunks::<8>().0.iter().map(|c| u64::from_le_bytes(*c))
}

fn local_range(data: &[u8], local: u64, compressed: u64) -> Result<Range<usize>> {
    let range = || {
        let header: [u8; 30] = bytes_at(data, local)?;
        header.starts_with(&LOCAL.to_le_bytes()).then_some(())?;
        let skip = u64::from(u16::from_le_bytes([header[26], header[27]]))
            + u64::from(u16::from_le_bytes([header[28], header[29]]));
        let start = usize::try_from(local + 30 + skip).ok()?;
        let end = start.checked_add(usize::try_from(compressed).ok()?)?;
        (end <= data.len()).then_some(start..end)
    };
    range().ok_or(ZipError::BrokenRecord { what: "local header or data", at: local })
}
