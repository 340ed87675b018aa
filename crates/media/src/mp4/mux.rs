//! Writing an mp4 file that starts fast: samples go to a temporary file, and when all are there the index is put in
//! front of them.

use super::boxes::{boxed, container, full_box, words};
use crate::error::{Error, IoContext, Result};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// What the index says of a track besides its samples.
#[derive(Clone, Debug)]
pub(crate) struct TrackHeader {
    pub(crate) kind: TrackKind,
    /// Time units a second.
    pub(crate) timescale: u32,
    /// The sample entry's whole box (`avc1`, `mp4a` …).
    pub(crate) entry: Vec<u8>,
    /// Where playing starts within the track, in the track's time units (after an encoder's priming, say); negative
    /// is a wait before the track begins.
    pub(crate) start: i64,
}

/// Picture or sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrackKind {
    /// Width and height in pixels.
    Video(u32, u32),
    Audio,
}

#[derive(Debug)]
struct Track {
    header: TrackHeader,
    n_samples: u32,
    sizes: Sizes,
    /// (count, duration)
    durations: Vec<(u32, u32)>,
    /// Numbers, from 1, of the samples that decoding can start at; None as long as it can at all of them.
    sync: Option<Vec<u32>>,
    chunks: Vec<Chunk>,
}

/// Lengths of a track's samples in bytes.
#[derive(Debug)]
enum Sizes {
    /// All of them.
    Same(u32),
    Each(Vec<u32>),
}

/// Samples of one track that lie together.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    /// Position within the payload.
    offset: u64,
    n_samples: u32,
}

impl Track {
    fn duration(&self) -> u64 {
        self.durations.iter().map(|&(n, d)| u64::from(n) * u64::from(d)).sum()
    }

    /// Notes `n` samples of `size` bytes.
    fn add(&mut self, n: u32, size: u32, duration: u32, sync: bool) -> Option<()> {
        let before = self.n_samples;
        self.n_samples = before.checked_add(n)?;
        match &mut self.sizes {
            Sizes::Same(all) if before == 0 || *all == size => *all = size,
            Sizes::Same(all) => {
                let mut each = vec![*all; before as usize];
                each.extend(std::iter::repeat_n(size, n as usize));
                self.sizes = Sizes::Each(each);
            }
            Sizes::Each(each) => each.extend(std::iter::repeat_n(size, n as usize)),
        }
        match self.durations.last_mut() {
            Some(run) if run.1 == duration => run.0 += n,
            _ => self.durations.push((n, duration)),
        }
        match (&mut self.sync, sync) {
            (Some(numbers), true) => numbers.extend(before + 1..=self.n_samples),
            (None, false) => self.sync = Some((1..=before).collect()),
            _ => {}
        }
        Some(())
    }
}

/// Collects samples, then writes the file.
#[derive(Debug)]
pub(crate) struct Muxer {
    path: PathBuf,
    payload: BufWriter<NamedTempFile>,
    payload_len: u64,
    tracks: Vec<Track>,
    last_track: Option<usize>,
}

impl Muxer {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let payload = BufWriter::with_capacity(1 << 20, temporary_beside(path)?);
        Ok(Self { path: path.to_owned(), payload, payload_len: 0, tracks: Vec::new(), last_track: None })
    }

    /// Adds a track and returns its index.
    ///
    /// The first track sets the movie's length.
    pub(crate) fn add_track(&mut self, header: TrackHeader) -> usize {
        let (durations, chunks) = (Vec::new(), Vec::new());
        self.tracks.push(Track {
            header,
            n_samples: 0,
            sizes: Sizes::Same(0),
            durations,
            sync: None,
            chunks,
        });
        self.tracks.len() - 1
    }

    /// Replaces a track's sample entry, which may be known only after its first samples.
    pub(crate) fn set_entry(&mut self, track: usize, entry: Vec<u8>) {
        self.tracks[track].header.entry = entry;
    }

    /// Appends a sample; `duration` is in the track's time units.
    pub(crate) fn push(&mut self, track: usize, sample: &[u8], duration: u32, sync: bool) -> Result<()> {
        self.push_alike(track, sample, 1, duration, sync)
    }

    /// Appends `n` samples that share `bytes` equally, each of the same duration.
    pub(crate) fn push_alike(
        &mut self,
        track: usize,
        bytes: &[u8],
        n: u32,
        duration: u32,
        sync: bool,
    ) -> Result<()> {
        if n == 0 {
            return Ok(());
        }
        self.payload.write_all(bytes).at(&self.path, "writing a sample")?;
        let t = &mut self.tracks[track];
        match t.chunks.last_mut() {
            Some(chunk) if self.last_track == Some(track) => chunk.n_samples += n,
            _ => t.chunks.push(Chunk { offset: self.payload_len, n_samples: n }),
        }
        let size = u32::try_from(bytes.len() / n as usize).ok();
        size.and_then(|size| t.add(n, size, duration, sync)).ok_or_else(|| Error::Malformed {
            path: self.path.clone(),
            format: "mp4",
            detail: "a sample of more than 4 GiB, or more than 4 billion samples".to_owned(),
        })?;
        self.payload_len += bytes.len() as u64;
        self.last_track = Some(track);
        Ok(())
    }

    /// Writes index and samples to the final place. Returns the file's size in bytes.
    pub(crate) fn finish(self) -> Result<u64> {
        let Self { path, payload, payload_len, tracks, .. } = self;
        let mut payload = payload.into_inner().map_err(|e| e.into_error()).at(&path, "writing a sample")?;
        let brands = [&b"isom"[..], &512_u32.to_be_bytes(), b"isomiso2avc1mp41"].concat();
        let ftyp = boxed(b"ftyp", &brands);
        let large = payload_len > u64::from(u32::MAX) - (1 << 28);
        let mdat_header = if large {
            [&1_u32.to_be_bytes()[..], b"mdat", &(payload_len + 16).to_be_bytes()].concat()
        } else {
            [&(payload_len as u32 + 8).to_be_bytes()[..], b"mdat"].concat()
        };
        // The index's length doesn't depend on the offsets in it, so a first draft tells where the payload begins.
        let draft = moov(&tracks, 0, large);
        let start = (ftyp.len() + draft.len() + mdat_header.len()) as u64;
        let mut out = temporary_beside(&path)?;
        let head = [ftyp, moov(&tracks, start, large), mdat_header].concat();
        out.write_all(&head).at(&path, "writing the index")?;
        copy_all(payload.as_file_mut(), out.as_file_mut()).at(&path, "copying the samples")?;
        out.as_file().sync_data().at(&path, "flushing")?;
        out.persist(&path).map_err(|e| e.error).at(&path, "renaming the finished file")?;
        Ok(head.len() as u64 + payload_len)
    }
}

fn copy_all(from: &mut File, to: &mut File) -> std::io::Result<()> {
    from.seek(SeekFrom::Start(0))?;
    let mut block = vec![0; 1 << 20];
    loop {
        let n = from.read(&mut block)?;
        if n == 0 {
            return Ok(());
        }
        to.write_all(&block[..n])?;
    }
}

/// A file in the same folder, so that renaming it is atomic; it vanishes if it isn't renamed.
pub(crate) fn temporary_beside(path: &Path) -> Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writing-").suffix(".tmp");
    #[cfg(unix)]
    {
        // Temporary files are private by default; the result is an ordinary file (the umask still applies).
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder).at(path, "creating a temporary file beside it")
}

const IDENTITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// The movie's time units a second: those of its first track, so that the video's length is exact.
fn movie_timescale(tracks: &[Track]) -> u32 {
    tracks.first().map_or(1000, |t| t.header.timescale)
}

/// A track's wait in front and its played length, in the movie's time units, within `limit`.
fn played(track: &Track, movie_timescale: u32, limit: u64) -> (u64, u64) {
    let scaled = |units: u64| {
        let scaled =
            u128::from(units) * u128::from(movie_timescale) / u128::from(track.header.timescale.max(1));
        u64::try_from(scaled).unwrap_or(u64::MAX)
    };
    let wait = scaled((-track.header.start).max(0).unsigned_abs()).min(limit);
    let own = scaled(track.duration().saturating_sub(track.header.start.max(0).unsigned_abs()));
    (wait, own.min(limit - wait))
}

fn moov(tracks: &[Track], payload_start: u64, large: bool) -> Vec<u8> {
    let timescale = movie_timescale(tracks);
    // Sound never plays on beyond the pictures.
    let limit = tracks.first().map_or(0, |t| {
        let (wait, length) = played(t, timescale, u64::MAX);
        wait + length
    });
    let mut mvhd = vec![0; 16]; // creation and modification times
    mvhd.extend(timescale.to_be_bytes());
    mvhd.extend(limit.to_be_bytes());
    mvhd.extend(words([0x1_0000])); // normal speed
    mvhd.extend([1, 0]); // full volume
    mvhd.extend([0; 10]);
    mvhd.extend(words(IDENTITY));
    mvhd.extend([0; 24]);
    mvhd.extend(words([tracks.len() as u32 + 1]));
    let mut children = vec![full_box(b"mvhd", 1, 0, &mvhd)];
    for (i, track) in tracks.iter().enumerate() {
        let id = i as u32 + 1;
        children.push(trak(track, id, played(track, timescale, limit), payload_start, large));
    }
    container(b"moov", &children)
}

fn trak(track: &Track, id: u32, (wait, played): (u64, u64), payload_start: u64, large: bool) -> Vec<u8> {
    let (volume, width, height) = match track.header.kind {
        TrackKind::Video(width, height) => (0, width, height),
        TrackKind::Audio => (0x0100, 0, 0),
    };
    let mut tkhd = vec![0; 16];
    tkhd.extend(words([id, 0]));
    tkhd.extend((wait + played).to_be_bytes());
    tkhd.extend([0; 8]);
    tkhd.extend([0, 0, 0, u8::from(track.header.kind == TrackKind::Audio)]); // layer, alternate group
    tkhd.extend((volume as u16).to_be_bytes());
    tkhd.extend([0; 2]);
    tkhd.extend(words(IDENTITY));
    tkhd.extend(words([width << 16, height << 16]));
    let mut elst = words([1 + u32::from(wait > 0)]);
    if wait > 0 {
        elst.extend(wait.to_be_bytes());
        elst.extend((-1_i64).to_be_bytes());
        elst.extend(words([0x1_0000]));
    }
    elst.extend(played.to_be_bytes());
    elst.extend(track.header.start.max(0).to_be_bytes());
    elst.extend(words([0x1_0000]));
    let edts = container(b"edts", &[full_box(b"elst", 1, 0, &elst)]);
    container(b"trak", &[full_box(b"tkhd", 1, 3, &tkhd), edts, mdia(track, payload_start, large)])
}

fn mdia(track: &Track, payload_start: u64, large: bool) -> Vec<u8> {
    let mut mdhd = vec![0; 16];
    mdhd.extend(track.header.timescale.to_be_bytes());
    mdhd.extend(track.duration().to_be_bytes());
    mdhd.extend([0x55, 0xc4, 0, 0]); // undetermined language
    let (handler, name, media_header) = match track.header.kind {
        TrackKind::Video(..) => (b"vide", &b"Video\0"[..], full_box(b"vmhd", 0, 1, &[0; 8])),
        TrackKind::Audio => (b"soun", &b"Sound\0"[..], full_box(b"smhd", 0, 0, &[0; 4])),
    };
    let mut hdlr = vec![0; 4];
    hdlr.extend(handler);
    hdlr.extend([0; 12]);
    hdlr.extend(name);
    let here = full_box(b"url ", 0, 1, &[]);
    let dref = full_box(b"dref", 0, 0, &[words([1]), here].concat());
    let minf = container(
        b"minf",
        &[
            media_header,
            container(b"dinf", &[dref]),
            container(b"stbl", &tables(track, payload_start, large)),
        ],
    );
    container(b"mdia", &[full_box(b"mdhd", 1, 0, &mdhd), full_box(b"hdlr", 0, 0, &hdlr), minf])
}

fn tables(track: &Track, payload_start: u64, large: bool) -> Vec<Vec<u8>> {
    let counted = |rows: &[Vec<u32>]| {
        let n = rows.len() as u32;
        words(std::iter::once(n).chain(rows.iter().flatten().copied()))
    };
    let times: Vec<Vec<u32>> = track.durations.iter().map(|&(n, duration)| vec![n, duration]).collect();
    let mut chunk_runs: Vec<Vec<u32>> = Vec::new();
    for (i, chunk) in track.chunks.iter().enumerate() {
        if chunk_runs.last().is_none_or(|run| run[1] != chunk.n_samples) {
            chunk_runs.push(vec![i as u32 + 1, chunk.n_samples, 1]);
        }
    }
    let stsd = [words([1]), track.header.entry.clone()].concat();
    let sizes = match &track.sizes {
        // A size of 0 would announce a list.
        Sizes::Same(size) if *size > 0 => words([*size, track.n_samples]),
        Sizes::Same(_) => words([0, track.n_samples].into_iter().chain((0..track.n_samples).map(|_| 0))),
        Sizes::Each(sizes) => words([0, track.n_samples].into_iter().chain(sizes.iter().copied())),
    };
    let n_chunks = words([track.chunks.len() as u32]);
    let offsets = track.chunks.iter().map(|c| c.offset + payload_start);
    let offsets = if large {
        full_box(b"co64", 0, 0, &[n_chunks, offsets.flat_map(u64::to_be_bytes).collect()].concat())
    } else {
        full_box(b"stco", 0, 0, &[n_chunks, words(offsets.map(|o| o as u32))].concat())
    };
    let mut out = vec![full_box(b"stsd", 0, 0, &stsd), full_box(b"stts", 0, 0, &counted(&times))];
    if let Some(sync) = &track.sync {
        let sync = words(std::iter::once(sync.len() as u32).chain(sync.iter().copied()));
        out.push(full_box(b"stss", 0, 0, &sync));
    }
    out.push(full_box(b"stsc", 0, 0, &counted(&chunk_runs)));
    out.push(full_box(b"stsz", 0, 0, &sizes));
    out.push(offsets);
    out
}
