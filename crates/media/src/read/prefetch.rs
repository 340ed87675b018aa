//! Decoding in a thread of its own, so that it overlaps with what is done to the frames.

use super::{VideoInfo, VideoReader};
use crate::error::{Error, Result};
use crate::warning::Warnings;
use image::RgbImage;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// Frames decoded ahead. Dropping it ends the thread.
#[derive(Debug)]
pub struct Prefetch {
    path: PathBuf,
    info: VideoInfo,
    warnings: Warnings,
    frames: Option<Receiver<Result<RgbImage>>>,
    thread: Option<JoinHandle<()>>,
}

impl Prefetch {
    pub(super) fn new(reader: VideoReader, n_ahead: usize) -> Self {
        let (path, info, warnings) = (reader.path.clone(), reader.info.clone(), reader.warnings());
        let (sender, frames) = sync_channel(n_ahead);
        let thread = std::thread::spawn(move || {
            for frame in reader {
                if sender.send(frame).is_err() {
                    return;
                }
            }
        });
        Self { path, info, warnings, frames: Some(frames), thread: Some(thread) }
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
}

impl Iterator for Prefetch {
    type Item = Result<RgbImage>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Ok(frame) = self.frames.as_ref()?.recv() {
            return Some(frame);
        }
        self.frames = None;
        let panicked = self.thread.take().is_some_and(|t| t.join().is_err());
        panicked.then(|| Err(Error::Thread { path: self.path.clone() }))
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        // The sender fails as soon as nobody listens, so joining can't hang on a full channel.
        self.frames = None;
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has been reported by `next`, or nobody waits for its frames any more.
            drop(thread.join());
        }
    }
}
