//! Pinhole cameras in OpenCV axes: x right, y down, z forward; pixels; the principal point may lie anywhere.

use crate::affine::Affine;
use crate::rotation::Mat3;

/// Distance of the near plane in the reference's projection matrices, in metres.
pub const Z_NEAR: f32 = 0.001;
/// Distance of the far plane, in metres.
pub const Z_FAR: f32 = 1000.0;

/// The intrinsics of one frame's camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// Focal lengths in pixels, horizontal and vertical.
    pub focal_px: [f32; 2],
    /// Principal point in pixels from the upper left corner.
    pub principal_px: [f32; 2],
    /// Width and height of the picture in pixels.
    pub size_px: [u32; 2],
}

/// A camera's matrices as the reference hands them to its rasterizer: **transposed**, for row vectors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CameraMatrices {
    /// Transposed view matrix.
    pub world_view: [[f32; 4]; 4],
    /// Transposed projection matrix.
    pub projection: [[f32; 4]; 4],
    /// `world_view · projection`.
    pub full: [[f32; 4]; 4],
    /// The camera's position in the world, in metres.
    pub center: [f32; 3],
}

impl Camera {
    /// The 3×3 matrix of intrinsics.
    #[must_use]
    pub fn intrinsics(&self) -> Mat3 {
        let ([fx, fy], [cx, cy]) = (self.focal_px, self.principal_px);
        [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]
    }

    /// Horizontal and vertical field of view in radians, from the focal lengths alone.
    #[must_use]
    pub fn fov(&self) -> [f64; 2] {
        std::array::from_fn(|i| 2.0 * f64::from(self.size_px[i] as f32 / (2.0 * self.focal_px[i])).atan())
    }

    /// Tangents of half the fields of view.
    #[must_use]
    pub fn tan_half_fov(&self) -> [f64; 2] {
        self.fov().map(|fov| (fov * 0.5).tan())
    }

    /// The projection matrix for column vectors; the principal point is in it.
    ///
    /// Source: `getProjectionMatrix_refine` of AniCrafter's `graphics_utils.py` (commit e9e8965).
    #[must_use]
    pub fn projection(&self, z_near: f32, z_far: f32) -> [[f32; 4]; 4] {
        let ([fx, fy], [cx, cy]) = (self.focal_px, self.principal_px);
        let [w, h] = self.size_px.map(|n| n as f32);
        let (near, far) = (f64::from(z_near), f64::from(z_far));
        let depth = ((far + near) / (far - near)) as f32;
        let shift = (-2.0 * far * near / (far - near)) as f32;
        [
            [2.0 * fx / w, 0.0, -1.0 + 2.0 * (cx / w), 0.0],
            [0.0, 2.0 * fy / h, -1.0 + 2.0 * (cy / h), 0.0],
            [0.0, 0.0, depth, shift],
            [0.0, 0.0, 1.0, 0.0],
        ]
    }

    /// The matrices for a rigid view transform; the reference's is the identity: the camera stays at the origin and the
    /// body moves.
    #[must_use]
    pub fn matrices(&self, view_from_world: &Affine, z_near: f32, z_far: f32) -> CameraMatrices {
        let world_view = transpose(&crate::affine::affine_to_4x4(view_from_world));
        let projection = transpose(&self.projection(z_near, z_far));
        let full = std::array::from_fn(|i| {
            std::array::from_fn(|j| (0..4).map(|k| world_view[i][k] * projection[k][j]).sum())
        });
        let back = crate::affine::invert_rigid(view_from_world);
        CameraMatrices { world_view, projection, full, center: [back[0][3], back[1][3], back[2][3]] }
    }

    /// Where a point in camera space falls on the picture, in pixels; `None` behind the camera.
    #[must_use]
    pub fn project(&self, p: [f32; 3]) -> Option<[f32; 2]> {
        let at = |i: usize| self.focal_px[i] * p[i] / p[2] + self.principal_px[i];
        (p[2] > 0.0).then(|| [at(0), at(1)])
    }

    /// The camera of the same view on a picture of another size.
    #[must_use]
    pub fn resized(&self, size_px: [u32; 2]) -> Self {
        let scale: [f32; 2] = std::array::from_fn(|i| size_px[i] as f32 / self.size_px[i] as f32);
        Self {
            focal_px: std::array::from_fn(|i| self.focal_px[i] * scale[i]),
            principal_px: std::array::from_fn(|i| self.principal_px[i] * scale[i]),
            size_px,
        }
    }
}

fn transpose(m: &[[f32; 4]; 4]) -> [[f32; 4]; 4] {
    std::array::from_fn(|i| std::array::from_fn(|j| m[j][i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_centre_projects_to_the_principal_point() {
        let camera = Camera { focal_px: [800.0, 820.0], principal_px: [310.0, 250.0], size_px: [640, 480] };
        assert_eq!(camera.project([0.0, 0.0, 3.0]), Some([310.0, 250.0]));
        assert_eq!(camera.project([0.0, 0.0, -3.0]), None);
        let half = camera.resized([320, 240]);
        let at = half.project([0.3, -0.6, 3.0]).unwrap();
        assert!((at[0] - 195.0).abs() < 1e-3 && (at[1] - 43.0).abs() < 1e-3, "{at:?}");
        // The matrix form says the same in -1..1.
        let p = camera.projection(Z_NEAR, Z_FAR);
        let point = [0.3, -0.6, 3.0, 1.0];
        let clip: Vec<f32> = p.iter().map(|row| row.iter().zip(point).map(|(a, b)| a * b).sum()).collect();
        let pixel = [(clip[0] / clip[3] + 1.0) * 320.0, (clip[1] / clip[3] + 1.0) * 240.0];
        let expected = camera.project([0.3, -0.6, 3.0]).unwrap();
        assert!((0..2).all(|i| (pixel[i] - expected[i]).abs() < 1e-3), "{pixel:?} {expected:?}");
    }
}
