//! Rotations: axis-angle vectors (radians), 3×3 matrices (row major), quaternions (w, x, y, z).
//!
//! The reference uses two different axis-angle formulas. The body model's own forward pass goes through
//! Rodrigues' formula with the angle taken from the vector plus 1e-8 ([`rodrigues`]); the avatar chain goes through
//! half-angle quaternions ([`matrix_from_axis_angle`]). They differ near the zero rotation only.

/// A 3×3 matrix, row major.
pub type Mat3 = [[f32; 3]; 3];
/// A quaternion (w, x, y, z).
pub type Quat = [f32; 4];

/// The identity matrix.
pub const IDENTITY: Mat3 = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
/// The identity quaternion.
pub const QUAT_IDENTITY: Quat = [1.0, 0.0, 0.0, 0.0];

/// Axis-angle to matrix as the body model does it: the angle is the length of `v + 1e-8`.
///
/// Where that sum is exactly zero the reference returns NaN; this returns the identity.
#[must_use]
pub fn rodrigues(v: [f32; 3]) -> Mat3 {
    let shifted = v.map(|x| f64::from(x + 1e-8));
    let angle = shifted.iter().map(|x| x * x).sum::<f64>().sqrt();
    if angle == 0.0 {
        return IDENTITY;
    }
    let [x, y, z] = v.map(|c| f64::from(c) / angle);
    let (s, c) = angle.sin_cos();
    let k = [[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]];
    std::array::from_fn(|i| {
        std::array::from_fn(|j| {
            let kk: f64 = (0..3).map(|n| k[i][n] * k[n][j]).sum();
            (f64::from(IDENTITY[i][j]) + s * k[i][j] + (1.0 - c) * kk) as f32
        })
    })
}

/// Axis-angle to quaternion, exact near zero.
#[must_use]
pub fn quat_from_axis_angle(v: [f32; 3]) -> Quat {
    let angle = dot(v, v).sqrt();
    let half = 0.5 * angle;
    // sin(angle / 2) / angle, by its series where the quotient loses digits
    let scale = if angle < 1e-3 { 0.5 - angle * angle / 48.0 } else { half.sin() / angle };
    [half.cos(), v[0] * scale, v[1] * scale, v[2] * scale]
}

/// Axis-angle to matrix through a quaternion, exact near zero: what the avatar chain uses.
#[must_use]
pub fn matrix_from_axis_angle(v: [f32; 3]) -> Mat3 {
    matrix_from_quat(quat_from_axis_angle(v))
}

/// Quaternion to matrix; the quaternion needn't have unit length.
///
/// A quaternion of length zero gives a matrix that isn't finite.
#[must_use]
pub fn matrix_from_quat([w, x, y, z]: Quat) -> Mat3 {
    let s = 2.0 / (w * w + x * x + y * y + z * z);
    [
        [1.0 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
        [s * (x * y + z * w), 1.0 - s * (x * x + z * z), s * (y * z - x * w)],
        [s * (x * z - y * w), s * (y * z + x * w), 1.0 - s * (x * x + y * y)],
    ]
}

/// Matrix to quaternion with w ≥ 0, for matrices that needn't be orthonormal (blended transforms).
///
/// Each of the four components has a formula that divides by it; the one with the largest magnitude is used, and its
/// magnitude is taken as at least 0.1 (PyTorch3D's rule). The result isn't normalised.
#[must_use]
pub fn quat_from_matrix(m: &Mat3) -> Quat {
    let [[m00, m01, m02], [m10, m11, m12], [m20, m21, m22]] = *m;
    let squares =
        [1.0 + m00 + m11 + m22, 1.0 + m00 - m11 - m22, 1.0 - m00 + m11 - m22, 1.0 - m00 - m11 + m22];
    let magnitudes = squares.map(|x: f32| x.max(0.0).sqrt());
    let mut best = 0;
    for i in 1..4 {
        if magnitudes[i] > magnitudes[best] {
            best = i;
        }
    }
    let own = magnitudes[best] * magnitudes[best];
    let numerators = match best {
        0 => [own, m21 - m12, m02 - m20, m10 - m01],
        1 => [m21 - m12, own, m10 + m01, m02 + m20],
        2 => [m02 - m20, m10 + m01, own, m12 + m21],
        _ => [m10 - m01, m20 + m02, m21 + m12, own],
    };
    let scale = 1.0 / (2.0 * magnitudes[best].max(0.1));
    standardise(numerators.map(|x| x * scale))
}

/// The same rotation with w ≥ 0.
#[must_use]
pub fn standardise(q: Quat) -> Quat {
    if q[0] < 0.0 { q.map(|x| -x) } else { q }
}

/// To unit length; lengths below 1e-12 are taken as 1e-12.
#[must_use]
pub fn normalise(q: Quat) -> Quat {
    let length = q.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
    q.map(|x| x / length)
}

/// Product of two quaternions (first `b`, then `a`), sign as it comes.
#[must_use]
pub fn quat_mul([aw, ax, ay, az]: Quat, [bw, bx, by, bz]: Quat) -> Quat {
    [
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    ]
}

/// Quaternion to axis-angle with an angle in 0..=π.
#[must_use]
pub fn axis_angle_from_quat(q: Quat) -> [f32; 3] {
    let [w, x, y, z] = standardise(normalise(q));
    let s = (x * x + y * y + z * z).sqrt();
    let scale = if s < 1e-6 { 2.0 / w.max(0.5) } else { 2.0 * s.atan2(w) / s };
    [x * scale, y * scale, z * scale]
}

/// Orthonormal matrix to axis-angle with an angle in 0..=π.
#[must_use]
pub fn axis_angle_from_matrix(m: &Mat3) -> [f32; 3] {
    axis_angle_from_quat(quat_from_matrix(m))
}

/// Interpolation on the shorter arc at constant speed: `a` at `t = 0`, `b` at `t = 1`.
#[must_use]
pub fn slerp(a: Quat, b: Quat, t: f32) -> Quat {
    let (a, mut b) = (normalise(a), normalise(b));
    let mut cos: f32 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
    if cos < 0.0 {
        b = b.map(|x| -x);
        cos = -cos;
    }
    let (wa, wb) = if cos > 0.9995 {
        (1.0 - t, t)
    } else {
        let angle = cos.acos();
        let sin = angle.sin();
        (((1.0 - t) * angle).sin() / sin, (t * angle).sin() / sin)
    };
    normalise(std::array::from_fn(|i| wa * a[i] + wb * b[i]))
}

/// Matrix product `a · b`.
#[must_use]
pub fn mul(a: &Mat3, b: &Mat3) -> Mat3 {
    let mut c = [[0.0; 3]; 3];
    for i in 0..3 {
        for j in 0..3 {
            c[i][j] = a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j];
        }
    }
    c
}

/// `m · v`.
#[must_use]
pub fn apply(m: &Mat3, v: [f32; 3]) -> [f32; 3] {
    [dot(m[0], v), dot(m[1], v), dot(m[2], v)]
}

pub(crate) fn cross([a, b, c]: [f32; 3], [d, e, f]: [f32; 3]) -> [f32; 3] {
    [b * f - c * e, c * d - a * f, a * e - b * d]
}

pub(crate) fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: &Mat3, b: &Mat3, tolerance: f32) -> bool {
        a.iter().flatten().zip(b.iter().flatten()).all(|(x, y)| (x - y).abs() <= tolerance)
    }

    #[test]
    fn a_quarter_turn_about_z() {
        let v = [0.0, 0.0, std::f32::consts::FRAC_PI_2];
        let expected = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
        assert!(close(&rodrigues(v), &expected, 1e-6));
        assert!(close(&matrix_from_axis_angle(v), &expected, 1e-6));
        assert!(close(&matrix_from_quat(quat_from_matrix(&expected)), &expected, 1e-6));
        assert!(!close(&rodrigues(v), &IDENTITY, 1e-6));
    }

    #[test]
    fn finite_where_the_reference_is_not() {
        assert_eq!(rodrigues([-1e-8; 3]), IDENTITY);
        assert!(close(&rodrigues([0.0; 3]), &IDENTITY, 0.0));
        assert!(close(&matrix_from_axis_angle([0.0; 3]), &IDENTITY, 0.0));
    }

    #[test]
    fn both_formulas_agree_and_invert() {
        for i in 0..200 {
            let t = i as f32 * 0.37;
            let v = [t.sin() * 1.7, (t * 1.3).cos() * 1.5, (t * 0.7).sin()];
            let m = rodrigues(v);
            assert!(close(&m, &matrix_from_axis_angle(v), 2e-6), "{v:?}");
            let back = axis_angle_from_matrix(&m);
            assert!(close(&rodrigues(back), &m, 5e-6), "{v:?} {back:?}");
        }
        let half_turn = [std::f32::consts::PI, 0.0, 0.0];
        let back = axis_angle_from_matrix(&rodrigues(half_turn));
        assert!(close(&rodrigues(back), &rodrigues(half_turn), 5e-6));
    }

    #[test]
    fn slerp_takes_the_short_way_at_constant_speed() {
        let a = quat_from_axis_angle([0.0, 0.0, 0.2]);
        let b = quat_from_axis_angle([0.0, 0.0, 1.4]).map(|x| -x);
        let mid = axis_angle_from_quat(slerp(a, b, 0.25));
        assert!((mid[2] - 0.5).abs() < 1e-5, "{mid:?}");
    }

    #[test]
    fn product_order() {
        let (a, b) = ([0.3, -0.2, 0.9], [-0.5, 0.1, 0.4]);
        let q = quat_mul(quat_from_axis_angle(a), quat_from_axis_angle(b));
        let m = mul(&matrix_from_axis_angle(a), &matrix_from_axis_angle(b));
        assert!(close(&matrix_from_quat(q), &m, 1e-6));
    }
}
