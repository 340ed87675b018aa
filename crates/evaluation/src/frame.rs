//! Scores of one frame.

use image::{GrayImage, RgbImage};
use serde::{Deserialize, Serialize};

/// A part of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Region {
    /// Everything.
    Whole,
    /// Where the mask is at least one half.
    Person,
    /// A band around the mask's edge.
    Seam,
    /// The rest.
    Background,
}

impl Region {
    /// All parts.
    pub const ALL: [Self; 4] = [Self::Whole, Self::Person, Self::Seam, Self::Background];
}

/// Sums over a region of a frame; they add up over frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FrameScore {
    /// Pixels.
    pub pixels: u64,
    /// Squared differences over all channels, of values 0 to 255.
    pub squared: f64,
    /// Absolute differences over all channels.
    pub absolute: f64,
    /// Colour differences ΔE (CIE 1976).
    pub delta_e: f64,
    /// Structural similarities of the luma.
    pub ssim: f64,
}

impl FrameScore {
    /// Peak signal-to-noise ratio in dB; infinite for equal pictures, NaN without pixels.
    #[must_use]
    pub fn psnr(&self) -> f64 {
        10.0 * (255.0 * 255.0 / (self.squared / (3.0 * self.pixels as f64))).log10()
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.pixels += other.pixels;
        self.squared += other.squared;
        self.absolute += other.absolute;
        self.delta_e += other.delta_e;
        self.ssim += other.ssim;
    }
}

/// The region of every pixel: person or background by the mask, seam where both lie within `seam` pixels (in a
/// square neighbourhood, found along rows and then along columns).
pub(super) fn regions(mask: &GrayImage, seam: u32) -> Vec<Region> {
    let (w, h, seam) = (mask.width() as usize, mask.height() as usize, seam as usize);
    let inside: Vec<bool> = mask.as_raw().iter().map(|&m| m >= 128).collect();
    // (is there person nearby, is there background nearby)
    let around = |i: usize, n: usize| i.saturating_sub(seam)..=(i + seam).min(n - 1);
    let either = |(a, b): (bool, bool), (c, d): (bool, bool)| (a || c, b || d);
    let mut rows = Vec::with_capacity(w * h);
    for row in inside.chunks_exact(w.max(1)) {
        rows.extend((0..w).map(|x| around(x, w).map(|x| (row[x], !row[x])).fold((false, false), either)));
    }
    let mut regions = Vec::with_capacity(w * h);
    for y in 0..h {
        for x in 0..w {
            let nearby = around(y, h).map(|y| rows[y * w + x]).fold((false, false), either);
            regions.push(match (nearby, inside[y * w + x]) {
                ((true, true), _) if seam > 0 => Region::Seam,
                (_, true) => Region::Person,
                (_, false) => Region::Background,
            });
        }
    }
    regions
}

/// Scores a frame against another, over the whole picture and over each region of `regions` (one a pixel, or empty).
#[must_use]
pub fn score_frame(a: &RgbImage, b: &RgbImage, regions: &[Region]) -> [FrameScore; 4] {
    let ssim = ssim_map(a, b);
    let mut scores = [FrameScore::default(); 4];
    for (i, ((pa, pb), ssim)) in a.pixels().zip(b.pixels()).zip(&ssim).enumerate() {
        let mut one = FrameScore { pixels: 1, ssim: f64::from(*ssim), ..FrameScore::default() };
        for (x, y) in pa.0.iter().zip(pb.0) {
            let d = f64::from(*x) - f64::from(y);
            one.squared += d * d;
            one.absolute += d.abs();
        }
        if one.squared > 0.0 {
            let (la, lb) = (lab(pa.0), lab(pb.0));
            one.delta_e = la.iter().zip(lb).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
        }
        scores[Region::Whole as usize].add(&one);
        if let Some(region) = regions.get(i) {
            scores[*region as usize].add(&one);
        }
    }
    scores
}

/// The luma (BT.601 weights) of every pixel, 0 to 255.
pub(super) fn luma(image: &RgbImage) -> Vec<f32> {
    image
        .pixels()
        .map(|p| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]))
        .collect()
}

/// Structural similarity at every pixel, on luma with an 11 × 11 Gaussian window of σ = 1.5 (Wang et al. 2004); the
/// window is cut at the border.
#[must_use]
pub fn ssim_map(a: &RgbImage, b: &RgbImage) -> Vec<f32> {
    const C1: f32 = (0.01 * 255.0) * (0.01 * 255.0);
    const C2: f32 = (0.03 * 255.0) * (0.03 * 255.0);
    let (w, h) = (a.width() as usize, a.height() as usize);
    let (x, y) = (luma(a), luma(b));
    let product = |p: &[f32], q: &[f32]| -> Vec<f32> { p.iter().zip(q).map(|(p, q)| p * q).collect() };
    let blur = |v: &[f32]| blur(v, w, h);
    let (mx, my) = (blur(&x), blur(&y));
    let (xx, yy, xy) = (blur(&product(&x, &x)), blur(&product(&y, &y)), blur(&product(&x, &y)));
    (0..w * h)
        .map(|i| {
            let (mx, my) = (mx[i], my[i]);
            let (vx, vy, cov) = (xx[i] - mx * mx, yy[i] - my * my, xy[i] - mx * my);
            ((2.0 * mx * my + C1) * (2.0 * cov + C2)) / ((mx * mx + my * my + C1) * (vx + vy + C2))
        })
        .collect()
}

fn blur(values: &[f32], w: usize, h: usize) -> Vec<f32> {
    const RADIUS: usize = 5;
    let kernel: Vec<f32> =
        (0..=2 * RADIUS).map(|i| (-((i as f32 - RADIUS as f32) / 1.5).powi(2) / 2.0).exp()).collect();
    let pass = |at: &dyn Fn(usize, usize) -> f32, n: usize, i: usize, j: usize| {
        let (mut sum, mut weight) = (0.0, 0.0);
        for k in i.saturating_sub(RADIUS)..=(i + RADIUS).min(n - 1) {
            let g = kernel[k + RADIUS - i];
            sum += g * at(k, j);
            weight += g;
        }
        sum / weight
    };
    let mut rows = vec![0.0; w * h];
    for y in 0..h {
        for x in 0..w {
            rows[y * w + x] = pass(&|x, y| values[y * w + x], w, x, y);
        }
    }
    let mut out = vec![0.0; w * h];
    for y in 0..h {
        for x in 0..w {
            out[y * w + x] = pass(&|y, x| rows[y * w + x], h, y, x);
        }
    }
    out
}

/// sRGB to CIE L*a*b*, D65.
fn lab(rgb: [u8; 3]) -> [f64; 3] {
    let [r, g, b] = rgb.map(|v| {
        let v = f64::from(v) / 255.0;
        if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    });
    let f = |t: f64| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
    let x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505);
    let y = f(0.2126 * r + 0.7152 * g + 0.0722 * b);
    let z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089);
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Luma, Rgb};

    fn plain(v: u8) -> RgbImage {
        RgbImage::from_pixel(16, 12, Rgb([v; 3]))
    }

    #[test]
    fn equal_pictures_are_perfect() {
        let s = score_frame(&plain(90), &plain(90), &[])[0];
        assert_eq!((s.psnr(), s.absolute, s.delta_e), (f64::INFINITY, 0.0, 0.0));
        assert!((s.ssim / s.pixels as f64 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_known_offset_has_a_known_psnr() {
        let s = score_frame(&plain(100), &plain(110), &[])[0];
        assert!((s.psnr() - 20.0 * (255.0_f64 / 10.0).log10()).abs() < 1e-9);
    }

    #[test]
    fn lab_of_known_colours() {
        let white = lab([255; 3]);
        assert!((white[0] - 100.0).abs() < 0.1 && white[1].abs() < 0.1 && white[2].abs() < 0.1);
        let red = lab([255, 0, 0]);
        assert!((red[0] - 53.24).abs() < 0.1 && (red[1] - 80.09).abs() < 0.2 && (red[2] - 67.2).abs() < 0.2);
    }

    #[test]
    fn regions_split_the_picture() {
        let mask = GrayImage::from_fn(20, 10, |x, _| Luma([if x < 10 { 255 } else { 0 }]));
        let r = regions(&mask, 2);
        let row: Vec<Region> = r[..20].to_vec();
        assert_eq!(row.iter().filter(|r| **r == Region::Seam).count(), 4);
        assert_eq!(
            (row[0], row[7], row[8], row[11], row[12]),
            (Region::Person, Region::Person, Region::Seam, Region::Seam, Region::Background)
        );
        let scores = score_frame(&RgbImage::new(20, 10), &RgbImage::new(20, 10), &r);
        assert_eq!(scores.map(|s| s.pixels), [200, 80, 40, 80]);
    }

    #[test]
    fn noise_lowers_similarity_more_than_an_offset() {
        let base = RgbImage::from_fn(32, 32, |x, y| Rgb([(x * 7 + y * 3) as u8; 3]));
        let offset =
            RgbImage::from_fn(32, 32, |x, y| Rgb(base.get_pixel(x, y).0.map(|v| v.saturating_add(8))));
        let noisy = RgbImage::from_fn(32, 32, |x, y| {
            let n = ((x * 37 + y * 91) % 17) as i16 - 8;
            Rgb(base.get_pixel(x, y).0.map(|v| (i16::from(v) + n).clamp(0, 255) as u8))
        });
        let mean = |b: &RgbImage| ssim_map(&base, b).iter().sum::<f32>();
        assert!(mean(&noisy) < mean(&offset));
    }
}
