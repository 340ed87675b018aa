//! An avatar's edge and grain brought to those of the plate.
//!
//! A rendered avatar ends within a pixel and has no noise; a camera blurs every edge a little and adds grain. How wide the plate's sharpest
//! edges are near the avatar says how far its rim has to be blurred; how much the plate's smooth places vary, in the picture and from frame to frame,
//! how much grain it has to get. Both follow the video slowly.

use crate::error::{Result, same_length};
use image::RgbImage;
use rayon::prelude::*;

/// Blur of a rim as splatting leaves it: standard deviation in pixels.
const OWN_BLUR: f32 = 0.62;
/// No rim is blurred by more than this, at a height of [`HEIGHT`].
const MOST_BLUR: f32 = 2.0;
const HEIGHT: f32 = 720.0;
/// More grain than this is texture.
const MOST_GRAIN: f32 = 6.0;
/// Less than this isn't seen.
const LEAST: f32 = 0.3;
/// Share of the new frame in the running means.
const FOLLOW: f32 = 0.1;
/// Steps between neighbours that count as an edge.
const EDGE: f32 = 24.0;
/// Part of the edges that is sharp.
const SHARP: f32 = 0.2;

/// Follows a video and knows its camera's blur and grain.
#[derive(Clone, Debug, Default)]
pub struct EdgeMatch {
    /// Standard deviations of the plate's sharpest edges in pixels, and of its grain in levels.
    known: Option<[f32; 2]>,
    /// The last plate's luma, and the one before it, whose place the next one takes.
    last: Vec<u8>,
    spare: Vec<u8>,
    frame: u64,
}

/// A render whose rim is softened. Kept from frame to frame, it keeps its memory.
#[derive(Clone, Debug, Default)]
pub struct Softened {
    /// `[H, W, 3]` premultiplied colour.
    pub color: Vec<f32>,
    /// `[H, W]` alpha.
    pub alpha: Vec<f32>,
    /// What is covered, blurred along its rows.
    rows: Vec<[f32; 4]>,
}

impl EdgeMatch {
    /// Looks at the next frame's plate.
    ///
    /// # Errors
    /// When the sizes differ.
    pub fn update(&mut self, plate: &RgbImage, alpha: &[f32]) -> Result<()> {
        let (w, h) = (plate.width() as usize, plate.height() as usize);
        same_length("an avatar's alpha", w * h, alpha.len())?;
        let mut lumas = std::mem::take(&mut self.spare);
        lumas.clear();
        let luma = |[r, g, b]: &[u8; 3]| {
            ((54 * u32::from(*r) + 183 * u32::from(*g) + 19 * u32::from(*b)) >> 8) as u8
        };
        lumas.par_extend(plate.as_raw().as_chunks::<3>().0.par_iter().with_min_len(w.max(1)).map(luma));
        let region = around(alpha, w, h);
        if let Some(region) = region {
            let blur = sharpest(&lumas, w, region);
            let grain = grain(&lumas, w, region, (self.last.len() == lumas.len()).then_some(&self.last));
            let old = self.known;
            let mixed = |k: usize, new: Option<f32>, unknown: f32| match (old, new) {
                (Some(old), Some(new)) => old[k] + FOLLOW * (new - old[k]),
                (Some(old), None) => old[k],
                (None, new) => new.unwrap_or(unknown),
            };
            self.known = Some([mixed(0, blur, OWN_BLUR), mixed(1, grain, 0.0)]);
        }
        self.spare = std::mem::replace(&mut self.last, lumas);
        self.frame += 1;
        Ok(())
    }

    /// The plate's blur in pixels and its grain in levels, as far as they are known.
    #[must_use]
    pub fn known(&self) -> Option<[f32; 2]> {
        self.known
    }

    /// Makes `out` a render with the plate's blur at its rim; says no, and leaves it as it is, where the render is as sharp as the plate.
    ///
    /// # Shapes
    /// `color` is `[H, W, 3]`, `alpha` `[H, W]`.
    ///
    /// # Errors
    /// When the lengths don't fit.
    pub fn soften(
        &self,
        color: &[f32],
        alpha: &[f32],
        (w, h): (u32, u32),
        out: &mut Softened,
    ) -> Result<bool> {
        let (w, h) = (w as usize, h as usize);
        same_length("an avatar's alpha", w * h, alpha.len())?;
        same_length("an avatar's colour", 3 * w * h, color.len())?;
        let Some([blur, _]) = self.known else { return Ok(false) };
        let most = MOST_BLUR * (h as f32 / HEIGHT).max(0.5);
        let sigma = (blur * blur - OWN_BLUR * OWN_BLUR).max(0.0).sqrt().min(most);
        let Some(rect) = covered(alpha, w, h).filter(|_| sigma > LEAST) else { return Ok(false) };
        blur_rim(color, alpha, (w, h), rect, sigma, out);
        Ok(true)
    }

    /// Adds the plate's grain where the avatar is: `alpha` is `[H, W]`.
    ///
    /// # Errors
    /// When the sizes differ.
    pub fn add_grain(&self, blend: &mut RgbImage, alpha: &[f32]) -> Result<()> {
        let (w, h) = (blend.width() as usize, blend.height() as usize);
        same_length("an avatar's alpha", w * h, alpha.len())?;
        let Some([_, grain]) = self.known.filter(|known| known[1] > LEAST) else { return Ok(()) };
        let frame = self.frame;
        blend.par_chunks_exact_mut((3 * w).max(1)).enumerate().for_each(|(y, row)| {
            for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let share = alpha[y * w + x].min(1.0);
                if share < 0.02 {
                    continue;
                }
                let seed = frame.wrapping_mul(0x9e37_79b9).wrapping_add((y * w + x) as u64);
                let all = gaussian(seed);
                for (c, v) in pixel.iter_mut().enumerate() {
                    let own = gaussian(seed ^ ((c as u64 + 1) << 40));
                    let noise = grain * share * (0.85 * all + 0.5 * own);
                    *v = (f32::from(*v) + noise).round().clamp(0.0, 255.0) as u8;
                }
            }
        });
        Ok(())
    }
}

type Rect = [usize; 4];

/// The rectangle of what is covered: x0, y0, x1, y1.
fn covered(alpha: &[f32], w: usize, h: usize) -> Option<Rect> {
    let nothing = || [w, h, 0, 0];
    let of_row = |(y, row): (usize, &[f32])| {
        let inside = |a: &f32| *a > 0.0;
        let ends = row.iter().position(inside).zip(row.iter().rposition(inside));
        ends.map_or_else(nothing, |(first, last)| [first, y, last + 1, y + 1])
    };
    let both = |a: Rect, b: Rect| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])];
    let rows = alpha.par_chunks_exact(w.max(1)).enumerate().with_min_len(16);
    let rect = rows.map(of_row).reduce(nothing, both);
    (rect[0] < rect[2]).then_some(rect)
}

/// The same with a quarter of its height around it.
fn around(alpha: &[f32], w: usize, h: usize) -> Option<Rect> {
    let [x0, y0, x1, y1] = covered(alpha, w, h)?;
    let m = (y1 - y0) / 4 + 8;
    Some([x0.saturating_sub(m), y0.saturating_sub(m), (x1 + m).min(w), (y1 + m).min(h)])
}

/// Blur of the sharpest edges: the step over an edge, for the steepest step in it, is 2.5 standard deviations wide.
fn sharpest(lumas: &[u8], w: usize, [x0, y0, x1, y1]: Rect) -> Option<f32> {
    const REACH: usize = 5;
    let of_row = |y: usize| {
        let row = &lumas[y * w..(y + 1) * w];
        let mut widths = Vec::new();
        let mut x = x0 + REACH;
        while x + REACH + 1 < x1 {
            let step = |i: usize| f32::from(row[i + 1]) - f32::from(row[i]);
            let s = step(x);
            // The steepest of its neighbours, and on one slope with them.
            let peak = s.abs() > EDGE && s.abs() >= step(x - 1).abs() && s.abs() > step(x + 1).abs();
            if peak {
                let (mut low, mut high) = (x, x + 1);
                while low > x - REACH && step(low - 1) * s > 0.0 {
                    low -= 1;
                }
                while high < x + REACH && step(high) * s > 0.0 {
                    high += 1;
                }
                let whole = (f32::from(row[high]) - f32::from(row[low])).abs();
                widths.push(whole / s.abs());
                x += REACH;
            }
            x += 1;
        }
        widths
    };
    let mut widths: Vec<f32> = (y0..y1).into_par_iter().with_min_len(8).flat_map_iter(of_row).collect();
    if widths.len() < 40 {
        return None;
    }
    widths.sort_by(f32::total_cmp);
    let width = widths[(widths.len() as f32 * SHARP) as usize];
    // The pixel itself is a box, whose variance is 1/12.
    Some(((width / 2.507).powi(2) - 1.0 / 12.0).max(0.0).sqrt())
}

/// Grain of smooth places: what varies in the picture, as far as it also varies from frame to frame.
fn grain(lumas: &[u8], w: usize, [x0, y0, x1, y1]: Rect, last: Option<&Vec<u8>>) -> Option<f32> {
    let of_row = |y: usize| {
        let (mut spatial, mut temporal) = (Vec::new(), Vec::new());
        for x in (x0 + 1..x1.saturating_sub(1)).step_by(2) {
            let at = |dx: usize, dy: usize| f32::from(lumas[(y + dy - 1) * w + x + dx - 1]);
            let slope = (at(2, 1) - at(0, 1)).abs() + (at(1, 2) - at(1, 0)).abs();
            let level = at(1, 1);
            if slope > 14.0 || !(12.0..=243.0).contains(&level) {
                continue;
            }
            let laplace = at(0, 0) + at(2, 0) + at(0, 2) + at(2, 2)
                - 2.0 * (at(1, 0) + at(0, 1) + at(2, 1) + at(1, 2))
                + 4.0 * level;
            spatial.push(laplace.abs() / 6.0);
            if let Some(last) = last {
                temporal.push((level - f32::from(last[y * w + x])).abs() / std::f32::consts::SQRT_2);
            }
        }
        (spatial, temporal)
    };
    // Row after row, so that sums don't depend on who counted which.
    let rows: Vec<(Vec<f32>, Vec<f32>)> =
        (y0 + 1..y1.saturating_sub(1)).into_par_iter().step_by(2).with_min_len(8).map(of_row).collect();
    let (spatial, temporal): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let (mut spatial, mut temporal) = (spatial.concat(), temporal.concat());
    let deviation = |values: &mut Vec<f32>| {
        if values.len() < 200 {
            return None;
        }
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let at = values.len() / 2;
        let middle = *values.select_nth_unstable_by(at, f32::total_cmp).1;
        // Whole levels have coarse medians: the smaller of two estimates.
        Some((1.4826 * middle).min(1.2533 * mean).max(0.6 * mean))
    };
    let spatial = deviation(&mut spatial)?;
    let found = match deviation(&mut temporal) {
        Some(temporal) => spatial.min(temporal),
        None => 0.7 * spatial,
    };
    Some(found.min(MOST_GRAIN))
}

fn blur_rim(
    color: &[f32],
    alpha: &[f32],
    (w, h): (usize, usize),
    [x0, y0, x1, y1]: Rect,
    sigma: f32,
    out: &mut Softened,
) {
    let reach = (2.5 * sigma).ceil() as usize;
    let (x0, y0) = (x0.saturating_sub(reach), y0.saturating_sub(reach));
    let (x1, y1) = ((x1 + reach).min(w), (y1 + reach).min(h));
    let mut kernel: Vec<f32> =
        (0..=2 * reach).map(|i| (-0.5 * ((i as f32 - reach as f32) / sigma).powi(2)).exp()).collect();
    let sum: f32 = kernel.iter().sum();
    kernel.iter_mut().for_each(|k| *k /= sum);
    let width = x1 - x0;
    let rows = &mut out.rows;
    rows.clear();
    rows.resize(width * (y1 - y0), [0.0; 4]);
    rows.par_chunks_exact_mut(width.max(1)).enumerate().for_each(|(j, row)| {
        let base = (y0 + j) * w;
        for (i, out) in row.iter_mut().enumerate() {
            for (k, weight) in kernel.iter().enumerate() {
                // Beyond the picture's border goes on what is there.
                let x = (x0 + i + k).saturating_sub(reach).min(w - 1);
                let c = &color[3 * (base + x)..3 * (base + x) + 3];
                for (o, v) in out.iter_mut().zip([c[0], c[1], c[2], alpha[base + x]]) {
                    *o += weight * v;
                }
            }
        }
    });
    out.color.clear();
    out.color.extend_from_slice(color);
    out.alpha.clear();
    out.alpha.extend_from_slice(alpha);
    let colors = out.color.par_chunks_exact_mut((3 * w).max(1)).skip(y0).take(y1 - y0);
    let alphas = out.alpha.par_chunks_exact_mut(w.max(1)).skip(y0).take(y1 - y0);
    colors.zip(alphas).enumerate().for_each(|(j, (colors, alphas))| {
        for i in 0..width {
            let mut sum = [0.0_f32; 4];
            for (k, weight) in kernel.iter().enumerate() {
                let y = (j + k).saturating_sub(reach).min(y1 - y0 - 1);
                for (s, v) in sum.iter_mut().zip(rows[y * width + i]) {
                    *s += weight * v;
                }
            }
            // Only the rim: what is inside keeps its detail, and blends over without a step.
            let x = x0 + i;
            let share = 1.0 - ((sum[3] - 0.9) / 0.1).clamp(0.0, 1.0);
            for (c, s) in colors[3 * x..3 * x + 3].iter_mut().zip(sum) {
                *c += (s - *c) * share;
            }
            alphas[x] += (sum[3] - alphas[x]) * share;
        }
    });
}

/// A number that looks normally distributed, from another.
fn gaussian(seed: u64) -> f32 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    // The sum of four even numbers: variance 1/3.
    let sum: f32 = (0..4).map(|k| ((x >> (16 * k)) & 0xffff) as f32 / 65536.0).sum();
    (sum - 2.0) * 3.0_f32.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    const SIZE: (u32, u32) = (240, 160);

    fn alpha() -> Vec<f32> {
        (0..SIZE.0 * SIZE.1)
            .map(|i| {
                f32::from(u8::from((90..150).contains(&(i % SIZE.0)) && (40..140).contains(&(i / SIZE.0))))
            })
            .collect()
    }

    /// Stripes whose edges are blurred, with noise.
    fn plate(sigma: f32, noise: f32, frame: u64) -> RgbImage {
        let smooth = |d: f32| 1.0 / (1.0 + (-1.702 * d / sigma).exp());
        RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
            let phase = (x % 40) as f32 - 19.7;
            let level = 60.0 + 120.0 * (smooth(phase) - smooth(phase - 20.0) - smooth(phase + 20.0) + 1.0);
            let n = gaussian(frame * 1_000_003 + u64::from(y * SIZE.0 + x));
            Rgb([(level + noise * n).clamp(0.0, 255.0) as u8; 3])
        })
    }

    fn known(sigma: f32, noise: f32) -> [f32; 2] {
        let mut edges = EdgeMatch::default();
        for frame in 0..4 {
            edges.update(&plate(sigma, noise, frame), &alpha()).unwrap();
        }
        edges.known().unwrap()
    }

    #[test]
    fn blur_and_grain_are_measured() {
        let [sharp, silent] = known(0.6, 0.0);
        let [soft, _] = known(1.8, 0.0);
        assert!(sharp < 0.9 && (1.4..2.2).contains(&soft), "{sharp} {soft}");
        let [_, grain] = known(1.2, 3.0);
        assert!(silent < 0.4 && (2.0..4.2).contains(&grain), "{silent} {grain}");
    }

    #[test]
    fn a_rim_is_softened_and_what_is_inside_stays() {
        let alpha = alpha();
        let color: Vec<f32> =
            alpha.iter().enumerate().flat_map(|(i, a)| [a * (i % 3) as f32 / 4.0; 3]).collect();
        let mut edges = EdgeMatch::default();
        let mut soft = Softened::default();
        assert!(!edges.soften(&color, &alpha, SIZE, &mut soft).unwrap());
        edges.known = Some([0.5, 0.0]);
        assert!(!edges.soften(&color, &alpha, SIZE, &mut soft).unwrap());
        edges.known = Some([1.6, 0.0]);
        assert!(edges.soften(&color, &alpha, SIZE, &mut soft).unwrap());
        // What was there before leaves no trace.
        assert!(edges.soften(&color, &alpha, SIZE, &mut soft).unwrap());
        let at = |x: usize, y: usize| y * SIZE.0 as usize + x;
        assert!((0.2..0.5).contains(&soft.alpha[at(89, 90)]) && soft.alpha[at(80, 90)] < 1e-6);
        assert_eq!(soft.alpha[at(120, 90)], 1.0);
        assert!((soft.color[3 * at(120, 90)] - color[3 * at(120, 90)]).abs() < 1e-6);
        let (before, after) = (alpha.iter().sum::<f32>(), soft.alpha.iter().sum::<f32>());
        assert!((before - after).abs() < 0.02 * before, "{before} {after}");
        assert!(edges.soften(&color, &alpha[1..], SIZE, &mut soft).is_err());
    }

    #[test]
    fn grain_lies_on_the_avatar_alone_and_moves() {
        let grey = RgbImage::from_pixel(SIZE.0, SIZE.1, Rgb([120; 3]));
        let mut edges = EdgeMatch { known: Some([0.6, 3.0]), ..EdgeMatch::default() };
        let made = |edges: &EdgeMatch| {
            let mut blend = grey.clone();
            edges.add_grain(&mut blend, &alpha()).unwrap();
            blend
        };
        let first = made(&edges);
        assert_eq!(first.get_pixel(10, 10), grey.get_pixel(10, 10));
        let inside: Vec<f32> = (90..150)
            .flat_map(|x| (40..140).map(move |y| (x, y)))
            .map(|(x, y)| f32::from(first.get_pixel(x, y)[1]) - 120.0)
            .collect();
        let deviation = (inside.iter().map(|v| v * v).sum::<f32>() / inside.len() as f32).sqrt();
        assert!((2.2..3.8).contains(&deviation), "{deviation}");
        assert_eq!(made(&edges), first);
        edges.frame += 1;
        assert_ne!(made(&edges), first);
    }
}
