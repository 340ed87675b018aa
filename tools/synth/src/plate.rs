//! The background as the pipeline gets it: the empty scene, or the person's place filled in by something that had to guess.

use crate::noise::FBM;
use crate::random::Random;

/// How the person's place was filled in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// The scene was filmed empty.
    Clean,
    /// What is around runs in, smoothly.
    Diffuse,
    /// Rows are drawn across.
    Smear,
    /// Something like the truth, blurred.
    Blurred,
}

/// Settings of a plate, the same for all frames of a clip.
#[derive(Clone, Debug)]
pub struct Plate {
    /// How it is filled.
    pub fill: Fill,
    /// Does the person's shadow stay on it, outside of what was filled?
    pub keeps_shadow: bool,
    reach: usize,
    tint: [f32; 3],
    grain: f32,
    flicker: f32,
    shift: f32,
}

impl Plate {
    /// Draws how the plates of a clip are made.
    #[must_use]
    pub fn random(random: &mut Random) -> Self {
        let fill = if random.chance(0.55) {
            Fill::Clean
        } else {
            random.pick(&[Fill::Diffuse, Fill::Smear, Fill::Blurred, Fill::Blurred])
        };
        Self {
            fill,
            keeps_shadow: fill != Fill::Clean && random.chance(0.3),
            reach: 2 + random.below(5),
            tint: std::array::from_fn(|_| 6.0 * random.normal()),
            grain: random.range(0.0, 4.0),
            flicker: random.range(0.0, 3.0),
            shift: random.unit(),
        }
    }

    /// The plate of a frame.
    ///
    /// # Shapes
    /// `empty` and `shaded` are `[H, W, 3]`: the scene without and with the person's shadow; `person` is `[H, W]`, true
    /// where the person is.
    #[must_use]
    pub fn frame(
        &self,
        empty: &[u8],
        shaded: &[u8],
        person: &[bool],
        [w, h]: [usize; 2],
        random: &mut Random,
    ) -> Vec<u8> {
        if self.fill == Fill::Clean {
            return empty.to_vec();
        }
        let around = if self.keeps_shadow { shaded } else { empty };
        let mask = dilate(person, [w, h], self.reach);
        let filled = match self.fill {
            Fill::Blurred => blur(empty, [w, h], 2 + self.reach / 2),
            Fill::Smear => smear(around, &mask, [w, h]),
            _ => diffuse(around, &mask, [w, h]),
        };
        let soft = soften(&mask, [w, h]);
        let flicker = self.flicker * random.signed();
        let drift = random.unit();
        let mut out = around.to_vec();
        for (i, share) in soft.iter().enumerate().filter(|(_, s)| **s > 0.0) {
            let (x, y) = ((i % w) as f32, (i / w) as f32);
            let noise = self.grain * FBM.at(x * 0.013 + self.shift, y * 0.013 + 0.05 * drift, 0.0);
            for k in 0..3 {
                let guess = filled[3 * i + k] + self.tint[k] + flicker + noise;
                let level = f32::from(around[3 * i + k]) * (1.0 - share) + guess * share;
                out[3 * i + k] = (level + 0.5) as u8;
            }
        }
        out
    }
}

/// Grows a mask by `reach` pixels, in an octagon.
fn dilate(mask: &[bool], [w, h]: [usize; 2], reach: usize) -> Vec<bool> {
    let mut current = mask.to_vec();
    for step in 0..reach {
        let before = current.clone();
        for y in 0..h {
            for x in 0..w {
                let at = |dx: isize, dy: isize| {
                    let (x, y) = (x as isize + dx, y as isize + dy);
                    (0..w as isize).contains(&x)
                        && (0..h as isize).contains(&y)
                        && before[y as usize * w + x as usize]
                };
                let straight = at(1, 0) || at(-1, 0) || at(0, 1) || at(0, -1);
                let diagonal = step % 2 == 1 && (at(1, 1) || at(-1, -1) || at(1, -1) || at(-1, 1));
                current[y * w + x] |= straight || diagonal;
            }
        }
    }
    current
}

/// A mask as shares with a border of two pixels.
fn soften(mask: &[bool], [w, h]: [usize; 2]) -> Vec<f32> {
    let values: Vec<f32> = mask.iter().map(|m| f32::from(u8::from(*m))).collect();
    box_blur(&values, [w, h], 1, 1)
}

/// The mean over a square of `2 reach + 1`, for pictures of `channels` channels.
fn box_blur(values: &[f32], [w, h]: [usize; 2], channels: usize, reach: usize) -> Vec<f32> {
    let mut rows = vec![0.0; values.len()];
    let mut out = vec![0.0; values.len()];
    let share = 1.0 / (2 * reach + 1) as f32;
    for y in 0..h {
        for c in 0..channels {
            let at = |x: isize| values[(y * w + x.clamp(0, w as isize - 1) as usize) * channels + c];
            let r = reach as isize;
            let mut sum: f32 = (-r..=r).map(at).sum();
            for x in 0..w as isize {
                rows[(y * w + x as usize) * channels + c] = sum * share;
                sum += at(x + r + 1) - at(x - r);
            }
        }
    }
    let row = w * channels;
    let line = |y: isize| y.clamp(0, h as isize - 1) as usize * row;
    let r = reach as isize;
    let mut sums = vec![0.0; row];
    for y in -r..=r {
        sums.iter_mut().zip(&rows[line(y)..line(y) + row]).for_each(|(s, v)| *s += v);
    }
    for y in 0..h as isize {
        let to = y as usize * row;
        for i in 0..row {
            out[to + i] = sums[i] * share;
            sums[i] += rows[line(y + r + 1) + i] - rows[line(y - r) + i];
        }
    }
    out
}

fn blur(picture: &[u8], size: [usize; 2], reach: usize) -> Vec<f32> {
    let values: Vec<f32> = picture.iter().map(|v| f32::from(*v)).collect();
    let once = box_blur(&values, size, 3, reach);
    box_blur(&once, size, 3, reach)
}

/// Each row of the mask runs from the colour on its left to the one on its right.
fn smear(picture: &[u8], mask: &[bool], [w, h]: [usize; 2]) -> Vec<f32> {
    let mut out: Vec<f32> = picture.iter().map(|v| f32::from(*v)).collect();
    for y in 0..h {
        let mut x = 0;
        while x < w {
            if !mask[y * w + x] {
                x += 1;
                continue;
            }
            let from = x;
            while x < w && mask[y * w + x] {
                x += 1;
            }
            let left = if from > 0 { from - 1 } else { x.min(w - 1) };
            let right = if x < w { x } else { left };
            for i in from..x {
                let t = (i - from + 1) as f32 / (x - from + 1) as f32;
                for k in 0..3 {
                    let a = f32::from(picture[3 * (y * w + left) + k]);
                    let b = f32::from(picture[3 * (y * w + right) + k]);
                    out[3 * (y * w + i) + k] = a + (b - a) * t;
                }
            }
        }
    }
    // Rows are not quite apart.
    let soft = box_blur(&out, [w, h], 3, 1);
    for (i, m) in mask.iter().enumerate() {
        if *m {
            out[3 * i..3 * i + 3].copy_from_slice(&soft[3 * i..3 * i + 3]);
        }
    }
    out
}

/// Fills the mask from coarser and coarser means of what is known.
fn diffuse(picture: &[u8], mask: &[bool], [w, h]: [usize; 2]) -> Vec<f32> {
    struct Level {
        size: [usize; 2],
        values: Vec<[f32; 4]>,
    }
    let first = mask.iter().enumerate().map(|(i, m)| {
        let k = if *m { 0.0 } else { 1.0 };
        let at = |c: usize| f32::from(picture[3 * i + c]) * k;
        [at(0), at(1), at(2), k]
    });
    let mut levels = vec![Level { size: [w, h], values: first.collect() }];
    while let Some(level) = levels.last()
        && level.size.iter().all(|n| *n > 2)
    {
        let [w, h] = level.size;
        let size = [w.div_ceil(2), h.div_ceil(2)];
        let mut values = vec![[0.0; 4]; size[0] * size[1]];
        for (i, v) in level.values.iter().enumerate() {
            let to = &mut values[(i / w / 2) * size[0] + (i % w) / 2];
            to.iter_mut().zip(v).for_each(|(t, v)| *t += v);
        }
        for v in &mut values {
            let k = 1.0 / v[3].max(1.0);
            v.iter_mut().for_each(|x| *x *= k);
        }
        levels.push(Level { size, values });
    }
    for l in (0..levels.len().saturating_sub(1)).rev() {
        let (fine, coarse) = levels.split_at_mut(l + 1);
        let (fine, coarse) = (&mut fine[l], &coarse[0]);
        let [cw, ch] = coarse.size;
        let w = fine.size[0];
        for (i, v) in fine.values.iter_mut().enumerate().filter(|(_, v)| v[3] < 1.0) {
            let x = ((i % w) as f32 * 0.5 - 0.25).clamp(0.0, (cw - 1) as f32);
            let y = ((i / w) as f32 * 0.5 - 0.25).clamp(0.0, (ch - 1) as f32);
            let (x0, y0) = (x as usize, y as usize);
            let (x1, y1) = ((x0 + 1).min(cw - 1), (y0 + 1).min(ch - 1));
            let (fx, fy) = (x - x0 as f32, y - y0 as f32);
            let known = v[3];
            for k in 0..3 {
                let at = |x: usize, y: usize| {
                    let c = &coarse.values[y * cw + x];
                    c[k] / c[3].max(1e-6)
                };
                let low = at(x0, y0) + (at(x1, y0) - at(x0, y0)) * fx;
                let high = at(x0, y1) + (at(x1, y1) - at(x0, y1)) * fx;
                v[k] += (1.0 - known) * (low + (high - low) * fy);
            }
            v[3] = 1.0;
        }
    }
    levels[0].values.iter().flat_map(|v| [v[0], v[1], v[2]]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_are_plausible_inside_and_exact_outside() {
        let size = [40, 30];
        let picture: Vec<u8> = (0..40 * 30).flat_map(|i| [(i % 40 * 4) as u8, 100, 50]).collect();
        let person: Vec<bool> = (0..40 * 30).map(|i| (15..22).contains(&(i % 40)) && i / 40 > 8).collect();
        for fill in [Fill::Diffuse, Fill::Smear, Fill::Blurred] {
            let plate = Plate {
                fill,
                keeps_shadow: false,
                reach: 2,
                tint: [0.0; 3],
                grain: 0.0,
                flicker: 0.0,
                shift: 0.0,
            };
            let out = plate.frame(&picture, &picture, &person, size, &mut Random::new(1, &[]));
            let at = |x: usize, y: usize| f32::from(out[3 * (y * 40 + x)]);
            assert_eq!(out[3 * (20 * 40 + 5)], 20);
            assert!((at(18, 20) - 72.0).abs() < 20.0, "{fill:?} {}", at(18, 20));
        }
    }
}
