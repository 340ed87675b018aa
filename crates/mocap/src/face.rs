//! Landmarks of a person's face.
//!
//! Layout of the outputs: MediaPipe's `face_landmark_cpu.pbtxt`: 468 points in pixels of the 192 × 192 input, nearer ones with smaller
//! third numbers, and the logit of a face.

use crate::error::Result;
use crate::landmarks::Landmark;
use crate::network::{Network, logistic};
use crate::region::Region;
use image::RgbImage;
use serde::{Deserialize, Serialize};

const POINTS: usize = 468;
const SIZE: usize = 192;
/// Below this there is no face.
const MIN_SCORE: f32 = 0.5;
/// A region around known points is this much larger than they are.
const ENLARGE: f32 = 1.5;
/// Sides of the first region, as parts of the distance from the eyes to the mouth, and of that between the ears.
const FIRST: [f32; 2] = [4.6, 2.0];
/// Faces of fewer pixels from eyes to mouth aren't worth a look: the body's landmarks know as much.
const SMALLEST_PX: f32 = 7.0;
/// Sides of a region may differ from those that the body's landmarks say by such factors.
const PLAUSIBLE: [f32; 2] = [0.4, 2.5];

/// Faces nearer to each other than this part of their region can't be told apart.
const OWN: f32 = 0.7;

/// For the body's landmarks from the nose to the mouth, the points of the face whose mean they are: nose, the left eye's inner corner,
/// middle and outer corner, the right eye's, ears, corners of the mouth.
const OF_BODY: [&[usize]; N_OF_FACE] =
    [&[1], &[362], &[362, 263], &[263], &[133], &[133, 33], &[33], &[454], &[234], &[291], &[61]];
/// How many of the body's landmarks lie in the face.
pub(crate) const N_OF_FACE: usize = 11;
/// Faces that are turned by more are left to the body's landmarks: the tangent of 45°.
const MOST_TURNED: f32 = 1.0;
/// Among the body's landmarks.
pub(crate) const LEFT_EAR: usize = 7;
pub(crate) const RIGHT_EAR: usize = 8;
/// How far apart the ears of the body's network lie, as part of the distance of the face's points beside the ears: with this number
/// heads come nearest to the true size in synthetic clips.
const EARS: f32 = 0.8;
/// Outer corners of the eyes, the right one first: they say how the face is turned.
const CORNERS: [usize; 2] = [33, 263];
/// Metres between them, and from the eyes down to the shoulders.
const CORNERS_M: f32 = 0.092;
const SHOULDERS_M: f32 = 0.25;

/// A face in a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Face {
    /// The region that was looked at.
    pub region: Region,
    /// How likely there is a face, 0..1.
    pub score: f32,
}

/// The face model.
#[derive(Debug)]
pub struct FaceReader {
    network: Network,
}

/// What the model sees in a region.
pub(crate) struct FaceReading {
    pub face: Face,
    /// The region for the next look.
    pub next: Region,
    /// `[468]` in pixels of the picture; the third number is away from the viewer.
    points: Vec<[f32; 3]>,
}

impl FaceReader {
    /// Reads the model.
    ///
    /// # Errors
    /// When it can't be read or does another task.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let network = Network::read("face landmark", bytes, SIZE, |outputs| {
            let sizes: Vec<usize> = outputs.iter().map(|o| o.iter().product()).collect();
            sizes == [3 * POINTS, 1]
        })?;
        Ok(Self { network })
    }

    fn look(&self, region: Region, picture: &RgbImage) -> Result<FaceReading> {
        let outputs = self.network.run(&region.sample(picture, SIZE, 0.0, 1.0))?;
        let scale = region.size / SIZE as f32;
        let points: Vec<[f32; 3]> = outputs[0]
            .data
            .as_chunks::<3>()
            .0
            .iter()
            .map(|p| {
                let [x, y] = region.to_picture([p[0] / SIZE as f32, p[1] / SIZE as f32]);
                [x, y, p[2] * scale]
            })
            .collect();
        let face = Face { region, score: logistic(outputs[1].data[0]) };
        Ok(FaceReading { face, next: around(&points), points })
    }

    /// Looks for a face where it was `before`, if that is near where it is `expected`, or else there.
    pub(crate) fn read(
        &self,
        expected: Region,
        before: Option<Region>,
        picture: &RgbImage,
    ) -> Result<Option<FaceReading>> {
        let fits = |region: &Region| {
            region.is_usable(picture.width(), picture.height())
                && region.apart(&expected) < 0.4 * expected.size
                && (PLAUSIBLE[0]..PLAUSIBLE[1]).contains(&(region.size / expected.size))
        };
        let is_there = |found: &FaceReading| found.face.score >= MIN_SCORE && fits(&found.next);
        if let Some(region) = before.filter(fits) {
            let found = self.look(region, picture)?;
            if is_there(&found) && found.is_frontal() {
                return Ok(Some(found));
            }
        }
        if !fits(&expected) {
            return Ok(None);
        }
        let first = self.look(expected, picture)?;
        if !is_there(&first) {
            return Ok(None);
        }
        // A face that isn't in the region's middle is seen better from its own region.
        let second = self.look(first.next, picture)?;
        Ok((is_there(&second) && second.is_frontal()).then_some(second))
    }
}

impl FaceReading {
    /// Is it seen from in front rather than from the side, where the model makes up the other half?
    fn is_frontal(&self) -> bool {
        let [right, left] = [OF_BODY[RIGHT_EAR], OF_BODY[LEFT_EAR]].map(|of| self.points[of[0]]);
        let across: [f32; 3] = std::array::from_fn(|k| left[k] - right[k]);
        across[2].abs() < MOST_TURNED * across[0].hypot(across[1])
    }

    /// The region for the next landmarks of a body that is mostly out of the picture. What is guessed about the rest of it grows from
    /// frame to frame and runs away; a face doesn't.
    pub(crate) fn whole(&self) -> Region {
        let [right, left] = CORNERS.map(|i| self.points[i]);
        let middle = [0, 1].map(|k| (right[k] + left[k]) / 2.0);
        let apart = (0..3).map(|k| (left[k] - right[k]).powi(2)).sum::<f32>().sqrt();
        let per_metre = apart / CORNERS_M;
        Region::of_whole([middle[0], middle[1] + SHOULDERS_M * per_metre], per_metre)
    }

    /// Puts the face's landmarks in place of what the body's network says of them.
    pub(crate) fn refine(&self, landmarks: &mut [Landmark]) {
        let mut seen: Vec<[f32; 3]> = OF_BODY
            .iter()
            .map(|of| {
                std::array::from_fn(|k| of.iter().map(|i| self.points[*i][k]).sum::<f32>() / of.len() as f32)
            })
            .collect();
        let [left, right] = [seen[LEFT_EAR], seen[RIGHT_EAR]];
        for k in 0..3 {
            let inwards = (1.0 - EARS) / 2.0 * (left[k] - right[k]);
            seen[LEFT_EAR][k] -= inwards;
            seen[RIGHT_EAR][k] += inwards;
        }
        let Some(own) = landmarks.get_mut(..N_OF_FACE) else { return };
        // The head stays where it is in metres, and as large; its points are where the face has them.
        let n = N_OF_FACE as f32;
        let mean = |of: &dyn Fn(usize) -> f32| (0..N_OF_FACE).map(of).sum::<f32>() / n;
        let pixels: [f32; 3] = std::array::from_fn(|k| mean(&|i| seen[i][k]));
        let metres: [f32; 3] = std::array::from_fn(|k| mean(&|i| own[i].metric[k]));
        let spread = |at: &dyn Fn(usize, usize) -> f32| {
            mean(&|i| (0..3).map(|k| at(i, k).powi(2)).sum::<f32>()).sqrt()
        };
        let per_pixel =
            spread(&|i, k| own[i].metric[k] - metres[k]) / spread(&|i, k| seen[i][k] - pixels[k]).max(1e-6);
        for (landmark, seen) in own.iter_mut().zip(&seen) {
            landmark.pixel = [seen[0], seen[1]];
            landmark.metric = std::array::from_fn(|k| metres[k] + per_pixel * (seen[k] - pixels[k]));
        }
    }
}

/// The region around a face's points, upright along its eyes.
fn around(points: &[[f32; 3]]) -> Region {
    let [right, left] = CORNERS.map(|i| points[i]);
    let angle = (left[1] - right[1]).atan2(left[0] - right[0]);
    Region::spanning(points.iter().map(|[x, y, _]| [*x, *y]), angle, 0.0, ENLARGE)
}

impl Region {
    /// Where a person's face should be; `None` where it can't be seen or is too small.
    pub(crate) fn of_face(landmarks: &[Landmark]) -> Option<Self> {
        let own = landmarks.get(..N_OF_FACE)?;
        if own[0].visibility < 0.5 || own[0].presence < 0.5 {
            return None;
        }
        let middle = |a: usize, b: usize| [0, 1].map(|k| (own[a].pixel[k] + own[b].pixel[k]) / 2.0);
        let (eyes, mouth) = (middle(2, 5), middle(9, 10));
        let down = [0, 1].map(|k| mouth[k] - eyes[k]);
        let long = down[0].hypot(down[1]);
        if long < SMALLEST_PX {
            return None;
        }
        let [left, right] = [LEFT_EAR, RIGHT_EAR].map(|ear| own[ear].pixel);
        let wide = (left[0] - right[0]).hypot(left[1] - right[1]);
        // A little below the eyes is a face's middle.
        let centre = [0, 1].map(|k| eyes[k] + 0.35 * down[k]);
        let size = (FIRST[0] * long).max(FIRST[1] * wide);
        Some(Self { centre, size, angle: (-down[0]).atan2(down[1]) })
    }

    /// Would another face's region show this face too?
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.apart(other) < OWN * self.size.max(other.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landmarks::N_LANDMARKS;

    /// A face that looks at us, upright, `long` pixels from eyes to mouth.
    fn landmarks(long: f32) -> Vec<Landmark> {
        let mut all = vec![Landmark { visibility: 1.0, presence: 1.0, ..Landmark::default() }; N_LANDMARKS];
        // Across and down in parts of `long`; the left eye is on the right.
        let places = [
            (0.0, 0.6),
            (0.25, 0.0),
            (0.5, 0.0),
            (0.75, 0.0),
            (-0.25, 0.0),
            (-0.5, 0.0),
            (-0.75, 0.0),
            (1.2, 0.2),
            (-1.2, 0.2),
            (0.4, 1.0),
            (-0.4, 1.0),
        ];
        for (landmark, (x, y)) in all.iter_mut().zip(places) {
            landmark.pixel = [100.0 + long * x, 80.0 + long * y];
            landmark.metric = [0.06 * x, 0.06 * y - 0.6, if x.abs() > 1.0 { -0.02 } else { -0.1 }];
        }
        all
    }

    #[test]
    fn a_region_is_around_the_face_and_turned_with_it() {
        let upright = Region::of_face(&landmarks(20.0)).unwrap();
        assert_eq!((upright.centre, upright.angle), ([100.0, 87.0], 0.0));
        assert!(upright.size > 80.0 && upright.size < 110.0, "{}", upright.size);
        let mut lying = landmarks(20.0);
        // A quarter turn clockwise: what was below is to the left.
        lying.iter_mut().for_each(|l| l.pixel = [180.0 - l.pixel[1], l.pixel[0]]);
        let turned = Region::of_face(&lying).unwrap();
        assert!((turned.angle - std::f32::consts::FRAC_PI_2).abs() < 1e-3, "{}", turned.angle);
        assert!(upright.meets(&Region { centre: [130.0, 87.0], ..upright }));
        assert!(!upright.meets(&Region { centre: [190.0, 87.0], ..upright }));
    }

    #[test]
    fn what_is_small_or_not_in_the_picture_is_not_looked_at() {
        assert!(Region::of_face(&landmarks(5.0)).is_none());
        let mut gone = landmarks(20.0);
        gone[0].presence = 0.1;
        assert!(Region::of_face(&gone).is_none());
        assert!(Region::of_face(&[]).is_none());
    }

    #[test]
    fn no_face_is_seen_in_a_wall() {
        let reader = FaceReader::from_bytes(anicrafter_person_models::FACE_LANDMARK).unwrap();
        let wall =
            RgbImage::from_fn(200, 160, |x, y| image::Rgb([(x / 8 % 2 * 90 + 60) as u8, (y / 2) as u8, 90]));
        let expected = Region::of_face(&landmarks(20.0)).unwrap();
        assert!(reader.read(expected, None, &wall).unwrap().is_none());
        let hands = anicrafter_person_models::HAND_LANDMARK;
        assert!(matches!(FaceReader::from_bytes(hands), Err(crate::Error::Task { .. })));
    }

    #[test]
    fn a_face_says_how_large_the_body_is() {
        let mut points = vec![[0.0; 3]; POINTS];
        // Half turned away: the distance between the eyes' corners counts in depth too.
        let half = 500.0 * CORNERS_M * std::f32::consts::FRAC_1_SQRT_2;
        points[CORNERS[0]] = [300.0 - half, 200.0, half];
        points[CORNERS[1]] = [300.0 + half, 200.0, -half];
        let region = Region { centre: [300.0, 200.0], size: 250.0, angle: 0.2 };
        let whole = FaceReading { face: Face { region, score: 1.0 }, next: region, points }.whole();
        // A thousand pixels a metre; upright, whatever the head does.
        assert!((whole.size - 1000.0 * 2.4).abs() < 1.0 && whole.angle == 0.0, "{whole:?}");
        let below = 1000.0 * (SHOULDERS_M + 0.5);
        assert!((whole.centre[0] - 300.0).abs() < 1e-3 && (whole.centre[1] - 200.0 - below).abs() < 1.0);
    }

    #[test]
    fn a_faces_points_take_the_landmarks_places() {
        let mut points = vec![[0.0; 3]; POINTS];
        let wanted = landmarks(30.0);
        for (of, landmark) in OF_BODY.iter().zip(&wanted) {
            if let [point] = of {
                points[*point] = [landmark.pixel[0], landmark.pixel[1], 500.0 * landmark.metric[2]];
            }
        }
        // Middles of eyes are between their corners.
        let region = around(&points);
        assert!(region.angle.abs() < 1e-6, "{}", region.angle);
        let reading = FaceReading { face: Face { region, score: 1.0 }, next: region, points };
        let mut found = landmarks(20.0);
        found[20].pixel = [7.0, 7.0];
        reading.refine(&mut found);
        for i in [0, 1, 2, 3, 4, 5, 6, 9, 10] {
            let off = [0, 1].map(|k| found[i].pixel[k] - wanted[i].pixel[k]);
            assert!(off[0].hypot(off[1]) < 1e-3, "{i}: {:?} {:?}", found[i].pixel, wanted[i].pixel);
        }
        // The points beside the ears lie further out than what the body's network calls ears.
        let apart = |l: &[Landmark]| l[LEFT_EAR].pixel[0] - l[RIGHT_EAR].pixel[0];
        assert!((apart(&found) / apart(&wanted) - EARS).abs() < 1e-4);
        // The head stays as large in metres, and the rest of the body where it was.
        let spread = |l: &[Landmark]| (l[2].metric[0] - l[5].metric[0]).abs();
        assert!((spread(&found) / spread(&landmarks(20.0)) - 1.0).abs() < 0.3);
        assert_eq!(found[20].pixel, [7.0, 7.0]);
    }
}
