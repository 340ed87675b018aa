//! H.264 from an mp4 or mov file, decoded here.

use super::{ReadOptions, Timing, VideoInfo};
use crate::color::{ColorSpace, Matrix, Range, Yuv420, yuv420_to_rgb};
use crate::error::{Error, Result};
use crate::h264::avcc::AvcConfig;
use crate::h264::decode::{H264Decoder, explain};
use crate::h264::sps::{Sps, matrix_of};
use crate::mp4::boxes::Reader;
use crate::mp4::demux::{Entry, Movie, Track};
use crate::mp4::samples::Sample;
use crate::mp4::timeline::Timeline;
use crate::orientation::Orientation;
use crate::square::{enlarge, square_size};
use crate::timing::{Pace, Stamps};
use crate::warning::{Warning, Warnings};
use image::RgbImage;
use std::collections::VecDeque;
use std::path::Path;

/// Frames wider or higher than this aren't decoded here.
const MAX_SIDE: u32 = 8192;

/// An opened H.264 track.
#[derive(Debug)]
pub(super) struct Mp4Source {
    movie: Movie,
    /// The parameter sets of each sample description.
    configs: Vec<AvcConfig>,
    samples: Vec<Sample>,
    next_sample: usize,
    decoder: H264Decoder,
    /// Whether the k-th frame in presentation order is handed out.
    wanted: Vec<bool>,
    n_out: usize,
    finished: Finished,
    ready: VecDeque<RgbImage>,
    look: Look,
    sample: Vec<u8>,
    access_unit: Vec<u8>,
}

/// How a decoded picture becomes a frame.
#[derive(Clone, Copy, Debug)]
struct Look {
    color: ColorSpace,
    orientation: Orientation,
    stored_size: (u32, u32),
    /// The size with square pixels, where the stored ones aren't.
    square: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finished {
    No,
    Flushed,
}

/// A track, seen with the parameter sets of its first description.
struct Stream<'a> {
    path: &'a Path,
    track: &'a Track,
    entry: &'a Entry,
}

impl<'a> Stream<'a> {
    fn of(movie: &'a Movie) -> Result<Self> {
        let path = movie.path.as_path();
        let track = movie.track(b"vide").ok_or_else(|| Error::NoVideo { path: path.to_owned() })?;
        // The demuxer refuses a track without a description.
        let first = track.samples.runs.first().map_or(0, |r| usize::from(r.description));
        let entry = track.entries.get(first).or(track.entries.first());
        let entry = entry.ok_or_else(|| Error::NoVideo { path: path.to_owned() })?;
        Ok(Self { path, track, entry })
    }

    fn malformed(&self, detail: &str) -> Error {
        Error::Malformed { path: self.path.to_owned(), format: "mp4", detail: detail.to_owned() }
    }

    fn unsupported(&self, profile: String, reason: impl Into<String>) -> Error {
        let codec = codec_name(self.entry);
        Error::Unsupported { path: self.path.to_owned(), codec, profile, reason: reason.into() }
    }

    /// The parameter sets of every description.
    fn configs(&self) -> Result<Vec<AvcConfig>> {
        let mut configs = Vec::new();
        for entry in &self.track.entries {
            if !matches!(&entry.codec.0, b"avc1" | b"avc3") {
                let name = format!("sample type {:?}", entry.codec.to_string());
                return Err(self.unsupported(name, "only H.264 is built in"));
            }
            let avcc = boxes_of(entry).find(b"avcC").ok_or_else(|| self.malformed("no avcC box"))?;
            let config = AvcConfig::parse(avcc.rest());
            configs.push(config.ok_or_else(|| self.malformed("no usable avcC box"))?);
        }
        Ok(configs)
    }
}

/// The boxes of a visual sample entry, behind its 78 bytes of fields.
fn boxes_of(entry: &Entry) -> Reader<'_> {
    Reader::new(entry.payload().get(78..).unwrap_or(&[]))
}

impl Mp4Source {
    pub(super) fn open(
        path: &Path,
        options: &ReadOptions,
        warnings: &Warnings,
    ) -> Result<(VideoInfo, Pace, Self)> {
        let movie = Movie::open(path)?;
        let stream = Stream::of(&movie)?;
        let track = stream.track;
        let configs = stream.configs()?;
        let first = track.samples.runs.first().map_or(0, |r| usize::from(r.description));
        let sps = configs.get(first).and_then(|c| c.sps.first()).and_then(|s| Sps::parse(s));
        let sps = sps.ok_or_else(|| stream.malformed("no usable sequence parameter set"))?;
        if let Some(reason) = sps.obstacle() {
            return Err(stream.unsupported(sps.profile_name(), reason));
        }
        if sps.size.0 > MAX_SIDE || sps.size.1 > MAX_SIDE {
            return Err(stream.unsupported(sps.profile_name(), format!("{:?} pixels", sps.size)));
        }
        let missing = track.samples.missing;
        if track.samples.is_empty() {
            if missing > 0 {
                return Err(stream.malformed("the file is cut off before its first frame"));
            }
            return Err(Error::NoFrames { path: path.to_owned() });
        }
        if track.samples.runs.iter().any(|r| usize::from(r.description) >= configs.len()) {
            return Err(stream.malformed("a sample needs a description that isn't there"));
        }
        let timeline = Timeline::of(track, movie.timescale)
            .map_err(|why| stream.unsupported(sps.profile_name(), why))?;
        let stamps = Stamps {
            times: timeline.shown.iter().flatten().copied().collect(),
            end: timeline.end,
            timescale: track.timescale,
        };
        let pace = match options.timing {
            Timing::Even => Pace::new(&stamps, None, None),
            Timing::EvenAt(rate) => Pace::new(&stamps, Some(rate), None),
            Timing::AsStored => Pace::as_stored(&stamps, None),
        };
        let mut seen = pace.ticks.iter().map(Option::is_some);
        let wanted = timeline.shown.iter().map(|s| s.is_some() && seen.next() == Some(true)).collect();
        let entry_boxes = boxes_of(stream.entry);
        let orientation =
            if options.upright { Orientation::from_matrix(&track.matrix) } else { Orientation::default() };
        let ratio = pixel_ratio(entry_boxes).or(sps.pixel_ratio).unwrap_or((1, 1));
        let look = Look {
            color: color_space(&sps, entry_boxes, options.unspecified_matrix),
            orientation,
            stored_size: sps.size,
            square: square_size(sps.size, ratio),
        };
        let (width, height) = orientation.upright_size(look.square.unwrap_or(sps.size));
        if missing > 0 {
            let got = track.samples.len();
            warnings.push(Warning::CutOff { path: path.to_owned(), expected: got + missing, got });
        }
        if look.square.is_some() {
            warnings.push(Warning::PixelAspect { path: path.to_owned(), ratio, size: (width, height) });
        }
        let transfer = sps.transfer.or_else(|| container_color(entry_boxes).and_then(|c| c.transfer));
        if let Some(transfer) = transfer.and_then(hdr_transfer) {
            warnings.push(Warning::Hdr { path: path.to_owned(), transfer });
        }
        let decoder = H264Decoder::new().map_err(|e| Error::Decode {
            path: path.to_owned(),
            frame: 0,
            detail: explain(&e),
        })?;
        let info = VideoInfo {
            width,
            height,
            frame_rate: pace.rate,
            frames: Some(pace.total),
            start_s: pace.start_s,
            still: false,
            orientation,
            color: Some(look.color),
            codec: format!("H.264 ({})", sps.profile_name()),
            has_audio: movie.track(b"soun").is_some_and(|t| !t.samples.is_empty()),
            shown: pace.shown(),
        };
        let samples = track.samples.iter().collect();
        let source = Self {
            movie,
            configs,
            samples,
            next_sample: 0,
            decoder,
            wanted,
            n_out: 0,
            finished: Finished::No,
            ready: VecDeque::new(),
            look,
            sample: Vec::new(),
            access_unit: Vec::new(),
        };
        Ok((info, pace, source))
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<RgbImage>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(Some(frame));
            }
            if self.finished == Finished::Flushed {
                let (expected, got) = (self.wanted.len(), self.n_out);
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
        let look = self.look;
        let (wanted, n_out, ready) = (&self.wanted, &mut self.n_out, &mut self.ready);
        let picture = |yuv: Yuv420<'_>| {
            let size = (yuv.width as u32, yuv.height as u32);
            if size != look.stored_size {
                wrong_size = Some(size);
                return;
            }
            if wanted.get(*n_out) == Some(&true) {
                let mut rgb = RgbImage::new(size.0, size.1);
                yuv420_to_rgb(&yuv, look.color, &mut rgb);
                let rgb = match look.square {
                    Some(size) => enlarge(&rgb, size),
                    None => rgb,
                };
                ready.push_back(look.orientation.apply(rgb));
            }
            *n_out += 1;
        };
        let result = match self.samples.get(index) {
            Some(sample) => {
                self.next_sample += 1;
                self.movie.read_at(sample.offset, sample.size as usize, &mut self.sample)?;
                self.access_unit.clear();
                let before = index.checked_sub(1).and_then(|i| self.samples.get(i));
                let config = &self.configs[usize::from(sample.description)];
                if before.is_none_or(|b| b.description != sample.description) {
                    self.access_unit.extend(config.annex_b());
                }
                if !config.append_annex_b(&self.sample, &mut self.access_unit) {
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
            detail: explain(&e),
        })?;
        match wrong_size {
            Some(got) => {
                let path = self.movie.path.clone();
                Err(Error::FrameSize { path, frame: self.n_out, expected: look.stored_size, got })
            }
            None => Ok(()),
        }
    }
}

fn codec_name(entry: &Entry) -> String {
    let name = match &entry.codec.0 {
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
        _ => return format!("codec {:?}", entry.codec.to_string()),
    };
    name.to_owned()
}

/// The stream's own colour description, else the container's, else `unspecified`.
fn color_space(sps: &Sps, entry_boxes: Reader<'_>, unspecified: Matrix) -> ColorSpace {
    let container = container_color(entry_boxes);
    let matrix = sps.matrix.or(container.and_then(|c| c.matrix)).unwrap_or(unspecified);
    let range = sps.range.or(container.and_then(|c| c.range)).unwrap_or(Range::Limited);
    ColorSpace { matrix, range }
}

/// What a `colr` box says.
#[derive(Clone, Copy)]
struct ContainerColor {
    transfer: Option<u16>,
    matrix: Option<Matrix>,
    range: Option<Range>,
}

fn container_color(entry_boxes: Reader<'_>) -> Option<ContainerColor> {
    let mut colr = entry_boxes.find(b"colr")?;
    let kind = colr.four_cc()?;
    if !matches!(&kind.0, b"nclx" | b"nclc") {
        return None;
    }
    colr.skip(2)?;
    let (transfer, matrix) = (Some(colr.u16()?), matrix_of(colr.u16()?));
    let range = match &kind.0 {
        b"nclx" => Some(if colr.u8()? & 0x80 != 0 { Range::Full } else { Range::Limited }),
        _ => None,
    };
    Some(ContainerColor { transfer, matrix, range })
}

/// Transfer functions of high dynamic range (ITU-T H.273, table 3).
fn hdr_transfer(code: u16) -> Option<&'static str> {
    match code {
        16 => Some("PQ"),
        18 => Some("HLG"),
        _ => None,
    }
}

/// Width to height of a pixel, as the container says.
fn pixel_ratio(entry_boxes: Reader<'_>) -> Option<(u32, u32)> {
    let mut pasp = entry_boxes.find(b"pasp")?;
    let ratio = (pasp.u32()?, pasp.u32()?);
    (ratio.0 > 0 && ratio.1 > 0).then_some(ratio)
}
