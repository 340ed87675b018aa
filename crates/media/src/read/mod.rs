//! Reading videos and sequences as iterators of frames.

mod ffmpeg;
mod mp4;
mod prefetch;
mod sequence;

pub use prefetch::Prefetch;
pub use sequence::picture_files;

use crate::color::{ColorSpace, Matrix};
use crate::error::{Error, Result};
use crate::orientation::Orientation;
use crate::rate::FrameRate;
use image::RgbImage;
use std::path::{Path, PathBuf};

/// What is known of a video before its first frame is read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct VideoInfo {
    /// Width of the frames that come out, in pixels.
    pub width: u32,
    /// Height of the frames that come out, in pixels.
    pub height: u32,
    /// Frames per second; of a video with uneven times, its mean.
    pub frame_rate: FrameRate,
    /// Number of frames, where the file tells.
    pub frames: Option<usize>,
    /// How stored frames are turned; already done on those that come out.
    pub orientation: Orientation,
    /// How the stored bytes are understood; None for pictures that are stored as RGB.
    pub color: Option<ColorSpace>,
    /// Codec and profile in words.
    pub codec: String,
    /// Is there sound?
    pub has_audio: bool,
}

impl VideoInfo {
    /// Width and height in pixels.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }
}

/// How to read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Matrix of a video that doesn't say. BT.601 is what ffmpeg and OpenCV take whatever the size, so frames are
    /// those that the reference sees.
    pub unspecified_matrix: Matrix,
    /// Turn frames upright.
    pub upright: bool,
    /// Frame rate of a folder of pictures.
    pub sequence_rate: FrameRate,
    /// The ffmpeg program for what can't be decoded here; None never starts one.
    pub ffmpeg: Option<PathBuf>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            unspecified_matrix: Matrix::Bt601,
            upright: true,
            sequence_rate: FrameRate::whole(30),
            ffmpeg: Some(PathBuf::from("ffmpeg")),
        }
    }
}

/// Frames of a video, a folder of pictures, or a single picture, one at a time.
///
/// The iterator ends after the last frame or after the first error.
///
/// # Examples
/// ```no_run
/// let reader = anicrafter_media::VideoReader::open("scene/bkgd_video.mp4")?;
/// let seconds = reader.info().frame_rate.seconds_of(reader.info().frames.unwrap_or(0));
/// for frame in reader {
///     let frame: image::RgbImage = frame?;
/// }
/// # Ok::<(), anicrafter_media::Error>(())
/// ```
#[derive(Debug)]
pub struct VideoReader {
    info: VideoInfo,
    source: Source,
    done: bool,
}

#[derive(Debug)]
enum Source {
    Mp4(Box<mp4::Mp4Source>),
    Pictures(sequence::Pictures),
    Ffmpeg(ffmpeg::FfmpegSource),
}

impl VideoReader {
    /// Opens with default options.
    ///
    /// # Errors
    /// As [`VideoReader::open_with`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &ReadOptions::default())
    }

    /// Opens a file or folder: mp4 or mov with H.264, a folder of PNG and JPEG files in natural order, a picture; for
    /// all else ffmpeg is tried.
    ///
    /// # Errors
    /// When there is no such file, its structure is broken, or nothing can decode it.
    pub fn open_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self> {
        let path = path.as_ref();
        if path.is_dir() || sequence::is_picture(path) {
            let (info, pictures) = sequence::Pictures::open(path, options.sequence_rate)?;
            return Ok(Self { info, source: Source::Pictures(pictures), done: false });
        }
        let own = mp4::Mp4Source::open(path, options);
        match own {
            Ok((info, source)) => Ok(Self { info, source: Source::Mp4(Box::new(source)), done: false }),
            Err(error @ (Error::Unsupported { .. } | Error::Malformed { .. })) => {
                let Some(program) = &options.ffmpeg else { return Err(error) };
                match ffmpeg::FfmpegSource::open(path, program, options.upright)? {
                    Some((info, source)) => Ok(Self { info, source: Source::Ffmpeg(source), done: false }),
                    None => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// What is known of the video.
    #[must_use]
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// Decodes ahead in a thread of its own, at most `frames` frames.
    #[must_use]
    pub fn prefetch(self, frames: usize) -> Prefetch {
        Prefetch::new(self, frames)
    }
}

impl Iterator for VideoReader {
    type Item = Result<RgbImage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let frame = match &mut self.source {
            Source::Mp4(source) => source.next_frame(),
            Source::Pictures(source) => source.next_frame(),
            Source::Ffmpeg(source) => source.next_frame(),
        };
        let frame = frame.transpose();
        self.done = !matches!(frame, Some(Ok(_)));
        frame
    }
}
