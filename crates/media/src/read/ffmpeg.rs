//! Frames decoded by an external ffmpeg, through a pipe.
//!
//! A first pass lists the times of all packets without decoding them; from these the clock is made. The second one decodes,
//! and ffmpeg's own `fps` filter puts the frames on that clock.

use super::{ReadOptions, Timing, VideoInfo};
use crate::error::{Error, IoContext, Result};
use crate::ffmpeg::{Ffmpeg, Running, input_file};
use crate::orientation::Orientation;
use crate::rate::FrameRate;
use crate::square::square_size;
use crate::timing::{Pace, Stamps};
use crate::warning::{Warning, Warnings};
use image::RgbImage;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};

/// A running decoder.
#[derive(Debug)]
pub(super) struct FfmpegSource {
    path: PathBuf,
    running: Running,
    pipe: ChildStdout,
    size: (u32, u32),
    /// The first frame's number and how many there should be.
    first: usize,
    expected: Option<usize>,
    n_read: usize,
    last: Option<RgbImage>,
    warnings: Warnings,
}

/// Where another source stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resume {
    pub(super) size: (u32, u32),
    pub(super) rate: FrameRate,
    pub(super) start_s: f64,
    /// Ticks that are done, and all of them.
    pub(super) done: usize,
    pub(super) total: usize,
}

impl FfmpegSource {
    /// None where there is no ffmpeg.
    pub(super) fn open(
        path: &Path,
        program: &Path,
        options: &ReadOptions,
        warnings: &Warnings,
    ) -> Result<Option<(VideoInfo, Self)>> {
        let Some(ffmpeg) = Ffmpeg::find(program) else { return Ok(None) };
        let first = probe(&ffmpeg, path, options.upright)?;
        let listed = list_times(&ffmpeg, path, &[])?;
        let square = square_size(first.size, first.pixel_ratio);
        let size = square.unwrap_or(first.size);
        if square.is_some() {
            let ratio = first.pixel_ratio;
            warnings.push(Warning::PixelAspect { path: path.to_owned(), ratio, size });
        }
        if let Some(transfer) = first.hdr {
            warnings.push(Warning::Hdr { path: path.to_owned(), transfer });
        }
        let declared = first.rate.filter(|r| r.as_f64() <= 240.0);
        let pace = listed.as_ref().map(|stamps| match options.timing {
            Timing::Even => Pace::new(stamps, None, declared),
            Timing::EvenAt(rate) => Pace::new(stamps, Some(rate), declared),
            Timing::AsStored => Pace::as_stored(stamps, declared),
        });
        if let (Some(pace), Some(stamps), Timing::Even) = (&pace, &listed, options.timing) {
            super::warn_of_uneven(pace, stamps.times.len(), path, warnings);
        }
        let rate = pace.as_ref().map_or(declared.unwrap_or(FrameRate::whole(30)), |p| p.rate);
        let info = VideoInfo {
            width: size.0,
            height: size.1,
            frame_rate: rate,
            frames: pace.as_ref().map(|p| p.total),
            start_s: pace.as_ref().map_or(0.0, |p| p.start_s),
            still: false,
            orientation: Orientation::default(),
            color: None,
            codec: "decoded by ffmpeg".to_owned(),
            has_audio: first.has_audio,
            shown: pace.as_ref().and_then(Pace::shown),
        };
        let clock = match (&pace, options.timing) {
            (Some(pace), Timing::Even | Timing::EvenAt(_)) => {
                Some(Resume { size, rate, start_s: pace.start_s, done: 0, total: pace.total })
            }
            _ => None,
        };
        let source = Self::start(&ffmpeg, path, options.upright, size, clock, warnings)?;
        Ok(Some((info, source)))
    }

    /// Goes on where another source stopped; None where there is no ffmpeg.
    pub(super) fn resume(
        path: &Path,
        program: &Path,
        options: &ReadOptions,
        at: Resume,
        warnings: &Warnings,
    ) -> Result<Option<Self>> {
        let Some(ffmpeg) = Ffmpeg::find(program) else { return Ok(None) };
        Self::start(&ffmpeg, path, options.upright, at.size, Some(at), warnings).map(Some)
    }

    /// Starts decoding: at the ticks of `clock` or, where there is none, frame by frame.
    fn start(
        ffmpeg: &Ffmpeg,
        path: &Path,
        upright: bool,
        size: (u32, u32),
        clock: Option<Resume>,
        warnings: &Warnings,
    ) -> Result<Self> {
        // Frames of another size in the middle are scaled to the first one's.
        let mut filters =
            format!("scale={}:{}:flags=bilinear+accurate_rnd+full_chroma_int,setsar=1", size.0, size.1);
        if let Some(clock) = clock {
            filters += &format!(
                ",fps=fps={}:start_time={:.6}:round=near,trim=start_frame={}",
                clock.rate, clock.start_s, clock.done
            );
        }
        let mut running = ffmpeg.start(path, Stdio::null(), Stdio::piped(), |command| {
            input(command, path, upright);
            command.args(["-map", "0:V:0", "-an", "-sn", "-vf", &filters]).args(ffmpeg.every_frame());
            command.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]);
        })?;
        let Some(pipe) = running.child.stdout.take() else {
            return Err(Error::Ffmpeg { path: path.to_owned(), detail: "no output pipe".to_owned() });
        };
        Ok(Self {
            path: path.to_owned(),
            running,
            pipe,
            size,
            first: clock.map_or(0, |c| c.done),
            expected: clock.map(|c| c.total),
            n_read: 0,
            last: None,
            warnings: warnings.clone(),
        })
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<RgbImage>> {
        let done = self.first + self.n_read;
        if self.expected.is_some_and(|n| done >= n) {
            // The clock may end a tick before ffmpeg's.
            let mut rest = Vec::new();
            let one = u64::from(self.size.0) * u64::from(self.size.1) * 3;
            drop((&mut self.pipe).take(4 * one).read_to_end(&mut rest));
            self.finish()?;
            return Ok(None);
        }
        let mut frame = RgbImage::new(self.size.0, self.size.1);
        let bytes: &mut [u8] = &mut frame;
        let mut filled = 0;
        while filled < bytes.len() {
            let n = self.pipe.read(&mut bytes[filled..]).at(&self.path, "reading from ffmpeg")?;
            if n == 0 {
                break;
            }
            filled += n;
        }
        if filled == bytes.len() {
            self.n_read += 1;
            if self.expected == Some(done + 2) {
                self.last = Some(frame.clone());
            }
            return Ok(Some(frame));
        }
        self.finish()?;
        match (filled, done) {
            (0, 0) => Err(Error::NoFrames { path: self.path.clone() }),
            (0, _) => Ok(self.held_once(done)),
            _ => {
                Err(Error::Ffmpeg { path: self.path.clone(), detail: format!("frame {done} is incomplete") })
            }
        }
    }

    /// Where only the last tick is missing, the frame before it lasts; more than that is said.
    fn held_once(&mut self, done: usize) -> Option<RgbImage> {
        let expected = self.expected?;
        if expected == done + 1
            && let Some(frame) = self.last.take()
        {
            self.n_read += 1;
            return Some(frame);
        }
        if expected > done {
            self.warnings.push(Warning::EndsEarly { path: self.path.clone(), expected, got: done });
        }
        None
    }

    fn finish(&mut self) -> Result<()> {
        if let Some(said) = self.running.wait(&self.path)? {
            self.warnings.push(Warning::Ffmpeg { path: self.path.clone(), said });
        }
        Ok(())
    }
}

fn input(command: &mut Command, path: &Path, upright: bool) {
    if !upright {
        command.arg("-noautorotate");
    }
    // Times are the file's own, for pictures and sound alike.
    command.arg("-copyts");
    input_file(command, path);
}

/// What the first frame says.
#[derive(Debug, PartialEq)]
struct First {
    size: (u32, u32),
    rate: Option<FrameRate>,
    pixel_ratio: (u32, u32),
    hdr: Option<&'static str>,
    has_audio: bool,
}

/// Size, rate and shape of pixels, from the header that ffmpeg writes in front of a y4m stream; the rest from its log.
fn probe(ffmpeg: &Ffmpeg, path: &Path, upright: bool) -> Result<First> {
    let mut running = ffmpeg.start(path, Stdio::null(), Stdio::piped(), |command| {
        command.args(["-loglevel", "info", "-nostats"]);
        input(command, path, upright);
        command.args(["-map", "0:V:0", "-frames:v", "1", "-pix_fmt", "yuv444p", "-f", "yuv4mpegpipe", "-"]);
    })?;
    let mut header = Vec::new();
    if let Some(pipe) = running.child.stdout.take() {
        let mut pipe = BufReader::new(pipe);
        (&mut pipe).take(512).read_until(b'\n', &mut header).at(path, "reading from ffmpeg")?;
        // The picture itself goes nowhere, but ffmpeg must be able to write it.
        std::io::copy(&mut pipe, &mut std::io::sink()).at(path, "reading from ffmpeg")?;
    }
    running.wait(path)?;
    let log = running.log();
    let video = log.lines().find(|l| l.contains("Video: ")).unwrap_or_default();
    let mut first = parse_y4m(String::from_utf8_lossy(&header).trim_end())
        .ok_or_else(|| Error::NoVideo { path: path.to_owned() })?;
    first.hdr = match () {
        () if video.contains("smpte2084") => Some("PQ"),
        () if video.contains("arib-std-b67") => Some("HLG"),
        () => None,
    };
    first.has_audio = log.lines().any(|l| l.contains("Stream #0:") && l.contains("Audio: "));
    Ok(first)
}

fn parse_y4m(header: &str) -> Option<First> {
    let fields = header.strip_prefix("YUV4MPEG2 ")?;
    let field = |letter: char| fields.split(' ').find_map(|f| f.strip_prefix(letter));
    let (width, height) = (field('W')?.parse().ok()?, field('H')?.parse().ok()?);
    if width == 0 || height == 0 || u64::from(width) * u64::from(height) > 1 << 28 {
        return None;
    }
    let ratio = field('A').and_then(|a| a.split_once(':'));
    let ratio = ratio.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    Some(First {
        size: (width, height),
        rate: field('F').and_then(|f| f.parse().ok()),
        pixel_ratio: ratio.unwrap_or((1, 1)),
        hdr: None,
        has_audio: false,
    })
}

/// When the pictures of a file start, in seconds on its own clock; None where it doesn't tell.
pub(crate) fn first_time_s(ffmpeg: &Ffmpeg, path: &Path) -> Result<Option<f64>> {
    // The first in time is among the first in the file.
    let stamps = list_times(ffmpeg, path, &["-frames:v", "64"])?;
    Ok(stamps.and_then(|s| Some(*s.times.first()? as f64 / f64::from(s.timescale))))
}

/// The times of all packets; None where the container has none, or some without one.
fn list_times(ffmpeg: &Ffmpeg, path: &Path, limit: &[&str]) -> Result<Option<Stamps>> {
    let mut running = ffmpeg.start(path, Stdio::null(), Stdio::piped(), |command| {
        input(command, path, true);
        command.args(["-map", "0:V:0", "-c", "copy"]).args(limit).args(["-f", "framecrc", "-"]);
    })?;
    let mut packets = Vec::new();
    let mut timescale = None;
    if let Some(pipe) = running.child.stdout.take() {
        for line in BufReader::new(pipe).split(b'\n') {
            let line = line.at(path, "reading from ffmpeg")?;
            let line = String::from_utf8_lossy(&line);
            if let Some(base) = line.strip_prefix("#tb 0: ") {
                timescale = base.trim().parse::<FrameRate>().ok();
            } else if !line.starts_with('#') && !line.trim().is_empty() {
                packets.push(parse_packet(&line));
            }
        }
    }
    if running.wait(path).is_err() {
        // Some containers can't be listed this way; decoding says whether they can be read.
        return Ok(None);
    }
    let Some(base) = timescale else { return Ok(None) };
    let Some(mut packets) = packets.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
    packets.retain(|p| !p.hidden);
    packets.sort_by_key(|p| p.time);
    let Some(last) = packets.last() else { return Ok(None) };
    // A time base of 1001/30000 s: units of 1/30000 s.
    let unit = i64::from(base.num());
    let end = last.time.saturating_add(last.duration);
    Ok(Some(Stamps {
        times: packets.iter().map(|p| p.time.saturating_mul(unit)).collect(),
        end: end.saturating_mul(unit),
        timescale: base.den(),
    }))
}

struct Packet {
    time: i64,
    duration: i64,
    /// Decoded for others' sake only.
    hidden: bool,
}

/// `stream, dts, pts, duration, size, checksum[, F=flags]…`; None without a time.
fn parse_packet(line: &str) -> Option<Packet> {
    const DISCARD: u32 = 4;
    let mut fields = line.split(',').map(str::trim);
    let time = fields.nth(2)?.parse().ok().filter(|&t: &i64| t > i64::MIN / 2)?;
    let duration = fields.next()?.parse().unwrap_or(0);
    let flags = fields.find_map(|f| f.strip_prefix("F=0x")).and_then(|f| u32::from_str_radix(f, 16).ok());
    Some(Packet { time, duration, hidden: flags.is_some_and(|f| f & DISCARD != 0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_header() {
        let first = parse_y4m("YUV4MPEG2 W64 H48 F30000:1001 Ip A4:3 C444 XYSCSS=444").unwrap();
        assert_eq!((first.size, first.pixel_ratio), ((64, 48), (4, 3)));
        assert_eq!(first.rate, FrameRate::new(30000, 1001).ok());
        assert_eq!(parse_y4m("YUV4MPEG2 W0 H48 F30:1"), None);
        assert_eq!(parse_y4m("YUV4MPEG2 W99999999 H99999999 F30:1"), None);
        assert_eq!(parse_y4m("nonsense"), None);
    }

    #[test]
    fn reads_packets() {
        let packet =
            parse_packet("0,         80,        120,       40,     2203, 0x1d7d0f3a, F=0x4").unwrap();
        assert_eq!((packet.time, packet.duration, packet.hidden), (120, 40, true));
        assert!(!parse_packet("0, 0, 0, 1, 5, 0x0").unwrap().hidden);
        assert!(parse_packet("0, 0, -9223372036854775808, 1, 5, 0x0").is_none());
    }
}
