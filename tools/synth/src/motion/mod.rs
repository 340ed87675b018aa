//! Procedural motion: feet that walk, run, step or stand by inverse kinematics, and an upper body that swings, gestures or
//! goes from one random pose to the next.

mod legs;
mod upper;

use upper::Upper;

use crate::Split;
use crate::random::Random;
use glam::{Quat, Vec3};
use smplx::N_JOINTS;
use std::f32::consts::TAU;

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

    /// Metres a second over the ground.
    #[must_use]
    pub fn speed(&self) -> f32 {
        self.speed
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
}
