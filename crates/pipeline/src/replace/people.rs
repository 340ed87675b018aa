//! Who is in a raw video, when.

use super::score::{Checks, TRUSTED, Verdict, doubtful};
use crate::job::Who;
use crate::{Error, Result};
use mocap::{Evidence, Observation, Sighting};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

/// Somebody seen in fewer frames than this, and in a smaller part of the video, is nobody to follow.
const FEWEST: usize = 4;
const LEAST: f64 = 0.1;

/// Whoever is seen for so many seconds is somebody.
const LONG_S: f64 = 1.0;

/// What the masks stage saw.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) size: [u32; 2],
    pub(super) fps: f64,
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
    /// The tracker's number: names the evidence on disk.
    pub(super) track: usize,
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
    /// Frames that were mended from their neighbours.
    pub(super) mended: Vec<usize>,
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
        who: Who,
    ) -> Result<Self> {
        let n = cuts.len();
        let mut by_track: BTreeMap<usize, Person> = BTreeMap::new();
        for (t, sightings) in sightings.into_iter().enumerate() {
            for Sighting { person: track, observation, evidence, familiar } in sightings {
                let person = by_track.entry(track).or_insert_with(|| Person {
                    track,
                    frames: vec![None; n],
                    evidence: vec![None; n],
                    familiar: vec![None; n],
                    ..Person::default()
                });
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
        Ok(Self { size, fps, cuts, people, replaced, passed })
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
        if runs.is_empty() {
            return Ok(());
        }
        runs.sort_by_key(|(n, run, _)| (run.start, *n));
        let frames = runs.iter().map(|(_, run, _)| run.len()).sum();
        let several = self.people.len() > 1;
        let listed = runs
            .iter()
            .map(|(n, run, why)| {
                let who = if several { format!("person {}, ", n + 1) } else { String::new() };
                format!("  {who}{}: {why}", words(run))
            })
            .collect();
        Err(Error::Doubtful { frames, of: self.cuts.len(), runs: listed })
    }
}

impl Person {
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
