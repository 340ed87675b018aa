//! A register of f32 lanes, and which instruction set provides it.
//!
//! The tile kernel is written once over [`Lanes`] and instantiated for each instruction set; the choice is made at
//! run time. Each implementation is compared with the portable one, operation by operation and frame by frame.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
pub(super) mod portable;

/// `N` lanes of f32.
///
/// The implementations call intrinsics: values may only be made where the instruction set is known to exist, which
/// the dispatch in `tile.rs` sees to.
pub(super) trait Lanes: Copy {
    /// Number of lanes: 8 or 16.
    const N: usize;
    /// One flag a lane.
    type Mask: Copy;

    fn splat(x: f32) -> Self;
    /// 0, 1, 2 …
    fn iota() -> Self;
    /// Overwrites the first `N` values of `to`.
    fn store(self, to: &mut [f32]);
    fn add(self, o: Self) -> Self;
    fn sub(self, o: Self) -> Self;
    fn mul(self, o: Self) -> Self;
    /// `self * m + a`, fused where the instruction set can.
    fn mul_add(self, m: Self, a: Self) -> Self;
    /// The smaller; `o` where a lane of `self` is NaN.
    fn min(self, o: Self) -> Self;
    /// The larger; `o` where a lane of `self` is NaN.
    fn max(self, o: Self) -> Self;
    /// `self >= o`; false for NaN.
    fn ge(self, o: Self) -> Self::Mask;
    /// `!(self < o)`; true for NaN.
    fn not_lt(self, o: Self) -> Self::Mask;
    fn and(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// One bit a lane.
    fn bits(mask: Self::Mask) -> u32;
    /// `self` where the mask is set, else 0.
    fn keep(self, mask: Self::Mask) -> Self;
    /// `self` where the mask is set, else `o`.
    fn select(self, o: Self, mask: Self::Mask) -> Self;
    /// With the sign bit set.
    fn negative(self) -> Self;
    /// The sign bits, one a lane.
    fn signs(self) -> u32;
    /// The lane's bits plus `shifted`'s bits moved up by 23: multiplies by 2^n when `shifted` is [`SHIFTER`] + n.
    fn scale_by_power(self, shifted: Self) -> Self;

    /// 2^self for lanes in -126 ..= 0, with a relative error below 2e-7. Smaller values and NaN give 2^-126.
    #[inline(always)]
    fn exp2(self) -> Self {
        let x = self.max(Self::splat(-126.0));
        let shifted = x.add(Self::splat(SHIFTER));
        let f = x.sub(shifted.sub(Self::splat(SHIFTER)));
        // In pairs: a shorter chain of dependent operations than Horner's.
        let pair = |i: usize| Self::splat(EXP2[i]).mul_add(f, Self::splat(EXP2[i + 1]));
        let f2 = f.mul(f);
        let p = pair(0).mul_add(f2, pair(2)).mul_add(f2, pair(4));
        p.scale_by_power(shifted)
    }
}

/// 1.5 · 2^23: adding it rounds to an integer that then sits in the low bits.
const SHIFTER: f32 = 12_582_912.0;

/// 2^f on -0.5 ..= 0.5, highest power first; a minimax fit of relative error 2e-7.
#[expect(clippy::approx_constant, reason = "a fitted coefficient, not ln 2 itself")]
const EXP2: [f32; 6] = [0.001_326_472_4, 0.009_671_513, 0.055_507_337, 0.240_222_42, 0.693_147, 1.0];

/// The instruction sets that the CPU rasterizer has code for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CpuIsa {
    /// x86-64 with AVX-512F: 16 lanes.
    Avx512,
    /// x86-64 with AVX2 and FMA: 8 lanes.
    Avx2,
    /// 64-bit Arm: 8 lanes in two registers.
    Neon,
    /// Any CPU: 8 lanes, whatever the compiler makes of them.
    Portable,
}

impl CpuIsa {
    /// Can this machine run it?
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("bmi1")
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            Self::Portable => true,
            #[allow(unreachable_patterns, reason = "which arms remain depends on the target")]
            _ => false,
        }
    }

    /// Those that this machine can run, the fastest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let all = [Self::Avx512, Self::Avx2, Self::Neon, Self::Portable];
        all.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// The fastest that this machine can run.
    #[must_use]
    pub fn best() -> Self {
        let all = [Self::Avx512, Self::Avx2, Self::Neon];
        all.into_iter().find(|isa| isa.is_available()).unwrap_or(Self::Portable)
    }
}

#[cfg(test)]
mod tests {
    use super::portable::Portable;
    use super::*;
    use crate::synthetic::Random;

    /// Every operation on random, special and tied lanes; the results of lanes `half · 8 ..` as bits. Vectors of 8 lanes
    /// compute the half that they are asked for.
    fn run<V: Lanes>(half: usize) -> Vec<u32> {
        let iota = if V::N == 8 { V::iota().add(V::splat(8.0 * half as f32)) } else { V::iota() };
        let first = if V::N == 8 { 0 } else { 8 * half };
        let byte = |bits: u32| bits >> first & 0xff;
        let special = [0.0, -0.0, 1.0, -1.0, 0.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        let mut random = Random::new(17);
        let mut results = Vec::new();
        for round in 0..64 {
            let mut number = || {
                let pick = random.within(0.0, 16.0) as usize;
                let x = random.within(-3.0, 3.0);
                if round % 2 == 1 { special.get(pick).copied().unwrap_or(x) } else { x }
            };
            let (a, b, c) = (V::splat(number()), V::splat(number()), V::splat(number()));
            // Lanes that differ: every value is moved by the lane's own number.
            let (a, b) = (a.add(iota), b.sub(iota));
            let mask = a.ge(c);
            let masks = [a.ge(b), a.not_lt(b), V::and(mask, b.ge(c))];
            let values = [
                a.mul(b),
                a.min(b),
                a.max(b),
                a.keep(mask),
                a.select(b, mask),
                a.negative(),
                b.scale_by_power(V::splat(SHIFTER + 3.0)),
            ];
            results.extend(masks.map(|mask| byte(V::bits(mask))));
            for value in values.into_iter().chain([a, b]) {
                let mut lanes = [0.0; 16];
                value.store(&mut lanes);
                let lanes = &lanes[first..first + 8];
                // All NaNs are alike.
                results.extend(lanes.iter().map(|x| if x.is_nan() { 1 } else { x.to_bits() }));
                if !lanes.iter().any(|x| x.is_nan()) {
                    results.push(byte(value.signs()));
                }
            }
        }
        results
    }

    fn exp2_error<V: Lanes>() -> f64 {
        let mut worst: f64 = 0.0;
        for i in 0..=12_600 {
            let x = -(i as f32) / 100.0;
            let mut lanes = [0.0; 16];
            V::splat(x).exp2().store(&mut lanes);
            worst = worst.max((f64::from(lanes[0]) / f64::from(x).exp2() - 1.0).abs());
        }
        for (x, expected) in [(f32::NAN, 2_f32.powi(-126)), (-1e9, 2_f32.powi(-126)), (0.0, 1.0)] {
            let mut lanes = [0.0; 16];
            V::splat(x).exp2().store(&mut lanes);
            assert!((lanes[0] / expected - 1.0).abs() < 1e-6, "{x}");
        }
        worst
    }

    #[test]
    fn every_instruction_set_computes_the_same() {
        fn both<V: Lanes>() -> ([Vec<u32>; 2], f64) {
            ([run::<V>(0), run::<V>(1)], exp2_error::<V>())
        }
        let (expected, _) = both::<Portable>();
        assert!(expected[0] != expected[1], "the halves don't differ");
        println!("splats run on {:?}", CpuIsa::available());
        for isa in CpuIsa::available() {
            let (results, error) = match isa {
                #[cfg(target_arch = "x86_64")]
                CpuIsa::Avx512 => both::<avx512::Avx512>(),
                #[cfg(target_arch = "x86_64")]
                CpuIsa::Avx2 => both::<avx2::Avx2>(),
                #[cfg(target_arch = "aarch64")]
                CpuIsa::Neon => both::<neon::Neon>(),
                _ => both::<Portable>(),
            };
            assert!(results == expected, "{isa:?}");
            assert!(error < 3e-7, "{isa:?}: {error}");
        }
    }

    /// For runs under an emulator: the variable holds the name of the best instruction set in small letters, and more
    /// where other crates tell more of them apart (`avx512bf16`).
    #[test]
    fn the_best_instruction_set_is_the_required_one() {
        let best = format!("{:?}", CpuIsa::best()).to_lowercase();
        if let Ok(required) = std::env::var("ANICRAFTER_REQUIRE_CPU") {
            assert!(required.starts_with(&best), "{best} isn't the required {required}");
        }
        assert_eq!(CpuIsa::available().first(), Some(&CpuIsa::best()));
    }
}
