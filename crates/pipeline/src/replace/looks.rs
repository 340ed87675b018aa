//! The second look at a raw video: with everybody's motion known, each pixel is given to somebody or to nobody.

use super::assign::{Assigner, Somebody, smooth, times_share};
use super::bodies::{Bodies, Body};
use super::held::held;
use super::occluders::{Guess, Likely, Says};
use super::people::{Person, Seen};
use super::scenery::{Sample, Scenery, Shown, span};
use super::score::{Checks, Looked, change, speed};
use super::steady::Steady;
use crate::{Error, Result};
use bg_mask::{PlaneFinder, PlaneMap};
use image::{GrayImage, RgbImage, imageops};
use mocap::{Evidence, Region, Segmentation, Sighting};
use smplx::Motion;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

/// Longer side of the small pictures in which pixels are given to people.
const SMALL: u32 = 400;
/// A share of a small pixel from which on it is the person's.
const MINE: f32 = 0.5;

/// Sides of small pictures in which the background's motion can be found.
const LEAST_SIDE: u32 = 48;

/// Where pictures go: evidence until the stage is done, and what it makes.
pub(super) struct Folders {
    part: PathBuf,
}

/// Names of the folders: of the replaced people's mattes, of everybody else's, and of what is in front.
pub(super) const MATTES: &str = "mattes";
pub(super) const OTHERS: &str = "others";
pub(super) const IN_FRONT: &str = "in-front";
const EVIDENCE: &str = "evidence";

impl Folders {
    pub(super) fn make(part: &Path) -> Result<Self> {
        for name in [MATTES, OTHERS, IN_FRONT, EVIDENCE] {
            let folder = part.join(name);
            let fail = |source| Error::Io { path: folder.clone(), source };
            if folder.exists() {
                // Left by a run that was stopped: of another length, perhaps.
                std::fs::remove_dir_all(&folder).map_err(fail)?;
            }
            std::fs::create_dir_all(&folder).map_err(fail)?;
        }
        Ok(Self { part: part.to_owned() })
    }

    /// Without the evidence, and without layers that show nothing: others' and in front.
    pub(super) fn finish(&self, shown: [bool; 2]) -> Result<()> {
        let empty =
            [OTHERS, IN_FRONT].into_iter().zip(shown).filter(|(_, shown)| !shown).map(|(name, _)| name);
        for name in std::iter::once(EVIDENCE).chain(empty) {
            let folder = self.part.join(name);
            std::fs::remove_dir_all(&folder).map_err(|source| Error::Io { path: folder, source })?;
        }
        Ok(())
    }

    pub(super) fn evidence(&self, frame: usize, track: usize) -> PathBuf {
        self.part.join(EVIDENCE).join(format!("{frame:06}-{track}.png"))
    }

    pub(super) fn picture(&self, of: &str, frame: usize) -> PathBuf {
        self.part.join(of).join(format!("{frame:06}.png"))
    }

    /// Takes a sighting's probabilities as one picture: the person's own above anybody's.
    pub(super) fn take_evidence(&self, sighting: &mut Sighting) -> GrayImage {
        let Evidence { own, anybody } = &mut sighting.evidence;
        let mut both = std::mem::take(&mut own.likely);
        both.append(&mut anybody.likely);
        let side = Segmentation::SIDE as u32;
        GrayImage::from_raw(side, 2 * side, both).unwrap_or_default()
    }

    /// The evidence as it was.
    pub(super) fn read_evidence(&self, frame: usize, track: usize, places: &Evidence) -> Result<Evidence> {
        let both = open(&self.evidence(frame, track))?.into_raw();
        let (own, anybody) = both.split_at(both.len() / 2);
        let of = |place: &Segmentation, likely: &[u8]| Segmentation {
            region: place.region,
            likely: likely.to_vec(),
        };
        Ok(Evidence { own: of(&places.own, own), anybody: of(&places.anybody, anybody) })
    }
}

pub(super) fn open(path: &Path) -> Result<GrayImage> {
    let read = image::open(path);
    read.map(|picture| picture.to_luma8())
        .map_err(|e| Error::Damaged { path: path.to_owned(), why: e.to_string() })
}

/// Seconds to either side that are laid over a frame, and frames at least and at most.
const AROUND_S: f32 = 1.5;
const AROUND: [f32; 2] = [8.0, 36.0];
/// Somebody may be where a network or a body says so, to within so many small pixels.
const MAYBE: u8 = 50;
const NEAR_PX: f32 = 3.0;
/// Half the width and the height of a person, as parts of their region.
const PERSON: [f32; 2] = [0.3, 0.55];
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

/// A frame in the window.
#[derive(Debug)]
struct Prepared {
    sample: Sample,
    people: Vec<Somebody>,
    evidence: Vec<Evidence>,
}

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
    bodies: Bodies<'a>,
    folders: &'a Folders,
    size: [u32; 2],
    small: [u32; 2],
    reduced: u32,
    fps: f32,
    finder: PlaneFinder,
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
    fn reduced(size: [u32; 2]) -> u32 {
        size[0].max(size[1]).div_ceil(SMALL).max(1)
    }

    pub(super) fn small_size(size: [u32; 2]) -> [u32; 2] {
        size.map(|n| n.div_ceil(Self::reduced(size)))
    }

    pub(super) fn new(seen: &Seen, bodies: Bodies<'a>, folders: &'a Folders) -> Self {
        let small = Self::small_size(seen.size);
        let (people, frames) = (seen.people.len(), seen.cuts.len());
        Self {
            bodies,
            folders,
            size: seen.size,
            small,
            reduced: Self::reduced(seen.size),
            fps: seen.fps as f32,
            finder: PlaneFinder::default(),
            window: VecDeque::new(),
            reach: (AROUND_S * seen.fps as f32).clamp(AROUND[0], AROUND[1]) as usize,
            came: 0,
            decided: 0,
            assigner: Assigner::default(),
            steady: Steady::new(seen.fps as f32, small[0] as usize),
            waiting: VecDeque::new(),
            shown: [false; 2],
            layers: 0,
            checks: vec![vec![None; frames]; people],
            before: vec![None; people],
            holding: vec![0; people],
            held_last: vec![None; people],
            one_only: people == 1,
        }
    }

    /// Takes the next frame into the window, and decides those that enough others lie around.
    pub(super) fn next_frame(
        &mut self,
        n: usize,
        frame: &RgbImage,
        seen: &Seen,
        motions: &[Motion],
        to_disk: &SyncSender<(PathBuf, GrayImage)>,
    ) -> Result<()> {
        let prepared = self.prepare(n, frame, seen, motions)?;
        self.window.push_back(prepared);
        self.came += 1;
        while self.decided + self.reach < self.came {
            self.decide(seen, to_disk)?;
        }
        Ok(())
    }

    /// Everybody who is seen in a frame, and where nobody is.
    fn prepare(&mut self, n: usize, frame: &RgbImage, seen: &Seen, motions: &[Motion]) -> Result<Prepared> {
        let size = (self.size[0], self.size[1]);
        let (mut people, mut all_evidence) = (Vec::new(), Vec::new());
        let mut somewhere = GrayImage::new(self.small[0], self.small[1]);
        for (p, person) in seen.people.iter().enumerate() {
            let evidence = match &person.evidence[n] {
                Some(places) => self.folders.read_evidence(n, person.evidence_of[n], places)?,
                // Whoever is hidden for a moment is carried across: what shows of them is found by their body.
                None if person.is_bridged(n) => nothing_said(),
                None => {
                    self.block(person, n, &seen.cuts, &mut somewhere);
                    continue;
                }
            };
            let body = self.bodies.draw(&motions[p].frames[n])?;
            if body.is_none() && person.evidence[n].is_none() {
                continue;
            }
            let own = evidence.own.spread(size, self.reduced);
            let anybody = evidence.anybody.spread(size, self.reduced);
            let somebody = Somebody::new(p, own, anybody, body);
            for (i, byte) in somewhere.iter_mut().enumerate() {
                let covered = somebody.body.as_ref().is_some_and(|body| body.covers(i));
                if covered || somebody.own.as_raw()[i].max(somebody.anybody.as_raw()[i]) >= MAYBE {
                    *byte = 255;
                }
            }
            people.push(somebody);
            all_evidence.push(evidence);
        }
        let picture = imageops::thumbnail(frame, self.small[0], self.small[1]);
        let hole = bg_mask::dilate(&somewhere, NEAR_PX)?;
        let clear = hole.iter().map(|b| *b < bg_mask::THRESHOLD).collect();
        let step = if self.small.iter().all(|n| *n >= LEAST_SIDE) {
            self.finder.next_frame(&picture, &hole)?
        } else {
            None
        };
        let step = step.filter(|_| !seen.cuts[n]);
        Ok(Prepared { sample: Sample { picture, clear, step }, people, evidence: all_evidence })
    }

    /// Where somebody will be seen soon or was seen lately, they may be without being found: no place there is known to be empty.
    fn block(&self, person: &Person, n: usize, cuts: &[bool], somewhere: &mut GrayImage) {
        let before = (n.saturating_sub(self.reach)..n).rev().take_while(|t| !cuts[t + 1]);
        let after = (n + 1..(n + 1 + self.reach).min(cuts.len())).take_while(|t| !cuts[*t]);
        let region = |t: usize| Some(person.frames[t].as_ref()?.region);
        let (mut before, mut after) = (before.filter_map(region), after.filter_map(region));
        for region in [before.next(), after.next()].into_iter().flatten() {
            let scale = 1.0 / self.reduced as f32;
            let [x, y] = region.centre.map(|v| v * scale);
            let [across, down] = PERSON.map(|part| part * region.size * scale);
            for (u, v, byte) in somewhere.enumerate_pixels_mut() {
                if (u as f32 - x).abs() <= across && (v as f32 - y).abs() <= down {
                    byte.0 = [255];
                }
            }
        }
    }

    /// What the next frame's places look like while nobody is there.
    fn scenery(&self, index: usize) -> Scenery {
        let [w, h] = self.small.map(|n| n as usize);
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
    fn decide(&mut self, seen: &Seen, to_disk: &SyncSender<(PathBuf, GrayImage)>) -> Result<()> {
        let n = self.decided;
        self.decided += 1;
        let first = self.came - self.window.len();
        (first..n.saturating_sub(self.reach)).for_each(|_| drop(self.window.pop_front()));
        let index = n - (self.came - self.window.len());
        let scenery = self.scenery(index);
        let prepared = &mut self.window[index];
        let people = std::mem::take(&mut prepared.people);
        let evidence = std::mem::take(&mut prepared.evidence);
        let size = (self.size[0], self.size[1]);
        let mut likely: Vec<GrayImage> = evidence.iter().map(|evidence| evidence.matte(size)).collect();
        let mut shares = self.assigner.shares(&prepared.sample.picture, &people);
        // With several, a pixel is as likely somebody's as the surest network says.
        if let [first, rest @ ..] = &mut likely[..] {
            for other in rest.iter() {
                first.iter_mut().zip(other.iter()).for_each(|(a, b)| *a = (*a).max(*b));
            }
            rest.iter_mut().for_each(|other| other.clone_from(first));
        }
        let any = (0..scenery.shown.len())
            .map(|i| {
                let of = |p: &Somebody| f32::from(p.own.as_raw()[i].max(p.anybody.as_raw()[i])) / 255.0;
                people.iter().map(of).fold(0.0, f32::max)
            })
            .collect();
        let mut anybodys = Likely { any, raised: vec![false; scenery.shown.len()] };
        by_scenery(&scenery, &people, &mut anybodys, &mut shares);
        self.take_held(n, &people, &scenery, seen, &mut anybodys, &mut shares);
        let (w, h) = size;
        let (mut mine, mut others) = (GrayImage::new(w, h), GrayImage::new(w, h));
        let mut in_front = GrayImage::new(w, h);
        let replaced = |p: usize| seen.replaced.contains(&p);
        let depth = |p: &Somebody| p.body.as_ref().map_or(f32::INFINITY, Body::mean_depth);
        let far = people.iter().filter(|p| replaced(p.person)).map(depth).fold(0.0, f32::max);
        for ((somebody, share), mut matte) in people.iter().zip(&shares).zip(likely) {
            self.raise(&mut matte, &anybodys.raised);
            times_share(&mut matte, share, self.small, self.reduced)?;
            let to = if replaced(somebody.person) { &mut mine } else { &mut others };
            to.iter_mut().zip(matte.iter()).for_each(|(a, b)| *a = (*a).max(*b));
            if !replaced(somebody.person) && depth(somebody) < far {
                in_front.iter_mut().zip(matte.iter()).for_each(|(a, b)| *a = (*a).max(*b));
            }
        }
        let guess = self.inspect(n, &people, &shares, &anybodys, &scenery, seen);
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
        seen: &Seen,
        likely: &mut Likely,
        shares: &mut [Vec<f32>],
    ) {
        for (k, somebody) in people.iter().enumerate() {
            let is_free = |i: usize| {
                let matte = likely.any[i] * shares.iter().map(|share| share[i]).sum::<f32>();
                matte < MINE && people.iter().enumerate().all(|(l, other)| l == k || other.away[i] > NEAR_M)
            };
            let confidence = &seen.people[somebody.person].confidence[n];
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

    /// Makes pixels of a matte likelier where the small picture says so.
    fn raise(&self, matte: &mut GrayImage, raised: &[bool]) {
        let (w, small) = (matte.width() as usize, self.small[0] as usize);
        let reduced = self.reduced as usize;
        for (y, row) in matte.as_mut().chunks_exact_mut(w).enumerate() {
            let raised = &raised[y / reduced * small..][..small];
            for (x, byte) in row.iter_mut().enumerate() {
                if raised[x / reduced] {
                    *byte = (*byte).max((255.0 * RAISED) as u8);
                }
            }
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
        seen: &Seen,
    ) -> Guess {
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
                .map(|says| *says == Says::Hidden)
                .chain(std::iter::repeat(false))
                .take(any.len())
                .collect();
            if seen.replaced.contains(&somebody.person) {
                guessed.join(guess);
            }
            judged.push((taken, thing));
        }
        for (k, (somebody, (taken, thing))) in people.iter().zip(&judged).enumerate() {
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
                reduced: self.reduced as f32,
            });
            if let (Some((_, before, matte)), Some(body)) = (&before, &somebody.body) {
                checks.speed = speed(before, body, confidence, self.fps);
                checks.change = change((before, matte), (body, &mattes[k]), self.small[0] as usize);
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
        let (w, h) = (self.size[0], self.size[1]);
        let (mut mine, mut out) =
            self.waiting.pop_front().ok_or(Error::Internal("a layer without its frame"))?;
        if let Some(layer) = layer {
            let ones: Vec<f32> = layer.iter().map(|b| f32::from(*b) / 255.0).collect();
            let mut things = GrayImage::from_pixel(w, h, image::Luma([255]));
            times_share(&mut things, &ones, self.small, self.reduced)?;
            out.iter_mut().zip(things.iter()).for_each(|(a, b)| *a = (*a).max(*b));
            mine.iter_mut().zip(things.iter()).for_each(|(m, b)| *m = (*m).min(255 - *b));
        }
        self.shown[1] |= out.iter().any(|b| *b > 0);
        send(to_disk, self.folders.picture(MATTES, n), mine)?;
        send(to_disk, self.folders.picture(IN_FRONT, n), out)
    }

    /// Decides the last frames.
    pub(super) fn finish(&mut self, seen: &Seen, to_disk: &SyncSender<(PathBuf, GrayImage)>) -> Result<()> {
        while self.decided < self.came {
            self.decide(seen, to_disk)?;
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

/// The evidence of a frame in which no network looked.
fn nothing_said() -> Evidence {
    let nowhere =
        || Segmentation { region: Region { centre: [0.0; 2], size: 1.0, angle: 0.0 }, likely: Vec::new() };
    Evidence { own: nowhere(), anybody: nowhere() }
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
