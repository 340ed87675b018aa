//! Video and picture sequences in and out, frame by frame, without system libraries.
//!
//! * In: H.264 in mp4 and mov, fragmented or not; folders of pictures; animated GIF and WebP. Out: H.264 in mp4, numbered
//!   PNG and JPEG files. Everything else goes through an `ffmpeg` program where there is one, also from the middle of a
//!   file on; where there is none, the error names codec or box.
//! * Frames are [`image::RgbImage`]; a reader is an iterator of them, so a video is never in memory as a whole.
//! * Frames come at an even rate ([`Timing`]): even videos frame by frame, uneven ones by their times. Edit lists, late
//!   starts, turns and pixels that aren't square are honoured; BT.601, BT.709 and BT.2020 in limited and full range are told
//!   apart.
//! * Sound is carried over without being decoded ([`AudioTrack`]), in step with the frames, and ends where they end.
//! * What is lost on the way is said: [`VideoReader::warnings`], [`VideoWriter::warnings`].
//!
//! ```
//! # let folder = tempfile::tempdir().unwrap();
//! # let (input, output) = (folder.path().join("in.mp4"), folder.path().join("out.mp4"));
//! use anicrafter_media::{FrameRate, VideoReader, VideoWriter, WriteOptions};
//! # let mut writer = VideoWriter::create(&input, WriteOptions::new(FrameRate::whole(24)))?;
//! # for _ in 0..5 { writer.push(&image::RgbImage::new(32, 32))?; }
//! # writer.finish()?;
//! // Darken a video; decoding, this thread and encoding overlap.
//! let reader = VideoReader::open(&input)?.prefetch(2);
//! let options = WriteOptions::new(reader.info().frame_rate);
//! let mut writer = VideoWriter::create(&output, options)?.in_background(2);
//! for frame in reader {
//!     let mut frame = frame?;
//!     frame.iter_mut().for_each(|byte| *byte /= 2);
//!     writer.push(frame)?;
//! }
//! assert_eq!(writer.finish()?.frames, 5);
//! # Ok::<(), anicrafter_media::Error>(())
//! ```

mod audio;
mod clock;
pub mod color;
mod error;
mod ffmpeg;
mod h264;
mod mp4;
mod orientation;
mod picture;
mod rate;
mod read;
mod square;
mod timing;
mod warning;
mod write;

#[cfg(test)]
mod tests;

pub use audio::AudioTrack;
pub use clock::Clock;
pub use error::{Error, Result};
pub use orientation::Orientation;
pub use picture::{PictureFormat, read_matte, read_picture, read_picture_rgba, write_picture};
pub use rate::FrameRate;
pub use read::{Prefetch, ReadOptions, Timing, VideoInfo, VideoReader, picture_files};
pub use timing::Shown;
pub use warning::{Warning, Warnings};
pub use write::{BackgroundWriter, VideoWriter, WriteOptions, Written, convert, same_place};
