//! PSNR and SSIM by region, and flicker.

use crate::clip::Clip;
use evaluation::ssim_map;
use image::RgbImage;
use serde::Serialize;

/// Pixels that the person's region reaches beyond the body.
const MARGIN: i64 = 6;
/// A pixel is in the shadow where the target is darker by this much through it.
const SHADOW: u8 = 12;

/// Where a clip's regions are: for each frame and pixel.
#[derive(Clone, Debug)]
pub struct Regions {
    person: Vec<Vec<bool>>,
    shadow: Vec<Vec<bool>>,
}

impl Regions {
    /// The regions of a clip.
    #[must_use]
    pub fn of(clip: &Clip) -> Self {
        let person: Vec<Vec<bool>> = clip.mesh.iter().map(dilated).collect();
        let shadow = clip
            .shadow
            .iter()
            .zip(&person)
            .map(|(s, p)| s.iter().zip(p).map(|(s, p)| *s >= SHADOW && !p).collect());
        Self { shadow: shadow.collect(), person }
    }

    /// Is this pixel of a frame in the shadow's region?
    #[must_use]
    pub fn in_shadow(&self, frame: usize, pixel: usize) -> bool {
        self.shadow[frame][pixel]
    }
}

/// The body's pixels and those near them.
fn dilated(mesh: &RgbImage) -> Vec<bool> {
    let (w, h) = (mesh.width() as i64, mesh.height() as i64);
    let body: Vec<bool> = mesh.pixels().map(|p| p.0.iter().any(|&v| v > 1)).collect();
    let near = |at: i64, n: i64| (at - MARGIN).max(0)..=(at + MARGIN).min(n - 1);
    let rows: Vec<bool> =
        (0..h * w).map(|i| near(i % w, w).any(|x| body[(i / w * w + x) as usize])).collect();
    (0..h * w).map(|i| near(i / w, h).any(|y| rows[(y * w + i % w) as usize])).collect()
}

/// One method on one clip.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Score {
    /// PSNR in dB over the person.
    pub person: f64,
    /// Over the shadow; some clips have none.
    pub shadow: Option<f64>,
    /// Over everything.
    pub whole: f64,
    /// SSIM of the luma over the person.
    pub ssim_person: f64,
    /// Over the shadow.
    pub ssim_shadow: Option<f64>,
    /// Over everything.
    pub ssim_whole: f64,
    /// Mean absolute change from frame to frame in the person's region, over the target's.
    pub flicker: f64,
}

/// Scores a video against the clip's target.
#[must_use]
pub fn score(video: &[RgbImage], clip: &Clip, regions: &Regions) -> Score {
    let (mut person, mut shadow, mut whole) = (Sum::default(), Sum::default(), Sum::default());
    for (f, (a, b)) in video.iter().zip(&clip.target).enumerate() {
        let ssim = ssim_map(a, b);
        for (i, (a, b)) in a.pixels().zip(b.pixels()).enumerate() {
            let squared =
                a.0.iter().zip(b.0).map(|(a, b)| (f64::from(*a) - f64::from(b)).powi(2)).sum::<f64>();
            whole.add(squared, ssim[i]);
            if regions.person[f][i] {
                person.add(squared, ssim[i]);
            }
            if regions.shadow[f][i] {
                shadow.add(squared, ssim[i]);
            }
        }
    }
    Score {
        person: person.psnr(),
        shadow: (shadow.n >= 200.0).then(|| shadow.psnr()),
        whole: whole.psnr(),
        ssim_person: person.ssim / person.n.max(1.0),
        ssim_shadow: (shadow.n >= 200.0).then(|| shadow.ssim / shadow.n),
        ssim_whole: whole.ssim / whole.n.max(1.0),
        flicker: change(video, regions) / change(&clip.target, regions).max(1e-9),
    }
}

#[derive(Default)]
struct Sum {
    n: f64,
    squared: f64,
    ssim: f64,
}

impl Sum {
    fn add(&mut self, squared: f64, ssim: f32) {
        self.n += 1.0;
        self.squared += squared;
        self.ssim += f64::from(ssim);
    }

    fn psnr(&self) -> f64 {
        10.0 * (255.0 * 255.0 * 3.0 * self.n.max(1.0) / self.squared.max(1e-9)).log10()
    }
}

fn change(video: &[RgbImage], regions: &Regions) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for (f, pair) in video.windows(2).enumerate() {
        for (i, (a, b)) in pair[0].pixels().zip(pair[1].pixels()).enumerate() {
            if regions.person[f][i] {
                sum += a.0.iter().zip(b.0).map(|(a, b)| f64::from(a.abs_diff(b))).sum::<f64>();
                n += 1.0;
            }
        }
    }
    sum / f64::max(n, 1.0)
}

/// The PSNR of the mean squared error of several PSNRs: one that is nearly infinite counts as no error, not as a lot of
/// quality. Not finite without any.
#[must_use]
pub fn pooled(values: &[f64]) -> f64 {
    let error = values.iter().map(|v| 10_f64.powf(-v / 10.0)).sum::<f64>() / values.len() as f64;
    -10.0 * error.log10()
}

/// Mean and its standard error.
#[must_use]
pub fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, (variance / n).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_clip_does_not_hide_the_others() {
        assert!((pooled(&[20.0, 20.0]) - 20.0).abs() < 1e-9);
        // Half of the error, 3 dB: however right one of two clips is.
        assert!((pooled(&[20.0, 186.0]) - 23.01).abs() < 0.01);
        assert!(pooled(&[20.0, 186.0]) > pooled(&[19.0, 60.0]));
    }
}
