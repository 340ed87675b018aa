//! By how much a background without enough corners moved as a whole: what edges it has, and how bright its places are.

use super::entry::Entry;
use super::gray::{Gray, middle};

/// Pixels from the hole and from the border that count.
const CLEAR: f32 = 2.0;
/// Rounds at each size.
const ROUNDS: usize = 8;
/// A round that moves less is the last.
const ENOUGH: f32 = 0.01;
/// Differences in grey levels from which on a pixel counts half.
const HALF: f32 = 6.0;
/// As much is known beforehand as so many pixels say that rise by a level a pixel: noise doesn't move a picture.
const STILL: f32 = 30.0;
/// So many per cent of the pixels must be the same at the end to so many grey levels, once the whole is as bright as before; the light may
/// have changed by so much.
const SAME_PERCENT: usize = 85;
const SAME: f32 = 8.0;
const LIGHT: f32 = 12.0;
/// Fewer pixels say nothing.
const FEW: usize = 200;

/// Where pixels of `a` lie in `b`, away from where they lie in `a`; `None` where the two aren't alike.
pub(super) fn shift(a: &Entry, b: &Entry) -> Option<[f32; 2]> {
    let mut moved = [0.0_f32; 2];
    for level in (0..a.small.len().min(b.small.len())).rev() {
        let (view, before) = (View { a, b, level }, moved);
        for _ in 0..ROUNDS {
            let step = view.step(moved, before)?;
            moved = [0, 1].map(|k| moved[k] + step[k] * view.size());
            if step[0].hypot(step[1]) < ENOUGH {
                break;
            }
        }
    }
    let mut left: Vec<f32> =
        View { a, b, level: 0 }.samples(moved).map(|(_, difference)| difference).collect();
    if left.len() < FEW {
        return None;
    }
    let light = middle(&mut left)?;
    left.iter_mut().for_each(|v| *v = (*v - light).abs());
    let at = left.len() * SAME_PERCENT / 100;
    let most = *left.select_nth_unstable_by(at, f32::total_cmp).1;
    (light.abs() <= LIGHT && most <= SAME).then_some(moved)
}

/// Two frames at one size of their pyramids.
struct View<'a> {
    a: &'a Entry,
    b: &'a Entry,
    level: usize,
}

impl View<'_> {
    /// Pixels of the largest size along one of this.
    fn size(&self) -> f32 {
        (1 << self.level) as f32
    }

    /// Places of `a` that both frames show, as `b` is moved, and how much brighter `b` is there.
    fn samples(&self, moved: [f32; 2]) -> impl Iterator<Item = ([usize; 2], f32)> + '_ {
        let [from, to]: [&Gray; 2] = [self.a, self.b].map(|entry| &entry.small[self.level]);
        let size = self.size();
        // A third of the pixels of the largest picture says enough.
        let every = if self.level == 0 { 3 } else { 1 };
        (0..from.data.len()).step_by(every).filter_map(move |i| {
            let at = [i % from.width, i / from.width];
            let full = at.map(|v| (v as f32 + 0.5) * size - 0.5);
            let there = [0, 1].map(|k| full[k] + moved[k]);
            if self.a.clear_at(full) <= CLEAR || self.b.clear_at(there) <= CLEAR {
                return None;
            }
            let [x, y] = there.map(|v| (v + 0.5) / size - 0.5);
            to.holds([x, y], 1.0).then(|| (at, to.at(x, y) - from.data[i]))
        })
    }

    /// The step, in pixels of this size, that makes `b` more like `a`; `None` where too little is seen. What smaller pictures said (`before`)
    /// holds as far as differences of brightness from pixel to pixel may be noise.
    fn step(&self, moved: [f32; 2], before: [f32; 2]) -> Option<[f32; 2]> {
        let from = &self.a.small[self.level];
        let samples: Vec<([usize; 2], f32)> = self
            .samples(moved)
            .filter(|([x, y], _)| (1..from.width - 1).contains(x) && (1..from.height - 1).contains(y))
            .collect();
        let mut differences: Vec<f32> = samples.iter().map(|(_, difference)| *difference).collect();
        if differences.len() < FEW >> (2 * self.level).min(6) {
            return None;
        }
        let light = middle(&mut differences)?;
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        let (mut x_sum, mut y_sum, mut noise) = (0.0, 0.0, 0.0);
        for ([x, y], difference) in samples {
            let (i, w, d) = (y * from.width + x, from.width, &from.data);
            let (right, down) = ((d[i + 1] - d[i - 1]) * 0.5, (d[i + w] - d[i - w]) * 0.5);
            let off = difference - light;
            let weight = 1.0 / (1.0 + (off / HALF).powi(2));
            (xx, xy, yy) =
                (xx + weight * right * right, xy + weight * right * down, yy + weight * down * down);
            (x_sum, y_sum) = (x_sum - weight * right * off, y_sum - weight * down * off);
            noise += weight * off * off;
        }
        // Two frames' noise is in a difference of theirs; in half the difference between two pixels of one frame, a quarter of that.
        let firm = STILL + noise / 4.0;
        let held = [0, 1].map(|k| firm * (before[k] - moved[k]) / self.size());
        (xx, yy, x_sum, y_sum) = (xx + firm, yy + firm, x_sum + held[0], y_sum + held[1]);
        let by = xx * yy - xy * xy;
        (by > 0.0).then(|| [(yy * x_sum - xy * y_sum) / by, (xx * y_sum - xy * x_sum) / by])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, RgbImage};

    fn noise(x: u32, y: u32, t: u32) -> u32 {
        let mixed = (x * 3_571 + y * 19_349 + t * 83_497).wrapping_mul(0x9e37_79b1);
        (mixed ^ (mixed >> 13)).wrapping_mul(0x5bd1_e995) >> 7 & 7
    }

    /// A wall with two soft edges, in frame `t`: noise, and as bright as that.
    fn wall(moved: [f32; 2], t: u32, light: f32) -> Entry {
        let picture = RgbImage::from_fn(160, 120, |x, y| {
            let [u, v] = [x as f32 - moved[0], y as f32 - moved[1]];
            let edge = |d: f32| 40.0 / (1.0 + (-d / 2.5).exp());
            let noise = noise(x, y, t) as f32;
            image::Rgb([(70.0 + light + edge(u - 90.0) + edge(v - 30.0 - 0.2 * u) + noise) as u8; 3])
        });
        let hole = GrayImage::from_fn(160, 120, |x, y| {
            image::Luma([if x.abs_diff(60) < 15 && y > 40 { 255 } else { 0 }])
        });
        Entry::new(picture, hole, None, 1)
    }

    #[test]
    fn a_wall_with_two_edges_is_found_again() {
        let before = wall([0.0; 2], 0, 0.0);
        for moved in [[0.0, 0.0], [1.5, -0.75], [-6.0, 4.0]] {
            let found = shift(&before, &wall(moved, 3, 5.0)).unwrap();
            assert!((0..2).all(|k| (found[k] - moved[k]).abs() < 0.15), "{found:?}, {moved:?}");
        }
        // In another light altogether nothing is known.
        assert_eq!(shift(&before, &wall([0.0; 2], 1, 60.0)), None);
    }

    #[test]
    fn noise_moves_nothing() {
        let plain = |t: u32| {
            let picture = RgbImage::from_fn(160, 120, |x, y| image::Rgb([120 + noise(x, y, t) as u8; 3]));
            Entry::new(picture, GrayImage::new(160, 120), None, 1)
        };
        let found = shift(&plain(0), &plain(5)).unwrap();
        assert!(found[0].hypot(found[1]) < 0.2, "{found:?}");
    }
}
