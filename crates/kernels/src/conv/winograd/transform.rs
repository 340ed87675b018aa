//! The transforms of F(2, 3) and F(4, 3) in one dimension, and of whole tiles.
//!
//! F(4, 3) evaluates at 0, ±1/√2, ±√2 and ∞. With the common 0, ±1, ±2 and ∞ its rounding errors are twice as large; with
//! these points they stay within twice those of the plain sum.
#![expect(unsafe_code, reason = "vector intrinsics behind a trait")]

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use crate::conv::simd::Simd;

/// Most positions of a transform in one dimension.
pub(super) const MOST: usize = 6;
/// Most outputs of a transform in one dimension.
pub(super) const MOST_OUT: usize = 4;

/// Outputs of a tile in each direction: those of F(2, 3) or F(4, 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Two,
    Four,
}

impl Side {
    /// Outputs.
    #[inline(always)]
    pub(super) const fn outputs(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Inputs, and products.
    #[inline(always)]
    pub(super) const fn inputs(self) -> usize {
        self.outputs() + 2
    }

    /// Products of a tile.
    #[inline(always)]
    pub(super) const fn positions(self) -> usize {
        self.inputs() * self.inputs()
    }

    /// What each of the 9 taps of a 3×3 filter counts at a position: `G g Gᵀ`.
    pub(super) fn filter(self, position: usize) -> [f64; 9] {
        let n = self.inputs();
        let [rows, columns] = [position / n, position % n].map(|i| self.filter_line(i));
        std::array::from_fn(|tap| rows[tap / 3] * columns[tap % 3])
    }

    /// One row of `G`: the powers of a point, divided by what the input's transform leaves out.
    fn filter_line(self, i: usize) -> [f64; 3] {
        let power = |x: f64, d: f64| [1.0 / d, x / d, x * x / d];
        let (near, far) = (std::f64::consts::FRAC_1_SQRT_2, std::f64::consts::SQRT_2);
        match (self, i) {
            (_, 0) => [1.0, 0.0, 0.0],
            (Self::Two, 1) => power(1.0, 2.0),
            (Self::Two, 2) => power(-1.0, 2.0),
            (Self::Four, 1) => power(near, -1.5),
            (Self::Four, 2) => power(-near, -1.5),
            (Self::Four, 3) => power(far, 6.0),
            (Self::Four, 4) => power(-far, 6.0),
            _ => [0.0, 0.0, 1.0],
        }
    }

    /// One dimension of the input's transform; positions beyond the tile's are arbitrary.
    ///
    /// # Safety
    /// The CPU has `S`.
    #[inline(always)]
    pub(super) unsafe fn input<S: Simd>(self, d: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Self::Two => {
                    let [a, b, c, e, ..] = d;
                    [S::sub(a, c), S::add(b, c), S::sub(c, b), S::sub(b, e), a, a]
                }
                Self::Four => {
                    let (near, far) = (S::splat(FRAC_1_SQRT_2), S::splat(SQRT_2));
                    let (centre, two, half) = (S::splat(-2.5), S::splat(-2.0), S::splat(-0.5));
                    let (even, odd) = (S::fma(two, d[2], d[4]), S::fma(two, d[1], d[3]));
                    let (even2, odd2) = (S::fma(half, d[2], d[4]), S::fma(half, d[1], d[3]));
                    let (odd, odd2) = (S::mul(near, odd), S::mul(far, odd2));
                    [
                        S::fma(centre, d[2], S::add(d[0], d[4])),
                        S::add(even, odd),
                        S::sub(even, odd),
                        S::add(even2, odd2),
                        S::sub(even2, odd2),
                        S::fma(centre, d[3], S::add(d[1], d[5])),
                    ]
                }
            }
        }
    }

    /// One dimension of the output's transform; outputs beyond the tile's are arbitrary.
    ///
    /// # Safety
    /// The CPU has `S`.
    #[inline(always)]
    pub(super) unsafe fn output<S: Simd>(self, m: [S::V; MOST]) -> [S::V; MOST_OUT] {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Self::Two => {
                    let [a, b, c, d, ..] = m;
                    [S::add(S::add(a, b), c), S::sub(S::sub(b, c), d), a, a]
                }
                Self::Four => {
                    let (near, far) = (S::add(m[1], m[2]), S::add(m[3], m[4]));
                    let (near_odd, far_odd) = (S::sub(m[1], m[2]), S::sub(m[3], m[4]));
                    let (low, high) = (S::splat(FRAC_1_SQRT_2), S::splat(SQRT_2));
                    // The third powers of the points.
                    let (low3, high3) = (S::splat(0.5 * FRAC_1_SQRT_2), S::splat(2.0 * SQRT_2));
                    [
                        S::add(m[0], S::add(near, far)),
                        S::fma(low, near_odd, S::mul(high, far_odd)),
                        S::fma(S::splat(0.5), near, S::add(far, far)),
                        S::fma(low3, near_odd, S::fma(high3, far_odd, m[5])),
                    ]
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, MOST_OUT, Side};
    use crate::conv::simd::{Portable, Simd};

    #[test]
    fn transforms_in_one_dimension_make_a_convolution() {
        for side in [Side::Two, Side::Four] {
            let (n, m) = (side.inputs(), side.outputs());
            let filter = [0.3, -0.7, 1.1];
            let values: [f32; MOST] = [0.5, -1.25, 2.0, 0.75, -0.3, 1.5];
            let mut vectors = [[0.0; 8]; MOST];
            for i in 0..n {
                vectors[i] = [values[i]; 8];
            }
            // SAFETY: plain Rust runs anywhere.
            let out: [<Portable as Simd>::V; MOST_OUT] = unsafe {
                let mut products = side.input::<Portable>(vectors);
                for i in 0..n {
                    let at: f64 = side.filter_line(i).iter().zip(&filter).map(|(g, f)| g * f).sum();
                    products[i] = Portable::mul(products[i], Portable::splat(at as f32));
                }
                side.output::<Portable>(products)
            };
            for i in 0..m {
                let want: f64 = (0..3).map(|j| filter[j] * f64::from(values[i + j])).sum();
                assert!(
                    (f64::from(out[i][0]) - want).abs() < 1e-6,
                    "{side:?}, output {i}: {} for {want}",
                    out[i][0]
                );
            }
        }
    }
}
