//! Hands out stored frames tick by tick: one that lasts is repeated.

use crate::error::Result;
use image::RgbImage;

/// Where a source is on the clock.
#[derive(Debug)]
pub(super) struct Pacer {
    /// The ticks at which the frames that the source delivers appear, strictly ascending; None: one each tick.
    ticks: Option<std::vec::IntoIter<usize>>,
    /// The tick of the frame that the source delivers next.
    next_tick: Option<usize>,
    held: Option<RgbImage>,
    /// Ticks handed out.
    pub(super) done: usize,
    pub(super) total: usize,
}

impl Pacer {
    pub(super) fn every_tick(done: usize, total: usize) -> Self {
        Self { ticks: None, next_tick: None, held: None, done, total }
    }

    /// For a source that leaves out the frames whose tick is None.
    pub(super) fn at(ticks: &[Option<usize>], total: usize) -> Self {
        let ticks: Vec<usize> = ticks.iter().copied().flatten().collect();
        let mut ticks = ticks.into_iter();
        let next_tick = ticks.next();
        Self { ticks: Some(ticks), next_tick, held: None, done: 0, total }
    }

    /// The frame of the next tick; None after the last tick, or where the source ended early.
    pub(super) fn next(
        &mut self,
        mut pull: impl FnMut() -> Result<Option<RgbImage>>,
    ) -> Result<Option<RgbImage>> {
        if self.done >= self.total {
            return Ok(None);
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
