//! Which landmarks of arms are followed rather than made up: what a network can't see it puts somewhere else in each frame, half sure.

use super::same_shot;
use crate::landmarks::Observation;
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

/// By frame: how far each landmark of the arms is to be believed, 0..1.
pub(super) fn steadiness(observations: &[Option<Observation>], cuts: &[bool], fps: f64) -> Vec<[f64; N]> {
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
            std::array::from_fn(|k| {
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
        steadiness(&seen, &[false; 40], fps)[20][15 - ARMS.start()]
    }

    #[test]
    fn what_jumps_about_half_sure_is_made_up() {
        assert!(believed(true, 0.7, 30.0) < 0.01);
        assert!(believed(true, 0.7, 60.0) < 0.01);
        // In a video of few frames a second arms do come that far.
        assert!(believed(true, 0.7, 8.0) > 0.99);
        assert!(believed(true, 0.99, 30.0) > 0.99);
        assert!(believed(false, 0.5, 30.0) > 0.99);
        assert!(steadiness(&[None, None], &[false; 2], 30.0).iter().flatten().all(|v| *v == 1.0));
    }
}
