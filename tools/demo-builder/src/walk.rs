//! A procedural walk: planted feet that roll from heel to ball, legs by two-bone inverse kinematics, swinging arms.

use crate::noise::smoothstep;
use crate::stage::{self, FOCAL, FPS, FRAMES, HEADING, SIZE, SPEED, View, heading, path};
use crate::{Result, vec3};
use glam::{Mat3, Quat, Vec3};
use smplx::{BodyModel, BodyPose, Camera, Motion, MotionFrame, N_JOINTS};
use std::f32::consts::TAU;

/// Seconds from one heel strike to the next of the same foot.
const CYCLE: f32 = 1.0;
/// Share of the cycle in which a foot is on the ground.
const STANCE: f32 = 0.6;
/// Thickness of the shoes' soles in metres.
pub const SOLE: f32 = 0.014;

/// A leg in the rest pose.
struct Leg {
    /// Joints: hip, knee, ankle, ball of the foot.
    joints: [usize; 4],
    hip: Vec3,
    knee: Vec3,
    ankle: Vec3,
    ball: Vec3,
    heel: Vec3,
    /// Part of the cycle by which this leg is late.
    phase: f32,
}

/// The body's measures that walking needs.
pub struct Walker {
    pelvis: Vec3,
    legs: [Leg; 2],
    height: f32,
}

impl std::fmt::Debug for Walker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walker").field("height", &self.height).finish_non_exhaustive()
    }
}

/// Where an ankle is over the ground and how far the toes point down.
struct Step {
    ankle: Vec3,
    pitch: f32,
    toes: f32,
}

impl Walker {
    /// Measures a body.
    ///
    /// # Errors
    /// When the model can't be posed.
    pub fn new(model: &BodyModel) -> Result<Self> {
        let rest = model.rest_joints(&[], &[])?;
        let lowest = model.v_template().iter().map(|v| v[1]).fold(f32::INFINITY, f32::min) - SOLE;
        let leg = |joints: [usize; 4], phase| {
            let [hip, knee, ankle, ball] = joints.map(|j| vec3(rest[j]));
            let foot = |v: usize| joints[2..].contains(&model.weights().dominant_joint(v));
            let back = (0..model.n_vertices())
                .filter(|v| foot(*v))
                .map(|v| model.v_template()[v][2])
                .fold(f32::INFINITY, f32::min);
            let ball = Vec3::new(ball.x, lowest, ball.z);
            Leg { joints, hip, knee, ankle, ball, heel: Vec3::new(ankle.x, lowest, back + 0.02), phase }
        };
        let legs = [leg([1, 4, 7, 10], 0.0), leg([2, 5, 8, 11], 0.5)];
        let mut walker = Self { pelvis: vec3(rest[0]), legs, height: 0.0 };
        // As high as both legs can reach all through the cycle.
        walker.height = (0..64)
            .map(|i| walker.reachable_height(i as f32 / 64.0 * CYCLE + CYCLE))
            .fold(f32::INFINITY, f32::min);
        Ok(walker)
    }

    fn reachable_height(&self, t: f32) -> f32 {
        let above = self.legs.iter().map(|leg| {
            let length = 0.992 * ((leg.knee - leg.hip).length() + (leg.ankle - leg.knee).length());
            let ankle = leg.step(t).ankle;
            let ahead = (ankle - path(SPEED * t)).dot(heading());
            ankle.y + (length * length - ahead * ahead).max(0.0).sqrt() - (leg.hip.y - self.pelvis.y) - bob(t)
        });
        above.fold(f32::INFINITY, f32::min)
    }

    /// The pose at a time, in the world: the 55 rotations and where the pelvis is.
    #[must_use]
    pub fn pose(&self, t: f32) -> ([Quat; N_JOINTS], Vec3) {
        let swing = (TAU * t / CYCLE).cos();
        let mut local = arms_and_trunk(swing, t);
        let pelvis_turn = Quat::from_rotation_y(HEADING)
            * Quat::from_rotation_y(-0.10 * swing)
            * Quat::from_rotation_z(0.035 * (TAU * t / CYCLE).sin());
        local[0] = pelvis_turn;
        let sway = heading().cross(Vec3::Y) * -0.018 * (TAU * (t / CYCLE - 0.05)).sin();
        let pelvis = path(SPEED * t) + sway + Vec3::Y * (self.height + bob(t));
        for leg in &self.legs {
            leg.solve(&leg.step(t), pelvis, self.pelvis, &mut local);
        }
        (local, pelvis)
    }

    /// The walk as a motion in the cameras' own axes.
    ///
    /// # Errors
    /// Never for a sound body; the motion is checked.
    pub fn motion(&self) -> Result<Motion> {
        let [w, h] = SIZE;
        let camera =
            Camera { focal_px: [FOCAL; 2], principal_px: [w as f32 / 2.0, h as f32 / 2.0], size_px: SIZE };
        let frames = (0..FRAMES).map(|index| {
            // Starts inside a cycle, so that nothing begins at rest.
            let (mut local, pelvis) = self.pose(stage::seconds(index));
            let view = View::of_frame(index);
            local[0] = Quat::from_mat3(&view.turn) * local[0];
            let pose = BodyPose::from_full(&local.map(|q| q.normalize().to_scaled_axis().to_array()));
            let translation = (view.turn * (pelvis - view.eye) - self.pelvis).to_array();
            MotionFrame {
                pose,
                translation,
                betas: vec![0.0; 10],
                camera: Some(camera),
                ..MotionFrame::default()
            }
        });
        Ok(Motion::new(FPS as f32, frames.collect())?)
    }
}

/// The pelvis rises over the standing leg and sinks between steps.
fn bob(t: f32) -> f32 {
    -0.014 * (2.0 * TAU * (t / CYCLE - 0.02)).cos()
}

/// Everything above the hips for a phase of the arms (−1 to 1: left arm back to front … at the left heel strike it is
/// back) at a time.
fn arms_and_trunk(swing: f32, t: f32) -> [Quat; N_JOINTS] {
    let mut local = [Quat::IDENTITY; N_JOINTS];
    for spine in [3, 6, 9] {
        local[spine] = Quat::from_rotation_y(0.075 * swing) * Quat::from_rotation_x(0.012);
    }
    let look = -0.16 + 0.22 * (TAU * t / 4.0).sin();
    local[12] = Quat::from_rotation_y(0.5 * look - 0.05 * swing) * Quat::from_rotation_x(0.02);
    local[15] = Quat::from_rotation_y(0.5 * look - 0.05 * swing) * Quat::from_rotation_x(-0.03);
    for (side, collar, shoulder, elbow, wrist) in [(1.0, 13, 16, 18, 20), (-1.0, 14, 17, 19, 21)] {
        let forward = -side * swing;
        local[collar] = Quat::from_rotation_z(-0.10 * side);
        local[shoulder] = Quat::from_rotation_x(-0.06 - 0.48 * forward) * Quat::from_rotation_z(-1.16 * side);
        local[elbow] = Quat::from_rotation_y(-side * (0.42 + 0.24 * forward));
        local[wrist] = Quat::from_rotation_y(-side * 0.08);
    }
    relax_hands(&mut local);
    local
}

fn relax_hands(local: &mut [Quat; N_JOINTS]) {
    for (side, first) in [(1.0, 25), (-1.0, 40)] {
        for joint in 0..12 {
            let bend = if joint % 3 == 0 { 0.30 } else { 0.38 };
            local[first + joint] = Quat::from_rotation_z(-side * bend);
        }
    }
}

/// A body that stands still with its arms beside it, in its own axes: how the character picture and the baked light
/// see it.
#[must_use]
pub fn standing() -> [[f32; 3]; N_JOINTS] {
    let mut local = [Quat::IDENTITY; N_JOINTS];
    for (side, hip, collar, shoulder, elbow) in [(1.0, 1, 13, 16, 18), (-1.0, 2, 14, 17, 19)] {
        local[hip] = Quat::from_rotation_z(0.05 * side);
        local[hip + 6] = Quat::from_rotation_z(-0.05 * side) * Quat::from_rotation_y(0.12 * side);
        local[collar] = Quat::from_rotation_z(-0.10 * side);
        local[shoulder] = Quat::from_rotation_z(-1.05 * side);
        local[elbow] = Quat::from_rotation_y(-side * 0.22);
    }
    relax_hands(&mut local);
    local.map(|q| q.to_scaled_axis().to_array())
}

impl Leg {
    /// Where this leg's foot is.
    fn step(&self, t: f32) -> Step {
        let cycles = t / CYCLE - self.phase;
        let (count, phase) = (cycles.floor(), cycles - cycles.floor());
        let stride = SPEED * CYCLE;
        // The hip passes over the ankle in the middle of the stance.
        let planted = |count: f32| stride * (count + self.phase + STANCE / 2.0) + 0.01;
        let place = |flat: f32, y: f32, z: f32| {
            let aside = heading().cross(Vec3::Y) * (-self.hip.x * 0.85);
            path(flat + z) + aside + Vec3::Y * y
        };
        // Rolling around the heel or the ball: height of the ankle and how far it is from where it is with a flat foot.
        let rolled = |pivot: Vec3, pitch: f32| {
            let at = Quat::from_rotation_x(pitch) * (self.ankle - pivot);
            (at.y, pivot.z + at.z - self.ankle.z)
        };
        const STRIKE: f32 = -0.32;
        const PUSH: f32 = 0.86;
        if phase < STANCE {
            let strike = STRIKE * (1.0 - smoothstep(0.0, 0.12, phase));
            let push = PUSH * smoothstep(0.32, 0.66, phase) / smoothstep(0.32, 0.66, STANCE);
            let (pitch, pivot) = if push > 0.0 { (push, self.ball) } else { (strike, self.heel) };
            let (y, z) = rolled(pivot, pitch);
            return Step { ankle: place(planted(count), y, z), pitch, toes: -push.max(0.0) * 0.85 };
        }
        let u = (phase - STANCE) / (1.0 - STANCE);
        let (from, to) = (rolled(self.ball, PUSH), rolled(self.heel, STRIKE));
        let eased = 0.45 * u + 0.55 * smoothstep(0.0, 1.0, u);
        let flat = planted(count) + stride * eased;
        let bump = (std::f32::consts::PI * u).sin();
        let y = from.0 + (to.0 - from.0) * smoothstep(0.0, 0.75, u) + 0.055 * bump;
        let z = from.1 + (to.1 - from.1) * eased;
        let pitch = PUSH + (STRIKE - PUSH) * smoothstep(-0.1, 0.85, u);
        Step { ankle: place(flat, y, z), pitch, toes: -PUSH * 0.85 * (1.0 - smoothstep(0.0, 0.35, u)) }
    }

    /// Bends the leg so that its ankle is where the step wants it.
    fn solve(&self, step: &Step, pelvis: Vec3, pelvis_rest: Vec3, local: &mut [Quat; N_JOINTS]) {
        let [hip_joint, knee_joint, ankle_joint, ball_joint] = self.joints;
        let hip = pelvis + local[0] * (self.hip - pelvis_rest);
        let (l1, l2) = ((self.knee - self.hip).length(), (self.ankle - self.knee).length());
        let reach = (step.ankle - hip).length().min(0.9995 * (l1 + l2));
        let down = (step.ankle - hip).normalize();
        let along = (l1 * l1 - l2 * l2 + reach * reach) / (2.0 * reach);
        let bend = (l1 * l1 - along * along).max(0.0).sqrt();
        let knee = hip + down * along + heading().reject_from(down).normalize() * bend;
        let ankle = hip + down * reach;
        let thigh = turn_between(self.knee - self.hip, Vec3::Z, knee - hip, heading());
        let shank = turn_between(self.ankle - self.knee, Vec3::Z, ankle - knee, heading());
        let foot = Quat::from_rotation_y(HEADING) * Quat::from_rotation_x(step.pitch);
        local[hip_joint] = local[0].inverse() * thigh;
        local[knee_joint] = thigh.inverse() * shank;
        local[ankle_joint] = shank.inverse() * foot;
        local[ball_joint] = Quat::from_rotation_x(step.toes);
    }
}

/// The turn that takes a bone and its front to another direction and front.
fn turn_between(bone: Vec3, front: Vec3, to_bone: Vec3, to_front: Vec3) -> Quat {
    let frame = |bone: Vec3, front: Vec3| {
        let (a, b) = (bone.normalize(), front.reject_from(bone).normalize());
        Mat3::from_cols(a, b, a.cross(b))
    };
    Quat::from_mat3(&(frame(to_bone, to_front) * frame(bone, front).transpose()))
}
