//! Grey pictures of floating-point numbers, in pyramids.

use image::{GrayImage, RgbImage};
use rayon::prelude::*;

/// A grey picture; values 0..255.
#[derive(Clone, Debug)]
pub(super) struct Gray {
    pub width: usize,
    pub height: usize,
    pub data: Vec<f32>,
}

impl Gray {
    /// The luma of a picture, averaged over squares of `scale` pixels.
    pub(super) fn reduced(picture: &RgbImage, scale: usize) -> Self {
        let full = picture.width() as usize;
        let (width, height) = (full / scale, picture.height() as usize / scale);
        let bytes = picture.as_raw();
        let share = 1.0 / (scale * scale) as f32;
        let mut data = vec![0.0; width * height];
        data.par_chunks_mut(width.max(1)).enumerate().for_each(|(y, row)| {
            for (x, out) in row.iter_mut().enumerate() {
                let mut sum = [0_u32; 3];
                for v in 0..scale {
                    let from = ((y * scale + v) * full + x * scale) * 3;
                    for pixel in bytes[from..from + 3 * scale].as_chunks::<3>().0 {
                        sum.iter_mut().zip(pixel).for_each(|(s, b)| *s += u32::from(*b));
                    }
                }
                let [r, g, b] = sum.map(|s| s as f32);
                *out = (0.299 * r + 0.587 * g + 0.114 * b) * share;
            }
        });
        Self { width, height, data }
    }

    /// Half the size, averaged.
    fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let mut data = Vec::with_capacity(width * height);
        for y in 0..height {
            let upper = &self.data[2 * y * self.width..][..self.width];
            let lower = &self.data[(2 * y + 1) * self.width..][..self.width];
            for (a, b) in upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0) {
                data.push((a[0] + a[1] + b[0] + b[1]) * 0.25);
            }
        }
        Self { width, height, data }
    }

    /// This picture and smaller ones, each half as large as the one before.
    pub(super) fn pyramid(self, levels: usize) -> Vec<Self> {
        let mut all = vec![self];
        while all.len() < levels {
            let next = all[all.len() - 1].halved();
            if next.width < 16 || next.height < 16 {
                break;
            }
            all.push(next);
        }
        all
    }

    /// Bilinear; coordinates are those of pixel centres, clamped to the picture.
    pub(super) fn at(&self, x: f32, y: f32) -> f32 {
        let x = x.clamp(0.0, self.width as f32 - 1.001);
        let y = y.clamp(0.0, self.height as f32 - 1.001);
        self.between(x, y)
    }

    /// Bilinear, for coordinates that lie inside.
    fn between(&self, x: f32, y: f32) -> f32 {
        // To small integers, which is one instruction.
        let (x0, y0) = (x as i32, y as i32);
        let (fx, fy) = (x - x0 as f32, y - y0 as f32);
        let upper = &self.data[y0 as usize * self.width + x0 as usize..];
        let lower = &upper[self.width..][..2];
        let between = |d: &[f32]| d[0] + (d[1] - d[0]) * fx;
        let (upper, lower) = (between(upper), between(lower));
        upper + (lower - upper) * fy
    }

    /// A square window of `N` pixels around a point, bilinear; clamped to the picture.
    pub(super) fn window<const N: usize>(&self, [x, y]: [f32; 2]) -> [f32; N] {
        const { assert!(N.isqrt() * N.isqrt() == N) };
        let side = N.isqrt();
        let radius = (side / 2) as f32;
        let mut out = [0.0; N];
        if !self.holds([x, y], radius + 1.0) {
            for (i, out) in out.iter_mut().enumerate() {
                *out = self.at(x + (i % side) as f32 - radius, y + (i / side) as f32 - radius);
            }
            return out;
        }
        // All pixels lie between others in the same way.
        let (left, top) = (x - radius, y - radius);
        let (x0, y0) = (left as usize, top as usize);
        let (fx, fy) = (left - x0 as f32, top - y0 as f32);
        for (j, line) in out.chunks_exact_mut(side).enumerate() {
            let upper = &self.data[(y0 + j) * self.width + x0..][..side + 1];
            let lower = &self.data[(y0 + j + 1) * self.width + x0..][..side + 1];
            for (i, out) in line.iter_mut().enumerate() {
                let a = upper[i] + (upper[i + 1] - upper[i]) * fx;
                let b = lower[i] + (lower[i + 1] - lower[i]) * fx;
                *out = a + (b - a) * fy;
            }
        }
        out
    }

    /// As [`Gray::window`], turned and scaled by `affine`.
    pub(super) fn turned_window<const N: usize>(&self, at: [f32; 2], affine: [[f32; 2]; 2]) -> [f32; N] {
        const { assert!(N.isqrt() * N.isqrt() == N) };
        let side = N.isqrt();
        let radius = (side / 2) as f32;
        let [[a, b], [c, d]] = affine;
        let reach = (a.abs() + b.abs()).max(c.abs() + d.abs()) * radius + 1.0;
        let inside = self.holds(at, reach);
        std::array::from_fn(|i| {
            let (u, v) = ((i % side) as f32 - radius, (i / side) as f32 - radius);
            let (x, y) = (at[0] + a * u + b * v, at[1] + c * u + d * v);
            if inside { self.between(x, y) } else { self.at(x, y) }
        })
    }

    /// Does a window of `radius` around a point lie inside?
    pub(super) fn holds(&self, [x, y]: [f32; 2], radius: f32) -> bool {
        x >= radius
            && y >= radius
            && x <= self.width as f32 - 1.0 - radius
            && y <= self.height as f32 - 1.0 - radius
    }
}

/// The middle one of values in any order, which are sorted around it; `None` of none.
pub(super) fn middle(values: &mut [f32]) -> Option<f32> {
    let at = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(at, f32::total_cmp).1)
}

/// A mask at the reduced size: 255 where any pixel of the square belongs to it.
pub(super) fn reduced_mask(mask: &GrayImage, scale: usize) -> GrayImage {
    let (width, height) = (mask.width() as usize / scale, mask.height() as usize / scale);
    let full = mask.width() as usize;
    let bytes = mask.as_raw();
    GrayImage::from_fn(width as u32, height as u32, |x, y| {
        let any = (0..scale).any(|v| {
            let from = (y as usize * scale + v) * full + x as usize * scale;
            bytes[from..from + scale].iter().any(|b| *b >= crate::THRESHOLD)
        });
        image::Luma([if any { 255 } else { 0 }])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_averaged() {
        let picture = RgbImage::from_fn(6, 4, |x, _| image::Rgb([if x < 3 { 30 } else { 90 }; 3]));
        let gray = Gray::reduced(&picture, 2);
        assert_eq!((gray.width, gray.height), (3, 2));
        assert!((gray.data[0] - 30.0).abs() < 1e-3 && (gray.data[1] - 60.0).abs() < 1e-3);
        assert!((gray.at(0.5, 0.0) - 45.0).abs() < 1e-3);
        let mask = GrayImage::from_fn(6, 4, |x, y| image::Luma([if (x, y) == (3, 1) { 255 } else { 0 }]));
        assert_eq!(reduced_mask(&mask, 2).as_raw(), &[0, 255, 0, 0, 0, 0]);
    }
}
