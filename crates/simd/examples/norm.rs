//! The length of a vector, by a kernel that is written once, at every instruction set that this CPU has.
//!
//! `cargo run --release -p anicrafter-simd --example norm`
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::Instant;

use anicrafter_simd::{Kernel, Level, Simd, dispatch};

struct Norm<'a>(&'a [f32]);

impl<S: Simd> Kernel<S, f32> for Norm<'_> {
    #[inline(always)]
    fn run(self, s: S) -> f32 {
        // Four sums, so that additions needn't wait for each other.
        let mut sums = [s.splat(0.0); 4];
        let chunks = self.0.chunks_exact(4 * S::LANES);
        let rest: f32 = chunks.remainder().iter().map(|x| x * x).sum();
        for chunk in chunks {
            for (sum, part) in sums.iter_mut().zip(chunk.chunks_exact(S::LANES)) {
                let x = s.load(part);
                *sum = s.fma(x, x, *sum);
            }
        }
        let [a, b, c, d] = sums;
        (s.sum(s.add(s.add(a, b), s.add(c, d))) + rest).sqrt()
    }
}

fn main() {
    let x: Vec<f32> = (0..4000).map(|i| (i as f32 * 0.01).sin()).collect();
    for level in Level::supported() {
        let start = Instant::now();
        let mut norm = 0.0;
        for _ in 0..10_000 {
            norm = dispatch(level, Norm(std::hint::black_box(&x)));
        }
        let rate = x.len() as f64 * 10_000.0 / start.elapsed().as_secs_f64() * 1e-9;
        println!("{level:?}: {norm}, {rate:.1} billion elements a second");
    }
}
