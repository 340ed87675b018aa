//! What everything in the demo agrees on: length, picture, sun, the walker's path and the moving camera.
//!
//! World axes: x right, y up, z towards the viewer; metres; the ground is y = 0.

use glam::{Mat3, Vec3};

/// T: number of frames.
pub const FRAMES: usize = 49;
/// Frames a second.
pub const FPS: u32 = 16;
/// Width and height of the video in pixels.
pub const SIZE: [u32; 2] = [640, 384];
/// Focal length in pixels.
pub const FOCAL: f32 = 560.0;
/// The walker's speed in metres a second.
pub const SPEED: f32 = 1.12;
/// The walker's heading: a turn about y, from facing the viewer towards the right.
pub const HEADING: f32 = 0.78;

/// Unit vector towards the sun.
#[must_use]
pub fn sun() -> Vec3 {
    Vec3::new(0.62, 0.74, 0.36).normalize()
}

/// Unit vector of the walk.
#[must_use]
pub fn heading() -> Vec3 {
    Vec3::new(HEADING.sin(), 0.0, HEADING.cos())
}

/// The point on the ground that the walker has reached after `distance` metres.
#[must_use]
pub fn path(distance: f32) -> Vec3 {
    Vec3::new(-1.55, 0.0, -1.75) + heading() * distance
}

/// A camera's place and axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Where it stands.
    pub eye: Vec3,
    /// World to camera: rows are the camera's right, down and forward.
    pub turn: Mat3,
}

impl View {
    /// A level camera at `eye` that looks at `target`.
    #[must_use]
    pub fn look_at(eye: Vec3, target: Vec3) -> Self {
        let forward = (target - eye).normalize();
        let right = forward.cross(Vec3::Y).normalize();
        let down = forward.cross(right);
        Self { eye, turn: Mat3::from_cols(right, down, forward).transpose() }
    }

    /// The camera of frame `index` (of [`FRAMES`]): it dollies back beside the walker and pans a little.
    #[must_use]
    pub fn of_frame(index: usize) -> Self {
        let u = index as f32 / (FRAMES - 1) as f32;
        let eased = 0.6 * u + 0.4 * u * u * (3.0 - 2.0 * u);
        let eye = Vec3::new(-0.75, 1.52, 2.15).lerp(Vec3::new(1.55, 1.38, 4.15), eased);
        let walker = path(seconds(index) * SPEED) + Vec3::new(0.0, 1.07, 0.0);
        let target = walker + Vec3::new(0.42 - 0.84 * eased, 0.0, 0.0);
        Self::look_at(eye, target)
    }

    /// The direction in the world (not of length 1) in which this camera sees a place on the picture of [`SIZE`].
    #[must_use]
    pub fn ray(&self, x: f32, y: f32) -> Vec3 {
        let [w, h] = SIZE.map(|n| n as f32);
        self.turn.transpose() * Vec3::new((x - w / 2.0) / FOCAL, (y - h / 2.0) / FOCAL, 1.0)
    }
}

/// Time of a frame.
#[must_use]
pub fn seconds(index: usize) -> f32 {
    index as f32 / FPS as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walker_stays_in_the_picture() {
        for index in 0..FRAMES {
            let view = View::of_frame(index);
            for height in [0.0, 1.8] {
                let p = view.turn * (path(seconds(index) * SPEED) + Vec3::Y * height - view.eye);
                let [x, y] = [p.x, p.y].map(|c| c / p.z * FOCAL);
                assert!(p.z > 2.0 && x.abs() < 240.0 && y.abs() < 186.0, "frame {index}: {x} {y} at {p}");
            }
        }
    }
}
