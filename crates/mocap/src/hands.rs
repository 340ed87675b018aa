//! Landmarks of a person's hands.
//!
//! Layout of the outputs: MediaPipe's `hand_landmark_cpu.pbtxt`: 21 points in pixels of the 224 × 224 input, how likely there is
//! a hand, how likely it is a right one, and the points in metres, in axes of the turned region.

use crate::error::Result;
use crate::landmarks::Landmark;
use crate::network::Network;
use crate::region::Region;
use image::RgbImage;
use serde::{Deserialize, Serialize};

/// Number of a hand's landmarks.
pub const N_HAND_LANDMARKS: usize = 21;
const SIZE: usize = 224;
/// Below this there is no hand.
const MIN_SCORE: f32 = 0.5;
/// From this score on a second look is worth it.
const WORTH_A_LOOK: f32 = 0.1;
/// Sides of a region around a hand, as parts of the person's size in the picture: metres seen across.
const SPAN_M: f32 = 0.32;
/// A region around known landmarks is this much larger than they are.
const ENLARGE: f32 = 2.0;
/// Landmarks that don't move with the fingers' tips.
const STEADY: [usize; 12] = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18];

/// A hand in a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hand {
    /// The region that was looked at.
    pub region: Region,
    /// How likely there is a hand, 0..1.
    pub score: f32,
    /// How likely it is a right hand, 0..1.
    pub right: f32,
    /// `[21]` where the landmarks are in the picture, in pixels: the wrist, then four a finger from the thumb on.
    pub pixels: Vec<[f32; 2]>,
    /// `[21]` where they are in metres, in axes of the turned region: x right, y down, z away.
    pub metric: Vec<[f32; 3]>,
}

/// The hand model.
#[derive(Debug)]
pub struct HandReader {
    network: Network,
}

impl HandReader {
    /// Reads the model.
    ///
    /// # Errors
    /// When it can't be read or does another task.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let wanted: [&[usize]; 4] =
            [&[1, 3 * N_HAND_LANDMARKS], &[1, 1], &[1, 1], &[1, 3 * N_HAND_LANDMARKS]];
        Ok(Self { network: Network::read("hand landmark", bytes, SIZE, |outputs| *outputs == wanted)? })
    }

    /// What the model sees in a region.
    fn look(&self, region: Region, picture: &RgbImage) -> Result<Hand> {
        let outputs = self.network.run(&region.sample(picture, SIZE, 0.0, 1.0))?;
        let points = outputs[0].data.as_chunks::<3>().0;
        let pixels =
            points.iter().map(|p| region.to_picture([p[0] / SIZE as f32, p[1] / SIZE as f32])).collect();
        let (score, right) = (outputs[1].data[0], outputs[2].data[0]);
        Ok(Hand { region, score, right, pixels, metric: outputs[3].data.as_chunks::<3>().0.to_vec() })
    }

    /// Looks for the left (0) or right (1) hand of a person: where it was `before`, moved with the wrist, or where the person's
    /// landmarks say.
    pub(crate) fn read(
        &self,
        side: usize,
        landmarks: &[Landmark],
        before: Option<&Followed>,
        picture: &RgbImage,
    ) -> Result<Option<Followed>> {
        let Some(expected) = Region::of_hand(side, landmarks) else { return Ok(None) };
        let usable = |region: &Region| region.is_usable(picture.width(), picture.height());
        let wrist = landmarks[15 + side].pixel;
        let sure = |hand: Hand| (hand.score >= MIN_SCORE).then_some(Followed { hand, wrist });
        let followed = before.map(|before| before.moved_to(wrist)).filter(|r| {
            let grown = r.size / expected.size;
            r.apart(&expected) < 0.5 * expected.size && (0.3..3.0).contains(&grown) && usable(r)
        });
        if let Some(region) = followed {
            return Ok(sure(self.look(region, picture)?));
        }
        if !usable(&expected) {
            return Ok(None);
        }
        let first = self.look(expected, picture)?;
        let next = first.next();
        let mut best = first;
        // A hand at the region's edge is seen better from its own region.
        if best.score > WORTH_A_LOOK && usable(&next) {
            let second = self.look(next, picture)?;
            if second.score > best.score {
                best = second;
            }
        }
        Ok(sure(best))
    }
}

/// A hand that was seen, with the person's wrist then.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub hand: Hand,
    pub wrist: [f32; 2],
}

impl Followed {
    fn moved_to(&self, wrist: [f32; 2]) -> Region {
        let mut region = self.hand.next();
        for k in 0..2 {
            region.centre[k] += wrist[k] - self.wrist[k];
        }
        region
    }
}

impl Hand {
    /// The region around the hand for the next look: upright along the palm.
    fn next(&self) -> Region {
        let p = &self.pixels;
        let along = [0, 1].map(|k| 0.25 * (p[5][k] + 2.0 * p[9][k] + p[13][k]) - p[0][k]);
        let angle = along[0].atan2(-along[1]);
        // The fingers' tips are left out: the middle lies a little further out.
        Region::spanning(STEADY.into_iter().map(|i| p[i]), angle, 0.1, ENLARGE)
    }
}

impl Region {
    /// Where a person's left (0) or right (1) hand should be; `None` where it can't be seen.
    fn of_hand(side: usize, landmarks: &[Landmark]) -> Option<Self> {
        let (wrist, index, pinky) =
            (landmarks.get(15 + side)?, landmarks.get(19 + side)?, landmarks.get(17 + side)?);
        if wrist.visibility < 0.5 || wrist.presence < 0.5 {
            return None;
        }
        let knuckles = [0, 1].map(|k| (2.0 * index.pixel[k] + pinky.pixel[k]) / 3.0);
        let along = [0, 1].map(|k| knuckles[k] - wrist.pixel[k]);
        // Pixels of a metre where the torso is.
        let (mut pixels, mut metres) = (0.0, 0.0);
        for (a, b) in [(11, 24), (12, 23)] {
            let (a, b) = (landmarks.get(a)?, landmarks.get(b)?);
            pixels += (a.pixel[0] - b.pixel[0]).hypot(a.pixel[1] - b.pixel[1]);
            metres += (a.metric[0] - b.metric[0]).hypot(a.metric[1] - b.metric[1]);
        }
        if metres < 0.05 {
            return None;
        }
        let usual = SPAN_M * pixels / metres;
        let size = (5.4 * along[0].hypot(along[1])).clamp(0.8 * usual, 1.5 * usual);
        Some(Self { centre: knuckles, size, angle: along[0].atan2(-along[1]) })
    }
}
