//! A turned square of a picture: what a model looks at.

use image::RgbImage;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A square in a picture, turned about its centre.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// Its centre in pixels; (0, 0) is the picture's upper left corner, pixel centres lie at halves.
    pub centre: [f32; 2],
    /// Length of its sides in pixels.
    pub size: f32,
    /// Radians by which it is turned clockwise on the screen.
    pub angle: f32,
}

impl Region {
    /// The smallest upright square around a whole picture.
    #[must_use]
    pub fn around(width: u32, height: u32) -> Self {
        Self { centre: [width as f32 / 2.0, height as f32 / 2.0], size: width.max(height) as f32, angle: 0.0 }
    }

    /// The region around `centre` whose upright axis points from there to `top`.
    #[must_use]
    pub(crate) fn from_points(centre: [f32; 2], top: [f32; 2], scale: f32) -> Self {
        let (dx, dy) = (top[0] - centre[0], top[1] - centre[1]);
        let angle = dx.atan2(-dy);
        Self { centre, size: 2.0 * dx.hypot(dy) * scale, angle }
    }

    /// The smallest region of an angle around points, so many times as large as they need; its middle lies above theirs by a part of
    /// their longer side.
    #[must_use]
    pub(crate) fn spanning(points: impl Iterator<Item = [f32; 2]>, angle: f32, up: f32, scale: f32) -> Self {
        let (sin, cos) = angle.sin_cos();
        let (mut low, mut high) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
        for [x, y] in points {
            for (k, at) in [cos * x + sin * y, cos * y - sin * x].into_iter().enumerate() {
                (low[k], high[k]) = (low[k].min(at), high[k].max(at));
            }
        }
        let side = (high[0] - low[0]).max(high[1] - low[1]);
        let (x, y) = ((low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0 - up * side);
        Self { centre: [cos * x - sin * y, sin * x + cos * y], size: scale * side, angle }
    }

    /// How far apart the middles of two regions are, in pixels.
    #[must_use]
    pub(crate) fn apart(&self, other: &Self) -> f32 {
        let [dx, dy] = [0, 1].map(|k| self.centre[k] - other.centre[k]);
        dx.hypot(dy)
    }

    /// Is it a region that a model can be shown?
    #[must_use]
    pub(crate) fn is_usable(&self, width: u32, height: u32) -> bool {
        let numbers = [self.centre[0], self.centre[1], self.size, self.angle];
        let limit = 8.0 * width.max(height) as f32;
        numbers.iter().all(|v| v.is_finite())
            && self.size >= 8.0
            && self.size <= limit
            && self.centre.iter().all(|c| c.abs() <= limit)
    }

    /// The same region of a picture so many times as large.
    #[must_use]
    pub fn scaled(&self, by: f32) -> Self {
        Self { centre: self.centre.map(|v| v * by), size: self.size * by, angle: self.angle }
    }

    /// Where a point of the region (0..1 across and down) lies in the picture, in pixels.
    #[must_use]
    pub fn to_picture(&self, [u, v]: [f32; 2]) -> [f32; 2] {
        let (sin, cos) = self.angle.sin_cos();
        let (x, y) = ((u - 0.5) * self.size, (v - 0.5) * self.size);
        [self.centre[0] + cos * x - sin * y, self.centre[1] + sin * x + cos * y]
    }

    /// Where a point of the picture lies in the region.
    #[must_use]
    pub fn from_picture(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let (sin, cos) = self.angle.sin_cos();
        let (x, y) = (x - self.centre[0], y - self.centre[1]);
        [(cos * x + sin * y) / self.size + 0.5, (cos * y - sin * x) / self.size + 0.5]
    }

    /// About where the head of the one is whose region this is.
    pub(crate) fn head(&self) -> Self {
        const HEAD: f32 = 0.3;
        const FACE: f32 = 0.1;
        Self { centre: self.above(HEAD), size: FACE * self.size, ..*self }
    }

    /// The place that far above its middle, as part of its size.
    pub(crate) fn above(&self, part: f32) -> [f32; 2] {
        let (sin, cos) = self.angle.sin_cos();
        let up = part * self.size;
        [self.centre[0] + sin * up, self.centre[1] - cos * up]
    }

    /// `(u, v)` of the picture's upper left corner in the region, and how they change from pixel to pixel.
    pub(crate) fn inverse_frame(&self) -> [[f32; 2]; 3] {
        let origin = self.from_picture([0.0, 0.0]);
        let (sin, cos) = self.angle.sin_cos();
        [origin, [cos / self.size, -sin / self.size], [sin / self.size, cos / self.size]]
    }

    /// The region's upright bounding box in whole pixels of a picture: left, top, right, bottom, the last two exclusive.
    #[must_use]
    pub fn bounds(&self, width: u32, height: u32) -> [u32; 4] {
        let corners = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]].map(|c| self.to_picture(c));
        let low =
            |i: usize| corners.iter().map(|c| c[i]).fold(f32::INFINITY, f32::min).floor().max(0.0) as u32;
        let high = |i: usize| corners.iter().map(|c| c[i]).fold(0.0, f32::max).ceil().max(0.0) as u32;
        [low(0).min(width), low(1).min(height), high(0).min(width), high(1).min(height)]
    }

    /// Where the region's upper left corner lies in the picture, and the steps there that cross it and go down it.
    fn frame(&self) -> [[f32; 2]; 3] {
        let origin = self.to_picture([0.0, 0.0]);
        let step = |uv| {
            let to = self.to_picture(uv);
            [to[0] - origin[0], to[1] - origin[1]]
        };
        [origin, step([1.0, 0.0]), step([0.0, 1.0])]
    }

    /// The region as a picture of `n` × `n` pixels, `[n, n, 3]` with bytes mapped to `low..high`; black outside. Large
    /// regions are averaged, not just sampled.
    #[must_use]
    pub fn sample(&self, picture: &RgbImage, n: usize, low: f32, high: f32) -> Vec<f32> {
        let scale = (high - low) / 255.0;
        // As many taps a side as there are pixels under one sample.
        let taps = ((self.size / n as f32).round() as usize).clamp(1, 8);
        let share = 1.0 / (taps * taps) as f32;
        let [origin, across, down] = self.frame();
        let step = 1.0 / (n * taps) as f32;
        let middle = |tap: usize| (tap as f32 + 0.5) * step;
        // A tap lies where its column starts and as much further down as its row.
        let columns: Vec<[f32; 2]> =
            (0..n * taps).map(|tap| [0, 1].map(|k| origin[k] + across[k] * middle(tap))).collect();
        let mut out = vec![0.0; n * n * 3];
        out.par_chunks_mut(n * 3).enumerate().for_each(|(row, line)| {
            let rows: Vec<[f32; 2]> =
                (row * taps..(row + 1) * taps).map(|tap| down.map(|d| d * middle(tap))).collect();
            let pixels = line.as_chunks_mut::<3>().0;
            if taps == 1 {
                for (column, out) in columns.iter().zip(pixels) {
                    let mut sum = [0.0; 3];
                    add_between(picture, [0, 1].map(|k| column[k] + rows[0][k]), &mut sum);
                    *out = sum.map(|v| v * scale + low);
                }
                return;
            }
            // Taps as dense as pixels: the nearest one will do.
            let (width, height) = (picture.width() as f32, picture.height() as f32);
            let (stride, bytes) = (picture.width() as usize, picture.as_raw().as_chunks::<3>().0);
            let is_inside = |at: [f32; 2]| at[0] >= 0.0 && at[1] >= 0.0 && at[0] < width && at[1] < height;
            let add = |at: [f32; 2], sum: &mut [u32; 3]| {
                // To small integers first: that is one instruction.
                let [x, y] = at.map(|v| v as i32 as usize);
                let pixel = bytes[y * stride + x];
                sum.iter_mut().zip(pixel).for_each(|(sum, byte)| *sum += u32::from(byte));
            };
            let at = |column: &[f32; 2], row: &[f32; 2]| [column[0] + row[0], column[1] + row[1]];
            for (columns, out) in columns.chunks_exact(taps).zip(pixels) {
                let mut sum = [0_u32; 3];
                let last = taps - 1;
                // Where its corners lie inside, all taps of a sample do.
                let corners = [(0, 0), (0, last), (last, 0), (last, last)];
                if corners.iter().all(|(u, v)| is_inside(at(&columns[*u], &rows[*v]))) {
                    rows.iter()
                        .for_each(|row| columns.iter().for_each(|column| add(at(column, row), &mut sum)));
                } else {
                    let all = rows.iter().flat_map(|row| columns.iter().map(move |column| at(column, row)));
                    all.filter(|at| is_inside(*at)).for_each(|at| add(at, &mut sum));
                }
                *out = sum.map(|v| v as f32 * share * scale + low);
            }
        });
        out
    }
}

/// Adds the pixel under a position; nothing outside of the picture.
fn add_nearest(picture: &RgbImage, [x, y]: [f32; 2], sum: &mut [f32; 3]) {
    let (w, h) = picture.dimensions();
    if x >= 0.0 && y >= 0.0 && x < w as f32 && y < h as f32 {
        let at = (y as i32 as usize * w as usize + x as i32 as usize) * 3;
        if let Some(pixel) = picture.as_raw().get(at..at + 3) {
            sum.iter_mut().zip(pixel).for_each(|(sum, byte)| *sum += f32::from(*byte));
        }
    }
}

/// Adds the colour at a position, bilinear between pixel centres; black outside of the picture.
fn add_between(picture: &RgbImage, at: [f32; 2], sum: &mut [f32; 3]) {
    let [x, y] = at.map(|v| v - 0.5);
    let (x0, y0) = (x.floor(), y.floor());
    let (fx, fy) = (x - x0, y - y0);
    for (dx, dy) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
        let weight = (1.0 - (fx - dx).abs()) * (1.0 - (fy - dy).abs());
        let mut pixel = [0.0; 3];
        add_nearest(picture, [x0 + dx + 0.5, y0 + dy + 0.5], &mut pixel);
        sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += weight * value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let region = Region { centre: [40.0, 30.0], size: 20.0, angle: 0.7 };
        let p = region.to_picture([0.2, 0.9]);
        let back = region.from_picture(p);
        assert!((back[0] - 0.2).abs() < 1e-5 && (back[1] - 0.9).abs() < 1e-5);
    }

    #[test]
    fn up_is_up() {
        let upright = Region::from_points([5.0, 9.0], [5.0, 4.0], 1.0);
        assert_eq!((upright.angle, upright.size), (0.0, 10.0));
        // Lying with the head to the right: turned clockwise by a quarter; the region's top is at the right.
        let lying = Region::from_points([5.0, 9.0], [10.0, 9.0], 1.0);
        let top = lying.to_picture([0.5, 0.0]);
        assert!((top[0] - 10.0).abs() < 1e-4 && (top[1] - 9.0).abs() < 1e-4, "{top:?}");
    }

    #[test]
    fn a_region_is_averaged() {
        let checks =
            RgbImage::from_fn(64, 64, |x, y| image::Rgb([if (x + y) % 2 == 0 { 255 } else { 0 }; 3]));
        let small = Region::around(64, 64).sample(&checks, 8, 0.0, 1.0);
        assert!(small.iter().all(|v| (v - 0.5).abs() < 0.02));
        let whole = Region::around(64, 64).sample(&checks, 64, 0.0, 1.0);
        assert_eq!((whole[0], whole[3]), (1.0, 0.0));
    }
}
