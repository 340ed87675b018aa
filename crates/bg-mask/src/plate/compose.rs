//! One plate from the window.

use super::entry::Entry;
use super::sample::mix_rows;
use super::sources::{Source, collect};
use super::{Invented, Plate, PlateBuilder, patch, pull};
use crate::error::Result;
use image::{GrayImage, RgbImage};
use rayon::prelude::*;
use std::ops::Range;

/// Width of the band around the hole where the seam is measured, in full pixels.
const BAND: f32 = 10.0;

/// Frame `t` without its hole, and what was invented for it where later frames are to build on that.
pub(super) fn plate(builder: &PlateBuilder, t: usize) -> Result<(Plate, Option<Invented>)> {
    let Some(target) = builder.entry(t) else {
        return Err(crate::Error::Frames { what: "the window", expected: format!("frame {t}"), got: 0 });
    };
    let Some(bounds) = bounds(&target.small_hole) else {
        return Ok((Plate { picture: target.picture.clone(), seen: 1.0, still: false }, None));
    };
    let scale = builder.scale;
    let sources = collect(builder, target, t, bounds);
    let mut picture = target.picture.clone();
    let missing = if sources.still {
        median(target, &sources.real, &mut picture, scale)
    } else {
        blend(target, &sources.real, &mut picture, scale)
    };
    // What no frame shows: taken from what was invented before, or invented now.
    let total = target.hole.iter().filter(|b| **b >= crate::THRESHOLD).count().max(1);
    let n_missing = missing.iter().filter(|b| **b > 0).count();
    let seen = 1.0 - n_missing as f32 / total as f32;
    let mut keep = None;
    if n_missing > 0 {
        let rest = carry(&missing, &sources.invented, &mut picture, scale);
        invent(&mut picture, &rest);
        let first = !builder.invented.iter().any(|i| i.frame + builder.window >= t);
        if first || t.is_multiple_of(builder.options.source_every) {
            keep = Some(Invented { frame: t, picture: picture.clone(), depth: depth_of(&missing, scale) });
        }
    }
    Ok((Plate { picture, seen, still: sources.still }, keep))
}

/// Left, top, right and bottom of a mask, the last two exclusive.
fn bounds(mask: &GrayImage) -> Option<[u32; 4]> {
    let mut found: Option<[u32; 4]> = None;
    for (x, y, p) in mask.enumerate_pixels() {
        if p[0] >= crate::THRESHOLD {
            let [l, t, r, b] = found.unwrap_or([x, y, x + 1, y + 1]);
            found = Some([l.min(x), t.min(y), r.max(x + 1), b.max(y + 1)]);
        }
    }
    found
}

/// Rows and columns of small pixels around a hole and its band, and the full pixels that belong to them.
struct Part {
    columns: Range<usize>,
    rows: Range<usize>,
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Part {
    /// Corners lie where the seam's pyramid has corners.
    fn around([left, top, right, bottom]: [u32; 4], target: &Entry, scale: usize) -> Self {
        let ([sw, sh], (w, h)) = (target.size(), target.picture.dimensions());
        let around = |low: u32, high: u32, n: usize| {
            let band = BAND as usize / scale + 2;
            let low = ((low as usize / scale).saturating_sub(band) / 32 * 32).min(n - 1);
            low..((high as usize).div_ceil(scale) + band).min(n).max(low + 1)
        };
        // The last small row and column take what is left over.
        let full = |small: &Range<usize>, n: usize, all: u32| {
            let end = if small.end == n { all as usize } else { small.end * scale };
            (small.start * scale, end - small.start * scale)
        };
        let (columns, rows) = (around(left, right, sw), around(top, bottom, sh));
        let ((left, width), (top, height)) = (full(&columns, sw, w), full(&rows, sh, h));
        Self { columns, rows, left, top, width, height }
    }

    /// The part of a mask.
    fn of(&self, mask: &GrayImage) -> Vec<u8> {
        let rows = mask.as_raw().chunks_exact(mask.width() as usize).skip(self.top).take(self.height);
        rows.flat_map(|row| &row[self.left..][..self.width]).copied().collect()
    }

    /// The number in the whole picture of a pixel of the part.
    fn whole(&self, i: usize, picture_width: u32) -> usize {
        (self.top + i / self.width) * picture_width as usize + self.left + i % self.width
    }

    /// The number of the small pixel that a pixel belongs to.
    fn cell(&self, i: usize, scale: usize) -> usize {
        let u = (i % self.width / scale).min(self.columns.len() - 1);
        (i / self.width / scale).min(self.rows.len() - 1) * self.columns.len() + u
    }
}

/// Fills the hole from moving sources and fits colours at the seam. Gives what is missing, 255.
fn blend(target: &Entry, sources: &[Source<'_>], picture: &mut RgbImage, scale: usize) -> GrayImage {
    let w = picture.width();
    let mut missing = GrayImage::new(w, picture.height());
    let Some(bounds) = bounds(&target.hole) else { return missing };
    let part = Part::around(bounds, target, scale);
    let hole = part.of(&target.hole);
    let distance = crate::distance::squared_distance_of_rows(&hole, part.width, BAND);
    let mut colors: Vec<Option<[f32; 3]>> = vec![None; distance.len()];
    let row_chunks = chunks_of_small_rows(&mut colors, part.width * scale, part.rows.len());
    row_chunks.into_par_iter().enumerate().for_each(|(n, colors)| {
        let from = n * scale * part.width;
        let distance = &distance[from..from + colors.len()];
        if distance.iter().all(|d| *d > BAND * BAND) {
            return;
        }
        let first = [part.columns.start, part.rows.start + n];
        mix_rows(sources, scale, first, part.width, colors, |i| {
            // In the band, every other pixel of every other row says enough.
            let at = [part.left + i % part.width, part.top + n * scale + i / part.width];
            let alternate = at.iter().all(|v| v.is_multiple_of(2));
            distance[i] == 0.0 || (distance[i] <= BAND * BAND && alternate)
        });
    });
    // The seam: what the sources miss around the hole, carried smoothly into it.
    let mut seam = vec![[0.0_f32; 4]; part.columns.len() * part.rows.len()];
    let found = colors.iter().enumerate().filter_map(|(i, c)| Some((i, (*c)?)));
    for (i, color) in found.filter(|(i, _)| hole[*i] < crate::THRESHOLD) {
        let real = &picture.as_raw()[3 * part.whole(i, w)..][..3];
        let difference: [f32; 3] = [0, 1, 2].map(|k| f32::from(real[k]) - color[k]);
        if difference.iter().all(|d| d.abs() < 40.0) {
            let cell = &mut seam[part.cell(i, scale)];
            (0..3).for_each(|k| cell[k] += 0.25 * difference[k]);
            cell[3] += 0.25;
        }
    }
    let seam = pull::fill(&seam, part.columns.len(), part.rows.len());
    for i in (0..colors.len()).filter(|i| hole[*i] >= crate::THRESHOLD) {
        let at = part.whole(i, w);
        let Some(color) = colors[i] else {
            missing.as_mut()[at] = 255;
            continue;
        };
        let add = seam[part.cell(i, scale)];
        let pixel = &mut picture.as_mut()[3 * at..][..3];
        for k in 0..3 {
            pixel[k] = (color[k] + add[k] + 0.5).clamp(0.0, 255.0) as u8;
        }
    }
    missing
}

/// Splits rows into those of each small row; the last one takes what is left over.
fn chunks_of_small_rows<T>(mut rows: &mut [T], each: usize, n: usize) -> Vec<&mut [T]> {
    let mut chunks = Vec::with_capacity(n);
    for _ in 1..n {
        let (chunk, rest) = rows.split_at_mut(each.min(rows.len()));
        chunks.push(chunk);
        rows = rest;
    }
    chunks.push(rows);
    chunks
}

/// Fills the hole with the median over all sources that see a pixel, without moving anything. Gives what is missing, 255.
fn median(target: &Entry, sources: &[Source<'_>], picture: &mut RgbImage, scale: usize) -> GrayImage {
    let w = picture.width() as usize;
    let mut missing = GrayImage::new(picture.width(), picture.height());
    let rows = picture.par_chunks_mut(w * 3).zip(missing.par_chunks_mut(w)).enumerate();
    rows.for_each(|(y, (row, missing))| {
        let mut values: [Vec<u8>; 3] = Default::default();
        for x in 0..w {
            if target.hole.as_raw()[y * w + x] < crate::THRESHOLD {
                continue;
            }
            values.iter_mut().for_each(Vec::clear);
            let at = [x / scale, y / scale];
            for source in sources {
                let [sw, sh] = source.size;
                if source.depth[at[1].min(sh - 1) * sw + at[0].min(sw - 1)] > 1.0 {
                    let p = source.picture.get_pixel(x as u32, y as u32);
                    (0..3).for_each(|k| values[k].push(p[k]));
                }
            }
            if values[0].is_empty() {
                missing[x] = 255;
                continue;
            }
            for k in 0..3 {
                let middle = values[k].len() / 2;
                row[3 * x + k] = *values[k].select_nth_unstable(middle).1;
            }
        }
    });
    missing
}

/// Takes what was invented in earlier frames; gives what is still missing.
fn carry(missing: &GrayImage, invented: &[Source<'_>], picture: &mut RgbImage, scale: usize) -> GrayImage {
    let mut rest = missing.clone();
    if invented.is_empty() {
        return rest;
    }
    let (w, sh) = (picture.width() as usize, picture.height() as usize / scale);
    let rows = chunks_of_small_rows(picture.as_mut(), w * 3 * scale, sh);
    let rest_rows = chunks_of_small_rows(rest.as_mut(), w * scale, sh);
    rows.into_par_iter().zip(rest_rows).enumerate().for_each(|(v, (row, rest))| {
        if rest.iter().all(|b| *b == 0) {
            return;
        }
        let mut colors = vec![None; rest.len()];
        mix_rows(invented, scale, [0, v], w, &mut colors, |i| rest[i] > 0);
        for (i, color) in colors.iter().enumerate().filter_map(|(i, c)| Some((i, (*c)?))) {
            (0..3).for_each(|k| row[3 * i + k] = (color[k] + 0.5).clamp(0.0, 255.0) as u8);
            rest[i] = 0;
        }
    });
    rest
}

/// How deep in a full-size mask each small pixel lies, in small pixels; 0 outside, a little more than that inside.
fn depth_of(mask: &GrayImage, scale: usize) -> Vec<f32> {
    let small = super::gray::reduced_mask(mask, scale);
    let mut outside = small;
    outside.iter_mut().for_each(|b| *b = 255 - *b);
    crate::distance::squared_distance(&outside)
        .into_iter()
        .map(|d| if d > 0.0 { d.sqrt().min(255.0) + 1.0 } else { 0.0 })
        .collect()
}

/// Fills what is left from its surroundings.
fn invent(picture: &mut RgbImage, rest: &GrayImage) {
    let Some([l, t, r, b]) = bounds(rest) else { return };
    let margin = ((r - l).max(b - t) / 2).clamp(48, 240);
    let (l, t) = (l.saturating_sub(margin), t.saturating_sub(margin));
    let (r, b) = ((r + margin).min(picture.width()), (b + margin).min(picture.height()));
    let mut part = image::imageops::crop_imm(picture, l, t, r - l, b - t).to_image();
    let hole = image::imageops::crop_imm(rest, l, t, r - l, b - t).to_image();
    patch::fill(&mut part, &hole);
    image::imageops::replace(picture, &part, i64::from(l), i64::from(t));
}
