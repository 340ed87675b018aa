//! Reading an mp4 or mov file: its tracks and where each sample lies.
//!
//! Only the `moov` box is held in memory. Every count is checked against the bytes that back it, so a file that
//! lies about its sizes costs no more memory than it has bytes.

use super::boxes::{FourCc, Reader};
use crate::error::{Error, IoContext, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// One coded frame of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Position in the file.
    pub(crate) offset: u64,
    /// Length in bytes.
    pub(crate) size: u32,
    /// Decoding time in the track's time units.
    pub(crate) decode_time: i64,
    /// Presentation time less decoding time.
    pub(crate) shift: i32,
    /// Length in the track's time units.
    pub(crate) duration: u32,
}

/// One entry of an edit list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Length in the movie's time units; 0 means to the end.
    pub(crate) duration: u64,
    /// Where in the track it starts, in the track's time units; -1 is an empty edit.
    pub(crate) media_time: i64,
}

/// A track and its samples in decoding order.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    /// `vide`, `soun` …
    pub(crate) handler: FourCc,
    /// Time units a second.
    pub(crate) timescale: u32,
    /// Type of the sample entry: `avc1`, `mp4a` …
    pub(crate) codec: FourCc,
    /// The sample entry's whole box, header included.
    pub(crate) entry: Vec<u8>,
    /// The transformation of `tkhd`, row by row.
    pub(crate) matrix: [i32; 9],
    pub(crate) edits: Vec<Edit>,
    pub(crate) samples: Vec<Sample>,
}

impl Track {
    /// The sample entry's payload.
    pub(crate) fn entry_payload(&self) -> &[u8] {
        self.entry.get(8..).unwrap_or(&[])
    }
}

/// An opened file.
#[derive(Debug)]
pub(crate) struct Movie {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    /// Time units a second of the edit lists' durations.
    pub(crate) timescale: u32,
    pub(crate) tracks: Vec<Track>,
    /// The file keeps (some of) its samples in movie fragments, which aren't read.
    pub(crate) fragmented: bool,
}

impl Movie {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).at(path, "opening")?;
        let file_len = file.metadata().at(path, "reading the size")?.len();
        let moov = read_moov(&mut file, path, file_len)?;
        let malformed = |detail: String| Error::Malformed { path: path.to_owned(), format: "mp4", detail };
        let movie = Reader::new(&moov);
        let mut header = movie.find(b"mvhd").ok_or_else(|| malformed("no mvhd box".to_owned()))?;
        let timescale = movie_timescale(&mut header).filter(|&t| t > 0);
        let timescale = timescale.ok_or_else(|| malformed("no time scale in mvhd".to_owned()))?;
        let mut tracks = Vec::new();
        let mut children = movie;
        while let Some((kind, payload)) = children.child() {
            if kind.0 == *b"trak" {
                let n = tracks.len();
                let track =
                    parse_track(payload, file_len).map_err(|what| malformed(format!("track {n}: {what}")))?;
                tracks.push(track);
            }
        }
        let fragmented = movie.find(b"mvex").is_some();
        Ok(Self { path: path.to_owned(), file, timescale, tracks, fragmented })
    }

    pub(crate) fn track(&self, handler: &[u8; 4]) -> Option<&Track> {
        self.tracks.iter().find(|t| t.handler.0 == *handler)
    }

    /// Reads one sample into `out`.
    pub(crate) fn read_sample(&mut self, sample: &Sample, out: &mut Vec<u8>) -> Result<()> {
        read_at(&mut self.file, &self.path, sample, out)
    }
}

/// Reads one sample of a file into `out`.
pub(crate) fn read_at(file: &mut File, path: &Path, sample: &Sample, out: &mut Vec<u8>) -> Result<()> {
    out.resize(sample.size as usize, 0);
    file.seek(SeekFrom::Start(sample.offset)).at(path, "seeking")?;
    file.read_exact(out).at(path, "reading a sample")
}

/// Walks the top-level boxes up to `moov` and returns its payload.
fn read_moov(file: &mut File, path: &Path, file_len: u64) -> Result<Vec<u8>> {
    let malformed = |detail: String| Error::Malformed { path: path.to_owned(), format: "mp4", detail };
    let mut at = 0;
    while file_len.saturating_sub(at) >= 8 {
        file.seek(SeekFrom::Start(at)).at(path, "seeking")?;
        let mut header = [0_u8; 8];
        file.read_exact(&mut header).at(path, "reading a box")?;
        let mut reader = Reader::new(&header);
        let (size, kind) = (reader.u32().unwrap_or(0), reader.four_cc().unwrap_or(FourCc([0; 4])));
        let (header_len, size) = match size {
            0 => (8, file_len - at),
            1 => {
                let mut large = [0_u8; 8];
                file.read_exact(&mut large).at(path, "reading a box")?;
                (16, u64::from_be_bytes(large))
            }
            n => (8, u64::from(n)),
        };
        if size < header_len || size > file_len - at {
            let left = file_len - at;
            return Err(malformed(format!("box {kind:?} at byte {at} claims {size} bytes, {left} are left")));
        }
        if at == 0 && !kind.0.iter().all(|c| c.is_ascii_graphic() || *c == b' ') {
            return Err(malformed("it doesn't begin with a box".to_owned()));
        }
        if kind.0 == *b"moov" {
            let len =
                usize::try_from(size - header_len).map_err(|_| malformed("moov too large".to_owned()))?;
            let mut moov = vec![0; len];
            file.read_exact(&mut moov).at(path, "reading the moov box")?;
            return Ok(moov);
        }
        at += size;
    }
    Err(malformed("no moov box; was the recording cut off?".to_owned()))
}

fn movie_timescale(mvhd: &mut Reader<'_>) -> Option<u32> {
    let (version, _) = mvhd.full()?;
    mvhd.skip(if version == 1 { 16 } else { 8 })?;
    mvhd.u32()
}

fn parse_track(trak: Reader<'_>, file_len: u64) -> std::result::Result<Track, String> {
    let need = |kind: &'static str| move || format!("no usable {kind} box");
    let mut tkhd = trak.find(b"tkhd").ok_or_else(need("tkhd"))?;
    let matrix = track_matrix(&mut tkhd).ok_or_else(need("tkhd"))?;
    let edits = match trak.find(b"edts").and_then(|e| e.find(b"elst")) {
        Some(elst) => parse_edits(elst).ok_or_else(need("elst"))?,
        None => Vec::new(),
    };
    let mdia = trak.find(b"mdia").ok_or_else(need("mdia"))?;
    let mut mdhd = mdia.find(b"mdhd").ok_or_else(need("mdhd"))?;
    let timescale = movie_timescale(&mut mdhd).filter(|&t| t > 0).ok_or_else(need("mdhd"))?;
    let mut hdlr = mdia.find(b"hdlr").ok_or_else(need("hdlr"))?;
    let handler = hdlr.skip(8).and_then(|()| hdlr.four_cc()).ok_or_else(need("hdlr"))?;
    let stbl = mdia.find(b"minf").and_then(|m| m.find(b"stbl")).ok_or_else(need("stbl"))?;
    let mut stsd = stbl.find(b"stsd").ok_or_else(need("stsd"))?;
    stsd.skip(4).ok_or_else(need("stsd"))?;
    let n_entries = stsd.u32().ok_or_else(need("stsd"))?;
    let whole = stsd.rest();
    let (codec, payload) = stsd.child().ok_or_else(need("stsd"))?;
    let entry = whole.get(..payload.remaining() + 8).unwrap_or(whole).to_vec();
    let media = matches!(&handler.0, b"vide" | b"soun");
    if media && n_entries != 1 {
        return Err(format!("{n_entries} sample descriptions; only one is supported"));
    }
    let samples = if media { Tables::read(stbl)?.samples(file_len)? } else { Vec::new() };
    Ok(Track { handler, timescale, codec, entry, matrix, edits, samples })
}

fn track_matrix(tkhd: &mut Reader<'_>) -> Option<[i32; 9]> {
    let (version, _) = tkhd.full()?;
    // Times, track id, duration; then reserved words, layer, group, volume.
    tkhd.skip(if version == 1 { 32 } else { 20 })?;
    tkhd.skip(16)?;
    let mut matrix = [0; 9];
    for value in &mut matrix {
        *value = tkhd.i32()?;
    }
    Some(matrix)
}

fn parse_edits(mut elst: Reader<'_>) -> Option<Vec<Edit>> {
    let (version, _) = elst.full()?;
    let n = elst.u32()? as usize;
    let size = if version == 1 { 20 } else { 12 };
    if n.checked_mul(size)? > elst.remaining() {
        return None;
    }
    (0..n)
        .map(|_| {
            let edit = if version == 1 {
                Edit { duration: elst.u64()?, media_time: elst.u64()? as i64 }
            } else {
                Edit { duration: elst.u32()?.into(), media_time: elst.i32()?.into() }
            };
            elst.skip(4)?;
            Some(edit)
        })
        .collect()
}

/// The sample tables of one track, as stored.
struct Tables<'a> {
    /// (count, duration)
    times: Vec<(u32, u32)>,
    /// (count, shift)
    shifts: Vec<(u32, i32)>,
    /// (first chunk from 1, samples a chunk)
    chunks: Vec<(u32, u32)>,
    offsets: Vec<u64>,
    sizes: Sizes<'a>,
}

enum Sizes<'a> {
    Same { size: u32, count: u32 },
    Each(&'a [[u8; 4]]),
}

impl<'a> Tables<'a> {
    fn read(stbl: Reader<'a>) -> std::result::Result<Self, String> {
        let pairs = |kind: &[u8; 4], stride: usize| -> std::result::Result<Vec<(u32, u32)>, String> {
            let bad = || format!("no usable {:?} box", FourCc(*kind));
            let mut table = stbl.find(kind).ok_or_else(bad)?;
            table.skip(4).ok_or_else(bad)?;
            let n = table.u32().ok_or_else(bad)? as usize;
            let bytes = n.checked_mul(stride).and_then(|n| table.take(n)).ok_or_else(bad)?;
            let mut out = Vec::with_capacity(n);
            for entry in bytes.chunks_exact(stride) {
                let mut entry = Reader::new(entry);
                out.push((entry.u32().ok_or_else(bad)?, entry.u32().ok_or_else(bad)?));
            }
            Ok(out)
        };
        let times = pairs(b"stts", 8)?;
        let shifts = match stbl.find(b"ctts") {
            // The shifts are read as signed whatever the version: files of version 0 hold negative ones too.
            Some(_) => pairs(b"ctts", 8)?.into_iter().map(|(n, shift)| (n, shift as i32)).collect(),
            None => Vec::new(),
        };
        let chunks = pairs(b"stsc", 12)?;
        let offsets = chunk_offsets(stbl).ok_or("no usable stco or co64 box")?;
        let sizes = sample_sizes(stbl).ok_or("no usable stsz box")?;
        Ok(Self { times, shifts, chunks, offsets, sizes })
    }

    fn samples(&self, file_len: u64) -> std::result::Result<Vec<Sample>, String> {
        let count = match self.sizes {
            Sizes::Each(sizes) => sizes.len(),
            Sizes::Same { size, count } => {
                if u64::from(size) * u64::from(count) > file_len || (size == 0 && count > 0) {
                    return Err(format!("{count} samples of {size} bytes don't fit into the file"));
                }
                count as usize
            }
        };
        let mut samples = Vec::with_capacity(count);
        let mut times = Runs::new(&self.times);
        let mut shifts = Runs::new(&self.shifts);
        let mut decode_time = 0_i64;
        let mut runs = self.chunks.iter().copied().peekable();
        let mut in_chunk = 0;
        for (chunk, &offset) in self.offsets.iter().enumerate() {
            while let Some((_, n)) = runs.next_if(|&(first, _)| first as usize <= chunk + 1) {
                in_chunk = n;
            }
            let mut offset = offset;
            for _ in 0..in_chunk {
                let index = samples.len();
                if index == count {
                    break;
                }
                let size = match self.sizes {
                    Sizes::Each(sizes) => u32::from_be_bytes(sizes[index]),
                    Sizes::Same { size, .. } => size,
                };
                let end = offset.checked_add(size.into()).filter(|&end| end <= file_len);
                let Some(end) = end else {
                    return Err(format!("sample {index} ends beyond the file; was it cut off?"));
                };
                let duration = times.next().ok_or_else(|| format!("no time for sample {index}"))?;
                let shift = if self.shifts.is_empty() { 0 } else { shifts.next().unwrap_or(0) };
                samples.push(Sample { offset, size, decode_time, shift, duration });
                decode_time += i64::from(duration);
                offset = end;
            }
        }
        if samples.len() == count {
            Ok(samples)
        } else {
            Err(format!("{count} samples promised, the chunks hold {}", samples.len()))
        }
    }
}

/// Unrolls a run-length table without storing it.
struct Runs<'a, T> {
    runs: std::slice::Iter<'a, (u32, T)>,
    left: u32,
    value: Option<T>,
}

impl<'a, T: Copy> Runs<'a, T> {
    fn new(runs: &'a [(u32, T)]) -> Self {
        Self { runs: runs.iter(), left: 0, value: None }
    }

    fn next(&mut self) -> Option<T> {
        while self.left == 0 {
            let &(n, value) = self.runs.next()?;
            (self.left, self.value) = (n, Some(value));
        }
        self.left -= 1;
        self.value
    }
}

fn chunk_offsets(stbl: Reader<'_>) -> Option<Vec<u64>> {
    if let Some(mut stco) = stbl.find(b"stco") {
        stco.skip(4)?;
        let n = stco.u32()? as usize;
        let bytes = stco.take(n.checked_mul(4)?)?;
        return Some(bytes.as_chunks::<4>().0.iter().map(|b| u32::from_be_bytes(*b).into()).collect());
    }
    let mut co64 = stbl.find(b"co64")?;
    co64.skip(4)?;
    let n = co64.u32()? as usize;
    let bytes = co64.take(n.checked_mul(8)?)?;
    Some(bytes.as_chunks::<8>().0.iter().map(|b| u64::from_be_bytes(*b)).collect())
}

fn sample_sizes(stbl: Reader<'_>) -> Option<Sizes<'_>> {
    let mut stsz = stbl.find(b"stsz")?;
    stsz.skip(4)?;
    let size = stsz.u32()?;
    let count = stsz.u32()?;
    if size != 0 {
        return Some(Sizes::Same { size, count });
    }
    let bytes = stsz.take((count as usize).checked_mul(4)?)?;
    Some(Sizes::Each(bytes.as_chunks::<4>().0))
}
