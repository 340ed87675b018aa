//! Scores of a whole video.

use crate::frame::{FrameScore, Region, luma, regions, score_frame};
use crate::{Error, Result};
use image::{GrayImage, RgbImage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Scores of one region over all frames.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegionScore {
    /// Share of all pixels.
    pub share: f64,
    /// Peak signal-to-noise ratio in dB; null in JSON where the region is equal.
    pub psnr: f64,
    /// Mean structural similarity.
    pub ssim: f64,
    /// Mean absolute difference, 0 to 255.
    pub l1: f64,
    /// Mean colour difference ΔE (CIE 1976).
    pub delta_e: f64,
}

/// What comparing two videos gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Number of frames compared.
    pub frames: usize,
    /// Scores by region; only the whole picture where there is no mask.
    pub regions: BTreeMap<Region, RegionScore>,
    /// Mean absolute luma change from frame to frame of the first video …
    pub flicker: f64,
    /// … and of the second.
    pub reference_flicker: f64,
    /// Mean luma gradient across the mask's edge band of the first video over that of the second, where there is a
    /// mask: above 1, an edge shows that the other one doesn't have.
    pub seam_energy: Option<f64>,
    /// For each given window boundary: the frame-to-frame change there over the median change; 1 is no jump.
    pub window_jumps: Vec<f64>,
}

/// Compares video `a` with `b`, frame by frame, streamed: only two frames of each are held.
///
/// `masks` has one mask a frame, or is empty. `seam` is the half width of the edge band in pixels. `boundaries` are the
/// frames at which a new window starts.
///
/// Frames come with the caller's own error, [`Error`] or one that takes it in.
///
/// # Errors
/// When the videos or masks differ in size or number, or a frame can't be read.
pub fn evaluate<A, B, M, E>(
    a: A,
    b: B,
    masks: Option<M>,
    seam: u32,
    boundaries: &[usize],
) -> Result<Evaluation, E>
where
    A: IntoIterator<Item = Result<RgbImage, E>>,
    B: IntoIterator<Item = Result<RgbImage, E>>,
    M: IntoIterator<Item = Result<GrayImage, E>>,
    E: From<Error>,
{
    let (mut a, mut b) = (a.into_iter(), b.into_iter());
    let mut masks = masks.map(IntoIterator::into_iter);
    let mut sums = [FrameScore::default(); 4];
    let mut energies = [0.0; 2];
    let mut previous: Option<[Vec<f32>; 2]> = None;
    let mut changes: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    let mut frames = 0;
    loop {
        let (fa, fb) = match (a.next().transpose()?, b.next().transpose()?) {
            (Some(fa), Some(fb)) => (fa, fb),
            (None, None) => break,
            (one, _) => {
                let (a, b) = if one.is_some() { ("more", "no more") } else { ("no more", "more") };
                return Err(E::from(Error::Mismatch {
                    what: "numbers of frames",
                    a: format!("{a} than {frames}"),
                    b: format!("{b} than {frames}"),
                }));
            }
        };
        same_size("frame sizes", fa.dimensions(), fb.dimensions())?;
        let split = match &mut masks {
            Some(masks) => {
                let missing = || Error::Mismatch {
                    what: "frames and masks",
                    a: format!("frame {frames}"),
                    b: "no mask".to_owned(),
                };
                let mask = masks.next().ok_or_else(|| E::from(missing()))??;
                same_size("frame and mask sizes", fa.dimensions(), mask.dimensions())?;
                regions(&mask, seam)
            }
            None => Vec::new(),
        };
        for (sum, score) in sums.iter_mut().zip(score_frame(&fa, &fb, &split)) {
            sum.add(&score);
        }
        let width = fa.width() as usize;
        let lumas = [luma(&fa), luma(&fb)];
        for (energy, luma) in energies.iter_mut().zip(&lumas) {
            *energy += gradient_in_seam(luma, width, &split);
        }
        if let Some(previous) = &previous {
            for (k, changes) in changes.iter_mut().enumerate() {
                changes.push(mean_change(&previous[k], &lumas[k]));
            }
        }
        previous = Some(lumas);
        frames += 1;
    }
    if frames == 0 {
        let none = || "0".to_owned();
        return Err(E::from(Error::Mismatch { what: "numbers of frames", a: none(), b: none() }));
    }
    let total = sums[0].pixels as f64;
    let regions = Region::ALL
        .into_iter()
        .filter(|r| sums[*r as usize].pixels > 0)
        .map(|r| (r, region_score(&sums[r as usize], total)))
        .collect();
    let mean = |v: &[f64]| if v.is_empty() { 0.0 } else { v.iter().sum::<f64>() / v.len() as f64 };
    Ok(Evaluation {
        frames,
        regions,
        flicker: mean(&changes[0]),
        reference_flicker: mean(&changes[1]),
        seam_energy: (masks.is_some() && energies[1] > 0.0).then(|| energies[0] / energies[1]),
        window_jumps: jumps(&changes[0], boundaries),
    })
}

fn same_size(what: &'static str, a: (u32, u32), b: (u32, u32)) -> Result<()> {
    if a == b {
        return Ok(());
    }
    Err(Error::Mismatch { what, a: format!("{}×{}", a.0, a.1), b: format!("{}×{}", b.0, b.1) })
}

fn region_score(sum: &FrameScore, total: f64) -> RegionScore {
    let n = sum.pixels as f64;
    RegionScore {
        share: n / total,
        psnr: sum.psnr(),
        ssim: sum.ssim / n,
        l1: sum.absolute / (3.0 * n),
        delta_e: sum.delta_e / n,
    }
}

fn mean_change(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / a.len().max(1) as f64
}

fn gradient_in_seam(luma: &[f32], width: usize, regions: &[Region]) -> f64 {
    regions
        .iter()
        .enumerate()
        .filter(|(i, r)| **r == Region::Seam && (i + 1) % width != 0 && i + width < luma.len())
        .map(|(i, _)| f64::from((luma[i + 1] - luma[i]).abs() + (luma[i + width] - luma[i]).abs()))
        .sum()
}

fn jumps(changes: &[f64], boundaries: &[usize]) -> Vec<f64> {
    let mut sorted = changes.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0).max(1e-9);
    boundaries
        .iter()
        .filter_map(|&frame| changes.get(frame.checked_sub(1)?))
        .map(|change| change / median)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Luma, Rgb};

    fn clip(values: &[u8]) -> Vec<Result<RgbImage>> {
        values.iter().map(|&v| Ok(RgbImage::from_pixel(16, 16, Rgb([v; 3])))).collect()
    }

    fn no_masks() -> Option<Vec<Result<GrayImage>>> {
        None
    }

    #[test]
    fn a_jump_at_a_boundary_stands_out() {
        let v = [10, 12, 14, 16, 46, 48, 50];
        let e = evaluate(clip(&v), clip(&v), no_masks(), 2, &[4]).unwrap();
        assert_eq!(e.frames, 7);
        assert!((e.window_jumps[0] - 15.0).abs() < 1e-3, "{:?}", e.window_jumps);
        assert_eq!(e.regions[&Region::Whole].psnr, f64::INFINITY);
    }

    #[test]
    fn masks_split_the_scores() {
        let mask =
            || (0..2).map(|_| Ok(GrayImage::from_fn(16, 16, |x, _| Luma([if x < 8 { 255 } else { 0 }]))));
        let spoiled = clip(&[10, 10]).into_iter().map(|f| {
            let mut f = f?;
            f.put_pixel(0, 0, Rgb([255; 3]));
            Ok(f)
        });
        let e = evaluate(spoiled, clip(&[10, 10]), Some(mask()), 1, &[]).unwrap();
        assert_eq!(e.regions[&Region::Background].l1, 0.0);
        assert!(e.regions[&Region::Person].l1 > 0.0);
    }

    #[test]
    fn mismatches_are_errors() {
        assert!(matches!(
            evaluate(clip(&[1]), clip(&[1, 2]), no_masks(), 0, &[]),
            Err(Error::Mismatch { .. })
        ));
        let other = vec![Ok(RgbImage::new(8, 8))];
        assert!(matches!(evaluate(clip(&[1]), other, no_masks(), 0, &[]), Err(Error::Mismatch { .. })));
        assert!(matches!(evaluate(clip(&[]), clip(&[]), no_masks(), 0, &[]), Err(Error::Mismatch { .. })));
    }
}
