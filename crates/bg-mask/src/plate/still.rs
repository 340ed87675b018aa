//! A hole before a camera that stands still: the median over time, without the seams that changes of light leave in it.

use super::compose::bounds;
use super::entry::Entry;
use super::gray::middle;
use super::settle::Seams;
use super::sources::Source;
use image::{GrayImage, RgbImage};
use rayon::prelude::*;

/// Steps at the edge of a hole above this are edges of things, or somebody's shadow.
pub(super) const MAX_STEP: f32 = 40.0;

/// The pixels beside one on four sides, within a picture.
pub(super) fn beside([x, y]: [usize; 2], [w, h]: [usize; 2]) -> impl Iterator<Item = [usize; 2]> {
    let around = [[x + 1, y], [x.wrapping_sub(1), y], [x, y + 1], [x, y.wrapping_sub(1)]];
    around.into_iter().filter(move |[x, y]| *x < w && *y < h)
}

/// What sources show at the places where they are.
struct Places<'a> {
    sources: &'a [Source<'a>],
    hole: &'a GrayImage,
    scale: usize,
}

impl Places<'_> {
    fn in_hole(&self, [x, y]: [usize; 2]) -> bool {
        self.hole.as_raw()[y * self.hole.width() as usize + x] >= crate::THRESHOLD
    }

    fn sees(&self, source: &Source<'_>, [x, y]: [usize; 2]) -> bool {
        let [w, h] = source.size;
        source.depth[(y / self.scale).min(h - 1) * w + (x / self.scale).min(w - 1)] > 1.0
    }

    fn color(&self, source: &Source<'_>, [x, y]: [usize; 2]) -> [f32; 3] {
        let at = &source.picture.as_raw()[3 * (y * self.hole.width() as usize + x)..];
        [0, 1, 2].map(|k| f32::from(at[k]) + source.offset[k])
    }

    /// Which sources see a place, a bit each (beyond 63 they share one), and the median of their colours. `values` is room to work in.
    fn median(&self, at: [usize; 2], values: &mut [Vec<f32>; 3]) -> (u64, Option<[f32; 3]>) {
        values.iter_mut().for_each(Vec::clear);
        let mut who = 0;
        for (n, source) in self.sources.iter().enumerate().filter(|(_, source)| self.sees(source, at)) {
            who |= 1 << n.min(63);
            values.iter_mut().zip(self.color(source, at)).for_each(|(values, v)| values.push(v));
        }
        (who, middles(values))
    }

    /// By how much colours rise from one place to another, in the middle of those sources that see both.
    fn step(&self, from: [usize; 2], to: [usize; 2], values: &mut [Vec<f32>; 3]) -> Option<[f32; 3]> {
        values.iter_mut().for_each(Vec::clear);
        for source in self.sources.iter().filter(|source| self.sees(source, from) && self.sees(source, to)) {
            let (from, to) = (self.color(source, from), self.color(source, to));
            (0..3).for_each(|k| values[k].push(to[k] - from[k]));
        }
        middles(values)
    }
}

/// Fills the hole with the median over all sources that see a pixel, without moving anything. Where pixels beside each other are
/// seen by different ones, or lie beside the picture, the step between them is what those say that see both. Gives what is
/// missing, 255.
pub(super) fn median(
    target: &Entry,
    sources: &[Source<'_>],
    picture: &mut RgbImage,
    scale: usize,
) -> GrayImage {
    let [w, h] = [picture.width(), picture.height()].map(|n| n as usize);
    let mut missing = GrayImage::new(picture.width(), picture.height());
    let Some([left, top, right, bottom]) = bounds(&target.hole).map(|b| b.map(|v| v as usize)) else {
        return missing;
    };
    let (width, height) = (right - left, bottom - top);
    let places = Places { sources, hole: &target.hole, scale };
    // By pixel of the hole's part: which sources see it, and the median.
    let mut filled = vec![(0_u64, [0.0_f32; 3]); width * height];
    let rows = filled.par_chunks_mut(width).zip(missing.par_chunks_mut(w).skip(top)).enumerate();
    rows.for_each(|(v, (row, missing))| {
        let mut values = Default::default();
        for (u, filled) in row.iter_mut().enumerate().filter(|(u, _)| places.in_hole([left + u, top + v])) {
            match places.median([left + u, top + v], &mut values) {
                (who, Some(color)) => *filled = (who, color),
                (_, None) => missing[left + u] = 255,
            }
        }
    });
    let mut seams = Seams::new(width, height);
    let mut values = Default::default();
    for i in (0..filled.len()).filter(|i| filled[*i].0 != 0) {
        let at = [left + i % width, top + i / width];
        let (who, color) = filled[i];
        for (side, to) in [[at[0] + 1, at[1]], [at[0], at[1] + 1]].into_iter().enumerate() {
            if to[0] >= right || to[1] >= bottom || !places.in_hole(to) {
                continue;
            }
            let (other, there) = filled[i + [1, width][side]];
            if other == who {
                seams.tie(i, side, [0.0; 3]);
            } else if other != 0 {
                let step = places.step(at, to, &mut values).unwrap_or_default();
                seams.tie(i, side, [0, 1, 2].map(|k| step[k] - (there[k] - color[k])));
            }
        }
        for to in beside(at, [w, h]).filter(|to| !places.in_hole(*to)) {
            let Some(step) = places.step(at, to, &mut values) else { continue };
            let real = &picture.as_raw()[3 * (to[1] * w + to[0])..];
            let add = [0, 1, 2].map(|k| f32::from(real[k]) - step[k] - color[k]);
            if add.iter().all(|v| v.abs() < MAX_STEP) {
                seams.hold(i, add);
            }
        }
    }
    for (i, add) in seams.settle().into_iter().enumerate().filter(|(i, _)| filled[*i].0 != 0) {
        let pixel = picture.get_pixel_mut((left + i % width) as u32, (top + i / width) as u32);
        for k in 0..3 {
            pixel[k] = (filled[i].1[k] + add[k] + 0.5).clamp(0.0, 255.0) as u8;
        }
    }
    missing
}

/// The middle one of each channel's values, if there are any.
fn middles(values: &mut [Vec<f32>; 3]) -> Option<[f32; 3]> {
    let [r, g, b] = values.each_mut().map(|values| middle(values));
    Some([r?, g?, b?])
}
