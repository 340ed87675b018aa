//! H.264 from an mp4 or mov file, decoded here.

use super::{ReadOptions, VideoInfo};
use crate::color::{ColorSpace, Matrix, Range, Yuv420, yuv420_to_rgb};
use crate::error::{Error, Result};
use crate::h264::avcc::AvcConfig;
use crate::h264::decode::H264Decoder;
use crate::h264::sps::{Sps, matrix_of};
use crate::mp4::boxes::Reader;
use crate::mp4::demux::{Movie, Sample, Track};
use crate::orientation::Orientation;
use crate::rate::FrameRate;
use image::RgbImage;
use std::collections::VecDeque;
use std::path::Path;

/// Frames wider or higher than this aren't decoded here.
const MAX_SIDE: u32 = 8192;

/// An opened H.264 track.
#[derive(Debug)]
pub(super) struct Mp4Source {
    movie: Movie,
    config: AvcConfig,
    samples: Vec<Sample>,
    next_sample: usize,
    decoder: H264Decoder,
    /// Whether the k-th frame in presentation order is shown.
    shown: Vec<bool>,
    n_out: usize,
    finished: Finished,
    ready: VecDeque<RgbImage>,
    color: ColorSpace,
    orientation: Orientation,
    stored_size: (u32, u32),
    sample: Vec<u8>,
    access_unit: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finished {
    No,
    Flushed,
}

impl Mp4Source {
    pub(super) fn open(path: &Path, options: &ReadOptions) -> Result<(VideoInfo, Self)> {
        let movie = Movie::open(path)?;
        let track = movie.track(b"vide").ok_or_else(|| Error::NoVideo { path: path.to_owned() })?;
        let malformed = |detail: &str| Error::Malformed {
            path: path.to_owned(),
            format: "mp4",
            detail: detail.to_owned(),
        };
        let unsupported = |profile: String, reason: String| Error::Unsupported {
            path: path.to_owned(),
            codec: codec_name(track),
            profile,
            reason,
        };
        if !matches!(&track.codec.0, b"avc1" | b"avc3") {
            return Err(unsupported(
                format!("sample type {:?}", track.codec.to_string()),
                "only H.264 is built in".to_owned(),
            ));
        }
        // A visual sample entry has 78 bytes of fields in front of its boxes.
        let boxes = Reader::new(track.entry_payload().get(78..).unwrap_or(&[]));
        let avcc = boxes.find(b"avcC").ok_or_else(|| malformed("no avcC box"))?;
        let config = AvcConfig::parse(avcc.rest()).ok_or_else(|| malformed("no usable avcC box"))?;
        let sps = config.sps.first().and_then(|s| Sps::parse(s));
        let sps = sps.ok_or_else(|| malformed("no usable sequence parameter set"))?;
        if let Some(reason) = sps.obstacle() {
            return Err(unsupported(sps.profile_name(), reason));
        }
        if sps.size.0 > MAX_SIDE || sps.size.1 > MAX_SIDE {
            return Err(unsupported(sps.profile_name(), format!("{:?} pixels", sps.size)));
        }
        if movie.fragmented && track.samples.is_empty() {
            return Err(unsupported(sps.profile_name(), "movie fragments".to_owned()));
        }
        if track.samples.is_empty() {
            return Err(Error::NoFrames { path: path.to_owned() });
        }
        let shown = shown_frames(track, movie.timescale)
            .ok_or_else(|| unsupported(sps.profile_name(), "an edit list with several parts".to_owned()))?;
        let frames = shown.iter().filter(|&&s| s).count();
        let color = color_space(&sps, boxes, options.unspecified_matrix);
        let orientation =
            if options.upright { Orientation::from_matrix(&track.matrix) } else { Orientation::default() };
        let (width, height) = orientation.upright_size(sps.size);
        let decoder = H264Decoder::new().map_err(|e| Error::Decode {
            path: path.to_owned(),
            frame: 0,
            detail: e.to_string(),
        })?;
        let info = VideoInfo {
            width,
            height,
            frame_rate: frame_rate(track),
            frames: Some(frames),
            orientation,
            color: Some(color),
            codec: format!("H.264 ({})", sps.profile_name()),
            has_audio: movie.track(b"soun").is_some_and(|t| !t.samples.is_empty()),
        };
        let samples = track.samples.clone();
        let source = Self {
            movie,
            config,
            samples,
            next_sample: 0,
            decoder,
            shown,
            n_out: 0,
            finished: Finished::No,
            ready: VecDeque::new(),
            color,
            orientation,
            stored_size: sps.size,
            sample: Vec::new(),
            access_unit: Vec::new(),
        };
        Ok((info, source))
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<RgbImage>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(Some(frame));
            }
            if self.finished == Finished::Flushed {
                let (expected, got) = (self.shown.len(), self.n_out);
                if expected == got {
                    return Ok(None);
                }
                return Err(Error::FrameCount { path: self.movie.path.clone(), expected, got });
            }
            self.decode_one()?;
        }
    }

    /// Feeds the decoder its next sample, or empties it after the last.
    fn decode_one(&mut self) -> Result<()> {
        let index = self.next_sample;
        let mut wrong_size = None;
        let (color, orientation, stored_size) = (self.color, self.orientation, self.stored_size);
        let (shown, n_out, ready) = (&self.shown, &mut self.n_out, &mut self.ready);
        let picture = |yuv: Yuv420<'_>| {
            let size = (yuv.width as u32, yuv.height as u32);
            if size != stored_size {
                wrong_size = Some(size);
                return;
            }
            if shown.get(*n_out) == Some(&true) {
                let mut rgb = RgbImage::new(size.0, size.1);
                yuv420_to_rgb(&yuv, color, &mut rgb);
                ready.push_back(orientation.apply(rgb));
            }
            *n_out += 1;
        };
        let result = match self.samples.get(index) {
            Some(sample) => {
                self.next_sample += 1;
                self.movie.read_sample(sample, &mut self.sample)?;
                self.access_unit.clear();
                if index == 0 {
                    self.access_unit.extend(self.config.annex_b());
                }
                if !self.config.append_annex_b(&self.sample, &mut self.access_unit) {
                    let detail = format!("the lengths within sample {index} don't add up");
                    return Err(Error::Malformed { path: self.movie.path.clone(), format: "mp4", detail });
                }
                self.decoder.decode(&self.access_unit, picture)
            }
            None => {
                self.finished = Finished::Flushed;
                self.decoder.finish(picture)
            }
        };
        result.map_err(|e| Error::Decode {
            path: self.movie.path.clone(),
            frame: index,
            detail: e.to_string(),
        })?;
        match wrong_size {
            Some(got) => {
                let path = self.movie.path.clone();
                Err(Error::FrameSize { path, frame: self.n_out, expected: stored_size, got })
            }
            None => Ok(()),
        }
    }
}

fn codec_name(track: &Track) -> String {
    let name = match &track.codec.0 {
        b"avc1" | b"avc2" | b"avc3" | b"avc4" => "H.264",
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => "HEVC (H.265)",
        b"vvc1" | b"vvi1" => "VVC (H.266)",
        b"av01" => "AV1",
        b"vp08" => "VP8",
        b"vp09" => "VP9",
        b"mp4v" => "MPEG-4 Part 2",
        b"jpeg" | b"mjpa" | b"mjpb" => "Motion JPEG",
        b"apcn" | b"apch" | b"apcs" | b"apco" | b"ap4h" | b"ap4x" => "ProRes",
        b"encv" => "encrypted video",
        _ => return format!("codec {:?}", track.codec.to_string()),
    };
    name.to_owned()
}

/// The stream's own colour description, else the container's, else `unspecified`.
fn color_space(sps: &Sps, entry_boxes: Reader<'_>, unspecified: Matrix) -> ColorSpace {
    let container = container_color(entry_boxes);
    let matrix = sps.matrix.or(container.and_then(|c| c.0)).unwrap_or(unspecified);
    let range = sps.range.or(container.and_then(|c| c.1)).unwrap_or(Range::Limited);
    ColorSpace { matrix, range }
}

fn container_color(entry_boxes: Reader<'_>) -> Option<(Option<Matrix>, Option<Range>)> {
    let mut colr = entry_boxes.find(b"colr")?;
    match &colr.four_cc()?.0 {
        b"nclx" => {
            colr.skip(4)?;
            let matrix = matrix_of(colr.u16()?);
            let full = colr.u8()? & 0x80 != 0;
            Some((matrix, Some(if full { Range::Full } else { Range::Limited })))
        }
        b"nclc" => {
            colr.skip(4)?;
            Some((matrix_of(colr.u16()?), None))
        }
        _ => None,
    }
}

/// For each frame in presentation order: does the edit list show it? None for lists of several parts.
fn shown_frames(track: &Track, movie_timescale: u32) -> Option<Vec<bool>> {
    let mut times: Vec<(i64, u32)> =
        track.samples.iter().map(|s| (s.decode_time + i64::from(s.shift), s.duration)).collect();
    times.sort_by_key(|t| t.0);
    let mut edits = track.edits.iter().filter(|e| e.media_time >= 0);
    let Some(edit) = edits.next() else { return Some(vec![true; times.len()]) };
    if edits.next().is_some() {
        return None;
    }
    let scaled = u128::from(edit.duration) * u128::from(track.timescale) / u128::from(movie_timescale);
    let end = match edit.duration {
        0 => i64::MAX,
        _ => i64::try_from(scaled).unwrap_or(i64::MAX).saturating_add(edit.media_time),
    };
    // The edit's times are rounded to the movie's units, so a frame may lie that much outside.
    let tick = i64::from(track.timescale / movie_timescale) + 1;
    let shown = |&(time, duration): &(i64, u32)| {
        let slack = tick.min(i64::from(duration / 2));
        time.saturating_add(slack) >= edit.media_time && time < end.saturating_sub(slack)
    };
    let shown: Vec<bool> = times.iter().map(shown).collect();
    Some(if shown.contains(&true) { shown } else { vec![true; times.len()] })
}

fn frame_rate(track: &Track) -> FrameRate {
    // The last duration is often odd; the others decide.
    let samples = match track.samples.len() {
        0 | 1 => &track.samples[..],
        n => &track.samples[..n - 1],
    };
    let total: u64 = samples.iter().map(|s| u64::from(s.duration)).sum();
    if total == 0 {
        return FrameRate::whole(30);
    }
    FrameRate::reduced(u64::from(track.timescale) * samples.len() as u64, total)
}
