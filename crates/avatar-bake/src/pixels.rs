//! The picture as baking samples it: a pyramid of colours weighted by the eroded mask, and the soft mask itself.

use image::{GrayImage, RgbImage};

/// A mask with values from 0 to 1. Places are pixel indices: the centre of the first pixel is (0, 0).
#[derive(Debug)]
pub(crate) struct Mask {
    pub(crate) width: usize,
    pub(crate) height: usize,
    values: Vec<f32>,
}

impl Mask {
    pub(crate) fn new(mask: &GrayImage) -> Self {
        let (width, height) = (mask.width() as usize, mask.height() as usize);
        let values = mask.as_raw().iter().map(|m| f32::from(*m) / 255.0).collect();
        Self { width, height, values }
    }

    /// The value at a place, linear between pixels; `None` outside of the picture.
    pub(crate) fn at(&self, [x, y]: [f32; 2]) -> Option<f32> {
        let inside = |c: f32, n: usize| (-0.5..=n as f32 - 0.5).contains(&c);
        if !(inside(x, self.width) && inside(y, self.height)) {
            return None;
        }
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = (x - x0, y - y0);
        let clamp = |c: f32, n: usize| (c.max(0.0) as usize).min(n - 1);
        let get = |x: f32, y: f32| self.values[clamp(y, self.height) * self.width + clamp(x, self.width)];
        let row = |y: f32| get(x0, y) * (1.0 - fx) + get(x0 + 1.0, y) * fx;
        Some(row(y0) * (1.0 - fy) + row(y0 + 1.0) * fy)
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// The smallest value in a square of `2 · reach + 1` pixels around each pixel.
    pub(crate) fn eroded(&self, reach: usize) -> Vec<f32> {
        least(&self.values, self.width, self.height, reach)
    }
}

/// The smallest value in a square of `2 · reach + 1` pixels around each pixel; what lies outside doesn't count.
pub(crate) fn least(values: &[f32], width: usize, height: usize, reach: usize) -> Vec<f32> {
    if reach == 0 {
        return values.to_vec();
    }
    let mut across = vec![0.0; values.len()];
    for (row, out) in values.chunks_exact(width).zip(across.chunks_exact_mut(width)) {
        for (x, out) in out.iter_mut().enumerate() {
            let part = &row[x.saturating_sub(reach)..(x + reach + 1).min(width)];
            *out = part.iter().copied().fold(f32::INFINITY, f32::min);
        }
    }
    let mut out = vec![f32::INFINITY; values.len()];
    for (y, out) in out.chunks_exact_mut(width).enumerate() {
        for from in y.saturating_sub(reach)..(y + reach + 1).min(height) {
            for (out, v) in out.iter_mut().zip(&across[from * width..(from + 1) * width]) {
                *out = out.min(*v);
            }
        }
    }
    out
}

/// Colour premultiplied by weight, and the weight.
type Texel = [f32; 4];

#[derive(Debug)]
struct Level {
    width: usize,
    height: usize,
    texels: Vec<Texel>,
}

/// Colours of the person at halving resolutions. Where a fine level has nothing (outside of the mask), the next coarser
/// one that has something answers, so that every place near the person has a colour of the person.
#[derive(Debug)]
pub(crate) struct Pyramid {
    levels: Vec<Level>,
}

/// A colour and how much of it is of the place that was asked for, 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) color: [f32; 3],
    pub(crate) coverage: f32,
}

/// Below this weight a level doesn't answer.
const ENOUGH: f32 = 0.25;

impl Pyramid {
    /// `weights` are `[H, W]`, 0 to 1.
    pub(crate) fn new(picture: &RgbImage, weights: &[f32]) -> Self {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let (pixels, _) = picture.as_raw().as_chunks::<3>();
        let texel = |(p, w): (&[u8; 3], &f32)| {
            let [r, g, b] = p.map(|c| f32::from(c) / 255.0 * w);
            [r, g, b, *w]
        };
        let mut levels =
            vec![Level { width, height, texels: pixels.iter().zip(weights).map(texel).collect() }];
        while let Some(next) = levels.last().and_then(Level::halved) {
            levels.push(next);
        }
        Self { levels }
    }

    /// The mean colour of a disc of `footprint` pixels across; `None` where even the coarsest level has nothing.
    pub(crate) fn at(&self, at: [f32; 2], footprint: f32) -> Option<Sample> {
        let wanted = footprint.max(1.0).log2();
        let (first, blend) = (wanted.floor() as usize, wanted.fract());
        let fine = self.levels.get(first).or(self.levels.last())?.at(at, first.min(self.levels.len() - 1));
        let coarse = match self.levels.get(first + 1) {
            Some(level) if blend > 0.0 => level.at(at, first + 1),
            _ => fine,
        };
        let mut sum: Texel = std::array::from_fn(|k| fine[k] + blend * (coarse[k] - fine[k]));
        let coverage = sum[3];
        for (number, level) in self.levels.iter().enumerate().skip(first + 1) {
            if sum[3] >= ENOUGH {
                break;
            }
            sum = level.at(at, number);
        }
        (sum[3] > 1e-4).then(|| Sample { color: [sum[0], sum[1], sum[2]].map(|c| c / sum[3]), coverage })
    }
}

impl Level {
    fn halved(&self) -> Option<Self> {
        if self.width.max(self.height) <= 2 {
            return None;
        }
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let mut texels = vec![[0.0; 4]; width * height];
        for (y, row) in self.texels.chunks_exact(self.width).enumerate() {
            let out = &mut texels[y / 2 * width..][..width];
            for (x, texel) in row.iter().enumerate() {
                for (o, t) in out[x / 2].iter_mut().zip(texel) {
                    *o += 0.25 * t;
                }
            }
        }
        Some(Self { width, height, texels })
    }

    /// Linear between texels; a place is given in pixels of the finest level.
    fn at(&self, [x, y]: [f32; 2], number: usize) -> Texel {
        let scale = 0.5_f32.powi(number as i32);
        let (x, y) = ((x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5);
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = (x - x0, y - y0);
        let clamp = |c: f32, n: usize| (c.max(0.0) as usize).min(n - 1);
        let [xs, ys] =
            [[x0, x0 + 1.0].map(|c| clamp(c, self.width)), [y0, y0 + 1.0].map(|c| clamp(c, self.height))];
        let get = |i: usize, j: usize| &self.texels[ys[j] * self.width + xs[i]];
        let (a, b, c, d) = (get(0, 0), get(1, 0), get(0, 1), get(1, 1));
        std::array::from_fn(|k| {
            let upper = a[k] + fx * (b[k] - a[k]);
            let lower = c[k] + fx * (d[k] - c[k]);
            upper + fy * (lower - upper)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Luma, Rgb};

    #[test]
    fn the_mask_is_linear_between_pixels_and_ends_with_the_picture() {
        let mask = Mask::new(&GrayImage::from_fn(4, 2, |x, _| Luma([if x < 2 { 255 } else { 0 }])));
        assert_eq!(mask.at([1.0, 0.0]), Some(1.0));
        assert_eq!(mask.at([1.5, 0.3]), Some(0.5));
        assert_eq!(mask.at([-0.6, 0.0]), None);
        assert_eq!(mask.at([3.5, 1.5]), Some(0.0));
        assert_eq!(mask.eroded(1), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn places_off_the_person_get_a_colour_of_the_person() {
        let picture =
            RgbImage::from_fn(16, 16, |x, _| if x < 8 { Rgb([255, 0, 0]) } else { Rgb([0, 255, 0]) });
        let weights: Vec<f32> = (0..256).map(|i| if i % 16 < 8 { 1.0 } else { 0.0 }).collect();
        let pyramid = Pyramid::new(&picture, &weights);
        let on = pyramid.at([3.0, 8.0], 1.0).unwrap();
        assert_eq!((on.color, on.coverage), ([1.0, 0.0, 0.0], 1.0));
        let off = pyramid.at([10.0, 8.0], 1.0).unwrap();
        assert_eq!((off.color, off.coverage), ([1.0, 0.0, 0.0], 0.0));
        assert!(Pyramid::new(&picture, &[0.0; 256]).at([1.0, 1.0], 1.0).is_none());
    }
}
