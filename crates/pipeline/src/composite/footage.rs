//! Videos that the compositor reads frame by frame.

use super::picture::gray;
use crate::{Error, Result};
use bg_mask::resample::Filter;
use image::{GrayImage, RgbImage};
use media::{Prefetch, ReadOptions, Timing, VideoInfo, VideoReader, Warnings};
use std::path::{Path, PathBuf};

/// Frames decoded ahead of the renderer.
const DECODE_AHEAD: usize = 4;

/// A video or a folder of pictures, read forwards; a picture lasts for as long as it is wanted.
pub(crate) struct Footage {
    path: PathBuf,
    reader: Prefetch,
    warnings: Warnings,
    /// The last frame and its number.
    held: Option<(usize, RgbImage)>,
    at: usize,
}

impl Footage {
    /// Opens a video by its own clock.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, &ReadOptions::default(), None)
    }

    /// Opens what goes with a video frame by frame, or with its stored frames: where it has another number of frames and another rate, it is brought to
    /// the video's rate.
    pub(crate) fn beside(path: &Path, video: &VideoInfo, matte: bool) -> Result<Self> {
        let own = ReadOptions { matte, sequence_rate: video.frame_rate, ..ReadOptions::default() };
        let footage = Self::open_with(path, &own, Some(video))?;
        let info = footage.info();
        if info.still || info.frames == video.frames || info.frame_rate == video.frame_rate {
            return Ok(footage);
        }
        Self::open_with(path, &ReadOptions { timing: Timing::EvenAt(video.frame_rate), ..own }, None)
    }

    fn open_with(path: &Path, options: &ReadOptions, beside: Option<&VideoInfo>) -> Result<Self> {
        let reader = VideoReader::open_with(path, options)?;
        let reader = match beside {
            Some(video) => reader.alongside(video),
            None => reader,
        };
        let warnings = reader.warnings();
        Ok(Self { path: path.to_owned(), reader: reader.prefetch(DECODE_AHEAD), warnings, held: None, at: 0 })
    }

    pub(crate) fn info(&self) -> &VideoInfo {
        self.reader.info()
    }

    /// Number of frames, where it ends and says when.
    pub(crate) fn len(&self) -> Option<usize> {
        self.info().frames.filter(|_| !self.info().still)
    }

    /// What it has to say.
    pub(crate) fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// Frame `index` of the file; frames before it are passed over, and the last one can be asked for again. `None` after the
    /// end.
    pub(crate) fn frame(&mut self, index: usize) -> Result<Option<RgbImage>> {
        if let Some((held, frame)) = &self.held
            && (*held == index || self.reader.info().still)
        {
            return Ok(Some(frame.clone()));
        }
        loop {
            let Some(frame) = self.reader.next().transpose()? else {
                if self.at == 0 {
                    return Err(media::Error::NoFrames { path: self.path.clone() }.into());
                }
                return Ok(None);
            };
            self.at += 1;
            if self.at > index || self.reader.info().still {
                self.held = Some((index, frame.clone()));
                return Ok(Some(frame));
            }
        }
    }

    /// Frame `index` as a matte of another size.
    pub(crate) fn matte(&mut self, index: usize, (w, h): (u32, u32)) -> Result<GrayImage> {
        let frame = self.needed(index)?;
        Ok(gray(&bg_mask::resize(&frame, w, h, Filter::Bilinear)?))
    }

    /// Frame `index`, which must be there.
    pub(crate) fn needed(&mut self, index: usize) -> Result<RgbImage> {
        self.frame(index)?.ok_or_else(|| Error::Mismatch {
            what: "frames of the inputs",
            a: format!("{} ends after {} frames", self.path.display(), self.at),
            b: format!("frame {index} is needed"),
        })
    }
}
