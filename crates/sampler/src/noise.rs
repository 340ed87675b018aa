//! Normal noise that equals PyTorch's CPU generator for a seed, so that a seed means the same picture as there.
//!
//! PyTorch's generator is MT19937 (Matsumoto and Nishimura 1998). `torch.randn` of 16 or more f32 values draws one
//! 24-bit uniform for each value and applies the Box–Muller transform to blocks of 16 (first half radii, second
//! half angles); a last incomplete block is drawn again over the last 16 values. Fewer than 16 values are made one
//! by one from 53-bit uniforms in double precision, each pair of them from one transform
//! (`aten/src/ATen/native/cpu/DistributionTemplates.h`, `aten/src/ATen/core/DistributionsHelper.h`).

use std::f64::consts::TAU;

/// `torch.randn(n, generator=torch.Generator("cpu").manual_seed(seed))` in f32.
#[must_use]
pub fn randn(seed: u64, n: usize) -> Vec<f32> {
    Generator::new(seed).randn(n)
}

/// A generator that goes on from call to call, as one `torch.Generator` does.
#[derive(Clone, Debug)]
pub struct Generator {
    engine: Mt19937,
    /// The second number of the last transform of the one-by-one path.
    spare: Option<f64>,
}

impl Generator {
    /// `torch.Generator("cpu").manual_seed(seed)`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // MT19937 takes 32 bits of seed; PyTorch cuts the upper half off.
        Self { engine: Mt19937::new(seed as u32), spare: None }
    }

    /// The next `n` normal numbers.
    #[must_use]
    pub fn randn(&mut self, n: usize) -> Vec<f32> {
        if n < BLOCK {
            return (0..n).map(|_| self.next_normal() as f32).collect();
        }
        let mut values: Vec<f32> = (0..n).map(|_| self.next_uniform()).collect();
        for block in values.chunks_exact_mut(BLOCK) {
            box_muller(block);
        }
        if !n.is_multiple_of(BLOCK) {
            let last = &mut values[n - BLOCK..];
            last.fill_with(|| self.next_uniform());
            box_muller(last);
        }
        values
    }

    /// A uniform number in [0, 1) with 24 bits.
    fn next_uniform(&mut self) -> f32 {
        (self.engine.next_u32() & 0x00ff_ffff) as f32 / 16_777_216.0
    }

    /// A uniform number in [0, 1) with 53 bits.
    fn next_uniform_f64(&mut self) -> f64 {
        let high = u64::from(self.engine.next_u32());
        let low = u64::from(self.engine.next_u32());
        ((high << 32 | low) & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
    }

    fn next_normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let angle = TAU * self.next_uniform_f64();
        let radius = (-2.0 * (-self.next_uniform_f64()).ln_1p()).sqrt();
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }
}

const BLOCK: usize = 16;

fn box_muller(block: &mut [f32]) {
    let (radii, angles) = block.split_at_mut(BLOCK / 2);
    for (a, b) in radii.iter_mut().zip(angles) {
        let radius = (-2.0 * (1.0 - *a).ln()).sqrt();
        let angle = std::f32::consts::TAU * *b;
        *a = radius * angle.cos();
        *b = radius * angle.sin();
    }
}

const N: usize = 624;
const M: usize = 397;

#[derive(Clone, Debug)]
struct Mt19937 {
    state: Box<[u32; N]>,
    next: usize,
}

impl Mt19937 {
    fn new(seed: u32) -> Self {
        let mut state = Box::new([0; N]);
        state[0] = seed;
        for i in 1..N {
            let previous: u32 = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(previous ^ (previous >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: N }
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        for i in 0..N {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_mt19937() {
        // The 10,000th number for the default seed 5489, from the C++ standard (rand.predef).
        let mut engine = Mt19937::new(5489);
        let last = (0..10_000).map(|_| engine.next_u32()).last();
        assert_eq!(last, Some(4_123_659_995));
    }

    #[test]
    fn the_noise_is_standard_normal() {
        let x = randn(3, 100_000);
        let mean = x.iter().sum::<f32>() / x.len() as f32;
        let variance = x.iter().map(|v| v * v).sum::<f32>() / x.len() as f32;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn one_generator_goes_on() {
        let mut g = Generator::new(9);
        assert_ne!(g.randn(32), g.randn(32));
        assert_eq!(Generator::new(9).randn(5), randn(9, 5));
    }
}
