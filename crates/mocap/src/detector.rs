//! Finds people in a whole picture.
//!
//! The model gives 2254 boxes relative to fixed anchor points: two a cell of 28 × 28 and 14 × 14, six a cell of 7 × 7, each
//! with four points of which the first is the middle of the hips and the second the top of a circle around the body.
//! Anchor layout and thresholds: MediaPipe's `pose_detection_cpu.pbtxt`.

use crate::error::Result;
use crate::network::{Network, logistic};
use crate::region::Region;
use image::RgbImage;
use rayon::prelude::*;

const SIZE: usize = 224;
const VALUES: usize = 12;
const LAYERS: [(usize, usize); 3] = [(28, 2), (14, 2), (7, 6)];
const MIN_SCORE: f32 = 0.5;
/// Who may be somebody, where a second look follows.
const UNSURE_SCORE: f32 = 0.35;
/// Detections nearer than this, by their regions, are of one person.
const APART: f32 = 0.14;
const MAX_OVERLAP: f32 = 0.3;
/// The region is this much larger than the circle around the body.
pub(crate) const ENLARGE: f32 = 1.25;

/// Somebody in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// The region around the whole body.
    pub region: Region,
    /// How sure the model is, 0..1.
    pub score: f32,
}

/// The detection model.
#[derive(Debug)]
pub struct Detector {
    network: Network,
}

impl Detector {
    /// The embedded model.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn new() -> Result<Self> {
        Self::from_bytes(anicrafter_person_models::POSE_DETECTION)
    }

    /// Reads the model.
    ///
    /// # Errors
    /// When it can't be read or does another task.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let boxes: usize = LAYERS.iter().map(|(cells, each)| cells * cells * each).sum();
        let wanted: [&[usize]; 2] = [&[1, boxes, VALUES], &[1, boxes, 1]];
        Ok(Self { network: Network::read("pose detection", bytes, SIZE, |outputs| *outputs == wanted)? })
    }

    /// Everybody in a picture, the largest first.
    ///
    /// # Errors
    /// When the model can't run.
    pub fn detect(&self, picture: &RgbImage) -> Result<Vec<Detection>> {
        self.detect_in(picture, &Region::around(picture.width(), picture.height()), MIN_SCORE)
    }

    /// As [`Detector::detect`], but looks at the whole picture and at squares along it too, and takes who is less sure: in a
    /// wide picture people are small, and the model likes to see one at a time. The surest come first; some may be nobody.
    ///
    /// # Errors
    /// When the model can't run.
    pub fn detect_closely(&self, picture: &RgbImage) -> Result<Vec<Detection>> {
        let (w, h) = (picture.width() as f32, picture.height() as f32);
        let side = w.min(h);
        let n = (2.0 * w.max(h) / side).ceil() as usize;
        let squares = (0..n).map(|i| {
            let at = i as f32 / (n - 1) as f32;
            let centre = [w, h].map(|long| side / 2.0 + at * (long - side));
            Region { centre, size: side, angle: 0.0 }
        });
        let whole = Region::around(picture.width(), picture.height());
        let regions: Vec<Region> = std::iter::once(whole).chain(squares).collect();
        let found = regions.par_iter().map(|region| self.detect_in(picture, region, UNSURE_SCORE));
        let mut found = found.collect::<Result<Vec<_>>>()?.concat();
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut kept: Vec<Detection> = Vec::new();
        for candidate in found {
            let is_new = kept.iter().all(|k| {
                let size = k.region.size.max(candidate.region.size);
                let away = [0, 1].map(|i| k.region.centre[i] - candidate.region.centre[i]);
                let grown = (k.region.size / candidate.region.size).ln().abs();
                away[0].hypot(away[1]) / size + 0.3 * grown > APART
            });
            if is_new {
                kept.push(candidate);
            }
        }
        Ok(kept)
    }

    /// Everybody in an upright region of a picture who is at least that sure, the largest first.
    ///
    /// # Errors
    /// When the model can't run.
    pub fn detect_in(&self, picture: &RgbImage, whole: &Region, least: f32) -> Result<Vec<Detection>> {
        let input = whole.sample(picture, SIZE, -1.0, 1.0);
        let outputs = self.network.run(&input)?;
        let mut found = Vec::new();
        let anchors = LAYERS.iter().flat_map(|&(cells, each)| {
            (0..cells * cells * each).map(move |i| {
                let cell = i / each;
                [(cell % cells) as f32 + 0.5, (cell / cells) as f32 + 0.5].map(|v| v / cells as f32)
            })
        });
        for ((values, logit), anchor) in
            outputs[0].data.chunks_exact(VALUES).zip(&outputs[1].data).zip(anchors)
        {
            let score = logistic(*logit);
            if score < least {
                continue;
            }
            let at =
                |k: usize| [values[k] / SIZE as f32 + anchor[0], values[k + 1] / SIZE as f32 + anchor[1]];
            let (centre, top) = (whole.to_picture(at(4)), whole.to_picture(at(6)));
            let region = Region::from_points(centre, top, ENLARGE);
            let (middle, half) = (at(0), [values[2], values[3]].map(|v| v / SIZE as f32 / 2.0));
            let bounds = [middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1]];
            if region.is_usable(picture.width(), picture.height()) {
                found.push((Detection { region, score }, bounds));
            }
        }
        found.sort_by(|a, b| b.0.score.total_cmp(&a.0.score));
        let mut kept: Vec<(Detection, [f32; 4])> = Vec::new();
        for candidate in found {
            if kept.iter().all(|k| overlap(&k.1, &candidate.1) < MAX_OVERLAP) {
                kept.push(candidate);
            }
        }
        kept.sort_by(|a, b| b.0.region.size.total_cmp(&a.0.region.size));
        Ok(kept.into_iter().map(|(detection, _)| detection).collect())
    }
}

/// Intersection over union of two boxes.
fn overlap(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let side = |i: usize| (a[i + 2].min(b[i + 2]) - a[i].max(b[i])).max(0.0);
    let area = |r: &[f32; 4]| (r[2] - r[0]).max(0.0) * (r[3] - r[1]).max(0.0);
    let both = side(0) * side(1);
    both / (area(a) + area(b) - both).max(1e-12)
}
