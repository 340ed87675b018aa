//! The moving camera: it stands, is held, pans, follows or goes around.

use crate::motion::Mover;
use crate::random::Random;
use crate::view::View;
use glam::Vec3;
use std::f32::consts::TAU;

/// A camera's way.
#[derive(Clone, Debug)]
pub struct Track {
    mover: Mover,
    size: [u32; 2],
    focal: f32,
    away: f32,
    side: f32,
    height: f32,
    look: f32,
    aim: f32,
    follow: f32,
    /// Share of that in the direction of the view.
    along: f32,
    pan: f32,
    truck: f32,
    dolly: f32,
    shake: f32,
    roll: f32,
    phases: [f32; 6],
}

impl Track {
    /// Draws a camera that shows the walker at 60 to 95 % of the picture's height, sometimes nearer.
    #[must_use]
    pub fn random(random: &mut Random, mover: &Mover, height: f32, size: [u32; 2]) -> Self {
        let h = size[1] as f32;
        let near = random.chance(0.28);
        let share = if near { random.range(1.05, 1.9) } else { random.range(0.62, 0.95) };
        let focal = h * random.range(1.05, 2.2);
        let away = focal * height / (share * h);
        // What is aimed at: the middle of the body, or the upper part.
        let look = if near { height * (1.0 - 0.42 / share - random.range(0.0, 0.12)) } else { height * 0.5 };
        let still = random.chance(0.15);
        let k = if still { 0.0 } else { 1.0 };
        // Who runs is followed, or would run out of the picture.
        let at_least = if mover.speed() > 1.7 { 0.85 } else { 0.0 };
        Self {
            mover: mover.clone(),
            size,
            focal,
            away,
            side: random.range(-0.12, 0.12),
            height: random.range(0.7, 1.9),
            look,
            aim: if near { 0.10 } else { 0.30 } * random.signed(),
            follow: if still || random.chance(0.3) { at_least } else { random.range(0.5, 1.0).max(at_least) },
            along: if at_least > 0.0 { 1.0 } else { 0.6 },
            pan: k * 0.10 * random.normal(),
            truck: k * 0.35 * random.normal(),
            dolly: k * 0.25 * random.normal(),
            shake: if still || random.chance(0.3) { 0.0 } else { random.range(0.002, 0.012) },
            roll: if random.chance(0.3) { 0.04 * random.normal() } else { 0.0 },
            phases: std::array::from_fn(|_| random.unit()),
        }
    }

    /// The view at a time; 0 is the clip's middle.
    #[must_use]
    pub fn view(&self, time: f32) -> View {
        let walker = self.mover.pose(time).pelvis * Vec3::new(1.0, 0.0, 1.0) * self.follow;
        let wave = |k: usize, rate: f32| (TAU * (time * rate + self.phases[k])).sin();
        let shake = |a: usize, b: usize| self.shake * (0.7 * wave(a, 0.9) + 0.3 * wave(b, 2.3));
        let target = Vec3::new(0.0, self.look, 0.0) + walker;
        let eye =
            Vec3::new(self.side * self.away + self.truck * time, self.height, self.away + self.dolly * time)
                + walker * Vec3::new(1.0, 0.0, self.along);
        let off = Vec3::new(self.aim, 0.0, 0.0)
            + Vec3::new(self.pan * time * self.away, 0.0, 0.0)
            + Vec3::new(shake(0, 1), shake(2, 3), 0.0) * self.away;
        View::look_at(eye, target + off, self.roll + shake(4, 5), self.focal, self.size)
    }
}
