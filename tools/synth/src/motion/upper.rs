//! Arms and trunk: they swing with the legs, gesture, or go from one random pose to the next.

use super::{Kind, Mover};
use crate::noise::smoothstep;
use crate::random::Random;
use glam::{Quat, Vec3};
use smplx::N_JOINTS;
use std::f32::consts::TAU;

/// Arms and trunk at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upper {
    /// Left and right: how far the arm is lifted (0 hangs, π/2 is level), how far to the front (0 aside, π/2 ahead), twist, bend.
    arms: [[f32; 4]; 2],
    lean: f32,
    turn: f32,
    side: f32,
    head: [f32; 3],
}

impl Mover {
    pub(super) fn upper(&self, t: f32, phase: f32) -> Upper {
        let at = (t + 100.0 * self.key_seconds) / self.key_seconds + 7.0 * self.phase;
        let n = self.keys.len();
        let i = at.floor() as usize;
        let mut upper = Upper::between(&self.keys[i % n], &self.keys[(i + 1) % n], at.fract());
        let swing = phase.cos();
        match self.kind {
            Kind::Walk | Kind::Run | Kind::March => {
                let run = self.kind != Kind::Walk;
                for (side, sign) in [(0, -1.0), (1, 1.0)] {
                    let forward = sign * swing * self.energy;
                    let amount = if run { 0.75 } else { 0.5 };
                    let angle = 0.06 + amount * forward;
                    // Swings in the plane ahead: lifted by the angle's size, ahead or behind by its sign.
                    let aside = 0.12_f32;
                    let lift = angle.hypot(aside);
                    let ahead = angle.atan2(aside);
                    let bend = if run { 1.45 + 0.3 * forward } else { 0.35 + 0.25 * forward.max(-0.6) };
                    upper.arms[side] = [lift, ahead, 0.3, bend];
                }
                upper.turn = 0.18 * swing * self.energy;
                upper.lean = if self.kind == Kind::Run { 0.08 } else { 0.02 };
                upper.side *= 0.2;
            }
            Kind::Wave => {
                let beat = (TAU * t / (0.45 + 0.3 * self.phase)).sin();
                let other = 1 - self.wave_side;
                upper.arms[self.wave_side] =
                    [1.75 + 0.2 * self.energy, 0.35, 1.45, 1.15 + 0.45 * beat * self.energy];
                upper.arms[other] = [0.15, 0.4, 0.3, 0.3];
            }
            Kind::Squat => {
                let down = 0.5 - 0.5 * phase.cos();
                for arm in &mut upper.arms {
                    *arm = [0.2 + 1.2 * down, 1.2, 0.4, 0.5];
                }
            }
            Kind::JumpingJack => {
                let open = phase.sin().abs();
                for arm in &mut upper.arms {
                    *arm = [0.15 + 2.55 * open, 0.15, 0.2, 0.25];
                }
            }
            Kind::Stretch => {
                let down = 0.5 - 0.5 * phase.cos();
                for arm in &mut upper.arms {
                    *arm = [2.7 - 1.3 * down, 0.7, 0.3, 0.2];
                }
                upper.lean = 0.5 * down;
                upper.side = 0.3 * (phase * 0.5).sin();
            }
            _ => {}
        }
        upper
    }
}

impl Upper {
    pub(super) fn random(random: &mut Random, kind: Kind) -> Self {
        let wild = match kind {
            Kind::Dance => 1.0,
            Kind::Gesture => 0.6,
            Kind::Turn => 0.3,
            _ => 0.12,
        };
        let arm = |random: &mut Random| {
            let lifted = random.chance(0.75 * wild);
            let lift = if lifted { random.range(0.4, 1.0 + 1.7 * wild) } else { random.range(0.1, 0.3) };
            let bend = if lifted { random.range(0.2, 2.0) } else { random.range(0.1, 0.5) };
            [lift, random.range(0.0, 1.5), random.range(-0.6, 0.7), bend]
        };
        Self {
            arms: [arm(random), arm(random)],
            lean: 0.12 * wild * random.signed() + 0.02,
            turn: 0.35 * wild * random.signed(),
            side: 0.2 * wild * random.signed(),
            head: [0.2 * random.signed(), 0.5 * random.signed(), 0.1 * random.signed()],
        }
    }

    pub(super) fn between(a: &Self, b: &Self, u: f32) -> Self {
        let u = smoothstep(0.0, 1.0, u);
        let mix = |x: f32, y: f32| x + (y - x) * u;
        Self {
            arms: [0, 1].map(|s| std::array::from_fn(|k| mix(a.arms[s][k], b.arms[s][k]))),
            lean: mix(a.lean, b.lean),
            turn: mix(a.turn, b.turn),
            side: mix(a.side, b.side),
            head: std::array::from_fn(|k| mix(a.head[k], b.head[k])),
        }
    }

    pub(super) fn write(&self, local: &mut [Quat; N_JOINTS]) {
        for spine in [3, 6, 9] {
            local[spine] = Quat::from_rotation_y(self.turn / 3.0)
                * Quat::from_rotation_x(self.lean / 3.0)
                * Quat::from_rotation_z(self.side / 3.0);
        }
        let [nod, look, tilt] = self.head.map(|x| x * 0.5);
        for joint in [12, 15] {
            local[joint] = Quat::from_rotation_y(look)
                * Quat::from_rotation_x(nod - self.lean * 0.2)
                * Quat::from_rotation_z(tilt);
        }
        for (side, [collar, shoulder, elbow, wrist]) in [(1.0, [13, 16, 18, 20]), (-1.0, [14, 17, 19, 21])] {
            let [lift, ahead, twist, bend] = self.arms[usize::from(side < 0.0)];
            // The collar bone takes a share of a lifted arm.
            let shrug = 0.25 * (lift - 0.9).max(0.0) - 0.08;
            local[collar] = Quat::from_rotation_z(side * shrug);
            let (s, c) = lift.sin_cos();
            let to = Vec3::new(side * s * ahead.cos(), -c, s * ahead.sin()).normalize();
            let to = Quat::from_rotation_z(-side * shrug) * to;
            local[shoulder] = Quat::from_rotation_arc(Vec3::X * side, to)
                * Quat::from_axis_angle(Vec3::X * side, -side * twist);
            local[elbow] = Quat::from_rotation_y(-side * bend.clamp(0.03, 2.3));
            local[wrist] = Quat::from_rotation_z(-side * 0.08);
        }
    }
}
