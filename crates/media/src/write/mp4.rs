//! H.264 in an mp4 file, encoded here.

use super::WriteOptions;
use crate::audio::AudioCopy;
use crate::color::{ColorSpace, Yuv420Buffer};
use crate::error::{Error, Result};
use crate::h264::encode::H264Encoder;
use crate::mp4::boxes::{boxed, words};
use crate::mp4::mux::{Muxer, TrackHeader, TrackKind};
use image::RgbImage;
use std::path::{Path, PathBuf};

/// The longer and the shorter side that the encoder takes at most.
const MAX_SIDES: (u32, u32) = (3840, 2160);
/// Smallest side that the encoder takes.
const MIN_SIDE: u32 = 16;

#[derive(Debug)]
pub(super) struct Mp4Sink {
    path: PathBuf,
    options: WriteOptions,
    muxer: Muxer,
    video: Option<Video>,
    audio: Option<AudioCopy>,
    n_frames: usize,
}

#[derive(Debug)]
struct Video {
    encoder: H264Encoder,
    picture: Yuv420Buffer,
    track: usize,
    duration: u32,
}

impl Mp4Sink {
    pub(super) fn create(path: &Path, options: WriteOptions) -> Result<Self> {
        let muxer = Muxer::create(path)?;
        Ok(Self { path: path.to_owned(), options, muxer, video: None, audio: None, n_frames: 0 })
    }

    pub(super) fn push(&mut self, frame: &RgbImage) -> Result<()> {
        if self.video.is_none() {
            self.video = Some(self.start(frame.dimensions())?);
            self.audio = self.options.audio.take().map(|audio| AudioCopy::new(audio, &mut self.muxer));
        }
        let Some(video) = &mut self.video else { return Ok(()) };
        let (path, index) = (&self.path, self.n_frames);
        let refused = |detail: String| Error::Encode { path: path.clone(), frame: index, detail };
        video.picture.fill_from_rgb(frame.as_raw(), ColorSpace::BT709);
        let coded = video.encoder.encode(&video.picture).map_err(|e| refused(e.to_string()))?;
        let coded = coded.ok_or_else(|| refused("the encoder left it out".to_owned()))?;
        self.muxer.push(video.track, coded.sample, video.duration, coded.sync)?;
        self.n_frames += 1;
        if let Some(audio) = &mut self.audio {
            audio.copy_until(self.options.frame_rate.seconds_of(self.n_frames), &mut self.muxer)?;
        }
        Ok(())
    }

    fn start(&mut self, (width, height): (u32, u32)) -> Result<Video> {
        let wrong_size = |reason| Error::VideoSize { path: self.path.clone(), width, height, reason };
        if width % 2 != 0 || height % 2 != 0 {
            return Err(wrong_size("4:2:0 chroma needs an even width and height"));
        }
        if width < MIN_SIDE || height < MIN_SIDE {
            return Err(wrong_size("the encoder needs at least 16 pixels each way"));
        }
        if width.max(height) > MAX_SIDES.0 || width.min(height) > MAX_SIDES.1 {
            return Err(wrong_size("the encoder takes at most 3840x2160"));
        }
        let rate = self.options.frame_rate;
        let interval = self.options.keyframe_interval;
        let encoder = H264Encoder::new(self.options.qp, rate.as_f64(), interval)
            .map_err(|e| Error::Encode { path: self.path.clone(), frame: 0, detail: e.to_string() })?;
        // Time units fine enough for players that round: at least 10,000 a second.
        let finer =
            10_000_u32.div_ceil(rate.num()).min(u32::MAX / rate.num()).min(u32::MAX / rate.den()).max(1);
        let header = TrackHeader {
            kind: TrackKind::Video(width, height),
            timescale: rate.num() * finer,
            entry: Vec::new(),
            start: 0,
        };
        let track = self.muxer.add_track(header);
        let picture = Yuv420Buffer::new(width as usize, height as usize);
        Ok(Video { encoder, picture, track, duration: rate.den() * finer })
    }

    pub(super) fn finish(mut self) -> Result<()> {
        let Some(video) = &self.video else { return Err(Error::NoFrames { path: self.path }) };
        let size = (video.picture.width as u16, video.picture.height as u16);
        let entry = sample_entry(size, &video.encoder.config().write());
        self.muxer.set_entry(video.track, entry);
        self.muxer.finish().map(|_| ())
    }
}

/// `avc1` with its parameter sets and its colours (BT.709, limited range).
fn sample_entry((width, height): (u16, u16), avcc: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 0, 0, 0, 0, 1];
    out.extend([0; 16]);
    out.extend(width.to_be_bytes());
    out.extend(height.to_be_bytes());
    out.extend(words([0x48_0000, 0x48_0000, 0])); // 72 dots an inch
    out.extend([0, 1]); // one frame a sample
    out.extend([0; 32]);
    out.extend([0, 24, 0xff, 0xff]); // colour depth
    out.extend(boxed(b"avcC", avcc));
    out.extend(boxed(b"colr", &[&b"nclx"[..], &[0, 1, 0, 1, 0, 1, 0]].concat()));
    boxed(b"avc1", &out)
}
