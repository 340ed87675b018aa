//! A camera that goes round an avatar in its neutral pose.

use crate::{Camera, Error, Gaussians, Result};

/// How far the camera stands off, in radii of the avatar.
const DISTANCE: f32 = 3.0;
/// Focal length of the square picture, in its sides.
const FOCAL: f32 = 1.4;

/// A camera that goes round Gaussians whose y axis points up, and sees all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turntable {
    centre: [f32; 3],
    radius: f32,
}

impl Turntable {
    /// Round the middle of the Gaussians; floaters far from everything else don't count.
    ///
    /// # Errors
    /// [`Error::Empty`] when there are none, or none that is anywhere.
    pub fn around(gaussians: &Gaussians) -> Result<Self> {
        let (centre, radius) = bulk(&gaussians.means).ok_or(Error::Empty)?;
        if !radius.is_finite() {
            return Err(Error::Empty);
        }
        Ok(Self { centre, radius: radius.max(1e-3) })
    }

    /// The camera after `turn` of a whole turn (0 is the front, 0.25 a quarter), for a square picture of `size` pixels a side.
    ///
    /// # Errors
    /// When the size is 0.
    pub fn camera(&self, turn: f32, size: usize) -> Result<Camera> {
        let (sin, cos) = (std::f32::consts::TAU * turn).sin_cos();
        let c = self.centre;
        // The avatar's y points up and the camera's down; the camera goes round the vertical axis.
        let rows = [[cos, 0.0, -sin], [0.0, -1.0, 0.0], [-sin, 0.0, -cos]];
        let mut view = rows.map(|r| [r[0], r[1], r[2], -(r[0] * c[0] + r[1] * c[1] + r[2] * c[2])]);
        view[2][3] += DISTANCE * self.radius;
        Camera::pinhole([size, size], [size as f32 * FOCAL; 2], [size as f32 / 2.0; 2], &view)
    }
}

/// Centre and radius of what a film should show. `None` for no points.
fn bulk(points: &[[f32; 3]]) -> Option<([f32; 3], f32)> {
    /// Share of the points at each end of an axis that may be floaters.
    const TAIL: f32 = 0.01;
    /// A subject's thin ends (hands, feet) are this much farther out than the points without the tails.
    const ENDS: f32 = 1.3;
    let last = points.len().checked_sub(1)?;
    let skip = (last as f32 * TAIL) as usize;
    let mut centre = [0.0; 3];
    let mut half = [0.0; 3];
    for axis in 0..3 {
        let mut values: Vec<f32> = points.iter().map(|p| p[axis]).collect();
        values.sort_by(f32::total_cmp);
        let (low, high) = (values[skip], values[last - skip]);
        centre[axis] = (low + high) / 2.0;
        let outermost = (values[last] - centre[axis]).max(centre[axis] - values[0]);
        half[axis] = outermost.min((high - low) / 2.0 * ENDS);
    }
    let radius = half.iter().map(|x| x * x).sum::<f32>().sqrt();
    Some((centre, radius))
}

/// The least and the greatest coordinate of points along each axis.
#[must_use]
pub fn bounds(points: &[[f32; 3]]) -> ([f32; 3], [f32; 3]) {
    points.iter().fold(([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]), |(low, high), p| {
        (std::array::from_fn(|k| low[k].min(p[k])), std::array::from_fn(|k| high[k].max(p[k])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn box_of(half: [f32; 3], centre: [f32; 3]) -> Gaussians {
        let corner = |s: f32| std::array::from_fn(|k| centre[k] + s * half[k]);
        Gaussians { means: vec![corner(-1.0), corner(1.0)], ..Gaussians::default() }
    }

    #[test]
    fn the_camera_looks_at_the_middle_from_all_sides() {
        let table = Turntable::around(&box_of([0.5, 1.0, 0.3], [2.0, -1.0, 4.0])).unwrap();
        for turn in [0.0, 0.25, 0.6] {
            let camera = table.camera(turn, 64).unwrap();
            let eye = camera.position();
            let away = (0..3).map(|k| (eye[k] - [2.0, -1.0, 4.0][k]).powi(2)).sum::<f32>().sqrt();
            assert!((away - DISTANCE * table.radius).abs() < 1e-4, "{turn}: {away}");
        }
        let front = table.camera(0.0, 64).unwrap().position();
        assert!(front[2] > 4.0 && (front[0] - 2.0).abs() < 1e-4, "{front:?}");
    }

    #[test]
    fn nothing_to_look_at_is_an_error() {
        assert!(matches!(Turntable::around(&Gaussians::default()), Err(Error::Empty)));
    }

    #[test]
    fn floaters_do_not_move_the_camera() {
        let mut points: Vec<[f32; 3]> = (0..1000).map(|i| [0.0, i as f32 / 1000.0, 0.0]).collect();
        let (centre, radius) = bulk(&points).unwrap();
        assert!((centre[1] - 0.5).abs() < 0.01 && (radius - 0.5).abs() < 0.01, "{centre:?} {radius}");
        points.extend([[900.0, 0.0, 0.0], [0.0, -500.0, 3.0]]);
        let (centre, radius) = bulk(&points).unwrap();
        assert!((centre[1] - 0.5).abs() < 0.02 && radius < 0.7, "{centre:?} {radius}");
        assert!(bulk(&[]).is_none() && bulk(&[[1.0; 3]]).is_some());
    }
}
