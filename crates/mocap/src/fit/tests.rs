//! A known motion, its landmarks computed from the body, and what comes back.

use super::math::{norm, sub};
use super::*;
use crate::landmarks::{Landmark, N_LANDMARKS};
use crate::region::Region;

fn body() -> BodyModel {
    BodyModel::from_bytes(anicrafter_assets::BODY).unwrap()
}

/// A body that swings its arms and turns, three metres away.
fn state(t: usize) -> State {
    let phase = t as f64 * 0.35;
    let mut state = State::default();
    for (rotation, expected) in state.rotations.iter_mut().zip(&prior::EXPECTED) {
        *rotation = exp(expected.reference);
    }
    state.rotations[0] = mul(&exp([std::f64::consts::PI, 0.0, 0.0]), &exp([0.0, 0.3 * phase.sin(), 0.0]));
    state.rotations[16] = exp([0.5 * phase.sin(), -0.3, -1.1]);
    state.rotations[17] = exp([-0.5 * phase.sin(), 0.3, 1.1]);
    state.rotations[18] = exp([0.0, -1.2 - 0.4 * phase.sin(), 0.0]);
    state.rotations[19] = exp([0.0, 1.2 - 0.4 * phase.sin(), 0.0]);
    state.translation = [0.2 * (phase * 0.3).sin(), 0.1, 3.4];
    state
}

/// The fitted body in a frame.
fn placed(rig: &Rig, fitted: &Fitted, t: usize) -> rig::Placed {
    let frame = &fitted.motion.frames[t];
    let pose = frame.pose.full();
    let rotations = std::array::from_fn(|j| exp(pose[j].map(f64::from)));
    rig.place(&State { rotations, translation: frame.translation.map(f64::from) })
}

fn observe(rig: &Rig, state: &State, camera: &Camera) -> Observation {
    let placed = rig.place(state);
    let hips = scale(math::add(placed.joints[1], placed.joints[2]), 0.5);
    // Back from camera axes to those of the ray.
    let turn = transpose(&math::between([0.0, 0.0, 1.0], hips));
    let mut landmarks = vec![Landmark::default(); N_LANDMARKS];
    for (point, at) in rig.points.iter().zip(&placed.points) {
        landmarks[point.landmark] = Landmark {
            pixel: camera.project(at.map(|v| v as f32)).unwrap(),
            metric: math::apply(&turn, sub(*at, hips)).map(|v| v as f32),
            visibility: 1.0,
            presence: 1.0,
        };
    }
    let region = Region { centre: [640.0, 360.0], size: 600.0, angle: 0.0 };
    Observation { region, score: 1.0, landmarks, hands: [None, None], face: None }
}

#[test]
fn a_known_motion_comes_back() {
    let body = body();
    let rig = Rig::new(&body, &[]).unwrap();
    let options = FitOptions::new(20.0, [1280, 720]);
    let camera = options.camera();
    let mut seen: Vec<Option<Observation>> =
        (0..24).map(|t| Some(observe(&rig, &state(t), &camera))).collect();
    // Two frames nobody saw, and three at the end.
    (seen[10], seen[11], seen[21], seen[22], seen[23]) = (None, None, None, None, None);
    let fitted = fit(&body, &seen, &[false; 24], &options).unwrap();
    assert_eq!(
        fitted.gaps.iter().map(|g| (g.frames.clone(), g.bridged)).collect::<Vec<_>>(),
        [(10..12, true), (21..24, true)]
    );
    let mut worst: f64 = 0.0;
    for t in 0..21 {
        let (found, wanted) = (placed(&rig, &fitted, t), rig.place(&state(t)));
        for j in [16, 17, 18, 19, 20, 21] {
            worst = worst.max(norm(sub(found.joints[j], wanted.joints[j])));
        }
    }
    assert!(worst < 0.05, "{worst} m");
    assert!(fitted.residual_px[5] < 4.0, "{} px", fitted.residual_px[5]);
    assert!(fitted.confidence[5][18] > 0.9 && fitted.confidence[10] == [0.0; 22]);
    // After the last sight the body stays.
    assert_eq!(fitted.motion.frames[23].translation, fitted.motion.frames[20].translation);
}

#[test]
fn what_is_not_in_the_picture_is_not_followed() {
    let body = body();
    let rig = Rig::new(&body, &[]).unwrap();
    let options = FitOptions::new(20.0, [1280, 720]);
    // Folded arms, as the network makes them up: where it says that they aren't in the picture, they hang.
    let mut folded = state(0);
    folded.rotations[18] = exp([0.0, -2.3, 0.0]);
    folded.rotations[19] = exp([0.0, 2.3, 0.0]);
    let wrist = |presence: f32| {
        let mut observation = observe(&rig, &folded, &options.camera());
        for i in 13..=22 {
            (observation.landmarks[i].presence, observation.landmarks[i].visibility) = (presence, 0.4);
        }
        let seen = vec![Some(observation); 8];
        let fitted = fit(&body, &seen, &[false; 8], &options).unwrap();
        let placed = placed(&rig, &fitted, 4);
        // How far the wrists are below the shoulders; y points down.
        (placed.joints[20][1] + placed.joints[21][1] - placed.joints[16][1] - placed.joints[17][1]) / 2.0
    };
    let (in_the_picture, out_of_it) = (wrist(1.0), wrist(0.05));
    assert!(in_the_picture < 0.2 && out_of_it > 0.35, "{in_the_picture} m, {out_of_it} m");
}

#[test]
fn long_absences_hide_the_body_and_none_at_all_is_an_error() {
    let body = body();
    let rig = Rig::new(&body, &[]).unwrap();
    let options = FitOptions { bridge_s: 0.1, ..FitOptions::new(20.0, [1280, 720]) };
    let seen: Vec<Option<Observation>> = (0..12)
        .map(|t| (!(4..9).contains(&t)).then(|| observe(&rig, &state(t), &options.camera())))
        .collect();
    let fitted = fit(&body, &seen, &[false; 12], &options).unwrap();
    assert_eq!(fitted.gaps, [Gap { frames: 4..9, bridged: false }]);
    assert!(fitted.motion.frames[5].translation[2] < 0.0 && fitted.motion.frames[3].translation[2] > 0.0);
    assert!(matches!(fit(&body, &[None, None], &[false; 2], &options), Err(Error::Nobody { frames: 2 })));
    assert!(fit(&body, &seen, &[false; 3], &options).is_err());
}

#[test]
fn a_fit_tells_how_far_it_is_and_stops_when_asked() {
    let body = body();
    let rig = Rig::new(&body, &[]).unwrap();
    let options = FitOptions::new(20.0, [1280, 720]);
    let seen: Vec<Option<Observation>> =
        (0..RUN + 10).map(|t| Some(observe(&rig, &state(t), &options.camera()))).collect();
    let cuts = vec![false; seen.len()];
    let mut told = Vec::new();
    let run = |stop_at: f64, told: &mut Vec<f64>| {
        fit_watched(&body, &seen, &cuts, &options, &mut |done| {
            told.push(done);
            if done >= stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    };
    run(f64::INFINITY, &mut told).unwrap();
    assert!(told.len() > 4 && told.is_sorted(), "{told:?}");
    assert_eq!((told[0], told[told.len() - 1]), (0.0, seen.len() as f64));
    assert!(told.contains(&(RUN as f64)));
    told.clear();
    assert!(matches!(run(RUN as f64, &mut told), Err(Error::Stopped)));
    assert_eq!(told[told.len() - 1], RUN as f64);
}
