//! Cutting a long video into windows that overlap, and putting the results together again.

use conditioning::Strides;
use image::RgbImage;
use serde::{Deserialize, Serialize};

/// A run of frames that is generated at once. The model is given one frame more, the reference picture in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First frame.
    pub start: usize,
    /// Frames that belong to the video.
    pub len: usize,
    /// Frames that the model is given behind the reference picture, whole latent frames: the last frame is repeated.
    pub padded: usize,
    /// Leading frames that the window before also has.
    pub overlap: usize,
}

/// Covers `frames` frames with windows of at most `size` frames (whole latent frames, as `strides` say) that overlap by
/// `overlap`. The last, partial window is kept: it moves back so that it is as long as the others, or is padded where the
/// whole video is shorter than a window.
#[must_use]
pub fn windows(frames: usize, size: usize, overlap: usize, strides: Strides) -> Vec<Window> {
    if frames == 0 || size == 0 {
        return Vec::new();
    }
    if frames <= size {
        return vec![Window { start: 0, len: frames, padded: strides.whole(frames), overlap: 0 }];
    }
    let step = size - overlap.min(size - 1);
    let mut windows: Vec<Window> = Vec::new();
    for start in (0..).step_by(step) {
        let last = start + size >= frames;
        let start = if last { frames - size } else { start };
        let overlap = windows.last().map_or(0, |previous| previous.start + previous.len - start);
        windows.push(Window { start, len: size, padded: size, overlap });
        if last {
            break;
        }
    }
    windows
}

/// The next number of frames that fills whole latent frames behind the first one: what the model takes.
#[must_use]
pub fn round_up(frames: usize, strides: Strides) -> usize {
    strides.whole(frames.saturating_sub(1)) + 1
}

/// How much of the newer window shows at overlap frame `i` of `n`: a ramp that never reaches 0 or 1 inside.
#[must_use]
pub fn ramp(i: usize, n: usize) -> f32 {
    (i + 1) as f32 / (n + 1) as f32
}

/// Mixes two frames: `t` of the second.
///
/// The frames must have one size; the result has the first one's.
#[must_use]
pub fn crossfade(a: &RgbImage, b: &RgbImage, t: f32) -> RgbImage {
    let mut out = a.clone();
    for (a, b) in out.iter_mut().zip(b.as_raw()) {
        *a = (f32::from(*a) + (f32::from(*b) - f32::from(*a)) * t).round() as u8;
    }
    out
}

/// How two windows differ where they overlap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Mean colour of the newer window minus that of the older, per channel, in 8-bit units.
    pub colour: [f64; 3],
    /// Mean absolute difference, in 8-bit units.
    pub difference: f64,
}

/// Measures the drift over the frames that both windows have.
#[must_use]
pub fn drift(older: &[RgbImage], newer: &[RgbImage]) -> Drift {
    let (mut colour, mut difference, mut n) = ([0.0; 3], 0.0, 0u64);
    for (a, b) in older.iter().zip(newer) {
        for (i, (x, y)) in a.as_raw().iter().zip(b.as_raw()).enumerate() {
            let d = f64::from(*y) - f64::from(*x);
            colour[i % 3] += d;
            difference += d.abs();
            n += 1;
        }
    }
    let n = n.max(1) as f64;
    Drift { colour: colour.map(|c| c * 3.0 / n), difference: difference / n }
}

/// Takes the mean colour difference out of a window, so that colours don't walk away from window to window.
pub fn correct_colour(frames: &mut [RgbImage], drift: &Drift) {
    for frame in frames {
        for pixel in frame.pixels_mut() {
            for (value, shift) in pixel.0.iter_mut().zip(drift.colour) {
                *value = (f64::from(*value) - shift).round().clamp(0.0, 255.0) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WAN: Strides = Strides { time: 4, space: 8 };

    proptest! {
        #[test]
        fn windows_cover_every_frame(frames in 1usize..700, k in 1usize..30, overlap in 0usize..20) {
            let all = windows(frames, 4 * k, overlap, WAN);
            let mut end = 0;
            for w in &all {
                prop_assert_eq!(w.padded % 4, 0);
                prop_assert!(w.len <= w.padded && w.start + w.len <= frames);
                prop_assert!(w.start <= end, "a gap before {:?}", w);
                prop_assert_eq!(w.overlap, end - w.start);
                end = w.start + w.len;
            }
            prop_assert_eq!(end, frames);
        }
    }

    #[test]
    fn short_videos_are_padded_to_what_the_model_takes() {
        assert_eq!(windows(7, 80, 8, WAN), [Window { start: 0, len: 7, padded: 8, overlap: 0 }]);
        assert_eq!([1, 81, 82].map(|frames| round_up(frames, WAN)), [1, 81, 85]);
    }

    #[test]
    fn the_last_window_moves_back() {
        let w = windows(100, 80, 8, WAN);
        assert_eq!((w.len(), w[1].start, w[1].len, w[1].overlap), (2, 20, 80, 60));
    }

    #[test]
    fn drift_is_measured_and_taken_out() {
        let a = vec![RgbImage::from_pixel(4, 4, image::Rgb([100, 100, 100]))];
        let mut b = vec![RgbImage::from_pixel(4, 4, image::Rgb([104, 98, 100]))];
        let d = drift(&a, &b);
        assert_eq!(d.colour, [4.0, -2.0, 0.0]);
        assert_eq!(d.difference, 2.0);
        correct_colour(&mut b, &d);
        assert_eq!(a, b);
    }
}
