//! Hands out stored frames tick by tick: one that lasts is repeated.

use crate::error::Result;
use image::RgbImage;
use std::sync::Arc;

/// Where a source is on the clock.
#[derive(Debug)]
pub(super) struct Pacer {
    /// The ticks at which the frames that the source delivers appear, strictly ascending; None: one each tick.
    ticks: Option<std::vec::IntoIter<usize>>,
    /// The tick of the frame that the source delivers next.
    next_tick: Option<usize>,
    held: Option<RgbImage>,
    /// For what goes with another video's stored frames: which of them each tick shows, and how many were pulled.
    like: Option<(Arc<[usize]>, usize)>,
    /// Ticks handed out.
    pub(super) done: usize,
    pub(super) total: usize,
}

impl Pacer {
    pub(super) fn every_tick(done: usize, total: usize) -> Self {
        Self { ticks: None, next_tick: None, held: None, like: None, done, total }
    }

    /// For what has a frame for each stored frame of another video.
    pub(super) fn like(shown: Arc<[usize]>) -> Self {
        let total = shown.len();
        Self { like: Some((shown, 0)), ..Self::every_tick(0, total) }
    }

    /// Does it count another video's frames?
    pub(super) fn is_like_another(&self) -> bool {
        self.like.is_some()
    }

    /// For a source that leaves out the frames whose tick is None.
    pub(super) fn at(ticks: &[Option<usize>], total: usize) -> Self {
        let ticks: Vec<usize> = ticks.iter().copied().flatten().collect();
        let mut ticks = ticks.into_iter();
        let next_tick = ticks.next();
        Self { ticks: Some(ticks), next_tick, held: None, like: None, done: 0, total }
    }

    /// The frame of the next tick; None after the last tick, or where the source ended early.
    pub(super) fn next(
        &mut self,
        mut pull: impl FnMut() -> Result<Option<RgbImage>>,
    ) -> Result<Option<RgbImage>> {
        if self.done >= self.total {
            return Ok(None);
        }
        if let Some((shown, pulled)) = &mut self.like {
            while *pulled <= shown[self.done] {
                let Some(frame) = pull()? else { return Ok(None) };
                self.held = Some(frame);
                *pulled += 1;
            }
            self.done += 1;
            return Ok(self.held.clone());
        }
        let Some(ticks) = &mut self.ticks else {
            let frame = pull()?;
            self.done += usize::from(frame.is_some());
            return Ok(frame);
        };
        if self.next_tick.is_some_and(|tick| tick <= self.done) {
            let Some(frame) = pull()? else { return Ok(None) };
            self.held = Some(frame);
            self.next_tick = ticks.next();
        }
        self.done += 1;
        // The last tick of a frame gives it away.
        let last = self.next_tick.map_or(self.done == self.total, |tick| tick <= self.done);
        Ok(if last { self.held.take() } else { self.held.clone() })
    }
}
