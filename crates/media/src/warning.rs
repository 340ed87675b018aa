//! What was read or written, but not quite as it was meant.

use crate::rate::FrameRate;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Something that was lost or changed on the way, without stopping it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// Frames came at uneven times and were put on an even clock.
    #[error(
        "{}: the frame rate varies; read at an even {rate} frames a second: {read} frames of {stored} stored{}", path.display(),
        if *dropped == 0 { String::new() } else { format!(", {dropped} of them too short to be seen") }
    )]
    VariableRate {
        /// The file.
        path: PathBuf,
        /// The even rate.
        rate: FrameRate,
        /// Frames stored.
        stored: usize,
        /// Frames that are read.
        read: usize,
        /// Stored frames that no read frame shows.
        dropped: usize,
    },
    /// The file ends before what its index lists.
    #[error("{}: the file is cut off: {got} of {expected} frames are there", path.display())]
    CutOff {
        /// The file.
        path: PathBuf,
        /// Frames that its index lists.
        expected: u64,
        /// Frames that it has.
        got: u64,
    },
    /// Fewer frames came out than the file promised.
    #[error("{}: the pictures end early: {got} frames came out, {expected} were promised", path.display())]
    EndsEarly {
        /// The file.
        path: PathBuf,
        /// Frames promised.
        expected: usize,
        /// Frames that came out.
        got: usize,
    },
    /// The built-in decoder gave up in the middle and ffmpeg went on.
    #[error("{}: from frame {frame} on decoded by ffmpeg: {why}", path.display())]
    Fallback {
        /// The file.
        path: PathBuf,
        /// The first frame that ffmpeg decodes.
        frame: usize,
        /// Why the built-in decoder gave up.
        why: String,
    },
    /// ffmpeg complained, but went on to the end.
    #[error("{}: ffmpeg says: {said}", path.display())]
    Ffmpeg {
        /// The file.
        path: PathBuf,
        /// Its last words.
        said: String,
    },
    /// A picture of high dynamic range is taken for an ordinary one.
    #[error(
        "{}: high dynamic range ({transfer}) isn't mapped to ordinary brightness: colours will look flat", path.display()
    )]
    Hdr {
        /// The file.
        path: PathBuf,
        /// The transfer function.
        transfer: &'static str,
    },
    /// Pixels that aren't square were made square.
    #[error(
        "{}: pixels of {}:{} are made square: frames are {}x{}", path.display(), ratio.0, ratio.1, size.0, size.1
    )]
    PixelAspect {
        /// The file.
        path: PathBuf,
        /// Width to height of a stored pixel.
        ratio: (u32, u32),
        /// Size of the frames that come out.
        size: (u32, u32),
    },
    /// There is sound, and it doesn't come along.
    #[error("{}: without its sound: {why}", path.display())]
    NoSound {
        /// The file whose sound it is, or that has no place for it.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// A shared list of warnings: whoever reads or writes adds to it, whoever listens takes from it, at any time.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Vec<Warning>>>);

impl Warnings {
    pub(crate) fn push(&self, warning: Warning) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !list.contains(&warning) {
            list.push(warning);
        }
    }

    /// What has come since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Warning> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
