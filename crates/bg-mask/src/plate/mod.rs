//! The background without the people: what a hole shows is looked up in frames that see behind it.
//!
//! [`PlateBuilder`] takes frames with their holes in order and gives plates in order, with a window of frames in memory.
//! Neighbouring frames are aligned by a robust homography and a smooth rest, those with too few corners by what moves them as a
//! whole. For each plate the maps are chained to frames before and after, corrected against the picture around the hole, and each pixel is sampled once, at full resolution, from
//! frames that see it; nearer frames weigh more. Colours are fitted at the seam. A camera that stands still takes the median
//! over time instead. What no frame shows is put together from patches once and carried along.

mod compose;
mod entry;
mod gray;
mod homography;
mod lucas;
mod patch;
mod plane;
mod pull;
mod sample;
mod settle;
mod shift;
mod sources;
mod still;
mod warp;

use crate::error::{Error, Result, in_range};
use entry::{Entry, Links};
use image::{GrayImage, RgbImage};
use rayon::prelude::*;
use std::collections::VecDeque;

pub use plane::{PlaneFinder, PlaneMap, PlanePiece};

/// How plates are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlateOptions {
    /// Frames that are looked at before and after each.
    pub window: usize,
    /// Every so many frames one is a source; a longer window needs more memory but not more work.
    pub source_every: usize,
    /// Memory for the window in bytes: with large frames the window gets shorter.
    pub memory: usize,
}

impl Default for PlateOptions {
    fn default() -> Self {
        Self { window: 40, source_every: 4, memory: 600 << 20 }
    }
}

/// One frame's background.
#[derive(Clone, Debug)]
pub struct Plate {
    /// The frame with its hole filled.
    pub picture: RgbImage,
    /// Part of the hole that was seen in other frames, 0..1; 1 without a hole.
    pub seen: f32,
    /// The camera stood still: the median over time was taken.
    pub still: bool,
}

/// Background that was invented in an earlier frame.
#[derive(Debug)]
struct Invented {
    frame: usize,
    picture: RgbImage,
    /// Distance into the invented part, in small pixels; 0 outside.
    depth: Vec<f32>,
}

/// A frame that waits to be prepared.
#[derive(Debug)]
struct Waiting {
    frame: RgbImage,
    hole: GrayImage,
    /// Hole and what isn't background, where there is such.
    unusable: Option<GrayImage>,
    cut: bool,
}

/// Makes plates frame by frame.
#[derive(Debug)]
pub struct PlateBuilder {
    options: PlateOptions,
    window: usize,
    scale: usize,
    size: Option<(u32, u32)>,
    /// Frames that wait to be prepared together, and whether they follow a cut.
    waiting: Vec<Waiting>,
    entries: VecDeque<Entry>,
    /// Number of the first entry's frame.
    first: usize,
    prepared: usize,
    next: usize,
    closed: bool,
    invented: VecDeque<Invented>,
    /// Plates that are done.
    done: VecDeque<Plate>,
}

/// Frames that are prepared side by side, and plates that are composed side by side at most.
const GROUP: usize = 4;

/// Longer side of the small pictures on which motion is found.
const SMALL: usize = 680;

impl PlateBuilder {
    /// A builder without frames.
    ///
    /// # Errors
    /// When the options are out of range.
    pub fn new(options: PlateOptions) -> Result<Self> {
        in_range("window", options.window as f32, 1.0..=1000.0, "1 to 1000 frames")?;
        in_range("source_every", options.source_every as f32, 1.0..=1000.0, "1 to 1000 frames")?;
        Ok(Self {
            options,
            window: options.window,
            scale: 1,
            size: None,
            waiting: Vec::new(),
            entries: VecDeque::new(),
            first: 0,
            prepared: 0,
            next: 0,
            closed: false,
            invented: VecDeque::new(),
            done: VecDeque::new(),
        })
    }

    /// Adds the next frame; `hole` is 255 on what has to go, a little larger than the person; `cut` says that the frame doesn't
    /// follow from the one before.
    ///
    /// # Errors
    /// When sizes differ or the frame is empty.
    pub fn push(&mut self, frame: RgbImage, hole: &GrayImage, cut: bool) -> Result<()> {
        self.push_beside(frame, hole, None, cut)
    }

    /// As [`PlateBuilder::push`]; `others` is 255 on what stays in its frame but is no background for other frames: people who
    /// aren't taken out.
    ///
    /// # Errors
    /// As [`PlateBuilder::push`].
    pub fn push_beside(
        &mut self,
        frame: RgbImage,
        hole: &GrayImage,
        others: Option<&GrayImage>,
        cut: bool,
    ) -> Result<()> {
        let (width, height) = frame.dimensions();
        if width < 32 || height < 32 {
            return Err(Error::Empty { what: "the frame (at least 32 × 32)", width, height });
        }
        crate::error::same_size("the hole", (width, height), hole.dimensions())?;
        let unusable = others.map(|others| crate::mask::union(hole, others)).transpose()?;
        match self.size {
            Some(size) => crate::error::same_size("the frame", size, (width, height))?,
            None => {
                self.size = Some((width, height));
                self.scale = (width.max(height) as usize).div_ceil(SMALL).max(1);
                // Picture and hole, and the small pictures.
                let each = width as usize * height as usize * 6;
                let fits = (self.options.memory / each).saturating_sub(1) / 2;
                self.window = self.options.window.min(fits.max(2));
            }
        }
        self.waiting.push(Waiting { frame, hole: hole.clone(), unusable, cut });
        if self.waiting.len() >= GROUP {
            self.prepare();
        }
        Ok(())
    }

    /// Says that no frame follows.
    pub fn close(&mut self) {
        self.closed = true;
        self.prepare();
    }

    /// Takes the frames that wait into the window.
    fn prepare(&mut self) {
        let scale = self.scale;
        let fresh = std::mem::take(&mut self.waiting);
        let cuts: Vec<bool> = fresh.iter().map(|f| f.cut).collect();
        let fresh: Vec<Entry> = fresh
            .into_par_iter()
            .map(|Waiting { frame, hole, unusable, .. }| Entry::new(frame, hole, unusable.as_ref(), scale))
            .collect();
        let links: Vec<Option<Links>> = (0..fresh.len())
            .into_par_iter()
            .map(|i| {
                let before = if i == 0 { self.entries.back()? } else { &fresh[i - 1] };
                if cuts[i] { None } else { entry::links(before, &fresh[i]) }
            })
            .collect();
        for (mut entry, links) in fresh.into_iter().zip(links) {
            if let (Some(links), Some(last)) = (links, self.entries.back_mut()) {
                (last.to_next, last.still_next) = (Some(links.to_next), links.still);
                entry.to_previous = Some(links.to_previous);
            }
            self.entries.push_back(entry);
            self.prepared += 1;
        }
    }

    /// The next plate, if enough frames are there to make it; after [`PlateBuilder::close`] all that are left.
    ///
    /// # Errors
    /// None but internal ones.
    pub fn next_plate(&mut self) -> Result<Option<Plate>> {
        if self.done.is_empty() {
            self.compose()?;
        }
        Ok(self.done.pop_front())
    }

    /// Composes the next plates side by side: up to the next one whose inventions are kept for others.
    fn compose(&mut self) -> Result<()> {
        let from = self.next;
        let mut to = (from.next_multiple_of(self.options.source_every) + 1).min(from + GROUP);
        if self.closed {
            to = to.min(self.prepared);
        } else if self.prepared < to + self.window {
            return Ok(());
        }
        while self.first + self.window < from {
            self.entries.pop_front();
            self.first += 1;
        }
        while self.invented.front().is_some_and(|i| i.frame + self.window < from) {
            self.invented.pop_front();
        }
        let this = &*self;
        let plates: Vec<_> = (from..to).into_par_iter().map(|t| compose::plate(this, t)).collect();
        for composed in plates {
            let (plate, invented) = composed?;
            self.done.push_back(plate);
            self.next += 1;
            if let Some(invented) = invented {
                // Those that follow build on it: they are made again if they were made without it.
                self.invented.push_back(invented);
                break;
            }
        }
        Ok(())
    }

    fn entry(&self, frame: usize) -> Option<&Entry> {
        frame.checked_sub(self.first).and_then(|i| self.entries.get(i))
    }
}

/// Where the background of one frame lies in another.
#[derive(Clone, Debug)]
pub struct FrameMap {
    warp: warp::Warp,
    scale: f32,
}

impl FrameMap {
    /// Finds the map from `a` to `b`, looking only outside of the holes; `None` where too little agrees.
    ///
    /// # Errors
    /// When sizes differ or a frame is smaller than 32 pixels.
    pub fn between(a: (&RgbImage, &GrayImage), b: (&RgbImage, &GrayImage)) -> Result<Option<Self>> {
        let (width, height) = a.0.dimensions();
        if width < 32 || height < 32 {
            return Err(Error::Empty { what: "the frame (at least 32 × 32)", width, height });
        }
        for (what, size) in [
            ("its hole", a.1.dimensions()),
            ("the other frame", b.0.dimensions()),
            ("its hole", b.1.dimensions()),
        ] {
            crate::error::same_size(what, (width, height), size)?;
        }
        let scale = (width.max(height) as usize).div_ceil(SMALL).max(1);
        let [first, second] =
            [a, b].map(|(frame, hole)| Entry::new(frame.clone(), hole.clone(), None, scale));
        let links = entry::links(&first, &second);
        Ok(links.map(|links| Self { warp: links.to_next, scale: scale as f32 }))
    }

    /// Where a pixel of the first frame lies in the second.
    #[must_use]
    pub fn at(&self, pixel: [f32; 2]) -> [f32; 2] {
        let small = pixel.map(|v| (v + 0.5) / self.scale - 0.5);
        self.warp.at(small).map(|v| (v + 0.5) * self.scale - 0.5)
    }
}

#[cfg(test)]
mod tests;
