//! What is known of each frame before whose its pixels are is decided: everybody who may be there, and where nobody is.

use super::assign::Somebody;
use super::bodies::{Bodies, Body};
use super::folders::Folders;
use super::hair;
use super::people::{Person, Seen};
use super::scenery::Sample;
use super::small::Sizes;
use crate::Result;
use bg_mask::PlaneFinder;
use image::{GrayImage, RgbImage};
use mocap::{Evidence, Region, Segmentation};
use smplx::{BodyModel, Motion};

/// Sides of small pictures in which the background's motion can be found.
const LEAST_SIDE: u32 = 48;
/// Seconds to either side that are laid over a frame, and frames at least and at most.
const AROUND_S: f32 = 1.5;
const AROUND: [f32; 2] = [8.0, 36.0];
/// Somebody may be where a network or a body says so, to within so many small pixels.
pub(super) const MAYBE: u8 = 50;
const NEAR_PX: f32 = 3.0;
/// Who stays and isn't found any more goes on for so many seconds, as fast as over so many frames before.
const GOES_ON_S: f64 = 0.5;
const PACE: usize = 4;
/// Half the width and the height of a person, as parts of their region.
const PERSON: [f32; 2] = [0.3, 0.55];

/// Frames on each side of one that are laid over it.
pub(super) fn reach(fps: f64) -> usize {
    (AROUND_S * fps as f32).clamp(AROUND[0], AROUND[1]) as usize
}

/// A frame, and everybody who may be in it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) sample: Sample,
    pub(super) people: Vec<Somebody>,
    /// Of the same people.
    pub(super) evidence: Vec<Evidence>,
}

/// Prepares frame after frame.
pub(super) struct Preparer<'a> {
    seen: &'a Seen,
    motions: &'a [Motion],
    folders: &'a Folders,
    bodies: Bodies<'a>,
    sizes: Sizes,
    reach: usize,
    finder: PlaneFinder,
}

impl<'a> Preparer<'a> {
    /// `motions` are those of the people who were seen.
    pub(super) fn new(
        model: &'a BodyModel,
        seen: &'a Seen,
        motions: &'a [Motion],
        folders: &'a Folders,
    ) -> Self {
        let sizes = Sizes::new(seen.size);
        Self {
            seen,
            motions,
            folders,
            bodies: Bodies::new(model, sizes.small),
            sizes,
            reach: reach(seen.fps),
            finder: PlaneFinder::default(),
        }
    }

    /// Everybody who is seen in a frame, and where nobody is; `picture` is the small one.
    pub(super) fn next_frame(&mut self, n: usize, picture: RgbImage) -> Result<Prepared> {
        let (seen, motions) = (self.seen, self.motions);
        let Sizes { full, small, reduced } = self.sizes;
        let (mut people, mut all_evidence) = (Vec::new(), Vec::new());
        let mut somewhere = GrayImage::new(small[0], small[1]);
        for (p, person) in seen.people.iter().enumerate() {
            let is_seen = person.evidence[n].is_some();
            // Whoever is hidden for a moment is carried across: what shows of them is found by their body.
            let is_expected = !is_seen && !person.is_bridged(n);
            let body = if is_expected {
                self.block(person, n, &mut somewhere);
                self.expected(p, n)?
            } else {
                self.bodies.draw(&motions[p].frames[n])?
            };
            if body.is_none() && !is_seen {
                continue;
            }
            let evidence = match &person.evidence[n] {
                Some(places) => self.folders.read_evidence(n, person.evidence_of[n], places)?,
                None => nothing_said(),
            };
            let mut own = evidence.own.spread(full.into(), reduced);
            let mut anybody = evidence.anybody.spread(full.into(), reduced);
            let face = person.frames[n].as_ref().and_then(|observation| observation.face.as_ref());
            let hair = face.filter(|_| is_seen).map_or_else(Vec::new, |face| {
                hair::add(&picture, &face.region.scaled(1.0 / reduced as f32), &mut own, &mut anybody)
            });
            let mut somebody = Somebody::new(p, own, anybody, body);
            (somebody.is_expected, somebody.is_read, somebody.hair) = (is_expected, is_seen, hair);
            for (i, byte) in somewhere.iter_mut().enumerate() {
                let covered = somebody.body.as_ref().is_some_and(|body| body.covers(i));
                if covered || somebody.own.as_raw()[i].max(somebody.anybody.as_raw()[i]) >= MAYBE {
                    *byte = 255;
                }
            }
            people.push(somebody);
            all_evidence.push(evidence);
        }
        let hole = bg_mask::dilate(&somewhere, NEAR_PX)?;
        let clear = hole.iter().map(|b| *b < bg_mask::THRESHOLD).collect();
        let step = if small.iter().all(|n| *n >= LEAST_SIDE) {
            self.finder.next_frame(&picture, &hole)?
        } else {
            None
        };
        let step = step.filter(|_| !seen.cuts[n]);
        Ok(Prepared { sample: Sample { picture, clear, step }, people, evidence: all_evidence })
    }

    /// Somebody's body where it should still be: of those who stay, so that they aren't damaged unseen.
    fn expected(&self, p: usize, n: usize) -> Result<Option<Body>> {
        let Seen { people, cuts, fps, replaced, .. } = self.seen;
        if replaced.contains(&p) {
            return Ok(None);
        }
        let is_seen = |t: &usize| people[p].evidence[*t].is_some();
        let shot = |n: usize, frames: usize| (n.saturating_sub(frames)..n).rev().take_while(|t| !cuts[t + 1]);
        let Some(last) = shot(n, (GOES_ON_S * fps) as usize).find(is_seen) else { return Ok(None) };
        let first = shot(last, PACE).take_while(is_seen).last().unwrap_or(last);
        let motion = &self.motions[p].frames;
        let mut frame = motion[last].clone();
        let passed = (n - last) as f32 / (last - first).max(1) as f32;
        for (k, at) in frame.translation.iter_mut().enumerate() {
            *at += passed * (motion[last].translation[k] - motion[first].translation[k]);
        }
        self.bodies.draw(&frame)
    }

    /// Where somebody will be seen soon or was seen lately, they may be without being found: no place there is known to be empty.
    fn block(&self, person: &Person, n: usize, somewhere: &mut GrayImage) {
        let cuts = &self.seen.cuts;
        let before = (n.saturating_sub(self.reach)..n).rev().take_while(|t| !cuts[t + 1]);
        let after = (n + 1..(n + 1 + self.reach).min(cuts.len())).take_while(|t| !cuts[*t]);
        let region = |t: usize| Some(person.frames[t].as_ref()?.region);
        let (mut before, mut after) = (before.filter_map(region), after.filter_map(region));
        for region in [before.next(), after.next()].into_iter().flatten() {
            let scale = 1.0 / self.sizes.reduced as f32;
            let [x, y] = region.centre.map(|v| v * scale);
            let [across, down] = PERSON.map(|part| part * region.size * scale);
            for (u, v, byte) in somewhere.enumerate_pixels_mut() {
                if (u as f32 - x).abs() <= across && (v as f32 - y).abs() <= down {
                    byte.0 = [255];
                }
            }
        }
    }
}

/// The evidence of a frame in which no network looked.
fn nothing_said() -> Evidence {
    let nowhere =
        || Segmentation { region: Region { centre: [0.0; 2], size: 1.0, angle: 0.0 }, likely: Vec::new() };
    Evidence { own: nowhere(), anybody: nowhere() }
}
