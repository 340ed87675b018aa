//! Back through the frames just before, from where somebody was found late or found to have been read wrongly.

use super::{RETURNED, Read, SAME, Sighting, Tracker, near};
use crate::error::Result;
use crate::identity::{Appearance, alike, is_part, is_smaller};
use crate::landmarks::Observation;
use crate::reader::Parts;

/// Somebody may be read on the whole body for so many frames before what was read on a part of it is read again.
const AGREEING: usize = 5;

/// A track that was found in this frame, and the first frame that it may be followed back to.
pub(super) struct Late {
    pub(super) track: usize,
    pub(super) since: usize,
}

impl Tracker {
    /// Was a track read on a part of the body, perhaps, in one of the frames just before?
    pub(super) fn is_found_again(&self, read: &Read) -> bool {
        let person = self.tracks[read.track].person;
        let mut past = (1..=AGREEING).filter_map(|n| self.past.before(n)?.of(person));
        past.any(|before| is_smaller(before, read.observation()))
    }

    /// Follows somebody who was found only now back to where they came from, as far as the frames are kept, they look alike and nobody
    /// else is there.
    pub(super) fn follow_back(&mut self, late: &Late) -> Result<Vec<(usize, Sighting)>> {
        let track = &self.tracks[late.track];
        let (person, mut region) = (track.person, track.region);
        // Who it turned out to be, and how many frames were right already.
        let (mut same, mut agreed) = (None, 0);
        let mut parts = Parts::default();
        let mut earlier = Vec::new();
        let most = self.past.len().min(self.frame.saturating_sub(late.since));
        for n in 1..=most {
            let (Some(at), Some(past)) = (region, self.past.before(n)) else { break };
            let heads = past.faces_besides(&[person, same.unwrap_or(person)]);
            let Some(found) = self.reader.read(at, &heads, &past.picture)? else { break };
            let look = Appearance::of(&past.picture, &found.observation().landmarks);
            let familiar = alike(&track.look, &look);
            // What is known of somebody may have been learnt from what was read wrongly.
            let known = [familiar, alike(&track.now, &look)].into_iter().flatten().reduce(f32::max);
            if known.is_some_and(|alike| alike < RETURNED) {
                break;
            }
            // Where a part of the body was read instead, that was wrong, and if it was taken for somebody else, who is lost now, that
            // is this one.
            let now = found.observation();
            let has_face = |part: &Observation| self.reader.has_own_face(part, now, &past.picture);
            let taken = past.seen.iter().find(|(other, at)| *other != person && near(at, now) < SAME);
            if let Some((other, part)) = taken {
                let is_lost = self.tracks.iter().any(|t| t.person == *other && t.region.is_none());
                if !is_lost || !is_part(part, now) || has_face(part)? {
                    break;
                }
                same.get_or_insert(*other);
            } else if let Some(before) = past.of(person)
                && (!is_smaller(before, now) || has_face(before)?)
            {
                // What is right already may have come after what is wrong.
                agreed += 1;
                if agreed > AGREEING {
                    break;
                }
                region = Some(found.reading.next);
                continue;
            }
            let others = past.faces_besides(&[person, same.unwrap_or(person)]);
            let face = found.face().filter(|face| !others.iter().any(|other| face.meets(other)));
            let frame = self.frame - n;
            let (observation, evidence, next) =
                self.reader.look_closer(found, &mut parts, face, frame % 2, &past.picture)?;
            region = next.is_usable(past.picture.width(), past.picture.height()).then_some(next);
            let person = same.unwrap_or(person);
            earlier.push((frame, Sighting { person, observation, evidence, familiar }));
        }
        if let Some(old) = same.and_then(|old| self.tracks.iter().position(|track| track.person == old)) {
            self.become_one(late.track, old);
        }
        for (frame, sighting) in &earlier {
            self.past.correct(self.frame - frame, sighting.person, sighting.observation.clone());
        }
        Ok(earlier)
    }
}
