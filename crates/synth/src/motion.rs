//! Procedural motion: feet that walk, run, step or stand by inverse kinematics, and an upper body that swings, gestures or
//! goes from one random pose to the next.

use crate::Split;
use crate::noise::smoothstep;
use crate::random::Random;
use glam::{Mat3, Quat, Vec3};
use smplx::N_JOINTS;
use std::f32::consts::{PI, TAU};

/// A pose in the world: rotations relative to the parents, and where the pelvis is.
#[derive(Clone, Debug)]
pub struct Pose {
    /// One rotation a joint; the first is the root's.
    pub local: [Quat; N_JOINTS],
    /// The pelvis in metres.
    pub pelvis: Vec3,
}

impl Pose {
    /// As axis-angle vectors.
    #[must_use]
    pub fn axis_angles(&self) -> [[f32; 3]; N_JOINTS] {
        self.local.map(|q| q.normalize().to_scaled_axis().to_array())
    }

    /// The body model's translation for a pelvis that rests at `rest`.
    #[must_use]
    pub fn translation(&self, rest: Vec3) -> Vec3 {
        self.pelvis - rest
    }
}

/// Kinds of motion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Walking.
    Walk,
    /// Running.
    Run,
    /// Standing with small shifts of weight.
    Idle,
    /// Standing and gesturing.
    Gesture,
    /// Standing and waving.
    Wave,
    /// Dancing on the spot.
    Dance,
    /// Turning around with small steps.
    Turn,
    /// Going down and up.
    Squat,
    /// Held out: high knees.
    March,
    /// Held out: legs and arms apart and together.
    JumpingJack,
    /// Held out: deep bows and stretches.
    Stretch,
}

impl Kind {
    /// The kinds of a split, with repetition as weight.
    #[must_use]
    pub fn of(split: Split) -> &'static [Self] {
        match split {
            Split::Train => &[
                Self::Walk,
                Self::Walk,
                Self::Walk,
                Self::Run,
                Self::Idle,
                Self::Gesture,
                Self::Gesture,
                Self::Wave,
                Self::Dance,
                Self::Dance,
                Self::Turn,
                Self::Squat,
            ],
            Split::Val => &[Self::March, Self::JumpingJack, Self::Stretch],
        }
    }
}

/// A leg at rest.
#[derive(Clone, Copy, Debug)]
struct Leg {
    joints: [usize; 4],
    side: f32,
    hip: Vec3,
    knee: Vec3,
    ankle: Vec3,
    ball: Vec3,
    heel: Vec3,
}

/// Where a foot is, in the walker's own axes (z forward), and how far its toes point down.
#[derive(Clone, Copy, Debug)]
struct Step {
    ankle: Vec3,
    pitch: f32,
    toes: f32,
    yaw: f32,
}

/// Arms and trunk at one moment.
#[derive(Clone, Copy, Debug)]
struct Upper {
    /// Left and right: how far the arm is lifted (0 hangs, π/2 is level), how far to the front (0 aside, π/2 ahead), twist, bend.
    arms: [[f32; 4]; 2],
    lean: f32,
    turn: f32,
    side: f32,
    head: [f32; 3],
}

/// A motion.
#[derive(Clone, Debug)]
pub struct Mover {
    kind: Kind,
    legs: [Leg; 2],
    pelvis: Vec3,
    /// Height of the pelvis with legs nearly straight.
    high: f32,
    heading: f32,
    start: Vec3,
    cycle: f32,
    speed: f32,
    lift: f32,
    phase: f32,
    width: f32,
    sway: f32,
    energy: f32,
    turn_rate: f32,
    keys: Vec<Upper>,
    key_seconds: f32,
    curl: f32,
    wave_side: usize,
}

impl Mover {
    /// Draws a motion of a kind for a body. `heading` is a turn about y from facing +z; at time 0 the walker is at the
    /// origin.
    #[must_use]
    pub fn random(
        random: &mut Random,
        kind: Kind,
        joints: &[Vec3; N_JOINTS],
        ground: f32,
        heading: f32,
    ) -> Self {
        let sole = 0.013;
        let leg = |ids: [usize; 4], side: f32| {
            let [hip, knee, ankle, ball] = ids.map(|j| joints[j]);
            let low = ground - sole;
            let heel = Vec3::new(ankle.x, low, ankle.z - 0.055);
            Leg { joints: ids, side, hip, knee, ankle, ball: Vec3::new(ball.x, low, ball.z), heel }
        };
        let legs = [leg([1, 4, 7, 10], 1.0), leg([2, 5, 8, 11], -1.0)];
        let energy = random.range(0.5, 1.3);
        let keys = (0..24).map(|_| Upper::random(random, kind)).collect();
        let stature = (joints[1].y - ground) / 0.9;
        let speed = stature
            * match kind {
                Kind::Walk => random.range(0.8, 1.5),
                Kind::Run => random.range(1.9, 3.0),
                _ => 0.0,
            };
        let cycle = match kind {
            Kind::Run => random.range(0.62, 0.75),
            Kind::Walk => 1.15 - 0.2 * speed / 1.3 + random.range(-0.05, 0.1),
            Kind::JumpingJack => random.range(0.7, 1.0),
            Kind::Stretch => random.range(1.8, 3.0),
            Kind::Squat => random.range(1.3, 2.4),
            Kind::March => random.range(0.8, 1.1),
            _ => random.range(0.7, 1.2),
        };
        let mut mover = Self {
            kind,
            legs,
            pelvis: joints[0],
            high: 0.0,
            heading,
            start: Vec3::ZERO,
            cycle,
            speed,
            lift: random.range(0.05, 0.12) * if kind == Kind::Run { 2.0 } else { 1.0 },
            phase: random.unit(),
            width: random.range(-0.02, 0.09),
            sway: random.range(0.01, 0.035),
            energy,
            turn_rate: random.signed() * 2.4,
            keys,
            key_seconds: match kind {
                Kind::Dance => random.range(0.25, 0.5),
                Kind::Idle => random.range(1.2, 2.0),
                _ => random.range(0.45, 0.9),
            },
            curl: random.range(0.1, 0.7),
            wave_side: random.below(2),
        };
        let l = &mover.legs[0];
        let length = 0.992 * ((l.knee - l.hip).length() + (l.ankle - l.knee).length());
        // As high as both legs can reach through the cycle.
        let reach = (0..48).map(|i| {
            let t = i as f32 / 48.0 * mover.cycle;
            let needs = [0, 1].map(|side| {
                let ankle = mover.step(side, t).ankle;
                let hip = mover.legs[side].hip - mover.pelvis;
                let flat = (ankle.x - hip.x).hypot(ankle.z);
                ankle.y + (length * length - flat * flat).max(0.01).sqrt() - hip.y
            });
            needs[0].min(needs[1])
        });
        let reach = reach.fold(f32::INFINITY, f32::min);
        mover.high = if kind == Kind::JumpingJack { reach + 0.03 } else { reach };
        mover
    }

    /// How far the walker has gone, in its own direction.
    fn distance(&self, t: f32) -> f32 {
        self.speed * t
    }

    /// The pose at a time.
    #[must_use]
    pub fn pose(&self, t: f32) -> Pose {
        let phase = TAU * (t / self.cycle + self.phase);
        let mut local = [Quat::IDENTITY; N_JOINTS];
        let upper = self.upper(t, phase);
        upper.write(&mut local);
        for (side, hand) in [(1.0, 25..40), (-1.0, 40..55)] {
            for joint in hand {
                let thumb = (joint - 25) % 15 >= 12;
                local[joint] = Quat::from_rotation_z(-side * self.curl * if thumb { 0.2 } else { 1.0 });
            }
        }
        let heading = self.heading + if self.kind == Kind::Turn { self.turn_rate * t } else { 0.0 };
        let facing = Quat::from_rotation_y(heading);
        let mut lean = 0.0;
        let (mut hip_turn, mut hip_roll) = (0.0, 0.0);
        let mut pelvis = Vec3::new(0.0, self.high, 0.0);
        match self.kind {
            Kind::Walk | Kind::Run | Kind::March => {
                let run = self.kind == Kind::Run;
                hip_turn = -0.10 * phase.cos();
                hip_roll = 0.04 * phase.sin();
                pelvis.y += if run { 0.03 } else { -0.014 } * (2.0 * phase - 0.25).cos();
                pelvis.x = -self.sway * (phase - 0.3).sin();
                lean = if run { 0.12 } else { 0.02 };
            }
            Kind::Squat => {
                let down = 0.5 - 0.5 * phase.cos();
                pelvis.y -= (0.1 + 0.38 * self.energy.min(1.1)) * down;
                pelvis.z -= 0.16 * down;
                lean = 0.55 * down;
            }
            Kind::Dance => {
                pelvis.y -= 0.035 * self.energy * (1.0 - (2.0 * phase).cos());
                pelvis.x = 0.05 * self.energy * phase.sin();
                hip_turn = 0.22 * self.energy * (phase + 0.7).sin();
                hip_roll = 0.10 * self.energy * phase.sin();
            }
            Kind::JumpingJack => {
                let up = (phase.sin()).abs();
                pelvis.y += 0.09 * up - 0.03;
            }
            Kind::Stretch => {
                let down = 0.5 - 0.5 * phase.cos();
                pelvis.z -= 0.10 * down;
                lean = (0.35 + 0.55 * self.energy) * down;
            }
            Kind::Turn => {
                pelvis.y -= 0.02;
                pelvis.x = 0.02 * phase.sin();
            }
            _ => {
                pelvis.y -= 0.012;
                pelvis.x = 0.03 * (phase * 0.5).sin();
                hip_roll = 0.03 * (phase * 0.5).sin();
            }
        }
        let root = facing
            * Quat::from_rotation_y(hip_turn)
            * Quat::from_rotation_z(hip_roll)
            * Quat::from_rotation_x(lean * 0.6);
        local[0] = root;
        for spine in [3, 6] {
            local[spine] =
                local[spine] * Quat::from_rotation_x(lean * 0.3) * Quat::from_rotation_y(-hip_turn * 0.6);
        }
        let at = self.start + facing * Vec3::new(0.0, 0.0, self.distance(t)) + facing * pelvis;
        for (side, leg) in self.legs.iter().enumerate() {
            let step = self.step(side, t);
            let ankle = self.start + facing * (step.ankle + Vec3::Z * self.distance(t));
            self.solve(leg, &step, ankle, at, facing, &mut local);
        }
        Pose { local, pelvis: at }
    }

    /// Where a foot is relative to the walker at a time.
    fn step(&self, side: usize, t: f32) -> Step {
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
    fn solve(
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

    fn upper(&self, t: f32, phase: f32) -> Upper {
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
    fn random(random: &mut Random, kind: Kind) -> Self {
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

    fn between(a: &Self, b: &Self, u: f32) -> Self {
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

    fn write(&self, local: &mut [Quat; N_JOINTS]) {
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

/// The turn that takes a bone and its front to another direction and front.
fn turn_between(bone: Vec3, front: Vec3, to_bone: Vec3, to_front: Vec3) -> Quat {
    let frame = |bone: Vec3, front: Vec3| {
        let a = bone.normalize_or(Vec3::NEG_Y);
        let b = front.reject_from(a).normalize_or(a.any_orthonormal_vector());
        Mat3::from_cols(a, b, a.cross(b))
    };
    Quat::from_mat3(&(frame(to_bone, to_front) * frame(bone, front).transpose()))
}
