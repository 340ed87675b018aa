//! Legs: where the feet are, and the bends that bring them there.

use super::{Kind, Leg, Mover};
use crate::noise::smoothstep;
use glam::{Mat3, Quat, Vec3};
use smplx::N_JOINTS;
use std::f32::consts::{PI, TAU};

/// Where a foot is, in the walker's own axes (z forward), and how far its toes point down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) ankle: Vec3,
    pitch: f32,
    toes: f32,
    yaw: f32,
}

impl Mover {
    /// Where a foot is relative to the walker at a time.
    pub(super) fn step(&self, side: usize, t: f32) -> Step {
        let leg = &self.legs[side];
        let u = (t / self.cycle + self.phase + 0.5 * side as f32).rem_euclid(1.0);
        let x = leg.ankle.x - self.pelvis.x;
        let out = leg.side * self.width;
        let rolled = |pivot: Vec3, pitch: f32| {
            let pivot = pivot - Vec3::Y * leg.ball.y;
            let ankle = leg.ankle - Vec3::Y * leg.ball.y;
            let p = pivot + Quat::from_rotation_x(pitch) * (ankle - pivot);
            // The heel's place under the hip counts as the origin.
            Vec3::new(0.0, p.y, p.z - leg.ankle.z)
        };
        let flat = |x: f32, z: f32, yaw: f32| Step {
            ankle: Vec3::new(x, rolled(leg.ball, 0.0).y, z),
            pitch: 0.0,
            toes: 0.0,
            yaw,
        };
        match self.kind {
            Kind::Walk | Kind::Run => {
                let run = self.kind == Kind::Run;
                let stance = if run { 0.36 } else { 0.60 };
                let half = 0.5 * self.speed * self.cycle * stance;
                let (strike, push) = if run { (-0.05, 0.95) } else { (-0.30, 0.80) };
                let x = x * if run { 0.55 } else { 0.8 } + 0.4 * out;
                if u < stance {
                    let s = u / stance;
                    let p = push * smoothstep(0.55, 1.05, s) / smoothstep(0.55, 1.05, 1.0);
                    let h = strike * (1.0 - smoothstep(0.0, 0.2, s));
                    let (pivot, pitch) = if p > 0.0 { (leg.ball, p) } else { (leg.heel, h) };
                    let r = rolled(pivot, pitch);
                    return Step {
                        ankle: Vec3::new(x, r.y, half - 2.0 * half * s + r.z),
                        pitch,
                        toes: -p * 0.85,
                        yaw: 0.08 * leg.side,
                    };
                }
                let s = (u - stance) / (1.0 - stance);
                let (from, to) = (rolled(leg.ball, push), rolled(leg.heel, strike));
                let ease = smoothstep(0.0, 1.0, s) * 0.6 + s * 0.4;
                let bump = (PI * s).sin();
                let high = self.lift + if run { 0.16 * (PI * s.powf(0.7)).sin() } else { 0.0 };
                Step {
                    ankle: Vec3::new(
                        x,
                        from.y + (to.y - from.y) * smoothstep(0.0, 0.75, s) + high * bump,
                        -half + from.z + (2.0 * half + to.z - from.z) * ease,
                    ),
                    pitch: push + (strike - push) * smoothstep(-0.1, 0.85, s),
                    toes: -push * 0.85 * (1.0 - smoothstep(0.0, 0.35, s)),
                    yaw: 0.08 * leg.side,
                }
            }
            Kind::March => {
                let lift = ((TAU * u).sin()).max(0.0);
                let mut s = flat(x + 0.3 * out, 0.22 * lift, 0.0);
                s.ankle.y += 0.38 * lift * self.energy.min(1.0);
                s.pitch = 0.5 * lift;
                s
            }
            Kind::JumpingJack => {
                let phase = TAU * (t / self.cycle + self.phase);
                let open = phase.sin().abs();
                let mut s = flat(x + leg.side * (0.02 + 0.26 * open), 0.0, 0.2 * leg.side);
                s.ankle.y += 0.06 * (2.0 * phase).sin().abs();
                s.pitch = 0.4 * (2.0 * phase).sin().abs();
                s
            }
            Kind::Turn => {
                let lift = ((TAU * u).sin()).max(0.0);
                let mut s = flat(x + out, 0.03 * (TAU * u).cos(), 0.1 * leg.side);
                s.ankle.y += 0.06 * lift;
                s.pitch = 0.2 * lift;
                s
            }
            Kind::Dance => {
                let lift = ((TAU * u).sin() - 0.35).max(0.0) * self.energy;
                let mut s = flat(x + out + 0.05 * leg.side, 0.06 * lift, 0.15 * leg.side);
                s.ankle.y += 0.10 * lift;
                s.pitch = 0.5 * lift;
                s
            }
            Kind::Squat | Kind::Stretch => flat(x + out + 0.07 * leg.side, 0.0, 0.25 * leg.side),
            _ => flat(x + out, 0.05 * leg.side * (self.phase - 0.5), (0.1 + self.width) * leg.side),
        }
    }

    /// Bends a leg so that its ankle is where the step wants it.
    pub(super) fn solve(
        &self,
        leg: &Leg,
        step: &Step,
        ankle: Vec3,
        pelvis: Vec3,
        facing: Quat,
        local: &mut [Quat; N_JOINTS],
    ) {
        let [hip_joint, knee_joint, ankle_joint, ball_joint] = leg.joints;
        let hip = pelvis + local[0] * (leg.hip - self.pelvis);
        let (l1, l2) = ((leg.knee - leg.hip).length(), (leg.ankle - leg.knee).length());
        let reach = (ankle - hip).length().clamp(0.3 * (l1 + l2), 0.9995 * (l1 + l2));
        let down = (ankle - hip).normalize();
        let along = (l1 * l1 - l2 * l2 + reach * reach) / (2.0 * reach);
        let bend = (l1 * l1 - along * along).max(0.0).sqrt();
        let foot_facing = facing * Quat::from_rotation_y(step.yaw);
        let front = foot_facing * Vec3::Z;
        let knee = hip + down * along + front.reject_from(down).normalize_or(front) * bend;
        let ankle = hip + down * reach;
        let thigh = turn_between(leg.knee - leg.hip, Vec3::Z, knee - hip, front);
        let shank = turn_between(leg.ankle - leg.knee, Vec3::Z, ankle - knee, front);
        let foot = foot_facing * Quat::from_rotation_x(step.pitch);
        local[hip_joint] = local[0].inverse() * thigh;
        local[knee_joint] = thigh.inverse() * shank;
        local[ankle_joint] = shank.inverse() * foot;
        local[ball_joint] = Quat::from_rotation_x(step.toes);
    }
}

/// The turn that takes a bone and its front to another direction and front.
fn turn_between(bone: Vec3, front: Vec3, to_bone: Vec3, to_front: Vec3) -> Quat {
    let frame = |bone: Vec3, front: Vec3| {
        let a = bone.normalize_or(Vec3::NEG_Y);
        let b = front.reject_from(a).normalize_or(a.any_orthonormal_vector());
        Mat3::from_cols(a, b, a.cross(b))
    };
    Quat::from_mat3(&(frame(to_bone, to_front) * frame(bone, front).transpose()))
}
