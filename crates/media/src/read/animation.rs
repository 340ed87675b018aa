//! Animated GIF and WebP files, decoded here.

use super::{ReadOptions, Timing, VideoInfo};
use crate::error::{Error, Result};
use crate::orientation::Orientation;
use crate::picture::over_black;
use crate::timing::{Pace, Stamps};
use image::codecs::gif::GifDecoder;
use image::codecs::webp::WebPDecoder;
use image::error::{LimitError, LimitErrorKind};
use image::{AnimationDecoder, Frames, ImageDecoder, ImageError, Limits, RgbImage};
use sniff::Kind;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Frames of an animation that are seen, in order; decoded in a thread of their own, which ends when nobody takes them.
#[derive(Debug)]
pub(super) struct Animation(Receiver<Result<RgbImage>>);

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
            shown: pace.shown(),
        };
        let wanted: Vec<bool> = pace.ticks.iter().map(Option::is_some).collect();
        let (sender, receiver) = sync_channel(1);
        let path = path.to_owned();
        std::thread::spawn(move || decode(&path, kind, &wanted, &sender));
        Ok(Some((info, pace, Self(receiver))))
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<RgbImage>> {
        self.0.recv().ok().transpose()
    }
}

fn decode(path: &Path, kind: Kind, wanted: &[bool], to: &SyncSender<Result<RgbImage>>) {
    let frames = match frames_of(path, kind) {
        Ok(frames) => frames.into_iter().flatten(),
        Err(error) => {
            // Whoever has gone doesn't want to know.
            drop(to.send(Err(error)));
            return;
        }
    };
    for (frame, _) in frames.zip(wanted).filter(|(_, wanted)| **wanted) {
        let frame = frame.map(|f| over_black(&f.into_buffer())).map_err(|e| picture_error(path, e));
        let failed = frame.is_err();
        if to.send(frame).is_err() || failed {
            return;
        }
    }
}

fn picture_error(path: &Path, source: ImageError) -> Error {
    Error::Picture { path: path.to_owned(), action: "decoding the animation", source }
}

/// Pixels that an animation's frame has at most: each is held whole, whatever few bytes it comes in.
const MOST_PIXELS: u64 = 64 << 20;

/// The decoder, which holds a few frames of that size at most: a frame of the file may be larger than its picture.
fn bounded<D: ImageDecoder>(mut decoder: D, path: &Path) -> Result<D> {
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        let too_large = LimitError::from_kind(LimitErrorKind::DimensionError);
        return Err(picture_error(path, ImageError::Limits(too_large)));
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(4 * 4 * MOST_PIXELS);
    decoder.set_limits(limits).map_err(|e| picture_error(path, e))?;
    Ok(decoder)
}

fn frames_of(path: &Path, kind: Kind) -> Result<Option<Frames<'static>>> {
    let open = || -> Result<BufReader<File>> {
        let file = File::open(path);
        file.map(BufReader::new).map_err(|e| Error::Io {
            path: path.to_owned(),
            action: "opening",
            source: e,
        })
    };
    Ok(match kind {
        Kind::Gif => {
            let decoder = GifDecoder::new(open()?).map_err(|e| picture_error(path, e))?;
            Some(bounded(decoder, path)?.into_frames())
        }
        Kind::Webp => {
            let decoder = WebPDecoder::new(open()?).map_err(|e| picture_error(path, e))?;
            let decoder = bounded(decoder, path)?;
            if decoder.has_animation() { Some(decoder.into_frames()) } else { None }
        }
        _ => None,
    })
}
