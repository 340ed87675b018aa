//! Follows everybody through a video.

use crate::detector::{Detection, Detector};
use crate::error::{Error, Result};
use crate::face::FaceReader;
use crate::hands::HandReader;
use crate::identity::{Appearance, alike, apart, is_arm, is_part};
use crate::landmarks::{Landmarker, Observation, Segmenter};
use crate::past::Past;
use crate::reader::{Found, MIN_SCORE, Parts, Reader};
use crate::region::Region;
use crate::segmentation::Evidence;
use image::RgbImage;

/// Where the detection is less sure than that too, the landmarks must be surer.
const SURE_SCORE: f32 = 0.8;
/// A mean change of the small picture above this is a cut, in bytes.
const CUT: f32 = 60.0;
/// So is one above this which is so many times the usual one.
const SUDDEN: (f32, f32) = (18.0, 4.0);
/// How fast the usual change follows.
const USUAL: f32 = 0.25;
/// Side of the small picture that cuts are found on.
const THUMB: usize = 32;
/// The whole picture is looked at every so many frames, and in so many frames after somebody was lost.
const LOOK_EVERY: usize = 5;
const LOOK_AFTER: usize = 5;
/// Every so many frames it is looked at closely.
const CLOSELY_EVERY: usize = 15;
/// At most so many are looked at who turn out to be nobody.
const IN_VAIN: usize = 4;
/// People whose regions are smaller than this part of the picture's shorter side are passers-by far away.
const SMALLEST: f32 = 0.2;
/// Two readings whose landmarks lie this near, as part of the region, are of one person.
const SAME: f32 = 0.09;
/// A detection this near to a region that was read is of the same person.
const COVERED: f32 = 0.13;
/// How alike two looks must be to be taken for one person: after a gap, and after a cut.
const RETURNED: f32 = 0.55;
/// Two people have changed places if that makes their looks so much more alike: anybody, and people who met just now.
const SWAPPED: [f32; 2] = [0.35, 0.15];
/// Somebody followed is somebody else, who was lost, if that looks so much more alike: anybody, and somebody who met another just now.
const TAKEN_FOR: [f32; 2] = [0.3, 0.15];
/// People have met just now for so many frames. Whoever got lost may be behind somebody who is nearer than this part of the region to where they
/// were, or would be by now.
const JUST: usize = 30;
const BEHIND: f32 = 0.6;
/// From frame to frame somebody becomes larger or smaller by at most this factor, for all that is remembered of where they were.
const GROWS: f32 = 1.08;
/// Looks are learnt while nobody else is nearer than this part of the region.
const ALONE: f32 = 0.3;

/// Somebody new beside whom somebody known gets lost is that one, if it shows within so many frames: alike, this near as part of the
/// region, and about as large.
const NEWBORN: usize = 15;
const BESIDE: f32 = 0.45;
const AS_LARGE: f32 = 0.4;

/// Somebody may be read on the whole body for so many frames before what was read on a part of it is read again.
const AGREEING: usize = 5;

/// What the tracker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackOptions {
    /// How many people are followed at once.
    pub most: usize,
}

impl Default for TrackOptions {
    fn default() -> Self {
        Self { most: 8 }
    }
}

/// Somebody in a frame.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Who it is: a number from 0 on that stays with the person.
    pub person: usize,
    /// Region, landmarks and hands.
    pub observation: Observation,
    /// Which pixels are the person's, as the networks see it.
    pub evidence: Evidence,
    /// How alike the person looks to what is known of them, 0 to 1; `None` where too little is seen.
    pub familiar: Option<f32>,
}

/// One frame's result.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// Which frame it is, from 0.
    pub frame: usize,
    /// Everybody in view, the largest first.
    pub people: Vec<Sighting>,
    /// A cut: this frame has nothing to do with the one before.
    pub cut: bool,
    /// Those who were found only now, in frames before this one: which frame, and what was seen in it.
    pub earlier: Vec<(usize, Sighting)>,
}

impl Tracked {
    /// Everybody in view, and those who were found only now in frames before this one, each with the frame.
    pub fn into_sightings(self) -> impl Iterator<Item = (usize, Sighting)> {
        let Self { frame, people, earlier, .. } = self;
        people.into_iter().map(move |sighting| (frame, sighting)).chain(earlier)
    }
}

/// Somebody who was seen.
#[derive(Debug)]
struct Track {
    person: usize,
    /// Where to look next; `None` where the person is out of sight.
    region: Option<Region>,
    /// Where it was seen last in this shot, and how it moved from frame to frame.
    last: Option<(Region, [f32; 2])>,
    seen: usize,
    /// The frame in which the track began.
    born: usize,
    /// The last frame in which somebody else was beside or got lost beside, or this one was lost or found again.
    met: Option<usize>,
    look: Appearance,
    parts: Parts,
}

impl Track {
    /// Where the person was seen last in this shot, and how far from there a region is, in pixels, or from where they went since, if
    /// that is nearer: the last that is read of somebody is off now and then.
    fn away(&self, at: &Region, frame: usize) -> Option<(Region, f32)> {
        let (last, moved) = self.last?;
        let away = [0.0, (frame - self.seen) as f32].map(|gap| {
            let [dx, dy] = [0, 1].map(|k| at.centre[k] - last.centre[k] - gap * moved[k]);
            dx.hypot(dy)
        });
        Some((last, away[0].min(away[1])))
    }
}

/// A track's reading of a frame.
struct Read {
    track: usize,
    found: Found,
    look: Appearance,
}

impl Read {
    fn observation(&self) -> &Observation {
        self.found.observation()
    }
}

/// A track that was found in this frame, and the first frame that it may be followed back to.
struct Late {
    track: usize,
    since: usize,
}

/// The models, and where everybody was.
#[derive(Debug)]
pub struct Tracker {
    detector: Detector,
    reader: Reader,
    past: Past,
    options: TrackOptions,
    tracks: Vec<Track>,
    people: usize,
    /// Those who turned out to be somebody who was there before.
    same: Vec<(usize, usize)>,
    lost_at: Option<usize>,
    thumb: Vec<f32>,
    /// The mean change from frame to frame of late.
    usual: Option<f32>,
    frame: usize,
}

impl Tracker {
    /// A tracker with the embedded models.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn new(options: TrackOptions) -> Result<Self> {
        use anicrafter_person_models::{FACE_LANDMARK, HAND_LANDMARK, POSE_LANDMARK, SELFIE_SEGMENTATION};
        Ok(Self::with_models(
            Detector::new()?,
            Landmarker::from_bytes(POSE_LANDMARK)?,
            Segmenter::from_bytes(SELFIE_SEGMENTATION)?,
            HandReader::from_bytes(HAND_LANDMARK)?,
            FaceReader::from_bytes(FACE_LANDMARK)?,
            options,
        ))
    }

    /// A tracker with other models: the larger landmark model, say.
    #[must_use]
    pub fn with_models(
        detector: Detector,
        landmarker: Landmarker,
        segmenter: Segmenter,
        hand_reader: HandReader,
        face_reader: FaceReader,
        options: TrackOptions,
    ) -> Self {
        Self {
            detector,
            reader: Reader::new(landmarker, segmenter, hand_reader, face_reader),
            past: Past::default(),
            options,
            tracks: Vec::new(),
            people: 0,
            same: Vec::new(),
            lost_at: None,
            thumb: Vec::new(),
            usual: None,
            frame: 0,
        }
    }

    /// People who turned out to be somebody who had been seen before, in the order in which that came out: the number that was given
    /// first, and the one it should have been. Until then, frames have both.
    #[must_use]
    pub fn reunited(&self) -> &[(usize, usize)] {
        &self.same
    }

    /// Looks at the next frame.
    ///
    /// # Errors
    /// When the frame is empty or a model can't run.
    pub fn next_frame(&mut self, picture: &RgbImage) -> Result<Tracked> {
        let (w, h) = picture.dimensions();
        if w == 0 || h == 0 {
            return Err(Error::Empty { frame: self.frame });
        }
        let cut = self.is_cut(picture);
        if cut {
            for track in &mut self.tracks {
                (track.region, track.last, track.parts) = (None, None, Parts::default());
            }
            self.past.forget();
        }
        let mut reads = self.follow(picture)?;
        self.part_pairs(&mut reads);
        self.hand_over(&mut reads);
        self.reunite(&mut reads);
        let mut late =
            if self.is_time_to_look(cut) { self.look_around(picture, &mut reads)? } else { Vec::new() };
        self.swap_back(&mut reads);
        for read in &reads {
            if self.is_found_again(read)? && late.iter().all(|late| late.track != read.track) {
                late.push(Late { track: read.track, since: 0 });
            }
        }
        let people = self.remember(reads, picture)?;
        let mut earlier = Vec::new();
        for late in late {
            earlier.extend(self.follow_back(&late)?);
        }
        let seen = people.iter().map(|sighting| (sighting.person, sighting.observation.clone()));
        self.past.push(picture, seen.collect());
        let frame = self.frame;
        self.frame += 1;
        Ok(Tracked { frame, people, cut, earlier })
    }

    /// Reads everybody where they should be.
    fn follow(&mut self, picture: &RgbImage) -> Result<Vec<Read>> {
        let mut reads = Vec::new();
        for track in 0..self.tracks.len() {
            let Some(region) = self.tracks[track].region else { continue };
            match self.reader.read(region, picture)? {
                Some(found) => {
                    let look = Appearance::of(picture, &found.observation().landmarks);
                    reads.push(Read { track, found, look });
                }
                None => self.lose(track),
            }
        }
        Ok(reads)
    }

    fn lose(&mut self, track: usize) {
        self.tracks[track].region = None;
        self.tracks[track].parts = Parts::default();
        self.tracks[track].met = Some(self.frame);
        self.lost_at = Some(self.frame);
    }

    /// Where two tracks read one person, the one that doesn't look like it has lost its own.
    fn part_pairs(&mut self, reads: &mut Vec<Read>) {
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
    fn hand_over(&mut self, reads: &mut [Read]) {
        for read in reads {
            let Some(own) = alike(&self.tracks[read.track].look, &read.look) else { continue };
            let lost = (0..self.tracks.len()).filter(|n| {
                let track = &self.tracks[*n];
                track.region.is_none() && track.last.is_some()
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
    fn is_before_somebody(&self, at: &Region) -> bool {
        self.tracks.iter().filter(|track| track.region.is_none()).any(|track| {
            let Some((last, away)) = track.away(at, self.frame) else { return false };
            self.frame - track.seen <= JUST && away < BEHIND * at.size.max(last.size)
        })
    }

    /// Whoever comes out from behind a thing is found anew now and then, while their own track still reads what is left of them.
    fn reunite(&mut self, reads: &mut [Read]) {
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
    fn become_one(&mut self, newborn: usize, old: usize) {
        self.same.push((self.tracks[newborn].person, self.tracks[old].person));
        let Track { region, last, seen, parts, .. } = &mut self.tracks[newborn];
        let (region, last, seen, parts) = (region.take(), last.take(), *seen, std::mem::take(parts));
        let old = &mut self.tracks[old];
        (old.region, old.last, old.parts) = (region, last.or(old.last), parts);
        old.seen = old.seen.max(seen);
    }

    fn is_time_to_look(&self, cut: bool) -> bool {
        let lately = self.lost_at.is_some_and(|at| self.frame - at <= LOOK_AFTER);
        let nobody = self.tracks.iter().all(|track| track.region.is_none());
        cut || lately || nobody || self.frame.is_multiple_of(LOOK_EVERY)
    }

    /// Finds who isn't followed: those who return, and new ones.
    fn look_around(&mut self, picture: &RgbImage, reads: &mut Vec<Read>) -> Result<Vec<Late>> {
        let (w, h) = picture.dimensions();
        let lately = self.lost_at == Some(self.frame);
        let nobody = self.tracks.iter().all(|track| track.region.is_none());
        let detections = if lately || nobody || self.frame.is_multiple_of(CLOSELY_EVERY) {
            self.detector.detect_closely(picture)?
        } else {
            self.detector.detect(picture)?
        };
        let mut in_vain = 0;
        let mut late = Vec::new();
        for Detection { region, score } in detections {
            if reads.len() >= self.options.most || in_vain >= IN_VAIN {
                break;
            }
            if region.size < SMALLEST * w.min(h) as f32 {
                continue;
            }
            let is_covered = reads.iter().any(|read| {
                let at = read.found.reading.next;
                at.apart(&region) < COVERED * at.size.max(region.size)
                    && (0.6..1.7).contains(&(region.size / at.size))
            });
            if is_covered {
                continue;
            }
            let Some(found) = self.reader.read_new(region, picture)? else {
                in_vain += 1;
                continue;
            };
            let least = if score < MIN_SCORE { SURE_SCORE } else { MIN_SCORE };
            let region = found.observation().region;
            if found.observation().score < least
                || region.size < SMALLEST * w.min(h) as f32
                || reads.iter().any(|read| near(read.observation(), found.observation()) < SAME)
            {
                continue;
            }
            if self.is_a_part(found.observation(), reads, picture)? {
                in_vain += 1;
                continue;
            }
            let look = Appearance::of(picture, &found.observation().landmarks);
            if let Some(strayed) = self.strayed(&found, reads, picture)? {
                let read = &mut reads[strayed];
                (read.found, read.look) = (found, look);
                self.tracks[read.track].parts = Parts::default();
                late.push(Late { track: read.track, since: 0 });
                continue;
            }
            let known = self.known(&look, &region, reads);
            late.push(known);
            reads.push(Read { track: late[late.len() - 1].track, found, look });
        }
        Ok(late)
    }

    /// A track may have strayed to a part of the body, now and then where the head is out of the picture: which of those that are read
    /// did, as somebody who was found shows.
    fn strayed(&self, found: &Found, reads: &[Read], picture: &RgbImage) -> Result<Option<usize>> {
        for (n, read) in reads.iter().enumerate() {
            if is_part(read.observation(), found.observation())
                && !self.reader.has_own_face(read.observation(), found.observation(), picture)?
            {
                return Ok(Some(n));
            }
        }
        Ok(None)
    }

    /// Was a track read on a part of the body in one of the frames just before?
    fn is_found_again(&self, read: &Read) -> Result<bool> {
        let person = self.tracks[read.track].person;
        let past = (1..=AGREEING).filter_map(|n| self.past.before(n));
        let part = past
            .filter_map(|past| Some((past, past.of(person)?)))
            .find(|(_, before)| is_part(before, read.observation()));
        match part {
            Some((past, part)) => Ok(!self.reader.has_own_face(part, read.observation(), &past.picture)?),
            None => Ok(false),
        }
    }

    /// Is what was found a part of somebody who is read already?
    fn is_a_part(&self, found: &Observation, reads: &[Read], picture: &RgbImage) -> Result<bool> {
        for whole in reads.iter().map(Read::observation) {
            if (is_arm(whole, &found.region) || is_part(found, whole))
                && !self.reader.has_own_face(found, whole, picture)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The track of somebody who was found: one that is out of sight and alike, or a new one.
    fn known(&mut self, look: &Appearance, region: &Region, reads: &[Read]) -> Late {
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
            parts: Parts::default(),
        });
        self.people += 1;
        Late { track: self.tracks.len() - 1, since: 0 }
    }

    /// Two who passed each other may have been taken for each other.
    fn swap_back(&mut self, reads: &mut [Read]) {
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

    /// Keeps what was read for the next frame, and looks at face and hands.
    fn remember(&mut self, reads: Vec<Read>, picture: &RgbImage) -> Result<Vec<Sighting>> {
        let (w, h) = picture.dimensions();
        let alone: Vec<bool> = (0..reads.len())
            .map(|i| {
                let others = (0..reads.len()).filter(|j| *j != i);
                others.into_iter().all(|j| near(reads[i].observation(), reads[j].observation()) > ALONE)
                    && !self.is_before_somebody(&reads[i].observation().region)
            })
            .collect();
        // Where two faces would be at one place, one of them is behind the other, and would be taken for it.
        let faces: Vec<Option<Region>> = reads.iter().map(|read| read.found.face()).collect();
        let meets_another = |i: usize, face: &Region| {
            let others = faces.iter().enumerate().filter(|(j, _)| *j != i);
            others.filter_map(|(_, other)| other.as_ref()).any(|other| face.meets(other))
        };
        let own_faces: Vec<Option<Region>> =
            faces.iter().enumerate().map(|(i, face)| face.filter(|face| !meets_another(i, face))).collect();
        let mut people = Vec::with_capacity(reads.len());
        let reads = reads.into_iter().zip(alone).zip(own_faces);
        for ((Read { track, found, look }, alone), face) in reads {
            let track = &mut self.tracks[track];
            let familiar = alike(&track.look, &look);
            // The hands take turns: between two looks fingers change little.
            let side = self.frame % 2;
            let (observation, evidence, next) =
                self.reader.look_closer(found, &mut track.parts, face, side, picture)?;
            track.region = next.is_usable(w, h).then_some(next);
            let moved = match track.last {
                Some((last, _)) if track.seen + 1 == self.frame => {
                    [0, 1].map(|k| next.centre[k] - last.centre[k])
                }
                _ => [0.0; 2],
            };
            // The last that is read before somebody is lost may be as large as what is left of them.
            let size = match track.last {
                Some((last, _)) if track.seen + 1 == self.frame => {
                    next.size.clamp(last.size / GROWS, last.size * GROWS)
                }
                _ => next.size,
            };
            track.last = Some((Region { size, ..next }, moved));
            track.seen = self.frame;
            if alone {
                track.look.learn(&look);
            } else {
                track.met = Some(self.frame);
            }
            people.push(Sighting { person: track.person, observation, evidence, familiar });
        }
        people.sort_by(|a, b| b.observation.region.size.total_cmp(&a.observation.region.size));
        Ok(people)
    }

    /// Follows somebody who was found only now back to where they came from, as far as the frames are kept, they look alike and nobody
    /// else is there.
    fn follow_back(&mut self, late: &Late) -> Result<Vec<(usize, Sighting)>> {
        let track = &self.tracks[late.track];
        let (person, mut region) = (track.person, track.region);
        // Who it turned out to be, and how many frames were right already.
        let (mut same, mut agreed) = (None, 0);
        let mut parts = Parts::default();
        let mut earlier = Vec::new();
        let most = self.past.len().min(self.frame.saturating_sub(late.since));
        for n in 1..=most {
            let (Some(at), Some(past)) = (region, self.past.before(n)) else { break };
            let Some(found) = self.reader.read(at, &past.picture)? else { break };
            let familiar = alike(&track.look, &Appearance::of(&past.picture, &found.observation().landmarks));
            if familiar.is_some_and(|alike| alike < RETURNED) {
                break;
            }
            // Where a part of the body was read instead, that was wrong, and if it was taken for somebody else, who is lost now, that
            // is this one.
            let near = past.seen.iter().find(|(_, other)| near(other, found.observation()) < SAME);
            if let Some((other, part)) = near {
                let is_lost = || self.tracks.iter().any(|t| t.person == *other && t.region.is_none());
                let is_wrong = is_part(part, found.observation())
                    && (*other == person || is_lost())
                    && !self.reader.has_own_face(part, found.observation(), &past.picture)?;
                if !is_wrong {
                    // What is right already may have come after what is wrong.
                    agreed += 1;
                    if *other != person || agreed > AGREEING {
                        break;
                    }
                    region = Some(found.reading.next);
                    continue;
                }
                if *other != person && same.is_none() {
                    same = Some(*other);
                }
            }
            let others = || {
                let others = past.seen.iter().filter(|(other, _)| *other != person && same != Some(*other));
                others.filter_map(|(_, other)| Region::of_face(&other.landmarks))
            };
            let face = found.face().filter(|face| !others().any(|other| face.meets(&other)));
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

    fn is_cut(&mut self, picture: &RgbImage) -> bool {
        let thumb = Region::around(picture.width(), picture.height()).sample(picture, THUMB, 0.0, 255.0);
        // The square is black beside the picture.
        let (w, h) = (picture.width() as f32, picture.height() as f32);
        let part = w.min(h) / w.max(h);
        let sum = thumb.iter().zip(&self.thumb).map(|(a, b)| (a - b).abs()).sum::<f32>();
        let change = sum / (thumb.len() as f32 * part);
        let first = self.thumb.is_empty();
        self.thumb = thumb;
        if first {
            return false;
        }
        let sudden = self.usual.is_some_and(|usual| change > SUDDEN.0 && change > SUDDEN.1 * usual);
        let cut = change > CUT || sudden;
        if cut {
            self.usual = None;
        } else {
            let usual = self.usual.unwrap_or(change);
            self.usual = Some(usual + (change - usual) * USUAL);
        }
        cut
    }
}

/// How far apart two people are, as part of the larger region.
fn near(a: &Observation, b: &Observation) -> f32 {
    apart(&a.landmarks, &b.landmarks) / a.region.size.max(b.region.size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_in_a_grey_picture() {
        let mut tracker = Tracker::new(TrackOptions::default()).unwrap();
        let grey = RgbImage::from_pixel(160, 90, image::Rgb([120; 3]));
        let seen = tracker.next_frame(&grey).unwrap();
        assert!(seen.people.is_empty() && !seen.cut);
        assert!(tracker.next_frame(&RgbImage::from_pixel(160, 90, image::Rgb([250; 3]))).unwrap().cut);
        assert!(matches!(tracker.next_frame(&RgbImage::new(0, 4)), Err(Error::Empty { frame: 2 })));
    }
}
