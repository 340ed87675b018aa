//! What a trained model must beat: a fixed colour gain, and relighting by least squares.

use crate::clip::Clip;
use image::{Rgb, RgbImage};
use nalgebra::{SMatrix, SVector};

/// 1 and the quadratic monomials of a normal.
const TERMS: usize = 10;

/// `target ≈ composite · (coefficients · terms(normal))` for each colour channel, fitted on training clips.
#[derive(Clone, Debug)]
pub struct Relight {
    gains: [f32; 3],
    coefficients: [[f32; TERMS]; 3],
}

/// Sums for the fits.
#[derive(Debug, Default)]
pub struct Fit {
    gain: [(f64, f64); 3],
    matrix: [SMatrix<f64, TERMS, TERMS>; 3],
    vector: [SVector<f64, TERMS>; 3],
}

fn terms(normal: [u8; 3]) -> [f64; TERMS] {
    let [x, y, z] = normal.map(|v| f64::from(v) / 127.5 - 1.0);
    [1.0, x, y, z, x * x, y * y, z * z, x * y, x * z, y * z]
}

fn is_body(normal: [u8; 3]) -> bool {
    normal != [0; 3]
}

impl Fit {
    /// Takes in the pixels of the body of a clip.
    pub fn add(&mut self, clip: &Clip) {
        for ((blend, target), normals) in clip.blend.iter().zip(&clip.target).zip(&clip.normals) {
            for ((b, t), n) in blend.pixels().zip(target.pixels()).zip(normals.pixels()) {
                if !is_body(n.0) {
                    continue;
                }
                let q = terms(n.0);
                for c in 0..3 {
                    let (x, y) = (f64::from(b[c]), f64::from(t[c]));
                    self.gain[c].0 += x * y;
                    self.gain[c].1 += x * x;
                    let row = SVector::from(q) * x;
                    self.matrix[c] += row * row.transpose();
                    self.vector[c] += row * y;
                }
            }
        }
    }

    /// The fitted baselines; without any pixel nothing is changed.
    #[must_use]
    pub fn solve(&self) -> Relight {
        let identity = {
            let mut c = [0.0; TERMS];
            c[0] = 1.0;
            c
        };
        let coefficients = std::array::from_fn(|c| {
            let damped = self.matrix[c] + SMatrix::identity() * (1e-6 * self.matrix[c].trace());
            damped.cholesky().map_or(identity, |m| m.solve(&self.vector[c]).map(|v| v as f32).into())
        });
        let gains = self.gain.map(|(xy, xx)| if xx > 0.0 { (xy / xx) as f32 } else { 1.0 });
        Relight { gains, coefficients }
    }
}

impl Relight {
    /// The composite with the fixed gain on the body.
    #[must_use]
    pub fn gain(&self, blend: &RgbImage, normals: &RgbImage) -> RgbImage {
        self.map(blend, normals, |c, _| self.gains[c])
    }

    /// The composite relit by the body's normals.
    #[must_use]
    pub fn relight(&self, blend: &RgbImage, normals: &RgbImage) -> RgbImage {
        self.map(blend, normals, |c, q| self.coefficients[c].iter().zip(q).map(|(k, q)| k * *q as f32).sum())
    }

    fn map(
        &self,
        blend: &RgbImage,
        normals: &RgbImage,
        factor: impl Fn(usize, &[f64; TERMS]) -> f32,
    ) -> RgbImage {
        let mut out = blend.clone();
        for (p, n) in out.pixels_mut().zip(normals.pixels()) {
            if is_body(n.0) {
                let q = terms(n.0);
                *p = Rgb(std::array::from_fn(|c| {
                    (f32::from(p[c]) * factor(c, &q)).clamp(0.0, 255.0).round() as u8
                }));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_light_that_is_quadratic_in_the_normal() {
        let normals = RgbImage::from_fn(16, 16, |x, y| Rgb([(x * 15 + 10) as u8, (y * 15 + 10) as u8, 90]));
        let blend = RgbImage::from_fn(16, 16, |x, y| Rgb([(100 + x) as u8, (90 + y) as u8, 120]));
        let light =
            |n: &Rgb<u8>| 0.8 + 0.3 * (f32::from(n[0]) / 127.5 - 1.0) * (f32::from(n[1]) / 127.5 - 1.0);
        let target = RgbImage::from_fn(16, 16, |x, y| {
            let f = light(normals.get_pixel(x, y));
            Rgb(blend.get_pixel(x, y).0.map(|v| (f32::from(v) * f).round() as u8))
        });
        let clip = Clip {
            name: String::new(),
            reference: blend.clone(),
            blend: vec![blend.clone()],
            mesh: vec![],
            target: vec![target.clone()],
            plate: vec![],
            normals: vec![normals.clone()],
            shadow: vec![],
        };
        let mut fit = Fit::default();
        fit.add(&clip);
        let relit = fit.solve().relight(&blend, &normals);
        let worst = |a: &RgbImage| a.iter().zip(target.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst(&relit) <= 2, "{}", worst(&relit));
        assert!(worst(&fit.solve().gain(&blend, &normals)) > 10);
    }
}
