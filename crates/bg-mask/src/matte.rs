//! Coarse masks brought to the edges of their picture: a guided filter (He, Sun, Tang: Guided Image Filtering, 2010) whose
//! guide is the picture's colours.

use crate::{Error, Result};
use image::{GrayImage, RgbImage};
use rayon::prelude::*;

/// Colours (0..1) that differ by less than this, squared, aren't an edge.
const EDGE: f32 = 1e-4;
/// Opacities below the first are the plate's and above the second the person's: the filter leaves a haze.
const SURE: [f32; 2] = [0.15, 0.85];

/// A mask whose edges lie where the picture's do, soft where the picture is (hair, motion).
///
/// In windows of `2 · radius + 1` pixels the mask (white from 128 on) is taken for a linear function of the colours. A
/// network's small mask that was made larger is off by a few of its own pixels: that is a good radius.
///
/// # Errors
/// When the sizes differ, or the radius isn't 1 to 500 pixels.
pub fn refine_matte(picture: &RgbImage, mask: &GrayImage, radius: usize) -> Result<GrayImage> {
    if mask.dimensions() != picture.dimensions() {
        return Err(Error::Size { what: "the mask", expected: picture.dimensions(), got: mask.dimensions() });
    }
    if !(1..=500).contains(&radius) {
        return Err(Error::Parameter {
            name: "the matte's radius",
            value: radius.to_string(),
            expected: "1 to 500 pixels",
        });
    }
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    if w == 0 || h == 0 {
        return Ok(mask.clone());
    }
    let (pixels, _) = picture.as_raw().as_chunks::<3>();
    let channel = |k: usize| pixels.iter().map(|p| f32::from(p[k]) / 255.0).collect::<Vec<f32>>();
    let guide = [channel(0), channel(1), channel(2)];
    let mut binary: Vec<f32> = mask.as_raw().iter().map(|m| if *m >= 128 { 1.0 } else { 0.0 }).collect();
    drop_plate(&mut binary, &guide, w, radius);
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<f32>>();
    let mean = |plane: &[f32]| box_mean(plane, w, radius);

    let colors: Vec<Vec<f32>> = guide.iter().map(|g| mean(g)).collect();
    let opacity = mean(&binary);
    let crossed: Vec<Vec<f32>> = guide.iter().map(|g| mean(&product(g, &binary))).collect();
    let squared: Vec<Vec<f32>> = PAIRS.iter().map(|&(i, j)| mean(&product(&guide[i], &guide[j]))).collect();
    // Each window's opacity = slope · colour + offset.
    let models: Vec<[f32; 4]> = (0..w * h)
        .into_par_iter()
        .map(|i| {
            let color = [0, 1, 2].map(|k| colors[k][i]);
            let with_mask = [0, 1, 2].map(|k| crossed[k][i] - color[k] * opacity[i]);
            let mut spread = [0.0; 6];
            for ((s, plane), (a, b)) in spread.iter_mut().zip(&squared).zip(PAIRS) {
                *s = plane[i] - color[a] * color[b] + if a == b { EDGE } else { 0.0 };
            }
            let slope = solve(spread, with_mask);
            let at_mean: f32 = slope.iter().zip(color).map(|(s, c)| s * c).sum();
            [slope[0], slope[1], slope[2], opacity[i] - at_mean]
        })
        .collect();
    let terms: Vec<Vec<f32>> =
        (0..4).map(|k| mean(&models.iter().map(|m| m[k]).collect::<Vec<f32>>())).collect();
    let bytes = (0..w * h)
        .map(|i| {
            let alpha = (0..3).map(|k| terms[k][i] * guide[k][i]).sum::<f32>() + terms[3][i];
            let sure = ((alpha - SURE[0]) / (SURE[1] - SURE[0])).clamp(0.0, 1.0);
            (sure * 255.0).round() as u8
        })
        .collect();
    crate::mask_from_bytes(mask.width(), mask.height(), bytes)
}

/// A colour this near to the plate's around it is the plate's (distance in RGB, 0..1) where the person's is
/// [`APART`] as far.
const NEAR: f32 = 0.12;
const APART: f32 = 2.5;

/// Takes pixels near the mask's edge out of it that look like the plate beside them: gaps between arm and trunk.
fn drop_plate(binary: &mut [f32], guide: &[Vec<f32>; 3], width: usize, radius: usize) {
    let near = box_mean(binary, width, radius);
    // What is far from the edge, on either side.
    let sure = |person: bool| -> Vec<f32> {
        let is_sure = |share: &f32| if person { *share > 0.999 } else { *share < 0.001 };
        near.iter().map(|share| if is_sure(share) { 1.0 } else { 0.0 }).collect()
    };
    let usual = |sure: &[f32]| -> (Vec<f32>, [Vec<f32>; 3]) {
        let of = |plane: &[f32]| {
            let masked: Vec<f32> = plane.iter().zip(sure).map(|(v, s)| v * s).collect();
            box_mean(&masked, width, 4 * radius)
        };
        (box_mean(sure, width, 4 * radius), [0, 1, 2].map(|k| of(&guide[k])))
    };
    let (person, plate) = (usual(&sure(true)), usual(&sure(false)));
    let edge = box_mean(binary, width, 3 * radius);
    for (i, inside) in binary.iter_mut().enumerate() {
        let (p, b) = (person.0[i], plate.0[i]);
        if *inside == 0.0 || edge[i] > 0.999 || p < 0.01 || b < 0.01 {
            continue;
        }
        let distance = |from: [f32; 3], to: [f32; 3]| {
            from.iter().zip(to).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
        };
        let color = [0, 1, 2].map(|k| guide[k][i]);
        let (person, plate) = ([0, 1, 2].map(|k| person.1[k][i] / p), [0, 1, 2].map(|k| plate.1[k][i] / b));
        if distance(color, plate) < NEAR && distance(person, plate) > APART * NEAR {
            *inside = 0.0;
        }
    }
}

/// Entries of a symmetric 3 × 3 matrix.
const PAIRS: [(usize, usize); 6] = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)];

/// Solves `m x = b` for a symmetric, positive definite `m` (in the order of [`PAIRS`]), by its cofactors.
fn solve([a, b, c, d, e, f]: [f32; 6], rhs: [f32; 3]) -> [f32; 3] {
    let [a, b, c, d, e, f] = [a, b, c, d, e, f].map(f64::from);
    let cofactors = [
        [d * f - e * e, c * e - b * f, b * e - c * d],
        [c * e - b * f, a * f - c * c, b * c - a * e],
        [b * e - c * d, b * c - a * e, a * d - b * b],
    ];
    let determinant = a * cofactors[0][0] + b * cofactors[0][1] + c * cofactors[0][2];
    cofactors.map(|row| {
        let sum: f64 = row.iter().zip(rhs).map(|(m, r)| m * f64::from(r)).sum();
        (sum / determinant) as f32
    })
}

/// The mean over a window around each pixel; what lies outside of the picture doesn't count.
fn box_mean(plane: &[f32], width: usize, radius: usize) -> Vec<f32> {
    let height = plane.len() / width;
    // The window's share inside of a line of n.
    let count = |i: usize, n: usize| ((i + radius + 1).min(n) - i.saturating_sub(radius)) as f64;
    let mut across = vec![0.0_f64; plane.len()];
    across.par_chunks_exact_mut(width).zip(plane.par_chunks_exact(width)).for_each(|(out, row)| {
        let mut sum: f64 = row.iter().take(radius).map(|v| f64::from(*v)).sum();
        for (x, out) in out.iter_mut().enumerate() {
            if let Some(enters) = row.get(x + radius) {
                sum += f64::from(*enters);
            }
            if x > radius {
                sum -= f64::from(row[x - radius - 1]);
            }
            *out = sum / count(x, width);
        }
    });
    // Bands of rows, each with a running sum of its own.
    const BAND: usize = 64;
    let mut out = vec![0.0; plane.len()];
    out.par_chunks_mut(BAND * width).enumerate().for_each(|(band, out)| {
        let first = band * BAND;
        let mut sums = vec![0.0_f64; width];
        let add = |sums: &mut [f64], y: usize, sign: f64| {
            for (sum, v) in sums.iter_mut().zip(&across[y * width..(y + 1) * width]) {
                *sum += sign * v;
            }
        };
        for y in first.saturating_sub(radius)..(first + radius).min(height) {
            add(&mut sums, y, 1.0);
        }
        for (i, out) in out.chunks_exact_mut(width).enumerate() {
            let y = first + i;
            if y + radius < height {
                add(&mut sums, y + radius, 1.0);
            }
            if i > 0 && y > radius {
                add(&mut sums, y - radius - 1, -1.0);
            }
            let share = 1.0 / count(y, height);
            for (out, sum) in out.iter_mut().zip(&sums) {
                *out = (sum * share) as f32;
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Luma, Rgb};

    #[test]
    fn windows_have_their_means() {
        let plane: Vec<f32> = (0..150 * 7).map(|i| ((i * 37) % 101) as f32).collect();
        let (width, radius) = (7, 3);
        let means = box_mean(&plane, width, radius);
        for (x, y) in [(0_usize, 0_usize), (3, 64), (6, 149), (2, 63), (5, 130)] {
            let xs = x.saturating_sub(radius)..(x + radius + 1).min(width);
            let window: Vec<f32> = (y.saturating_sub(radius)..(y + radius + 1).min(150))
                .flat_map(|y| xs.clone().map(move |x| (x, y)))
                .map(|(x, y)| plane[y * width + x])
                .collect();
            let expected = window.iter().sum::<f32>() / window.len() as f32;
            assert!((means[y * width + x] - expected).abs() < 1e-3, "{x} {y}");
        }
    }

    #[test]
    fn a_coarse_edge_moves_to_the_pictures() {
        // A dark disc before a light, uneven wall; the mask is a disc that is too large and off its centre.
        let inside = |x: u32, y: u32, cx: f32, r: f32| (x as f32 - cx).hypot(y as f32 - 48.0) < r;
        let picture = RgbImage::from_fn(96, 96, |x, y| {
            let light = (200 + (x * 7 + y * 13) % 30) as u8;
            if inside(x, y, 48.0, 24.0) { Rgb([60, 30 + light / 16, 40]) } else { Rgb([light, light, 220]) }
        });
        let mask = GrayImage::from_fn(96, 96, |x, y| Luma([if inside(x, y, 51.0, 26.0) { 255 } else { 0 }]));
        let wrong = |mask: &GrayImage| {
            let off = |(x, y, m): (u32, u32, &Luma<u8>)| (m[0] >= 128) != inside(x, y, 48.0, 24.0);
            mask.enumerate_pixels().filter(|p| off(*p)).count()
        };
        let refined = refine_matte(&picture, &mask, 8).unwrap();
        assert!(wrong(&mask) > 300 && wrong(&refined) < 90, "{} {}", wrong(&mask), wrong(&refined));
    }

    #[test]
    fn a_gap_that_shows_the_plate_is_opened() {
        let gap = |x: u32, y: u32| (60..68).contains(&x) && (40..90).contains(&y);
        let person = |x: u32, y: u32| (30..98).contains(&x) && (20..110).contains(&y);
        let picture = RgbImage::from_fn(128, 128, |x, y| {
            if person(x, y) && !gap(x, y) { Rgb([40, 60, 90]) } else { Rgb([230, 225, 220]) }
        });
        let mask = GrayImage::from_fn(128, 128, |x, y| Luma([if person(x, y) { 255 } else { 0 }]));
        // The network closed the gap.
        let refined = refine_matte(&picture, &mask, 12).unwrap();
        assert!(refined.get_pixel(64, 60)[0] < 64 && refined.get_pixel(45, 60)[0] > 200);
        assert!(refined.get_pixel(15, 60)[0] < 64);
    }

    #[test]
    fn bad_input_is_refused() {
        let picture = RgbImage::new(4, 4);
        assert!(matches!(refine_matte(&picture, &GrayImage::new(4, 5), 2), Err(Error::Size { .. })));
        assert!(matches!(refine_matte(&picture, &GrayImage::new(4, 4), 0), Err(Error::Parameter { .. })));
        assert_eq!(refine_matte(&RgbImage::new(0, 0), &GrayImage::new(0, 0), 2).unwrap().len(), 0);
    }
}
