//! What stands in front of a person: pixels where the fitted body is and the matte isn't, or that look as they do while nobody is
//! there; steadily.

use super::assign::{Somebody, mask_of};
use super::bodies::Body;
use super::scenery::{Scenery, Shown, maps, place, span, unlike};
use bg_mask::PlaneMap;
use image::GrayImage;
use rayon::prelude::*;
use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};

/// Less likely pixels aren't the person's, and less likely ones may be what a thing's layer is grown over.
const NOT: f32 = 0.3;
const MAYBE: f32 = 0.5;
/// Metres into the body from which on a fit isn't just a little off.
const INTO_M: f32 = 0.06;
/// Parts of the body that are less sure than this are where they are because something hides them.
const UNSURE: f32 = 0.35;
/// The part of the frames around, in which the body is there, that must agree.
const STEADY: f32 = 0.6;
/// Seconds to either side that are looked at.
const AROUND_S: f32 = 0.5;
/// A place that hid the body for so long, and showed it in no more than this part of that, hides it for so many seconds before and
/// after: also beside where the body is now, as far as an avatar may reach.
const LONG_S: f32 = 1.5;
const HID_S: f32 = 0.2;
const HIDES: f32 = 0.8;
const BESIDE_M: f32 = 0.35;
/// Metres by which the layer is grown into what isn't the person's, where no seen part of the body is nearer: the avatar may
/// reach further than the body. What hides more than a limb is grown further, where nobody knows what the place looks like empty.
const GROW_M: f32 = 0.10;
const WIDE_M: [f32; 2] = [0.16, 0.35];
/// The same over unsure parts of the body itself.
const CLOSE_M: f32 = 0.08;
/// Metres into the body from which on a place that looks as if nobody were there is hidden.
const EMPTY_M: f32 = 0.02;
/// A thing that hides this part of the body at least (and at most, if networks still see the person), beside which the body goes on: that part of the thing's border at least.
/// What somebody wears may look like what is behind them, but it ends with the body.
const PIECE: f32 = 0.05;
const MOST: f32 = 0.4;
const BESIDE: f32 = 0.2;
/// Pixels beyond the border in which the body must show up again.
const WITHIN_PX: isize = 4;
/// Networks paint over what is narrow: its area is so many times its width squared. What isn't narrow they don't take for the
/// person by more than this.
const NARROW: f32 = 3.5;
const SEEN_AS: f32 = 0.6;
/// Joints of the arms. A piece that is an arm alone, to this part, isn't hidden: where arms aren't seen they are guesses.
const ARMS: RangeInclusive<u8> = 16..=21;
const ARM_ALONE: f32 = 0.7;
/// Nor is what lies this near to the picture's border, in metres: networks aren't sure of what the border cuts.
const BORDER_M: f32 = 0.15;
/// Half the width of strips of the matte that are no part of a person.
const STRIP_M: f32 = 0.02;
/// Smaller pieces than this part of the body are the matte's holes.
const SPECK: f32 = 0.015;

/// What a pixel of a layer shows: nothing, a thing, or a place where the body was never seen.
const NOTHING: u8 = 0;
const THING: u8 = 255;
const NEVER_SEEN: u8 = 1;
/// Metres by which a thing goes on beside the body.
const GO_ON_M: f32 = 0.2;
/// Bytes by which the place may look different from a thing that goes on there.
const LIKE_IT: u8 = 26;

/// How likely each pixel of a frame is anybody's.
#[derive(Debug)]
pub(super) struct Likely {
    /// `[h, w]` as the surer network says, or the scenery.
    pub(super) any: Vec<f32>,
    /// `[h, w]` it is only the scenery that thinks so.
    pub(super) raised: Vec<bool>,
}

/// One frame's guess.
#[derive(Clone, Debug, Default)]
pub(super) struct Guess {
    /// `[h, w]` 0 where the body isn't, 1 where it is seen, 2 where something seems to hide it, 3 at its very edge, 4 where it looks
    /// as if nobody were there.
    pub(super) pixels: Vec<u8>,
    /// `[h, w]` pixels that are nobody's.
    free: Vec<bool>,
    /// `[h, w]` where an arm would be that isn't seen.
    arm: Vec<bool>,
    /// `[h, w]` pixels between what is known to be empty and what isn't.
    edge: Vec<bool>,
    /// `[h, w]` what the place looks like while nobody is there, where that is known.
    empty: Vec<Option<[u8; 3]>>,
    /// Columns and rows that the body fills.
    span: [Range<usize>; 2],
    per_metre: f32,
    area: usize,
}

impl Guess {
    /// `nearer` marks pixels of people in front.
    pub(super) fn new(
        somebody: &Somebody,
        Likely { any: likely, raised }: &Likely,
        nearer: &[bool],
        confidence: &[f32],
        scenery: &Scenery,
    ) -> Self {
        let Some(body) = &somebody.body else { return Self::default() };
        let depth = somebody.depth_in_body();
        let things = things(body, &depth, somebody.own.width(), likely, scenery);
        let pixels = (0..likely.len())
            .map(|i| {
                if !body.covers(i) || nearer[i] {
                    return 0;
                }
                if things[i] {
                    return 2;
                }
                let looks_empty = scenery.shown[i] == Shown::Same;
                let unsure = confidence.get(usize::from(body.joint[i])).is_some_and(|c| *c < UNSURE);
                // Each network likes to paint over what is narrow: within the body one that says no is enough.
                let less = f32::from(somebody.own.as_raw()[i].min(somebody.anybody.as_raw()[i])) / 255.0;
                let hidden =
                    if unsure { likely[i] < NOT } else { less < NOT && depth[i] > INTO_M && !raised[i] };
                match hidden {
                    true => 2,
                    false if depth[i] <= EMPTY_M => 3,
                    false => {
                        if looks_empty {
                            4
                        } else {
                            1
                        }
                    }
                }
            })
            .collect();
        let free =
            likely.iter().zip(&scenery.shown).map(|(l, shown)| *l < MAYBE || *shown == Shown::Same).collect();
        let arm = (0..likely.len()).map(|i| body.covers(i) && !things[i] && ARMS.contains(&body.joint[i]));
        let edge =
            (0..likely.len()).map(|i| scenery.shown[i] == Shown::Unknown && scenery.is_known(i)).collect();
        let empty = scenery.empty().to_vec();
        Self {
            pixels,
            free,
            arm: arm.collect(),
            edge,
            empty,
            span: span(likely.len(), somebody.own.width() as usize, |i| body.covers(i)),
            per_metre: body.per_metre,
            area: body.area(),
        }
    }

    /// Without a word on what hides the body, which isn't where it is fitted: other frames say it.
    pub(super) fn without_body(mut self) -> Self {
        self.pixels.fill(0);
        self.arm.fill(false);
        self
    }

    /// Columns and rows that the body and what may be around it fill; none where nobody is.
    fn reached(&self, width: usize) -> [Range<usize>; 2] {
        let [columns, rows] = self.span.clone();
        if columns.is_empty() {
            return [0..0, 0..0];
        }
        let margin = (BESIDE_M * self.per_metre) as usize;
        let wider =
            |range: Range<usize>, n: usize| range.start.saturating_sub(margin)..(range.end + margin).min(n);
        [wider(columns, width), wider(rows, self.pixels.len() / width)]
    }

    /// The area below which a piece is a hole in the matte.
    fn speck(&self) -> usize {
        ((SPECK * self.area as f32) as usize).max(4)
    }

    /// With what is in front of somebody else.
    pub(super) fn join(&mut self, other: Self) {
        if self.pixels.is_empty() {
            *self = other;
            return;
        }
        let hides = |p: u8| [0, 3, 4, 1, 2][usize::from(p)];
        self.pixels.iter_mut().zip(&other.pixels).for_each(|(mine, theirs)| {
            if hides(*theirs) > hides(*mine) {
                *mine = *theirs;
            }
        });
        self.arm.iter_mut().zip(&other.arm).for_each(|(mine, theirs)| *mine |= theirs);
        self.area += other.area;
        for (mine, theirs) in self.span.iter_mut().zip(other.span).filter(|(_, theirs)| !theirs.is_empty()) {
            let fresh = mine.start >= mine.end;
            *mine = if fresh { theirs } else { mine.start.min(theirs.start)..mine.end.max(theirs.end) };
        }
    }
}

/// Frames around the one that is decided.
#[derive(Debug)]
pub(super) struct Steady {
    /// Each with the background's move from the frame before; `None` after a cut.
    window: VecDeque<(Guess, Option<PlaneMap>)>,
    /// Frames to either side: that vote, and that are remembered.
    near: usize,
    reach: usize,
    /// Frames for which a place must have hidden the body to be remembered.
    long: usize,
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

impl Steady {
    pub(super) fn new(fps: f32, width: usize) -> Self {
        let frames = |seconds: f32| (seconds * fps).round() as usize;
        Self {
            window: VecDeque::new(),
            near: frames(AROUND_S).clamp(1, 30),
            reach: frames(LONG_S).clamp(1, 36),
            long: frames(HID_S).max(2),
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
        if !around.iter().any(|vote| vote.guess.pixels.contains(&2)) {
            return None;
        }
        let (w, h) = (self.width, guess.pixels.len() / self.width);
        let mut layer = vec![NOTHING; guess.pixels.len()];
        let [columns, rows] = guess.reached(self.width);
        // What looks empty is hidden where a thing was found in a frame nearby.
        let hides = |[_, seen, hidden, _, empty]: [usize; 5], least: usize, part: f32| {
            hidden > 0
                && hidden + empty >= least
                && (hidden + empty) as f32 >= part * (seen + hidden + empty) as f32
        };
        let shown = |x: usize, y: usize| {
            let i = y * w + x;
            let now = matches!(guess.pixels[i], 2 | 4);
            let nobodys = guess.pixels[i] == 0 && guess.free[i];
            if !(now || nobodys) {
                return NOTHING;
            }
            let (mut near, mut all) = ([0_usize; 5], [0_usize; 5]);
            for vote in &around {
                let Some(pixel) = place(&vote.map, [x, y], [w, h]).and_then(|i| vote.guess.pixels.get(i))
                else {
                    continue;
                };
                all[usize::from(*pixel)] += 1;
                near[usize::from(*pixel)] += usize::from(vote.is_near);
            }
            if now && hides(near, 1, STEADY) || hides(all, self.long, HIDES) {
                THING
            } else if now && near[1] == 0 && near[2] + near[4] >= 2 || nobodys && all[1] == 0 {
                NEVER_SEEN
            } else {
                NOTHING
            }
        };
        layer.par_chunks_mut(w).enumerate().filter(|(y, _)| rows.contains(y)).for_each(|(y, row)| {
            columns.clone().for_each(|x| row[x] = shown(x, y));
        });
        if !layer.contains(&THING) {
            return None;
        }
        // What is a speck is no thing that could go on.
        let things = mask_of((w as u32, h as u32), |i| layer[i] == THING);
        let least = guess.speck();
        let things = bg_mask::keep_components(&things, |piece| piece.area >= least);
        let near = bg_mask::squared_distance(&things);
        let far = (GO_ON_M * guess.per_metre).powi(2);
        for (i, byte) in layer.iter_mut().enumerate() {
            let is_speck = *byte == THING && things.as_raw()[i] == 0;
            let is_beyond = guess.pixels[i] == 0 && near[i] > far;
            if is_speck || is_beyond {
                *byte = NOTHING;
            }
        }
        go_on(&mut layer, w, &guess.empty);
        self.shape(guess, layer)
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

    /// Without specks, and grown over what is nobody's.
    fn shape(&self, guess: &Guess, layer: Vec<u8>) -> Option<Vec<u8>> {
        let height = layer.len() / self.width;
        let mask = bg_mask::mask_from_bytes(self.width as u32, height as u32, layer).ok()?;
        let least = guess.speck();
        let kept = self.without_guesses(guess, bg_mask::keep_components(&mask, |piece| piece.area >= least));
        if kept.iter().all(|b| *b == 0) {
            return None;
        }
        let size = kept.dimensions();
        let all_seen = mask_of(size, |i| matches!(guess.pixels[i], 1 | 4) && kept.as_raw()[i] == 0);
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
                _ if is_speck(i) => within(thing[i], GROW_M),
                0 => {
                    thing[i] < seen[i]
                        && (within(thing[i], GROW_M)
                            || guess.empty[i].is_none() && within(wide[i], WIDE_M[0] / 2.0 + WIDE_M[1]))
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
fn go_on(layer: &mut [u8], width: usize, empty: &[Option<[u8; 3]>]) {
    let mut open: Vec<(usize, [u8; 3])> =
        (0..layer.len()).filter(|i| layer[*i] == THING).filter_map(|i| Some((i, empty[i]?))).collect();
    while let Some((i, root)) = open.pop() {
        let x = i % width;
        let around = [
            (x > 0).then(|| i - 1),
            (x + 1 < width).then_some(i + 1),
            i.checked_sub(width),
            (i + width < layer.len()).then_some(i + width),
        ];
        for j in around.into_iter().flatten() {
            if layer[j] == NEVER_SEEN && empty[j].is_some_and(|there| unlike(there, root) <= LIKE_IT) {
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

/// Pixels of a body that look as they do while nobody is there, in pieces that cut through the body. What is no such piece as a whole
/// may be one and something else beside it: places that look different while nobody is there.
fn things(body: &Body, depth: &[f32], width: u32, likely: &[f32], scenery: &Scenery) -> Vec<bool> {
    let w = width as usize;
    let is_empty = |i: usize| body.covers(i) && depth[i] > EMPTY_M && scenery.shown[i] == Shown::Same;
    let pixels: Vec<bool> = (0..depth.len()).map(is_empty).collect();
    let whole = pieces_in_front(body, &pixels, w, likely, scenery);
    let rest: Vec<bool> =
        (0..pixels.len()).map(|i| pixels[i] && !whole[i] && !scenery.changes_beside(i, LIKE_IT)).collect();
    let parts = pieces_in_front(body, &rest, w, likely, scenery);
    whole.iter().zip(parts).map(|(a, b)| *a || b).collect()
}

/// Those of some pixels that lie in pieces that cut through the body.
fn pieces_in_front(body: &Body, pixels: &[bool], w: usize, likely: &[f32], scenery: &Scenery) -> Vec<bool> {
    let h = pixels.len() / w.max(1);
    let size = (w as u32, h as u32);
    let is_empty = |i: usize| pixels[i];
    let pieces = bg_mask::components(&mask_of(size, is_empty));
    let thick = bg_mask::squared_distance(&mask_of(size, |i| !is_empty(i)));
    // By piece: borders with the body beyond them, all borders, half the greatest width, and what networks say.
    let mut found = vec![(0_usize, 0_usize, 0.0_f32, 0.0_f32); pieces.list.len() + 1];
    for (i, label) in pieces.labels.iter().enumerate().filter(|(_, label)| **label > 0) {
        let (x, y) = ((i % w) as isize, (i / w) as isize);
        let (beside, borders, widest, said) = &mut found[*label as usize];
        *widest = widest.max(thick[i]);
        *said += likely[i];
        for (dx, dy) in [(1, 0), (-1, 0), (0, 1), (0, -1)] {
            let at = |k: isize| {
                let (u, v) = (x + k * dx, y + k * dy);
                (u >= 0 && v >= 0 && u < w as isize && v < h as isize).then(|| v as usize * w + u as usize)
            };
            if at(1).is_some_and(|j| pieces.labels[j] == *label) {
                continue;
            }
            *borders += 1;
            let is_theirs = |j: &usize| body.covers(*j) || likely[*j] >= MAYBE;
            let on_the_body = (1..=WITHIN_PX).map_while(at).take_while(is_theirs);
            *beside += usize::from(on_the_body.into_iter().any(|j| scenery.shown[j] == Shown::Other));
        }
    }
    let least = PIECE * body.area() as f32;
    let is_thing: Vec<bool> = std::iter::once(false)
        .chain(pieces.list.iter().zip(&found[1..]).map(|(piece, (beside, borders, widest, said))| {
            let area = piece.area as f32;
            area >= least
                && (area <= MOST * body.area() as f32 || *said <= SEEN_AS * area)
                && *beside as f32 >= BESIDE * *borders as f32
                && (area >= NARROW * 4.0 * widest || *said <= SEEN_AS * area)
        }))
        .collect();
    pieces.labels.iter().map(|label| is_thing[*label as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(hidden: bool) -> Guess {
        let pixels = (0..100).map(|i| if (40..60).contains(&i) { 1 + u8::from(hidden) } else { 1 }).collect();
        Guess {
            pixels,
            free: vec![true; 100],
            arm: vec![false; 100],
            edge: vec![false; 100],
            empty: vec![None; 100],
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
                let pixels = (0..600).map(|i| 1 + u8::from(post.contains(&(i % 60)))).collect();
                let guess = Guess {
                    pixels,
                    free: vec![true; 600],
                    arm: vec![false; 600],
                    edge: vec![false; 600],
                    empty: vec![None; 600],
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
        go_on(&mut layer, 10, &empty);
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
