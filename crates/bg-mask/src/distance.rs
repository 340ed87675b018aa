//! Exact Euclidean distances to a mask, and what follows from them: dilation, erosion, feathering.
//!
//! The distance transform is that of Felzenszwalb and Huttenlocher ("Distance Transforms of Sampled Functions",
//! 2012): distances down each column first, then for each row the lower envelope of parabolas. The cost doesn't
//! depend on the radius.

use crate::error::{Error, Result, in_range};
use image::GrayImage;
use rayon::prelude::*;

/// A mask's byte from which on a pixel belongs to it.
pub const THRESHOLD: u8 = 128;

/// Radii above this make no sense for any picture.
const MAX_RADIUS: f32 = 32768.0;

/// Squared distance in pixels from each pixel to the nearest one of the mask; 0 within, infinite where there is none.
///
/// # Shapes
/// `[H, W]`.
#[must_use]
pub fn squared_distance(mask: &GrayImage) -> Vec<f32> {
    squared_distance_within(mask.as_raw(), mask.width() as usize, |byte| byte >= THRESHOLD, f32::INFINITY)
}

/// As [`squared_distance`]; beyond `limit` pixels it may say infinite.
pub(crate) fn squared_distance_up_to(mask: &GrayImage, limit: f32) -> Vec<f32> {
    squared_distance_within(mask.as_raw(), mask.width() as usize, |byte| byte >= THRESHOLD, limit)
}

/// As [`squared_distance_up_to`] for some rows of a mask.
pub(crate) fn squared_distance_of_rows(bytes: &[u8], width: usize, limit: f32) -> Vec<f32> {
    squared_distance_within(bytes, width, |byte| byte >= THRESHOLD, limit)
}

/// As [`squared_distance`] for the pixels that `belongs` picks; beyond `limit` pixels it may say infinite.
fn squared_distance_within(bytes: &[u8], width: usize, belongs: impl Fn(u8) -> bool, limit: f32) -> Vec<f32> {
    if width == 0 {
        return Vec::new();
    }
    let mut down = vec![f32::INFINITY; bytes.len()];
    // Rows that the mask can't reach stay as they are.
    let Some(first) = bytes.iter().position(|b| belongs(*b)) else { return down };
    let last = bytes.iter().rposition(|b| belongs(*b)).unwrap_or(first);
    let reach = limit.min(bytes.len() as f32) as usize + 1;
    let first = (first / width).saturating_sub(reach) * width;
    let last = ((last / width).saturating_add(reach + 1) * width).min(bytes.len());
    let (bytes, reached) = (&bytes[first..last], &mut down[first..last]);
    // Distance along the column, first to the nearest pixel above, then to the nearest either way.
    let n_rows = bytes.len() / width;
    for y in 0..n_rows {
        let (above, row) = reached.split_at_mut(y * width);
        let row = row.iter_mut().zip(&bytes[y * width..][..width]);
        match y.checked_sub(1) {
            None => row.for_each(|(out, byte)| *out = if belongs(*byte) { 0.0 } else { f32::INFINITY }),
            Some(y) => row.zip(&above[y * width..]).for_each(|((out, byte), above)| {
                *out = if belongs(*byte) { 0.0 } else { above + 1.0 };
            }),
        }
    }
    for y in (1..n_rows).rev() {
        let (upper, lower) = reached.split_at_mut(y * width);
        for (out, &below) in upper[(y - 1) * width..].iter_mut().zip(&lower[..width]) {
            *out = out.min(below + 1.0);
        }
    }
    reached.par_chunks_exact_mut(width).for_each_init(Envelope::default, |envelope, row| {
        if row.iter().any(|&d| d <= limit) {
            envelope.transform(row, limit);
        } else {
            row.fill(f32::INFINITY);
        }
    });
    down
}

/// The lower envelope of the parabolas over one row.
#[derive(Debug, Default)]
struct Envelope {
    /// Column and height of each parabola.
    parabolas: Vec<(f32, f32)>,
    /// Where each one starts to be the lowest.
    starts: Vec<f32>,
}

impl Envelope {
    /// Turns column distances into squared distances.
    fn transform(&mut self, row: &mut [f32], limit: f32) {
        self.parabolas.clear();
        self.starts.clear();
        for (x, &d) in row.iter().enumerate() {
            if !(d.is_finite() && d <= limit) {
                continue;
            }
            let (x, height) = (x as f32, d * d);
            let mut start = f32::NEG_INFINITY;
            while let (Some(&(px, ph)), Some(&ps)) = (self.parabolas.last(), self.starts.last()) {
                start = ((height + x * x) - (ph + px * px)) / (2.0 * (x - px));
                if start > ps {
                    break;
                }
                self.parabolas.pop();
                self.starts.pop();
                start = f32::NEG_INFINITY;
            }
            self.parabolas.push((x, height));
            self.starts.push(start);
        }
        let mut at = 0;
        for (x, out) in row.iter_mut().enumerate() {
            let x = x as f32;
            while self.starts.get(at + 1).is_some_and(|&s| s <= x) {
                at += 1;
            }
            *out = self.parabolas.get(at).map_or(f32::INFINITY, |&(px, h)| (x - px) * (x - px) + h);
        }
    }
}

/// Grows a mask by `radius` pixels in every direction (a disc; exact). The result is 0 or 255.
///
/// # Errors
/// When `radius` is negative or not a number.
pub fn dilate(mask: &GrayImage, radius: f32) -> Result<GrayImage> {
    in_range("radius", radius, 0.0..=MAX_RADIUS, "0 to 32768 pixels")?;
    let inside = |byte| byte >= THRESHOLD;
    let distance = squared_distance_within(mask.as_raw(), mask.width() as usize, inside, radius);
    from_values(mask, distance.into_iter().map(|d| if d <= radius * radius { 255 } else { 0 }))
}

/// Shrinks a mask by `radius` pixels in every direction. Beyond the border counts as inside. The result is 0 or 255.
///
/// # Errors
/// When `radius` is negative or not a number.
pub fn erode(mask: &GrayImage, radius: f32) -> Result<GrayImage> {
    in_range("radius", radius, 0.0..=MAX_RADIUS, "0 to 32768 pixels")?;
    let outside = |byte| byte < THRESHOLD;
    let distance = squared_distance_within(mask.as_raw(), mask.width() as usize, outside, radius);
    from_values(mask, distance.into_iter().map(|d| if d <= radius * radius { 0 } else { 255 }))
}

/// Grows a mask by `dilate_px`, and lets it fall off smoothly to exactly 0 over the next `feather_px`.
///
/// Within `dilate_px` of the mask the result is 255, from `dilate_px + feather_px` on it is 0.
///
/// # Errors
/// When one of the two is negative or not a number.
pub fn grow(mask: &GrayImage, dilate_px: f32, feather_px: f32) -> Result<GrayImage> {
    in_range("dilate_px", dilate_px, 0.0..=MAX_RADIUS, "0 to 32768 pixels")?;
    in_range("feather_px", feather_px, 0.0..=MAX_RADIUS, "0 to 32768 pixels")?;
    let reach = dilate_px + feather_px;
    let inside = |byte| byte >= THRESHOLD;
    let distance = squared_distance_within(mask.as_raw(), mask.width() as usize, inside, reach);
    let weight = |squared: f32| {
        if squared <= dilate_px * dilate_px {
            return 255;
        }
        if squared >= reach * reach {
            return 0;
        }
        let t = (squared.sqrt() - dilate_px) / feather_px;
        (255.0 * (1.0 - t * t * (3.0 - 2.0 * t)) + 0.5) as u8
    };
    from_values(mask, distance.into_iter().map(weight))
}

fn from_values(like: &GrayImage, values: impl Iterator<Item = u8>) -> Result<GrayImage> {
    let (width, height) = like.dimensions();
    let what = "the mask";
    GrayImage::from_raw(width, height, values.collect()).ok_or(Error::TooLarge { what, width, height })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    fn speckled(width: u32, height: u32, seed: u32) -> GrayImage {
        GrayImage::from_fn(width, height, |x, y| {
            let hash = (x * 7919 + y * 104_729 + seed * 31).wrapping_mul(2_654_435_761);
            Luma([if hash >> 24 < 8 { 255 } else { 0 }])
        })
    }

    fn brute_force(mask: &GrayImage, x: u32, y: u32) -> f32 {
        mask.enumerate_pixels()
            .filter(|(_, _, p)| p[0] >= THRESHOLD)
            .map(|(u, v, _)| (u.abs_diff(x).pow(2) + v.abs_diff(y).pow(2)) as f32)
            .fold(f32::INFINITY, f32::min)
    }

    #[test]
    fn distances_are_exact() {
        for seed in 0..6 {
            let mask = speckled(37, 23, seed);
            let distance = squared_distance(&mask);
            for (x, y, _) in mask.enumerate_pixels() {
                assert_eq!(distance[(y * 37 + x) as usize], brute_force(&mask, x, y), "({x}, {y})");
            }
        }
        assert!(squared_distance(&GrayImage::new(4, 4)).iter().all(|d| d.is_infinite()));
        assert!(squared_distance(&GrayImage::new(0, 0)).is_empty());
    }

    #[test]
    fn a_limit_changes_nothing_within_it() {
        let mask = speckled(41, 29, 3);
        for radius in [0.0, 1.0, 1.5, 4.0, 9.3] {
            let grown = dilate(&mask, radius).unwrap();
            for (x, y, p) in grown.enumerate_pixels() {
                assert_eq!(
                    p[0] == 255,
                    brute_force(&mask, x, y) <= radius * radius,
                    "{radius} at ({x}, {y})"
                );
            }
        }
    }

    #[test]
    fn growing_falls_off_and_ends() {
        let mut mask = GrayImage::new(41, 1);
        mask.put_pixel(20, 0, Luma([255]));
        let grown = grow(&mask, 3.0, 8.0).unwrap();
        let row = grown.as_raw();
        assert!(row[17..=23].iter().all(|&x| x == 255));
        assert!(row[23..=31].windows(2).all(|w| w[0] > w[1]));
        assert!(row[31..].iter().chain(&row[..=9]).all(|&x| x == 0));
        assert_eq!(grow(&mask, 2.0, 0.0).unwrap(), dilate(&mask, 2.0).unwrap());
    }

    #[test]
    fn odd_radii_are_refused() {
        let mask = GrayImage::new(3, 3);
        for radius in [-1.0, f32::NAN, f32::INFINITY] {
            assert!(dilate(&mask, radius).is_err());
            assert!(erode(&mask, radius).is_err());
            assert!(grow(&mask, radius, 1.0).is_err());
            assert!(grow(&mask, 1.0, radius).is_err());
        }
    }
}
