//! The transforms of F(2, 3) and F(4, 3) in one dimension, and of whole tiles.
//!
//! F(4, 3) evaluates at 0, ±1/√2, ±√2 and ∞. With the common 0, ±1, ±2 and ∞ its rounding errors are twice as large; with
//! these points they stay within twice those of the plain sum.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use simd::Simd;

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
    #[inline(always)]
    pub(super) fn input<S: Simd>(self, s: S, d: [S::V; MOST]) -> [S::V; MOST] {
        match self {
            Self::Two => {
                let [a, b, c, e, ..] = d;
                [s.sub(a, c), s.add(b, c), s.sub(c, b), s.sub(b, e), a, a]
            }
            Self::Four => {
                let (near, far) = (s.splat(FRAC_1_SQRT_2), s.splat(SQRT_2));
                let (centre, two, half) = (s.splat(-2.5), s.splat(-2.0), s.splat(-0.5));
                let (even, odd) = (s.fma(two, d[2], d[4]), s.fma(two, d[1], d[3]));
                let (even2, odd2) = (s.fma(half, d[2], d[4]), s.fma(half, d[1], d[3]));
                let (odd, odd2) = (s.mul(near, odd), s.mul(far, odd2));
                [
                    s.fma(centre, d[2], s.add(d[0], d[4])),
                    s.add(even, odd),
                    s.sub(even, odd),
                    s.add(even2, odd2),
                    s.sub(even2, odd2),
                    s.fma(centre, d[3], s.add(d[1], d[5])),
                ]
            }
        }
    }

    /// One dimension of the output's transform; outputs beyond the tile's are arbitrary.
    #[inline(always)]
    pub(super) fn output<S: Simd>(self, s: S, m: [S::V; MOST]) -> [S::V; MOST_OUT] {
        match self {
            Self::Two => {
                let [a, b, c, d, ..] = m;
                [s.add(s.add(a, b), c), s.sub(s.sub(b, c), d), a, a]
            }
            Self::Four => {
                let (near, far) = (s.add(m[1], m[2]), s.add(m[3], m[4]));
                let (near_odd, far_odd) = (s.sub(m[1], m[2]), s.sub(m[3], m[4]));
                let (low, high) = (s.splat(FRAC_1_SQRT_2), s.splat(SQRT_2));
                // The third powers of the points.
                let (low3, high3) = (s.splat(0.5 * FRAC_1_SQRT_2), s.splat(2.0 * SQRT_2));
                [
                    s.add(m[0], s.add(near, far)),
                    s.fma(low, near_odd, s.mul(high, far_odd)),
                    s.fma(s.splat(0.5), near, s.add(far, far)),
                    s.fma(low3, near_odd, s.fma(high3, far_odd, m[5])),
                ]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Side};
    use simd::{Portable, Simd};

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
            let s = Portable::<8>::new();
            let mut products = side.input(s, vectors);
            for i in 0..n {
                let at: f64 = side.filter_line(i).iter().zip(&filter).map(|(g, f)| g * f).sum();
                products[i] = s.mul(products[i], s.splat(at as f32));
            }
            let out = side.output(s, products);
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
