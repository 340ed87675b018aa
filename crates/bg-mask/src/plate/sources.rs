//! The frames that see behind a hole, and where its background lies in them.

use super::entry::Entry;
use super::gray::middle;
use super::homography::Pair;
use super::sample::full;
use super::warp::Warp;
use super::{PlateBuilder, entry};
use image::RgbImage;
use rayon::prelude::*;

/// Small pixels between nodes of a plate's maps.
const STEP: f32 = 8.0;
/// Small pixels around the hole that maps are fitted to.
const RING: f32 = 48.0;
/// With fewer corners around the hole, colours are compared beside them too.
const FEW_CORNERS: usize = 40;
/// Small pixels over which corrections are smoothed.
const REACH: f32 = 40.0;
/// Frames after which a source counts e times less.
const FADE: f32 = 4.0;
/// Small pixels over which a source fades out towards its own hole.
const FEATHER: f32 = 5.0;

/// A frame that sees behind the hole.
pub(super) struct Source<'a> {
    pub picture: &'a RgbImage,
    /// From small positions of the plate to small positions of the source.
    pub warp: Warp,
    /// How much a small position of the source may be used, in small pixels from where it mustn't.
    pub depth: &'a [f32],
    pub size: [usize; 2],
    /// e to the minus distance in time.
    pub near: f32,
    /// Colour to be added.
    pub offset: [f32; 3],
}

impl Source<'_> {
    /// How much a small position counts.
    pub(super) fn weight(&self, q: [f32; 2]) -> f32 {
        let [w, h] = self.size;
        if !(q[0] >= 0.5 && q[1] >= 0.5 && q[0] < w as f32 - 1.5 && q[1] < h as f32 - 1.5) {
            return 0.0;
        }
        // The nearest whole position; everything is positive.
        let [u, v] = q.map(|v| (v + 0.5) as i32);
        let depth = self.depth[v as usize * w + u as usize];
        let [u, v] = [u as f32, v as f32];
        // Towards the border of the picture as towards the hole.
        let border = u.min(v).min(w as f32 - 1.0 - u).min(h as f32 - 1.0 - v);
        ((depth - 1.0).min(border) / FEATHER).clamp(0.0, 1.0) * self.near
    }
}

/// What a hole can be filled from.
pub(super) struct Sources<'a> {
    /// Frames that see behind it, the nearest first.
    pub real: Vec<Source<'a>>,
    /// What was invented in frames before, the nearest first.
    pub invented: Vec<Source<'a>>,
    /// The camera stands still.
    pub still: bool,
}

/// A frame that may become a source, with the map to it.
struct Candidate<'a> {
    entry: &'a Entry,
    warp: Warp,
    near: f32,
}

/// Looks for sources before and after the plate's frame `t`; `bounds` are those of its small hole.
pub(super) fn collect<'a>(
    builder: &'a PlateBuilder,
    target: &'a Entry,
    t: usize,
    bounds: [u32; 4],
) -> Sources<'a> {
    let margin = 12.0;
    let [l, top, r, b] = bounds.map(|v| v as f32);
    let grid = Warp::identity([l - margin, top - margin, r + margin, b + margin], STEP);
    let inside: Vec<usize> =
        (0..grid.to.len()).filter(|i| target.clear_at(grid.node(*i)).abs() < 0.5).collect();
    let (mut candidates, mut invented) = (Vec::new(), Vec::new());
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
            candidates.push(Candidate { entry, warp: warp.clone(), near });
        }
        // Slow pans are still from frame to frame.
        still = still && last.is_none_or(|last| entry::same_place(target, last));
    }
    let mut real = fitted(candidates, &grid, target, builder.scale);
    for found in [&mut real, &mut invented] {
        found.sort_by(|a: &Source<'_>, b| b.near.total_cmp(&a.near));
    }
    Sources { real, invented, still: reached > 4 && still }
}

/// Fits maps and colours to the picture around the hole.
fn fitted<'a>(
    candidates: Vec<Candidate<'a>>,
    grid: &Warp,
    target: &'a Entry,
    scale: usize,
) -> Vec<Source<'a>> {
    let is_around = |p: &[f32; 2]| (2.0..RING).contains(&target.clear_at(*p));
    let ring: Vec<[f32; 2]> = target.corners.iter().copied().filter(is_around).collect();
    // Colours can be compared where there are no corners too.
    let even = (0..grid.to.len()).map(|i| grid.node(i)).filter(is_around);
    let places: Vec<[f32; 2]> =
        if ring.len() < FEW_CORNERS { ring.iter().copied().chain(even).collect() } else { ring.clone() };
    let colors: Vec<[f32; 3]> = places.iter().map(|p| area(&target.picture, full(*p, scale))).collect();
    let fit = |Candidate { entry, mut warp, near }: Candidate<'a>| {
        correct(&mut warp, grid, target, entry, &ring);
        let offset = offset(&places, &colors, entry, &warp, scale);
        Source { picture: &entry.picture, warp, depth: &entry.clear, size: entry.size(), near, offset }
    };
    candidates.into_par_iter().map(fit).collect()
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

/// The median colour by which a source is darker than the plate's frame (`colors`) at places around the hole.
fn offset(places: &[[f32; 2]], colors: &[[f32; 3]], entry: &Entry, warp: &Warp, scale: usize) -> [f32; 3] {
    let mut differences: [Vec<f32>; 3] = Default::default();
    for (p, color) in places.iter().zip(colors) {
        let q = warp.at(*p);
        if entry.clear_at(q) > 3.0 {
            let there = area(&entry.picture, full(q, scale));
            (0..3).for_each(|k| differences[k].push(color[k] - there[k]));
        }
    }
    differences.map(|mut d| {
        if d.len() < 8 {
            return 0.0;
        }
        middle(&mut d).unwrap_or(0.0).clamp(-40.0, 40.0)
    })
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
