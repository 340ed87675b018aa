//! Smooth functions of a direction: polynomials up to degree 2, which span the spherical harmonics of bands 0 to 2.

use serde::{Deserialize, Serialize};

/// Number of terms.
pub(crate) const TERMS: usize = 9;

/// The integral of each term's square over the sphere, over π.
const SQUARES: [f32; TERMS] =
    [4.0, 4.0 / 3.0, 4.0 / 3.0, 4.0 / 3.0, 4.0 / 15.0, 4.0 / 15.0, 4.0 / 15.0, 16.0 / 15.0, 16.0 / 5.0];

/// What a cosine lobe leaves of each band, over π (Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance
/// Environment Maps", 2001).
const LOBE: [f32; TERMS] = [1.0, 2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0, 0.25, 0.25, 0.25, 0.25, 0.25];

/// A colour for each direction.
///
/// `[term][channel]` over the orthogonal polynomials 1, x, y, z, xy, yz, xz, x² − y², 3z² − 1 of a unit vector: the first term is
/// the mean over all directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Harmonics(pub [[f32; 3]; TERMS]);

/// The terms of a unit vector.
#[must_use]
pub(crate) fn terms([x, y, z]: [f32; 3]) -> [f32; TERMS] {
    [1.0, x, y, z, x * y, y * z, x * z, x * x - y * y, 3.0 * z * z - 1.0]
}

impl Harmonics {
    /// The same colour everywhere.
    #[must_use]
    pub fn constant(color: [f32; 3]) -> Self {
        let mut terms = [[0.0; 3]; TERMS];
        terms[0] = color;
        Self(terms)
    }

    /// From `low` against a direction to `high` along it, evenly.
    #[must_use]
    pub fn gradient(along: [f32; 3], low: [f32; 3], high: [f32; 3]) -> Self {
        let mut terms = [[0.0; 3]; TERMS];
        for c in 0..3 {
            terms[0][c] = 0.5 * (low[c] + high[c]);
            for k in 0..3 {
                terms[1 + k][c] = 0.5 * (high[c] - low[c]) * along[k];
            }
        }
        Self(terms)
    }

    /// The colour in the direction of a unit vector.
    #[must_use]
    #[inline]
    pub fn at(&self, direction: [f32; 3]) -> [f32; 3] {
        let mut sum = [0.0; 3];
        for (q, row) in terms(direction).iter().zip(&self.0) {
            for (s, k) in sum.iter_mut().zip(row) {
                *s += q * k;
            }
        }
        sum
    }

    /// Adds light of a colour that comes from a direction, over a solid angle in steradians.
    pub(crate) fn add_radiance(&mut self, from: [f32; 3], color: [f32; 3], solid_angle: f32) {
        let shares = terms(from).into_iter().zip(SQUARES);
        for (row, (q, square)) in self.0.iter_mut().zip(shares) {
            for (k, c) in row.iter_mut().zip(color) {
                *k += c * q * solid_angle / (square * std::f32::consts::PI);
            }
        }
    }

    /// What surfaces of each normal get of light that comes from each direction: the mean over the half sphere, weighted by the
    /// cosine.
    #[must_use]
    pub fn irradiance(&self) -> Self {
        let mut out = *self;
        for (row, lobe) in out.0.iter_mut().zip(LOBE) {
            *row = row.map(|k| k * lobe);
        }
        out
    }

    /// Each channel times a number.
    #[must_use]
    pub fn scaled(&self, by: [f32; 3]) -> Self {
        Self(self.0.map(|row| std::array::from_fn(|c| row[c] * by[c])))
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|k| std::array::from_fn(|c| self.0[k][c] + other.0[k][c])))
    }

    /// The mean over all directions.
    #[must_use]
    pub fn mean(&self) -> [f32; 3] {
        self.0[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Directions that lie evenly on the sphere.
    fn sphere(n: usize) -> impl Iterator<Item = [f32; 3]> {
        (0..n).map(move |i| {
            let z = 1.0 - (2.0 * i as f32 + 1.0) / n as f32;
            let phi = i as f32 * 2.399_963_2;
            let r = (1.0 - z * z).sqrt();
            [r * phi.cos(), r * phi.sin(), z]
        })
    }

    #[test]
    fn a_lamp_shines_with_its_cosine() {
        let from = [0.6, -0.64, 0.48];
        let mut radiance = Harmonics::default();
        // π of radiance times steradian: a surface that faces it gets 1.
        radiance.add_radiance(from, [1.0, 0.5, 0.0], std::f32::consts::PI);
        let got = radiance.irradiance();
        for n in sphere(500) {
            let facing = (0..3).map(|k| n[k] * from[k]).sum::<f32>();
            // Degree 2 misses the clamped cosine by 3/32 of its peak at most, at the terminator.
            let value = got.at(n);
            assert!((value[0] - facing.max(0.0)).abs() < 0.095, "{n:?} {value:?} {facing}");
            assert!((value[1] - 0.5 * value[0]).abs() < 1e-5 && value[2] == 0.0);
        }
    }

    #[test]
    fn the_first_term_is_the_mean_and_a_gradient_ends_where_it_should() {
        let g = Harmonics::gradient([0.0, -1.0, 0.0], [0.2; 3], [1.0, 0.8, 0.6]);
        assert!((g.at([0.0, -1.0, 0.0])[1] - 0.8).abs() < 1e-6);
        assert!((g.at([0.0, 1.0, 0.0])[1] - 0.2).abs() < 1e-6);
        let n = 20_000;
        let wild = Harmonics(std::array::from_fn(|k| [0.3 * k as f32; 3]));
        let mean = sphere(n).map(|d| wild.at(d)[0]).sum::<f32>() / n as f32;
        assert!((mean - wild.mean()[0]).abs() < 1e-2, "{mean}");
    }
}
