//! One frame's landmarks as the solver wants them.

use super::math::{M3, V3, apply, between};
use super::rig::{JOINTS, Rig};
use super::steady::ARMS;
use crate::face::{LEFT_EAR, N_OF_FACE, RIGHT_EAR};
use crate::landmarks::Observation;
use smplx::Camera;

/// Bones whose direction is compared with the metric landmarks; pairs of landmarks, with trust in it.
const BONES: [(usize, usize, f64); 16] = [
    (12, 11, 1.0),
    (11, 13, 1.0),
    (13, 15, 1.0),
    (12, 14, 1.0),
    (14, 16, 1.0),
    (23, 11, 1.0),
    (24, 12, 1.0),
    (24, 23, 0.7),
    (23, 25, 0.8),
    (25, 27, 0.8),
    (24, 26, 0.8),
    (26, 28, 0.8),
    (8, 7, 1.0),
    (7, 0, 0.7),
    (8, 0, 0.7),
    (29, 31, 0.4),
];

/// A landmark in view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Index into the rig's points.
    pub point: usize,
    pub pixel: [f64; 2],
    /// 1 / pixels.
    pub weight: f64,
}

/// A bone's direction in camera axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bone {
    /// Indices into the rig's points.
    pub from: usize,
    pub to: usize,
    pub direction: V3,
    pub trust: f64,
}

/// What a frame shows.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub seen: Vec<Seen>,
    pub bones: Vec<Bone>,
    /// Metric landmarks in camera axes.
    pub metric: Vec<V3>,
    /// How sure each landmark is.
    pub sure: Vec<f64>,
    /// How far landmarks that each joint moves lie in the picture, 0..1.
    pub joints: [f64; JOINTS],
    /// The same for the hips.
    pub hips: f64,
}

/// Beyond the border by this part of the region, a landmark counts nothing: in close shots, where for arms a region larger than the picture
/// counts as large as it, and where the hips are in the picture.
const BORDER: f64 = 0.02;
const BORDER_OF_WHOLE: f64 = 0.1;
/// Those that are in the picture with less than the first probability count nothing, from the second on in full.
const PRESENT: [f64; 2] = [0.2, 0.6];
/// How much more the landmarks of a face count that was looked at by itself: in close shots, and where the hips are in the picture; those
/// of the ears, as part of that; and how the face is turned.
const FACE_TRUST: [f64; 2] = [12.0, 2.0];
const EAR_TRUST: f64 = 0.4;
const FACE_TURN_TRUST: f64 = 1.5;
/// Joints are seen well enough from this on.
const ENOUGH: f64 = 0.5;

/// Noise of landmarks in the picture, as part of the region's side.
const PIXEL_NOISE: f64 = 0.006;

impl View {
    /// `steady` is how far each landmark of the arms is to be believed.
    pub(crate) fn new(observation: &Observation, steady: &[f64], camera: &Camera, rig: &Rig) -> Self {
        let [w, h] = camera.size_px.map(f64::from);
        let ray = |pixel: [f64; 2]| -> V3 {
            let at =
                |i: usize| (pixel[i] - f64::from(camera.principal_px[i])) / f64::from(camera.focal_px[i]);
            [at(0), at(1), 1.0]
        };
        let landmarks = &observation.landmarks;
        let pixel = |i: usize| landmarks[i].pixel.map(f64::from);
        let middle: [f64; 2] = std::array::from_fn(|k| (pixel(23)[k] + pixel(24)[k]) / 2.0);
        // Metric landmarks look along the ray to the person, not along the camera's axis.
        let turn: M3 = between([0.0, 0.0, 1.0], ray(middle));
        let metric: Vec<V3> = landmarks.iter().map(|l| apply(&turn, l.metric.map(f64::from))).collect();
        // Soft at the border: a landmark outside of the picture is a guess. Where the hips are such a guess, so is all that the
        // network makes of them, and what lies outside says nothing at all.
        let is_close = observation.is_close(camera.size_px);
        let size = f64::from(observation.region.size);
        let border = if is_close { BORDER } else { BORDER_OF_WHOLE };
        let inside: Vec<f64> = landmarks
            .iter()
            .enumerate()
            .map(|(i, l)| {
                let [x, y] = l.pixel.map(f64::from);
                let out = [-x, x - w, -y, y - h].into_iter().fold(0.0, f64::max);
                // Arms that leave the picture the network folds into it: hands in front of the chest.
                let [no, yes] = PRESENT;
                let present = if ARMS.contains(&i) {
                    ((f64::from(l.presence) - no) / (yes - no)).clamp(0.0, 1.0) * steady[i - ARMS.start()]
                } else {
                    1.0
                };
                let size = if is_close && ARMS.contains(&i) { size.min(w.max(h)) } else { size };
                (1.0 - out / (border * size)).clamp(0.0, 1.0) * present
            })
            .collect();
        let sure: Vec<f64> = landmarks
            .iter()
            .zip(&inside)
            .map(|(l, inside)| f64::from(l.visibility.clamp(0.02, 1.0)) * inside)
            .collect();
        let face = observation.face.is_some();
        let face_trust = FACE_TRUST[usize::from(!is_close)];
        let of_face = |landmark: usize| match landmark {
            LEFT_EAR | RIGHT_EAR if face => face_trust * EAR_TRUST,
            0..N_OF_FACE if face => face_trust,
            _ => 1.0,
        };
        let noise = PIXEL_NOISE * size;
        let seen = rig
            .points
            .iter()
            .enumerate()
            .map(|(n, p)| Seen {
                point: n,
                pixel: pixel(p.landmark),
                weight: p.trust * of_face(p.landmark) * sure[p.landmark] / noise,
            })
            .collect();
        let find = |landmark: usize| rig.points.iter().position(|p| p.landmark == landmark);
        let bones = BONES
            .iter()
            .filter_map(|&(a, b, trust)| {
                let direction = super::math::sub(metric[b], metric[a]);
                let trust = trust * sure[a].min(sure[b]).max(0.05) * inside[a].min(inside[b]);
                let trust = if face && a < N_OF_FACE { FACE_TURN_TRUST * trust } else { trust };
                Some(Bone { from: find(a)?, to: find(b)?, direction: super::math::unit(direction), trust })
            })
            .collect();
        let joints = rig.seen_joints(&inside);
        let hips = inside[23].min(inside[24]);
        Self { seen, bones, metric, sure, joints, hips }
    }

    /// How far a joint is from being seen: 0 for well enough, 1 for not at all.
    pub(crate) fn unseen(&self, joint: usize) -> f64 {
        ((ENOUGH - self.joints[joint]) / ENOUGH).clamp(0.0, 1.0)
    }
}
