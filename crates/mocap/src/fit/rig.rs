//! The skeleton that is fitted: the first 22 joints of SMPL-X, and the points on it that landmarks stand for.

use super::math::{IDENTITY, M3, V3, add, apply, column, cross, exp, mul, sub};
use crate::error::Result;
use smplx::BodyModel;

/// Pelvis and the 21 joints of `body_pose`.
pub(crate) const JOINTS: usize = 22;
/// Unknowns of a frame: three a joint, then the translation.
pub(crate) const UNKNOWNS: usize = 3 * JOINTS + 3;

/// Metres by which the network's hips lie beside, below and before the joints, and its ears within the body's: with these numbers
/// bodies come nearest to the truth of synthetic clips and of a real one.
const HIP_M: [f64; 3] = [0.04, -0.01, 0.05];
const EAR_M: f64 = 0.02;

/// A point that a landmark shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub landmark: usize,
    pub joint: usize,
    /// From the joint, in the rest pose.
    pub offset: V3,
    /// How well the landmark fits this point, 1 for well.
    pub trust: f64,
}

/// A body at rest.
#[derive(Debug)]
pub(crate) struct Rig {
    pub rest: [V3; JOINTS],
    pub parents: [Option<usize>; JOINTS],
    pub points: Vec<Point>,
}

/// The unknowns of one frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    pub rotations: [M3; JOINTS],
    pub translation: V3,
}

impl Default for State {
    fn default() -> Self {
        Self { rotations: [IDENTITY; JOINTS], translation: [0.0; 3] }
    }
}

impl State {
    /// The state after a step: rotations are followed by small ones.
    pub(crate) fn stepped(&self, step: &[f64]) -> Self {
        let at = |k: usize| [step[k], step[k + 1], step[k + 2]];
        Self {
            rotations: std::array::from_fn(|j| mul(&self.rotations[j], &exp(at(3 * j)))),
            translation: add(self.translation, at(3 * JOINTS)),
        }
    }
}

/// Where everything is in one frame.
#[derive(Debug)]
pub(crate) struct Placed {
    pub world: [M3; JOINTS],
    pub joints: [V3; JOINTS],
    pub points: Vec<V3>,
}

impl Rig {
    /// `betas` shape the body that is fitted.
    pub(crate) fn new(body: &BodyModel, betas: &[f32]) -> Result<Self> {
        let joints = body.rest_joints(betas, &[])?;
        let wide = |v: [f32; 3]| v.map(f64::from);
        let rest: [V3; JOINTS] = std::array::from_fn(|j| wide(joints[j]));
        let parents = std::array::from_fn(|j| body.parents()[j].map(usize::from));
        let mut points: Vec<Point> = [
            (11, 16, 1.0),
            (12, 17, 1.0),
            (13, 18, 1.0),
            (14, 19, 1.0),
            (15, 20, 1.0),
            (16, 21, 1.0),
            (25, 4, 1.0),
            (26, 5, 1.0),
            (27, 7, 1.0),
            (28, 8, 1.0),
        ]
        .map(|(landmark, joint, trust)| Point { landmark, joint, offset: [0.0; 3], trust })
        .to_vec();
        // What the network calls hips are places of the pelvis.
        for (landmark, joint, side) in [(23, 1, 1.0), (24, 2, -1.0)] {
            let beside = [side * HIP_M[0], HIP_M[1], HIP_M[2]];
            let offset = add(sub(rest[joint], rest[0]), beside);
            points.push(Point { landmark, joint: 0, offset, trust: 0.6 });
        }
        // Knuckles of index finger and little finger turn with the wrist alone.
        for (landmark, joint, of) in [(19, 25, 20), (20, 40, 21), (17, 31, 20), (18, 46, 21)] {
            points.push(Point {
                landmark,
                joint: of,
                offset: sub(wide(joints[joint]), rest[of]),
                trust: 0.5,
            });
        }
        let vertices = body.shaped(betas, &[])?;
        if let Ok(extra) = body.extra_joints(&vertices) {
            // Nose, eyes, ears; big toes and heels.
            for (landmark, n, of, trust) in [
                (0, 0, 15, 0.8),
                (5, 1, 15, 0.6),
                (2, 2, 15, 0.6),
                (8, 3, 15, 0.6),
                (7, 4, 15, 0.6),
                (31, 5, 10, 0.5),
                (32, 8, 11, 0.5),
                (29, 7, 7, 0.5),
                (30, 10, 8, 0.5),
            ] {
                let mut offset = sub(wide(extra[n]), rest[of]);
                if let 7 | 8 = landmark {
                    offset[0] -= EAR_M * offset[0].signum();
                }
                points.push(Point { landmark, joint: of, offset, trust });
            }
        }
        Ok(Self { rest, parents, points })
    }

    pub(crate) fn place(&self, state: &State) -> Placed {
        let mut world = [IDENTITY; JOINTS];
        let mut joints = [[0.0; 3]; JOINTS];
        for j in 0..JOINTS {
            match self.parents[j].filter(|p| *p < j) {
                None => (world[j], joints[j]) = (state.rotations[j], add(self.rest[j], state.translation)),
                Some(p) => {
                    world[j] = mul(&world[p], &state.rotations[j]);
                    joints[j] = add(joints[p], apply(&world[p], sub(self.rest[j], self.rest[p])));
                }
            }
        }
        let points =
            self.points.iter().map(|p| add(joints[p.joint], apply(&world[p.joint], p.offset))).collect();
        Placed { world, joints, points }
    }

    /// How well each joint's rotation is seen: as the best of the landmarks that it moves.
    pub(crate) fn seen_joints(&self, landmarks: &[f64]) -> [f64; JOINTS] {
        let mut seen = [0.0_f64; JOINTS];
        for point in &self.points {
            // A joint doesn't move its own middle.
            let own = point.offset == [0.0; 3];
            let mut joint = if own { self.parents[point.joint] } else { Some(point.joint) };
            while let Some(j) = joint {
                seen[j] = seen[j].max(landmarks[point.landmark]);
                joint = self.parents[j].filter(|p| *p < j);
            }
        }
        seen
    }

    /// Calls `f(unknown, d point / d unknown)` for every rotation that moves a point.
    pub(crate) fn derivatives(&self, placed: &Placed, point: usize, mut f: impl FnMut(usize, V3)) {
        let at = placed.points[point];
        let mut joint = Some(self.points[point].joint);
        while let Some(j) = joint {
            let arm = sub(at, placed.joints[j]);
            for k in 0..3 {
                f(3 * j + k, cross(column(&placed.world[j], k), arm));
            }
            joint = self.parents[j].filter(|p| *p < j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::math::norm;
    use smplx::Rotations;

    fn body() -> BodyModel {
        BodyModel::from_bytes(anicrafter_assets::BODY).unwrap()
    }

    #[test]
    fn derivatives_are_those_of_the_points() {
        let rig = Rig::new(&body(), &[]).unwrap();
        assert!(rig.points.len() > 20);
        let mut step = [0.0; UNKNOWNS];
        for (i, s) in step.iter_mut().enumerate() {
            *s = (i as f64 * 1.7).sin() * 0.6;
        }
        let state = State::default().stepped(&step);
        let placed = rig.place(&state);
        for point in [0, 5, 12, 16, 21] {
            let mut seen = 0;
            rig.derivatives(&placed, point, |unknown, d| {
                let mut small = [0.0; UNKNOWNS];
                small[unknown] = 1e-6;
                let moved = rig.place(&state.stepped(&small)).points[point];
                let numeric = sub(moved, placed.points[point]).map(|v| v / 1e-6);
                assert!(norm(sub(numeric, d)) < 1e-5, "point {point} unknown {unknown}: {numeric:?} {d:?}");
                seen += 1;
            });
            assert!(seen >= 6);
        }
    }

    #[test]
    fn joints_are_those_of_the_body_model() {
        let body = body();
        let rig = Rig::new(&body, &[]).unwrap();
        let mut pose = [[0.0_f32; 3]; smplx::N_JOINTS];
        for (j, p) in pose.iter_mut().enumerate().take(JOINTS) {
            *p = std::array::from_fn(|k| ((j * 3 + k) as f32).sin() * 0.5);
        }
        let frame = smplx::Frame {
            rotations: Rotations::AxisAngle(&pose),
            translation: [0.1, 0.2, 3.0],
            ..smplx::Frame::REST
        };
        let expected = body.joints(&frame).unwrap().positions;
        let rotations = std::array::from_fn(|j| exp(pose[j].map(f64::from)));
        let placed = rig.place(&State { rotations, translation: [0.1, 0.2, 3.0] });
        for j in 0..JOINTS {
            assert!(norm(sub(placed.joints[j], expected[j].map(f64::from))) < 1e-4);
        }
    }
}
