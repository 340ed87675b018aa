//! Who is who: what people look like, how far apart they are, and what is nobody.

use crate::landmarks::{Landmark, Observation};
use crate::region::Region;
use image::RgbImage;

/// Steps of each colour channel.
const LEVELS: usize = 6;
const BINS: usize = LEVELS * LEVELS * LEVELS;
/// Samples along and across a part of the body.
const ACROSS: usize = 10;
/// Fewer samples than this say nothing.
const FEW: f32 = 24.0;
/// How much a new look counts beside what is known.
const LEARN: f32 = 0.1;
/// The parts that are looked at, as corners: left above, right above, left below, right below.
const PARTS: [[usize; 4]; 2] = [[12, 11, 24, 23], [24, 23, 26, 25]];

/// An arm before the camera may be read as a body of its own: one smaller than this part of the region of whoever's it is, without a face,
/// and the arm nearer to its middle than this part of its size. By landmarks: elbow, wrist and fingertips of either arm.
const ARM: f32 = 0.4;
const ON_ARM: f32 = 0.3;
const ARMS: [[usize; 3]; 2] = [[13, 15, 19], [14, 16, 20]];

/// A part of somebody's body may be read as somebody: one smaller than this part of their region, with shoulders and hips (by landmark)
/// within this part of the region from a line along their limbs.
const PART: f32 = 0.8;
const ON_LIMB: f32 = 0.1;
const TRUNK: [usize; 4] = [11, 12, 23, 24];
const LIMBS: [[usize; 2]; 12] = [
    [11, 12],
    [23, 24],
    [11, 23],
    [12, 24],
    [11, 24],
    [12, 23],
    [23, 25],
    [24, 26],
    [25, 27],
    [26, 28],
    [0, 11],
    [0, 12],
];

/// The colours of trunk and thighs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Appearance {
    parts: [Vec<f32>; 2],
}

impl Appearance {
    /// The colours between landmarks, where they lie in the picture.
    pub(crate) fn of(picture: &RgbImage, landmarks: &[Landmark]) -> Self {
        let (w, h) = (picture.width() as f32, picture.height() as f32);
        let parts = PARTS.map(|corners| {
            let [a, b, c, d] = corners.map(|i| landmarks.get(i).map_or([f32::NAN; 2], |l| l.pixel));
            let mut bins = vec![0.0; BINS];
            for i in 0..ACROSS * ACROSS {
                let u = ((i % ACROSS) as f32 + 0.5) / ACROSS as f32;
                let v = ((i / ACROSS) as f32 + 0.5) / ACROSS as f32;
                let [x, y] = [0, 1].map(|k| {
                    let above = a[k] + (b[k] - a[k]) * u;
                    above + (c[k] + (d[k] - c[k]) * u - above) * v
                });
                if x >= 0.0 && y >= 0.0 && x < w && y < h {
                    spread(picture.get_pixel(x as u32, y as u32).0, &mut bins);
                }
            }
            bins
        });
        Self { parts }
    }

    /// Takes a new look into what is known.
    pub(crate) fn learn(&mut self, other: &Self) {
        for (mine, theirs) in self.parts.iter_mut().zip(&other.parts) {
            let (known, fresh) = (mine.iter().sum::<f32>(), theirs.iter().sum::<f32>());
            if fresh < FEW {
                continue;
            }
            let share = if known < FEW { 1.0 } else { LEARN };
            mine.iter_mut().zip(theirs).for_each(|(m, t)| *m += (t - *m) * share);
        }
    }
}

/// Adds a colour to the bins around it, so that a change of light doesn't jump from one to another.
fn spread(pixel: [u8; 3], bins: &mut [f32]) {
    let at = pixel.map(|v| f32::from(v) / 255.0 * (LEVELS - 1) as f32);
    for corner in 0..8 {
        let (mut weight, mut index) = (1.0, 0);
        for (k, v) in at.iter().enumerate() {
            let low = (v.floor() as usize).min(LEVELS - 2);
            let part = v - low as f32;
            let high = corner >> k & 1;
            weight *= if high == 1 { part } else { 1.0 - part };
            index = index * LEVELS + low + high;
        }
        bins[index] += weight;
    }
}

/// How alike two looks are, 0 to 1 (Bhattacharyya's coefficient of the colours); `None` where too little was seen.
pub(crate) fn alike(a: &Appearance, b: &Appearance) -> Option<f32> {
    let (mut sum, mut n) = (0.0, 0.0);
    for (a, b) in a.parts.iter().zip(&b.parts) {
        let (all_a, all_b) = (a.iter().sum::<f32>(), b.iter().sum::<f32>());
        if all_a < FEW || all_b < FEW {
            continue;
        }
        sum += a.iter().zip(b).map(|(a, b)| (a * b).sqrt()).sum::<f32>() / (all_a * all_b).sqrt();
        n += 1.0;
    }
    (n > 0.0).then(|| sum / n)
}

/// Mean distance of head, shoulders and hips of two people, in pixels.
pub(crate) fn apart(a: &[Landmark], b: &[Landmark]) -> f32 {
    const OF: [usize; 7] = [0, 7, 8, 11, 12, 23, 24];
    let distance = |i: usize| {
        let (p, q) = (a[i].pixel, b[i].pixel);
        (p[0] - q[0]).hypot(p[1] - q[1])
    };
    OF.into_iter().map(distance).sum::<f32>() / OF.len() as f32
}

/// Is a region where somebody's arm is, and no larger?
pub(crate) fn is_arm(of: &Observation, region: &Region) -> bool {
    if region.size >= ARM * of.region.size {
        return false;
    }
    let seen = |i: usize| Some(&of.landmarks[i]).filter(|l| l.visibility > 0.5).map(|l| l.pixel);
    let parts = ARMS.iter().flat_map(|arm| arm.windows(2));
    parts
        .filter_map(|part| Some([seen(part[0])?, seen(part[1])?]))
        .any(|line| from_line(region.centre, line) < ON_ARM * region.size)
}

/// Is one region so much smaller that a part of the other one's body may have been read?
pub(crate) fn is_smaller(part: &Observation, whole: &Observation) -> bool {
    part.region.size < PART * whole.region.size
}

/// Was a part of somebody's body read as if it were somebody?
pub(crate) fn is_part(part: &Observation, whole: &Observation) -> bool {
    let at = |i: usize| whole.landmarks[i].pixel;
    is_smaller(part, whole)
        && TRUNK.iter().all(|i| {
            let lines = LIMBS.iter().map(|[a, b]| from_line(part.landmarks[*i].pixel, [at(*a), at(*b)]));
            lines.fold(f32::INFINITY, f32::min) < ON_LIMB * whole.region.size
        })
}

/// How far a place is from a line between two others, in pixels.
fn from_line([x, y]: [f32; 2], [a, b]: [[f32; 2]; 2]) -> f32 {
    let (along, to) = ([b[0] - a[0], b[1] - a[1]], [x - a[0], y - a[1]]);
    let length = along[0] * along[0] + along[1] * along[1];
    let at = ((to[0] * along[0] + to[1] * along[1]) / length.max(1e-6)).clamp(0.0, 1.0);
    (to[0] - at * along[0]).hypot(to[1] - at * along[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landmarks::N_LANDMARKS;
    use image::Rgb;

    fn person(x: f32) -> Vec<Landmark> {
        let mut landmarks = vec![Landmark::default(); N_LANDMARKS];
        for (i, at) in [(11, [x + 10.0, 10.0]), (12, [x, 10.0]), (23, [x + 10.0, 30.0]), (24, [x, 30.0])] {
            landmarks[i].pixel = at;
        }
        for (i, at) in [(25, [x + 10.0, 50.0]), (26, [x, 50.0])] {
            landmarks[i].pixel = at;
        }
        landmarks
    }

    #[test]
    fn clothes_tell_people_apart() {
        let paint = |light: u8| {
            RgbImage::from_fn(64, 64, |x, _| {
                if x < 30 { Rgb([200, 40 + light, 40]) } else { Rgb([30, 60 + light, 160]) }
            })
        };
        let (first, later) = (paint(0), paint(14));
        let [red, blue] = [5.0, 40.0].map(|x| Appearance::of(&first, &person(x)));
        let [red_later, blue_later] = [5.0, 40.0].map(|x| Appearance::of(&later, &person(x)));
        assert!(alike(&red, &red_later).unwrap() > 0.8 && alike(&blue, &blue_later).unwrap() > 0.8);
        assert!(alike(&red, &blue_later).unwrap() < 0.3);
        // Somebody outside of the picture looks like nothing.
        let outside = Appearance::of(&first, &person(500.0));
        assert_eq!(alike(&red, &outside), None);
        let mut learnt = outside;
        learnt.learn(&red);
        assert!(alike(&learnt, &red).unwrap() > 0.99);
    }

    #[test]
    fn a_part_of_a_body_lies_on_its_limbs() {
        let of = |size, landmarks| Observation {
            region: Region { centre: [15.0, 50.0], size, angle: 0.0 },
            score: 1.0,
            landmarks,
            hands: [None, None],
            face: None,
        };
        // Somebody whose shoulders to knees span 40 pixels, and their trousers read as another, smaller one.
        let whole = of(100.0, person(10.0));
        let mut trousers = person(12.0);
        for landmark in &mut trousers {
            landmark.pixel = [landmark.pixel[0] * 0.6 + 4.0, 20.0 + landmark.pixel[1] * 0.5];
        }
        assert!(is_part(&of(60.0, trousers.clone()), &whole));
        assert!(!is_part(&of(90.0, trousers), &whole), "as large as the whole");
        assert!(!is_part(&of(60.0, person(60.0)), &whole), "beside it");
    }

    #[test]
    fn an_arm_before_the_camera_is_nobody() {
        let region = |centre, size| Region { centre, size, angle: 0.0 };
        let mut landmarks = vec![Landmark { visibility: 0.9, ..Landmark::default() }; 33];
        for (i, pixel) in [(13, [100.0, 200.0]), (15, [180.0, 240.0]), (19, [200.0, 250.0])] {
            landmarks[i].pixel = pixel;
        }
        for i in [14, 16, 20] {
            landmarks[i] = Landmark { visibility: 0.1, pixel: [400.0, 200.0], ..landmarks[i] };
        }
        let region_of = region([300.0, 300.0], 800.0);
        let of = Observation { region: region_of, score: 1.0, landmarks, hands: [None, None], face: None };
        assert!(is_arm(&of, &region([140.0, 230.0], 200.0)));
        assert!(is_arm(&of, &region([220.0, 240.0], 200.0)));
        // As large as another body, elsewhere, or where an arm is only guessed.
        assert!(!is_arm(&of, &region([140.0, 230.0], 400.0)));
        assert!(!is_arm(&of, &region([140.0, 100.0], 200.0)));
        assert!(!is_arm(&of, &region([400.0, 200.0], 200.0)));
    }
}
