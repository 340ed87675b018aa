//! A depth buffer of samples: which triangle is nearest at each. Perspective pictures and shadow maps share it.

use glam::{Vec2, Vec3};

/// No triangle.
pub const NOTHING: u32 = u32::MAX;

/// `[height, width]` samples: the nearness of the nearest triangle and which it is.
#[derive(Debug, Default)]
pub struct Samples {
    /// Samples in a row.
    pub width: usize,
    /// Rows of samples.
    pub height: usize,
    /// Larger is nearer (1/z in perspective).
    pub near: Vec<f32>,
    /// The triangle's number, or [`NOTHING`].
    pub id: Vec<u32>,
    /// Rows and columns that were written since the last clear: x0, y0, x1, y1.
    pub touched: [usize; 4],
}

impl Samples {
    /// Empties the buffer; only what was touched is cleared when the size stays.
    pub fn clear(&mut self, width: usize, height: usize, far: f32) {
        if (self.width, self.height) != (width, height) {
            (self.width, self.height) = (width, height);
            self.near = vec![far; width * height];
            self.id = vec![NOTHING; width * height];
        } else {
            let [x0, y0, x1, y1] = self.touched;
            for y in y0..y1 {
                self.near[y * width + x0..y * width + x1].fill(far);
                self.id[y * width + x0..y * width + x1].fill(NOTHING);
            }
        }
        self.touched = [width, height, 0, 0];
    }

    /// Draws a triangle of samples (x, y) and nearness (z). Sample (i, j) lies at (i, j). `cull` leaves out triangles whose
    /// corners go round clockwise as one sees them on the picture: backs of closed bodies.
    #[inline]
    pub fn triangle(&mut self, p: [Vec3; 3], id: u32, cull: bool) {
        let (a, b, c) = (p[0].truncate(), p[1].truncate(), p[2].truncate());
        let area = (b - a).perp_dot(c - a);
        if area == 0.0 || !area.is_finite() || (cull && area > 0.0) {
            return;
        }
        let low = a.min(b).min(c).max(Vec2::ZERO);
        let high = a.max(b).max(c).min(Vec2::new(self.width as f32 - 1.0, self.height as f32 - 1.0));
        if !(low.x <= high.x && low.y <= high.y) {
            return;
        }
        // Nothing is negative here, and casts cut.
        let (x_low, y0) = (ceil(low.x), ceil(low.y) as usize);
        let (x_high, y1) = (high.x as i32, high.y as usize);
        if y1 < y0 || x_high < x_low {
            return;
        }
        let sign = area.signum();
        let edge = |p: Vec2, q: Vec2| {
            let (ex, ey) = ((p.y - q.y) * sign, (q.x - p.x) * sign);
            (ex, 1.0 / ex, ey, (p.x * q.y - q.x * p.y) * sign)
        };
        let edges = [edge(a, b), edge(b, c), edge(c, a)];
        // Nearness is linear on the picture.
        let inverse = 1.0 / area;
        let (dz1, dz2) = (p[1].z - p[0].z, p[2].z - p[0].z);
        let zx = (dz1 * (c.y - a.y) - dz2 * (b.y - a.y)) * inverse;
        let zy = (dz2 * (b.x - a.x) - dz1 * (c.x - a.x)) * inverse;
        let zc = p[0].z - zx * a.x - zy * a.y;
        let (mut left, mut right) = (usize::MAX, 0);
        for y in y0..=y1 {
            let fy = y as f32;
            let (mut from, mut to) = (x_low as f32, x_high as f32);
            let mut out = false;
            for (ex, inverse, ey, e) in edges {
                let rest = ey * fy + e;
                if ex > 0.0 {
                    from = from.max(-rest * inverse);
                } else if ex < 0.0 {
                    to = to.min(-rest * inverse);
                } else {
                    out |= rest < 0.0;
                }
            }
            if out || !(from <= to) {
                continue;
            }
            let (from, to) = (ceil(from), to as i32);
            if from > to {
                continue;
            }
            let (from, to) = (from as usize, to as usize);
            left = left.min(from);
            right = right.max(to + 1);
            let row = y * self.width;
            let z0 = zc + zy * fy;
            let near = &mut self.near[row + from..=row + to];
            let ids = &mut self.id[row + from..=row + to];
            for (i, (near, slot)) in near.iter_mut().zip(ids).enumerate() {
                let z = z0 + zx * (from + i) as f32;
                if z > *near {
                    *near = z;
                    *slot = id;
                }
            }
        }
        if left < right {
            let t = &mut self.touched;
            *t = [t[0].min(left), t[1].min(y0), t[2].max(right), t[3].max(y1 + 1)];
        }
    }

    /// Is anything in the buffer's rectangle of touched samples?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.touched[0] >= self.touched[2]
    }
}

/// The smallest whole number that isn't smaller, of what isn't negative.
#[inline]
fn ceil(x: f32) -> i32 {
    let whole = x as i32;
    whole + i32::from((whole as f32) < x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn a_fan_leaves_no_crack_and_no_overlap_matters() {
        let mut random = Random::new(1, &[]);
        let mut samples = Samples::default();
        for _ in 0..50 {
            samples.clear(64, 64, 0.0);
            let middle = Vec3::new(random.range(20.0, 44.0), random.range(20.0, 44.0), 1.0);
            let ring: Vec<Vec3> = (0..9)
                .map(|i| {
                    let t = i as f32 / 9.0 * std::f32::consts::TAU;
                    Vec3::new(32.0 + 300.0 * t.cos(), 32.0 + 300.0 * t.sin(), 1.0)
                })
                .collect();
            for i in 0..9 {
                samples.triangle([middle, ring[(i + 1) % 9], ring[i]], i as u32, true);
            }
            assert!(samples.id.iter().all(|id| *id != NOTHING));
        }
    }

    #[test]
    fn the_nearer_wins_and_backs_are_culled() {
        let mut samples = Samples::default();
        samples.clear(8, 8, 0.0);
        let t = |z| [Vec3::new(0.0, 0.0, z), Vec3::new(0.0, 7.0, z), Vec3::new(7.0, 0.0, z)];
        samples.triangle(t(1.0), 1, true);
        samples.triangle(t(0.5), 2, true);
        assert_eq!(samples.id[0], 1);
        let back = [t(2.0)[0], t(2.0)[2], t(2.0)[1]];
        samples.triangle(back, 3, true);
        assert_eq!(samples.id[0], 1);
        samples.triangle(back, 3, false);
        assert_eq!(samples.id[0], 3);
        samples.clear(8, 8, 0.0);
        assert!(samples.is_empty() && samples.id.iter().all(|id| *id == NOTHING));
    }
}
