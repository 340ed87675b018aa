//! Landmarks of hands become rotations of the fingers.
//!
//! Everything is measured in the palm's own axes, so that neither the wrist nor the camera matters. The first joint of a finger
//! swings two ways, the others bend; a hand that wasn't seen well is relaxed, and what is seen is smoothed over time.

use super::math::{M3, V3, add, apply, cross, dot, exp, mul, norm, scale, sub, transpose, unit};
use crate::error::Result;
use crate::hands::Hand;
use smplx::{BodyModel, Side};

/// Joints of a hand: three a finger, in the order index, middle, little finger, ring, thumb.
pub(crate) const JOINTS: usize = 15;
/// The landmark at each finger's first joint; the next three lie further out.
const FIRST: [usize; 5] = [5, 9, 17, 13, 1];
const THUMB: usize = 4;
/// Radians by which a finger's joints bend, from straight: back and in.
const BEND: [[f64; 2]; 3] = [[-0.3, 1.5], [-0.05, 1.8], [-0.05, 1.2]];
/// Radians by which a finger spreads to either side.
const SPREAD: f64 = 0.3;
/// Radians by which each of the thumb's joints turns either way.
const THUMB_TURN: [f64; 3] = [0.6, 0.6, 0.9];
/// Seconds over which hands are smoothed where they are seen, and over which they keep their shape where they aren't; how much
/// the latter counts beside the former.
const SMOOTH_S: [f64; 2] = [0.12, 0.5];
const KEPT: f64 = 0.06;
/// How much a relaxed hand counts beside what is seen.
const RELAXED: f64 = 0.1;
/// Radians by which a relaxed finger's joints bend, where the body doesn't say.
const RELAXED_BEND: [f64; 3] = [0.35, 0.45, 0.25];
/// The score from which on a hand counts, and how sure the model must be which hand it is.
const MIN_SCORE: f64 = 0.6;

/// A hand at rest.
struct Rest {
    /// Joints in the order of the body model.
    joints: [V3; JOINTS],
    palm: M3,
    /// From the palm outwards.
    palmar: V3,
}

/// The palm's axes: along the middle finger, across to the index finger, and their product.
fn palm(wrist: V3, index: V3, middle: V3, little: V3) -> M3 {
    let along = unit(sub(middle, wrist));
    let across = sub(index, little);
    let across = unit(sub(across, scale(along, dot(across, along))));
    let out = cross(along, across);
    std::array::from_fn(|i| [along[i], across[i], out[i]])
}

impl Rest {
    fn new(body: &BodyModel, betas: &[f32], side: Side) -> Result<Self> {
        let all = body.rest_joints(betas, &[])?;
        let wide = |i: usize| all[i].map(f64::from);
        let (wrist, first) = match side {
            Side::Left => (20, 25),
            Side::Right => (21, 40),
        };
        let joints: [V3; JOINTS] = std::array::from_fn(|j| wide(first + j));
        let palm = palm(wide(wrist), joints[0], joints[3], joints[6]);
        let sign = if side == Side::Left { 1.0 } else { -1.0 };
        let palmar = std::array::from_fn(|i| sign * palm[i][2]);
        Ok(Self { joints, palm, palmar })
    }

    /// A hand that does nothing: as the body model says, or slightly bent.
    fn relaxed(&self, body: &BodyModel, side: Side) -> [V3; JOINTS] {
        let mean = body.hand(side).map(|h| h.mean).filter(|mean| mean.iter().flatten().any(|v| *v != 0.0));
        if let Some(mean) = mean {
            return mean.map(|v| v.map(f64::from));
        }
        std::array::from_fn(|i| {
            let (finger, j) = (i / 3, i % 3);
            if finger == THUMB {
                return [0.0; 3];
            }
            scale(unit(cross(self.bone(finger, j), self.palmar)), RELAXED_BEND[j])
        })
    }

    /// The direction of a finger's bone; the last joint has no child, its bone goes on as the one before.
    fn bone(&self, finger: usize, j: usize) -> V3 {
        let from = 3 * finger + j.min(1);
        unit(sub(self.joints[from + 1], self.joints[from]))
    }

    /// Rotations of the joints that put the fingers where the landmarks are.
    fn pose(&self, hand: &Hand) -> [V3; JOINTS] {
        let at = |i: usize| hand.metric[i].map(f64::from);
        let seen = palm(at(0), at(5), at(9), at(17));
        let to_rest = mul(&self.palm, &transpose(&seen));
        let mut pose = [[0.0; 3]; JOINTS];
        for (finger, first) in FIRST.into_iter().enumerate() {
            let rest = [0, 1, 2].map(|j| self.bone(finger, j));
            let mut before = super::math::IDENTITY;
            for j in 0..3 {
                let wanted = unit(apply(&to_rest, sub(at(first + j + 1), at(first + j))));
                let wanted = apply(&transpose(&before), wanted);
                let turn = if finger == THUMB {
                    swing(rest[j], wanted, THUMB_TURN[j])
                } else {
                    bent(rest[j], wanted, self.palmar, j)
                };
                pose[3 * finger + j] = turn;
                before = mul(&before, &exp(turn));
            }
        }
        pose
    }
}

/// The smallest turn from one direction to another, at most `limit`.
fn swing(from: V3, to: V3, limit: f64) -> V3 {
    let axis = cross(from, to);
    let angle = norm(axis).atan2(dot(from, to));
    if norm(axis) < 1e-9 { [0.0; 3] } else { scale(unit(axis), angle.min(limit)) }
}

/// A finger's joint `j` bent towards the palm; the first one spreads as well.
fn bent(from: V3, to: V3, palmar: V3, j: usize) -> V3 {
    let hinge = unit(cross(from, palmar));
    let up = cross(hinge, from);
    let bend = dot(to, up).atan2(dot(to, from)).clamp(BEND[j][0], BEND[j][1]);
    if j > 0 {
        return scale(hinge, bend);
    }
    // Straight fingers spread; what looks so of a bent one is mostly noise.
    let spread = dot(to, hinge).clamp(-1.0, 1.0).asin().clamp(-SPREAD, SPREAD) * bend.cos().max(0.0);
    add(scale(hinge, bend), scale(up, -spread))
}

/// How much a hand counts.
fn weight(hand: &Hand, side: Side) -> f64 {
    let is_side = f64::from(if side == Side::Right { hand.right } else { 1.0 - hand.right });
    let sure = (f64::from(hand.score) - MIN_SCORE) / (1.0 - MIN_SCORE);
    sure.clamp(0.0, 1.0) * (2.0 * is_side - 0.6).clamp(0.0, 1.0)
}

/// The fingers of one hand in every frame; `cuts` marks frames that don't follow from the one before.
pub(crate) fn fingers(
    body: &BodyModel,
    betas: &[f32],
    side: Side,
    hands: &[Option<&Hand>],
    cuts: &[bool],
    fps: f32,
) -> Result<Vec<[[f32; 3]; JOINTS]>> {
    let rest = Rest::new(body, betas, side)?;
    let relaxed = rest.relaxed(body, side);
    let seen: Vec<Option<(f64, [V3; JOINTS])>> = hands
        .iter()
        .map(|hand| {
            let hand = hand.filter(|h| h.metric.len() == crate::hands::N_HAND_LANDMARKS)?;
            let weight = weight(hand, side);
            (weight > 0.0).then(|| (weight, rest.pose(hand)))
        })
        .collect();
    let reach = SMOOTH_S.map(|s| (s * f64::from(fps)).max(0.5));
    let far = (3.0 * reach[1]).ceil() as usize;
    Ok((0..hands.len())
        .map(|t| {
            let mut sum = relaxed.map(|v| scale(v, RELAXED));
            let mut total = RELAXED;
            for i in super::same_shot(cuts, t, far) {
                let Some((weight, pose)) = &seen[i] else { continue };
                let [near, kept] = reach.map(|r| (-0.5 * ((i as f64 - t as f64) / r).powi(2)).exp());
                let weight = weight * (near + KEPT * kept);
                total += weight;
                sum.iter_mut().zip(pose).for_each(|(s, p)| *s = add(*s, scale(*p, weight)));
            }
            sum.map(|v| v.map(|x| (x / total) as f32))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::Region;
    use smplx::{BodyPose, Rotations};

    /// A hand's landmarks computed from the body, looked at from somewhere.
    fn observed(body: &BodyModel, side: Side, pose: &[[f32; 3]; JOINTS], score: f32) -> Hand {
        let mut whole = BodyPose::default();
        let (wrist, first) = if side == Side::Left { (20, 25) } else { (21, 40) };
        *(if side == Side::Left { &mut whole.left_hand } else { &mut whole.right_hand }) = *pose;
        let full = whole.full();
        let frame = smplx::Frame { rotations: Rotations::AxisAngle(&full), ..smplx::Frame::REST };
        let at = body.joints(&frame).unwrap().positions;
        let turn = exp([0.7, -0.4, 1.1]);
        let point = |i: usize| apply(&turn, at[i].map(f64::from)).map(|v| v as f32);
        let mut metric = vec![point(wrist); 21];
        for (finger, landmark) in FIRST.into_iter().enumerate() {
            for j in 0..3 {
                metric[landmark + j] = point(first + 3 * finger + j);
            }
            // The tip goes on as the last bone does.
            let [a, b] = [metric[landmark + 1], metric[landmark + 2]];
            metric[landmark + 3] = std::array::from_fn(|k| 2.0 * b[k] - a[k]);
        }
        let region = Region { centre: [0.0; 2], size: 100.0, angle: 0.0 };
        let right = if side == Side::Right { 1.0 } else { 0.0 };
        Hand { region, score, right, pixels: vec![[0.0; 2]; 21], metric }
    }

    #[test]
    fn bent_fingers_come_back_and_unseen_hands_are_relaxed() {
        let body = BodyModel::from_bytes(anicrafter_assets::BODY).unwrap();
        for side in [Side::Left, Side::Right] {
            let rest = Rest::new(&body, &[], side).unwrap();
            let mut wanted = [[0.0_f32; 3]; JOINTS];
            for finger in 0..4 {
                let bone = unit(sub(rest.joints[3 * finger + 1], rest.joints[3 * finger]));
                let hinge = unit(cross(bone, rest.palmar));
                for j in 0..2 {
                    wanted[3 * finger + j] = scale(hinge, 0.4 + 0.3 * j as f64).map(|v| v as f32);
                }
            }
            // Bending goes towards the palm: down, for a body with its arms stretched out.
            assert!(rest.palmar[1] < -0.8, "{:?}", rest.palmar);
            let hand = observed(&body, side, &wanted, 1.0);
            let found = rest.pose(&hand);
            for j in (0..12).filter(|j| j % 3 < 2) {
                let off: f64 = (0..3).map(|k| (found[j][k] - f64::from(wanted[j][k])).powi(2)).sum();
                assert!(off.sqrt() < 0.12, "{side:?} joint {j}: {:?} for {:?}", found[j], wanted[j]);
            }
            let other = Hand { right: 1.0 - hand.right, ..hand.clone() };
            let unsure = Hand { score: 0.55, ..hand.clone() };
            let relaxed = rest.relaxed(&body, side).map(|v| v.map(|x| x as f32));
            let hands = [Some(&hand), Some(&hand), Some(&hand), None, Some(&other), Some(&unsure)];
            let cuts = [false, false, false, true, false, false];
            let poses = fingers(&body, &[], side, &hands, &cuts, 20.0).unwrap();
            assert!(poses[3..].iter().all(|p| {
                p.iter().flatten().zip(relaxed.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-6)
            }));
            assert!((poses[1][0][2].abs() - wanted[0][2].abs()).abs() < 0.15, "{:?}", poses[1][0]);
        }
    }
}
