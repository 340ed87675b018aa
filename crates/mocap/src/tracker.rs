//! Follows one person through a video.

use crate::detector::{Detection, Detector};
use crate::error::{Error, Result};
use crate::hands::{Followed, HandReader};
use crate::landmarks::{Landmarker, Observation, Reading, SIZE, Segmenter, input};
use crate::region::Region;
use image::{GrayImage, RgbImage};
use rayon::prelude::*;

/// Below this score the person is lost.
const MIN_SCORE: f32 = 0.5;
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

/// What the tracker is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackOptions {
    /// Which person is followed, from 0: the largest first, as seen where tracking begins.
    pub person: usize,
}

/// One frame's result.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// The person, if there is one.
    pub observation: Option<Observation>,
    /// How likely each pixel belongs to the person, 0..255, at the picture's size.
    pub matte: GrayImage,
    /// How many people were seen, where the whole picture was looked at.
    pub people: Option<usize>,
    /// A cut: this frame has nothing to do with the one before.
    pub cut: bool,
}

/// The models, and where the person was.
#[derive(Debug)]
pub struct Tracker {
    detector: Detector,
    landmarker: Landmarker,
    segmenter: Segmenter,
    hand_reader: HandReader,
    options: TrackOptions,
    /// The left and the right hand when they were looked at last.
    hands: [Option<Followed>; 2],
    region: Option<Region>,
    last_seen: Option<Region>,
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
        use anicrafter_person_models::{HAND_LANDMARK, POSE_LANDMARK, SELFIE_SEGMENTATION};
        Ok(Self::with_models(
            Detector::new()?,
            Landmarker::from_bytes(POSE_LANDMARK)?,
            Segmenter::from_bytes(SELFIE_SEGMENTATION)?,
            HandReader::from_bytes(HAND_LANDMARK)?,
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
        options: TrackOptions,
    ) -> Self {
        Self {
            detector,
            landmarker,
            segmenter,
            hand_reader,
            options,
            hands: [None, None],
            region: None,
            last_seen: None,
            thumb: Vec::new(),
            usual: None,
            frame: 0,
        }
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
            (self.region, self.last_seen) = (None, None);
            self.hands = [None, None];
        }
        let mut people = None;
        let mut reading = None;
        if let Some(region) = self.region {
            reading = self.read(region, picture)?;
        }
        if reading.is_none() {
            let found = self.detector.detect(picture)?;
            people = Some(found.len());
            if let Some(chosen) = self.choose(&found) {
                reading = self.read(chosen.region, picture)?;
            }
        }
        self.frame += 1;
        let Some((mut reading, selfie)) = reading else {
            (self.region, self.hands) = (None, [None, None]);
            return Ok(Tracked { observation: None, matte: GrayImage::new(w, h), people, cut });
        };
        self.region = reading.next.is_usable(w, h).then_some(reading.next);
        self.last_seen = self.region.or(self.last_seen);
        // The hands take turns: between two looks fingers change little.
        let side = self.frame % 2;
        let observation = &mut reading.observation;
        let before = self.hands[side].take();
        self.hands[side] = self.hand_reader.read(side, &observation.landmarks, before.as_ref(), picture)?;
        observation.hands[side] = self.hands[side].as_ref().map(|followed| followed.hand.clone());
        let both: Vec<f32> = reading.segmentation.iter().zip(&selfie).map(|(a, b)| a.max(*b)).collect();
        let matte = spread(&reading.observation.region, &both, w, h);
        Ok(Tracked { observation: Some(reading.observation), matte, people, cut })
    }

    /// The person that is meant: the one nearest to where it was, else the n-th largest.
    fn choose(&self, found: &[Detection]) -> Option<Detection> {
        if let Some(last) = self.last_seen {
            let distance = |d: &Detection| {
                let [dx, dy] = [0, 1].map(|i| d.region.centre[i] - last.centre[i]);
                dx.hypot(dy) / last.size + (d.region.size / last.size).ln().abs()
            };
            return found.iter().copied().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        }
        found.get(self.options.person).copied()
    }

    /// Reads a region, and once more where the person turns out to be elsewhere in it.
    fn read(&self, region: Region, picture: &RgbImage) -> Result<Option<(Reading, Vec<f32>)>> {
        let mut found = self.read_both(region, picture)?;
        if found.0.observation.score < MIN_SCORE {
            return Ok(None);
        }
        let next = found.0.next;
        let [dx, dy] = [0, 1].map(|i| next.centre[i] - region.centre[i]);
        let moved = dx.hypot(dy) / region.size;
        let grown = (next.size / region.size).ln().abs();
        if (moved > SETTLED || grown > SETTLED) && next.is_usable(picture.width(), picture.height()) {
            let again = self.read_both(next, picture)?;
            if again.0.observation.score >= MIN_SCORE {
                found = again;
            }
        }
        Ok(Some(found))
    }

    /// Landmarks and selfie segmentation of a region, side by side.
    fn read_both(&self, region: Region, picture: &RgbImage) -> Result<(Reading, Vec<f32>)> {
        let pixels = input(&region, picture);
        let (reading, selfie) =
            rayon::join(|| self.landmarker.read(region, &pixels), || self.segmenter.read(&pixels));
        Ok((reading?, selfie?))
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

/// A region's `[256, 256]` probabilities at a picture's size, bilinearly; 0 outside of the region.
fn spread(region: &Region, values: &[f32], width: u32, height: u32) -> GrayImage {
    let mut out = GrayImage::new(width, height);
    let [left, top, right, bottom] = region.bounds(width, height);
    let n = SIZE as f32;
    let [origin, across, down] = region.inverse_frame();
    let rows = out.par_chunks_mut(width as usize).enumerate().skip(top as usize);
    rows.take((bottom - top) as usize).for_each(|(y, row)| {
        let y = y as f32 + 0.5;
        let start = [0, 1].map(|k| origin[k] + down[k] * y);
        for x in left..right {
            let step = x as f32 + 0.5;
            let at = [0, 1].map(|k| start[k] + across[k] * step);
            if !at.iter().all(|v| (0.0..1.0).contains(v)) {
                continue;
            }
            let [u, v] = at.map(|v| (v * n - 0.5).clamp(0.0, n - 1.001));
            let (x0, y0) = (u as usize, v as usize);
            let (fx, fy) = (u - x0 as f32, v - y0 as f32);
            let i = y0 * SIZE + x0;
            let upper = values[i] + (values[i + 1] - values[i]) * fx;
            let lower = values[i + SIZE] + (values[i + SIZE + 1] - values[i + SIZE]) * fx;
            row[x as usize] = ((upper + (lower - upper) * fy) * 255.0 + 0.5) as u8;
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_in_a_grey_picture() {
        let mut tracker = Tracker::new(TrackOptions::default()).unwrap();
        let grey = RgbImage::from_pixel(160, 90, image::Rgb([120; 3]));
        let seen = tracker.next_frame(&grey).unwrap();
        assert!(seen.observation.is_none() && seen.people == Some(0) && !seen.cut);
        assert!(seen.matte.iter().all(|v| *v == 0));
        assert!(tracker.next_frame(&RgbImage::from_pixel(160, 90, image::Rgb([250; 3]))).unwrap().cut);
        assert!(matches!(tracker.next_frame(&RgbImage::new(0, 4)), Err(Error::Empty { frame: 2 })));
    }
}
