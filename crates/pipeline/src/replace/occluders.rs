//! What one frame says of what stands in front of a person: pixels where the fitted body is and the matte isn't, or that look as they
//! do while nobody is there.

use super::assign::{Somebody, mask_of};
use super::bodies::Body;
use super::scenery::{LIKE_IT, Scenery, Shown, span};
use std::ops::{Range, RangeInclusive};

/// Less likely pixels aren't the person's, and less likely ones may be what a thing's layer is grown over.
const NOT: f32 = 0.3;
const MAYBE: f32 = 0.5;
/// Metres into the body from which on a fit isn't just a little off.
const INTO_M: f32 = 0.06;
/// Parts of the body that are less sure than this are where they are because something hides them.
const UNSURE: f32 = 0.35;
/// Where they aren't and networks are less sure than this, nobody knows whether they are seen.
const SURELY: f32 = 0.6;
/// Metres into the body from which on a place that looks as if nobody were there is hidden.
const EMPTY_M: f32 = 0.02;
/// A thing that hides this part of the body at least (and at most, if networks still see the person), beside which the body goes on: that part of the thing's border at least.
/// What somebody wears may look like what is behind them, but it ends with the body.
pub(super) const PIECE: f32 = 0.05;
const MOST: f32 = 0.4;
const BESIDE: f32 = 0.2;
/// It goes on beyond the body, which this part of its border shows at least: what lies within the body altogether is worn, and looks like
/// what is behind.
const OUT: f32 = 0.05;
const OUT_PX: isize = 3;
/// Pixels beyond the border in which the body must show up again.
const WITHIN_PX: isize = 4;
/// Networks paint over what is narrow: its area is so many times its width squared. What isn't narrow they don't take for the
/// person by more than this.
const NARROW: f32 = 3.5;
const SEEN_AS: f32 = 0.6;
/// Where networks see the person in it nevertheless, this part of its border at least is where the body shows up again or ends: clothes of the
/// background's colour go over into others of which nobody knows what they look like.
const BORDERED: f32 = 0.7;
/// Joints of the arms: where arms aren't seen they are guesses.
const ARMS: RangeInclusive<u8> = 16..=21;
/// Ankles and feet with their knees: where the knee is seen and they aren't, they are guesses, too (who sits on the ground, or in a long
/// dress).
const FEET: [(u8, usize); 4] = [(7, 4), (8, 5), (10, 4), (11, 5)];
/// Smaller pieces than this part of the body are the matte's holes.
const SPECK: f32 = 0.015;

/// How likely each pixel of a frame is anybody's.
#[derive(Debug)]
pub(super) struct Likely {
    /// `[h, w]` as the surer network says, or the scenery.
    pub(super) any: Vec<f32>,
    /// `[h, w]` it is only the scenery that thinks so.
    pub(super) raised: Vec<bool>,
}

impl Likely {
    /// The scenery thinks that a pixel is somebody's, with so much probability at least.
    pub(super) fn raise(&mut self, pixel: usize, least: f32) {
        self.raised[pixel] = true;
        self.any[pixel] = self.any[pixel].max(least);
    }
}

/// What one frame says of a pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Says {
    /// The body isn't there.
    #[default]
    Away,
    /// The body is seen.
    Seen,
    /// Something seems to hide it.
    Hidden,
    /// Nobody knows: the body's very edge, a guessed part of it, a place between looking as ever and otherwise.
    Unsure,
    /// It looks as if nobody were there, and networks see the person.
    Empty,
}

impl Says {
    pub(super) const ALL: [Self; 5] = [Self::Away, Self::Seen, Self::Hidden, Self::Unsure, Self::Empty];
    /// How many values there are.
    pub(super) const COUNT: usize = Self::ALL.len();
}

/// One frame's guess.
#[derive(Clone, Debug, Default)]
pub(super) struct Guess {
    /// `[h, w]`
    pub(super) pixels: Vec<Says>,
    /// `[h, w]` pixels that are nobody's.
    pub(super) free: Vec<bool>,
    /// `[h, w]` a thing or clothes that look like what is behind: nothing is judged by it.
    pub(super) either: Vec<bool>,
    /// `[h, w]` where an arm would be that isn't seen.
    pub(super) arm: Vec<bool>,
    /// `[h, w]` pixels between what is known to be empty and what isn't.
    pub(super) edge: Vec<bool>,
    /// `[h, w]` what the place looks like while nobody is there, or what the picture shows where that isn't known.
    pub(super) looks: Vec<[u8; 3]>,
    /// `[h, w]` it is known.
    pub(super) known: Vec<bool>,
    /// Columns and rows that the body fills.
    pub(super) span: [Range<usize>; 2],
    pub(super) per_metre: f32,
    pub(super) area: usize,
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
        let [things, either] = things(body, &depth, somebody.own.width(), likely, scenery);
        let is_unsure = |joint: usize| confidence.get(joint).is_some_and(|c| *c < UNSURE);
        let is_guess = |joint: u8| {
            ARMS.contains(&joint) || FEET.iter().any(|(foot, knee)| *foot == joint && !is_unsure(*knee))
        };
        let pixels = (0..likely.len())
            .map(|i| {
                if !body.covers(i) || nearer[i] {
                    return Says::Away;
                }
                if things[i] {
                    return Says::Hidden;
                }
                let looks_empty = scenery.shown[i] == Shown::Same;
                let unsure = is_unsure(usize::from(body.joint[i]));
                // Each network likes to paint over what is narrow: within the body one that says no is enough.
                let less = f32::from(somebody.own.as_raw()[i].min(somebody.anybody.as_raw()[i])) / 255.0;
                let hidden = match unsure {
                    true => likely[i] < NOT && !is_guess(body.joint[i]),
                    false => less < NOT && depth[i] > INTO_M && !raised[i],
                };
                // Where the fit may be a little off, where joints are guesses, and where the place looks neither as ever nor otherwise.
                let nobody_knows = depth[i] <= EMPTY_M
                    || unsure && likely[i] < SURELY
                    || less < NOT && !raised[i]
                    || scenery.shown[i] == Shown::Unknown && scenery.is_known(i);
                match (hidden, nobody_knows, looks_empty) {
                    (true, ..) => Says::Hidden,
                    (_, true, _) => Says::Unsure,
                    (_, _, true) => Says::Empty,
                    _ => Says::Seen,
                }
            })
            .collect();
        let free =
            likely.iter().zip(&scenery.shown).map(|(l, shown)| *l < MAYBE || *shown == Shown::Same).collect();
        let arm = (0..likely.len()).map(|i| body.covers(i) && !things[i] && ARMS.contains(&body.joint[i]));
        let edge =
            (0..likely.len()).map(|i| scenery.shown[i] == Shown::Unknown && scenery.is_known(i)).collect();
        Self {
            pixels,
            free,
            either,
            arm: arm.collect(),
            edge,
            looks: scenery.looks(),
            known: (0..likely.len()).map(|i| scenery.is_known(i)).collect(),
            span: span(likely.len(), somebody.own.width() as usize, |i| body.covers(i)),
            per_metre: body.per_metre,
            area: body.area(),
        }
    }

    /// Without a word on what hides the body, which isn't where it is fitted: other frames say it.
    pub(super) fn without_body(mut self) -> Self {
        self.pixels.fill(Says::Away);
        self.arm.fill(false);
        self.either.fill(false);
        self.free.fill(true);
        self
    }

    /// What a place looks like while nobody is there, where that is known.
    pub(super) fn empty(&self, pixel: usize) -> Option<[u8; 3]> {
        self.known[pixel].then(|| self.looks[pixel])
    }

    /// The area below which a piece is a hole in the matte.
    pub(super) fn speck(&self) -> usize {
        ((SPECK * self.area as f32) as usize).max(4)
    }

    /// With what is in front of somebody else.
    pub(super) fn join(&mut self, other: Self) {
        if self.pixels.is_empty() {
            *self = other;
            return;
        }
        let hides = |says: Says| match says {
            Says::Away => 0,
            Says::Unsure => 1,
            Says::Empty => 2,
            Says::Seen => 3,
            Says::Hidden => 4,
        };
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

/// Pixels of a body that look as they do while nobody is there, in pieces that cut through the body, and in pieces that may do so or be
/// worn. What is no such piece as a whole may be one and something else beside it: places that look different while nobody is there.
fn things(body: &Body, depth: &[f32], width: u32, likely: &[f32], scenery: &Scenery) -> [Vec<bool>; 2] {
    let w = width as usize;
    let is_empty = |i: usize| body.covers(i) && depth[i] > EMPTY_M && scenery.shown[i] == Shown::Same;
    let pixels: Vec<bool> = (0..depth.len()).map(is_empty).collect();
    let whole = pieces_in_front(body, &pixels, w, likely, scenery);
    let rest: Vec<bool> = (0..pixels.len())
        .map(|i| pixels[i] && whole[i] != Some(true) && !scenery.changes_beside(i, LIKE_IT))
        .collect();
    let parts = pieces_in_front(body, &rest, w, likely, scenery);
    let all = || whole.iter().zip(&parts).map(|(a, b)| (*a).max(*b));
    [all().map(|piece| piece == Some(true)).collect(), all().map(|piece| piece == Some(false)).collect()]
}

/// What is known of a piece of pixels within the body.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    /// Sides of pixels along its border, those with the body beyond them, and those where the body ends.
    borders: usize,
    beside: usize,
    out: usize,
    /// Half the greatest width, squared, and the sum of what networks say.
    widest: f32,
    said: f32,
}

/// Of some pixels: whether they lie in pieces that cut through the body (`true`), in pieces that do so or are worn (`false`), or in neither.
fn pieces_in_front(
    body: &Body,
    pixels: &[bool],
    w: usize,
    likely: &[f32],
    scenery: &Scenery,
) -> Vec<Option<bool>> {
    let h = pixels.len() / w.max(1);
    let size = (w as u32, h as u32);
    let is_empty = |i: usize| pixels[i];
    let pieces = bg_mask::components(&mask_of(size, is_empty));
    let thick = bg_mask::squared_distance(&mask_of(size, |i| !is_empty(i)));
    let mut found = vec![Piece::default(); pieces.list.len() + 1];
    for (i, label) in pieces.labels.iter().enumerate().filter(|(_, label)| **label > 0) {
        let (x, y) = ((i % w) as isize, (i / w) as isize);
        let piece = &mut found[*label as usize];
        piece.widest = piece.widest.max(thick[i]);
        piece.said += likely[i];
        for (dx, dy) in [(1, 0), (-1, 0), (0, 1), (0, -1)] {
            let at = |k: isize| {
                let (u, v) = (x + k * dx, y + k * dy);
                (u >= 0 && v >= 0 && u < w as isize && v < h as isize).then(|| v as usize * w + u as usize)
            };
            if at(1).is_some_and(|j| pieces.labels[j] == *label) {
                continue;
            }
            piece.borders += 1;
            piece.out += usize::from(!(1..=OUT_PX).all(|k| at(k).is_some_and(|j| body.covers(j))));
            let is_theirs = |j: &usize| body.covers(*j) || likely[*j] >= MAYBE;
            let on_the_body = (1..=WITHIN_PX).map_while(at).take_while(is_theirs);
            piece.beside += usize::from(on_the_body.into_iter().any(|j| scenery.shown[j] == Shown::Other));
        }
    }
    let least = PIECE * body.area() as f32;
    let is_thing = |(component, piece): (&bg_mask::Component, &Piece)| {
        let (area, borders) = (component.area as f32, piece.borders as f32);
        let is_doubted = piece.said <= SEEN_AS * area;
        let cuts = area >= least
            && (area <= MOST * body.area() as f32 || is_doubted)
            && piece.beside as f32 >= BESIDE * borders
            && piece.out as f32 >= OUT * borders
            && (area >= NARROW * 4.0 * piece.widest || is_doubted);
        cuts.then(|| is_doubted || (piece.beside + piece.out) as f32 >= BORDERED * borders)
    };
    let found: Vec<Option<bool>> =
        std::iter::once(None).chain(pieces.list.iter().zip(&found[1..]).map(is_thing)).collect();
    pieces.labels.iter().map(|label| found[*label as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::bodies::JOINTS;
    use super::*;
    use image::RgbImage;

    const W: usize = 80;

    /// Is a piece of a body that looks like what is behind a thing in front of it, though networks see the person there?
    fn is_thing(piece: impl Fn(usize, usize) -> bool, shown: impl Fn(usize, usize) -> Shown) -> Option<bool> {
        let n = W * W;
        let at = |i: usize| (i % W, i / W);
        let on_body = |(x, y): (usize, usize)| (20..60).contains(&x) && (10..70).contains(&y);
        let body = Body {
            depth: (0..n).map(|i| if on_body(at(i)) { 3.0 } else { 0.0 }).collect(),
            joint: vec![0; n],
            per_metre: 40.0,
            joints: [[0.0; 2]; JOINTS],
            places: [[0.0; 3]; JOINTS],
        };
        let likely: Vec<f32> = (0..n).map(|i| f32::from(u8::from(on_body(at(i))))).collect();
        let mut scenery = Scenery::unknown(RgbImage::new(W as u32, W as u32));
        scenery.shown = (0..n).map(|i| shown(at(i).0, at(i).1)).collect();
        let pixels: Vec<bool> = (0..n).map(|i| on_body(at(i)) && piece(at(i).0, at(i).1)).collect();
        pieces_in_front(&body, &pixels, W, &likely, &scenery).into_iter().flatten().max()
    }

    #[test]
    fn a_pole_cuts_through_the_body_and_a_white_shirt_does_not() {
        let pole = |x: usize, _| (36..40).contains(&x);
        let beside_pole = |x, y| if pole(x, y) { Shown::Same } else { Shown::Other };
        assert_eq!(is_thing(pole, beside_pole), Some(true));
        // The back of a shirt as white as the wall: at the body's edge, and how the rest of it looks nobody knows.
        let back = |x: usize, y: usize| (52..60).contains(&x) && (20..55).contains(&y);
        let around = |x, y| match (back(x, y), y) {
            (true, _) => Shown::Same,
            (_, 20..40) => Shown::Other,
            _ => Shown::Unknown,
        };
        assert_eq!(is_thing(back, around), Some(false));
    }
}
