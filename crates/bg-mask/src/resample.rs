//! Antialiased resampling of 8-bit pictures that agrees with Pillow bit for bit.
//!
//! Pillow 13 (`src/libImaging/Resample.c`) resamples 8-bit channels in two passes, with weights in 22-bit fixed
//! point and an 8-bit picture in between. The same arithmetic is done here, so the bytes are the same.
//! The picture is a plain slice of interleaved channels: nothing here knows of an image type.

use crate::error::{Error, Result, same_length};
use rayon::prelude::*;

/// Fraction bits of a weight: 32 bits less 8 for the sample and 2 for head room.
const FRACTION_BITS: u32 = 32 - 8 - 2;

/// A resampling kernel, named as in Pillow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Filter {
    /// Triangle, one pixel to each side.
    Bilinear,
    /// Cubic convolution with `a = -0.5`, two pixels to each side.
    Bicubic,
    /// Windowed sinc, three pixels to each side.
    Lanczos,
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        match self {
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
            Self::Bicubic => {
                const A: f64 = -0.5;
                let x = x.abs();
                if x < 1.0 {
                    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
                } else if x < 2.0 {
                    (((x - 5.0) * x + 8.0) * x - 4.0) * A
                } else {
                    0.0
                }
            }
            Self::Lanczos => {
                if (-3.0..3.0).contains(&x) {
                    sinc(x) * sinc(x / 3.0)
                } else {
                    0.0
                }
            }
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * std::f64::consts::PI;
    x.sin() / x
}

/// For each output sample, the run of input samples it is made of and their fixed-point weights.
struct Taps {
    /// First input sample and number of input samples of each output sample.
    runs: Vec<(usize, usize)>,
    /// `stride` weights for each output sample.
    weights: Vec<i32>,
    stride: usize,
}

impl Taps {
    fn new(filter: Filter, n_in: usize, n_out: usize) -> Self {
        let scale = n_in as f64 / n_out as f64;
        let filter_scale = scale.max(1.0);
        let support = filter.support() * filter_scale;
        let stride = support.ceil() as usize * 2 + 1;
        let inverse = 1.0 / filter_scale;
        let mut runs = Vec::with_capacity(n_out);
        let mut weights = vec![0; n_out * stride];
        let mut row = vec![0.0_f64; stride];
        for (out, fixed) in weights.chunks_exact_mut(stride).enumerate() {
            let center = (out as f64 + 0.5) * scale;
            // Truncation toward zero, as C casts do; a negative bound is clamped.
            let first = ((center - support + 0.5) as i64).max(0) as usize;
            let last = ((center + support + 0.5) as i64).min(n_in as i64) as usize;
            let n = last - first;
            let mut sum = 0.0;
            for (k, w) in row[..n].iter_mut().enumerate() {
                *w = filter.weight(((k + first) as f64 - center + 0.5) * inverse);
                sum += *w;
            }
            for (f, &w) in fixed.iter_mut().zip(&row[..n]) {
                let w = if sum == 0.0 { w } else { w / sum };
                let scaled = w * f64::from(1 << FRACTION_BITS);
                *f = if scaled < 0.0 { (scaled - 0.5) as i32 } else { (scaled + 0.5) as i32 };
            }
            runs.push((first, n));
        }
        Self { runs, weights, stride }
    }

    fn of(&self, out: usize) -> (usize, &[i32]) {
        let (first, n) = self.runs[out];
        (first, &self.weights[out * self.stride..][..n])
    }
}

fn clip(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

/// Resamples a picture of interleaved 8-bit channels to `to` pixels.
///
/// An axis whose size doesn't change is copied; a picture whose size doesn't change is copied whole.
///
/// # Shapes
/// `pixels` is `from.1` rows of `from.0` pixels of `channels` bytes; the result likewise with `to` (width, height).
///
/// # Errors
/// When `pixels` has the wrong length, or one of the sizes has no pixels or can't be addressed.
///
/// # Examples
/// ```
/// use anicrafter_bg_mask::resample::{Filter, resample};
/// let ramp = [0, 0, 255, 255];
/// assert_eq!(resample(&ramp, 1, (4, 1), (2, 1), Filter::Bilinear)?, [36, 219]);
/// # Ok::<(), anicrafter_bg_mask::Error>(())
/// ```
pub fn resample(
    pixels: &[u8],
    channels: usize,
    from: (u32, u32),
    to: (u32, u32),
    filter: Filter,
) -> Result<Vec<u8>> {
    let n_from = addressable("the picture to resample", from, channels)?;
    addressable("the resampled picture", to, channels)?;
    same_length("the picture to resample", n_from, pixels.len())?;
    if from == to {
        return Ok(pixels.to_vec());
    }
    let (from_w, from_h) = (from.0 as usize, from.1 as usize);
    let (to_w, to_h) = (to.0 as usize, to.1 as usize);
    let columns = (from_w != to_w).then(|| Taps::new(filter, from_w, to_w));
    let rows = (from_h != to_h).then(|| Taps::new(filter, from_h, to_h));
    let horizontal = |pixels: &[u8]| match &columns {
        Some(taps) => along_rows(pixels, channels, from_w, to_w, taps),
        None => pixels.to_vec(),
    };
    let vertical = |pixels: &[u8], row_len: usize| match &rows {
        Some(taps) => along_columns(pixels, row_len, to_h, taps),
        None => pixels.to_vec(),
    };
    Ok(if columns_first(from, to) {
        horizontal(&vertical(pixels, from_w * channels))
    } else if columns.is_none() {
        vertical(pixels, to_w * channels)
    } else {
        vertical(&horizontal(pixels), to_w * channels)
    })
}

/// Does Pillow reduce the height before it touches the width?
///
/// Since version 13 it does where the height shrinks, by more than twice what the width shrinks. The picture in
/// between is rounded to bytes, so the order shows. Found by trying 4,410 pairs of sizes against Pillow 13.0.0.
fn columns_first(from: (u32, u32), to: (u32, u32)) -> bool {
    let shrink = |from: u32, to: u32| i64::from(from) - i64::from(to);
    let (width, height) = (shrink(from.0, to.0), shrink(from.1, to.1));
    height > 0 && height > 2 * width
}

fn addressable(what: &'static str, (width, height): (u32, u32), channels: usize) -> Result<usize> {
    if width == 0 || height == 0 || channels == 0 {
        return Err(Error::Empty { what, width, height });
    }
    (width as usize)
        .checked_mul(height as usize)
        .and_then(|n| n.checked_mul(channels))
        .filter(|&n| isize::try_from(n).is_ok())
        .ok_or(Error::TooLarge { what, width, height })
}

fn along_rows(pixels: &[u8], channels: usize, from_w: usize, to_w: usize, taps: &Taps) -> Vec<u8> {
    let n_rows = pixels.len() / (from_w * channels);
    let mut out = vec![0; n_rows * to_w * channels];
    out.par_chunks_exact_mut(to_w * channels).zip(pixels.par_chunks_exact(from_w * channels)).for_each(
        |(out, row)| match channels {
            3 => row_of::<3>(row, out, taps),
            1 => row_of::<1>(row, out, taps),
            _ => row_of_any(row, out, channels, taps),
        },
    );
    out
}

fn row_of<const C: usize>(row: &[u8], out: &mut [u8], taps: &Taps) {
    let (pixels, _) = row.as_chunks::<C>();
    for (x, out) in out.as_chunks_mut::<C>().0.iter_mut().enumerate() {
        let (first, weights) = taps.of(x);
        let mut sums = [1 << (FRACTION_BITS - 1); C];
        for (pixel, &w) in pixels[first..].iter().zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += i32::from(value) * w;
            }
        }
        *out = sums.map(clip);
    }
}

fn row_of_any(row: &[u8], out: &mut [u8], channels: usize, taps: &Taps) {
    for (x, out) in out.chunks_exact_mut(channels).enumerate() {
        let (first, weights) = taps.of(x);
        for (channel, out) in out.iter_mut().enumerate() {
            let samples = row[first * channels + channel..].iter().step_by(channels);
            let sum: i32 = samples.zip(weights).map(|(&value, &w)| i32::from(value) * w).sum();
            *out = clip(sum + (1 << (FRACTION_BITS - 1)));
        }
    }
}

fn along_columns(pixels: &[u8], row_len: usize, to_h: usize, taps: &Taps) -> Vec<u8> {
    let mut out = vec![0; to_h * row_len];
    out.par_chunks_exact_mut(row_len).enumerate().for_each_init(
        || vec![0_i32; row_len],
        |sums, (y, out)| {
            let (first, weights) = taps.of(y);
            sums.fill(1 << (FRACTION_BITS - 1));
            for (row, &w) in pixels[first * row_len..].chunks_exact(row_len).zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += i32::from(value) * w;
                }
            }
            for (out, &sum) in out.iter_mut().zip(sums.iter()) {
                *out = clip(sum);
            }
        },
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_pictures_stay_flat() {
        for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
            let out = resample(&[200; 7 * 5 * 3], 3, (7, 5), (19, 3), filter).unwrap();
            assert_eq!(out, [200; 19 * 3 * 3], "{filter:?}");
        }
    }

    #[test]
    fn channel_counts_agree() {
        let picture: Vec<u8> = (0..6 * 4 * 3_u32).map(|i| (i * 37 % 251) as u8).collect();
        let together = resample(&picture, 3, (6, 4), (9, 2), Filter::Lanczos).unwrap();
        for channel in 0..3 {
            let plane: Vec<u8> = picture.iter().skip(channel).step_by(3).copied().collect();
            let alone = resample(&plane, 1, (6, 4), (9, 2), Filter::Lanczos).unwrap();
            let of_three: Vec<u8> = together.iter().skip(channel).step_by(3).copied().collect();
            assert_eq!(alone, of_three);
        }
        let four: Vec<u8> = picture.chunks(3).flat_map(|p| [p[0], p[1], p[2], p[0]]).collect();
        let four = resample(&four, 4, (6, 4), (9, 2), Filter::Lanczos).unwrap();
        let three: Vec<u8> = four.chunks(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        assert_eq!(three, together);
    }

    #[test]
    fn refuses_what_has_no_pixels() {
        assert!(matches!(resample(&[], 3, (0, 4), (2, 2), Filter::Bicubic), Err(Error::Empty { .. })));
        assert!(matches!(resample(&[0; 3], 3, (1, 1), (2, 0), Filter::Bicubic), Err(Error::Empty { .. })));
        assert!(matches!(resample(&[0; 2], 3, (1, 1), (2, 2), Filter::Bicubic), Err(Error::Length { .. })));
        let huge = (u32::MAX, u32::MAX);
        assert!(matches!(resample(&[0; 3], 3, (1, 1), huge, Filter::Bicubic), Err(Error::TooLarge { .. })));
    }
}
