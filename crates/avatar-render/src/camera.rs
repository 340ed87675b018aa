//! The pinhole camera: OpenCV axes (x right, y down, z forward), pixels, any principal point.

use crate::{Error, Result, constants::MAX_IMAGE_SIDE};

/// A pinhole camera and the size of its image.
///
/// Matrices are column-major with column vectors (`m[4 * column + row]`), which is the memory layout of the
/// reference's transposed row-major matrices.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    width: usize,
    height: usize,
    view_from_world: [f32; 16],
    clip_from_world: [f32; 16],
    tan_half_fov: [f32; 2],
}

/// The identity, column-major.
pub const IDENTITY: [f32; 16] = [1., 0., 0., 0., 0., 1., 0., 0., 0., 0., 1., 0., 0., 0., 0., 1.];

impl Camera {
    /// A camera from the matrices that the reference hands to its rasterizer.
    ///
    /// `tan_half_fov` is the tangent of half the field of view in x and y; the focal length follows from it.
    ///
    /// # Errors
    /// When the image is empty or too large, or a number isn't finite.
    pub fn from_matrices(
        size: [usize; 2],
        view_from_world: [f32; 16],
        clip_from_world: [f32; 16],
        tan_half_fov: [f32; 2],
    ) -> Result<Self> {
        let [width, height] = size;
        if width == 0 || height == 0 || width > MAX_IMAGE_SIDE || height > MAX_IMAGE_SIDE {
            return Err(Error::ImageSize { width, height });
        }
        let finite = |what, values: &[f32]| match values.iter().find(|v| !v.is_finite()) {
            Some(&value) => Err(Error::Camera { what, value }),
            None => Ok(()),
        };
        finite("an element of the view matrix", &view_from_world)?;
        finite("an element of the projection matrix", &clip_from_world)?;
        finite("the tangent of the field of view", &tan_half_fov)?;
        if let Some(&value) = tan_half_fov.iter().find(|&&t| t <= 0.0) {
            return Err(Error::Camera { what: "the tangent of the field of view", value });
        }
        Ok(Self { width, height, view_from_world, clip_from_world, tan_half_fov })
    }

    /// A camera from its intrinsics in pixels and its pose.
    ///
    /// A point on the optical axis is drawn half a pixel up and left of `principal`, because the reference counts
    /// pixel centres from 0 and its principal point from the image's corner.
    ///
    /// # Errors
    /// When the image is empty or too large, or a number isn't finite or positive.
    pub fn pinhole(
        size: [usize; 2],
        focal: [f32; 2],
        principal: [f32; 2],
        view_from_world: [f32; 16],
    ) -> Result<Self> {
        const NEAR: f32 = 0.001;
        const FAR: f32 = 1000.0;
        if let Some(&value) = focal.iter().find(|f| !(f.is_finite() && **f > 0.0)) {
            return Err(Error::Camera { what: "the focal length", value });
        }
        let [w, h] = size.map(|s| s as f32);
        let tan_half_fov = [w / (2.0 * focal[0]), h / (2.0 * focal[1])];
        let mut clip_from_view = [0.0; 16];
        clip_from_view[0] = 1.0 / tan_half_fov[0];
        clip_from_view[5] = 1.0 / tan_half_fov[1];
        clip_from_view[8] = 2.0 * principal[0] / w - 1.0;
        clip_from_view[9] = 2.0 * principal[1] / h - 1.0;
        clip_from_view[10] = (FAR + NEAR) / (FAR - NEAR);
        clip_from_view[11] = 1.0;
        clip_from_view[14] = -2.0 * FAR * NEAR / (FAR - NEAR);
        Self::from_matrices(size, view_from_world, multiply(&clip_from_view, &view_from_world), tan_half_fov)
    }

    /// Image width in pixels.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Image height in pixels.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// World to camera, column-major.
    #[must_use]
    pub fn view_from_world(&self) -> &[f32; 16] {
        &self.view_from_world
    }

    /// World to clip space, column-major.
    #[must_use]
    pub fn clip_from_world(&self) -> &[f32; 16] {
        &self.clip_from_world
    }

    /// Tangents of half the field of view in x and y.
    #[must_use]
    pub fn tan_half_fov(&self) -> [f32; 2] {
        self.tan_half_fov
    }

    /// Focal lengths in pixels.
    #[must_use]
    pub fn focal(&self) -> [f32; 2] {
        let [tx, ty] = self.tan_half_fov;
        [self.width as f32 / (2.0 * tx), self.height as f32 / (2.0 * ty)]
    }

    /// The camera's position in the world, for a rigid view matrix.
    #[must_use]
    pub fn position(&self) -> [f32; 3] {
        let m = &self.view_from_world;
        let at = |row: usize| -(m[4 * row] * m[12] + m[4 * row + 1] * m[13] + m[4 * row + 2] * m[14]);
        [at(0), at(1), at(2)]
    }
}

/// The product of two column-major matrices.
#[must_use]
pub fn multiply(a: &[f32; 16], b: &[f32; 16]) -> [f32; 16] {
    std::array::from_fn(|i| {
        let (column, row) = (i / 4, i % 4);
        (0..4).map(|k| a[4 * k + row] * b[4 * column + k]).sum()
    })
}
