//! One plate from the window.

use super::entry::Entry;
use super::sample::mix_rows;
use super::sources::{Source, collect};
use super::still::{MAX_STEP, beside, median};
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
        invent(&mut picture, &rest, target, scale);
        fit_in(&mut picture, &missing, scale);
        let first = !builder.invented.iter().any(|i| i.frame + builder.window >= t);
        if first || t.is_multiple_of(builder.options.source_every) {
            keep = Some(Invented { frame: t, picture: picture.clone(), depth: depth_of(&missing, scale) });
        }
    }
    Ok((Plate { picture, seen, still: sources.still }, keep))
}

/// Left, top, right and bottom of a mask, the last two exclusive.
pub(super) fn bounds(mask: &GrayImage) -> Option<[u32; 4]> {
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
        if difference.iter().all(|d| d.abs() < MAX_STEP) {
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

/// How much a pixel beside what was invented says by itself: little, since most of it is texture.
const LITTLE: f32 = 0.03;

/// Steps up to this aren't seen, and what is added for their sake would flicker.
const UNSEEN: f32 = 4.0;

/// Fits what was invented, perhaps in another light, to what lies around it: by how much it misses that at its edge, carried smoothly into
/// it.
fn fit_in(picture: &mut RgbImage, missing: &GrayImage, scale: usize) {
    let Some([left, top, right, bottom]) = bounds(missing).map(|b| b.map(|v| v as usize)) else { return };
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let (columns, rows) = ((right - left).div_ceil(scale), (bottom - top).div_ceil(scale));
    let is_missing = |x: usize, y: usize| missing.as_raw()[y * w + x] > 0;
    let mut misses = vec![[0.0_f32; 4]; columns * rows];
    for y in top..bottom {
        for x in (left..right).filter(|x| is_missing(*x, y)) {
            for [u, v] in beside([x, y], [w, h]).filter(|[u, v]| !is_missing(*u, *v)) {
                let of = |x: usize, y: usize| &picture.as_raw()[3 * (y * w + x)..][..3];
                let (here, there) = (of(x, y), of(u, v));
                let miss = [0, 1, 2].map(|k| f32::from(there[k]) - f32::from(here[k]));
                if miss.iter().all(|v| v.abs() < MAX_STEP) {
                    let cell = &mut misses[(y - top) / scale * columns + (x - left) / scale];
                    (0..3).for_each(|k| cell[k] += LITTLE * miss[k]);
                    cell[3] += LITTLE;
                }
            }
        }
    }
    let mut add = pull::fill(&misses, columns, rows);
    for v in add.iter_mut().flatten() {
        *v -= v.clamp(-UNSEEN, UNSEEN);
    }
    let lines = picture.as_mut().par_chunks_mut(3 * w).zip(missing.as_raw().par_chunks(w)).enumerate();
    lines.skip(top).take(bottom - top).for_each(|(y, (line, missing))| {
        for x in (left..right).filter(|x| missing[*x] > 0) {
            let add = add[(y - top) / scale * columns + (x - left) / scale];
            for (k, value) in line[3 * x..][..3].iter_mut().enumerate() {
                *value = (f32::from(*value) + add[k]).round().clamp(0.0, 255.0) as u8;
            }
        }
    });
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

/// Pixels beyond the hole that are filled with it where somebody else is.
const BESIDE: f32 = 16.0;

/// Fills what is left from its surroundings, of which nothing is taken that isn't background.
fn invent(picture: &mut RgbImage, rest: &GrayImage, target: &Entry, scale: usize) {
    let Some([l, t, r, b]) = bounds(rest) else { return };
    let margin = ((r - l).max(b - t) / 2).clamp(48, 240);
    let (l, t) = (l.saturating_sub(margin), t.saturating_sub(margin));
    let (r, b) = ((r + margin).min(picture.width()), (b + margin).min(picture.height()));
    let mut part = image::imageops::crop_imm(picture, l, t, r - l, b - t).to_image();
    let hole = image::imageops::crop_imm(rest, l, t, r - l, b - t).to_image();
    let [sw, sh] = target.size();
    let is_other = |x: u32, y: u32| {
        let at = [((l + x) as usize / scale).min(sw - 1), ((t + y) as usize / scale).min(sh - 1)];
        let at = at[1] * sw + at[0];
        target.clear[at] == 0.0 && target.small_hole.as_raw()[at] < crate::THRESHOLD
    };
    let mut others =
        GrayImage::from_fn(r - l, b - t, |x, y| image::Luma([if is_other(x, y) { 255 } else { 0 }]));
    // What goes on behind somebody who touches the hole is filled with it, and thrown away.
    let mut wide = hole.clone();
    if others.iter().any(|other| *other > 0) {
        let near = crate::distance::squared_distance_up_to(&hole, BESIDE);
        for ((wide, other), away) in wide.iter_mut().zip(others.iter_mut()).zip(near) {
            if *other > 0 && away <= BESIDE * BESIDE {
                (*wide, *other) = (255, 0);
            }
        }
    }
    patch::fill(&mut part, &wide, &others);
    for (x, y, pixel) in
        part.enumerate_pixels().filter(|(x, y, _)| hole.get_pixel(*x, *y)[0] >= crate::THRESHOLD)
    {
        picture.put_pixel(l + x, t + y, *pixel);
    }
}
