//! The second look at a raw video: with everybody's motion known, each pixel is given to somebody or to nobody.

use super::assign::{Assigner, Somebody, smooth};
use super::bodies::Body;
use super::enlarge::{enlarged, matte};
use super::folders::{Folders, IN_FRONT, MATTES, OTHERS};
use super::held::held;
use super::occluders::{Guess, Likely, Says};
use super::people::Seen;
use super::prepare::{MAYBE, Prepared, reach};
use super::scenery::{Sample, Scenery, Shown, span};
use super::score::{Checks, Looked, change, speed};
use super::small::Sizes;
use super::steady::Steady;
use crate::{Error, Result};
use bg_mask::PlaneMap;
use image::GrayImage;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;

/// A share of a small pixel from which on it is the person's.
const MINE: f32 = 0.5;
/// Metres around a body in which scenery is looked up.
const MARGIN_M: f32 = 0.75;
/// A pixel that looks as it does while nobody is there is nobody's, unless it lies this near to a body's outline (the margin that
/// networks leave around people is steadier than what is decided pixel by pixel), or on a body or within so many metres of one
/// and both networks are this sure; one that looks otherwise is the nearest body's within so many metres, if a network thinks it
/// possible.
const NEAR_M: f32 = 0.1;
const SURE: u8 = 225;
const SURE_M: f32 = 0.2;
const POSSIBLE: [(f32, f32); 2] = [(0.06, 0.15), (0.2, 0.4)];
/// What such pixels become.
const RAISED: f32 = 0.8;
/// A body is wrongly fitted if further away from it than this, in metres, lies more than this part of the matte.
const MISFIT: (f32, f32) = (0.12, 0.12);

/// A person's matte of the frame before: which frame, which small pixels, and where the joints were.
type Before = (usize, Body, Vec<bool>);

/// What was found out of all frames.
pub(super) struct Findings {
    /// By person and frame.
    pub(super) checks: Vec<Vec<Option<Checks>>>,
    /// By person: in how many frames they hold something.
    pub(super) holding: Vec<usize>,
    /// Others and layers in front were seen at all.
    pub(super) shown: [bool; 2],
}

/// Looks at frame after frame.
pub(super) struct Looks<'a> {
    seen: &'a Seen,
    folders: &'a Folders,
    sizes: Sizes,
    window: VecDeque<Prepared>,
    /// Frames on each side of one that are laid over it.
    reach: usize,
    came: usize,
    decided: usize,
    assigner: Assigner,
    steady: Steady,
    /// Frames whose layer isn't decided yet: the matte, and who is in front.
    waiting: VecDeque<(GrayImage, GrayImage)>,
    layers: usize,
    /// Others and layers in front were seen at all.
    shown: [bool; 2],
    /// By person and frame.
    checks: Vec<Vec<Option<Checks>>>,
    before: Vec<Option<Before>>,
    /// By person: in how many frames they hold something, and the last in which something hung on a hand.
    holding: Vec<usize>,
    held_last: Vec<Option<usize>>,
    one_only: bool,
}

impl<'a> Looks<'a> {
    pub(super) fn new(seen: &'a Seen, folders: &'a Folders) -> Self {
        let sizes = Sizes::new(seen.size);
        let (people, frames) = (seen.people.len(), seen.cuts.len());
        Self {
            seen,
            folders,
            sizes,
            window: VecDeque::new(),
            reach: reach(seen.fps),
            came: 0,
            decided: 0,
            assigner: Assigner::default(),
            steady: Steady::new(seen.fps as f32, sizes.small[0] as usize),
            waiting: VecDeque::new(),
            shown: [false; 2],
            layers: 0,
            checks: vec![vec![None; frames]; people],
            before: vec![None; people],
            holding: vec![0; people],
            held_last: vec![None; people],
            one_only: seen.present().count() == 1,
        }
    }

    /// Takes the next frame into the window, and decides those that enough others lie around.
    pub(super) fn next_frame(
        &mut self,
        prepared: Prepared,
        to_disk: &SyncSender<(PathBuf, GrayImage)>,
    ) -> Result<()> {
        self.window.push_back(prepared);
        self.came += 1;
        while self.decided + self.reach < self.came {
            self.decide(to_disk)?;
        }
        Ok(())
    }

    /// What the next frame's places look like while nobody is there.
    fn scenery(&self, index: usize) -> Scenery {
        let [w, h] = self.sizes.small.map(|n| n as usize);
        let prepared = &self.window[index];
        let near = |i: usize| {
            prepared.people.iter().any(|p| {
                p.away[i] < MARGIN_M && p.body.is_some()
                    || p.own.as_raw()[i].max(p.anybody.as_raw()[i]) >= MAYBE
            })
        };
        let bounds = span(w * h, w, near);
        if bounds[0].is_empty() {
            return Scenery::unknown(prepared.sample.picture.clone());
        }
        let samples: Vec<&Sample> = self.window.iter().map(|prepared| &prepared.sample).collect();
        Scenery::new(&samples, index, bounds)
    }

    /// Decides the next frame of the window.
    fn decide(&mut self, to_disk: &SyncSender<(PathBuf, GrayImage)>) -> Result<()> {
        let n = self.decided;
        self.decided += 1;
        let first = self.came - self.window.len();
        (first..n.saturating_sub(self.reach)).for_each(|_| drop(self.window.pop_front()));
        let index = n - (self.came - self.window.len());
        let scenery = self.scenery(index);
        let prepared = &mut self.window[index];
        let mut people = std::mem::take(&mut prepared.people);
        let evidence = std::mem::take(&mut prepared.evidence);
        let seen = self.seen;
        let full = self.sizes.full;
        self.assigner.order(&prepared.sample.picture, &mut people);
        let mut shares = self.assigner.shares(&prepared.sample.picture, &people);
        let any = (0..scenery.shown.len())
            .map(|i| {
                let of = |p: &Somebody| f32::from(p.own.as_raw()[i].max(p.anybody.as_raw()[i])) / 255.0;
                people.iter().map(of).fold(0.0, f32::max)
            })
            .collect();
        let mut anybodys = Likely { any, raised: vec![false; scenery.shown.len()] };
        for pixel in people.iter().flat_map(|somebody| &somebody.hair) {
            anybodys.raise(*pixel, RAISED);
        }
        by_scenery(&scenery, &people, &mut anybodys, &mut shares);
        self.take_held(n, &people, &scenery, &mut anybodys, &mut shares);
        let nothing = || GrayImage::new(full[0], full[1]);
        let (mut mine, mut others, mut in_front) = (nothing(), nothing(), nothing());
        let replaced = |p: usize| seen.replaced.contains(&p);
        let depth = |p: &Somebody| p.body.as_ref().map_or(f32::INFINITY, Body::mean_depth);
        let far = people.iter().filter(|p| replaced(p.person)).map(depth).fold(0.0, f32::max);
        for (somebody, share) in people.iter().zip(&shares) {
            let raised = (&anybodys.raised[..], (255.0 * RAISED) as u8);
            let matte = matte(&evidence, raised, share, self.sizes);
            let to = if replaced(somebody.person) { &mut mine } else { &mut others };
            to.iter_mut().zip(matte.iter()).for_each(|(a, b)| *a = (*a).max(*b));
            if !replaced(somebody.person) && depth(somebody) < far {
                in_front.iter_mut().zip(matte.iter()).for_each(|(a, b)| *a = (*a).max(*b));
            }
        }
        let guess = self.inspect(n, &people, &shares, &anybodys, &scenery);
        // Where the background's move couldn't be found, the camera is taken to stand.
        let step = self.window[index].sample.step.unwrap_or(PlaneMap::SAME);
        self.steady.push(guess, (!seen.cuts[n]).then_some(step));
        if !self.one_only {
            self.shown[0] |= others.iter().any(|b| *b > 0);
            send(to_disk, self.folders.picture(OTHERS, n), others)?;
        }
        self.waiting.push_back((mine, in_front));
        while let Some(layer) = self.steady.next(false) {
            self.write_layer(layer, to_disk)?;
        }
        Ok(())
    }

    /// What people hold is a part of them.
    fn take_held(
        &mut self,
        n: usize,
        people: &[Somebody],
        scenery: &Scenery,
        likely: &mut Likely,
        shares: &mut [Vec<f32>],
    ) {
        for (k, somebody) in people.iter().enumerate().filter(|(_, somebody)| !somebody.is_expected) {
            let is_free = |i: usize| {
                let matte = likely.any[i] * shares.iter().map(|share| share[i]).sum::<f32>();
                matte < MINE && people.iter().enumerate().all(|(l, other)| l == k || other.away[i] > NEAR_M)
            };
            let confidence = &self.seen.people[somebody.person].confidence[n];
            let Some(pixels) = held(somebody, scenery, confidence, is_free) else { continue };
            // In one frame alone it may be anything.
            let before = self.held_last[somebody.person].replace(n);
            if before.is_none_or(|t| t + 1 != n) {
                continue;
            }
            for i in (0..pixels.len()).filter(|i| pixels[*i]) {
                likely.raise(i, RAISED);
                let others: f32 = shares.iter().enumerate().filter(|(l, _)| *l != k).map(|(_, s)| s[i]).sum();
                shares[k][i] = (1.0 - others).max(shares[k][i]);
            }
            self.holding[somebody.person] += 1;
        }
    }

    /// Judges the frame; gives a guess of what is in front.
    fn inspect(
        &mut self,
        n: usize,
        people: &[Somebody],
        shares: &[Vec<f32>],
        anybodys: &Likely,
        scenery: &Scenery,
    ) -> Guess {
        let seen = self.seen;
        let any = &anybodys.any;
        let mut guessed = Guess::default();
        let mattes: Vec<Vec<f32>> =
            shares.iter().map(|share| any.iter().zip(share).map(|(a, s)| a * s).collect()).collect();
        let mut judged = Vec::new();
        for (k, somebody) in people.iter().enumerate() {
            let person = &seen.people[somebody.person];
            let taken: Vec<bool> = (0..any.len())
                .map(|i| mattes.iter().enumerate().any(|(l, m)| l != k && m[i] > MINE))
                .collect();
            let confidence = &person.confidence[n];
            let guess = Guess::new(somebody, anybodys, &taken, confidence, scenery);
            // Whoever is carried across is where they were guessed to be.
            let is_guessed = person.frames[n].is_none() || is_misfit(somebody, &mattes[k]);
            let guess = if is_guessed { guess.without_body() } else { guess };
            let thing: Vec<bool> = guess
                .pixels
                .iter()
                .zip(&guess.either)
                .map(|(says, either)| *says == Says::Hidden || *either)
                .chain(std::iter::repeat(false))
                .take(any.len())
                .collect();
            if seen.replaced.contains(&somebody.person) {
                guessed.join(guess);
            }
            judged.push((taken, thing));
        }
        for (k, (somebody, (taken, thing))) in people.iter().zip(&judged).enumerate() {
            if somebody.is_expected {
                continue;
            }
            let person = &seen.people[somebody.person];
            let confidence = &person.confidence[n];
            let before = self.before[somebody.person].take().filter(|(t, ..)| t + 1 == n && !seen.cuts[n]);
            let mut checks = Checks::new(&Looked {
                somebody,
                others: people,
                matte: &mattes[k],
                share: &shares[k],
                taken,
                thing,
                scenery,
                confidence,
                carried: person.frames[n].is_none(),
                familiar: person.familiar[n].unwrap_or(1.0),
                detected: person.frames[n].as_ref().map_or(0.0, |o| o.score),
                residual_px: person.residual_px[n],
                reduced: self.sizes.reduced as f32,
            });
            if let (Some((_, before, matte)), Some(body)) = (&before, &somebody.body) {
                checks.speed = speed(before, body, confidence, seen.fps as f32);
                checks.change = change((before, matte), (body, &mattes[k]), self.sizes.small[0] as usize);
            }
            self.before[somebody.person] = somebody
                .body
                .clone()
                .filter(|_| person.frames[n].is_some())
                .map(|body| (n, body, mattes[k].iter().map(|m| *m >= MINE).collect()));
            self.checks[somebody.person][n] = Some(checks);
        }
        guessed
    }

    fn write_layer(
        &mut self,
        layer: Option<Vec<u8>>,
        to_disk: &SyncSender<(PathBuf, GrayImage)>,
    ) -> Result<()> {
        let n = self.layers;
        self.layers += 1;
        let (mut mine, mut out) =
            self.waiting.pop_front().ok_or(Error::Internal("a layer without its frame"))?;
        if let Some(layer) = layer {
            let things = enlarged(&layer, self.sizes);
            out.iter_mut().zip(things.iter()).for_each(|(a, b)| *a = (*a).max(*b));
            mine.iter_mut().zip(things.iter()).for_each(|(m, b)| *m = (*m).min(255 - *b));
        }
        self.shown[1] |= out.iter().any(|b| *b > 0);
        send(to_disk, self.folders.picture(MATTES, n), mine)?;
        send(to_disk, self.folders.picture(IN_FRONT, n), out)
    }

    /// Decides the last frames.
    pub(super) fn finish(&mut self, to_disk: &SyncSender<(PathBuf, GrayImage)>) -> Result<()> {
        while self.decided < self.came {
            self.decide(to_disk)?;
        }
        while let Some(layer) = self.steady.next(true) {
            self.write_layer(layer, to_disk)?;
        }
        Ok(())
    }

    /// What was found out of all frames.
    pub(super) fn into_findings(self) -> Findings {
        let Self { checks, holding, shown, .. } = self;
        Findings { checks, holding, shown }
    }
}

/// A body that lies beside its matte hides behind nothing: it is fitted wrongly.
fn is_misfit(somebody: &Somebody, matte: &[f32]) -> bool {
    let (mut area, mut beside) = (0, 0);
    for (_, away) in matte.iter().zip(&somebody.away).filter(|(m, _)| **m > MINE) {
        area += 1;
        beside += usize::from(*away > MISFIT.0);
    }
    beside as f32 > MISFIT.1 * area as f32
}

/// Corrects what the networks say by what places look like while nobody is there.
fn by_scenery(scenery: &Scenery, people: &[Somebody], likely: &mut Likely, shares: &mut [Vec<f32>]) {
    let width = people.first().map_or(1, |p| p.own.width() as usize);
    let mut kept = vec![1.0; likely.any.len()];
    for (i, shown) in scenery.shown.iter().enumerate() {
        match shown {
            // Networks take shadows for people's now and then, and what is behind them is better made anew.
            Shown::Unknown | Shown::Shadow => {}
            Shown::Same => {
                let sure = people.iter().any(|p| {
                    p.away[i] > 0.0 && p.away[i] <= NEAR_M
                        || p.away[i] <= SURE_M && p.own.as_raw()[i].min(p.anybody.as_raw()[i]) >= SURE
                });
                if !sure {
                    kept[i] = 0.0;
                }
            }
            Shown::Other => {
                let nearest = people
                    .iter()
                    .enumerate()
                    .filter(|(_, p)| p.body.is_some())
                    .min_by(|a, b| a.1.away[i].total_cmp(&b.1.away[i]));
                let any = likely.any[i];
                let possible =
                    |away: f32| POSSIBLE.iter().any(|(metres, least)| away <= *metres && any >= *least);
                let Some((k, _)) = nearest.filter(|(_, p)| possible(p.away[i])) else { continue };
                if any < RAISED || people.len() == 1 && shares[k][i] < 1.0 {
                    likely.raise(i, RAISED);
                    // Whose it is was weighed already; where nobody's word counted, it is the nearest one's.
                    let sum: f32 = shares.iter().map(|share| share[i]).sum();
                    if sum < 0.5 {
                        shares[k][i] += 1.0 - sum;
                    }
                }
            }
        }
    }
    // Softly: what is decided pixel by pixel flickers.
    smooth(&mut kept, width);
    for share in shares {
        for ((share, kept), raised) in share.iter_mut().zip(&kept).zip(&likely.raised) {
            *share *= if *raised { 1.0 } else { *kept };
        }
    }
}

fn send(to_disk: &SyncSender<(PathBuf, GrayImage)>, path: PathBuf, picture: GrayImage) -> Result<()> {
    // Where the writer stopped, it says why itself.
    to_disk.send((path, picture)).map_err(|_| Error::Internal("the writer of masks stopped"))
}
