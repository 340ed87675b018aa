//! Random numbers that follow from a seed alone, the same on every machine.

use glam::Vec3;

/// A stream of random numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream of a seed and a path of numbers that says what it is for.
    #[must_use]
    pub fn new(seed: u64, path: &[u64]) -> Self {
        let mut random = Self { state: seed ^ 0x5bf0_3635_1b2c_9d47 };
        for step in path {
            random.state = random.bits() ^ step.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        random.bits();
        random
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A stream of its own, so that what one thing draws doesn't move what another gets.
    pub fn fork(&mut self) -> Self {
        Self { state: self.bits() }
    }

    /// Uniform in 0..1.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// Uniform in `low..high`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in −1..1.
    pub fn signed(&mut self) -> f32 {
        self.range(-1.0, 1.0)
    }

    /// About normal with deviation 1 (a sum of uniforms, at most 3 in size).
    pub fn normal(&mut self) -> f32 {
        let sum: f32 = (0..4).map(|_| self.unit()).sum();
        (sum - 2.0) * 3.0_f32.sqrt()
    }

    /// `true` with a probability.
    pub fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// Uniform below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.bits() >> 32) as usize * n) >> 32
    }

    /// One of a list that isn't empty.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Three numbers of [`Random::signed`].
    pub fn vec3(&mut self) -> Vec3 {
        Vec3::new(self.signed(), self.signed(), self.signed())
    }

    /// A linear colour by hue (0..1), saturation and value of the display.
    #[must_use]
    pub fn hsv(h: f32, s: f32, v: f32) -> Vec3 {
        let channel = |n: f32| {
            let k = (n + h.rem_euclid(1.0) * 6.0) % 6.0;
            let x = v - v * s * k.min(4.0 - k).clamp(0.0, 1.0);
            x.powf(2.2)
        };
        Vec3::new(channel(5.0), channel(3.0), channel(1.0))
    }

    /// Any linear colour that a thing may have, mostly muted.
    pub fn color(&mut self) -> Vec3 {
        let s = self.unit();
        let saturation = if self.chance(0.3) { 0.35 + 0.55 * s } else { 0.4 * s };
        Self::hsv(self.unit(), saturation, self.range(0.15, 0.92))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |path: &[u64]| Random::new(1, path).bits();
        assert_eq!(draw(&[1, 2]), draw(&[1, 2]));
        assert_ne!(draw(&[1, 2]), draw(&[2, 1]));
        let mut r = Random::new(3, &[]);
        let mean = (0..4000).map(|_| r.unit()).sum::<f32>() / 4000.0;
        assert!((mean - 0.5).abs() < 0.02);
        assert!((0..1000).all(|_| r.below(7) < 7));
    }
}
