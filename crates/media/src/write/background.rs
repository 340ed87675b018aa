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
    /// None once its error has been told.
    thread: Option<JoinHandle<Result<Option<Written>>>>,
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
        Self { path, frames, thread: Some(thread) }
    }

    /// Hands over a frame; waits while too many are outstanding.
    ///
    /// # Errors
    /// The first error of the writer, a full disk for one, some frames after the one that it failed at; after that only
    /// that the thread has ended.
    pub fn push(&mut self, frame: RgbImage) -> Result<()> {
        self.frames.send(Message::Frame(frame)).map_err(|_| self.failure())
    }

    /// Waits for the last frame and completes the file.
    ///
    /// # Errors
    /// The first error of the writer.
    pub fn finish(mut self) -> Result<Written> {
        self.frames.send(Message::Finish).map_err(|_| self.failure())?;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Ok(Some(written)))) => Ok(written),
            Some(Ok(Err(error))) => Err(error),
            _ => Err(Error::Thread { path: self.path }),
        }
    }

    /// Why the thread has given up.
    fn failure(&mut self) -> Error {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => error,
            _ => Error::Thread { path: self.path.clone() },
        }
    }
}
