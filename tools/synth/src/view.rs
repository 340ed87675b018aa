//! The camera: where it is, and what it makes of a point. World axes are x right, y up, z towards the viewer; camera axes
//! OpenCV's.

use crate::Result;
use glam::{Mat3, Vec2, Vec3};

/// A camera's place, axes and lens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Where it stands, in metres.
    pub eye: Vec3,
    /// World to camera: rows are the camera's right, down and forward.
    pub turn: Mat3,
    /// Focal length in pixels.
    pub focal: f32,
    /// Principal point in pixels from the upper left corner.
    pub middle: Vec2,
    /// Width and height in pixels.
    pub size: [u32; 2],
}

impl View {
    /// A camera at `eye` that looks at `target`, turned about its axis by `roll`.
    #[must_use]
    pub fn look_at(eye: Vec3, target: Vec3, roll: f32, focal: f32, size: [u32; 2]) -> Self {
        let forward = (target - eye).normalize();
        let right = forward.cross(Vec3::Y).normalize();
        let down = forward.cross(right);
        let (s, c) = roll.sin_cos();
        let (right, down) = (right * c + down * s, down * c - right * s);
        let turn = Mat3::from_cols(right, down, forward).transpose();
        let middle = Vec2::new(size[0] as f32 / 2.0, size[1] as f32 / 2.0);
        Self { eye, turn, focal, middle, size }
    }

    /// A point in camera axes.
    #[must_use]
    #[inline]
    pub fn to_camera(&self, p: Vec3) -> Vec3 {
        self.turn * (p - self.eye)
    }

    /// Pixels from camera axes; z becomes 1/z.
    #[must_use]
    #[inline]
    pub fn project(&self, p: Vec3) -> Vec3 {
        let inverse = 1.0 / p.z;
        Vec3::new(
            self.focal * p.x * inverse + self.middle.x,
            self.focal * p.y * inverse + self.middle.y,
            inverse,
        )
    }

    /// The ray through a place on the picture, in camera axes, of depth 1.
    #[must_use]
    #[inline]
    pub fn ray(&self, x: f32, y: f32) -> Vec3 {
        Vec3::new((x - self.middle.x) / self.focal, (y - self.middle.y) / self.focal, 1.0)
    }

    /// Camera axes to the world, for directions.
    #[must_use]
    #[inline]
    pub fn to_world(&self, d: Vec3) -> Vec3 {
        self.turn.transpose() * d
    }

    /// World to camera as the body model's crates want it.
    #[must_use]
    pub fn affine(&self) -> smplx::Affine {
        let t = -(self.turn * self.eye);
        std::array::from_fn(|i| {
            let row = self.turn.row(i);
            [row.x, row.y, row.z, t[i]]
        })
    }

    /// The same view for the avatar's renderers, on a picture `scale` times as large.
    ///
    /// # Errors
    /// Never for a sound view.
    pub fn camera(&self, scale: u32) -> Result<avatar_render::Camera> {
        let k = scale as f32;
        let size = self.size.map(|n| (n * scale) as usize);
        let middle = (self.middle * k).to_array();
        Ok(avatar_render::Camera::pinhole(size, [self.focal * k; 2], middle, &self.affine())?)
    }
}
