//! Follows everybody through a video.

mod back;
mod who;

use crate::cuts::Cuts;
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
use back::Late;
use image::RgbImage;
use rayon::prelude::*;

/// Where the detection is less sure than that too, the landmarks must be surer.
const SURE_SCORE: f32 = 0.8;
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
/// From frame to frame somebody becomes larger or smaller by at most this factor, for all that is remembered of where they were.
const GROWS: f32 = 1.08;
/// Looks are learnt while nobody else is nearer than this part of the region.
const ALONE: f32 = 0.3;

/// Whoever is lost comes out at most so far away, as part of the region, and so much larger or smaller, as a logarithm: at once, and with
/// each frame that passes.
const COMES: (f32, f32) = (0.6, 0.03);

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
    /// What is known of their looks.
    look: Appearance,
    /// How they look in the last frame in which they were seen.
    now: Appearance,
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

    /// Can somebody who was lost in this shot have come to where a region is, and have become as large?
    fn may_be_at(&self, at: &Region, frame: usize) -> bool {
        let most = COMES.0 + COMES.1 * frame.saturating_sub(self.seen) as f32;
        self.away(at, frame).is_some_and(|(last, away)| {
            away < most * at.size.max(last.size) && (at.size / last.size).ln().abs() < most
        })
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
    cuts: Cuts,
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
            cuts: Cuts::default(),
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
        let cut = self.cuts.is_cut(picture);
        if cut {
            for track in &mut self.tracks {
                (track.region, track.last, track.parts) = (None, None, Parts::default());
            }
            self.past.forget();
        }
        // The networks run side by side; when somebody gets lost it is looked again, more closely.
        let closely = self.looks_closely();
        let (followed, detected) = rayon::join(
            || self.read_all(picture),
            || self.is_time_to_look(cut).then(|| self.detect(picture, closely)).transpose(),
        );
        let detected = detected?;
        let mut reads = self.follow(followed?, picture);
        self.part_pairs(&mut reads);
        self.hand_over(&mut reads);
        self.reunite(&mut reads);
        let mut late = Vec::new();
        if self.is_time_to_look(cut) {
            let now = self.looks_closely();
            let detections = match detected {
                Some(detections) if now == closely => detections,
                _ => self.detect(picture, now)?,
            };
            late = self.look_around(picture, &detections, &mut reads)?;
        }
        self.swap_back(&mut reads);
        for read in &reads {
            if self.is_found_again(read) && late.iter().all(|late| late.track != read.track) {
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

    /// Reads everybody where they should be: by track, and nothing where nobody is.
    fn read_all(&self, picture: &RgbImage) -> Result<Vec<(usize, Option<Found>)>> {
        let tracks: Vec<(usize, Region)> =
            self.tracks.iter().enumerate().filter_map(|(n, track)| Some((n, track.region?))).collect();
        let read = |(track, region): &(usize, Region)| {
            let before = self.past.before(1);
            let heads =
                before.map_or_else(Vec::new, |past| past.faces_besides(&[self.tracks[*track].person]));
            Ok((*track, self.reader.read(*region, &heads, picture)?))
        };
        tracks.par_iter().map(read).collect()
    }

    /// Takes what was read of everybody, and loses those who aren't there.
    fn follow(&mut self, found: Vec<(usize, Option<Found>)>, picture: &RgbImage) -> Vec<Read> {
        let mut reads = Vec::new();
        for (track, found) in found {
            match found {
                Some(found) => {
                    let look = Appearance::of(picture, &found.observation().landmarks);
                    reads.push(Read { track, found, look });
                }
                None => self.lose(track),
            }
        }
        reads
    }

    fn lose(&mut self, track: usize) {
        self.tracks[track].region = None;
        self.tracks[track].parts = Parts::default();
        self.tracks[track].met = Some(self.frame);
        self.lost_at = Some(self.frame);
    }

    fn is_time_to_look(&self, cut: bool) -> bool {
        let lately = self.lost_at.is_some_and(|at| self.frame - at <= LOOK_AFTER);
        let nobody = self.tracks.iter().all(|track| track.region.is_none());
        cut || lately || nobody || self.frame.is_multiple_of(LOOK_EVERY)
    }

    /// Is the whole picture looked at closely, when it is?
    fn looks_closely(&self) -> bool {
        let lately = self.lost_at == Some(self.frame);
        let nobody = self.tracks.iter().all(|track| track.region.is_none());
        lately || nobody || self.frame.is_multiple_of(CLOSELY_EVERY)
    }

    /// Looks for people in the whole picture.
    fn detect(&self, picture: &RgbImage, closely: bool) -> Result<Vec<Detection>> {
        if closely { self.detector.detect_closely(picture) } else { self.detector.detect(picture) }
    }

    /// Finds who isn't followed among those who were detected: those who return, and new ones.
    fn look_around(
        &mut self,
        picture: &RgbImage,
        detections: &[Detection],
        reads: &mut Vec<Read>,
    ) -> Result<Vec<Late>> {
        let (w, h) = picture.dimensions();
        let mut in_vain = 0;
        let mut late = Vec::new();
        for (n, Detection { region, score }) in detections.iter().cloned().enumerate() {
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
            let others =
                detections.iter().enumerate().filter(|(m, other)| *m != n && other.score >= SURE_SCORE);
            let heads: Vec<Region> = reads
                .iter()
                .filter_map(|read| read.found.face())
                .chain(others.map(|(_, other)| other.region.head()))
                .collect();
            let Some(found) = self.reader.read_new(region, &heads, picture)? else {
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
            reads.push(Read { track: known.track, found, look });
            late.push(known);
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
        // The hands take turns: between two looks fingers change little.
        let side = self.frame % 2;
        let parts: Vec<Parts> =
            reads.iter().map(|read| std::mem::take(&mut self.tracks[read.track].parts)).collect();
        let looked = reads.into_par_iter().zip(parts).zip(own_faces).map(|((read, mut parts), face)| {
            let Read { track, found, look } = read;
            let seen = self.reader.look_closer(found, &mut parts, face, side, picture)?;
            Ok((track, look, parts, seen))
        });
        let looked = looked.collect::<Result<Vec<_>>>()?;
        let mut people = Vec::with_capacity(looked.len());
        for ((track, look, parts, (observation, evidence, next)), alone) in looked.into_iter().zip(alone) {
            let track = &mut self.tracks[track];
            track.parts = parts;
            let familiar = alike(&track.look, &look);
            track.region = next.is_usable(w, h).then_some(next);
            let (moved, size) = match track.last {
                // The last that is read before somebody is lost may be as large as what is left of them.
                Some((last, _)) if track.seen + 1 == self.frame => (
                    [0, 1].map(|k| next.centre[k] - last.centre[k]),
                    next.size.clamp(last.size / GROWS, last.size * GROWS),
                ),
                _ => ([0.0; 2], next.size),
            };
            track.last = Some((Region { size, ..next }, moved));
            track.seen = self.frame;
            if alone {
                track.look.learn(&look);
            } else {
                track.met = Some(self.frame);
            }
            track.now = look;
            people.push(Sighting { person: track.person, observation, evidence, familiar });
        }
        people.sort_by(|a, b| b.observation.region.size.total_cmp(&a.observation.region.size));
        Ok(people)
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
    fn who_is_lost_far_away_is_not_who_stands_near() {
        let look = Appearance::of(&RgbImage::new(8, 8), &[]);
        let region = |x: f32, size: f32| Region { centre: [x, 300.0], size, angle: 0.0 };
        let track = Track {
            person: 0,
            region: None,
            last: Some((region(60.0, 440.0), [4.0, 0.0])),
            seen: 10,
            born: 0,
            met: None,
            now: look.clone(),
            look,
            parts: Parts::default(),
        };
        // On the other side of somebody just passed, but neither far across nor many times as large at once.
        assert!(track.may_be_at(&region(200.0, 450.0), 16));
        assert!(!track.may_be_at(&region(500.0, 450.0), 11) && !track.may_be_at(&region(60.0, 2900.0), 11));
        // With time they may have walked there.
        assert!(track.may_be_at(&region(900.0, 450.0), 70));
    }

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
