//! One plate from the window.

use super::entry::Entry;
use super::homography::Pair;
use super::warp::Warp;
use super::{Invented, Plate, PlateBuilder, patch, pull};
use crate::error::Result;
use image::{GrayImage, Rgb, RgbImage};
use rayon::prelude::*;

/// Small pixels between nodes of a plate's maps.
const STEP: f32 = 8.0;
/// Small pixels around the hole that maps are fitted to.
const RING: f32 = 48.0;
/// Small pixels over which corrections are smoothed.
const REACH: f32 = 40.0;
/// Frames after which a source counts e times less.
const FADE: f32 = 4.0;
/// Small pixels over which a source fades out towards its own hole.
const FEATHER: f32 = 5.0;
/// Width of the band around the hole where the seam is measured, in full pixels.
const BAND: f32 = 10.0;

/// A frame that sees behind the hole.
struct Source<'a> {
    picture: &'a RgbImage,
    /// From small positions of the plate to small positions of the source.
    warp: Warp,
    /// How much a small position of the source may be used, in small pixels from where it mustn't.
    depth: &'a [f32],
    size: [usize; 2],
    /// e to the minus distance in time.
    near: f32,
    /// Colour to be added.
    offset: [f32; 3],
}

impl Source<'_> {
    fn weight(&self, q: [f32; 2]) -> f32 {
        let [w, h] = self.size;
        if !(q[0] >= 0.5 && q[1] >= 0.5 && q[0] < w as f32 - 1.5 && q[1] < h as f32 - 1.5) {
            return 0.0;
        }
        // The nearest whole position; everything is positive.
        let [u, v] = q.map(|v| (v + 0.5) as usize);
        let depth = self.depth[v * w + u];
        let [u, v] = [u as f32, v as f32];
        // Towards the border of the picture as towards the hole.
        let border = u.min(v).min(w as f32 - 1.0 - u).min(h as f32 - 1.0 - v);
        ((depth - 1.0).min(border) / FEATHER).clamp(0.0, 1.0) * self.near
    }
}

pub(super) fn plate(builder: &mut PlateBuilder, t: usize) -> Result<Plate> {
    let Some(target) = builder.entry(t) else {
        return Err(crate::Error::Frames { what: "the window", expected: format!("frame {t}"), got: 0 });
    };
    let Some(bounds) = bounds(&target.small_hole) else {
        return Ok(Plate { picture: target.picture.clone(), seen: 1.0, still: false });
    };
    let scale = builder.scale;
    let (sources, invented, still) = collect(builder, target, t, bounds);
    let mut picture = target.picture.clone();
    let missing = if still {
        median(target, &sources, &mut picture, scale)
    } else {
        blend(target, &sources, &mut picture, scale)
    };
    // What no frame shows: taken from what was invented before, or invented now.
    let total = target.hole.iter().filter(|b| **b >= crate::THRESHOLD).count().max(1);
    let n_missing = missing.iter().filter(|b| **b > 0).count();
    let seen = 1.0 - n_missing as f32 / total as f32;
    let mut keep = None;
    if n_missing > 0 {
        let rest = carry(&missing, &invented, &mut picture, scale);
        invent(&mut picture, &rest);
        if t.is_multiple_of(builder.options.source_every) || builder.invented.is_empty() {
            keep = Some(Invented { frame: t, picture: picture.clone(), depth: depth_of(&missing, scale) });
        }
    }
    drop((sources, invented));
    if let Some(keep) = keep {
        builder.invented.push_back(keep);
    }
    Ok(Plate { picture, seen, still })
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

/// Sources before and after the plate's frame, what was invented before, and whether the camera stands still.
fn collect<'a>(
    builder: &'a PlateBuilder,
    target: &'a Entry,
    t: usize,
    bounds: [u32; 4],
) -> (Vec<Source<'a>>, Vec<Source<'a>>, bool) {
    let margin = 12.0;
    let [l, top, r, b] = bounds.map(|v| v as f32);
    let grid = Warp::identity([l - margin, top - margin, r + margin, b + margin], STEP);
    let inside: Vec<usize> =
        (0..grid.to.len()).filter(|i| target.clear_at(grid.node(*i)).abs() < 0.5).collect();
    let ring: Vec<[f32; 2]> = target
        .corners
        .iter()
        .copied()
        .filter(|p| {
            let near = target.clear_at(*p);
            (2.0..RING).contains(&near)
        })
        .collect();
    let (mut sources, mut invented) = (Vec::new(), Vec::new());
    let (mut reached, mut still) = (0, true);
    for forward in [true, false] {
        let mut warp = grid.clone();
        let mut covered = vec![0_u8; grid.to.len()];
        let mut last = None;
        for k in 1..=builder.window {
            let Some(s) = (if forward { Some(t + k) } else { t.checked_sub(k) }) else { break };
            let link = if forward {
                builder.entry(s - 1).and_then(|e| e.to_next.as_ref())
            } else {
                builder.entry(s + 1).and_then(|e| e.to_previous.as_ref())
            };
            let (Some(link), Some(entry)) = (link, builder.entry(s)) else { break };
            warp.then(link);
            reached += 1;
            last = Some(entry);
            still &= builder.entry(if forward { s - 1 } else { s }).is_some_and(|e| e.still_next);
            if !s.is_multiple_of(builder.options.source_every) {
                continue;
            }
            let near = (-(k as f32) / FADE).exp();
            if let Some(found) = builder.invented.iter().find(|i| i.frame == s) {
                let (size, depth) = (entry.size(), &found.depth[..]);
                let (picture, offset) = (&found.picture, [0.0; 3]);
                invented.push(Source { picture, warp: warp.clone(), depth, size, near, offset });
            }
            let sees: Vec<usize> =
                inside.iter().copied().filter(|i| entry.clear_at(warp.to[*i]) > 2.0).collect();
            let fresh = sees.iter().filter(|i| covered[**i] < 2).count();
            if fresh * 200 <= inside.len() {
                continue;
            }
            sees.iter().for_each(|i| covered[*i] += 1);
            let mut corrected = warp.clone();
            correct(&mut corrected, &grid, target, entry, &ring);
            let offset = offset(target, entry, &corrected, &ring, builder.scale);
            sources.push(Source {
                picture: &entry.picture,
                warp: corrected,
                depth: &entry.clear,
                size: entry.size(),
                near,
                offset,
            });
        }
        // Slow pans are still from frame to frame.
        still = still && last.is_none_or(|last| super::entry::same_place(target, last));
    }
    for found in [&mut sources, &mut invented] {
        found.sort_by(|a: &Source<'_>, b| b.near.total_cmp(&a.near));
    }
    (sources, invented, reached > 4 && still)
}

/// Fits a chained map to the picture around the hole, where both frames show it.
fn correct(warp: &mut Warp, grid: &Warp, target: &Entry, entry: &Entry, ring: &[[f32; 2]]) {
    let found: Vec<Pair> = ring
        .par_iter()
        .filter_map(|p| {
            let q = warp.at(*p);
            if entry.clear_at(q) < 3.0 {
                return None;
            }
            let affine = warp.affine(*p);
            // From coarse to fine: chained maps may miss by some pixels.
            let mut at = q;
            for level in [1_usize, 0] {
                let (Some(a), Some(b)) = (target.small.get(level), entry.small.get(level)) else { continue };
                let scale = (1 << level) as f32;
                let down = |v: [f32; 2]| v.map(|v| (v + 0.5) / scale - 0.5);
                at = super::lucas::find(a, down(*p), b, down(at), affine)?.map(|v| (v + 0.5) * scale - 0.5);
            }
            let d = [at[0] - q[0], at[1] - q[1]];
            (d[0].hypot(d[1]) < 8.0 && entry.clear_at(at) > 2.0).then_some((*p, d))
        })
        .collect();
    if found.len() < 6 {
        return;
    }
    for (to, d) in warp.to.iter_mut().zip(grid.smooth(&found, REACH, 0.1)) {
        *to = [to[0] + d[0], to[1] + d[1]];
    }
}

/// The median colour by which a source is darker than the plate's frame around the hole.
fn offset(target: &Entry, entry: &Entry, warp: &Warp, ring: &[[f32; 2]], scale: usize) -> [f32; 3] {
    let mut differences: [Vec<f32>; 3] = Default::default();
    for p in ring {
        let q = warp.at(*p);
        if entry.clear_at(q) > 3.0 {
            let (a, b) = (full(*p, scale), full(q, scale));
            let (a, b) = (area(&target.picture, a), area(&entry.picture, b));
            (0..3).for_each(|k| differences[k].push(a[k] - b[k]));
        }
    }
    differences.map(|mut d| {
        if d.len() < 8 {
            return 0.0;
        }
        let middle = d.len() / 2;
        d.select_nth_unstable_by(middle, f32::total_cmp).1.clamp(-40.0, 40.0)
    })
}

/// From small to full positions.
fn full(p: [f32; 2], scale: usize) -> [f32; 2] {
    p.map(|v| (v + 0.5) * scale as f32 - 0.5)
}

/// From full to small positions.
fn small(x: u32, y: u32, scale: usize) -> [f32; 2] {
    [x, y].map(|v| (v as f32 + 0.5) / scale as f32 - 0.5)
}

/// Mean colour of 5 × 5 pixels.
fn area(picture: &RgbImage, at: [f32; 2]) -> [f32; 3] {
    let mut sum = [0.0; 3];
    for v in -2..=2 {
        for u in -2..=2 {
            let x = (at[0] as i64 + u).clamp(0, i64::from(picture.width()) - 1) as u32;
            let y = (at[1] as i64 + v).clamp(0, i64::from(picture.height()) - 1) as u32;
            let p = picture.get_pixel(x, y);
            (0..3).for_each(|k| sum[k] += f32::from(p[k]) / 25.0);
        }
    }
    sum
}

/// Cubic interpolation (Catmull–Rom), which keeps a texture as sharp as it is.
fn sample(picture: &RgbImage, [x, y]: [f32; 2]) -> [f32; 3] {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    // Rounded down by hand: without newer instructions `floor` is a call.
    let down = |v: f32| {
        let whole = v as i64;
        whole - i64::from((whole as f32) > v)
    };
    let (x0, y0) = (down(x), down(y));
    let taps = |f: f32| {
        let (f2, f3) = (f * f, f * f * f);
        [
            0.5 * (-f3 + 2.0 * f2 - f),
            0.5 * (3.0 * f3 - 5.0 * f2 + 2.0),
            0.5 * (-3.0 * f3 + 4.0 * f2 + f),
            0.5 * (f3 - f2),
        ]
    };
    let (wx, wy) = (taps(x - x0 as f32), taps(y - y0 as f32));
    let bytes = picture.as_raw();
    let mut sum = [0.0; 3];
    if x0 >= 1 && y0 >= 1 && x0 + 2 < w as i64 && y0 + 2 < h as i64 {
        for (j, wy) in wy.iter().enumerate() {
            let from = ((y0 as usize + j - 1) * w + x0 as usize - 1) * 3;
            let mut line = [0.0; 3];
            for (pixel, wx) in bytes[from..from + 12].as_chunks::<3>().0.iter().zip(&wx) {
                (0..3).for_each(|k| line[k] += wx * f32::from(pixel[k]));
            }
            (0..3).for_each(|k| sum[k] += wy * line[k]);
        }
        return sum.map(|v| v.clamp(0.0, 255.0));
    }
    for (j, wy) in wy.iter().enumerate() {
        let v = (y0 + j as i64 - 1).clamp(0, h as i64 - 1) as usize;
        for (i, wx) in wx.iter().enumerate() {
            let u = (x0 + i as i64 - 1).clamp(0, w as i64 - 1) as usize;
            let pixel = &bytes[(v * w + u) * 3..][..3];
            let weight = wx * wy;
            (0..3).for_each(|k| sum[k] += weight * f32::from(pixel[k]));
        }
    }
    sum.map(|v| v.clamp(0.0, 255.0))
}

/// The two best sources of a small position with their weights and positions.
fn best(sources: &[Source<'_>], p: [f32; 2]) -> [(f32, usize, [f32; 2]); 2] {
    let mut best = [(0.0, 0, [0.0; 2]); 2];
    for (i, source) in sources.iter().enumerate() {
        if source.near <= best[1].0 {
            // Those that follow are farther.
            break;
        }
        let q = source.warp.at(p);
        let w = source.weight(q);
        if w > best[0].0 {
            best[1] = best[0];
            best[0] = (w, i, q);
        } else if w > best[1].0 {
            best[1] = (w, i, q);
        }
    }
    best
}

/// A position's colour in the sources that see it best, and their weight.
fn mixed(sources: &[Source<'_>], p: [f32; 2], scale: usize) -> Option<[f32; 3]> {
    let (mut sum, mut total) = ([0.0; 3], 0.0);
    for (w, i, q) in best(sources, p) {
        if w <= 0.0 || w < total * 0.05 {
            continue;
        }
        let color = sample(sources[i].picture, full(q, scale));
        (0..3).for_each(|k| sum[k] += w * (color[k] + sources[i].offset[k]));
        total += w;
    }
    (total > 1e-9).then(|| sum.map(|s| s / total))
}

/// Fills the hole from moving sources and fits colours at the seam. Gives what is missing, 255.
fn blend(target: &Entry, sources: &[Source<'_>], picture: &mut RgbImage, scale: usize) -> GrayImage {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let hole = target.hole.as_raw();
    let distance = crate::distance::squared_distance_up_to(&target.hole, BAND);
    let colors: Vec<Vec<Option<[f32; 3]>>> = (0..h)
        .into_par_iter()
        .map(|y| {
            let row = &distance[y * w..][..w];
            if row.iter().all(|d| *d > BAND * BAND) {
                return Vec::new();
            }
            (0..w)
                .map(|x| {
                    // In the band, every other pixel of every other row says enough.
                    let wanted = row[x] == 0.0 || (row[x] <= BAND * BAND && x % 2 == 0 && y % 2 == 0);
                    if wanted { mixed(sources, small(x as u32, y as u32, scale), scale) } else { None }
                })
                .collect()
        })
        .collect();
    // The seam: what the sources miss around the hole, carried smoothly into it.
    let [sw, sh] = target.size();
    let mut seam = vec![[0.0_f32; 4]; sw * sh];
    for (y, row) in colors.iter().enumerate() {
        for (x, color) in row.iter().enumerate() {
            if let (Some(color), false) = (color, hole[y * w + x] >= crate::THRESHOLD) {
                let (u, v) = ((x / scale).min(sw - 1), (y / scale).min(sh - 1));
                let real = picture.get_pixel(x as u32, y as u32);
                let difference: [f32; 3] = [0, 1, 2].map(|k| f32::from(real[k]) - color[k]);
                if difference.iter().all(|d| d.abs() < 40.0) {
                    let cell = &mut seam[v * sw + u];
                    (0..3).for_each(|k| cell[k] += 0.25 * difference[k]);
                    cell[3] += 0.25;
                }
            }
        }
    }
    let seam = pull::fill(&seam, sw, sh);
    let mut missing = GrayImage::new(w as u32, h as u32);
    for (y, row) in colors.iter().enumerate() {
        for (x, color) in row.iter().enumerate() {
            if hole[y * w + x] < crate::THRESHOLD {
                continue;
            }
            match color {
                Some(color) => {
                    let add = seam[(y / scale).min(sh - 1) * sw + (x / scale).min(sw - 1)];
                    let pixel = [0, 1, 2].map(|k| (color[k] + add[k]).round().clamp(0.0, 255.0) as u8);
                    picture.put_pixel(x as u32, y as u32, Rgb(pixel));
                }
                None => missing.put_pixel(x as u32, y as u32, image::Luma([255])),
            }
        }
    }
    missing
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
            let at = small(x as u32, y as u32, scale).map(|v| v.max(0.0) as usize);
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
    let w = picture.width() as usize;
    picture.par_chunks_mut(w * 3).zip(rest.par_chunks_mut(w)).enumerate().for_each(|(y, (row, rest))| {
        for x in (0..w).filter(|x| missing.as_raw()[y * w + x] > 0) {
            if let Some(color) = mixed(invented, small(x as u32, y as u32, scale), scale) {
                (0..3).for_each(|k| row[3 * x + k] = color[k].round().clamp(0.0, 255.0) as u8);
                rest[x] = 0;
            }
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
