//! Resizing as OpenCV's `cv2.resize(…, interpolation=cv2.INTER_AREA)` does it, for 8-bit pictures and for `f64` planes.
//!
//! After `modules/imgproc/src/resize.cpp` of OpenCV 4 and 5. Where neither side grows, each output sample is the mean of the
//! rectangle that it covers; integer factors take a path of their own with other rounding. Where a side grows, OpenCV doesn't
//! average but interpolates linearly between two samples, with source positions of its own.

use crate::error::{Error, Result, same_length};

/// A sample that can be averaged and interpolated as OpenCV does it for its type.
trait Sample: Copy + Default {
    /// What sums of rectangles are kept in: `float` for bytes.
    type Sum: Copy + Default + std::ops::Add<Output = Self::Sum>;
    fn times(self, weight: f32) -> Self::Sum;
    fn scale(sum: Self::Sum, weight: f32) -> Self::Sum;
    fn from_sum(sum: Self::Sum) -> Self;
    /// The mean of the samples of a whole rectangle.
    fn mean(samples: impl Iterator<Item = Self>, area: usize, two_by_two: bool) -> Self;
    /// The linear path: two rows of two samples, with the second sample's and the second row's shares.
    fn mix(samples: [[Self; 2]; 2], x: f32, y: f32) -> Self;
}

impl Sample for f64 {
    type Sum = f64;

    fn times(self, weight: f32) -> f64 {
        self * f64::from(weight)
    }

    fn scale(sum: f64, weight: f32) -> f64 {
        sum * f64::from(weight)
    }

    fn from_sum(sum: f64) -> Self {
        sum
    }

    fn mean(samples: impl Iterator<Item = Self>, area: usize, _: bool) -> Self {
        samples.sum::<f64>() * f64::from(1.0 / area as f32)
    }

    fn mix(samples: [[Self; 2]; 2], x: f32, y: f32) -> Self {
        let row = |[a, b]: [f64; 2]| a * f64::from(1.0 - x) + b * f64::from(x);
        row(samples[0]) * f64::from(1.0 - y) + row(samples[1]) * f64::from(y)
    }
}

impl Sample for u8 {
    type Sum = f32;

    fn times(self, weight: f32) -> f32 {
        f32::from(self) * weight
    }

    fn scale(sum: f32, weight: f32) -> f32 {
        sum * weight
    }

    fn from_sum(sum: f32) -> Self {
        sum.round_ties_even().clamp(0.0, 255.0) as u8
    }

    fn mean(samples: impl Iterator<Item = Self>, area: usize, two_by_two: bool) -> Self {
        let sum: u32 = samples.map(u32::from).sum();
        // Two by two has a vector path that rounds halves up.
        if two_by_two { ((sum + 2) >> 2) as u8 } else { Self::from_sum(sum as f32 * (1.0 / area as f32)) }
    }

    fn mix(samples: [[Self; 2]; 2], x: f32, y: f32) -> Self {
        // 11-bit fixed point in both directions, with the truncations of OpenCV's vertical pass.
        const ONE: f32 = 2048.0;
        let fixed = |w: f32| [1.0 - w, w].map(|w| (w * ONE).round_ties_even() as i32);
        let (x, y) = (fixed(x), fixed(y));
        let row = |[a, b]: [u8; 2]| i32::from(a) * x[0] + i32::from(b) * x[1];
        let part = |sum: i32, weight: i32| (weight * (sum >> 4)) >> 16;
        ((part(row(samples[0]), y[0]) + part(row(samples[1]), y[1]) + 2) >> 2).clamp(0, 255) as u8
    }
}

/// Resizes a picture of interleaved 8-bit channels.
///
/// # Shapes
/// `pixels` is `from.1` rows of `from.0` pixels of `channels` bytes; the result likewise with `to` (width, height).
///
/// # Errors
/// When `pixels` has the wrong length or one of the sizes has no pixels.
///
/// # Examples
/// ```
/// use anicrafter_bg_mask::area::resize_u8;
/// assert_eq!(resize_u8(&[0, 10, 20, 30, 40, 50], 1, (6, 1), (2, 1))?, [10, 40]);
/// # Ok::<(), anicrafter_bg_mask::Error>(())
/// ```
pub fn resize_u8(pixels: &[u8], channels: usize, from: (u32, u32), to: (u32, u32)) -> Result<Vec<u8>> {
    resize(pixels, channels, from, to)
}

/// Resizes interleaved channels of `f64`.
///
/// # Shapes
/// As [`resize_u8`].
///
/// # Errors
/// As [`resize_u8`].
pub fn resize_f64(pixels: &[f64], channels: usize, from: (u32, u32), to: (u32, u32)) -> Result<Vec<f64>> {
    resize(pixels, channels, from, to)
}

fn resize<T: Sample>(pixels: &[T], channels: usize, from: (u32, u32), to: (u32, u32)) -> Result<Vec<T>> {
    let size = |what, (width, height): (u32, u32)| {
        if width == 0 || height == 0 || channels == 0 {
            return Err(Error::Empty { what, width, height });
        }
        let n = (width as usize).checked_mul(height as usize).and_then(|n| n.checked_mul(channels));
        n.filter(|n| *n <= isize::MAX as usize / size_of::<f64>()).ok_or(Error::TooLarge {
            what,
            width,
            height,
        })
    };
    same_length("the picture to resize", size("the picture to resize", from)?, pixels.len())?;
    let mut out = vec![T::default(); size("the resized picture", to)?];
    if from == to {
        out.copy_from_slice(pixels);
        return Ok(out);
    }
    let (from, to) = ((from.0 as usize, from.1 as usize), (to.0 as usize, to.1 as usize));
    // As OpenCV has it: the inverse of the ratio, not the ratio.
    let scale = |from: usize, to: usize| 1.0 / (to as f64 / from as f64);
    let (x, y) = (scale(from.0, to.0), scale(from.1, to.1));
    let picture = Picture { pixels, channels, width: from.0, height: from.1 };
    if x >= 1.0 && y >= 1.0 {
        let whole =
            |s: f64| ((s - s.round_ties_even()).abs() < f64::EPSILON).then_some(s.round_ties_even() as usize);
        match (whole(x), whole(y)) {
            (Some(x), Some(y)) => means(&picture, to.0, [x, y], &mut out),
            _ => areas(&picture, to, [x, y], &mut out),
        }
    } else {
        linear(&picture, to, [x, y], &mut out);
    }
    Ok(out)
}

struct Picture<'a, T> {
    pixels: &'a [T],
    channels: usize,
    width: usize,
    height: usize,
}

impl<T: Sample> Picture<'_, T> {
    fn row(&self, y: usize) -> &[T] {
        let n = self.width * self.channels;
        &self.pixels[y * n..][..n]
    }
}

/// Factors that are whole numbers.
fn means<T: Sample>(picture: &Picture<'_, T>, to_width: usize, [fx, fy]: [usize; 2], out: &mut [T]) {
    let c = picture.channels;
    let two_by_two = fx == 2 && fy == 2 && matches!(c, 1 | 3 | 4);
    for (y, out) in out.chunks_exact_mut(to_width * c).enumerate() {
        for (i, out) in out.iter_mut().enumerate() {
            let (x, channel) = (i / c, i % c);
            let samples = (0..fy).flat_map(|dy| {
                // The last rectangle may reach over the border by rounding.
                let row = picture.row((y * fy + dy).min(picture.height - 1));
                (0..fx).map(move |dx| row[(x * fx + dx).min(picture.width - 1) * c + channel])
            });
            *out = T::mean(samples, fx * fy, two_by_two);
        }
    }
}

/// The source samples of each output sample and their shares, along one direction.
fn shares(from: usize, to: usize, scale: f64) -> Vec<Vec<(usize, f32)>> {
    let of = |i: usize| {
        let mut taps = Vec::new();
        let start = i as f64 * scale;
        let end = start + scale;
        let cell = scale.min(from as f64 - start);
        let last = (end.floor() as usize).min(from - 1);
        let first = (start.ceil() as usize).min(last);
        if first as f64 - start > 1e-3 {
            taps.push((first - 1, ((first as f64 - start) / cell) as f32));
        }
        taps.extend((first..last).map(|at| (at, (1.0 / cell) as f32)));
        if end - last as f64 > 1e-3 {
            taps.push((last, ((end - last as f64).min(1.0).min(cell) / cell) as f32));
        }
        taps
    };
    (0..to).map(of).collect()
}

fn areas<T: Sample>(picture: &Picture<'_, T>, to: (usize, usize), [x, y]: [f64; 2], out: &mut [T]) {
    let c = picture.channels;
    let (columns, rows) = (shares(picture.width, to.0, x), shares(picture.height, to.1, y));
    let mut row_sums = vec![T::Sum::default(); to.0 * c];
    let mut sums = vec![T::Sum::default(); to.0 * c];
    for (taps, out) in rows.iter().zip(out.chunks_exact_mut(to.0 * c)) {
        for (n, &(sy, beta)) in taps.iter().enumerate() {
            let row = picture.row(sy);
            for (taps, sums) in columns.iter().zip(row_sums.chunks_exact_mut(c)) {
                for (channel, sum) in sums.iter_mut().enumerate() {
                    let first = T::Sum::default();
                    *sum = taps.iter().fold(first, |sum, &(sx, a)| sum + row[sx * c + channel].times(a));
                }
            }
            for (sum, row) in sums.iter_mut().zip(&row_sums) {
                let part = T::scale(*row, beta);
                *sum = if n == 0 { part } else { *sum + part };
            }
        }
        out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = T::from_sum(*sum));
    }
}

/// The first of two samples and the second one's share, along one direction.
fn pairs(from: usize, to: usize, scale: f64) -> Vec<(usize, f32)> {
    let inverse = to as f64 / from as f64;
    let of = |i: usize| {
        let at = (i as f64 * scale).floor() as usize;
        let share = ((i + 1) as f64 - (at + 1) as f64 * inverse) as f32;
        let share = if share <= 0.0 { 0.0 } else { share - share.floor() };
        (at.min(from - 1), share)
    };
    (0..to).map(of).collect()
}

fn linear<T: Sample>(picture: &Picture<'_, T>, to: (usize, usize), [x, y]: [f64; 2], out: &mut [T]) {
    let c = picture.channels;
    let (mut columns, rows) = (pairs(picture.width, to.0, x), pairs(picture.height, to.1, y));
    // Only columns know the border: rows beyond it repeat the last one, which rounds otherwise.
    for (at, share) in &mut columns {
        *share = if *at + 1 >= picture.width { 0.0 } else { *share };
    }
    for (&(sy, fy), out) in rows.iter().zip(out.chunks_exact_mut(to.0 * c)) {
        let [upper, lower] = [sy, (sy + 1).min(picture.height - 1)].map(|y| picture.row(y));
        for (&(sx, fx), out) in columns.iter().zip(out.chunks_exact_mut(c)) {
            for (channel, out) in out.iter_mut().enumerate() {
                let at = [sx, (sx + 1).min(picture.width - 1)].map(|x| x * c + channel);
                *out = T::mix([upper, lower].map(|row| at.map(|i| row[i])), fx, fy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_pictures_stay_flat() {
        for to in [(3, 2), (9, 4), (20, 3), (40, 30), (10, 1), (1, 1)] {
            assert!(resize_u8(&[77; 60], 3, (10, 2), to).unwrap().iter().all(|v| *v == 77), "{to:?}");
            let wide = resize_f64(&[0.25; 20], 1, (10, 2), to).unwrap();
            assert!(wide.iter().all(|v| (v - 0.25).abs() < 1e-7), "{to:?}: {wide:?}");
        }
    }

    #[test]
    fn shrinking_keeps_the_mean() {
        let picture: Vec<f64> = (0..77).map(|i| f64::from(i * 37 % 19)).collect();
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let small = resize_f64(&picture, 1, (11, 7), (4, 3)).unwrap();
        assert!((mean(&picture) - mean(&small)).abs() < 1e-5);
    }

    #[test]
    fn halves_round_as_the_path_does() {
        // Two by two rounds halves up, other factors to even.
        assert_eq!(resize_u8(&[0, 1, 0, 1], 1, (2, 2), (1, 1)).unwrap(), [1]);
        assert_eq!(resize_u8(&[0, 1], 1, (2, 1), (1, 1)).unwrap(), [0]);
        assert_eq!(resize_u8(&[1, 2], 1, (2, 1), (1, 1)).unwrap(), [2]);
    }

    #[test]
    fn growing_is_linear_between_areas() {
        // Doubling repeats samples: each output pixel lies inside one source pixel.
        assert_eq!(resize_f64(&[1.0, 3.0], 1, (2, 1), (4, 1)).unwrap(), [1.0, 1.0, 3.0, 3.0]);
        // Three pixels of two: the middle one covers half of each.
        let three = resize_f64(&[1.0, 3.0], 1, (2, 1), (3, 1)).unwrap();
        assert!((three[1] - 2.0).abs() < 1e-6, "{three:?}");
    }

    #[test]
    fn refuses_what_has_no_pixels() {
        assert!(matches!(resize_u8(&[], 3, (0, 4), (2, 2)), Err(Error::Empty { .. })));
        assert!(matches!(resize_u8(&[0; 2], 3, (1, 1), (2, 2)), Err(Error::Length { .. })));
        let huge = (u32::MAX, u32::MAX);
        assert!(matches!(resize_u8(&[0; 3], 3, (1, 1), huge), Err(Error::TooLarge { .. })));
    }
}
