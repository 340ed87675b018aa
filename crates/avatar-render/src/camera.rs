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

    /// A camera from its intrinsics and its pose; the reference's pose is the identity.
    ///
    /// A point on the optical axis is drawn half a pixel up and left of the principal point, because the reference
    /// counts pixel centres from 0 and its principal point from the image's corner.
    ///
    /// # Errors
    /// When the image is empty or too large, or a number isn't finite or positive.
    pub fn new(intrinsics: &smplx::Camera, view_from_world: &smplx::Affine) -> Result<Self> {
        if let Some(&value) = intrinsics.focal_px.iter().find(|f| !(f.is_finite() && **f > 0.0)) {
            return Err(Error::Camera { what: "the focal length", value });
        }
        let size = intrinsics.size_px.map(|n| n as usize);
        let [width, height] = size;
        if width == 0 || height == 0 {
            return Err(Error::ImageSize { width, height });
        }
        let matrices = intrinsics.matrices(view_from_world, smplx::camera::Z_NEAR, smplx::camera::Z_FAR);
        let flat = |m: [[f32; 4]; 4]| std::array::from_fn(|i| m[i / 4][i % 4]);
        let tan_half_fov = intrinsics.tan_half_fov().map(|t| t as f32);
        Self::from_matrices(size, flat(matrices.world_view), flat(matrices.full), tan_half_fov)
    }

    /// The same from plain numbers: size, focal lengths and principal point in pixels.
    ///
    /// # Errors
    /// As [`Camera::new`].
    pub fn pinhole(
        size: [usize; 2],
        focal: [f32; 2],
        principal: [f32; 2],
        view_from_world: &smplx::Affine,
    ) -> Result<Self> {
        let [width, height] = size;
        if width > MAX_IMAGE_SIDE || height > MAX_IMAGE_SIDE {
            return Err(Error::ImageSize { width, height });
        }
        let size_px = size.map(|n| n as u32);
        Self::new(&smplx::Camera { focal_px: focal, principal_px: principal, size_px }, view_from_world)
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
