//! Follows everybody through a video.

use crate::detector::{Detection, Detector};
use crate::error::{Error, Result};
use crate::face::FaceReader;
use crate::hands::{Followed, HandReader};
use crate::identity::{Appearance, alike, apart, is_arm};
use crate::landmarks::{Landmarker, Observation, Reading, Segmenter, input};
use crate::region::Region;
use crate::segmentation::{Evidence, Segmentation};
use image::RgbImage;

/// Below this score a person is lost.
const MIN_SCORE: f32 = 0.5;
/// Where the detection is less sure than that too, the landmarks must be surer.
const SURE_SCORE: f32 = 0.8;
/// A region that moved or grew by more than this part of its size is looked at once more.
const SETTLED: f32 = 0.08;
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
/// Where landmarks of a detection aren't found, its upper part may show them: how far up and how large, as parts of it.
const UPPER: (f32, f32) = (0.18, 0.7);
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
/// From frame to frame somebody in a close shot becomes larger or smaller by at most this factor.
const CLOSER: f32 = 1.05;
/// Looks are learnt while nobody else is nearer than this part of the region.
const ALONE: f32 = 0.3;

/// Somebody new beside whom somebody known gets lost is that one, if it shows within so many frames: alike, this near as part of the
/// region, and about as large.
const NEWBORN: usize = 15;
const BESIDE: f32 = 0.45;
const AS_LARGE: f32 = 0.4;

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
    /// Everybody in view, the largest first.
    pub people: Vec<Sighting>,
    /// A cut: this frame has nothing to do with the one before.
    pub cut: bool,
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

/// What is known of parts of somebody's body from the frame before: it goes with the place where they are.
#[derive(Debug, Default)]
struct Parts {
    /// The left and the right hand when they were looked at last.
    hands: [Option<Followed>; 2],
    /// Where the face is looked for next.
    face: Option<Region>,
    /// How large the body's region was, in a close shot whose face has been seen.
    whole: Option<f32>,
}

/// A track's reading of a frame.
struct Read {
    track: usize,
    reading: Reading,
    anybody: Segmentation,
    look: Appearance,
}

/// The models, and where everybody was.
#[derive(Debug)]
pub struct Tracker {
    detector: Detector,
    landmarker: Landmarker,
    segmenter: Segmenter,
    hand_reader: HandReader,
    face_reader: FaceReader,
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
            landmarker,
            segmenter,
            hand_reader,
            face_reader,
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
        }
        let mut reads = self.follow(picture)?;
        self.part_pairs(&mut reads);
        self.hand_over(&mut reads);
        self.reunite(&mut reads);
        if self.is_time_to_look(cut) {
            self.look_around(picture, &mut reads)?;
        }
        self.swap_back(&mut reads);
        let people = self.remember(reads, picture)?;
        self.frame += 1;
        Ok(Tracked { people, cut })
    }

    /// Reads everybody where they should be.
    fn follow(&mut self, picture: &RgbImage) -> Result<Vec<Read>> {
        let mut reads = Vec::new();
        for track in 0..self.tracks.len() {
            let Some(region) = self.tracks[track].region else { continue };
            match self.read(region, picture)? {
                Some((reading, anybody)) => {
                    let look = Appearance::of(picture, &reading.observation.landmarks);
                    reads.push(Read { track, reading, anybody, look });
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
            let pair = (i + 1..reads.len()).find(|j| near(&reads[i].reading, &reads[*j].reading) < SAME);
            let Some(j) = pair else {
                i += 1;
                continue;
            };
            // How well the person fits each track: its looks, and where it should be.
            let fits = |read: &Read| {
                let track = &self.tracks[read.track];
                let off = track.last.map_or(0.0, |(last, moved)| {
                    let at = read.reading.observation.region;
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
                self.tracks[n].region = Some(read.reading.next);
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
            let at = read.reading.observation.region;
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
                self.same.push((newborn.person, self.tracks[old].person));
                let newborn = &mut self.tracks[read.track];
                (newborn.region, newborn.last) = (None, None);
                let parts = std::mem::take(&mut newborn.parts);
                self.tracks[old].parts = parts;
                self.tracks[old].region = Some(read.reading.next);
                read.track = old;
            }
        }
    }

    fn is_time_to_look(&self, cut: bool) -> bool {
        let lately = self.lost_at.is_some_and(|at| self.frame - at <= LOOK_AFTER);
        let nobody = self.tracks.iter().all(|track| track.region.is_none());
        cut || lately || nobody || self.frame.is_multiple_of(LOOK_EVERY)
    }

    /// Finds who isn't followed: those who return, and new ones.
    fn look_around(&mut self, picture: &RgbImage, reads: &mut Vec<Read>) -> Result<()> {
        let (w, h) = picture.dimensions();
        let lately = self.lost_at == Some(self.frame);
        let nobody = self.tracks.iter().all(|track| track.region.is_none());
        let detections = if lately || nobody || self.frame.is_multiple_of(CLOSELY_EVERY) {
            self.detector.detect_closely(picture)?
        } else {
            self.detector.detect(picture)?
        };
        let mut in_vain = 0;
        for Detection { region, score } in detections {
            if reads.len() >= self.options.most || in_vain >= IN_VAIN {
                break;
            }
            if region.size < SMALLEST * w.min(h) as f32 {
                continue;
            }
            let is_covered = reads.iter().any(|read| {
                let at = read.reading.next;
                at.apart(&region) < COVERED * at.size.max(region.size)
                    && (0.6..1.7).contains(&(region.size / at.size))
            });
            if is_covered {
                continue;
            }
            let Some((reading, anybody)) = self.read_new(region, picture)? else {
                in_vain += 1;
                continue;
            };
            let least = if score < MIN_SCORE { SURE_SCORE } else { MIN_SCORE };
            let region = reading.observation.region;
            if reading.observation.score < least
                || region.size < SMALLEST * w.min(h) as f32
                || reads.iter().any(|read| near(&read.reading, &reading) < SAME)
            {
                continue;
            }
            let is_arm = reads.iter().any(|read| is_arm(&read.reading.observation, &region));
            if is_arm && self.has_no_face(&reading.observation, picture)? {
                in_vain += 1;
                continue;
            }
            let look = Appearance::of(picture, &reading.observation.landmarks);
            let track = self.known(&look, &region, reads);
            reads.push(Read { track, reading, anybody, look });
        }
        Ok(())
    }

    fn has_no_face(&self, of: &Observation, picture: &RgbImage) -> Result<bool> {
        let Some(expected) = Region::of_face(&of.landmarks) else { return Ok(true) };
        Ok(self.face_reader.read(expected, None, picture)?.is_none())
    }

    /// The track of somebody who was found: one that is out of sight and alike, or a new one.
    fn known(&mut self, look: &Appearance, region: &Region, reads: &[Read]) -> usize {
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
            return track;
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
        self.tracks.len() - 1
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
                others.into_iter().all(|j| near(&reads[i].reading, &reads[j].reading) > ALONE)
                    && !self.is_before_somebody(&reads[i].reading.observation.region)
            })
            .collect();
        // Where two faces would be at one place, one of them is behind the other, and would be taken for it.
        let faces: Vec<Option<Region>> =
            reads.iter().map(|read| Region::of_face(&read.reading.observation.landmarks)).collect();
        let meets_another = |i: usize, face: &Region| {
            let others = faces.iter().enumerate().filter(|(j, _)| *j != i);
            others.filter_map(|(_, other)| other.as_ref()).any(|other| face.meets(other))
        };
        let own_faces: Vec<Option<Region>> =
            faces.iter().enumerate().map(|(i, face)| face.filter(|face| !meets_another(i, face))).collect();
        let mut people = Vec::with_capacity(reads.len());
        let reads = reads.into_iter().zip(alone).zip(own_faces);
        for ((Read { track, mut reading, anybody, look }, alone), face) in reads {
            let track = &mut self.tracks[track];
            let familiar = alike(&track.look, &look);
            let observation = &mut reading.observation;
            let before = track.parts.face.take();
            let mut next = reading.next;
            let face = match face {
                Some(expected) => self.face_reader.read(expected, before, picture)?,
                None => None,
            };
            let is_close = reading.close.is_some();
            let known = track.parts.whole.take().filter(|_| is_close);
            if let Some(face) = face {
                face.refine(&mut observation.landmarks);
                let whole = face.whole();
                if is_close && whole.is_usable(w, h) {
                    (next, track.parts.whole) = (whole, Some(whole.size));
                }
                (track.parts.face, observation.face) = (Some(face.next), Some(face.face));
            } else if let Some(size) = known {
                // Nobody comes nearer that fast.
                next.size = next.size.clamp(size / CLOSER, size * CLOSER);
                track.parts.whole = Some(next.size);
            }
            track.region = next.is_usable(w, h).then_some(next);
            let moved = match track.last {
                Some((last, _)) if track.seen + 1 == self.frame => {
                    [0, 1].map(|k| next.centre[k] - last.centre[k])
                }
                _ => [0.0; 2],
            };
            track.last = Some((next, moved));
            track.seen = self.frame;
            if alone {
                track.look.learn(&look);
            } else {
                track.met = Some(self.frame);
            }
            // The hands take turns: between two looks fingers change little.
            let side = self.frame % 2;
            let hand = &mut track.parts.hands[side];
            let before = hand.take();
            *hand = self.hand_reader.read(side, &observation.landmarks, before.as_ref(), picture)?;
            observation.hands[side] = hand.as_ref().map(|followed| followed.hand.clone());
            let own = Segmentation::new(observation.region, &reading.segmentation);
            let evidence = Evidence { own, anybody };
            let observation = reading.observation;
            people.push(Sighting { person: track.person, observation, evidence, familiar });
        }
        people.sort_by(|a, b| b.observation.region.size.total_cmp(&a.observation.region.size));
        Ok(people)
    }

    /// Reads a detection; where most of the body is hidden, its upper part.
    fn read_new(&self, region: Region, picture: &RgbImage) -> Result<Option<(Reading, Segmentation)>> {
        if let Some(found) = self.read(region, picture)? {
            return Ok(Some(found));
        }
        let (sin, cos) = region.angle.sin_cos();
        let up = UPPER.0 * region.size;
        let centre = [region.centre[0] + sin * up, region.centre[1] - cos * up];
        self.read(Region { centre, size: UPPER.1 * region.size, ..region }, picture)
    }

    /// Reads a region, and once more where the person turns out to be elsewhere in it.
    fn read(&self, region: Region, picture: &RgbImage) -> Result<Option<(Reading, Segmentation)>> {
        let mut found = self.read_both(region, picture)?;
        if found.0.observation.score < MIN_SCORE {
            return Ok(None);
        }
        let next = found.0.next;
        let [dx, dy] = [0, 1].map(|i| next.centre[i] - region.centre[i]);
        let moved = dx.hypot(dy) / region.size;
        let grown = (next.size / region.size).ln().abs();
        // What a guess about hips turned is looked at upright.
        let turned = if found.0.close.is_some() { (next.angle - region.angle).sin().abs() } else { 0.0 };
        if moved.max(grown).max(turned) > SETTLED && next.is_usable(picture.width(), picture.height()) {
            let again = self.read_both(next, picture)?;
            if again.0.observation.score >= MIN_SCORE {
                found = again;
            }
        }
        let (reading, anybody) = found;
        // Segmentation isn't made for a body that is mostly out of the picture.
        let anybody = match reading.close {
            Some(region) => Segmentation::new(region, &self.segmenter.read(&input(&region, picture))?),
            None => anybody,
        };
        Ok(Some((reading, anybody)))
    }

    /// Landmarks and selfie segmentation of a region, side by side.
    fn read_both(&self, region: Region, picture: &RgbImage) -> Result<(Reading, Segmentation)> {
        let pixels = input(&region, picture);
        let size = picture.dimensions();
        let (reading, selfie) =
            rayon::join(|| self.landmarker.read(region, &pixels, size), || self.segmenter.read(&pixels));
        Ok((reading?, Segmentation::new(region, &selfie?)))
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

/// How far apart two readings are, as part of the larger region.
fn near(a: &Reading, b: &Reading) -> f32 {
    let size = a.observation.region.size.max(b.observation.region.size);
    apart(&a.observation.landmarks, &b.observation.landmarks) / size
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
