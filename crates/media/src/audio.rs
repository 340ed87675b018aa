//! The sound of a source, carried over without being decoded.

use crate::error::{Error, IoContext, Result};
use crate::ffmpeg::{Ffmpeg, file_argument};
use crate::mp4::demux::{Movie, Sample, read_at};
use crate::mp4::mux::{Muxer, TrackHeader, TrackKind};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A sound track whose coded samples are copied into a new file.
#[derive(Debug)]
pub struct AudioTrack {
    /// What the user named, for ffmpeg.
    source: PathBuf,
    /// How much of the source was cut off in front, in seconds.
    skipped_s: f64,
    path: PathBuf,
    file: File,
    entry: Vec<u8>,
    timescale: u32,
    /// Where playing starts, in time units; negative is silence in front.
    start: i64,
    samples: Vec<Sample>,
    /// Keeps the file of a converted track for as long as it is read.
    _converted: Option<tempfile::TempPath>,
}

impl AudioTrack {
    /// The sound of a file: its first track if it is an mp4 or mov, else what the `ffmpeg` program makes of it (as
    /// AAC). None where there is no sound, or no way to get at it.
    ///
    /// # Errors
    /// When the file can't be read, or its structure is broken and ffmpeg can't read it either.
    pub fn open(path: impl AsRef<Path>, ffmpeg: Option<&Path>) -> Result<Option<Self>> {
        let path = path.as_ref();
        if path.is_dir() {
            return Ok(None);
        }
        match Movie::open(path) {
            Ok(movie) if !movie.fragmented => Ok(Self::of_movie(movie, path, None)),
            Err(error @ Error::Io { .. }) => Err(error),
            other => match ffmpeg.and_then(Ffmpeg::find) {
                Some(ffmpeg) => Self::converted(path, &ffmpeg),
                None => other.map(|_| None),
            },
        }
    }

    fn of_movie(movie: Movie, source: &Path, converted: Option<tempfile::TempPath>) -> Option<Self> {
        let track = movie.track(b"soun").filter(|t| !t.samples.is_empty())?.clone();
        let silence: u64 = track.edits.iter().take_while(|e| e.media_time < 0).map(|e| e.duration).sum();
        let silence = u128::from(silence) * u128::from(track.timescale) / u128::from(movie.timescale);
        let media_time = track.edits.iter().find(|e| e.media_time >= 0).map_or(0, |e| e.media_time);
        let start = media_time.saturating_sub(i64::try_from(silence).unwrap_or(i64::MAX));
        Some(Self {
            source: source.to_owned(),
            skipped_s: 0.0,
            path: movie.path,
            file: movie.file,
            entry: track.entry,
            timescale: track.timescale,
            start,
            samples: track.samples,
            _converted: converted,
        })
    }

    fn converted(path: &Path, ffmpeg: &Ffmpeg) -> Result<Option<Self>> {
        let out = tempfile::Builder::new().suffix(".m4a").tempfile().at(path, "creating a temporary file")?;
        let out = out.into_temp_path();
        let mut running = ffmpeg.start(path, Stdio::null(), Stdio::null(), |command| {
            command.arg("-y").arg("-i").arg(file_argument(path));
            command.args(["-map", "0:a:0?", "-vn", "-c:a", "aac", "-b:a", "192k", "-f", "mp4"]);
            command.arg(file_argument(&out));
        })?;
        if running.wait(path).is_err() {
            // ffmpeg refuses to write a file without any track: there was no sound.
            return Ok(None);
        }
        let movie = Movie::open(&out)?;
        Ok(Self::of_movie(movie, path, Some(out)))
    }

    /// Length in seconds.
    #[must_use]
    pub fn duration_s(&self) -> f64 {
        let end = self.samples.last().map_or(0, |s| s.decode_time + i64::from(s.duration));
        (end - self.start).max(0) as f64 / f64::from(self.timescale)
    }

    /// Leaves out what was heard in the first `seconds`, for a result that starts later in its source.
    #[must_use]
    pub fn skip_s(mut self, seconds: f64) -> Self {
        let seconds = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
        self.skipped_s += seconds;
        self.start = self.start.saturating_add((seconds * f64::from(self.timescale)).round() as i64);
        // One sample more than needed stays in front: decoders need it to get going.
        let needed = self.samples.partition_point(|s| s.decode_time + i64::from(s.duration) <= self.start);
        self.samples.drain(..needed.saturating_sub(1).min(self.samples.len()));
        self
    }

    pub(crate) fn source(&self) -> (&Path, f64) {
        (&self.source, self.skipped_s)
    }
}

/// Copies a track into a file that is being written, never ahead of its pictures.
#[derive(Debug)]
pub(crate) struct AudioCopy {
    audio: AudioTrack,
    track: usize,
    next: usize,
    buffer: Vec<u8>,
}

impl AudioCopy {
    /// Adds the track; the muxer already has its video track.
    pub(crate) fn new(audio: AudioTrack, muxer: &mut Muxer) -> Self {
        let first = audio.samples.first().map_or(0, |s| s.decode_time);
        let header = TrackHeader {
            kind: TrackKind::Audio,
            timescale: audio.timescale,
            entry: audio.entry.clone(),
            start: audio.start - first,
        };
        let track = muxer.add_track(header);
        Self { audio, track, next: 0, buffer: Vec::new() }
    }

    /// Copies every sample that begins before `seconds` of the result.
    pub(crate) fn copy_until(&mut self, seconds: f64, muxer: &mut Muxer) -> Result<()> {
        let until = self.audio.start as f64 + seconds * f64::from(self.audio.timescale);
        while let Some(sample) = self.audio.samples.get(self.next).filter(|s| (s.decode_time as f64) < until)
        {
            read_at(&mut self.audio.file, &self.audio.path, sample, &mut self.buffer)?;
            muxer.push(self.track, &self.buffer, sample.duration, true)?;
            self.next += 1;
        }
        Ok(())
    }
}
