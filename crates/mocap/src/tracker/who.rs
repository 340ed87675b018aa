//! Who is who: tracks that read one person, people who passed each other, and those who return.

use super::{Late, RETURNED, Read, SAME, Track, Tracker, near};
use crate::identity::{Appearance, alike};
use crate::reader::Parts;
use crate::region::Region;

/// Two people have changed places if that makes their looks so much more alike: anybody, and people who met just now.
const SWAPPED: [f32; 2] = [0.35, 0.15];
/// Somebody followed is somebody else, who was lost, if that looks so much more alike: anybody, and somebody who met another just now.
const TAKEN_FOR: [f32; 2] = [0.3, 0.15];
/// People have met just now for so many frames. Whoever got lost may be behind somebody who is nearer than this part of the region to where they
/// were, or would be by now.
const JUST: usize = 30;
const BEHIND: f32 = 0.6;
/// Somebody new beside whom somebody known gets lost is that one, if it shows within so many frames: alike, this near as part of the
/// region, and about as large.
const NEWBORN: usize = 15;
const BESIDE: f32 = 0.45;
const AS_LARGE: f32 = 0.4;

impl Tracker {
    /// Where two tracks read one person, the one that doesn't look like it has lost its own.
    pub(super) fn part_pairs(&mut self, reads: &mut Vec<Read>) {
        let mut i = 0;
        while i < reads.len() {
            let pair =
                (i + 1..reads.len()).find(|j| near(reads[i].observation(), reads[*j].observation()) < SAME);
            let Some(j) = pair else {
                i += 1;
                continue;
            };
            // How well the person fits each track: its looks, and where it should be.
            let fits = |read: &Read| {
                let track = &self.tracks[read.track];
                let off = track.last.map_or(0.0, |(last, moved)| {
                    let at = read.observation().region;
                    let away = [0, 1].map(|k| at.centre[k] - last.centre[k] - moved[k]);
                    away[0].hypot(away[1]) / at.size
                });
                alike(&track.look, &read.look).unwrap_or(0.5) - 2.0 * off
            };
            let worse = if fits(&reads[i]) < fits(&reads[j]) { i } else { j };
            self.lose(reads.remove(worse).track);
        }
    }

    /// Who went behind somebody and came out again may have been taken for them: a track goes to the one it looks like.
    pub(super) fn hand_over(&mut self, reads: &mut [Read]) {
        for read in reads {
            let Some(own) = alike(&self.tracks[read.track].look, &read.look) else { continue };
            let lost = (0..self.tracks.len()).filter(|n| {
                let track = &self.tracks[*n];
                track.region.is_none() && track.may_be_at(&read.observation().region, self.frame)
            });
            let scored = lost.filter_map(|n| Some((n, alike(&self.tracks[n].look, &read.look)?)));
            if let Some((n, other)) = scored.max_by(|a, b| a.1.total_cmp(&b.1))
                && other > own + self.surer_by(TAKEN_FOR, &[read.track])
            {
                self.lose(std::mem::replace(&mut read.track, n));
                // Taken: nobody else may become this one now.
                self.tracks[n].region = Some(read.found.reading.next);
            }
        }
    }

    /// By how much looks must differ, of two values: who met somebody just now is sooner taken for them.
    fn surer_by(&self, [usually, met]: [f32; 2], tracks: &[usize]) -> f32 {
        let just = |n: &usize| self.tracks[*n].met.is_some_and(|met| self.frame - met <= JUST);
        if tracks.iter().all(just) { met } else { usually }
    }

    /// Somebody got lost just now about where a region is.
    pub(super) fn is_before_somebody(&self, at: &Region) -> bool {
        self.tracks.iter().filter(|track| track.region.is_none()).any(|track| {
            let Some((last, away)) = track.away(at, self.frame) else { return false };
            self.frame - track.seen <= JUST && away < BEHIND * at.size.max(last.size)
        })
    }

    /// Whoever comes out from behind a thing is found anew now and then, while their own track still reads what is left of them.
    pub(super) fn reunite(&mut self, reads: &mut [Read]) {
        for read in reads {
            let newborn = &self.tracks[read.track];
            if self.frame > newborn.born + NEWBORN {
                continue;
            }
            let at = read.observation().region;
            let old = (0..self.tracks.len()).find(|n| {
                let track = &self.tracks[*n];
                let lost = track.region.is_none() && track.born < newborn.born;
                // Earlier losses were weighed when the new one was found.
                let just = track.seen + 1 >= newborn.born;
                let beside = track.away(&at, self.frame).is_some_and(|(last, away)| {
                    away < BESIDE * at.size && (at.size / last.size).ln().abs() < AS_LARGE
                });
                lost && just && beside && alike(&track.look, &read.look).is_none_or(|same| same >= RETURNED)
            });
            if let Some(old) = old {
                self.become_one(read.track, old);
                self.tracks[old].region = Some(read.found.reading.next);
                read.track = old;
            }
        }
    }

    /// Somebody new turned out to be somebody who was lost.
    pub(super) fn become_one(&mut self, newborn: usize, old: usize) {
        self.same.push((self.tracks[newborn].person, self.tracks[old].person));
        let Track { region, last, seen, parts, .. } = &mut self.tracks[newborn];
        let (region, last, seen, parts) = (region.take(), last.take(), *seen, std::mem::take(parts));
        let old = &mut self.tracks[old];
        (old.region, old.last, old.parts) = (region, last.or(old.last), parts);
        old.seen = old.seen.max(seen);
    }

    /// The track of somebody who was found: one that is out of sight and alike, or a new one.
    pub(super) fn known(&mut self, look: &Appearance, region: &Region, reads: &[Read]) -> Late {
        let score = |track: &Track| {
            // Clothes can't be told from a few pixels: the place says it then.
            let same = alike(&track.look, look).unwrap_or(RETURNED);
            let gap = (self.frame - track.seen) as f32;
            let near = track.last.map_or(0.0, |(last, _)| {
                let distance = last.apart(region) / last.size + (region.size / last.size).ln().abs();
                0.4 * (1.0 - distance / (0.3 + 0.05 * gap)).clamp(-1.0, 1.0)
            });
            same + near
        };
        let free = |n: &usize| self.tracks[*n].region.is_none() && reads.iter().all(|read| read.track != *n);
        let scored = (0..self.tracks.len()).filter(free).map(|n| (n, score(&self.tracks[n])));
        if let Some((track, best)) = scored.max_by(|a, b| a.1.total_cmp(&b.1))
            && best >= RETURNED
        {
            self.tracks[track].met = Some(self.frame);
            return Late { track, since: self.tracks[track].seen + 1 };
        }
        self.tracks.push(Track {
            person: self.people,
            region: None,
            last: None,
            seen: self.frame,
            born: self.frame,
            met: None,
            look: look.clone(),
            now: look.clone(),
            parts: Parts::default(),
        });
        self.people += 1;
        Late { track: self.tracks.len() - 1, since: 0 }
    }

    /// Two who passed each other may have been taken for each other.
    pub(super) fn swap_back(&mut self, reads: &mut [Read]) {
        for i in 0..reads.len() {
            for j in i + 1..reads.len() {
                let sure = |track: usize, read: usize| alike(&self.tracks[track].look, &reads[read].look);
                let (a, b) = (reads[i].track, reads[j].track);
                let (Some(aa), Some(bb), Some(ab), Some(ba)) =
                    (sure(a, i), sure(b, j), sure(a, j), sure(b, i))
                else {
                    continue;
                };
                if ab + ba > aa + bb + self.surer_by(SWAPPED, &[a, b]) {
                    (reads[i].track, reads[j].track) = (b, a);
                    let parts = std::mem::take(&mut self.tracks[a].parts);
                    self.tracks[a].parts = std::mem::replace(&mut self.tracks[b].parts, parts);
                }
            }
        }
    }
}
