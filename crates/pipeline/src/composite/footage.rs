//! Videos that the compositor reads frame by frame.

use super::picture::gray;
use crate::{Error, Result};
use bg_mask::resample::Filter;
use image::{GrayImage, RgbImage};
use media::{VideoInfo, VideoReader};
use std::path::Path;

/// Frames decoded ahead of the renderer.
const DECODE_AHEAD: usize = 4;

/// A video or a folder of pictures, read forwards.
pub(super) struct Footage {
    reader: media::Prefetch,
    at: usize,
    what: &'static str,
}

impl Footage {
    /// Opens a file; `what` names it in errors.
    pub(super) fn open(path: &Path, what: &'static str) -> Result<Self> {
        Ok(Self { reader: VideoReader::open(path)?.prefetch(DECODE_AHEAD), at: 0, what })
    }

    pub(super) fn info(&self) -> &VideoInfo {
        self.reader.info()
    }

    /// Frame `index` of the file; frames before it are passed over.
    pub(super) fn frame(&mut self, index: usize) -> Result<RgbImage> {
        loop {
            let frame = self.reader.next().transpose()?.ok_or_else(|| Error::Mismatch {
                what: self.what,
                a: format!("{} frames", self.at),
                b: format!("frame {index} is needed"),
            })?;
            self.at += 1;
            if self.at == index + 1 {
                return Ok(frame);
            }
        }
    }

    /// Frame `index` as a matte of another size.
    pub(super) fn matte(&mut self, index: usize, (w, h): (u32, u32)) -> Result<GrayImage> {
        Ok(gray(&bg_mask::resize(&self.frame(index)?, w, h, Filter::Bilinear)?))
    }
}
