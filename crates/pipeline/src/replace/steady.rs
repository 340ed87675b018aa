//! What stands in front of a person, frame after frame: what one frame says counts where others say so too, and to the end of what it
//! is a part of.

use super::assign::mask_of;
use super::hiding::{Hiding, Votes};
use super::occluders::{Guess, PIECE, Says};
use super::scenery::{LIKE_IT, for_places, maps, unlike};
use super::segments::Segments;
use bg_mask::PlaneMap;
use image::GrayImage;
use rayon::prelude::*;
use std::collections::VecDeque;
use std::ops::Range;

/// Seconds to either side that are looked at.
const AROUND_S: f32 = 0.5;
/// A place that hid the body for so long hides it for so many seconds before and after: also beside where the body is now, as far as
/// an avatar may reach.
const LONG_S: f32 = 1.5;
const HID_S: f32 = 0.2;
const BESIDE_M: f32 = 0.35;
/// Metres by which the layer is grown into what isn't the person's, where no seen part of the body is nearer: the avatar may
/// reach further than the body. What hides more than a limb is grown further, where nobody knows what the place looks like empty.
const GROW_M: f32 = 0.10;
const WIDE_M: [f32; 2] = [0.16, 0.35];
/// The same over unsure parts of the body itself.
const CLOSE_M: f32 = 0.08;
/// Joints of the arms. A piece that is an arm alone, to this part, isn't hidden: where arms aren't seen they are guesses.
const ARM_ALONE: f32 = 0.7;
/// Nor is what lies this near to the picture's border, in metres: networks aren't sure of what the border cuts.
const BORDER_M: f32 = 0.15;
/// A thing hides a piece of the body for so many seconds at least: whoever passes behind it is read beside it for a part of the time.
const PASSED_S: f32 = 0.1;
/// Half the width of strips of the matte that are no part of a person.
const STRIP_M: f32 = 0.02;
/// What a pixel of a layer shows: nothing, a thing, or a place where the body was never seen.
const NOTHING: u8 = 0;
const THING: u8 = 255;
const NEVER_SEEN: u8 = 1;
/// Metres by which a thing goes on beside the body.
const GO_ON_M: f32 = 0.2;

/// Frames around the one that is decided.
#[derive(Debug)]
pub(super) struct Steady {
    /// Each with the background's move from the frame before; `None` after a cut.
    window: VecDeque<(Guess, Option<PlaneMap>)>,
    /// Frames to either side: that vote, and that are remembered.
    near: usize,
    reach: usize,
    /// Frames for which a place must have hidden the body to be remembered, and a thing a piece of it.
    long: usize,
    passed: f32,
    /// How many guesses came, and how many were decided.
    came: usize,
    decided: usize,
    width: usize,
}

/// A frame that votes on another one.
struct Vote<'a> {
    guess: &'a Guess,
    /// From the pixels of the one that is decided to those of this one.
    map: PlaneMap,
    is_near: bool,
}

/// The places around a body.
struct Scene {
    columns: Range<usize>,
    rows: Range<usize>,
    /// Of each place, row by row.
    votes: Vec<Votes>,
    segments: Segments,
    /// Of each segment.
    hiding: Vec<Hiding>,
}

impl Scene {
    fn votes_at(&self, x: usize, y: usize) -> &Votes {
        &self.votes[(y - self.rows.start) * self.columns.len() + x - self.columns.start]
    }

    /// What the segment at a pixel does; nobody knows outside these places.
    fn hiding_at(&self, x: usize, y: usize) -> Hiding {
        self.segments.at(x, y).map_or(Hiding::Unknown, |s| self.hiding[s])
    }
}

impl Steady {
    /// For so many frames a second, and pictures so many pixels wide.
    pub(super) fn new(fps: f32, width: usize) -> Self {
        let frames = |seconds: f32| (seconds * fps).round() as usize;
        Self {
            window: VecDeque::new(),
            near: frames(AROUND_S).clamp(1, 30),
            reach: frames(LONG_S).clamp(1, 36),
            long: frames(HID_S).max(2),
            passed: (PASSED_S * fps).max(1.0),
            came: 0,
            decided: 0,
            width,
        }
    }

    /// Takes the next frame's guess (an empty one where nobody is), and how the background moved since the frame before: `None`
    /// for a cut, across which nobody votes.
    pub(super) fn push(&mut self, guess: Guess, step: Option<PlaneMap>) {
        self.window.push_back((guess, step));
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
        let guess = &self.window[index].0;
        let around = self.around(index);
        if !around.iter().any(|vote| vote.guess.pixels.contains(&Says::Hidden)) {
            return None;
        }
        let scene = self.scene(guess, &around)?;
        let w = self.width;
        let mut layer = vec![NOTHING; guess.pixels.len()];
        layer.par_chunks_mut(w).enumerate().filter(|(y, _)| scene.rows.contains(y)).for_each(|(y, row)| {
            scene.columns.clone().for_each(|x| row[x] = self.shown(guess, &scene, [x, y]));
        });
        if !layer.contains(&THING) {
            return None;
        }
        self.stop_things(guess, &mut layer);
        go_on(&mut layer, w, |i| guess.empty(i));
        // A thing that segments show ends where they do.
        let ends: Option<Vec<bool>> = scene.hiding.contains(&Hiding::All).then(|| {
            let ends = |i: usize| scene.hiding_at(i % w, i / w) != Hiding::All;
            (0..layer.len()).map(ends).collect()
        });
        self.shape(guess, layer, ends.as_deref())
    }

    /// Counts what is said of the places around the body, and what that makes of the segments there; `None` where that is too little for
    /// anything to be in front.
    fn scene(&self, guess: &Guess, around: &[Vote<'_>]) -> Option<Scene> {
        let size = [self.width, guess.pixels.len() / self.width];
        let [columns, rows] = self.reached(guess);
        let mut votes = vec![Votes::default(); columns.len() * rows.len()];
        votes.par_chunks_mut(columns.len().max(1)).zip(rows.clone()).for_each(|(row, y)| {
            // In some frames nobody is.
            for vote in around.iter().filter(|vote| !vote.guess.pixels.is_empty()) {
                for_places(&vote.map, y, columns.clone(), size, |x, i| {
                    row[x].add(vote.guess.pixels[i], vote.is_near);
                });
            }
        });
        let least = self.passed * PIECE * guess.area as f32;
        let hidden: usize = votes.iter().map(|votes| usize::from(votes.all(Says::Hidden))).sum();
        let places = rows.clone().flat_map(|y| columns.clone().map(move |x| y * self.width + x));
        if (hidden as f32) < least
            && !places.zip(&votes).any(|(i, votes)| self.is_a_thing(guess.pixels[i], votes))
        {
            return None;
        }
        let segments = Segments::new(&guess.looks, self.width, [columns.clone(), rows.clone()]);
        let hiding = Hiding::of(&segments, &votes, &guess.looks, least);
        Some(Scene { columns, rows, votes, segments, hiding })
    }

    /// Do frames agree about a pixel that something is in front there, whatever it is a part of?
    fn is_a_thing(&self, says: Says, votes: &Votes) -> bool {
        let now = matches!(says, Says::Hidden | Says::Empty);
        now && votes.near_hides() || votes.always_hides(self.long)
    }

    /// What a pixel of the layer shows.
    fn shown(&self, guess: &Guess, scene: &Scene, [x, y]: [usize; 2]) -> u8 {
        let i = y * self.width + x;
        let says = guess.pixels[i];
        let now = matches!(says, Says::Hidden | Says::Empty);
        let nobodys = says == Says::Away && guess.free[i];
        let (votes, segment) = (scene.votes_at(x, y), scene.hiding_at(x, y));
        let mostly_hidden = says != Says::Away && 2 * votes.all(Says::Seen) <= votes.bodies();
        if segment == Hiding::All && (nobodys || mostly_hidden) {
            return THING;
        }
        // A thing that looks like what is behind it is no segment of its own.
        let often = if now { 2 } else { self.long as u16 };
        let never_seen = votes.all(Says::Hidden) >= often && votes.all(Says::Seen) == 0;
        if segment == Hiding::None && !never_seen || !(now || nobodys) {
            return NOTHING;
        }
        let never_near =
            votes.near(Says::Seen) == 0 && votes.near(Says::Hidden) + votes.near(Says::Empty) >= 2;
        if self.is_a_thing(says, votes) {
            THING
        } else if now && never_near || nobodys && votes.all(Says::Seen) == 0 {
            NEVER_SEEN
        } else {
            NOTHING
        }
    }

    /// What is a speck is no thing that could go on, and none goes on far beside the body.
    fn stop_things(&self, guess: &Guess, layer: &mut [u8]) {
        let size = (self.width as u32, (layer.len() / self.width) as u32);
        let least = guess.speck();
        let things = mask_of(size, |i| layer[i] == THING);
        let things = bg_mask::keep_components(&things, |piece| piece.area >= least);
        let near = bg_mask::squared_distance(&things);
        let far = (GO_ON_M * guess.per_metre).powi(2);
        for (i, byte) in layer.iter_mut().enumerate() {
            let is_speck = *byte == THING && things.as_raw()[i] == 0;
            let is_beyond = guess.pixels[i] == Says::Away && near[i] > far;
            if is_speck || is_beyond {
                *byte = NOTHING;
            }
        }
    }

    /// Columns and rows that a body and what may be around it fill; none where nobody is.
    fn reached(&self, guess: &Guess) -> [Range<usize>; 2] {
        let [columns, rows] = guess.span.clone();
        if columns.is_empty() {
            return [0..0, 0..0];
        }
        let margin = (BESIDE_M * guess.per_metre) as usize;
        let wider =
            |range: Range<usize>, n: usize| range.start.saturating_sub(margin)..(range.end + margin).min(n);
        [wider(columns, self.width), wider(rows, guess.pixels.len() / self.width)]
    }

    /// The frames that vote on one, itself among them, with the maps from it to them: what stands in front stays at its place of the
    /// scene, not of the picture.
    fn around(&self, index: usize) -> Vec<Vote<'_>> {
        let first = index.saturating_sub(self.reach);
        let frames = first..(index + self.reach + 1).min(self.window.len());
        let others = maps(|k| self.window[k].1.as_ref(), index, frames);
        std::iter::once((index, PlaneMap::SAME))
            .chain(others)
            .map(|(k, map)| Vote { guess: &self.window[k].0, map, is_near: k.abs_diff(index) <= self.near })
            .collect()
    }

    /// Without the pieces that are arms and nothing else, or lie at the picture's border.
    fn without_guesses(&self, guess: &Guess, mut layer: GrayImage) -> GrayImage {
        let (w, h) = (self.width, layer.height() as usize);
        let pieces = bg_mask::components(&layer);
        // By piece: how much of it is an arm, and how far into the picture it reaches.
        let mut found = vec![(0_usize, 0_usize); pieces.list.len() + 1];
        for (i, (label, arm)) in pieces.labels.iter().zip(&guess.arm).enumerate() {
            let (x, y) = (i % w, i / w);
            let (arms, inwards) = &mut found[*label as usize];
            *arms += usize::from(*arm);
            *inwards = (*inwards).max(x.min(y).min(w - 1 - x).min(h - 1 - y));
        }
        let is_guess = |label: u32| {
            let (arms, inwards) = found[label as usize];
            let area = pieces.list[label as usize - 1].area as f32;
            arms as f32 >= ARM_ALONE * area || (inwards as f32) < BORDER_M * guess.per_metre
        };
        for (byte, label) in layer.iter_mut().zip(&pieces.labels).filter(|(_, label)| **label > 0) {
            if is_guess(*label) {
                *byte = 0;
            }
        }
        layer
    }

    /// Without specks, and grown over what is nobody's, but not where it is known to end.
    fn shape(&self, guess: &Guess, layer: Vec<u8>, ends: Option<&[bool]>) -> Option<Vec<u8>> {
        let height = layer.len() / self.width;
        let mask = bg_mask::mask_from_bytes(self.width as u32, height as u32, layer).ok()?;
        let least = guess.speck();
        let kept = self.without_guesses(guess, bg_mask::keep_components(&mask, |piece| piece.area >= least));
        if kept.iter().all(|b| *b == 0) {
            return None;
        }
        let size = kept.dimensions();
        let all_seen =
            mask_of(size, |i| matches!(guess.pixels[i], Says::Seen | Says::Empty) && kept.as_raw()[i] == 0);
        // Specks and thin strips of the matte beside a thing aren't the person.
        let seen = opened(&all_seen, STRIP_M * guess.per_metre);
        let seen = bg_mask::keep_components(&seen, |piece| piece.area >= least);
        let is_speck = |i: usize| all_seen.as_raw()[i] > 0 && seen.as_raw()[i] == 0;
        let (thing, seen) = (bg_mask::squared_distance(&kept), bg_mask::squared_distance(&seen));
        let within = |squared: f32, metres: f32| squared <= (metres * guess.per_metre).powi(2);
        let inwards = bg_mask::squared_distance(&mask_of(size, |i| kept.as_raw()[i] == 0));
        let wide = bg_mask::squared_distance(&mask_of(size, |i| !within(inwards[i], WIDE_M[0] / 2.0)));
        let grown = (0..kept.len()).map(|i| {
            let here = match guess.pixels[i] {
                says if ends.is_some_and(|ends| ends[i]) => says != Says::Seen && thing[i] <= 1.0,
                _ if is_speck(i) => within(thing[i], GROW_M),
                Says::Away => {
                    thing[i] < seen[i]
                        && (within(thing[i], GROW_M)
                            || !guess.known[i] && within(wide[i], WIDE_M[0] / 2.0 + WIDE_M[1]))
                }
                _ => within(thing[i], CLOSE_M),
            };
            let beside = guess.edge[i] && thing[i] <= 1.0;
            if thing[i] == 0.0 || here && (guess.free[i] || is_speck(i)) || beside { 255 } else { 0 }
        });
        Some(grown.collect())
    }
}

/// A thing goes on where the body was never seen and the place, while nobody is there, looks like the thing; what it doesn't reach is
/// none.
fn go_on(layer: &mut [u8], width: usize, empty: impl Fn(usize) -> Option<[u8; 3]>) {
    let mut open: Vec<(usize, [u8; 3])> =
        (0..layer.len()).filter(|i| layer[*i] == THING).filter_map(|i| Some((i, empty(i)?))).collect();
    while let Some((i, root)) = open.pop() {
        let x = i % width;
        let around = [
            (x > 0).then(|| i - 1),
            (x + 1 < width).then_some(i + 1),
            i.checked_sub(width),
            (i + width < layer.len()).then_some(i + width),
        ];
        for j in around.into_iter().flatten() {
            if layer[j] == NEVER_SEEN && empty(j).is_some_and(|there| unlike(there, root) <= LIKE_IT) {
                layer[j] = THING;
                open.push((j, root));
            }
        }
    }
    layer.iter_mut().filter(|byte| **byte == NEVER_SEEN).for_each(|byte| *byte = NOTHING);
}

/// Without what is narrower than twice the radius, in pixels.
fn opened(mask: &GrayImage, radius: f32) -> GrayImage {
    let size = mask.dimensions();
    let outside = bg_mask::squared_distance(&mask_of(size, |i| mask.as_raw()[i] == 0));
    let inner = bg_mask::squared_distance(&mask_of(size, |i| outside[i] > radius * radius));
    mask_of(size, |i| inner[i] <= radius * radius)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(hidden: bool) -> Says {
        if hidden { Says::Hidden } else { Says::Seen }
    }

    fn guess(hidden: bool) -> Guess {
        let pixels =
            (0..100).map(|i| if (40..60).contains(&i) { says(hidden) } else { says(false) }).collect();
        Guess {
            pixels,
            free: vec![true; 100],
            arm: vec![false; 100],
            either: vec![false; 100],
            edge: vec![false; 100],
            known: vec![false; 100],
            looks: vec![[0; 3]; 100],
            span: [0..10, 0..10],
            per_metre: 1.0,
            area: 100,
        }
    }

    #[test]
    fn what_flickers_is_not_in_front() {
        let run = |hidden: &[bool]| {
            let mut steady = Steady::new(6.0, 10);
            let mut layers = Vec::new();
            for h in hidden {
                steady.push(guess(*h), Some(PlaneMap::SAME));
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

    #[test]
    fn what_stands_in_front_may_move_through_the_picture() {
        // A camera turns, so that a post passes from left to right.
        let found = |step: PlaneMap, cut: usize| {
            let mut steady = Steady::new(12.0, 60);
            for t in 0..16 {
                let post = 5 + 2 * t..11 + 2 * t;
                let pixels = (0..600).map(|i| says(post.contains(&(i % 60)))).collect();
                let guess = Guess {
                    pixels,
                    free: vec![true; 600],
                    arm: vec![false; 600],
                    either: vec![false; 600],
                    edge: vec![false; 600],
                    known: vec![false; 600],
                    looks: vec![[0; 3]; 600],
                    span: [0..60, 0..10],
                    per_metre: 1.0,
                    area: 600,
                };
                steady.push(guess, (t != cut).then_some(step));
            }
            let layers: Vec<_> = std::iter::from_fn(|| steady.next(true)).collect();
            layers.iter().flatten().filter(|layer| layer.iter().filter(|b| **b > 0).count() == 60).count()
        };
        assert_eq!(found(PlaneMap::shift([2.0, 0.0]), 16), 16);
        // As if the camera stood, nothing is at the same place for long.
        assert_eq!(found(PlaneMap::SAME, 16), 0);
        // Each shot by itself.
        assert_eq!(found(PlaneMap::shift([2.0, 0.0]), 8), 16);
    }

    #[test]
    fn a_thing_goes_on_as_far_as_it_looks_like_itself() {
        // A grey post in columns 4 and 5 before a wall; only its middle was voted for.
        let is_post = |i: usize| (4..6).contains(&(i % 10));
        let empty: Vec<Option<[u8; 3]>> = (0..100)
            .map(|i| if i == 94 { None } else { Some(if is_post(i) { [90; 3] } else { [140, 100, 80] }) })
            .collect();
        let mut layer: Vec<u8> = (0..100)
            .map(|i| match i / 10 {
                4 if is_post(i) => THING,
                // The body was seen in the first two rows.
                0 | 1 => NOTHING,
                _ => NEVER_SEEN,
            })
            .collect();
        go_on(&mut layer, 10, |i| empty[i]);
        for (i, byte) in layer.iter().enumerate() {
            let expected = is_post(i) && i >= 20 && i != 94;
            assert_eq!(*byte, if expected { THING } else { NOTHING }, "pixel {i}");
        }
    }

    #[test]
    fn who_is_fitted_wrongly_says_nothing_and_is_told() {
        // In one frame the body is fitted elsewhere; the post still hides it there.
        let mut steady = Steady::new(6.0, 10);
        for t in 0..8 {
            let this = guess(true);
            steady.push(if t == 3 { this.without_body() } else { this }, Some(PlaneMap::SAME));
        }
        let layers: Vec<_> = std::iter::from_fn(|| steady.next(true)).collect();
        assert_eq!(layers.iter().flatten().count(), 8);
        assert_eq!(layers[3], layers[2]);
    }
}
