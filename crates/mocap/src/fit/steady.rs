//! Which landmarks of arms are followed rather than made up: what a network can't see it puts somewhere else in each frame, half sure.

use super::same_shot;
use crate::landmarks::{Observation, is_inside};
use std::ops::RangeInclusive;

/// The landmarks of arms and hands.
pub(super) const ARMS: RangeInclusive<usize> = 13..=22;
const N: usize = *ARMS.end() - *ARMS.start() + 1;
/// Seconds to either side that are looked at.
const AROUND_S: f64 = 0.35;
/// The side of the region around a person, in metres.
const REGION_M: f64 = 2.5;
/// Metres by which a landmark may be off the middle between its places in the frames before and after, and from where on it jumps about:
/// noise, and what arms do in metres per second squared.
const NOISE_M: [f64; 2] = [0.025, 0.045];
const ACCELERATION: [f64; 2] = [10.0, 15.0];
/// Landmarks that jump about are made up if they are less visible than this, wholly and at all.
const VISIBLE: [f64; 2] = [0.85, 0.95];

/// Of the looks for a hand around a frame so many must have found one where its elbow is out of a picture that doesn't show the hips.
const FOUND: f64 = 1.0 / 3.0;
const FEWEST_LOOKS: usize = 2;
/// The left elbow and wrist; those of the right side follow.
const ELBOW: usize = 13;
const WRIST: usize = 15;

/// By frame: how far each landmark of the arms is to be believed in pictures of a size, 0..1.
pub(super) fn steadiness(
    observations: &[Option<Observation>],
    cuts: &[bool],
    fps: f64,
    size: [u32; 2],
) -> Vec<[f64; N]> {
    let n = observations.len();
    let reach = ((AROUND_S * fps).round() as usize).max(2);
    let off: Vec<Option<[f64; N]>> = (0..n)
        .map(|t| {
            if t == 0 || t + 1 == n || cuts[t] || cuts[t + 1] {
                return None;
            }
            let [before, this, after] = [t - 1, t, t + 1].map(|t| observations[t].as_ref());
            let (before, this, after) = (before?, this?, after?);
            let metres = REGION_M / f64::from(this.region.size).max(1.0);
            Some(std::array::from_fn(|k| {
                let i = ARMS.start() + k;
                let at = |of: &Observation, axis: usize| f64::from(of.landmarks[i].pixel[axis]);
                let off = |axis: usize| at(this, axis) - (at(before, axis) + at(after, axis)) / 2.0;
                2.0 * metres * off(0).hypot(off(1))
            }))
        })
        .collect();
    let [still, jumps] = [0, 1].map(|k| NOISE_M[k] + ACCELERATION[k] / (fps * fps));
    (0..n)
        .map(|t| {
            let around = same_shot(cuts, t, reach);
            let guessed = guessed_hands(observations, t, around.clone(), size);
            std::array::from_fn(|k| {
                let i = ARMS.start() + k;
                if i >= WRIST && guessed[(i - WRIST) % 2] {
                    return 0.0;
                }
                let Some(off) = median(around.clone().filter_map(|t| Some(off[t]?[k]))) else { return 1.0 };
                let visible = |of: &Observation| f64::from(of.landmarks[ARMS.start() + k].visibility);
                let seen = observations[around.clone()].iter().flatten().map(visible);
                let visible = median(seen).unwrap_or(1.0);
                let jumpy = ((off - still) / (jumps - still)).clamp(0.0, 1.0);
                let vague = ((VISIBLE[1] - visible) / (VISIBLE[1] - VISIBLE[0])).clamp(0.0, 1.0);
                1.0 - jumpy * vague
            })
        })
        .collect()
}

/// Whether the left and the right hand are made up: in a close shot, with the elbow out of the picture, and without a hand that anybody
/// found where it should be.
fn guessed_hands(
    observations: &[Option<Observation>],
    t: usize,
    around: std::ops::Range<usize>,
    size: [u32; 2],
) -> [bool; 2] {
    let Some(this) = &observations[t] else { return [false; 2] };
    if !this.is_close(size) {
        return [false; 2];
    }
    [0, 1].map(|side| {
        // Hands take turns: each is looked for in every other frame.
        let looks = observations[around.clone()].iter().flatten().count() / 2;
        let found = observations[around.clone()].iter().flatten().filter(|o| o.hands[side].is_some()).count();
        looks >= FEWEST_LOOKS
            && !is_inside(this.landmarks[ELBOW + side].pixel, size)
            && (found as f64) < FOUND * looks as f64
    })
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landmarks::{Landmark, N_LANDMARKS};
    use crate::region::Region;

    /// A wrist that goes along evenly or jumps about, as visible as is said.
    fn believed(jumps: bool, visibility: f32, fps: f64) -> f64 {
        let seen: Vec<Option<Observation>> = (0..40_u32)
            .map(|t| {
                let mut landmarks = vec![Landmark { visibility: 1.0, ..Landmark::default() }; N_LANDMARKS];
                let jump = if jumps { [0.0, 30.0, 10.0][t as usize % 3] } else { 0.0 };
                landmarks[15] =
                    Landmark { pixel: [300.0 + t as f32 + jump, 200.0], visibility, ..landmarks[15] };
                let region = Region { centre: [300.0; 2], size: 1000.0, angle: 0.0 };
                Some(Observation { region, score: 1.0, landmarks, hands: [None, None], face: None })
            })
            .collect();
        steadiness(&seen, &[false; 40], fps, [640, 480])[20][15 - ARMS.start()]
    }

    #[test]
    fn a_hand_that_nobody_finds_is_made_up_where_its_elbow_is_out_of_a_close_shot() {
        let hand = || crate::hands::Hand {
            region: Region { centre: [300.0; 2], size: 90.0, angle: 0.0 },
            score: 1.0,
            right: 0.0,
            pixels: vec![[300.0; 2]; crate::hands::N_HAND_LANDMARKS],
            metric: vec![[0.0; 3]; crate::hands::N_HAND_LANDMARKS],
        };
        let believed = |elbow: f32, hips: f32, found: &dyn Fn(usize) -> bool| {
            let seen: Vec<Option<Observation>> = (0..20)
                .map(|t| {
                    let mut landmarks =
                        vec![Landmark { visibility: 1.0, ..Landmark::default() }; N_LANDMARKS];
                    landmarks[ELBOW].pixel = [500.0, elbow];
                    landmarks[WRIST].pixel = [300.0, 300.0];
                    landmarks[23..25].iter_mut().for_each(|hip| hip.pixel = [300.0, hips]);
                    let region = Region { centre: [300.0; 2], size: 1000.0, angle: 0.0 };
                    let hands = [(t % 2 == 0 && found(t)).then(hand), None];
                    Some(Observation { region, score: 1.0, landmarks, hands, face: None })
                })
                .collect();
            steadiness(&seen, &[false; 20], 15.0, [640, 480])[10][WRIST - ARMS.start()]
        };
        assert_eq!(believed(600.0, 700.0, &|_| false), 0.0);
        // Found by mistake once.
        assert_eq!(believed(600.0, 700.0, &|t| t == 12), 0.0);
        // Found half of the time; with an elbow in view; with hips in view.
        assert_eq!(believed(600.0, 700.0, &|t| t % 4 == 0), 1.0);
        assert_eq!(believed(400.0, 700.0, &|_| false), 1.0);
        assert_eq!(believed(600.0, 400.0, &|_| false), 1.0);
    }

    #[test]
    fn what_jumps_about_half_sure_is_made_up() {
        assert!(believed(true, 0.7, 30.0) < 0.01);
        assert!(believed(true, 0.7, 60.0) < 0.01);
        // In a video of few frames a second arms do come that far.
        assert!(believed(true, 0.7, 8.0) > 0.99);
        assert!(believed(true, 0.99, 30.0) > 0.99);
        assert!(believed(false, 0.5, 30.0) > 0.99);
        assert!(steadiness(&[None, None], &[false; 2], 30.0, [640, 480]).iter().flatten().all(|v| *v == 1.0));
    }
}
