//! Reading an mp4 or mov file: its tracks and where each sample lies.
//!
//! Only the boxes that index samples are held in memory. Every count is checked against the bytes that back it, so a file
//! that lies about its sizes costs no more memory than it has bytes.

use super::boxes::{FourCc, Reader};
use super::fragments;
use super::samples::{Samples, Tables};
use crate::error::{Error, IoContext, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// One entry of an edit list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Length in the movie's time units; 0 means to the end.
    pub(crate) duration: u64,
    /// Where in the track it starts, in the track's time units; -1 is an empty edit.
    pub(crate) media_time: i64,
    /// Speed, 16.16 fixed point.
    pub(crate) rate: u32,
}

impl Edit {
    /// Normal speed.
    pub(crate) const NORMAL: u32 = 0x1_0000;
}

/// A track and its samples in decoding order.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub(crate) id: u32,
    /// `vide`, `soun` …
    pub(crate) handler: FourCc,
    /// Time units a second.
    pub(crate) timescale: u32,
    /// The sample descriptions, at least one.
    pub(crate) entries: Vec<Entry>,
    /// The transformation of `tkhd`, row by row.
    pub(crate) matrix: [i32; 9],
    pub(crate) edits: Vec<Edit>,
    pub(crate) samples: Samples,
}

/// A sample description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its type: `avc1`, `mp4a` …
    pub(crate) codec: FourCc,
    /// The whole box, header included.
    pub(crate) bytes: Vec<u8>,
}

impl Entry {
    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes.get(8..).unwrap_or(&[])
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
}

impl Movie {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).at(path, "opening")?;
        let file_len = file.metadata().at(path, "reading the size")?.len();
        let index = read_index(&mut file, path, file_len)?;
        let malformed = |detail: String| Error::Malformed { path: path.to_owned(), format: "mp4", detail };
        let movie = Reader::new(&index.moov);
        if movie.find(b"cmov").is_some() {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                codec: "QuickTime".to_owned(),
                profile: "box 'cmov'".to_owned(),
                reason: "its index is compressed".to_owned(),
            });
        }
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
        if let Some(mvex) = movie.find(b"mvex") {
            let defaults = fragments::defaults(mvex);
            for &(at, len) in &index.fragments {
                let moof = read_payload(&mut file, path, at, len)?;
                fragments::append(Reader::new(&moof), at, file_len, &defaults, &mut tracks)
                    .map_err(malformed)?;
            }
        }
        Ok(Self { path: path.to_owned(), file, timescale, tracks })
    }

    /// The first track of this kind that has samples, or else the first.
    pub(crate) fn track(&self, handler: &[u8; 4]) -> Option<&Track> {
        let mut of_kind = self.tracks.iter().filter(|t| t.handler.0 == *handler);
        of_kind.clone().find(|t| !t.samples.is_empty()).or_else(|| of_kind.next())
    }

    /// Reads `len` bytes from `offset` into `out`.
    pub(crate) fn read_at(&mut self, offset: u64, len: usize, out: &mut Vec<u8>) -> Result<()> {
        read_at(&mut self.file, &self.path, offset, len, out)
    }
}

/// Reads `len` bytes of a file from `offset` into `out`.
pub(crate) fn read_at(
    file: &mut File,
    path: &Path,
    offset: u64,
    len: usize,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.resize(len, 0);
    file.seek(SeekFrom::Start(offset)).at(path, "seeking")?;
    file.read_exact(out).at(path, "reading a sample")
}

/// The payload of `moov`, and where the fragments are: position and length of each `moof` box.
struct Index {
    moov: Vec<u8>,
    fragments: Vec<(u64, u64)>,
}

/// Walks the top-level boxes.
fn read_index(file: &mut File, path: &Path, file_len: u64) -> Result<Index> {
    let malformed = |detail: String| Error::Malformed { path: path.to_owned(), format: "mp4", detail };
    let mut moov = None;
    let mut fragments = Vec::new();
    let mut at = 0;
    while file_len.saturating_sub(at) >= 8 {
        file.seek(SeekFrom::Start(at)).at(path, "seeking")?;
        let mut header = [0_u8; 8];
        file.read_exact(&mut header).at(path, "reading a box")?;
        let mut reader = Reader::new(&header);
        let (size, kind) = (reader.u32().unwrap_or(0), reader.four_cc().unwrap_or(FourCc([0; 4])));
        let (header_len, size) = match size {
            0 => (8, file_len - at),
            1 if file_len - at >= 16 => {
                let mut large = [0_u8; 8];
                file.read_exact(&mut large).at(path, "reading a box")?;
                (16, u64::from_be_bytes(large))
            }
            n => (8, u64::from(n)),
        };
        let named = kind.0.iter().all(|c| c.is_ascii_graphic() || *c == b' ');
        if at == 0 && !named {
            return Err(malformed("it doesn't begin with a box".to_owned()));
        }
        let left = file_len - at;
        if size < header_len || size > left || !named {
            if moov.is_some() {
                // The file was cut off, or something else follows: what the index lists and the file has is used.
                break;
            }
            return Err(malformed(format!(
                "box {kind:?} at byte {at} claims {size} bytes, {left} are left, and no moov box came before: was the \
                 recording cut off?"
            )));
        }
        match &kind.0 {
            b"moov" if moov.is_none() => {
                moov = Some(read_payload(file, path, at, size)?);
            }
            b"moof" => fragments.push((at, size)),
            _ => {}
        }
        at += size;
    }
    let moov = moov.ok_or_else(|| malformed("no moov box; was the recording cut off?".to_owned()))?;
    Ok(Index { moov, fragments })
}

/// The payload of the box that lies at `at` and is `size` bytes long with its header.
fn read_payload(file: &mut File, path: &Path, at: u64, size: u64) -> Result<Vec<u8>> {
    let too_large = || Error::Malformed {
        path: path.to_owned(),
        format: "mp4",
        detail: format!("the box at byte {at} is too large for this machine's memory"),
    };
    let mut bytes = Vec::new();
    read_at(file, path, at, usize::try_from(size).map_err(|_| too_large())?, &mut bytes)?;
    let large = bytes.starts_with(&[0, 0, 0, 1]);
    bytes.drain(..if large { 16.min(bytes.len()) } else { 8.min(bytes.len()) });
    Ok(bytes)
}

fn movie_timescale(mvhd: &mut Reader<'_>) -> Option<u32> {
    let (version, _) = mvhd.full()?;
    mvhd.skip(if version == 1 { 16 } else { 8 })?;
    mvhd.u32()
}

fn parse_track(trak: Reader<'_>, file_len: u64) -> std::result::Result<Track, String> {
    let need = |kind: &'static str| move || format!("no usable {kind} box");
    let mut tkhd = trak.find(b"tkhd").ok_or_else(need("tkhd"))?;
    let (id, matrix) = track_header(&mut tkhd).ok_or_else(need("tkhd"))?;
    let edits = match trak.find(b"edts").and_then(|e| e.find(b"elst")) {
        Some(elst) => parse_edits(elst).ok_or_else(need("elst"))?,
        None => Vec::new(),
    };
    let mdia = trak.find(b"mdia").ok_or_else(need("mdia"))?;
    let mut mdhd = mdia.find(b"mdhd").ok_or_else(need("mdhd"))?;
    let timescale = movie_timescale(&mut mdhd).filter(|&t| t > 0).ok_or_else(need("mdhd"))?;
    let mut hdlr = mdia.find(b"hdlr").ok_or_else(need("hdlr"))?;
    let handler = hdlr.skip(8).and_then(|()| hdlr.four_cc()).ok_or_else(need("hdlr"))?;
    let mut track =
        Track { id, handler, timescale, entries: Vec::new(), matrix, edits, samples: Samples::default() };
    if !matches!(&handler.0, b"vide" | b"soun") {
        return Ok(track);
    }
    let stbl = mdia.find(b"minf").and_then(|m| m.find(b"stbl")).ok_or_else(need("stbl"))?;
    let mut stsd = stbl.find(b"stsd").ok_or_else(need("stsd"))?;
    stsd.skip(8).ok_or_else(need("stsd"))?;
    loop {
        let whole = stsd.rest();
        let Some((codec, _)) = stsd.child() else { break };
        let len = whole.len() - stsd.remaining();
        track.entries.push(Entry { codec, bytes: whole[..len].to_vec() });
    }
    if track.entries.is_empty() {
        return Err("no usable stsd box".to_owned());
    }
    track.samples = Tables::read(stbl)?.samples(file_len)?;
    Ok(track)
}

fn track_header(tkhd: &mut Reader<'_>) -> Option<(u32, [i32; 9])> {
    let (version, _) = tkhd.full()?;
    tkhd.skip(if version == 1 { 16 } else { 8 })?;
    let id = tkhd.u32()?;
    // Reserved, duration; then reserved words, layer, group, volume.
    tkhd.skip(if version == 1 { 12 } else { 8 })?;
    tkhd.skip(16)?;
    let mut matrix = [0; 9];
    for value in &mut matrix {
        *value = tkhd.i32()?;
    }
    Some((id, matrix))
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
            let (duration, media_time) = if version == 1 {
                (elst.u64()?, elst.u64()? as i64)
            } else {
                (elst.u32()?.into(), elst.i32()?.into())
            };
            Some(Edit { duration, media_time, rate: elst.u32()? })
        })
        .collect()
}
