//! Invented background: what no frame shows is put together from patches of its surroundings.
//!
//! Exemplar-based filling over a pyramid with the randomised search of PatchMatch (Barnes et al. 2009); draws are the same
//! every time. The last level copies pixels instead of averaging patches, so that the result is as sharp as its source.

use super::pull;
use image::{GrayImage, Rgb, RgbImage};

/// Half the side of a patch.
const RADIUS: i64 = 3;
const ROUNDS: usize = 4;
const SMALLEST: usize = 24;

struct Level {
    width: usize,
    height: usize,
    color: Vec<[f32; 3]>,
    /// To be filled.
    hole: Vec<bool>,
    /// A whole patch around this pixel is known.
    source: Vec<bool>,
}

impl Level {
    fn new(width: usize, height: usize, color: Vec<[f32; 3]>, hole: Vec<bool>) -> Self {
        let mut level = Self { width, height, color, hole, source: Vec::new() };
        // Known in whole patches: a running sum of holes along rows, then columns.
        let (w, h, r) = (width as i64, height as i64, RADIUS);
        let mut across = vec![0_u32; width * height];
        for y in 0..height {
            for x in 0..w {
                let from = (x - r).max(0) as usize;
                let to = (x + r + 1).min(w) as usize;
                across[y * width + x as usize] =
                    level.hole[y * width + from..y * width + to].iter().map(|b| u32::from(*b)).sum();
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

    fn halved(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let mut color = vec![[0.0; 3]; width * height];
        let mut hole = vec![false; width * height];
        for i in 0..width * height {
            let (x, y) = (i % width * 2, i / width * 2);
            let mut sum = [0.0_f32; 4];
            for (u, v) in [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)] {
                if u < self.width && v < self.height && !self.hole[v * self.width + u] {
                    let c = self.color[v * self.width + u];
                    (0..3).for_each(|k| sum[k] += c[k]);
                    sum[3] += 1.0;
                }
            }
            hole[i] = sum[3] == 0.0;
            color[i] = [0, 1, 2].map(|k| sum[k] / sum[3].max(1.0));
        }
        Self::new(width, height, color, hole)
    }

    /// Squared difference of two patches; gives up beyond `limit`.
    fn difference(&self, a: usize, b: usize, limit: f32) -> f32 {
        let (w, h) = (self.width as i64, self.height as i64);
        let (ax, ay) = (a as i64 % w, a as i64 / w);
        let (bx, by) = (b as i64 % w, b as i64 / w);
        let (mut sum, mut n) = (0.0, 0.0);
        for v in -RADIUS..=RADIUS {
            if ay + v < 0 || ay + v >= h {
                continue;
            }
            for u in -RADIUS..=RADIUS {
                if ax + u < 0 || ax + u >= w {
                    continue;
                }
                let (i, j) = (((ay + v) * w + ax + u) as usize, ((by + v) * w + bx + u) as usize);
                let (p, q) = (self.color[i], self.color[j]);
                // What is known counts for more than what was invented a round ago.
                let weight = if self.hole[i] { 0.4 } else { 1.0 };
                sum += weight * (0..3).map(|k| (p[k] - q[k]).powi(2)).sum::<f32>();
                n += weight;
            }
            if sum > limit * 49.0 {
                return f32::INFINITY;
            }
        }
        sum / f32::max(n, 1.0)
    }
}

/// What a coarser level found.
struct Coarser {
    width: usize,
    color: Vec<[f32; 3]>,
    /// The patch that each filled pixel is like.
    nearest: Vec<usize>,
}

/// Fills `hole` (255) of a picture from what surrounds it, in place. Without any whole patch outside the hole, smoothly.
pub(super) fn fill(picture: &mut RgbImage, hole: &GrayImage) {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let holes: Vec<bool> = hole.iter().map(|b| *b >= crate::THRESHOLD).collect();
    if !holes.contains(&true) {
        return;
    }
    let color = picture.pixels().map(|p| p.0.map(f32::from)).collect();
    let mut levels = vec![Level::new(w, h, color, holes)];
    while let Some(last) = levels.last() {
        let next_is_small = last.width.min(last.height) / 2 < SMALLEST;
        if next_is_small || !last.hole.contains(&true) || levels.len() > 5 {
            break;
        }
        let next = last.halved();
        levels.push(next);
    }
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut below: Option<Coarser> = None;
    for (n, level) in levels.iter_mut().enumerate().rev() {
        let sources: Vec<usize> = (0..level.source.len()).filter(|i| level.source[*i]).collect();
        let targets: Vec<usize> = (0..level.hole.len()).filter(|i| level.hole[*i]).collect();
        guess(level, below.as_ref());
        let mut nearest: Vec<usize> = vec![0; level.hole.len()];
        if !sources.is_empty() {
            for &i in &targets {
                nearest[i] = start(level, i, below.as_ref(), &sources, &mut random);
            }
            let rounds = if n == 0 { 2 } else { ROUNDS };
            for round in 0..rounds {
                search(level, &targets, &mut nearest, round % 2 == 1, &mut random);
                vote(level, &targets, &nearest, n == 0 && round + 1 == rounds);
            }
        }
        below = Some(Coarser { width: level.width, color: level.color.clone(), nearest });
    }
    for (pixel, (color, hole)) in picture.pixels_mut().zip(levels[0].color.iter().zip(&levels[0].hole)) {
        if *hole {
            *pixel = Rgb(color.map(|v| v.round().clamp(0.0, 255.0) as u8));
        }
    }
}

/// Colours to begin with: those of the coarser level, or a smooth fill.
fn guess(level: &mut Level, below: Option<&Coarser>) {
    match below {
        Some(Coarser { width, color, .. }) => {
            for i in (0..level.hole.len()).filter(|i| level.hole[*i]) {
                let (x, y) = (i % level.width / 2, i / level.width / 2);
                level.color[i] = color[y * width + x];
            }
        }
        None => {
            let known: Vec<[f32; 4]> = level
                .color
                .iter()
                .zip(&level.hole)
                .map(|(c, hole)| if *hole { [0.0; 4] } else { [c[0], c[1], c[2], 1.0] })
                .collect();
            for (i, v) in pull::fill(&known, level.width, level.height).into_iter().enumerate() {
                if level.hole[i] {
                    level.color[i] = [v[0], v[1], v[2]];
                }
            }
        }
    }
}

/// A first match: that of the coarser level, or any.
fn start(level: &Level, i: usize, below: Option<&Coarser>, sources: &[usize], random: &mut Random) -> usize {
    if let Some(Coarser { width, nearest, .. }) = below {
        let (x, y) = (i % level.width, i / level.width);
        let match_below = nearest[(y / 2) * width + x / 2];
        let (u, v) = (match_below % width * 2 + x % 2, match_below / width * 2 + y % 2);
        let j = v * level.width + u;
        if u < level.width && v < level.height && match_below > 0 && level.source[j] {
            return j;
        }
    }
    sources[random.below(sources.len())]
}

/// One round of propagation and random search.
fn search(level: &Level, targets: &[usize], nearest: &mut [usize], backwards: bool, random: &mut Random) {
    let w = level.width as i64;
    let mut visit = |i: usize| {
        let mut best = level.difference(i, nearest[i], f32::INFINITY);
        let mut consider = |j: i64, nearest: &mut [usize]| {
            if j < 0 || j as usize >= level.source.len() || !level.source[j as usize] {
                return;
            }
            let d = level.difference(i, j as usize, best);
            if d < best {
                best = d;
                nearest[i] = j as usize;
            }
        };
        let (x, y) = (i as i64 % w, i as i64 / w);
        let step = if backwards { 1 } else { -1 };
        for (u, v) in [(step, 0), (0, step)] {
            let (nx, ny) = (x + u, y + v);
            if nx >= 0 && nx < w && ny >= 0 && (ny as usize) < level.height {
                let k = (ny * w + nx) as usize;
                if level.hole[k] {
                    consider(nearest[k] as i64 - v * w - u, nearest);
                }
            }
        }
        let mut reach = level.width.max(level.height) as i64;
        while reach > 1 {
            let (cx, cy) = (nearest[i] as i64 % w, nearest[i] as i64 / w);
            let u = cx + random.below(2 * reach as usize + 1) as i64 - reach;
            let v = cy + random.below(2 * reach as usize + 1) as i64 - reach;
            if u >= 0 && u < w && v >= 0 && (v as usize) < level.height {
                consider(v * w + u, nearest);
            }
            reach /= 2;
        }
    };
    if backwards {
        targets.iter().rev().for_each(|i| visit(*i));
    } else {
        targets.iter().for_each(|i| visit(*i));
    }
}

/// New colours: what all patches over a pixel say, or for the last round what its own says.
fn vote(level: &mut Level, targets: &[usize], nearest: &[usize], sharp: bool) {
    let w = level.width as i64;
    let colors: Vec<[f32; 3]> = targets
        .iter()
        .map(|&i| {
            if sharp {
                return level.color[nearest[i]];
            }
            let (x, y) = (i as i64 % w, i as i64 / w);
            let (mut sum, mut n) = ([0.0_f32; 3], 0.0_f32);
            for v in -RADIUS..=RADIUS {
                for u in -RADIUS..=RADIUS {
                    let (nx, ny) = (x + u, y + v);
                    if nx < 0 || nx >= w || ny < 0 || ny as usize >= level.height {
                        continue;
                    }
                    let k = (ny * w + nx) as usize;
                    if level.hole[k] {
                        let j = (nearest[k] as i64 - v * w - u) as usize;
                        let c = level.color[j];
                        let weight = if (u, v) == (0, 0) { 4.0 } else { 1.0 };
                        (0..3).for_each(|c_| sum[c_] += weight * c[c_]);
                        n += weight;
                    }
                }
            }
            sum.map(|s| s / n.max(1.0))
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
        fill(&mut picture, &hole);
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
        fill(&mut picture, &GrayImage::from_pixel(30, 20, image::Luma([255])));
        fill(&mut picture, &GrayImage::new(30, 20));
        assert_eq!(picture.dimensions(), (30, 20));
    }
}
