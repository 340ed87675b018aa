//! What can go wrong with video files and picture sequences.

use std::path::{Path, PathBuf};

/// Why a video or picture couldn't be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder couldn't be opened, read, written or renamed.
    #[error("{}: {action} failed", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done with it.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file's structure contradicts itself or the format.
    #[error("{}: not a valid {format} file: {detail}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The format it should have.
        format: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// A codec, profile or container that the built-in reader can't decode, and no ffmpeg was found to do it.
    #[error(
        "{}: {codec} ({profile}): {reason}; needs ffmpeg, which wasn't found: install it, or convert the file to \
         progressive 8-bit 4:2:0 H.264 in mp4",
        path.display()
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The codec or container.
        codec: String,
        /// The codec's profile, or what is known of it.
        profile: String,
        /// What exactly isn't supported.
        reason: String,
    },
    /// An output format that the built-in writer can't make, and no ffmpeg was found to do it.
    #[error("{}: can't write {format:?} here: {reason}", path.display())]
    UnsupportedOutput {
        /// The file to be written.
        path: PathBuf,
        /// Its extension.
        format: String,
        /// What exactly isn't supported.
        reason: String,
    },
    /// A file has no video in it.
    #[error("{}: no video track", path.display())]
    NoVideo {
        /// The file.
        path: PathBuf,
    },
    /// The H.264 decoder refused a frame.
    #[error("{}: H.264 frame {frame} can't be decoded: {detail}; going on needs ffmpeg, which wasn't found", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// Index of the frame in decoding order.
        frame: usize,
        /// What the decoder said.
        detail: String,
    },
    /// The H.264 encoder refused a frame.
    #[error("{}: H.264 frame {frame} can't be encoded: {detail}", path.display())]
    Encode {
        /// The file being written.
        path: PathBuf,
        /// Index of the frame.
        frame: usize,
        /// What the encoder said.
        detail: String,
    },
    /// A video gave another number of frames than it promised.
    #[error("{}: {got} H.264 frames came out, {expected} were promised; going on needs ffmpeg, which wasn't found", path.display())]
    FrameCount {
        /// The file.
        path: PathBuf,
        /// Number of frames promised by the file.
        expected: usize,
        /// Number of frames that came out.
        got: usize,
    },
    /// A frame has another size than the first one.
    #[error("{}: frame {frame} is {got:?} pixels (width, height), the first was {expected:?}", path.display())]
    FrameSize {
        /// The file.
        path: PathBuf,
        /// Index of the frame.
        frame: usize,
        /// Width and height of the first frame.
        expected: (u32, u32),
        /// Width and height of this one.
        got: (u32, u32),
    },
    /// H.264 with 4:2:0 chroma needs even sizes within the encoder's limit.
    #[error("{}: {width}x{height} can't be H.264: {reason}", path.display())]
    VideoSize {
        /// The file being written.
        path: PathBuf,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// What is wrong with the size.
        reason: &'static str,
    },
    /// A file that is neither a video nor a picture, or a picture that can't be decoded here.
    #[error("{}: this is {what}{}", path.display(), advice.map(|a| format!(": {a}")).unwrap_or_default())]
    NoMedium {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
        /// What to do about it.
        advice: Option<&'static str>,
    },
    /// A folder without pictures that can be read.
    #[error("{}: no PNG, JPEG, WebP, BMP or GIF pictures in it, but {found}", path.display())]
    NoPictures {
        /// The folder.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
    /// A result would overwrite what it is made from.
    #[error("{}: this is one of the inputs; give the result another name", path.display())]
    OutputIsInput {
        /// The file or folder.
        path: PathBuf,
    },
    /// A video without a single frame.
    #[error("{}: a video needs at least one frame", path.display())]
    NoFrames {
        /// The file or folder.
        path: PathBuf,
    },
    /// A folder that should receive a sequence already has pictures in it.
    #[error("{}: the folder already has pictures in it", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A picture file couldn't be decoded or encoded.
    #[error("{}: {action} failed", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What was being done with it.
        action: &'static str,
        /// What the picture library said.
        source: image::ImageError,
    },
    /// The external ffmpeg failed.
    #[error("{}: ffmpeg failed: {detail}", path.display())]
    Ffmpeg {
        /// The file it was to read or write.
        path: PathBuf,
        /// The end of what it printed.
        detail: String,
    },
    /// An option is outside its range.
    #[error("{name} is {value}, expected {expected}")]
    Option {
        /// The option.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A worker thread ended without handing over its frames.
    #[error("{}: the background thread ended early", path.display())]
    Thread {
        /// The file it worked on.
        path: PathBuf,
    },
}

impl Error {
    /// Is it something that a full decoder may be able to read?
    pub(crate) fn ffmpeg_may_do_better(&self) -> bool {
        match self {
            Self::Unsupported { .. }
            | Self::Malformed { .. }
            | Self::Decode { .. }
            | Self::FrameCount { .. }
            | Self::FrameSize { .. } => true,
            // The file got shorter, or its index lies.
            Self::Io { source, .. } => source.kind() == std::io::ErrorKind::UnexpectedEof,
            _ => false,
        }
    }

    /// What went wrong, for a sentence that names the file and ffmpeg already.
    pub(crate) fn without_path(&self) -> String {
        match self {
            Self::Decode { frame, detail, .. } => format!("frame {frame} can't be decoded here: {detail}"),
            Self::FrameCount { expected, got, .. } => {
                format!("the built-in decoder gave {got} of {expected} frames")
            }
            Self::FrameSize { expected, got, .. } => {
                format!("the size changes from {}x{} to {}x{}", expected.0, expected.1, got.0, got.1)
            }
            Self::Malformed { detail, .. } => detail.clone(),
            Self::Unsupported { codec, profile, reason, .. } => format!("{codec} ({profile}): {reason}"),
            other => other.to_string(),
        }
    }
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) trait IoContext<T> {
    /// Names the file and the action that failed.
    fn at(self, path: &Path, action: &'static str) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, path: &Path, action: &'static str) -> Result<T> {
        self.map_err(|source| Error::Io { path: path.to_owned(), action, source })
    }
}
