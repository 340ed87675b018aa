//! Reading videos and sequences as iterators of frames.

mod animation;
mod ffmpeg;
mod mp4;
mod pacer;
mod prefetch;
mod sequence;

pub(crate) use ffmpeg::first_time_s;
pub use prefetch::Prefetch;
pub use sequence::picture_files;

use crate::color::{ColorSpace, Matrix};
use crate::error::{Error, Result};
use crate::orientation::Orientation;
use crate::rate::FrameRate;
use crate::timing::{Pace, Shown};
use crate::warning::{Warning, Warnings};
use image::RgbImage;
use pacer::Pacer;
use sniff::Kind;
use std::path::{Path, PathBuf};

/// What is known of a video before its first frame is read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct VideoInfo {
    /// Width of the frames that come out, in pixels.
    pub width: u32,
    /// Height of the frames that come out, in pixels.
    pub height: u32,
    /// Frames per second of the frames that come out.
    pub frame_rate: FrameRate,
    /// Number of frames that come out, where the file tells.
    pub frames: Option<usize>,
    /// When the first frame is shown, in seconds on the file's own clock, which its sound shares.
    pub start_s: f64,
    /// One picture, which has no length in time.
    pub still: bool,
    /// How stored frames are turned; already done on those that come out.
    pub orientation: Orientation,
    /// How the stored bytes are understood; None for pictures that are stored as RGB.
    pub color: Option<ColorSpace>,
    /// Codec and profile in words.
    pub codec: String,
    /// Is there sound?
    pub has_audio: bool,
    /// Which stored frame each frame is, where the file's times are uneven.
    pub shown: Option<Shown>,
}

impl VideoInfo {
    /// Width and height in pixels.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }
}

/// Which clock frames are handed out by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// An even one at the video's own rate; where its times are uneven, at the lowest usual rate that loses next to none of
    /// its frames. Frames that last are repeated.
    #[default]
    Even,
    /// An even one at this rate: the speed stays, frames are repeated or left out. A folder of pictures is taken to have
    /// been made at it.
    EvenAt(FrameRate),
    /// Every stored frame once, whatever its time.
    AsStored,
}

/// How to read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Matrix of a video that doesn't say. BT.601 is what ffmpeg and OpenCV take whatever the size, so frames are
    /// those that the reference sees.
    pub unspecified_matrix: Matrix,
    /// Turn frames upright.
    pub upright: bool,
    /// The clock.
    pub timing: Timing,
    /// Frame rate of a folder of pictures.
    pub sequence_rate: FrameRate,
    /// Pictures are mattes: where their alpha channel varies, frames are it in grey, else they are the pictures
    /// themselves.
    pub matte: bool,
    /// The ffmpeg program for what can't be decoded here; None never starts one.
    pub ffmpeg: Option<PathBuf>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            unspecified_matrix: Matrix::Bt601,
            upright: true,
            timing: Timing::Even,
            sequence_rate: FrameRate::whole(30),
            matte: false,
            ffmpeg: Some(PathBuf::from("ffmpeg")),
        }
    }
}

/// Frames of a video, a folder of pictures, or a single picture, one at a time and at an even rate.
///
/// The iterator ends after the last frame or after the first error. What the built-in decoder can't do, at opening or in the
/// middle, ffmpeg goes on with where there is one; [`VideoReader::warnings`] says so.
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
    path: PathBuf,
    options: ReadOptions,
    info: VideoInfo,
    source: Source,
    pacer: Pacer,
    warnings: Warnings,
    done: bool,
}

#[derive(Debug)]
enum Source {
    Mp4(Box<mp4::Mp4Source>),
    Pictures(sequence::Pictures),
    Animation(animation::Animation),
    Ffmpeg(ffmpeg::FfmpegSource),
}

/// Ticks of a source whose end shows itself.
const UNKNOWN: usize = usize::MAX;

impl VideoReader {
    /// Opens with default options.
    ///
    /// # Errors
    /// As [`VideoReader::open_with`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &ReadOptions::default())
    }

    /// Opens a file or folder: mp4 or mov with H.264, a folder of pictures in natural order, a picture, an animated GIF or
    /// WebP; for all else ffmpeg is tried. What a file is, its first bytes say, not its name.
    ///
    /// # Errors
    /// When there is no such file, its structure is broken, or nothing can decode it.
    pub fn open_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self> {
        let path = path.as_ref();
        let warnings = Warnings::default();
        let opened = |info: VideoInfo, source, pacer| Self {
            path: path.to_owned(),
            options: options.clone(),
            info,
            source,
            pacer,
            warnings: warnings.clone(),
            done: false,
        };
        if path.is_dir() {
            let (info, pictures) = sequence::Pictures::folder(path, options)?;
            let pacer = Pacer::every_tick(0, info.frames.unwrap_or(UNKNOWN));
            return Ok(opened(info, Source::Pictures(pictures), pacer));
        }
        let kind = Kind::of_file(path).map_err(|source| Error::Io {
            path: path.to_owned(),
            action: "opening",
            source,
        })?;
        if let Some((info, pace, animation)) = animation::Animation::open(path, kind, options)? {
            warn_of_uneven(&pace, pace.ticks.len(), path, &warnings);
            let pacer = Pacer::at(&pace.ticks, pace.total);
            return Ok(opened(info, Source::Animation(animation), pacer));
        }
        if sequence::is_built_in(kind) {
            let (info, pictures) = sequence::Pictures::still(path, options)?;
            return Ok(opened(info, Source::Pictures(pictures), Pacer::every_tick(0, 1)));
        }
        let own = match kind {
            Kind::Mp4 | Kind::Unknown => mp4::Mp4Source::open(path, options, &warnings),
            kind => Err(not_here(path, kind)),
        };
        let error = match own {
            Ok((info, pace, source)) => {
                if options.timing == Timing::Even {
                    warn_of_uneven(&pace, pace.ticks.len(), path, &warnings);
                }
                let pacer = Pacer::at(&pace.ticks, pace.total);
                return Ok(opened(info, Source::Mp4(Box::new(source)), pacer));
            }
            Err(error) if error.ffmpeg_may_do_better() && !kind.is_no_medium() => error,
            Err(error) => return Err(error),
        };
        // What was said of the built-in reader's attempt doesn't hold for ffmpeg's.
        drop(warnings.take());
        let Some(program) = &options.ffmpeg else { return Err(error) };
        match ffmpeg::FfmpegSource::open(path, program, options, &warnings) {
            Ok(Some((info, source))) => {
                let pacer = Pacer::every_tick(0, UNKNOWN);
                Ok(opened(info, Source::Ffmpeg(source), pacer))
            }
            Ok(None) => Err(error),
            // Where both find the container broken, the built-in reader says how.
            Err(Error::Ffmpeg { .. } | Error::NoVideo { .. }) if matches!(error, Error::Malformed { .. }) => {
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// For what goes with a video whose times are uneven, such as masks made elsewhere: where this has as many frames as that
    /// has stored ones, each is handed out when its stored frame is.
    #[must_use]
    pub fn alongside(mut self, video: &VideoInfo) -> Self {
        if let Some(shown) = &video.shown
            && self.info.shown.is_none()
            && !self.info.still
            && self.info.frames == Some(shown.stored)
        {
            self.info.frames = Some(shown.frames.len());
            self.info.frame_rate = video.frame_rate;
            self.pacer = Pacer::like(shown.frames.clone());
        }
        self
    }

    /// What is known of the video.
    #[must_use]
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// What was lost or changed on the way: more may come with every frame.
    #[must_use]
    pub fn warnings(&self) -> Warnings {
        self.warnings.clone()
    }

    /// Decodes ahead in a thread of its own, at most `frames` frames.
    #[must_use]
    pub fn prefetch(self, frames: usize) -> Prefetch {
        Prefetch::new(self, frames)
    }

    fn pull(&mut self) -> Result<Option<RgbImage>> {
        let source = &mut self.source;
        self.pacer.next(|| match source {
            Source::Mp4(source) => source.next_frame(),
            Source::Pictures(source) => source.next_frame(),
            Source::Animation(source) => source.next_frame(),
            Source::Ffmpeg(source) => source.next_frame(),
        })
    }

    /// Lets ffmpeg go on after the frames already handed out; gives the error back where it can't.
    fn fall_back(&mut self, error: Error) -> Result<()> {
        let may = matches!(self.source, Source::Mp4(_))
            && error.ffmpeg_may_do_better()
            && !self.pacer.is_like_another();
        let Some(program) =
            self.options.ffmpeg.clone().filter(|_| may && self.options.timing != Timing::AsStored)
        else {
            return Err(error);
        };
        let at = ffmpeg::Resume {
            size: self.info.size(),
            rate: self.info.frame_rate,
            start_s: self.info.start_s,
            done: self.pacer.done,
            total: self.pacer.total,
        };
        match ffmpeg::FfmpegSource::resume(&self.path, &program, &self.options, at, &self.warnings)? {
            Some(source) => {
                self.source = Source::Ffmpeg(source);
                self.pacer = Pacer::every_tick(at.done, at.total);
                let (path, frame) = (self.path.clone(), at.done);
                self.warnings.push(Warning::Fallback { path, frame, why: error.without_path() });
                Ok(())
            }
            None => Err(error),
        }
    }
}

/// Says that times were uneven, unless no picture shows it.
fn warn_of_uneven(pace: &Pace, stored: usize, path: &Path, warnings: &Warnings) {
    if !pace.even {
        warnings.push(Warning::VariableRate {
            path: path.to_owned(),
            rate: pace.rate,
            stored,
            read: pace.total,
            dropped: pace.dropped(),
        });
    }
}

/// Why a file of this kind isn't read here.
fn not_here(path: &Path, kind: Kind) -> Error {
    if kind.is_no_medium() {
        return Error::NoMedium { path: path.to_owned(), what: kind.to_string(), advice: kind.advice() };
    }
    Error::Unsupported {
        path: path.to_owned(),
        codec: kind.to_string(),
        profile: "by its first bytes".to_owned(),
        reason: "no reader for it is built in".to_owned(),
    }
}

impl Iterator for VideoReader {
    type Item = Result<RgbImage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let mut frame = self.pull();
        if let Err(error) = frame {
            frame = self.fall_back(error).and_then(|()| self.pull());
        }
        let frame = frame.transpose();
        self.done = !matches!(frame, Some(Ok(_)));
        frame
    }
}
