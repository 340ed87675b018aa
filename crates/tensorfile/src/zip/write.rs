//! Writing zip archives.

use crc32fast::Hasher;
use flate2::Compression;
use std::io::{Result, Seek, SeekFrom, Write};

/// Sizes and offsets from here on need zip64 fields.
const NARROW: u64 = u32::MAX as u64;
/// 1980-01-01, the zip format's zero: archives of equal content are equal files.
const DATE: u16 = 1 << 5 | 1;

struct Written {
    name: String,
    method: u16,
    crc: u32,
    compressed: u64,
    size: u64,
    local: u64,
}

/// Writes an archive entry by entry; [`ZipWriter::finish`] writes the directory.
pub struct ZipWriter<W> {
    out: W,
    entries: Vec<Written>,
}

impl<W> std::fmt::Debug for ZipWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ZipWriter({} entries)", self.entries.len())
    }
}

impl<W: Write + Seek> ZipWriter<W> {
    /// An empty archive that begins at the writer's start.
    pub fn new(out: W) -> Self {
        Self { out, entries: Vec::new() }
    }

    /// Adds a file as it is, its first byte at a multiple of `align` (1 to 4096).
    ///
    /// # Errors
    /// When writing fails.
    pub fn stored(&mut self, name: &str, bytes: &[u8], align: u16) -> Result<()> {
        self.header(name, 0, crc32fast::hash(bytes), bytes.len() as u64, bytes.len() as u64, align)?;
        self.out.write_all(bytes)
    }

    /// Adds a deflated file.
    ///
    /// # Errors
    /// When writing fails.
    pub fn deflated(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes)?;
        let packed = encoder.finish()?;
        self.header(name, 8, crc32fast::hash(bytes), packed.len() as u64, bytes.len() as u64, 1)?;
        self.out.write_all(&packed)
    }

    /// Adds a file of `size` zero bytes without writing them: a hole, where the file system has such.
    ///
    /// # Errors
    /// When writing fails.
    pub fn zeros(&mut self, name: &str, size: u64, align: u16) -> Result<()> {
        self.header(name, 0, crc_of_zeros(size), size, size, align)?;
        // The central directory follows, so the hole needs no byte at its end.
        self.out.seek(SeekFrom::Current(i64::try_from(size).unwrap_or(i64::MAX)))?;
        Ok(())
    }

    fn header(
        &mut self,
        name: &str,
        method: u16,
        crc: u32,
        compressed: u64,
        size: u64,
        align: u16,
    ) -> Result<()> {
        let local = self.out.stream_position()?;
        let wide = size >= NARROW || compressed >= NARROW;
        let mut extra = Vec::new();
        if wide {
            extra.extend(1_u16.to_le_bytes());
            extra.extend(16_u16.to_le_bytes());
            extra.extend(size.to_le_bytes());
            extra.extend(compressed.to_le_bytes());
        }
        let start = local + 30 + name.len() as u64 + extra.len() as u64;
        let align = u64::from(align.clamp(1, 4096));
        if !start.is_multiple_of(align) {
            // A private extra field pads, as PyTorch's own writer does. It takes at least its 4-byte header.
            let pad = align - (start + 4) % align;
            let pad = if pad == align { 0 } else { pad as u16 };
            extra.extend(*b"FB");
            extra.extend(pad.to_le_bytes());
            extra.resize(extra.len() + usize::from(pad), b'Z');
        }
        let narrow = |n: u64| if wide { u32::MAX } else { n as u32 };
        let out = &mut self.out;
        out.write_all(&0x0403_4b50_u32.to_le_bytes())?;
        for word in [if wide { 45 } else { 20 }, 1 << 11, method, 0, DATE] {
            out.write_all(&word.to_le_bytes())?;
        }
        for long in [crc, narrow(compressed), narrow(size)] {
            out.write_all(&long.to_le_bytes())?;
        }
        out.write_all(&name_len(name)?.to_le_bytes())?;
        out.write_all(&(extra.len() as u16).to_le_bytes())?;
        out.write_all(name.as_bytes())?;
        out.write_all(&extra)?;
        self.entries.push(Written { name: name.to_owned(), method, crc, compressed, size, local });
        Ok(())
    }

    /// Writes the directory and hands the writer back.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> Result<W> {
        let start = self.out.stream_position()?;
        for e in &self.entries {
            let mut extra: Vec<u8> = Vec::new();
            let wide = e.size >= NARROW || e.compressed >= NARROW;
            if wide {
                extra.extend(e.size.to_le_bytes());
                extra.extend(e.compressed.to_le_bytes());
            }
            let far = e.local >= NARROW;
            if far {
                extra.extend(e.local.to_le_bytes());
            }
            if !extra.is_empty() {
                let len = extra.len() as u16;
                extra.splice(0..0, [1_u16.to_le_bytes(), len.to_le_bytes()].concat());
            }
            let narrow = |n: u64, clip: bool| if clip { u32::MAX } else { n as u32 };
            let out = &mut self.out;
            out.write_all(&0x0201_4b50_u32.to_le_bytes())?;
            for word in [45, if wide { 45 } else { 20 }, 1 << 11, e.method, 0, DATE] {
                out.write_all(&word.to_le_bytes())?;
            }
            for long in [e.crc, narrow(e.compressed, wide), narrow(e.size, wide)] {
                out.write_all(&long.to_le_bytes())?;
            }
            for word in [name_len(&e.name)?, extra.len() as u16, 0, 0, 0] {
                out.write_all(&word.to_le_bytes())?;
            }
            for long in [0, narrow(e.local, far)] {
                out.write_all(&long.to_le_bytes())?;
            }
            out.write_all(e.name.as_bytes())?;
            out.write_all(&extra)?;
        }
        let end = self.out.stream_position()?;
        let count = self.entries.len() as u64;
        if count >= u64::from(u16::MAX) || end >= NARROW {
            let out = &mut self.out;
            out.write_all(&0x0606_4b50_u32.to_le_bytes())?;
            out.write_all(&44_u64.to_le_bytes())?;
            out.write_all(&[45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
            for n in [count, count, end - start, start] {
                out.write_all(&n.to_le_bytes())?;
            }
            out.write_all(&0x0706_4b50_u32.to_le_bytes())?;
            out.write_all(&0_u32.to_le_bytes())?;
            out.write_all(&end.to_le_bytes())?;
            out.write_all(&1_u32.to_le_bytes())?;
        }
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        let out = &mut self.out;
        out.write_all(&0x0605_4b50_u32.to_le_bytes())?;
        for word in [0, 0, count, count] {
            out.write_all(&word.to_le_bytes())?;
        }
        for long in [(end - start).min(NARROW) as u32, start.min(NARROW) as u32] {
            out.write_all(&long.to_le_bytes())?;
        }
        out.write_all(&[0, 0])?;
        out.flush()?;
        Ok(self.out)
    }
}

fn name_len(name: &str) -> Result<u16> {
    u16::try_from(name.len()).map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidInput, e))
}

/// The checksum of `size` zero bytes, by doubling.
fn crc_of_zeros(size: u64) -> u32 {
    let mut power = Hasher::new();
    power.update(&[0]);
    let mut sum = Hasher::new();
    let mut left = size;
    while left > 0 {
        if left & 1 == 1 {
            sum.combine(&power);
        }
        let copy = power.clone();
        power.combine(&copy);
        left >>= 1;
    }
    sum.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_zeros_needs_no_zeros() {
        for size in [0_usize, 1, 2, 3, 1000, 65_537] {
            assert_eq!(crc_of_zeros(size as u64), crc32fast::hash(&vec![0; size]), "{size}");
        }
    }
}
