//! Shadow maps: depth seen from the sun, and how much of it reaches a point, with half-shadows that widen with distance.

use crate::noise::floor;
use crate::raster::Samples;
use glam::{Mat3, Vec3};

/// Depth seen from the sun over a square.
#[derive(Debug, Default)]
pub struct ShadowMap {
    depth: Samples,
    /// World to map: right, up and towards the sun.
    turn: Mat3,
    middle: Vec3,
    /// Texels a metre.
    scale: f32,
    size: usize,
}

/// What is behind everything.
const FAR: f32 = f32::NEG_INFINITY;

/// Where the search for what casts a shadow looks.
const SEARCH: [(f32, f32); 9] = [
    (0.0, 0.0),
    (-1.0, -0.5),
    (1.0, 0.5),
    (-0.5, 1.0),
    (0.5, -1.0),
    (-2.2, 0.9),
    (2.2, -0.9),
    (0.9, 2.2),
    (-0.9, -2.2),
];

/// Places of a disc of radius 2 over which shade is averaged.
const DISC: [(f32, f32); 13] = [
    (0.0, 0.0),
    (0.9, 0.3),
    (-0.3, 0.9),
    (-0.9, -0.3),
    (0.3, -0.9),
    (1.85, -0.5),
    (1.6, 1.1),
    (0.5, 1.85),
    (-1.1, 1.6),
    (-1.85, 0.5),
    (-1.6, -1.1),
    (-0.5, -1.85),
    (1.1, -1.6),
];

impl ShadowMap {
    /// Empties the map and puts it over `middle`, `reach` metres to each side.
    pub fn place(&mut self, sun: Vec3, middle: Vec3, reach: f32, size: usize) {
        let right = if sun.y.abs() > 0.99 { Vec3::X } else { Vec3::Y.cross(sun).normalize() };
        self.turn = Mat3::from_cols(right, sun.cross(right), sun).transpose();
        self.middle = middle;
        self.scale = size as f32 / (2.0 * reach);
        self.size = size;
        self.depth.clear(size, size, FAR);
    }

    #[inline]
    fn to_map(&self, p: Vec3) -> Vec3 {
        let q = self.turn * (p - self.middle);
        let half = self.size as f32 * 0.5;
        Vec3::new(q.x * self.scale + half, q.y * self.scale + half, q.z)
    }

    /// Draws triangles that cast shadow.
    pub fn draw(&mut self, vertices: &[Vec3], faces: &[[u32; 3]]) {
        let points: Vec<Vec3> = vertices.iter().map(|p| self.to_map(*p)).collect();
        for f in faces {
            self.depth.triangle(f.map(|v| points[v as usize]), 0, false);
        }
    }

    /// Share of the sun that reaches `p`: 1 where nothing is in between. `bias` is the distance below which nothing casts,
    /// `softness` the width of the half-shadow a metre behind what casts it.
    #[must_use]
    pub fn lit(&self, p: Vec3, bias: f32, softness: f32) -> f32 {
        if self.depth.is_empty() {
            return 1.0;
        }
        let q = self.to_map(p);
        let [x0, y0, x1, y1] = self.depth.touched;
        let margin = 0.5 * softness * self.scale * 2.0 + 2.0;
        if q.x < x0 as f32 - margin
            || q.y < y0 as f32 - margin
            || q.x > x1 as f32 + margin
            || q.y > y1 as f32 + margin
        {
            return 1.0;
        }
        let level = q.z + bias;
        // How far away is what casts the shadow here?
        let search = (0.4 * softness * self.scale).max(1.0);
        let (mut sum, mut count) = (0.0, 0);
        for (dx, dy) in SEARCH {
            let z = self.at(q.x + dx * search, q.y + dy * search);
            if z > level {
                sum += z - q.z;
                count += 1;
            }
        }
        if count == 0 {
            return 1.0 - self.tap(q.x, q.y, level);
        }
        if count == SEARCH.len() {
            return 0.0;
        }
        let gap = sum / count as f32;
        let radius = (0.5 * softness * gap * self.scale).clamp(0.75, 0.05 * self.size as f32);
        let step = radius * 0.5;
        let mut dark = 0.0;
        for (dx, dy) in DISC {
            dark += self.tap(q.x + dx * step, q.y + dy * step, level);
        }
        1.0 - dark / DISC.len() as f32
    }

    #[inline]
    fn at(&self, x: f32, y: f32) -> f32 {
        let (x, y) = ((x + 0.5) as i32, (y + 0.5) as i32);
        if x < 0 || y < 0 || x >= self.size as i32 || y >= self.size as i32 {
            return FAR;
        }
        self.depth.near[y as usize * self.size + x as usize]
    }

    /// Shade between four texels.
    #[inline]
    fn tap(&self, x: f32, y: f32, level: f32) -> f32 {
        let (fx, fy) = (floor(x), floor(y));
        let (ix, iy) = (fx as i32, fy as i32);
        if ix < 0 || iy < 0 || ix + 1 >= self.size as i32 || iy + 1 >= self.size as i32 {
            return 0.0;
        }
        let (fx, fy) = (x - fx, y - fy);
        let at = iy as usize * self.size + ix as usize;
        let n = &self.depth.near;
        let dark = |i: usize| if n[i] > level { 1.0_f32 } else { 0.0 };
        let (a, b) = (dark(at), dark(at + 1));
        let (c, d) = (dark(at + self.size), dark(at + self.size + 1));
        let (low, high) = (a + (b - a) * fx, c + (d - c) * fx);
        low + (high - low) * fy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lid_shades_what_is_below_it() {
        let mut map = ShadowMap::default();
        map.place(Vec3::Y, Vec3::ZERO, 2.0, 128);
        let v = |x, z| Vec3::new(x, 1.0, z);
        let corners = [v(-0.5, -0.5), v(0.5, -0.5), v(0.5, 0.5), v(-0.5, 0.5)];
        map.draw(&corners, &[[0, 1, 2], [0, 2, 3]]);
        assert_eq!(map.lit(Vec3::ZERO, 0.01, 0.02), 0.0);
        assert_eq!(map.lit(Vec3::new(1.5, 0.0, 0.0), 0.01, 0.02), 1.0);
        assert_eq!(map.lit(Vec3::new(0.0, 1.5, 0.0), 0.01, 0.02), 1.0);
        let edge = map.lit(Vec3::new(0.5, 0.0, 0.0), 0.01, 0.3);
        assert!((0.3..0.7).contains(&edge), "{edge}");
    }
}
