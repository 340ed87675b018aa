//! Colours from real spherical harmonics up to degree 3, in the order and with the signs of 3D Gaussian splatting.

/// Highest degree.
pub const MAX_DEGREE: u8 = 3;

/// Constants of the real spherical harmonics, band by band.
pub const C0: f32 = 0.282_094_8;
/// Band 1.
pub const C1: f32 = 0.488_602_52;
/// Band 2.
pub const C2: [f32; 5] = [1.092_548_5, -1.092_548_5, 0.315_391_57, -1.092_548_5, 0.546_274_24];
/// Band 3.
pub const C3: [f32; 7] =
    [-0.590_043_6, 2.890_611_4, -0.457_045_8, 0.373_176_34, -0.457_045_8, 1.445_305_7, -0.590_043_6];

/// Number of coefficients of one colour channel.
#[must_use]
pub fn n_coefficients(degree: u8) -> usize {
    (usize::from(degree) + 1).pow(2)
}

/// The constant coefficient whose colour is `value` when all others are zero.
#[must_use]
pub fn dc_from_color(value: f32) -> f32 {
    (value - 0.5) / C0
}

/// The colour of a constant coefficient; the inverse of [`dc_from_color`].
#[must_use]
pub fn color_from_dc(dc: f32) -> f32 {
    dc * C0 + 0.5
}

/// The colour in `direction` (any length), never negative.
///
/// `coefficients` is `[(degree + 1)², 3]`. A zero direction sees the constant term only.
#[must_use]
pub fn color(degree: u8, coefficients: &[f32], direction: [f32; 3]) -> [f32; 3] {
    let basis = basis(direction);
    let mut rgb = [0.5_f32; 3];
    for (weight, c) in basis.iter().zip(coefficients.as_chunks::<3>().0).take(n_coefficients(degree)) {
        for (sum, x) in rgb.iter_mut().zip(c) {
            *sum += weight * x;
        }
    }
    rgb.map(|x| x.max(0.0))
}

fn basis([x, y, z]: [f32; 3]) -> [f32; 16] {
    let norm = (x * x + y * y + z * z).sqrt();
    let inverse = if norm > 0.0 { 1.0 / norm } else { 0.0 };
    let (x, y, z) = (x * inverse, y * inverse, z * inverse);
    let (xx, yy, zz) = (x * x, y * y, z * z);
    [
        C0,
        -C1 * y,
        C1 * z,
        -C1 * x,
        C2[0] * x * y,
        C2[1] * y * z,
        C2[2] * (2.0 * zz - xx - yy),
        C2[3] * x * z,
        C2[4] * (xx - yy),
        C3[0] * y * (3.0 * xx - yy),
        C3[1] * x * y * z,
        C3[2] * y * (4.0 * zz - xx - yy),
        C3[3] * z * (2.0 * zz - 3.0 * xx - 3.0 * yy),
        C3[4] * x * (4.0 * zz - xx - yy),
        C3[5] * z * (xx - yy),
        C3[6] * x * (xx - 3.0 * yy),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_is_seen_from_everywhere() {
        let mut c = [0.0; 48];
        c[0] = dc_from_color(0.25);
        for d in [[1.0, 0.0, 0.0], [0.3, -0.7, 0.2], [0.0; 3]] {
            let rgb = color(3, &c, d);
            assert!((rgb[0] - 0.25).abs() < 1e-6 && (rgb[1] - 0.5).abs() < 1e-6);
        }
    }

    #[test]
    fn the_basis_is_orthonormal() {
        // Midpoint rule over the sphere; the products are polynomials of degree 6 at most.
        let (n, m) = (128, 64);
        let mut gram = [[0.0_f64; 16]; 16];
        for i in 0..n {
            for j in 0..m {
                let phi = std::f64::consts::TAU * (i as f64 + 0.5) / n as f64;
                let z = -1.0 + 2.0 * (j as f64 + 0.5) / m as f64;
                let r = (1.0 - z * z).sqrt();
                let b = basis([(r * phi.cos()) as f32, (r * phi.sin()) as f32, z as f32]);
                let area = 2.0 * std::f64::consts::TAU / (n * m) as f64;
                for (row, &x) in gram.iter_mut().zip(&b) {
                    for (g, &y) in row.iter_mut().zip(&b) {
                        *g += f64::from(x) * f64::from(y) * area;
                    }
                }
            }
        }
        for (i, row) in gram.iter().enumerate() {
            for (j, g) in row.iter().enumerate() {
                assert!((g - f64::from(u8::from(i == j))).abs() < 5e-3, "{i} {j} {g}");
            }
        }
    }
}
