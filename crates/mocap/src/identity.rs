//! Who is who: what people look like, and how far apart they are.

use crate::landmarks::Landmark;
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
}
