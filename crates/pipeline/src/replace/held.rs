//! What somebody holds: things that came into the picture with them, hang on a hand, and are in nobody's matte. They go with whoever
//! holds them: an avatar has nothing in its hands.

use super::assign::{Somebody, mask_of};
use super::bodies::Body;
use super::scenery::{Scenery, Shown};

/// The joints of an arm: elbow and wrist, left and right.
const ARMS: [[usize; 2]; 2] = [[18, 20], [19, 21]];
/// Hands whose joints are less sure than this hold nothing that could be told.
const SURE: f32 = 0.5;
/// From the wrist to the middle of the hand, as part of the forearm.
const HAND: f32 = 0.35;
/// Metres from there to the nearest pixel of what is held, and to the farthest.
const GRIP_M: f32 = 0.16;
const LONGEST_M: f32 = 1.3;
/// Its area, as part of the body's, and the part of that which surely looks unlike the place while nobody is there: strings of a racket
/// look like their shadow.
const AREA: [f32; 2] = [0.012, 0.35];
const OTHER: f32 = 0.15;
/// What is held may have gaps of twice so many pixels.
const GAP_PX: f32 = 2.5;

/// `[h, w]` pixels of what a person holds. `is_free` says which pixels are in nobody's matte and on nobody else's body.
pub(super) fn held(
    somebody: &Somebody,
    scenery: &Scenery,
    confidence: &[f32],
    is_free: impl Fn(usize) -> bool,
) -> Option<Vec<bool>> {
    let body = somebody.body.as_ref()?;
    let hands: Vec<[f32; 2]> = ARMS.iter().filter_map(|arm| hand(body, *arm, confidence)).collect();
    if hands.is_empty() {
        return None;
    }
    let size = somebody.own.dimensions();
    let differs = mask_of(size, |i| scenery.shown[i] != Shown::Same && scenery.is_known(i) && is_free(i));
    let near = bg_mask::squared_distance(&differs);
    let pieces = bg_mask::components(&mask_of(size, |i| near[i] <= GAP_PX * GAP_PX && is_free(i)));
    // By piece and hand: the nearest and the farthest pixel, squared.
    let mut found = vec![[[f32::INFINITY, 0.0_f32]; 2]; pieces.list.len() + 1];
    let mut other = vec![0_usize; found.len()];
    for (i, label) in pieces.labels.iter().enumerate().filter(|(_, label)| **label > 0) {
        other[*label as usize] += usize::from(scenery.shown[i] == Shown::Other);
        let at = [i % size.0 as usize, i / size.0 as usize].map(|v| v as f32 + 0.5);
        for (hand, [nearest, farthest]) in hands.iter().zip(&mut found[*label as usize]) {
            let away = (at[0] - hand[0]).powi(2) + (at[1] - hand[1]).powi(2);
            (*nearest, *farthest) = (nearest.min(away), farthest.max(away));
        }
    }
    let area = body.area() as f32;
    let within = |squared: f32, metres: f32| squared <= (metres * body.per_metre).powi(2);
    let is_held: Vec<bool> = std::iter::once(false)
        .chain(pieces.list.iter().zip(&found[1..]).zip(&other[1..]).map(|((piece, hands), other)| {
            (AREA[0] * area..AREA[1] * area).contains(&(piece.area as f32))
                && *other as f32 >= OTHER * piece.area as f32
                && hands
                    .iter()
                    .any(|[nearest, farthest]| within(*nearest, GRIP_M) && within(*farthest, LONGEST_M))
        }))
        .collect();
    is_held.contains(&true).then(|| pieces.labels.iter().map(|label| is_held[*label as usize]).collect())
}

/// The middle of a hand in the picture, where it is known.
fn hand(body: &Body, [elbow, wrist]: [usize; 2], confidence: &[f32]) -> Option<[f32; 2]> {
    let sure = [elbow, wrist].iter().all(|j| confidence.get(*j).is_some_and(|c| *c > SURE));
    let at: [f32; 2] = std::array::from_fn(|k| {
        body.joints[wrist][k] + HAND * (body.joints[wrist][k] - body.joints[elbow][k])
    });
    (sure && at.iter().all(|v| v.is_finite())).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::super::bodies::JOINTS;
    use super::super::scenery::Sample;
    use super::*;
    use bg_mask::PlaneMap;
    use image::{Rgb, RgbImage};

    /// Somebody at the left in the middle of eleven frames, with a stick in the hand, and a ball that flies further away.
    fn held_pixels(confidence: f32) -> Option<Vec<bool>> {
        let (w, h) = (80_u32, 60_u32);
        let person = |x: u32, y: u32| (10..30).contains(&x) && (10..50).contains(&y);
        let stick = |x: u32, y: u32| (30..50).contains(&x) && (28..31).contains(&y);
        let ball = |x: u32, y: u32| (65..70).contains(&x) && (28..33).contains(&y);
        let samples: Vec<Sample> = (0..11)
            .map(|t| {
                let picture = RgbImage::from_fn(w, h, |x, y| {
                    if t == 5 && (person(x, y) || stick(x, y) || ball(x, y)) {
                        Rgb([220, 40, 40])
                    } else {
                        Rgb([90 + (x * 7 % 23) as u8, 100, 90 + (y * 5 % 19) as u8])
                    }
                });
                let clear = (0..w * h).map(|i| t != 5 || !person(i % w, i / w)).collect();
                Sample { picture, clear, step: (t > 0).then_some(PlaneMap::SAME) }
            })
            .collect();
        let samples: Vec<&Sample> = samples.iter().collect();
        let scenery = Scenery::new(&samples, 5, [0..80, 0..60]);
        let mut joints = [[20.0, 20.0]; JOINTS];
        (joints[19], joints[21]) = ([22.0, 29.0], [28.0, 29.0]);
        let depth = (0..w * h).map(|i| if person(i % w, i / w) { 2.0 } else { 0.0 }).collect();
        let body = Body {
            depth,
            joint: vec![0; (w * h) as usize],
            per_metre: 24.0,
            joints,
            places: [[0.0; 3]; JOINTS],
        };
        let matte = mask_of((w, h), |i| person(i as u32 % w, i as u32 / w));
        let somebody = Somebody::new(0, matte.clone(), matte.clone(), Some(body));
        let mut sure = [0.0; JOINTS];
        (sure[19], sure[21]) = (confidence, confidence);
        held(&somebody, &scenery, &sure, |i| matte.as_raw()[i] == 0)
    }

    #[test]
    fn what_hangs_on_a_hand_is_held_and_what_flies_is_not() {
        let pixels = held_pixels(0.9).unwrap();
        assert!((31..49).all(|x| pixels[29 * 80 + x]));
        assert!((64..71).all(|x| !pixels[30 * 80 + x]) && !pixels[45 * 80 + 40]);
        // Nobody knows where a hand is that isn't seen.
        assert_eq!(held_pixels(0.2), None);
    }
}
