//! What each place looks like while nobody is there: frames around, laid over each other. A pixel that looks so although
//! somebody's body is there shows a thing in front of the body; one that doesn't, beside every matte, was forgotten.

use bg_mask::PlaneMap;
use image::RgbImage;
use rayon::prelude::*;
use std::ops::Range;

/// At most so many frames on each side are laid over one.
const MOST: usize = 12;
/// So many must show a place empty, and agree about it.
const FEWEST: usize = 2;
/// Bytes by which a place may differ from itself: at least, at most, and by how many times the usual difference.
const SAME: ([f32; 2], f32) = ([7.0, 22.0], 2.5);
/// Beyond so many times that it shows something else.
const OTHER: f32 = 1.8;
/// Where a shadow falls, all channels are dimmed alike: the least that is left, and by how much channels may differ.
const SHADOW: (f32, f32) = (0.35, 0.12);
/// Every so many columns and rows are looked at for how the light changed.
const OFFSET_STEP: usize = 5;

/// Colours that were made lighter or darker are below zero by less than this, all channels together.
const LIFT: f32 = 1024.0;

/// Bytes by which what goes on beside a thing may look different from it.
pub(super) const LIKE_IT: u8 = 26;

/// What a pixel shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nobody knows what is there otherwise.
    Unknown,
    /// What is there while nobody is.
    Same,
    /// The same, dimmed or lit.
    Shadow,
    /// Something else.
    Other,
}

/// A frame as others are laid over it.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) picture: RgbImage,
    /// `[h, w]` nobody is near.
    pub(super) clear: Vec<bool>,
    /// From the frame before to this one; `None` after a cut.
    pub(super) step: Option<PlaneMap>,
}

/// What a frame's places look like empty.
#[derive(Clone, Debug)]
pub(super) struct Scenery {
    pub(super) shown: Vec<Shown>,
    /// `[h, w]` the empty place's colour, where it is known.
    empty: Vec<Option<[u8; 3]>>,
    /// `[h, w]` the frame itself.
    picture: RgbImage,
}

impl Scenery {
    /// Of a frame that nothing is known of.
    pub(super) fn unknown(picture: RgbImage) -> Self {
        let n = picture.pixels().len();
        Self { shown: vec![Shown::Unknown; n], empty: vec![None; n], picture }
    }

    fn width(&self) -> usize {
        self.picture.width() as usize
    }

    /// Lays the frames around over frame `index`, within some columns and rows.
    pub(super) fn new(samples: &[&Sample], index: usize, [columns, rows]: [Range<usize>; 2]) -> Self {
        let this = samples[index];
        let (w, h) = (this.picture.width() as usize, this.picture.height() as usize);
        let mut scenery = Self::unknown(this.picture.clone());
        let sources = around(samples, index);
        if sources.len() < FEWEST {
            return scenery;
        }
        let rows = rows.start.min(h)..rows.end.min(h);
        let pixels = rows.start * w..rows.end * w;
        let gains: Vec<[f32; 3]> =
            sources.par_iter().map(|(source, map)| offset(this, source, map)).collect();
        let columns = columns.start.min(w)..columns.end.min(w);
        // What sources show of each place of a row, one place's after the other's, and how many they are.
        let room = || (vec![[0.0; 3]; columns.len() * sources.len()], vec![0; columns.len()]);
        let lines = scenery.empty[pixels.clone()].par_chunks_mut(w).enumerate();
        lines.for_each_init(room, |(seen, counts), (row, out)| {
            counts.fill(0);
            for ((source, map), gain) in sources.iter().zip(&gains) {
                for_places(map, row + rows.start, columns.clone(), [w, h], |x, i| {
                    if source.clear[i] {
                        let p = &source.picture.as_raw()[3 * i..3 * i + 3];
                        let count = &mut counts[x];
                        seen[x * sources.len() + *count] = std::array::from_fn(|k| f32::from(p[k]) + gain[k]);
                        *count += 1;
                    }
                });
            }
            let seen = seen.chunks_exact(sources.len()).zip(counts.iter());
            for (out, (seen, count)) in out[columns.clone()].iter_mut().zip(seen) {
                *out = usual(&seen[..*count]);
            }
        });
        let differences: Vec<Option<f32>> =
            pixels.clone().into_par_iter().map(|i| scenery.difference(i)).collect();
        let mut known: Vec<f32> = pixels
            .clone()
            .zip(&differences)
            .filter(|(i, _)| this.clear[*i])
            .filter_map(|(_, difference)| *difference)
            .collect();
        if known.len() < 50 {
            return scenery;
        }
        let at = known.len() * 9 / 10;
        let noise = *known.select_nth_unstable_by(at, f32::total_cmp).1;
        let ([least, most], times) = SAME;
        let same = (times * noise).clamp(least, most);
        for (i, difference) in pixels.zip(differences) {
            scenery.shown[i] = match difference {
                None => Shown::Unknown,
                Some(d) if d <= same => Shown::Same,
                Some(d) if d < OTHER * same => Shown::Unknown,
                Some(_) if scenery.is_shaded(i) => Shown::Shadow,
                Some(_) => Shown::Other,
            };
        }
        scenery
    }

    /// The least difference from what is known to be there, within a pixel; `None` where nothing is.
    fn difference(&self, i: usize) -> Option<f32> {
        self.empty[i]?;
        let w = self.width();
        let (x, y, h) = (i % w, i / w, self.empty.len() / w);
        let here = self.here(i);
        let mut least = u8::MAX;
        for v in y.saturating_sub(1)..(y + 2).min(h) {
            let line = &self.empty[v * w + x.saturating_sub(1)..v * w + (x + 2).min(w)];
            for there in line.iter().flatten() {
                least = least.min(unlike(here, *there));
            }
        }
        Some(f32::from(least))
    }

    /// Are all channels dimmed alike?
    fn is_shaded(&self, i: usize) -> bool {
        let Some(empty) = self.empty[i] else { return false };
        let here = self.here(i);
        // A little is added: dark channels are mostly noise.
        let share: [f32; 3] =
            std::array::from_fn(|k| (f32::from(here[k]) + 8.0) / (f32::from(empty[k]) + 8.0));
        let mean = share.iter().sum::<f32>() / 3.0;
        let spread = share.iter().map(|s| (s / mean - 1.0).abs()).fold(0.0, f32::max);
        (SHADOW.0..1.0).contains(&mean) && spread < SHADOW.1
    }

    /// `[h, w]` what places look like while nobody is there, or what the frame shows where that isn't known.
    pub(super) fn looks(&self) -> Vec<[u8; 3]> {
        self.empty.iter().enumerate().map(|(i, empty)| empty.unwrap_or_else(|| self.here(i))).collect()
    }

    /// A pixel of the frame.
    fn here(&self, i: usize) -> [u8; 3] {
        std::array::from_fn(|k| self.picture.as_raw()[3 * i + k])
    }

    /// Right of a place or below it, the empty scenery looks different by more than so many bytes.
    pub(super) fn changes_beside(&self, i: usize, bytes: u8) -> bool {
        let Some(here) = self.empty[i] else { return false };
        let right = (!(i + 1).is_multiple_of(self.width())).then_some(i + 1);
        let others = [right, Some(i + self.width())].into_iter().flatten();
        others.filter_map(|j| *self.empty.get(j)?).any(|there| unlike(here, there) > bytes)
    }

    /// The empty place's colour is known.
    pub(super) fn is_known(&self, i: usize) -> bool {
        self.empty[i].is_some()
    }
}

/// Columns and rows that those of `n` pixels fill that are picked; none for none.
pub(super) fn span(n: usize, width: usize, of: impl Fn(usize) -> bool) -> [Range<usize>; 2] {
    let mut bounds = [width..0, n / width.max(1)..0];
    for i in (0..n).filter(|i| of(*i)) {
        for (range, at) in bounds.iter_mut().zip([i % width, i / width]) {
            *range = range.start.min(at)..range.end.max(at + 1);
        }
    }
    if bounds[0].is_empty() { [0..0, 0..0] } else { bounds }
}

/// The largest difference of two colours' channels.
pub(super) fn unlike(a: [u8; 3], b: [u8; 3]) -> u8 {
    a.iter().zip(b).map(|(a, b)| a.abs_diff(b)).max().unwrap_or(0)
}

/// The frames that are laid over one, with the maps from it to them.
fn around<'a>(samples: &[&'a Sample], index: usize) -> Vec<(&'a Sample, PlaneMap)> {
    let stride = |n: usize| n.div_ceil(MOST).max(1);
    let (after, before) = (stride(samples.len() - index - 1), stride(index));
    let all = maps(|k| samples[k].step.as_ref(), index, 0..samples.len()).into_iter();
    all.filter(|(k, _)| k.abs_diff(index).is_multiple_of(if *k > index { after } else { before }))
        .map(|(k, map)| (samples[k], map))
        .collect()
}

/// The maps from a frame to others of a range: first to those after it, then to those before, each as far as the background's moves are
/// known. `step` is that from the frame before to a frame.
pub(super) fn maps<'a>(
    step: impl Fn(usize) -> Option<&'a PlaneMap>,
    index: usize,
    frames: Range<usize>,
) -> Vec<(usize, PlaneMap)> {
    let mut found = Vec::new();
    let mut map = PlaneMap::SAME;
    for k in index + 1..frames.end {
        let Some(step) = step(k) else { break };
        map = map.then(step);
        found.push((k, map));
    }
    map = PlaneMap::SAME;
    for k in (frames.start..index).rev() {
        let Some(step) = step(k + 1).and_then(PlaneMap::inverse) else { break };
        map = map.then(&step);
        found.push((k, map));
    }
    found
}

/// Visits the pixels of a row that lie in another frame's picture: with the place among the columns, and that of the pixel they lie on.
#[inline]
pub(super) fn for_places(
    map: &PlaneMap,
    row: usize,
    columns: Range<usize>,
    [w, h]: [usize; 2],
    mut visit: impl FnMut(usize, usize),
) {
    let is_inside = |[u, v]: [f32; 2]| u >= 0.0 && v >= 0.0 && u < w as f32 && v < h as f32;
    let start = columns.start;
    for piece in map.along(row, columns) {
        let (first, len) = (piece.columns.start - start, piece.columns.len());
        let at = |n: usize| piece.at(n).map(|v| v + 0.5);
        // What isn't negative is cut to its whole part; to a small integer first, which is one instruction.
        let pixel = |[u, v]: [f32; 2]| v as i32 as usize * w + u as i32 as usize;
        if is_inside(at(0)) && is_inside(at(len - 1)) {
            // All that is between them is inside too.
            (0..len).for_each(|n| visit(first + n, pixel(at(n))));
        } else {
            (0..len).filter(|n| is_inside(at(*n))).for_each(|n| visit(first + n, pixel(at(n))));
        }
    }
}

/// By how much a source is darker than a frame where nobody is in either: the middle difference of each channel.
fn offset(this: &Sample, source: &Sample, map: &PlaneMap) -> [f32; 3] {
    let (w, h) = (this.picture.width() as usize, this.picture.height() as usize);
    let mut differences: [Vec<f32>; 3] = Default::default();
    for y in (0..h).step_by(OFFSET_STEP) {
        for_places(map, y, 0..w, [w, h], |x, j| {
            let i = y * w + x;
            if x.is_multiple_of(OFFSET_STEP) && this.clear[i] && source.clear[j] {
                for (k, d) in differences.iter_mut().enumerate() {
                    let [a, b] = [this.picture.as_raw()[3 * i + k], source.picture.as_raw()[3 * j + k]];
                    d.push(f32::from(a) - f32::from(b));
                }
            }
        });
    }
    differences.map(|mut d| {
        if d.len() < 30 {
            return 0.0;
        }
        let middle = d.len() / 2;
        *d.select_nth_unstable_by(middle, f32::total_cmp).1
    })
}

/// The colour that most of some colours are like; `None` for too few, or where they don't agree.
fn usual(seen: &[[f32; 3]]) -> Option<[u8; 3]> {
    if seen.len() < FEWEST {
        return None;
    }
    // How light each is, with its number behind: whole numbers are quick to sort. Twice `MOST` colours come at most.
    let mut lights = [0_u64; 2 * MOST];
    let lights = &mut lights[..seen.len()];
    for (n, (light, c)) in lights.iter_mut().zip(seen).enumerate() {
        // Lifted above zero, so that the bits of a larger number are larger.
        *light = u64::from((c[0] + c[1] + c[2] + LIFT).max(0.0).to_bits()) << 32 | n as u64;
    }
    let middle = seen[(*lights.select_nth_unstable(seen.len() / 2).1 & 0xffff_ffff) as usize];
    let off = |c: &[f32; 3]| (0..3).map(|k| (c[k] - middle[k]).abs()).fold(0.0, f32::max);
    let agree = seen.iter().filter(|c| off(c) < 2.0 * SAME.0[0]).count();
    (agree >= FEWEST && 2 * agree > seen.len()).then(|| middle.map(|v| v.clamp(0.0, 255.0) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    /// A wall with a post, before or behind which something red passes.
    fn samples(behind: bool) -> Vec<Sample> {
        let n = 12;
        (0..n)
            .map(|t| {
                let left = 4 * t as u32;
                let is_red = |x: u32| (left..left + 12).contains(&x);
                let is_post = |x: u32| (28..32).contains(&x);
                let picture = RgbImage::from_fn(64, 40, |x, y| {
                    let wall = Rgb([90 + (x * 7 % 23) as u8, 100, 90 + (y * 5 % 19) as u8]);
                    if is_post(x) && (behind || !is_red(x)) {
                        Rgb([40, 44, 48])
                    } else if is_red(x) {
                        Rgb([200, 30, 40])
                    } else {
                        wall
                    }
                });
                let clear = (0..64 * 40).map(|i| !is_red(i % 64)).collect();
                Sample { picture, clear, step: (t > 0).then_some(PlaneMap::SAME) }
            })
            .collect()
    }

    #[test]
    fn what_looks_as_ever_is_in_front() {
        for behind in [true, false] {
            let samples = samples(behind);
            let samples: Vec<&Sample> = samples.iter().collect();
            // Red lies over columns 24 to 35.
            let scenery = Scenery::new(&samples, 6, [0..64, 0..40]);
            let at = |x: usize| scenery.shown[20 * 64 + x];
            assert_eq!(at(26), Shown::Other);
            assert_eq!(at(30), if behind { Shown::Same } else { Shown::Other });
            assert_eq!(at(50), Shown::Same);
            assert!(scenery.is_known(20 * 64 + 30));
        }
    }

    #[test]
    fn a_shot_of_one_frame_shows_nothing() {
        let samples = samples(true);
        let scenery = Scenery::new(&[&samples[0]], 0, [0..64, 0..40]);
        assert!(scenery.shown.iter().all(|s| *s == Shown::Unknown));
    }
}
