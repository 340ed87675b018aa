//! Resizing planes of numbers as PyTorch and kornia do: bicubic with and without antialiasing, corners or pixel centres aligned.
//!
//! Every filter here is separable. An [`Axis`] is one direction of it: for each output sample the input samples it is made
//! of, and their weights. Columns are worked on first, then rows; overshoot isn't clamped.

use crate::{Error, Result};

/// One direction of a resize: which input samples make up each output sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    from: usize,
    /// Where each output sample's taps begin; one more at the end.
    starts: Vec<usize>,
    taps: Vec<(u32, f32)>,
}

impl Axis {
    /// Bicubic, a = −0.75, pixel centres aligned: `interpolate(mode="bicubic", align_corners=False)`
    /// (`aten/src/ATen/native/UpSample.h`). Source indices are clamped to the border.
    #[must_use]
    pub fn bicubic(from: usize, to: usize) -> Self {
        let scale = from as f32 / to as f32;
        Self::four_taps(from, to, |i| scale * (i as f32 + 0.5) - 0.5)
    }

    /// As [`Axis::bicubic`], with the corners' centres aligned: `align_corners=True`.
    #[must_use]
    pub fn bicubic_corners(from: usize, to: usize) -> Self {
        let scale = if to > 1 { (from as f32 - 1.0) / (to as f32 - 1.0) } else { 0.0 };
        Self::four_taps(from, to, |i| scale * i as f32)
    }

    fn four_taps(from: usize, to: usize, source: impl Fn(usize) -> f32) -> Self {
        let mut axis = Self::empty(from, to);
        for i in 0..to {
            let source = source(i);
            let floor = source.floor();
            let clamp = |offset: i64| (floor as i64 + offset).min(from as i64 - 1).max(0) as u32;
            let weights = cubic_weights((source - floor).clamp(0.0, 1.0));
            axis.taps.extend([-1, 0, 1, 2].map(clamp).into_iter().zip(weights));
            axis.starts.push(axis.taps.len());
        }
        axis
    }

    /// Bicubic with antialiasing, a = −0.5: `interpolate(mode="bicubic", antialias=True)`, which is Pillow's filter in floating
    /// point (`_compute_indices_min_size_weights_aa`). `scale` is input samples per output sample: `from / to`, or what a
    /// `scale_factor` says.
    #[must_use]
    pub fn bicubic_antialiased(from: usize, to: usize, scale: f32) -> Self {
        let stretch = scale.max(1.0);
        let support = 2.0 * stretch;
        let mut axis = Self::empty(from, to);
        for i in 0..to {
            let centre = scale * (i as f32 + 0.5);
            let first = ((centre - support + 0.5) as i64).max(0);
            let end = ((centre + support + 0.5) as i64).min(from as i64).max(first);
            let weight = |j: i64| smooth_cubic((j as f32 - centre + 0.5) / stretch);
            let sum: f32 = (first..end).map(weight).sum();
            let unit = if sum == 0.0 { 1.0 } else { sum };
            axis.taps.extend((first..end).map(|j| (j as u32, weight(j) / unit)));
            axis.starts.push(axis.taps.len());
        }
        axis
    }

    /// A convolution with an odd kernel, the border mirrored without its own sample.
    fn mirrored(length: usize, kernel: &[f32]) -> Self {
        let half = (kernel.len() / 2) as i64;
        let last = length as i64 - 1;
        let mut axis = Self::empty(length, length);
        for i in 0..length as i64 {
            let at = |k: usize| {
                let at = (i + k as i64 - half).abs();
                (if at > last { 2 * last - at } else { at }).clamp(0, last) as u32
            };
            axis.taps.extend(kernel.iter().enumerate().map(|(k, &weight)| (at(k), weight)));
            axis.starts.push(axis.taps.len());
        }
        axis
    }

    fn empty(from: usize, to: usize) -> Self {
        let mut starts = Vec::with_capacity(to + 1);
        starts.push(0);
        Self { from, starts, taps: Vec::new() }
    }

    /// Number of output samples.
    #[must_use]
    pub fn to(&self) -> usize {
        self.starts.len() - 1
    }

    fn of(&self, out: usize) -> &[(u32, f32)] {
        &self.taps[self.starts[out]..self.starts[out + 1]]
    }
}

/// Applies a filter to planes.
///
/// # Shapes
/// `planes` `[n, H, W]` row-major, any n; `rows` maps H, `columns` maps W → `[n, rows.to(), columns.to()]`.
///
/// # Errors
/// When the planes aren't of the axes' size.
pub fn resample(planes: &[f32], rows: &Axis, columns: &Axis) -> Result<Vec<f32>> {
    let (h, w) = (rows.from, columns.from);
    if h == 0 || w == 0 || !planes.len().is_multiple_of(h * w) {
        let expected = format!("planes of {h} x {w}");
        return Err(Error::Shape { what: "what is to be resized", expected, got: vec![planes.len()] });
    }
    let (to_h, to_w) = (rows.to(), columns.to());
    let mut out = Vec::with_capacity(planes.len() / (h * w) * to_h * to_w);
    let mut wide = vec![0.0; h * to_w];
    for plane in planes.chunks_exact(h * w) {
        for (row, wide) in plane.chunks_exact(w).zip(wide.chunks_exact_mut(to_w.max(1))) {
            for (x, wide) in wide.iter_mut().enumerate() {
                *wide = columns.of(x).iter().map(|&(at, weight)| row[at as usize] * weight).sum();
            }
        }
        for y in 0..to_h {
            let start = out.len();
            out.resize(start + to_w, 0.0);
            for &(at, weight) in rows.of(y) {
                let row = &wide[at as usize * to_w..][..to_w];
                out[start..].iter_mut().zip(row).for_each(|(out, value)| *out += value * weight);
            }
        }
    }
    Ok(out)
}

/// `kornia.geometry.resize(interpolation="bicubic", align_corners=True, antialias=…)` (0.7): where a side shrinks and
/// `antialias` is set, a Gaussian blur comes first, then [`Axis::bicubic_corners`].
///
/// # Shapes
/// `planes` `[n, from[0], from[1]]` → `[n, to[0], to[1]]`.
///
/// # Errors
/// When the planes aren't of that size.
pub fn kornia_bicubic(planes: &[f32], from: [usize; 2], to: [usize; 2], antialias: bool) -> Result<Vec<f32>> {
    let [h, w] = [0, 1].map(|i| Axis::bicubic_corners(from[i], to[i]));
    let factors = [0, 1].map(|i| from[i] as f64 / to[i].max(1) as f64);
    if !(antialias && factors[0].max(factors[1]) > 1.0) {
        return resample(planes, &h, &w);
    }
    let [rows, columns] = [0, 1].map(|i| {
        let sigma = ((factors[i] - 1.0) / 2.0).max(0.001);
        // Four standard deviations wide, and odd.
        let width = (4.0 * sigma).max(3.0) as usize | 1;
        Axis::mirrored(from[i], &gaussian(width, sigma as f32))
    });
    resample(&resample(planes, &rows, &columns)?, &h, &w)
}

fn gaussian(width: usize, sigma: f32) -> Vec<f32> {
    let value = |i: usize| {
        let x = i as f32 - (width / 2) as f32;
        (-x * x / (2.0 * sigma * sigma)).exp()
    };
    let sum: f32 = (0..width).map(value).sum();
    (0..width).map(|i| value(i) / sum).collect()
}

/// Keys' cubic convolution weights with a = −0.75 at fraction `t`.
fn cubic_weights(t: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let near = |x: f32| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f32| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
}

/// Keys' cubic with a = −0.5, which antialiasing filters use.
fn smooth_cubic(x: f32) -> f32 {
    const A: f32 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(axis: &Axis) -> Vec<f32> {
        (0..axis.to()).map(|i| axis.of(i).iter().map(|t| t.1).sum()).collect()
    }

    #[test]
    fn weights_sum_to_one_and_interpolate() {
        assert_eq!(cubic_weights(0.0), [0.0, 1.0, 0.0, 0.0]);
        for t in [0.1f32, 0.37, 0.5, 0.99] {
            assert!((cubic_weights(t).iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        for (from, to) in [(37, 32), (5, 11), (1, 4), (9, 1), (4, 4)] {
            let all = [
                Axis::bicubic(from, to),
                Axis::bicubic_corners(from, to),
                Axis::bicubic_antialiased(from, to, from as f32 / to as f32),
            ];
            for axis in all {
                assert_eq!(axis.to(), to);
                assert!(sums(&axis).iter().all(|s| (s - 1.0).abs() < 1e-5), "{from} to {to}: {axis:?}");
            }
        }
        assert!((gaussian(5, 0.9).iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let plane: Vec<f32> = (0..12).map(|i| i as f32 * 0.3).collect();
        for axis in [Axis::bicubic, Axis::bicubic_corners] {
            assert_eq!(resample(&plane, &axis(3, 3), &axis(4, 4)).unwrap(), plane);
        }
        assert_eq!(kornia_bicubic(&plane, [3, 4], [3, 4], true).unwrap(), plane);
    }

    #[test]
    fn the_corners_stay_where_they_are() {
        let plane: Vec<f32> = (0..35).map(|i| (i * i % 11) as f32).collect();
        let out = kornia_bicubic(&plane, [5, 7], [13, 9], true).unwrap();
        for (a, b) in [(0, 0), (6, 8), (28, 12 * 9), (34, 13 * 9 - 1)] {
            assert!((plane[a] - out[b]).abs() < 1e-4);
        }
    }

    #[test]
    fn other_sizes_are_errors() {
        assert!(resample(&[0.0; 7], &Axis::bicubic(2, 3), &Axis::bicubic(2, 3)).is_err());
        assert!(resample(&[], &Axis::bicubic(0, 3), &Axis::bicubic(2, 3)).is_err());
    }
}
