//! The sound of a source, carried over without being decoded.

use crate::error::{Error, IoContext, Result};
use crate::ffmpeg::{Ffmpeg, file_argument, input_file};
use crate::mp4::demux::{Movie, read_at};
use crate::mp4::mux::{Muxer, TrackHeader, TrackKind};
use crate::mp4::samples::Samples;
use crate::mp4::timeline::{Timeline, sound_start};
use crate::read::first_time_s;
use sniff::Kind;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A sound track whose coded samples are copied into a new file.
///
/// It is counted from the first frame of the file's own pictures, so that it goes with what a
/// [`VideoReader`](crate::VideoReader) hands out, however late the one or the other starts.
#[derive(Debug)]
pub struct AudioTrack {
    /// What the user named, for ffmpeg.
    source: PathBuf,
    /// When the pictures start on the file's clock, in seconds.
    pictures_s: f64,
    /// How much of the source was cut off in front, in seconds.
    skipped_s: f64,
    path: PathBuf,
    file: File,
    entry: Vec<u8>,
    timescale: u32,
    /// Where playing starts, in time units; negative is silence in front.
    start: i64,
    samples: Samples,
    /// Keeps the file of a converted track for as long as it is read.
    _converted: Option<tempfile::TempPath>,
}

impl AudioTrack {
    /// The sound of a file: its first track if it is an mp4 or mov, else what the `ffmpeg` program makes of it (AAC, unless
    /// mp4 can hold the coded sound as it is). None where there is no sound.
    ///
    /// # Errors
    /// When the file can't be read, or there may be sound in it that can't be got at without an ffmpeg.
    pub fn open(path: impl AsRef<Path>, ffmpeg: Option<&Path>) -> Result<Option<Self>> {
        let path = path.as_ref();
        if path.is_dir() {
            return Ok(None);
        }
        let kind = Kind::of_file(path).at(path, "opening")?;
        let obstacle = match kind {
            Kind::Png | Kind::Jpeg | Kind::Webp | Kind::Bmp | Kind::Gif => return Ok(None),
            Kind::Mp4 | Kind::Unknown => match Movie::open(path) {
                Ok(movie) => match Self::of_movie(movie, path, None) {
                    Ok(track) => return Ok(track),
                    Err(why) => needs_ffmpeg(path, "mp4", why),
                },
                Err(error) if error.ffmpeg_may_do_better() => error,
                Err(error) => return Err(error),
            },
            kind => needs_ffmpeg(path, &kind.to_string(), "no reader for it is built in"),
        };
        match ffmpeg.and_then(Ffmpeg::find) {
            Some(ffmpeg) => Self::converted(path, &ffmpeg),
            None => Err(obstacle),
        }
    }

    /// The first sound track of a movie; errors say what about it can't be copied as it is.
    fn of_movie(
        movie: Movie,
        source: &Path,
        converted: Option<(tempfile::TempPath, f64)>,
    ) -> std::result::Result<Option<Self>, &'static str> {
        let Some(track) = movie.track(b"soun").filter(|t| !t.samples.is_empty()) else { return Ok(None) };
        let start = sound_start(track, movie.timescale).ok_or("sound of several stretches")?;
        let first = track.samples.runs.first().map_or(0, |r| r.description);
        if track.samples.runs.iter().any(|r| r.description != first) {
            return Err("sound that changes its format");
        }
        let entry = track.entries.get(usize::from(first)).ok_or("sound without a description")?;
        let pictures_s = match (&converted, movie.track(b"vide")) {
            (Some((_, pictures_s)), _) => *pictures_s,
            (None, Some(video)) => {
                let timeline = Timeline::of(video, movie.timescale)?;
                timeline.start() as f64 / f64::from(video.timescale)
            }
            (None, None) => 0.0,
        };
        let (entry, timescale, samples) = (entry.bytes.clone(), track.timescale, track.samples.clone());
        let track = Self {
            source: source.to_owned(),
            pictures_s,
            skipped_s: 0.0,
            path: movie.path,
            file: movie.file,
            entry,
            timescale,
            start,
            samples,
            _converted: converted.map(|c| c.0),
        };
        Ok(Some(track.cut_front_s(pictures_s)))
    }

    fn converted(path: &Path, ffmpeg: &Ffmpeg) -> Result<Option<Self>> {
        let pictures_s = first_time_s(ffmpeg, path)?.unwrap_or(0.0);
        // Sound that mp4 players know stays as it is.
        let converted = [&["aac", "-b:a", "192k", "-af"][..], &[IN_TIME]].concat();
        for codec in [&["copy"][..], &converted] {
            let out = tempfile::Builder::new().suffix(".m4a").tempfile();
            let out = out.at(path, "creating a temporary file")?.into_temp_path();
            let mut running = ffmpeg.start(path, Stdio::null(), Stdio::null(), |command| {
                // Times are the file's own, as those of its pictures.
                command.args(["-loglevel", "info", "-nostats", "-y", "-copyts"]);
                input_file(command, path);
                command.args(["-map", "0:a:0", "-vn", "-c:a"]).args(codec).args(["-f", "mp4"]);
                command.arg(file_argument(&out));
            })?;
            let ended = running.wait(path);
            let log = running.log();
            let Some(sound) = log.lines().find(|l| l.contains("Stream #0:") && l.contains("Audio: ")) else {
                // There is no sound, or it isn't a file that ffmpeg knows; then its pictures can't be read either.
                return Ok(None);
            };
            let copies = codec == ["copy"];
            let known =
                ["aac", "mp3", "ac3", "eac3", "alac"].iter().any(|c| sound.contains(&format!("Audio: {c}")));
            match ended {
                _ if copies && !known => {}
                Err(_) if copies => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    let movie = Movie::open(&out)?;
                    return Self::of_movie(movie, path, Some((out, pictures_s)))
                        .map_err(|why| needs_ffmpeg(path, "sound", why));
                }
            }
        }
        Ok(None)
    }

    /// Length in seconds.
    #[must_use]
    pub fn duration_s(&self) -> f64 {
        (self.samples.end_time() - self.start).max(0) as f64 / f64::from(self.timescale)
    }

    /// Leaves out what was heard in the first `seconds`, for a result that starts later in its source.
    #[must_use]
    pub fn skip_s(mut self, seconds: f64) -> Self {
        let seconds = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
        self.skipped_s += seconds;
        self.cut_front_s(seconds)
    }

    fn cut_front_s(mut self, seconds: f64) -> Self {
        self.start = self.start.saturating_add((seconds * f64::from(self.timescale)).round() as i64);
        let runs = &mut self.samples.runs;
        // One sample more than needed stays in front: decoders need it to get going.
        let needed = runs.partition_point(|r| r.end_time() <= self.start);
        runs.drain(..needed.saturating_sub(1).min(runs.len()));
        for run in runs.iter_mut().take(2) {
            let unneeded = run.before(self.start).saturating_sub(2);
            *run = run.without_first(unneeded.min(run.count.saturating_sub(1)));
        }
        self
    }

    /// The file and the place in it, in seconds on its own clock, where playing starts.
    pub(crate) fn source(&self) -> (&Path, f64) {
        (&self.source, self.pictures_s + self.skipped_s)
    }
}

/// ffmpeg's filter that puts sound where its times say: recorders leave holes when they are muted or late, which an encoder
/// would close. Less than 20 ms is the rounding of a container's times.
pub(crate) const IN_TIME: &str = "aresample=async=1:min_hard_comp=0.02";

fn needs_ffmpeg(path: &Path, what: &str, why: &str) -> Error {
    Error::Unsupported {
        path: path.to_owned(),
        codec: what.to_owned(),
        profile: "its sound".to_owned(),
        reason: why.to_owned(),
    }
}

/// Copies a track into a file that is being written, never ahead of its pictures.
#[derive(Debug)]
pub(crate) struct AudioCopy {
    audio: AudioTrack,
    track: usize,
    /// The run that is copied, and how many of its samples are.
    next: (usize, u32),
    buffer: Vec<u8>,
}

/// Bytes that are copied at once.
const PIECE: u32 = 1 << 18;

impl AudioCopy {
    /// Adds the track; the muxer already has its video track.
    pub(crate) fn new(audio: AudioTrack, muxer: &mut Muxer) -> Self {
        let first = audio.samples.runs.first().map_or(0, |r| r.decode_time);
        let header = TrackHeader {
            kind: TrackKind::Audio,
            timescale: audio.timescale,
            entry: audio.entry.clone(),
            start: audio.start.saturating_sub(first),
        };
        let track = muxer.add_track(header);
        Self { audio, track, next: (0, 0), buffer: Vec::new() }
    }

    /// Copies every sample that begins before `seconds` of the result.
    pub(crate) fn copy_until(&mut self, seconds: f64, muxer: &mut Muxer) -> Result<()> {
        let until =
            self.audio.start.saturating_add((seconds * f64::from(self.audio.timescale)).ceil() as i64);
        while let Some(&run) = self.audio.samples.runs.get(self.next.0) {
            let rest = run.without_first(self.next.1);
            let n = rest.before(until).min((PIECE / run.size.max(1)).max(1));
            if n == 0 {
                return Ok(());
            }
            let len = run.size as usize * n as usize;
            let audio = &mut self.audio;
            read_at(&mut audio.file, &audio.path, rest.offset, len, &mut self.buffer)?;
            let last = n == rest.count;
            // A hole between two runs is time in which the last sample before it lasts.
            let hole = match self.audio.samples.runs.get(self.next.0 + 1) {
                Some(following) if last => following.decode_time.saturating_sub(run.end_time()),
                _ => 0,
            };
            match u32::try_from(hole) {
                Ok(hole @ 1..) => {
                    let (most, one) = self.buffer.split_at(len - run.size as usize);
                    muxer.push_alike(self.track, most, n - 1, run.duration, true)?;
                    muxer.push(self.track, one, run.duration.saturating_add(hole), true)?;
                }
                _ => muxer.push_alike(self.track, &self.buffer, n, run.duration, true)?,
            }
            self.next = if last { (self.next.0 + 1, 0) } else { (self.next.0, self.next.1 + n) };
        }
        Ok(())
    }
}
