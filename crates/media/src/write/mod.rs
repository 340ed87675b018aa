//! Writing videos and sequences frame by frame.

mod background;
mod ffmpeg;
mod mp4;
mod sequence;

pub use background::BackgroundWriter;

use crate::audio::AudioTrack;
use crate::error::{Error, Result};
use crate::h264::encode::MIN_QP;
use crate::picture::PictureFormat;
use crate::rate::FrameRate;
use crate::read::{ReadOptions, VideoReader};
use crate::warning::{Warning, Warnings};
use image::RgbImage;
use std::path::{Path, PathBuf};

/// How to write.
#[derive(Debug)]
pub struct WriteOptions {
    /// Frames per second.
    pub frame_rate: FrameRate,
    /// The quantiser, 12 (finest) to 51 (coarsest); 18 to 24 is the useful range. For JPEG sequences and other
    /// codecs it is turned into their scale.
    pub qp: u8,
    /// A frame that decoding can start at comes at least every so many frames.
    pub keyframe_interval: u32,
    /// Sound to carry over; it ends where the pictures end.
    pub audio: Option<AudioTrack>,
    /// The ffmpeg program for formats that can't be written here; None never starts one.
    pub ffmpeg: Option<PathBuf>,
}

impl WriteOptions {
    /// Quantiser 20, a key frame every two seconds, no sound.
    #[must_use]
    pub fn new(frame_rate: FrameRate) -> Self {
        Self {
            frame_rate,
            qp: 20,
            keyframe_interval: (frame_rate.as_f64() * 2.0).round().clamp(1.0, 600.0) as u32,
            audio: None,
            ffmpeg: Some(PathBuf::from("ffmpeg")),
        }
    }

    fn check(&self) -> Result<()> {
        if !(MIN_QP..=51).contains(&self.qp) {
            return Err(Error::Option { name: "qp", value: self.qp.to_string(), expected: "12 to 51" });
        }
        if self.keyframe_interval == 0 {
            let (name, value) = ("keyframe_interval", "0".to_owned());
            return Err(Error::Option { name, value, expected: "at least 1" });
        }
        Ok(())
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Number of frames.
    pub frames: usize,
    /// Width of every frame in pixels.
    pub width: u32,
    /// Height of every frame in pixels.
    pub height: u32,
}

/// Writes a video or a sequence. Nothing appears under the final name before [`VideoWriter::finish`]; a writer that
/// is dropped without it leaves no file behind. (Pictures of a sequence appear one by one, each complete.)
///
/// # Examples
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("grey.mp4");
/// use anicrafter_media::{FrameRate, VideoReader, VideoWriter, WriteOptions};
/// let mut writer = VideoWriter::create(&path, WriteOptions::new(FrameRate::whole(25)))?;
/// for grey in [40, 120, 200] {
///     writer.push(&image::RgbImage::from_pixel(64, 48, image::Rgb([grey; 3])))?;
/// }
/// assert_eq!(writer.finish()?.frames, 3);
/// assert_eq!(VideoReader::open(&path)?.count(), 3);
/// # Ok::<(), anicrafter_media::Error>(())
/// ```
#[derive(Debug)]
pub struct VideoWriter {
    path: PathBuf,
    sink: Sink,
    warnings: Warnings,
    size: Option<(u32, u32)>,
    n_frames: usize,
}

#[derive(Debug)]
enum Sink {
    Mp4(Box<mp4::Mp4Sink>),
    Pictures(sequence::PictureSink),
    Ffmpeg(ffmpeg::FfmpegSink),
}

impl VideoWriter {
    /// Chooses by the name: `.mp4`, `.m4v` and `.mov` are H.264 in mp4; `x_%05d.png` (or `.jpg`) and a name without
    /// extension are a numbered sequence; all else goes through ffmpeg.
    ///
    /// # Errors
    /// When an option is out of range, the place can't be written to, or the format needs an ffmpeg that isn't
    /// there.
    pub fn create(path: impl AsRef<Path>, options: WriteOptions) -> Result<Self> {
        options.check()?;
        let path = path.as_ref();
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        let warnings = Warnings::default();
        let silent = |options: &WriteOptions| {
            if options.audio.is_some() {
                let why = "pictures have no place for it".to_owned();
                warnings.push(Warning::NoSound { path: path.to_owned(), why });
            }
        };
        let sink = match extension.as_deref() {
            Some("mp4" | "m4v" | "mov") => Sink::Mp4(Box::new(mp4::Mp4Sink::create(path, options)?)),
            None => {
                silent(&options);
                Sink::Pictures(sequence::PictureSink::folder(path, PictureFormat::Png)?)
            }
            Some("png" | "jpg" | "jpeg") => {
                silent(&options);
                Sink::Pictures(sequence::PictureSink::pattern(path, options.qp)?)
            }
            Some(_) => Sink::Ffmpeg(ffmpeg::FfmpegSink::create(path, options, &warnings)?),
        };
        Ok(Self { path: path.to_owned(), sink, warnings, size: None, n_frames: 0 })
    }

    /// What couldn't be written as it was meant: sound into a format without any, for one.
    #[must_use]
    pub fn warnings(&self) -> Warnings {
        self.warnings.clone()
    }

    /// Appends a frame; all have the first one's size.
    ///
    /// # Errors
    /// When the size differs or doesn't suit the format, or writing fails.
    pub fn push(&mut self, frame: &RgbImage) -> Result<()> {
        let got = frame.dimensions();
        let expected = *self.size.get_or_insert(got);
        if got != expected {
            return Err(Error::FrameSize { path: self.path.clone(), frame: self.n_frames, expected, got });
        }
        match &mut self.sink {
            Sink::Mp4(sink) => sink.push(frame)?,
            Sink::Pictures(sink) => sink.push(frame)?,
            Sink::Ffmpeg(sink) => sink.push(frame)?,
        }
        self.n_frames += 1;
        Ok(())
    }

    /// Completes the file and puts it into its place.
    ///
    /// # Errors
    /// When there was no frame or writing fails.
    pub fn finish(self) -> Result<Written> {
        let Some((width, height)) = self.size else { return Err(Error::NoFrames { path: self.path }) };
        match self.sink {
            Sink::Mp4(sink) => sink.finish()?,
            Sink::Pictures(_) => {}
            Sink::Ffmpeg(sink) => sink.finish()?,
        }
        Ok(Written { frames: self.n_frames, width, height })
    }

    /// Encodes in a thread of its own, at most `frames` frames behind.
    #[must_use]
    pub fn in_background(self, frames: usize) -> BackgroundWriter {
        BackgroundWriter::new(self, frames)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// Copies a video with its sound into the format that `to`'s extension names.
///
/// # Errors
/// When reading or writing fails, or `to` is `from`.
pub fn convert(
    from: &Path,
    to: &Path,
    mut options: WriteOptions,
    read: &ReadOptions,
) -> Result<(Written, Warnings)> {
    if same_place(from, to) {
        return Err(Error::OutputIsInput { path: to.to_owned() });
    }
    let reader = VideoReader::open_with(from, read)?;
    options.frame_rate = reader.info().frame_rate;
    if options.audio.is_none() {
        options.audio = AudioTrack::open(from, options.ffmpeg.as_deref())?;
    }
    let said = reader.warnings();
    let mut writer = VideoWriter::create(to, options)?;
    let warnings = writer.warnings();
    for frame in reader {
        writer.push(&frame?)?;
    }
    let written = writer.finish()?;
    for warning in said.take() {
        warnings.push(warning);
    }
    Ok((written, warnings))
}

/// Are two paths the same file or folder, or does a folder of pictures hold the other? A place that isn't there yet is judged
/// by its folder.
#[must_use]
pub fn same_place(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| -> Option<PathBuf> {
        if let Ok(real) = path.canonicalize() {
            return Some(real);
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(folder.canonicalize().ok()?.join(path.file_name()?))
    };
    let (Some(a), Some(b)) = (real(a), real(b)) else { return a == b };
    if a == b || std::fs::metadata(&a).is_ok_and(|m| m.is_file()) && same_inode(&a, &b) {
        return true;
    }
    // Numbered pictures into the folder that the input's pictures are read from.
    let holds =
        |folder: &Path, file: &Path| folder.is_dir() && !file.is_dir() && file.parent() == Some(folder);
    let picture = |p: &Path| PictureFormat::of(p).is_some();
    holds(&a, &b) && picture(&b) || holds(&b, &a) && picture(&a)
}

#[cfg(unix)]
fn same_inode(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |p: &Path| std::fs::metadata(p).map(|m| (m.dev(), m.ino())).ok();
    id(a).is_some() && id(a) == id(b)
}

#[cfg(not(unix))]
fn same_inode(_: &Path, _: &Path) -> bool {
    false
}
