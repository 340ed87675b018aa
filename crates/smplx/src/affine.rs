//! Affine transforms as the upper three rows of a 4×4 matrix.

use crate::rotation::{Mat3, dot};

/// Upper 3×4 part of an affine transform, row major: `[row][column]`, column 3 is the translation.
pub type Affine = [[f32; 4]; 3];

/// The identity.
pub const AFFINE_IDENTITY: Affine = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];

/// From a matrix and a translation.
#[must_use]
pub fn affine(m: &Mat3, t: [f32; 3]) -> Affine {
    std::array::from_fn(|i| [m[i][0], m[i][1], m[i][2], t[i]])
}

/// `a · b`: first `b`, then `a`.
#[must_use]
pub fn compose(a: &Affine, b: &Affine) -> Affine {
    std::array::from_fn(|i| {
        std::array::from_fn(|j| {
            let linear = a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j];
            if j == 3 { linear + a[i][3] } else { linear }
        })
    })
}

/// The point `p` after the transform.
#[must_use]
pub fn transform_point(a: &Affine, p: [f32; 3]) -> [f32; 3] {
    std::array::from_fn(|i| a[i][0] * p[0] + a[i][1] * p[1] + a[i][2] * p[2] + a[i][3])
}

/// The 3×3 part.
#[must_use]
pub fn linear(a: &Affine) -> Mat3 {
    std::array::from_fn(|i| [a[i][0], a[i][1], a[i][2]])
}

/// The inverse of a rigid transform: rotation transposed. Wrong for transforms that scale or shear.
#[must_use]
pub fn invert_rigid(a: &Affine) -> Affine {
    let t = [a[0][3], a[1][3], a[2][3]];
    std::array::from_fn(|i| {
        let column = [a[0][i], a[1][i], a[2][i]];
        [column[0], column[1], column[2], -dot(column, t)]
    })
}

/// The upper three rows of a row-major 4×4 matrix.
#[must_use]
pub fn affine_from_4x4(m: &[[f32; 4]; 4]) -> Affine {
    [m[0], m[1], m[2]]
}

/// The row-major 4×4 matrix.
#[must_use]
pub fn affine_to_4x4(a: &Affine) -> [[f32; 4]; 4] {
    [a[0], a[1], a[2], [0.0, 0.0, 0.0, 1.0]]
}
