//! Reads somebody in a region of a frame: landmarks, which pixels are theirs, then face and hands.

use crate::error::Result;
use crate::face::FaceReader;
use crate::hands::{Followed, HandReader};
use crate::landmarks::{Landmarker, Observation, Reading, Segmenter, input, is_inside};
use crate::region::Region;
use crate::segmentation::{Evidence, Segmentation};
use image::RgbImage;
use std::borrow::Cow;

/// Below this score there is nobody.
pub(crate) const MIN_SCORE: f32 = 0.5;
/// A region that moved or grew by more than this part of its size is looked at once more.
const SETTLED: f32 = 0.08;
/// Where landmarks of a detection aren't found, its upper part may show them: how far up and how large, as parts of it.
const UPPER: (f32, f32) = (0.18, 0.7);
/// From frame to frame somebody in a close shot becomes larger or smaller by at most this factor.
const CLOSER: f32 = 1.05;

/// What is known of parts of somebody's body from the frame beside: it goes with the place where they are.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// The left and the right hand when they were looked at last.
    hands: [Option<Followed>; 2],
    /// Where the face is looked for next.
    face: Option<Region>,
    /// How large the body's region was, in a close shot whose face has been seen.
    whole: Option<f32>,
}

/// Landmarks of somebody, and which pixels around them are anybody's.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) reading: Reading,
    pub(crate) anybody: Segmentation,
}

impl Found {
    pub(crate) fn observation(&self) -> &Observation {
        &self.reading.observation
    }

    /// Where the face should be.
    pub(crate) fn face(&self) -> Option<Region> {
        Region::of_face(&self.observation().landmarks)
    }
}

/// The models.
#[derive(Debug)]
pub(crate) struct Reader {
    landmarker: Landmarker,
    segmenter: Segmenter,
    hands: HandReader,
    faces: FaceReader,
}

impl Reader {
    pub(crate) fn new(
        landmarker: Landmarker,
        segmenter: Segmenter,
        hands: HandReader,
        faces: FaceReader,
    ) -> Self {
        Self { landmarker, segmenter, hands, faces }
    }

    /// Reads a detection; where most of the body is hidden, its upper part. `heads` are those of others.
    pub(crate) fn read_new(
        &self,
        region: Region,
        heads: &[Region],
        picture: &RgbImage,
    ) -> Result<Option<Found>> {
        if let Some(found) = self.read(region, heads, picture)? {
            return Ok(Some(found));
        }
        let upper = Region { centre: region.above(UPPER.0), size: UPPER.1 * region.size, ..region };
        self.read(upper, heads, picture)
    }

    /// Reads a region, and once more where the person turns out to be elsewhere in it. `heads` are those of others: where the region
    /// shows them too, because it is larger than the picture, the landmarks' network doesn't see them, or it might take one.
    pub(crate) fn read(&self, region: Region, heads: &[Region], picture: &RgbImage) -> Result<Option<Found>> {
        let shown = without_heads(&region, heads, picture);
        let mut found = self.read_once(region, &shown)?;
        if found.observation().score < MIN_SCORE {
            return Ok(None);
        }
        let next = found.reading.next;
        let [dx, dy] = [0, 1].map(|i| next.centre[i] - region.centre[i]);
        let moved = dx.hypot(dy) / region.size;
        let grown = (next.size / region.size).ln().abs();
        // What a guess about hips turned is looked at upright.
        let turned =
            if found.reading.close.is_some() { (next.angle - region.angle).sin().abs() } else { 0.0 };
        if moved.max(grown).max(turned) > SETTLED && next.is_usable(picture.width(), picture.height()) {
            let again = self.read_once(next, &shown)?;
            if again.observation().score >= MIN_SCORE {
                found = again;
            }
        }
        // Segmentation isn't made for a body that is mostly out of the picture.
        if let Some(region) = found.reading.close {
            found.anybody = Segmentation::new(region, &self.segmenter.read(&input(&region, picture))?);
        }
        Ok(Some(found))
    }

    /// Landmarks and selfie segmentation of a region, side by side.
    fn read_once(&self, region: Region, picture: &RgbImage) -> Result<Found> {
        let pixels = input(&region, picture);
        let size = picture.dimensions();
        let (reading, selfie) =
            rayon::join(|| self.landmarker.read(region, &pixels, size), || self.segmenter.read(&pixels));
        Ok(Found { reading: reading?, anybody: Segmentation::new(region, &selfie?) })
    }

    /// Has somebody who is read on a part of somebody else's body a face that isn't the other one's?
    pub(crate) fn has_own_face(
        &self,
        part: &Observation,
        whole: &Observation,
        picture: &RgbImage,
    ) -> Result<bool> {
        let Some(expected) = Region::of_face(&part.landmarks) else { return Ok(false) };
        let Some(face) = self.faces.read(expected, None, picture)? else { return Ok(false) };
        Ok(Region::of_face(&whole.landmarks).is_none_or(|other| !face.next.meets(&other)))
    }

    /// Looks at face and one hand, and keeps in `parts` what the frame beside needs; gives what was seen, what networks say of the
    /// pixels, and the region for the frame beside. `face` is where it should be, if anywhere; side 0 is the left hand.
    pub(crate) fn look_closer(
        &self,
        Found { mut reading, anybody }: Found,
        parts: &mut Parts,
        face: Option<Region>,
        side: usize,
        picture: &RgbImage,
    ) -> Result<(Observation, Evidence, Region)> {
        let (w, h) = picture.dimensions();
        let is_close = reading.close.is_some();
        let observation = &mut reading.observation;
        if is_close {
            forget_guessed_arms(observation, &anybody, [w, h]);
        }
        let mut next = reading.next;
        let face_before = parts.face.take();
        let hand = &mut parts.hands[side];
        let hand_before = hand.take();
        let (face, hand_now) = rayon::join(
            || face.map_or(Ok(None), |expected| self.faces.read(expected, face_before, picture)),
            || self.hands.read(side, &observation.landmarks, hand_before.as_ref(), picture),
        );
        *hand = hand_now?;
        observation.hands[side] = hand.as_ref().map(|followed| followed.hand.clone());
        let known = parts.whole.take().filter(|_| is_close);
        if let Some(face) = face? {
            face.refine(&mut observation.landmarks);
            let whole = face.whole();
            if is_close && whole.is_usable(w, h) {
                (next, parts.whole) = (whole, Some(whole.size));
            }
            (parts.face, observation.face) = (Some(face.next), Some(face.face));
        } else if let Some(size) = known {
            // Nobody comes nearer that fast.
            next.size = next.size.clamp(size / CLOSER, size * CLOSER);
            parts.whole = Some(next.size);
        }
        let mut own = Segmentation::new(observation.region, &reading.segmentation);
        if is_close {
            own = own.refined_by(&anybody, w.max(h));
        }
        Ok((reading.observation, Evidence { own, anybody }, next))
    }
}

/// Others' heads are at least so far from somebody's own, as part of the region's size.
const APART: f32 = 0.08;
/// What is covered is so much larger than a face, for the hair.
const HAIR: f32 = 1.2;

/// A picture in which other people's heads are grey, where somebody's region is larger than it.
fn without_heads<'a>(region: &Region, heads: &[Region], picture: &'a RgbImage) -> Cow<'a, RgbImage> {
    let (w, h) = picture.dimensions();
    let mut shown = Cow::Borrowed(picture);
    if region.size < w.max(h) as f32 {
        return shown;
    }
    let own = region.head();
    for head in heads.iter().map(|head| Region { size: HAIR * head.size, ..*head }) {
        if head.apart(&own) < APART * region.size {
            continue;
        }
        let [left, top, right, bottom] = head.bounds(w, h);
        for (x, y) in (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y))) {
            let at = head.from_picture([x as f32 + 0.5, y as f32 + 0.5]);
            if at.iter().all(|v| (0.0..1.0).contains(v)) {
                shown.to_mut().put_pixel(x, y, image::Rgb([128; 3]));
            }
        }
    }
    shown
}

/// The left shoulder, elbow and wrist, and the last finger of the right hand: those of the two sides take turns.
const ARM: [usize; 3] = [11, 13, 15];
const LAST_FINGER: usize = 22;
/// A hand that is less visible than this isn't seen.
const HAND: f32 = 0.5;
/// Metres around an elbow or a wrist of which so much must be somebody's.
const ELBOW_M: f32 = 0.04;
const ELBOW: f32 = 0.5;
const PART_OF_HAND: f32 = 0.25;

/// Arms that hang out of a close shot are guessed as raised beside the head now and then: a raised one whose hand isn't seen isn't seen
/// either where its elbow is in the picture and nobody is there, nor where the elbow is out of a picture that doesn't show the hips.
fn forget_guessed_arms(observation: &mut Observation, anybody: &Segmentation, size: [u32; 2]) {
    let radius = ELBOW_M * observation.region.pixels_of_a_metre();
    let is_close = observation.is_close(size);
    for side in 0..2 {
        let [shoulder, elbow, wrist] = ARM.map(|i| observation.landmarks[i + side]);
        let is_raised = elbow.pixel[1] < shoulder.pixel[1];
        let hand = || {
            wrist.visibility >= HAND
                && is_inside(wrist.pixel, size)
                && anybody.share(wrist.pixel, radius) >= PART_OF_HAND
        };
        let is_guess = || match is_inside(elbow.pixel, size) {
            true => anybody.share(elbow.pixel, radius) < ELBOW,
            false => is_close,
        };
        if is_raised && !hand() && is_guess() {
            for landmark in observation.landmarks[ARM[1] + side..=LAST_FINGER].iter_mut().step_by(2) {
                (landmark.visibility, landmark.presence) = (0.0, 0.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landmarks::{Landmark, N_LANDMARKS};

    #[test]
    fn others_heads_are_only_covered_where_a_region_is_larger_than_the_picture() {
        let white = RgbImage::from_pixel(200, 100, image::Rgb([255; 3]));
        // Heads lie at (60, 20) and (140, 20).
        let region = |x: f32, size: f32| Region { centre: [x, 20.0 + 0.3 * size], size, angle: 0.0 };
        let heads = [region(60.0, 400.0).head(), region(140.0, 400.0).head()];
        let shown = without_heads(&region(60.0, 400.0), &heads, &white);
        let at = |x, y| shown.get_pixel(x, y)[0];
        assert_eq!((at(60, 20), at(140, 20), at(140, 60)), (255, 128, 255));
        assert_eq!(*without_heads(&region(60.0, 150.0), &heads, &white), white);
    }

    #[test]
    fn a_raised_arm_is_only_believed_where_somebody_is() {
        // Somebody fills the lower half of a picture of 100 × 100, four times as large as which the region is.
        let whole = Region { centre: [50.0; 2], size: 400.0, angle: 0.0 };
        let n = Segmentation::SIDE * Segmentation::SIDE;
        let likely: Vec<f32> = (0..n).map(|i| if i < n / 2 { 0.0 } else { 1.0 }).collect();
        let anybody = Segmentation::new(Region::around(100, 100), &likely);
        let arm = |elbow: [f32; 2], wrist: f32, seen: f32, hips: f32| {
            let hips =
                Landmark { pixel: [50.0, hips], visibility: 0.9, presence: 0.9, ..Landmark::default() };
            let mut landmarks = vec![hips; N_LANDMARKS];
            (landmarks[11].pixel, landmarks[13].pixel) = ([60.0, 90.0], elbow);
            (landmarks[15].pixel, landmarks[15].visibility) = ([70.0, wrist], seen);
            let mut observation =
                Observation { region: whole, score: 1.0, landmarks, hands: [None, None], face: None };
            forget_guessed_arms(&mut observation, &anybody, [100, 100]);
            observation.landmarks[13].visibility
        };
        // Where nobody is, with a hand beside it, above the picture, or said to be where nobody is; out of a picture without hips.
        for guessed in [
            arm([80.0, 20.0], 30.0, 0.2, 99.0),
            arm([80.0, 20.0], -30.0, 0.8, 99.0),
            arm([80.0, 20.0], 30.0, 0.8, 99.0),
            arm([120.0, 70.0], -30.0, 0.2, 150.0),
        ] {
            assert_eq!(guessed, 0.0);
        }
        // Behind the head; a hand that is seen; out of a picture with hips; an arm that hangs.
        for believed in [
            arm([80.0, 70.0], 30.0, 0.2, 150.0),
            arm([80.0, 20.0], 60.0, 0.8, 150.0),
            arm([120.0, 70.0], -30.0, 0.2, 99.0),
            arm([80.0, 95.0], 30.0, 0.2, 150.0),
        ] {
            assert_eq!(believed, 0.9);
        }
    }
}
