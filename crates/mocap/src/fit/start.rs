//! A first guess for a frame: the torso's axes, then each bone turned into its direction.

use super::math::{M3, V3, add, apply, between, cross, mul, scale, sub, transpose, unit};
use super::prior::EXPECTED;
use super::rig::{Placed, Rig, State};
use super::view::View;
use smplx::Camera;

/// Joints whose bone is turned: the joint, its child, and the landmarks at both.
const TURNED: [(usize, usize, usize, usize); 8] = [
    (16, 18, 11, 13),
    (17, 19, 12, 14),
    (18, 20, 13, 15),
    (19, 21, 14, 16),
    (1, 4, 23, 25),
    (2, 5, 24, 26),
    (4, 7, 25, 27),
    (5, 8, 26, 28),
];

/// Below this a landmark doesn't turn a bone.
const SURE: f64 = 0.3;

pub(crate) fn start(rig: &Rig, view: &View, camera: &Camera) -> State {
    let m = &view.metric;
    let half = |a: usize, b: usize| scale(add(m[a], m[b]), 0.5);
    // Hips that nobody sees are guesses: the trunk stands upright then.
    let hips = view.hips > 0.5;
    let shoulders = sub(m[11], m[12]);
    let left = unit(if hips { add(shoulders, sub(m[23], m[24])) } else { shoulders });
    let up = if hips { sub(half(11, 12), half(23, 24)) } else { [0.0, -1.0, 0.0] };
    let forward = unit(cross(left, up));
    let up = cross(forward, left);
    let root: M3 = std::array::from_fn(|i| [left[i], up[i], forward[i]]);
    let mut state = State::default();
    for (rotation, expected) in state.rotations.iter_mut().zip(&EXPECTED) {
        *rotation = super::math::exp(expected.reference);
    }
    state.rotations[0] = root;
    for &(joint, child, a, b) in &TURNED {
        if view.sure[a].min(view.sure[b]) < SURE {
            continue;
        }
        let placed = rig.place(&state);
        let parent = rig.parents[joint].map_or(super::math::IDENTITY, |p| placed.world[p]);
        let wanted = apply(&transpose(&parent), sub(m[b], m[a]));
        let bone = sub(rig.rest[child], rig.rest[joint]);
        let reference = super::math::exp(EXPECTED[joint].reference);
        // From the reference rotation on, so that the rest of the turn is the likely one.
        state.rotations[joint] = mul(&between(apply(&reference, bone), wanted), &reference);
    }
    state.translation = place(&rig.place(&state), view, camera);
    state
}

/// The translation that puts the points where they are seen: depth from their spread, then across and down.
fn place(placed: &Placed, view: &View, camera: &Camera) -> V3 {
    let [f, c] = [camera.focal_px, camera.principal_px].map(|v| v.map(f64::from));
    let weights: Vec<f64> = view.seen.iter().map(|s| s.weight.max(1e-9)).collect();
    let total: f64 = weights.iter().sum();
    let mean = |value: &dyn Fn(usize) -> f64| {
        weights.iter().enumerate().map(|(i, w)| w * value(i)).sum::<f64>() / total
    };
    let seen = |i: usize, k: usize| (view.seen[i].pixel[k] - c[k]) / f[k];
    let point = |i: usize, k: usize| placed.points[view.seen[i].point][k];
    let (mut spread_seen, mut spread_body) = (0.0, 0.0);
    let (mut seen_mean, mut body_mean) = ([0.0; 2], [0.0; 2]);
    for k in 0..2 {
        seen_mean[k] = mean(&|i| seen(i, k));
        body_mean[k] = mean(&|i| point(i, k));
        spread_seen += mean(&|i| (seen(i, k) - seen_mean[k]).powi(2));
        spread_body += mean(&|i| (point(i, k) - body_mean[k]).powi(2));
    }
    let depth = (spread_body / spread_seen.max(1e-12)).sqrt().clamp(0.3, 100.0);
    let z = mean(&|i| point(i, 2));
    [seen_mean[0] * depth - body_mean[0], seen_mean[1] * depth - body_mean[1], depth - z]
}
