//! `RESIZE_BILINEAR`.

use super::picture;
use crate::buffers;
use crate::error::{Error, Result};
use crate::flat::{Table, check};
use crate::schema::MAX_ELEMENTS;
use rayon::prelude::*;

const NAME: &str = "RESIZE_BILINEAR";

#[derive(Debug)]
pub(crate) struct Resize {
    input: [usize; 2],
    output: [usize; 2],
    channels: usize,
    align_corners: bool,
    half_pixel: bool,
}

impl Resize {
    pub(crate) fn new(options: &Table<'_>, input: &[usize], size: &[i32]) -> Result<Self> {
        let (from, channels) = picture(NAME, input)?;
        let &[h, w] = size else {
            return Err(Error::Unsupported { operator: NAME, why: format!("a size of {size:?}") });
        };
        let to = [h, w].map(|n| usize::try_from(n).unwrap_or(0));
        if to.contains(&0) {
            return Err(Error::Unsupported { operator: NAME, why: format!("a size of {size:?}") });
        }
        check("a resized picture", to[0].saturating_mul(to[1]).saturating_mul(channels), MAX_ELEMENTS)?;
        let (align_corners, half_pixel) = (options.bool(2)?, options.bool(3)?);
        Ok(Self { input: from, output: to, channels, align_corners, half_pixel })
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        vec![1, self.output[0], self.output[1], self.channels]
    }

    /// Along axis `i`: the two samples that output `o` lies between, and the weight of the second.
    fn between(&self, i: usize, o: usize) -> (usize, usize, f32) {
        let (n, m) = (self.input[i], self.output[i]);
        let scale =
            if self.align_corners && m > 1 { (n - 1) as f32 / (m - 1) as f32 } else { n as f32 / m as f32 };
        let at = if self.half_pixel { (o as f32 + 0.5) * scale - 0.5 } else { o as f32 * scale };
        let low = at.floor().max(0.0);
        let first = (low as usize).min(n - 1);
        (first, (at.ceil().max(0.0) as usize).min(n - 1), (at - low).clamp(0.0, 1.0))
    }

    pub(crate) fn run(&self, x: &[f32]) -> Vec<f32> {
        let (c, [_, iw], [oh, ow]) = (self.channels, self.input, self.output);
        let columns: Vec<_> = (0..ow).map(|o| self.between(1, o)).collect();
        let mut out = buffers::take(oh * ow * c);
        out.par_chunks_mut((ow * c).max(1)).enumerate().for_each(|(oy, line)| {
            let (y0, y1, fy) = self.between(0, oy);
            for (pixel, &(x0, x1, fx)) in line.chunks_exact_mut(c.max(1)).zip(&columns) {
                let at = |y: usize, x_: usize| &x[(y * iw + x_) * c..][..c];
                let (upper, lower) = (at(y0, x0).iter().zip(at(y0, x1)), at(y1, x0).iter().zip(at(y1, x1)));
                let weights = [(1.0 - fy) * (1.0 - fx), (1.0 - fy) * fx, fy * (1.0 - fx), fy * fx];
                for ((o, (a, b)), (d, e)) in pixel.iter_mut().zip(upper).zip(lower) {
                    *o = a * weights[0] + b * weights[1] + d * weights[2] + e * weights[3];
                }
            }
        });
        out
    }
}
