//! Invented background: what no frame shows is put together from patches of its surroundings.
//!
//! The smallest picture of a pyramid is filled patch by patch, where edges run into the hole first (Criminisi et al. 2004), so
//! that lines go on and textures stay textures. On the way up the patches are improved by the randomised search of PatchMatch
//! (Barnes et al. 2009) and weighted votes (Wexler et al. 2007); draws are the same every time. At full size pixels are copied,
//! not averaged, so that the result is as sharp as its source.

use super::pull;
use image::{GrayImage, RgbImage};

/// Half the side of a patch.
const RADIUS: i64 = 3;
const ROUNDS: usize = 3;
/// Pictures are halved while their shorter side stays above this.
const SMALLEST: usize = 48;

struct Level {
    width: usize,
    height: usize,
    color: Vec<[f32; 3]>,
    /// To be filled.
    hole: Vec<bool>,
    /// Neither to be filled nor background: nothing is taken from there. Its colours are its surroundings'.
    other: Vec<bool>,
    /// A whole patch around this pixel is known.
    source: Vec<bool>,
}

impl Level {
    fn new(width: usize, height: usize, color: Vec<[f32; 3]>, hole: Vec<bool>, other: Vec<bool>) -> Self {
        let mut level = Self { width, height, color, hole, other, source: Vec::new() };
        if level.other.contains(&true) {
            let smooth = level.smooth();
            for (i, v) in smooth.into_iter().enumerate().filter(|(i, _)| level.other[*i]) {
                level.color[i] = [v[0], v[1], v[2]];
            }
        }
        // Known in whole patches: a running sum of holes along rows, then columns.
        let (w, h, r) = (width as i64, height as i64, RADIUS);
        let mut across = vec![0_u32; width * height];
        for y in 0..height {
            for x in 0..w {
                let from = (x - r).max(0) as usize;
                let to = (x + r + 1).min(w) as usize;
                across[y * width + x as usize] =
                    (y * width + from..y * width + to).map(|i| u32::from(!level.is_known(i))).sum();
            }
        }
        level.source = (0..width * height)
            .map(|i| {
                let (x, y) = ((i % width) as i64, (i / width) as i64);
                let inside = x >= r && y >= r && x + r < w && y + r < h;
                inside && (y - r..=y + r).all(|v| across[v as usize * width + x as usize] == 0)
            })
            .collect();
        level
    }

    /// Known background.
    fn is_known(&self, i: usize) -> bool {
        !self.hole[i] && !self.other[i]
    }

    /// A picture at half its size; a pixel is known where all four under it are.
    fn of(picture: &RgbImage, hole: &GrayImage, others: &GrayImage) -> Self {
        let (full_width, full_height) = (picture.width() as usize, picture.height() as usize);
        let (width, height) = (full_width.div_ceil(2), full_height.div_ceil(2));
        let (bytes, holes, others) = (picture.as_raw(), hole.as_raw(), others.as_raw());
        let mut color = Vec::with_capacity(width * height);
        let mut all = Vec::with_capacity(width * height);
        let mut other = Vec::with_capacity(width * height);
        for i in 0..width * height {
            let (x, y) = (i % width * 2, i / width * 2);
            let (mut sum, mut missing, mut elsewhere) = ([0.0_f32; 3], false, false);
            for (u, v) in [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)] {
                let at = v.min(full_height - 1) * full_width + u.min(full_width - 1);
                missing |= holes[at] >= crate::THRESHOLD;
                elsewhere |= others[at] >= crate::THRESHOLD;
                (0..3).for_each(|k| sum[k] += 0.25 * f32::from(bytes[3 * at + k]));
            }
            color.push(sum);
            all.push(missing);
            other.push(elsewhere && !missing);
        }
        Self::new(width, height, color, all, other)
    }

    fn halved(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let mut color = vec![[0.0; 3]; width * height];
        let mut hole = vec![false; width * height];
        let mut other = vec![false; width * height];
        for i in 0..width * height {
            let (x, y) = (i % width * 2, i / width * 2);
            let (mut sum, mut missing) = ([0.0_f32; 4], false);
            for (u, v) in [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)] {
                if u >= self.width || v >= self.height {
                    continue;
                }
                let at = v * self.width + u;
                missing |= self.hole[at];
                if self.is_known(at) {
                    (0..3).for_each(|k| sum[k] += self.color[at][k]);
                    sum[3] += 1.0;
                }
            }
            (hole[i], other[i]) = (sum[3] == 0.0 && missing, sum[3] == 0.0 && !missing);
            color[i] = [0, 1, 2].map(|k| sum[k] / sum[3].max(1.0));
        }
        Self::new(width, height, color, hole, other)
    }

    /// How deep the hole is: the largest distance of one of its pixels from what is known.
    fn depth(&self) -> f32 {
        let bytes = self.hole.iter().map(|h| if *h { 0 } else { 255 }).collect();
        let known = GrayImage::from_raw(self.width as u32, self.height as u32, bytes).unwrap_or_default();
        crate::distance::squared_distance(&known).into_iter().fold(0.0, f32::max).sqrt()
    }

    /// Known colours carried smoothly into the hole.
    fn smooth(&self) -> Vec<[f32; 4]> {
        let known: Vec<[f32; 4]> = self
            .color
            .iter()
            .enumerate()
            .map(|(i, c)| if self.is_known(i) { [c[0], c[1], c[2], 1.0] } else { [0.0; 4] })
            .collect();
        pull::fill(&known, self.width, self.height)
    }

    fn position(&self, i: usize) -> (i64, i64) {
        ((i % self.width) as i64, (i / self.width) as i64)
    }

    /// Pixels of the patch around `i` that lie in the picture: their offset and index.
    fn patch(&self, i: usize) -> impl Iterator<Item = (i64, i64, usize)> {
        self.square(i, RADIUS)
    }

    /// The same of a square of another size.
    fn square(&self, i: usize, radius: i64) -> impl Iterator<Item = (i64, i64, usize)> {
        let ((x, y), (w, h)) = (self.position(i), (self.width as i64, self.height as i64));
        let rows = (y - radius).max(0)..(y + radius + 1).min(h);
        rows.flat_map(move |v| {
            let columns = (x - radius).max(0)..(x + radius + 1).min(w);
            columns.map(move |u| (u - x, v - y, (v * w + u) as usize))
        })
    }

    /// Mean squared difference of two patches, the second of which is whole; gives up beyond `limit`.
    fn difference(&self, a: usize, b: usize, limit: f32) -> f32 {
        let ((ax, ay), (w, h)) = (self.position(a), (self.width as i64, self.height as i64));
        let (left, right) = ((ax - RADIUS).max(0) - ax, (ax + RADIUS).min(w - 1) - ax);
        let (top, bottom) = ((ay - RADIUS).max(0) - ay, (ay + RADIUS).min(h - 1) - ay);
        let n = ((right - left + 1) * (bottom - top + 1)) as f32;
        let side = (right - left + 1) as usize;
        let mut sum = 0.0;
        for v in top..=bottom {
            let i = (a as i64 + v * w + left) as usize;
            let j = (b as i64 + v * w + left) as usize;
            for (p, q) in self.color[i..i + side].iter().zip(&self.color[j..j + side]) {
                let d = [p[0] - q[0], p[1] - q[1], p[2] - q[2]];
                sum += d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
            }
            if sum > limit * n {
                return f32::INFINITY;
            }
        }
        sum / n
    }
}

/// The patches that fill a level.
struct Match {
    width: usize,
    /// The source whose patch each filled pixel's is like.
    nearest: Vec<usize>,
    /// How unlike they are.
    cost: Vec<f32>,
}

/// Fills `hole` (255) of a picture from what surrounds it, in place; nothing is taken from `others` (255). Without any whole patch
/// outside of both, smoothly.
pub(super) fn fill(picture: &mut RgbImage, hole: &GrayImage, others: &GrayImage) {
    if hole.iter().all(|b| *b < crate::THRESHOLD) {
        return;
    }
    let mut levels = vec![Level::of(picture, hole, others)];
    while let Some(last) = levels.last() {
        // A hole that is nearly bridged gets smaller until it is.
        let least = if last.depth() <= 2.0 * RADIUS as f32 { SMALLEST / 3 } else { SMALLEST };
        let bridged = last.depth() <= RADIUS as f32;
        if bridged || last.width.min(last.height) / 2 < least || levels.len() > 5 {
            break;
        }
        let next = last.halved();
        if !next.hole.contains(&true) || !next.source.contains(&true) {
            break;
        }
        levels.push(next);
    }
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut below: Option<Match> = None;
    for level in levels.iter_mut().rev() {
        let sources: Vec<usize> = (0..level.source.len()).filter(|i| level.source[*i]).collect();
        if sources.is_empty() {
            return smoothly(picture, hole, level);
        }
        let targets: Vec<usize> = (0..level.hole.len()).filter(|i| level.hole[*i]).collect();
        let mut found = match &below {
            None if level.depth() > RADIUS as f32 => exemplars(level, &sources),
            None => {
                // Every patch sees all sides: what lies between is a good first guess.
                for (i, v) in level.smooth().into_iter().enumerate().filter(|v| level.hole[v.0]) {
                    level.color[i] = [v[0], v[1], v[2]];
                }
                let n = level.hole.len();
                let nearest = (0..n).map(|_| sources[random.below(sources.len())]).collect();
                Match { width: level.width, nearest, cost: vec![0.0; n] }
            }
            Some(below) => {
                let found = enlarged(level, &targets, below, &sources, &mut random);
                vote(level, &targets, &found);
                found
            }
        };
        for round in 0..ROUNDS {
            search(level, &targets, &mut found, round % 2 == 1, &mut random);
            vote(level, &targets, &found);
        }
        below = Some(found);
    }
    let Some(found) = below else { return };
    let seam = seam(&levels[0], &found);
    copy(picture, hole, &found, &seam);
}

/// A difference of colour at the edge of the hole above this is an edge in the picture.
const MAX_SEAM: f32 = 30.0;

/// By how much the patches miss the known pixels beside the hole, carried smoothly into it; at half size.
fn seam(level: &Level, found: &Match) -> Vec<[f32; 4]> {
    let mut misses = vec![[0.0_f32; 4]; level.hole.len()];
    for i in (0..level.hole.len()).filter(|i| level.hole[*i]) {
        for (u, v, k) in level.patch(i).filter(|p| p.0.abs() + p.1.abs() <= 2 && level.is_known(p.2)) {
            let from = (found.nearest[i] as i64 + v * level.width as i64 + u) as usize;
            let d: [f32; 3] = [0, 1, 2].map(|c| level.color[k][c] - level.color[from][c]);
            if d.iter().all(|d| d.abs() < MAX_SEAM) {
                (0..3).for_each(|c| misses[k][c] += d[c]);
                misses[k][3] += 1.0;
            }
        }
    }
    for miss in misses.iter_mut().filter(|m| m[3] > 0.0) {
        let n = miss[3];
        miss.iter_mut().for_each(|v| *v /= n);
    }
    pull::fill(&misses, level.width, level.height)
}

/// Copies each pixel from where the half-size match says, with the seam's colour added.
fn copy(picture: &mut RgbImage, hole: &GrayImage, found: &Match, seam: &[[f32; 4]]) {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    for i in (0..w * h).filter(|i| hole.as_raw()[*i] >= crate::THRESHOLD) {
        let (x, y) = (i % w, i / w);
        let from = found.nearest[y / 2 * found.width + x / 2];
        let (u, v) = (from % found.width * 2 + x % 2, from / found.width * 2 + y % 2);
        let mut pixel = *picture.get_pixel(u.min(w - 1) as u32, v.min(h - 1) as u32);
        let add = seam[y / 2 * found.width + x / 2];
        (0..3).for_each(|k| pixel[k] = (f32::from(pixel[k]) + add[k]).round().clamp(0.0, 255.0) as u8);
        picture.put_pixel(x as u32, y as u32, pixel);
    }
}

/// Fills from the border inwards, without patches.
fn smoothly(picture: &mut RgbImage, hole: &GrayImage, level: &Level) {
    let filled = level.smooth();
    // Which level it is doesn't matter: sizes are halved, rounded up.
    let scale = (picture.width() as usize).div_ceil(level.width);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        if hole.get_pixel(x, y)[0] >= crate::THRESHOLD {
            let (u, v) =
                ((x as usize / scale).min(level.width - 1), (y as usize / scale).min(level.height - 1));
            let color = filled[v * level.width + u];
            pixel.0 = [0, 1, 2].map(|k| color[k].round().clamp(0.0, 255.0) as u8);
        }
    }
}

/// Mean squared difference that a patch from the other end of the picture must make up for.
const FAR_COSTS: f32 = 800.0;

/// Fills a small level patch by patch, from where much is known and edges run into the hole.
fn exemplars(level: &mut Level, sources: &[usize]) -> Match {
    let n = level.hole.len();
    let mut found = Match { width: level.width, nearest: vec![0; n], cost: vec![0.0; n] };
    let mut known: Vec<bool> = level.hole.iter().map(|h| !h).collect();
    let mut trust: Vec<f32> = known.iter().map(|k| if *k { 1.0 } else { 0.0 }).collect();
    while let Some((at, at_trust)) = next_place(level, &known, &trust) {
        let (old, fresh): (Vec<_>, Vec<_>) = level.patch(at).partition(|p| known[p.2]);
        let around: Vec<usize> = level.square(at, 2 * RADIUS).map(|p| p.2).filter(|i| known[*i]).collect();
        let moved = |source: usize, p: &(i64, i64, usize)| {
            level.color[(source as i64 + p.1 * level.width as i64 + p.0) as usize]
        };
        let mut best = (f32::INFINITY, sources[0]);
        let (x, y) = level.position(at);
        for &source in sources {
            // Of two that are alike the nearer one.
            let (u, v) = level.position(source);
            let far = ((x - u) as f32).hypot((y - v) as f32) / level.width.max(level.height) as f32;
            let mut cost = far * FAR_COSTS;
            for p in &old {
                cost += unlike(level.color[p.2], moved(source, p)) / old.len() as f32;
                if cost >= best.0 {
                    break;
                }
            }
            // What it brings must look like something that is here already.
            for p in &fresh {
                if cost >= best.0 {
                    break;
                }
                let color = moved(source, p);
                let least = around.iter().map(|i| unlike(level.color[*i], color));
                cost += least.fold(f32::INFINITY, f32::min) / fresh.len() as f32;
            }
            if cost < best.0 {
                best = (cost, source);
            }
        }
        for (u, v, i) in fresh {
            let from = (best.1 as i64 + v * level.width as i64 + u) as usize;
            level.color[i] = level.color[from];
            found.nearest[i] = nearest_source(level, from, best.1);
            (known[i], trust[i]) = (true, at_trust);
        }
    }
    found
}

/// Squared difference of two colours.
fn unlike(p: [f32; 3], q: [f32; 3]) -> f32 {
    (0..3).map(|k| (p[k] - q[k]).powi(2)).sum()
}

/// A pixel near `wanted` around which a whole patch is known: itself, or the middle of the patch it was copied from.
fn nearest_source(level: &Level, wanted: usize, middle: usize) -> usize {
    if level.source[wanted] { wanted } else { middle }
}

/// The pixel at the edge of the hole that comes next, and how much its patch is to be trusted.
fn next_place(level: &Level, known: &[bool], trust: &[f32]) -> Option<(usize, f32)> {
    let (w, h) = (level.width as i64, level.height as i64);
    let mut best: Option<(f32, usize, f32)> = None;
    for at in (0..known.len()).filter(|i| !known[*i]) {
        let (x, y) = level.position(at);
        let is_known = |u: i64, v: i64| {
            (0..w).contains(&(x + u)) && (0..h).contains(&(y + v)) && known[(at as i64 + v * w + u) as usize]
        };
        if ![(1, 0), (-1, 0), (0, 1), (0, -1)].iter().any(|&(u, v)| is_known(u, v)) {
            continue;
        }
        let (mut sum, mut n) = (0.0, 0.0);
        let mut edge = ([0.0_f32; 2], 0.0_f32);
        for (_, _, i) in level.patch(at) {
            sum += trust[i];
            n += 1.0;
            let (u, v) = level.position(i);
            if u == 0 || v == 0 || u + 1 >= w || v + 1 >= h {
                continue;
            }
            let around = [i - 1, i + 1, i - level.width, i + level.width];
            if known[i] && around.iter().all(|j| known[*j]) {
                let luma = |j: usize| level.color[j].iter().sum::<f32>() / 3.0;
                let g = [luma(around[1]) - luma(around[0]), luma(around[3]) - luma(around[2])];
                let size = g[0].hypot(g[1]);
                if size > edge.1 {
                    edge = (g, size);
                }
            }
        }
        // The way into the hole; an edge runs across its gradient.
        let side = |u: i64, v: i64| f32::from(u8::from(is_known(u, v)));
        let normal = [side(1, 0) - side(-1, 0), side(0, 1) - side(0, -1)];
        let length = normal[0].hypot(normal[1]).max(1.0);
        let into = (edge.0[1] * normal[0] - edge.0[0] * normal[1]).abs() / length / 255.0;
        let confidence = sum / n;
        let priority = confidence * (into + 0.02);
        if best.is_none_or(|b| priority > b.0) {
            best = Some((priority, at, confidence));
        }
    }
    best.map(|b| (b.1, b.2))
}

/// The matches of the level below at twice its size.
fn enlarged(
    level: &Level,
    targets: &[usize],
    below: &Match,
    sources: &[usize],
    random: &mut Random,
) -> Match {
    let n = level.hole.len();
    let mut found = Match { width: level.width, nearest: vec![0; n], cost: vec![0.0; n] };
    for &i in targets {
        let (x, y) = (i % level.width, i / level.width);
        let from = below.nearest[(y / 2) * below.width + x / 2];
        let (u, v) = (from % below.width * 2 + x % 2, from / below.width * 2 + y % 2);
        let j = v * level.width + u;
        // Where the small level had no hole there is no match to enlarge.
        let usable = from > 0 && u < level.width && v < level.height && level.source[j];
        found.nearest[i] = if usable { j } else { sources[random.below(sources.len())] };
    }
    found
}

/// One round of propagation and random search.
fn search(level: &Level, targets: &[usize], found: &mut Match, backwards: bool, random: &mut Random) {
    let w = level.width as i64;
    let mut visit = |i: usize| {
        let mut best = level.difference(i, found.nearest[i], f32::INFINITY);
        let mut consider = |j: i64, found: &mut Match| {
            if j < 0 || j as usize >= level.source.len() || !level.source[j as usize] {
                return;
            }
            let d = level.difference(i, j as usize, best);
            if d < best {
                best = d;
                found.nearest[i] = j as usize;
            }
        };
        let (x, y) = level.position(i);
        let step = if backwards { 1 } else { -1 };
        for (u, v) in [(step, 0), (0, step)] {
            let (nx, ny) = (x + u, y + v);
            if nx >= 0 && nx < w && ny >= 0 && (ny as usize) < level.height {
                let k = (ny * w + nx) as usize;
                if level.hole[k] {
                    consider(found.nearest[k] as i64 - v * w - u, found);
                }
            }
        }
        let mut reach = level.width.max(level.height) as i64;
        while reach > 1 {
            let (cx, cy) = level.position(found.nearest[i]);
            let u = cx + random.below(2 * reach as usize + 1) as i64 - reach;
            let v = cy + random.below(2 * reach as usize + 1) as i64 - reach;
            if u >= 0 && u < w && v >= 0 && (v as usize) < level.height {
                consider(v * w + u, found);
            }
            reach /= 2;
        }
        found.cost[i] = best;
    };
    if backwards {
        targets.iter().rev().for_each(|i| visit(*i));
    } else {
        targets.iter().for_each(|i| visit(*i));
    }
}

/// New colours: what all patches over a pixel say, those that fit well above all.
fn vote(level: &mut Level, targets: &[usize], found: &Match) {
    let mut costs: Vec<f32> = targets.iter().map(|i| found.cost[*i]).collect();
    let third_quarter = (costs.len() * 3 / 4).min(costs.len().saturating_sub(1));
    let spread = costs.select_nth_unstable_by(third_quarter, f32::total_cmp).1.max(1.0);
    let w = level.width as i64;
    let colors: Vec<[f32; 3]> = targets
        .iter()
        .map(|&i| {
            let (mut sum, mut n) = ([0.0_f32; 3], 0.0_f32);
            for (u, v, k) in level.patch(i).filter(|p| level.hole[p.2]) {
                let j = (found.nearest[k] as i64 - v * w - u) as usize;
                let near = if (u, v) == (0, 0) { 4.0 } else { 1.0 };
                let weight = near * (-found.cost[k] / spread).exp() + 1e-6;
                (0..3).for_each(|c| sum[c] += weight * level.color[j][c]);
                n += weight;
            }
            sum.map(|s| s / n)
        })
        .collect();
    for (&i, color) in targets.iter().zip(colors) {
        level.color[i] = color;
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 20) % n.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn a_texture_goes_on_through_a_hole() {
        let stripes = |x: u32, y: u32| {
            Rgb([if (x / 4 + y / 8).is_multiple_of(2) { 200 } else { 40 }, 90, (y * 2) as u8])
        };
        let truth = RgbImage::from_fn(96, 72, stripes);
        let hole = GrayImage::from_fn(96, 72, |x, y| {
            image::Luma([if (36..58).contains(&x) && (28..46).contains(&y) { 255 } else { 0 }])
        });
        let mut picture = truth.clone();
        for (p, m) in picture.pixels_mut().zip(hole.iter()) {
            if *m > 0 {
                *p = Rgb([255, 0, 255]);
            }
        }
        fill(&mut picture, &hole, &GrayImage::new(96, 72));
        let mut wrong = 0;
        for ((p, t), m) in picture.pixels().zip(truth.pixels()).zip(hole.iter()) {
            if *m == 0 {
                assert_eq!(p, t);
            } else {
                wrong += usize::from((i32::from(p[0]) - i32::from(t[0])).abs() > 60);
            }
        }
        assert!(wrong < 22 * 18 / 3, "{wrong} of {} pixels", 22 * 18);
    }

    #[test]
    fn nothing_known_is_no_panic() {
        let mut picture = RgbImage::from_pixel(30, 20, Rgb([9; 3]));
        let (all, none) = (GrayImage::from_pixel(30, 20, image::Luma([255])), GrayImage::new(30, 20));
        fill(&mut picture, &all, &none);
        fill(&mut picture, &none, &all);
        let half = GrayImage::from_fn(30, 20, |x, _| image::Luma([if x < 15 { 255 } else { 0 }]));
        let mut rest = half.clone();
        rest.iter_mut().for_each(|v| *v = 255 - *v);
        fill(&mut picture, &half, &rest);
        assert_eq!(picture.dimensions(), (30, 20));
    }
}
