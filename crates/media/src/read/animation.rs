//! Animated GIF and WebP files, decoded here.

use super::{ReadOptions, Timing, VideoInfo};
use crate::error::{Error, Result};
use crate::orientation::Orientation;
use crate::picture::over_black;
use crate::timing::{Pace, Stamps};
use image::codecs::gif::GifDecoder;
use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, Frames, RgbImage};
use sniff::Kind;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Frames of an animation that are seen, in order.
pub(super) struct Animation {
    path: PathBuf,
    frames: Frames<'static>,
    wanted: std::vec::IntoIter<bool>,
}

impl std::fmt::Debug for Animation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Animation").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Animation {
    /// None for a file that is no animation.
    pub(super) fn open(
        path: &Path,
        kind: Kind,
        options: &ReadOptions,
    ) -> Result<Option<(VideoInfo, Pace, Self)>> {
        let Some(frames) = frames_of(path, kind)? else { return Ok(None) };
        // Once through for the times: they lie between the pictures.
        let mut stamps = Stamps { times: Vec::new(), end: 0, timescale: 1000 };
        let mut size = None;
        for frame in frames {
            let frame = frame.map_err(|e| picture_error(path, e))?;
            size.get_or_insert(frame.buffer().dimensions());
            stamps.times.push(stamps.end);
            let (num, den) = frame.delay().numer_denom_ms();
            let ms = i64::from(num) / i64::from(den.max(1));
            // As browsers do: no delay means a tenth of a second.
            stamps.end += if ms < 11 { 100 } else { ms };
        }
        let Some((width, height)) = size else { return Err(Error::NoFrames { path: path.to_owned() }) };
        if stamps.times.len() == 1 {
            return Ok(None);
        }
        let pace = match options.timing {
            Timing::Even => Pace::new(&stamps, None, None),
            Timing::EvenAt(rate) => Pace::new(&stamps, Some(rate), None),
            Timing::AsStored => Pace::as_stored(&stamps, None),
        };
        let info = VideoInfo {
            width,
            height,
            frame_rate: pace.rate,
            frames: Some(pace.total),
            start_s: 0.0,
            still: false,
            orientation: Orientation::default(),
            color: None,
            codec: format!("animated {kind}"),
            has_audio: false,
        };
        let Some(frames) = frames_of(path, kind)? else { return Ok(None) };
        let wanted: Vec<bool> = pace.ticks.iter().map(Option::is_some).collect();
        Ok(Some((info, pace, Self { path: path.to_owned(), frames, wanted: wanted.into_iter() })))
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<RgbImage>> {
        for frame in self.frames.by_ref() {
            let frame = frame.map_err(|e| picture_error(&self.path, e))?;
            if self.wanted.next() == Some(true) {
                return Ok(Some(over_black(&frame.into_buffer())));
            }
        }
        Ok(None)
    }
}

fn picture_error(path: &Path, source: image::ImageError) -> Error {
    Error::Picture { path: path.to_owned(), action: "decoding the animation", source }
}

fn frames_of(path: &Path, kind: Kind) -> Result<Option<Frames<'static>>> {
    let open = || -> Result<BufReader<File>> {
        let file = File::open(path);
        file.map(BufReader::new).map_err(|e| Error::Io { path: path.to_owned(), action: "opening", source: e })
    };
    Ok(match kind {
        Kind::Gif => Some(GifDecoder::new(open()?).map_err(|e| picture_error(path, e))?.into_frames()),
        Kind::Webp => {
            let decoder = WebPDecoder::new(open()?).map_err(|e| picture_error(path, e))?;
            if decoder.has_animation() { Some(decoder.into_frames()) } else { None }
        }
        _ => None,
    })
}
