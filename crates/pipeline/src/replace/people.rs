//! Who is in a raw video, when.

use super::bars::Bars;
use super::score::{Checks, TRUSTED, Verdict, doubtful};
use crate::job::Who;
use crate::{Error, Result};
use mocap::{Evidence, Observation, Sighting};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Somebody seen in fewer frames than this, and in a smaller part of the video, is nobody to follow.
const FEWEST: usize = 4;
const LEAST: f64 = 0.1;

/// Why a frame without the person isn't trusted.
const LOST: &str = "the person isn't found any more, in the middle of the picture";
/// Whoever is nearer to a side border than this part of their region may have gone out of the picture.
const EDGE: f32 = 0.25;
/// Whoever stays and lies over somebody who is replaced by more than this part of the body may be damaged.
const OVER: f32 = 0.05;
/// Somebody is believed in who is trusted in this part of the frames.
const BELIEVED: f64 = 0.5;
/// Somebody who isn't believed in, and is there in less than this part of a video, or trusted in less than this part of the frames, is a
/// thing that looked like a person.
const SHORTLY: f64 = 1.0 / 3.0;
const HARDLY: f64 = 0.1;
/// Whoever was hidden to this part may be hidden altogether.
const HIDDEN: f32 = 0.5;

/// Whoever is seen for so many seconds is somebody.
const LONG_S: f64 = 1.0;

/// What the masks stage saw.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Of the picture; while people are looked for, of what is between its bars.
    pub(super) size: [u32; 2],
    #[serde(default)]
    pub(super) bars: Bars,
    pub(super) fps: f64,
    /// The focal length that bodies are fitted with.
    #[serde(default)]
    pub(super) focal_px: Option<f32>,
    pub(super) cuts: Vec<bool>,
    /// Everybody: who is largest for longest comes first.
    pub(super) people: Vec<Person>,
    /// Indices of those who are replaced.
    pub(super) replaced: Vec<usize>,
    /// How many were seen too shortly to be followed.
    pub(super) passed: usize,
}

/// One person in all frames.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Person {
    /// By frame: the tracker's number, under which the evidence lies on the disk; another one while the tracker took the person for
    /// somebody new.
    #[serde(skip)]
    pub(super) evidence_of: Vec<usize>,
    pub(super) frames: Vec<Option<Observation>>,
    /// Where the networks' words on this person's pixels hold.
    #[serde(skip)]
    pub(super) evidence: Vec<Option<Evidence>>,
    /// How alike the person looks to what is known of them.
    #[serde(skip)]
    pub(super) familiar: Vec<Option<f32>>,
    pub(super) gaps: Vec<mocap::Gap>,
    /// How sure each joint is in each frame, 0..1.
    pub(super) confidence: Vec<Vec<f32>>,
    /// Mean distance of the sure landmarks from the body in each frame, in pixels.
    pub(super) residual_px: Vec<f32>,
    pub(super) checks: Vec<Option<Checks>>,
    pub(super) verdicts: Vec<Option<Verdict>>,
    /// Frames that were mended from their neighbours, and are like them.
    pub(super) mended: Vec<usize>,
    /// Frames in which something is held, and goes with the person.
    pub(super) holding: usize,
}

/// Frames before and after one that are looked at for somebody who isn't seen in it.
const AROUND: usize = 8;

/// Who is at a place of a frame.
fn whose(people: &[Person], frame: usize, place: [f32; 2], size: [u32; 2]) -> Result<usize> {
    let [x, y] = [0, 1].map(|axis| place[axis] * size[axis] as f32);
    let mut best: Option<(f32, usize)> = None;
    for (n, person) in people.iter().enumerate() {
        let near = (0..=AROUND).flat_map(|k| [frame.checked_sub(k), Some(frame + k)]).flatten();
        let Some(seen) = near.into_iter().find_map(|t| person.frames.get(t)?.as_ref()) else { continue };
        let [cx, cy] = seen.region.centre;
        // In sizes of the person: who is far away is meant less easily.
        let away = (x - cx).hypot(y - cy) / seen.region.size.max(1.0);
        if away < 0.75 && best.is_none_or(|(least, _)| away < least) {
            best = Some((away, n));
        }
    }
    best.map(|(_, n)| n).ok_or_else(|| {
        let why = format!("nobody is at {}, {} of frame {frame}", place[0], place[1]);
        Error::Option { option: "replace.person", why }
    })
}

impl Seen {
    /// Sorts what was seen by person and chooses who is replaced.
    ///
    /// # Errors
    /// When nobody was seen, or not the one who is asked for.
    pub(super) fn new(
        size: [u32; 2],
        fps: f64,
        cuts: Vec<bool>,
        sightings: Vec<Vec<Sighting>>,
        reunited: &[(usize, usize)],
        who: Who,
    ) -> Result<Self> {
        let n = cuts.len();
        let named = |track: usize| {
            reunited.iter().fold(track, |track, (new, old)| if track == *new { *old } else { track })
        };
        let mut by_track: BTreeMap<usize, Person> = BTreeMap::new();
        for (t, sightings) in sightings.into_iter().enumerate() {
            for Sighting { person: number, observation, evidence, familiar } in sightings {
                let track = named(number);
                let person = by_track.entry(track).or_insert_with(|| Person {
                    frames: vec![None; n],
                    evidence_of: vec![track; n],
                    evidence: vec![None; n],
                    familiar: vec![None; n],
                    ..Person::default()
                });
                // Seen twice: of one track, what it found later counts; of two that turned out to be one, the surer one.
                let other = person.frames[t].as_ref().filter(|_| person.evidence_of[t] != number);
                if other.is_some_and(|other| other.score >= observation.score) {
                    continue;
                }
                person.evidence_of[t] = number;
                person.frames[t] = Some(observation);
                person.evidence[t] = Some(evidence);
                person.familiar[t] = familiar;
            }
        }
        let all = by_track.len();
        if all == 0 {
            return Err(mocap::Error::Nobody { frames: n }.into());
        }
        let mut people: Vec<Person> = by_track.into_values().collect();
        let weight = |person: &Person| -> f64 {
            person.frames.iter().flatten().map(|o| f64::from(o.region.size)).sum()
        };
        people.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        let enough = |person: &Person| {
            let seen = person.frames.iter().flatten().count();
            seen >= FEWEST.min(n.div_ceil(2)) && seen as f64 >= (LEAST * n as f64).min(LONG_S * fps)
        };
        let mut first = true;
        people.retain(|person| std::mem::take(&mut first) || enough(person));
        let replaced = match who {
            Who::All => (0..people.len()).collect(),
            Who::One(n) if n <= people.len() => vec![n - 1],
            Who::At { frame, place } => vec![whose(&people, frame, place, size)?],
            Who::One(wanted) => {
                return Err(mocap::Error::NoSuchPerson { wanted, found: people.len() }.into());
            }
        };
        let passed = all - people.len();
        Ok(Self { size, bars: Bars::default(), focal_px: None, fps, cuts, people, replaced, passed })
    }

    /// Forgets those who turned out to be nobody, all but their numbers; `true` where there were some.
    pub(super) fn forget_phantoms(&mut self) -> bool {
        let frames = self.cuts.len();
        let mut found = false;
        for (n, person) in self.people.iter_mut().enumerate() {
            let seen = person.frames.iter().flatten().count();
            if seen > 0
                && !self.replaced.contains(&n)
                && !person.is_believed()
                && ((seen as f64) < SHORTLY * frames as f64 || person.trusted() < HARDLY)
            {
                *person = Person {
                    frames: vec![None; frames],
                    evidence: vec![None; frames],
                    verdicts: vec![None; frames],
                    checks: vec![None; frames],
                    ..Person::default()
                };
                self.passed += 1;
                found = true;
            }
        }
        found
    }

    /// Everybody's places in the whole picture, and no longer in what is between its bars.
    pub(super) fn surround(&mut self) {
        let by = self.bars.corner().map(|v| v as f32);
        self.size = self.bars.outer(self.size);
        for observation in self.people.iter_mut().flat_map(|person| person.frames.iter_mut()).flatten() {
            *observation = observation.moved(by);
        }
    }

    /// Everybody who is somebody, with their indices.
    pub(super) fn present(&self) -> impl Iterator<Item = (usize, &Person)> {
        self.people.iter().enumerate().filter(|(n, _)| self.is_present(*n))
    }

    /// Somebody is somebody.
    pub(super) fn is_present(&self, n: usize) -> bool {
        self.people[n].frames.iter().any(Option::is_some)
    }

    /// The score of each frame: that of the worst of those who are replaced; `None` where none of them is in view.
    pub(super) fn scores(&self) -> Vec<Option<f32>> {
        let of = |t: usize| {
            let here = self.replaced.iter().filter_map(|n| self.people[*n].verdicts.get(t)?.as_ref());
            here.map(|verdict| verdict.score).min_by(f32::total_cmp)
        };
        (0..self.cuts.len()).map(of).collect()
    }

    /// Refuses what can't be trusted.
    pub(super) fn check(&self) -> Result<()> {
        let mut runs: Vec<(usize, Range<usize>, String)> = Vec::new();
        for n in &self.replaced {
            runs.extend(doubtful(&self.people[*n].verdicts).into_iter().map(|(run, why)| (*n, run, why)));
        }
        runs.extend(self.endangered());
        if runs.is_empty() {
            return Ok(());
        }
        runs.sort_by_key(|(n, run, _)| (run.start, *n));
        let frames = runs.iter().flat_map(|(_, run, _)| run.clone()).collect::<BTreeSet<_>>().len();
        let several = self.present().count() > 1;
        let listed = runs
            .iter()
            .map(|(n, run, why)| {
                let who = if several { format!("person {}, ", n + 1) } else { String::new() };
                format!("  {who}{}: {why}", words(run))
            })
            .collect();
        Err(Error::Doubtful { frames, of: self.cuts.len(), runs: listed })
    }

    /// Those who stay, where they lie over somebody who is replaced and can't be told apart: they would be damaged.
    fn endangered(&self) -> Vec<(usize, Range<usize>, String)> {
        let mut runs = Vec::new();
        let stay = self.present().filter(|(n, person)| !self.replaced.contains(n) && person.is_believed());
        for (n, person) in stay {
            let near =
                |t: usize| person.checks.get(t).and_then(Option::as_ref).is_some_and(|c| c.shared > OVER);
            let verdicts: Vec<Option<Verdict>> = (0..person.verdicts.len())
                .map(|t| {
                    let here = self.replaced.iter().any(|m| self.people[*m].frames[t].is_some());
                    person.verdicts[t].clone().filter(|_| here && near(t))
                })
                .collect();
            let named = doubtful(&verdicts).into_iter();
            runs.extend(named.map(|(run, why)| (n, run, format!("{why}, and would be damaged"))));
        }
        runs
    }
}

impl Person {
    /// Is this somebody at all? What is trusted in hardly any frame is a thing that looks like a person now and then.
    fn is_believed(&self) -> bool {
        self.trusted() >= BELIEVED
    }

    /// The part of the frames in which the person is trusted.
    fn trusted(&self) -> f64 {
        let (trusted, all) = self
            .verdicts
            .iter()
            .flatten()
            .fold((0, 0), |(trusted, all), v| (trusted + usize::from(v.score >= TRUSTED), all + 1));
        trusted as f64 / f64::from(all.max(1))
    }

    /// When the person is in view, in words.
    pub(super) fn in_view(&self) -> String {
        let mut spans: Vec<Range<usize>> = Vec::new();
        for t in (0..self.frames.len()).filter(|t| self.frames[*t].is_some()) {
            match spans.last_mut() {
                Some(span) if span.end == t => span.end = t + 1,
                _ => spans.push(t..t + 1),
            }
        }
        match &spans[..] {
            [all] if all.len() == self.frames.len() => "always in view".to_owned(),
            spans => spans.iter().map(words).collect::<Vec<_>>().join(", "),
        }
    }

    /// Wasn't seen in a frame, but shortly before and after.
    pub(super) fn is_bridged(&self, t: usize) -> bool {
        self.gaps.iter().any(|gap| gap.bridged && gap.frames.contains(&t) && gap.frames.start > 0)
            && self.frames[t..].iter().any(Option::is_some)
    }

    /// Names frames in which the person should be in view and wasn't found: who goes out of the picture was last seen at its border.
    pub(super) fn mark_lost(&mut self, [w, h]: [u32; 2], cuts: &[bool], fps: f64) {
        let inside = |t: usize| {
            self.frames[t].as_ref().is_some_and(|o| {
                let margin = EDGE * o.region.size;
                let [x, y] = o.region.centre;
                x > margin && y > 0.0 && x < w as f32 - margin && y < h as f32
            })
        };
        let hidden = |t: usize| {
            let checks = self.checks.get(t).and_then(Option::as_ref);
            checks.is_some_and(|c| c.behind > HIDDEN || c.visible < 1.0 - HIDDEN)
        };
        let mut t = 0;
        let mut lost = Vec::new();
        while t < self.frames.len() {
            if self.frames[t].is_some() {
                t += 1;
                continue;
            }
            let end = (t..self.frames.len()).find(|i| self.frames[*i].is_some()).unwrap_or(self.frames.len());
            // Shots are looked at by themselves.
            let shot_end = (t..end).find(|i| cuts[*i]);
            let first = t.checked_sub(1).filter(|_| !cuts[t]);
            let last = Some(end).filter(|end| *end < self.frames.len() && shot_end.is_none() && !cuts[*end]);
            let was_there = first.is_some_and(|t| inside(t) && !hidden(t));
            let comes_back = last.is_some_and(|t| inside(t) && !hidden(t));
            if was_there && (comes_back || last.is_none())
                || comes_back && first.is_none() && (end - t) as f64 <= fps
            {
                lost.push(t..shot_end.unwrap_or(end));
            }
            t = end;
        }
        for t in lost.into_iter().flatten().filter(|t| self.checks[*t].is_none()).collect::<Vec<_>>() {
            self.verdicts[t] = Some(Verdict { score: 0.0, reason: LOST.to_owned() });
        }
    }

    /// The frame's score is below what is trusted.
    pub(super) fn is_doubtful(&self, t: usize) -> bool {
        self.verdicts.get(t).is_some_and(|v| v.as_ref().is_some_and(|v| v.score < TRUSTED))
    }
}

fn words(frames: &Range<usize>) -> String {
    if frames.len() == 1 {
        format!("frame {}", frames.start)
    } else {
        format!("frames {} to {}", frames.start, frames.end - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mocap::Region;

    /// Somebody in frames 0 to 2 and 6 to 8 of nine.
    fn person(x: f32) -> Person {
        let region = Region { centre: [x, 50.0], size: 60.0, angle: 0.0 };
        let seen = Observation { region, score: 1.0, landmarks: Vec::new(), hands: [None, None], face: None };
        let frames: Vec<_> = (0..9).map(|t| (!(3..6).contains(&t)).then(|| seen.clone())).collect();
        Person { verdicts: vec![None; 9], checks: vec![None; 9], frames, ..Person::default() }
    }

    #[test]
    fn who_stays_and_cannot_be_told_apart_is_named() {
        let verdict = |score| Some(Verdict { score, reason: "the mask is in pieces".to_owned() });
        let over = |shared| Some(Checks { shared, ..Checks::default() });
        let mut other = person(80.0);
        other.verdicts = (0..9).map(|t| verdict(if t == 4 || t == 8 { 0.1 } else { 1.0 })).collect();
        // In frame 8 nobody is near.
        other.checks = (0..9).map(|t| over(if t == 8 { 0.0 } else { 0.5 })).collect();
        let mut replaced = person(60.0);
        replaced.frames[4] = replaced.frames[0].clone();
        let mut seen = Seen {
            size: [160, 90],
            bars: Bars::default(),
            focal_px: None,
            fps: 12.0,
            cuts: vec![false; 9],
            people: vec![replaced, other],
            replaced: vec![0],
            passed: 0,
        };
        let error = seen.check().unwrap_err().to_string();
        assert!(error.contains("1 of 9") && error.contains("person 2, frame 4"), "{error}");
        // What is hardly ever trusted is no person.
        seen.people[1].verdicts = (0..9).map(|_| verdict(0.1)).collect();
        seen.check().unwrap();
        let doubtful = (0..9).map(|t| verdict(if t < 3 { 1.0 } else { 0.1 })).collect();
        seen.people[1].verdicts = doubtful;
        assert!(!seen.forget_phantoms(), "it is there in most frames, and trusted in some");
        seen.people[1].frames[2..].fill(None);
        assert!(seen.forget_phantoms());
        assert_eq!(seen.present().map(|(n, _)| n).collect::<Vec<_>>(), [0]);
        assert_eq!(seen.passed, 1);
    }

    #[test]
    fn who_is_lost_in_the_middle_of_the_picture_is_named() {
        let named = |mut person: Person, cuts: &[bool]| {
            person.mark_lost([160, 90], cuts, 12.0);
            (0..9).filter(|t| person.is_doubtful(*t)).collect::<Vec<_>>()
        };
        assert_eq!(named(person(80.0), &[false; 9]), [3, 4, 5]);
        // Out over the border and in again.
        assert!(named(person(5.0), &[false; 9]).is_empty());
        // In another shot nobody has to be there.
        let mut cuts = [false; 9];
        (cuts[3], cuts[6]) = (true, true);
        assert!(named(person(80.0), &cuts).is_empty());
        // Whoever was behind somebody may be still.
        let mut hidden = person(80.0);
        let behind = Checks { behind: 0.9, ..Checks::default() };
        (hidden.checks[2], hidden.checks[6]) = (Some(behind), Some(behind));
        assert!(named(hidden, &[false; 9]).is_empty());
    }
}
