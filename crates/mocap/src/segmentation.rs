//! Which pixels are a person's, as the networks see it.

use crate::landmarks::SIZE;
use crate::region::Region;
use image::GrayImage;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A network that sees the longer side of the picture in so few samples knows who is where, but not where they end; from so many on it is
/// taken at its word.
const COARSE: [f32; 2] = [80.0, 128.0];

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

    /// How much of a square around a place of the picture is somebody's, 0 to 1; `reach` is half its side in pixels.
    pub(crate) fn share(&self, place: [f32; 2], reach: f32) -> f32 {
        const STEPS: [f32; 5] = [-1.0, -0.5, 0.0, 0.5, 1.0];
        let places = STEPS.iter().flat_map(|u| STEPS.map(|v| [place[0] + u * reach, place[1] + v * reach]));
        let is_somebodys = |at: &[f32; 2]| between(&self.likely, self.region.from_picture(*at)) >= 128.0;
        places.filter(is_somebodys).count() as f32 / 25.0
    }

    /// Where a picture, whose longer side is `side` pixels, is a small part of the region, somebody's outline is that of `other`, which
    /// looked at the picture alone.
    #[must_use]
    pub(crate) fn refined_by(self, other: &Self, side: u32) -> Self {
        let samples = side as f32 / self.region.size * SIZE as f32;
        let word = ((samples - COARSE[0]) / (COARSE[1] - COARSE[0])).clamp(0.0, 1.0);
        if word >= 1.0 {
            return self;
        }
        let mut likely = vec![0_u8; SIZE * SIZE];
        likely.par_chunks_mut(SIZE).enumerate().for_each(|(y, row)| {
            for (x, out) in row.iter_mut().enumerate() {
                let at = other.region.to_picture([x, y].map(|v| (v as f32 + 0.5) / SIZE as f32));
                let own = between(&self.likely, self.region.from_picture(at));
                let both = own.min(f32::from(other.likely[y * SIZE + x]));
                *out = (both + (own - both) * word + 0.5) as u8;
            }
        });
        Self { region: other.region, likely }
    }

    /// The probabilities at a picture's size, `reduced` times smaller (whole numbers of pixels), bilinearly; 0 outside of the
    /// region.
    #[must_use]
    pub fn spread(&self, size: (u32, u32), reduced: u32) -> GrayImage {
        let (w, h) = (size.0.div_ceil(reduced), size.1.div_ceil(reduced));
        let mut out = GrayImage::new(w, h);
        let spread = Spread::new(self, size, reduced);
        let rows = out.par_chunks_mut(w as usize).enumerate().skip(spread.rows.start as usize);
        rows.take(spread.rows.len()).for_each(|(y, row)| {
            let line = spread.row(y as u32);
            line.columns.clone().for_each(|x| row[x as usize] = line.at(x));
        });
        out
    }
}

/// A region's probabilities as a picture's pixels see them, one by one.
#[derive(Clone, Debug)]
pub struct Spread<'a> {
    likely: &'a [u8],
    /// `(u, v)` of the picture's upper left corner in the region, and how they change from pixel to pixel.
    frame: [[f32; 2]; 3],
    step: f32,
    columns: Range<u32>,
    rows: Range<u32>,
}

impl<'a> Spread<'a> {
    /// For the pixels of a picture, `reduced` times smaller (whole numbers of pixels).
    #[must_use]
    pub fn new(of: &'a Segmentation, (width, height): (u32, u32), reduced: u32) -> Self {
        let (w, h) = (width.div_ceil(reduced), height.div_ceil(reduced));
        let [left, top, right, bottom] = of.region.bounds(width, height).map(|v| v / reduced);
        let is_known = of.likely.len() == SIZE * SIZE;
        let range = |low: u32, high: u32, n: u32| if is_known { low..(high + 1).min(n) } else { 0..0 };
        Self {
            likely: &of.likely,
            frame: of.region.inverse_frame(),
            step: reduced as f32,
            columns: range(left, right, w),
            rows: range(top, bottom, h),
        }
    }

    /// A row of pixels.
    #[must_use]
    pub fn row(&self, y: u32) -> SpreadRow<'_> {
        let [origin, across, down] = self.frame;
        let y_at = (y as f32 + 0.5) * self.step;
        SpreadRow {
            likely: self.likely,
            start: [0, 1].map(|k| origin[k] + down[k] * y_at),
            across,
            step: self.step,
            columns: if self.rows.contains(&y) { self.columns.clone() } else { 0..0 },
        }
    }
}

/// A row of a [`Spread`].
#[derive(Clone, Debug)]
pub struct SpreadRow<'a> {
    likely: &'a [u8],
    start: [f32; 2],
    across: [f32; 2],
    step: f32,
    columns: Range<u32>,
}

impl SpreadRow<'_> {
    /// How likely a pixel is a person's, bilinearly, 0 to 255; 0 outside of the region.
    #[inline]
    #[must_use]
    pub fn at(&self, x: u32) -> u8 {
        if !self.columns.contains(&x) {
            return 0;
        }
        let x_at = (x as f32 + 0.5) * self.step;
        let at = [0, 1].map(|k| self.start[k] + self.across[k] * x_at);
        (between(self.likely, at) + 0.5) as u8
    }
}

/// A region's probability at a place in it (0..1 across and down), bilinearly; 0 outside.
#[inline]
fn between(likely: &[u8], at: [f32; 2]) -> f32 {
    if !at.iter().all(|v| (0.0..1.0).contains(v)) {
        return 0.0;
    }
    let n = SIZE as f32;
    let [u, v] = at.map(|v| (v * n - 0.5).clamp(0.0, n - 1.001));
    // To a small integer first: that is one instruction.
    let (x0, y0) = (u as i32 as usize, v as i32 as usize);
    let (fx, fy) = (u - x0 as f32, v - y0 as f32);
    let value = |x: usize, y: usize| f32::from(likely[y * SIZE + x]);
    let upper = value(x0, y0) + (value(x0 + 1, y0) - value(x0, y0)) * fx;
    let lower = value(x0, y0 + 1) + (value(x0 + 1, y0 + 1) - value(x0, y0 + 1)) * fx;
    upper + (lower - upper) * fy
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
    fn a_coarse_outline_is_the_finer_networks() {
        // The left half of the picture is the person's, the right half somebody else's, and the finer network sees both to row 50.
        let of = |size: f32, is: &dyn Fn([f32; 2]) -> bool| {
            let region = Region { centre: [50.0, 50.0], size, angle: 0.0 };
            let samples = (0..SIZE * SIZE).map(|i| {
                let at = [i % SIZE, i / SIZE].map(|v| (v as f32 + 0.5) / SIZE as f32);
                f32::from(u8::from(is(region.to_picture(at))))
            });
            Segmentation::new(region, &samples.collect::<Vec<_>>())
        };
        let left = |[x, y]: [f32; 2]| x < 50.0 && y < 70.0;
        let fine = of(100.0, &|[_, y]| y < 50.0);
        let at = |seen: &Segmentation, x, y| seen.spread((100, 100), 1).get_pixel(x, y)[0];
        let coarse = of(400.0, &left).refined_by(&fine, 100);
        assert_eq!((at(&coarse, 20, 30), at(&coarse, 80, 30), at(&coarse, 20, 53)), (255, 0, 0));
        // Taken at its word where it sees enough.
        assert_eq!(at(&of(150.0, &left).refined_by(&fine, 100), 20, 60), 255);
    }

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
