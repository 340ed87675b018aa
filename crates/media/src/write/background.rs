//! Encoding in a thread of its own, so that it overlaps with making the next frames.

use super::{VideoWriter, Written};
use crate::error::{Error, Result};
use image::RgbImage;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// A writer in a thread. Dropped without [`BackgroundWriter::finish`], it leaves no file behind.
#[derive(Debug)]
pub struct BackgroundWriter {
    path: PathBuf,
    frames: SyncSender<Message>,
    thread: JoinHandle<Result<Option<Written>>>,
}

#[derive(Debug)]
enum Message {
    Frame(RgbImage),
    Finish,
}

impl BackgroundWriter {
    pub(super) fn new(mut writer: VideoWriter, n_behind: usize) -> Self {
        let path = writer.path().to_owned();
        let (frames, receiver) = sync_channel(n_behind);
        let thread = std::thread::spawn(move || {
            for message in receiver {
                match message {
                    Message::Frame(frame) => writer.push(&frame)?,
                    Message::Finish => return writer.finish().map(Some),
                }
            }
            Ok(None)
        });
        Self { path, frames, thread }
    }

    /// Hands over a frame; waits while too many are outstanding.
    ///
    /// # Errors
    /// Once writing has failed. [`BackgroundWriter::finish`] then tells why.
    pub fn push(&self, frame: RgbImage) -> Result<()> {
        self.frames.send(Message::Frame(frame)).map_err(|_| Error::Thread { path: self.path.clone() })
    }

    /// Waits for the last frame and completes the file.
    ///
    /// # Errors
    /// The first error of the writer.
    pub fn finish(self) -> Result<Written> {
        let Self { path, frames, thread } = self;
        // Where the thread has already given up, its own error is the one to report.
        let told = frames.send(Message::Finish).is_ok();
        drop(frames);
        match thread.join() {
            Ok(Ok(Some(written))) if told => Ok(written),
            Ok(Err(error)) => Err(error),
            _ => Err(Error::Thread { path }),
        }
    }
}
