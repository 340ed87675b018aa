//! What stands in front of a person: pixels where the fitted body is and the matte isn't, steadily.

use super::assign::Somebody;
use std::collections::VecDeque;

/// Less likely pixels aren't the person's.
const NOT: f32 = 0.3;
/// Metres into the body from which on a fit isn't just a little off.
const INTO_M: f32 = 0.06;
/// Parts of the body that are less sure than this are where they are because something hides them.
const UNSURE: f32 = 0.35;
/// The part of the frames around, in which the body is there, that must agree.
const STEADY: f32 = 0.6;
/// Seconds to either side that are looked at.
const AROUND_S: f32 = 0.5;
/// Metres by which the layer is grown into what isn't the person's: the avatar may be wider than the body.
const GROW_M: f32 = 0.10;
/// Smaller pieces than this part of the body are the matte's holes.
const SPECK: f32 = 0.015;

/// One frame's guess.
#[derive(Clone, Debug, Default)]
pub(super) struct Guess {
    /// `[h, w]` 0 where the body isn't, 1 where it is seen, 2 where something seems to hide it.
    pub(super) pixels: Vec<u8>,
    /// `[h, w]` pixels that are nobody's.
    free: Vec<bool>,
    per_metre: f32,
    area: usize,
}

impl Guess {
    /// `likely` is how likely each pixel is anybody's by the surer network; `nearer` marks pixels of people in front.
    pub(super) fn new(somebody: &Somebody, likely: &[f32], nearer: &[bool], confidence: &[f32]) -> Self {
        let Some(body) = &somebody.body else { return Self::default() };
        let depth = somebody.depth_in_body();
        let pixels = (0..likely.len())
            .map(|i| {
                if !body.covers(i) || nearer[i] {
                    return 0;
                }
                let unsure = confidence.get(usize::from(body.joint[i])).is_some_and(|c| *c < UNSURE);
                // Each network likes to paint over what is narrow: within the body one that says no is enough.
                let less = f32::from(somebody.own.as_raw()[i].min(somebody.anybody.as_raw()[i])) / 255.0;
                let hidden = if unsure { likely[i] < NOT } else { less < NOT && depth[i] > INTO_M };
                if hidden { 2 } else { 1 }
            })
            .collect();
        let free = likely.iter().map(|l| *l < NOT).collect();
        Self { pixels, free, per_metre: body.per_metre, area: body.area() }
    }

    /// With what is in front of somebody else.
    pub(super) fn join(&mut self, other: Self) {
        if self.pixels.is_empty() {
            *self = other;
            return;
        }
        self.pixels.iter_mut().zip(&other.pixels).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
        self.area += other.area;
    }
}

/// Frames around the one that is decided.
#[derive(Debug)]
pub(super) struct Steady {
    window: VecDeque<Guess>,
    reach: usize,
    /// How many guesses came, and how many were decided.
    came: usize,
    decided: usize,
    width: usize,
}

impl Steady {
    pub(super) fn new(fps: f32, width: usize) -> Self {
        let reach = ((AROUND_S * fps).round() as usize).clamp(1, 30);
        Self { window: VecDeque::new(), reach, came: 0, decided: 0, width }
    }

    /// Takes the next frame's guess (an empty one where nobody is); a cut forgets what was before.
    pub(super) fn push(&mut self, guess: Guess) {
        self.window.push_back(guess);
        self.came += 1;
    }

    /// The next frame's layer, `[h, w]` 0..255, when enough frames are there or no more come; `None` inside where nothing is in
    /// front.
    pub(super) fn next(&mut self, closed: bool) -> Option<Option<Vec<u8>>> {
        if self.decided >= self.came || !closed && self.came <= self.decided + self.reach {
            return None;
        }
        // The window begins at most `reach` frames before the one that is decided.
        let first = self.came - self.window.len();
        let from = self.decided.saturating_sub(self.reach);
        (first..from).for_each(|_| drop(self.window.pop_front()));
        let index = self.decided - (self.came - self.window.len());
        self.decided += 1;
        Some(self.decide(index))
    }

    fn decide(&self, index: usize) -> Option<Vec<u8>> {
        let guess = &self.window[index];
        if !guess.pixels.contains(&2) {
            return None;
        }
        let end = (index + self.reach + 1).min(self.window.len());
        let around = index.saturating_sub(self.reach)..end;
        let mut layer = vec![0_u8; guess.pixels.len()];
        for (i, out) in layer.iter_mut().enumerate().filter(|(i, _)| guess.pixels[*i] == 2) {
            let there = self.window.range(around.clone()).filter_map(|g| g.pixels.get(i)).filter(|p| **p > 0);
            let (n, hidden) = there.fold((0, 0), |(n, h), p| (n + 1, h + usize::from(*p == 2)));
            if hidden as f32 >= STEADY * n as f32 {
                *out = 255;
            }
        }
        self.shape(guess, layer)
    }

    /// Without specks, and grown over what is nobody's.
    fn shape(&self, guess: &Guess, layer: Vec<u8>) -> Option<Vec<u8>> {
        let height = layer.len() / self.width;
        let mask = bg_mask::mask_from_bytes(self.width as u32, height as u32, layer).ok()?;
        let least = (SPECK * guess.area as f32) as usize;
        let kept = bg_mask::keep_components(&mask, |piece| piece.area >= least.max(4));
        if kept.iter().all(|b| *b == 0) {
            return None;
        }
        let grown = bg_mask::dilate(&kept, GROW_M * guess.per_metre).ok()?;
        let free = grown.as_raw().iter().zip(&guess.free).map(|(b, free)| if *free { *b } else { 0 });
        Some(free.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(hidden: bool) -> Guess {
        let pixels = (0..100).map(|i| if (40..60).contains(&i) { 1 + u8::from(hidden) } else { 1 }).collect();
        Guess { pixels, free: vec![true; 100], per_metre: 1.0, area: 100 }
    }

    #[test]
    fn what_flickers_is_not_in_front() {
        let run = |hidden: &[bool]| {
            let mut steady = Steady::new(6.0, 10);
            let mut layers = Vec::new();
            for h in hidden {
                steady.push(guess(*h));
                layers.extend(steady.next(false));
            }
            while let Some(layer) = steady.next(true) {
                layers.push(layer);
            }
            assert_eq!(layers.len(), hidden.len());
            layers.iter().filter(|layer| layer.is_some()).count()
        };
        assert_eq!(run(&[true; 12]), 12);
        let mut once = [false; 12];
        once[5] = true;
        assert_eq!(run(&once), 0);
    }
}
