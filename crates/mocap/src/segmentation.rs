//! Which pixels are a person's, as the networks see it.

use crate::landmarks::SIZE;
use crate::region::Region;
use image::GrayImage;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Probabilities over a region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segmentation {
    /// What was looked at.
    pub region: Region,
    /// `[256, 256]` how likely each sample of the region is a person's, 0 to 255.
    #[serde(skip)]
    pub likely: Vec<u8>,
}

/// What the networks say about a person's pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Of the network that saw the person's landmarks: this person alone, mostly.
    pub own: Segmentation,
    /// Of the network that knows no persons: anybody.
    pub anybody: Segmentation,
}

impl Segmentation {
    /// Samples along each side.
    pub const SIDE: usize = SIZE;

    pub(crate) fn new(region: Region, likely: &[f32]) -> Self {
        Self { region, likely: likely.iter().map(|v| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8).collect() }
    }

    /// The probabilities at a picture's size, `reduced` times smaller (whole numbers of pixels), bilinearly; 0 outside of the
    /// region.
    #[must_use]
    pub fn spread(&self, (width, height): (u32, u32), reduced: u32) -> GrayImage {
        let (w, h) = (width.div_ceil(reduced), height.div_ceil(reduced));
        let mut out = GrayImage::new(w, h);
        if self.likely.len() != SIZE * SIZE {
            return out;
        }
        let [left, top, right, bottom] = self.region.bounds(width, height).map(|v| v / reduced);
        let (right, bottom) = ((right + 1).min(w), (bottom + 1).min(h));
        let n = SIZE as f32;
        let [origin, across, down] = self.region.inverse_frame();
        let step = reduced as f32;
        let rows = out.par_chunks_mut(w as usize).enumerate().skip(top as usize);
        rows.take(bottom.saturating_sub(top) as usize).for_each(|(y, row)| {
            let y = (y as f32 + 0.5) * step;
            let start = [0, 1].map(|k| origin[k] + down[k] * y);
            for x in left..right {
                let x_at = (x as f32 + 0.5) * step;
                let at = [0, 1].map(|k| start[k] + across[k] * x_at);
                if !at.iter().all(|v| (0.0..1.0).contains(v)) {
                    continue;
                }
                let [u, v] = at.map(|v| (v * n - 0.5).clamp(0.0, n - 1.001));
                let (x0, y0) = (u as usize, v as usize);
                let (fx, fy) = (u - x0 as f32, v - y0 as f32);
                let i = y0 * SIZE + x0;
                let value = |i: usize| f32::from(self.likely[i]);
                let upper = value(i) + (value(i + 1) - value(i)) * fx;
                let lower = value(i + SIZE) + (value(i + SIZE + 1) - value(i + SIZE)) * fx;
                row[x as usize] = (upper + (lower - upper) * fy + 0.5) as u8;
            }
        });
        out
    }
}

impl Evidence {
    /// How likely each pixel of the picture is a person's, by the network that is surer, 0 to 255; for someone who is alone.
    #[must_use]
    pub fn matte(&self, size: (u32, u32)) -> GrayImage {
        let mut matte = self.own.spread(size, 1);
        let anybody = self.anybody.spread(size, 1);
        matte.iter_mut().zip(anybody.iter()).for_each(|(own, any)| *own = (*own).max(*any));
        matte
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_spread_over_its_place() {
        let region = Region { centre: [40.0, 30.0], size: 20.0, angle: 0.0 };
        let mut likely = vec![0.0; SIZE * SIZE];
        for (i, v) in likely.iter_mut().enumerate() {
            *v = if i % SIZE < SIZE / 2 { 1.0 } else { 0.0 };
        }
        let found = Segmentation::new(region, &likely);
        let whole = found.spread((80, 60), 1);
        let at = |x, y| whole.get_pixel(x, y)[0];
        assert_eq!((at(33, 30), at(47, 30), at(20, 30), at(33, 10)), (255, 0, 0, 0));
        let small = found.spread((80, 60), 4);
        assert_eq!(small.dimensions(), (20, 15));
        assert_eq!((small.get_pixel(8, 7)[0], small.get_pixel(11, 7)[0]), (255, 0));
    }
}
