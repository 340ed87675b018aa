//! The background lock: after generation, the source's own pixels go back wherever the person isn't.
//!
//! A diffusion model redraws the whole frame and damages the background on the way. Here the generated frame is kept
//! on the person, on a margin around it, and on the shadow that the model drew; a feathered border leads over to
//! the source; beyond it every byte is the source's.

use crate::blend::mix;
use crate::distance::{THRESHOLD, dilate, grow};
use crate::error::{Result, in_range, same_size};
use crate::mask::{components, union};
use image::{GrayImage, RgbImage};

/// How wide the margin is and what counts as a shadow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LockOptions {
    /// The generated frame is kept this far around the person, in pixels.
    pub dilate_px: f32,
    /// Width of the passage to the source, in pixels.
    pub feather_px: f32,
    /// How far from the person a shadow may reach, in pixels; 0 looks for none.
    pub shadow_reach_px: f32,
    /// A shadow is darker than the source by at least this share of its brightness, 0 to 1.
    pub shadow_darkening: f32,
}

/// Height of the frames that the default margins are meant for, in pixels.
const DEFAULT_HEIGHT: f32 = 768.0;

impl Default for LockOptions {
    /// For frames about 768 pixels high.
    fn default() -> Self {
        Self { dilate_px: 14.0, feather_px: 18.0, shadow_reach_px: 120.0, shadow_darkening: 0.12 }
    }
}

impl LockOptions {
    /// The default margins in proportion to frames of another height, in pixels.
    #[must_use]
    pub fn for_height(height: u32) -> Self {
        let (d, scale) = (Self::default(), height as f32 / DEFAULT_HEIGHT);
        Self {
            dilate_px: d.dilate_px * scale,
            feather_px: d.feather_px * scale,
            shadow_reach_px: d.shadow_reach_px * scale,
            ..d
        }
    }
}

/// Puts the source back outside the person.
///
/// Where the mask that [`lock_mask`] makes is 0, the result's bytes are the source's; where it is 255, they are the
/// generated ones.
///
/// # Errors
/// When sizes differ or an option is out of range.
pub fn lock_background(
    generated: &RgbImage,
    source: &RgbImage,
    person: &GrayImage,
    options: &LockOptions,
) -> Result<RgbImage> {
    let mask = lock_mask(generated, source, person, options)?;
    mix(generated, source, &mask)
}

/// How much of the generated frame each pixel keeps, 0 to 255.
///
/// # Errors
/// When sizes differ or an option is out of range.
pub fn lock_mask(
    generated: &RgbImage,
    source: &RgbImage,
    person: &GrayImage,
    options: &LockOptions,
) -> Result<GrayImage> {
    same_size("the source", generated.dimensions(), source.dimensions())?;
    same_size("the person mask", generated.dimensions(), person.dimensions())?;
    in_range("shadow_reach_px", options.shadow_reach_px, 0.0..=32768.0, "0 to 32768 pixels")?;
    in_range("shadow_darkening", options.shadow_darkening, 0.0..=1.0, "0 to 1")?;
    if options.shadow_reach_px == 0.0 {
        return grow(person, options.dilate_px, options.feather_px);
    }
    let with_shadow = union(person, &shadow_of(generated, source, person, options)?)?;
    grow(&with_shadow, options.dilate_px, options.feather_px)
}

/// What the model darkened next to the person: pixels within reach whose neighbourhood got darker by the given share,
/// and which hang together with the person.
fn shadow_of(
    generated: &RgbImage,
    source: &RgbImage,
    person: &GrayImage,
    options: &LockOptions,
) -> Result<GrayImage> {
    let (width, height) = (generated.width() as usize, generated.height() as usize);
    let reach = dilate(person, options.shadow_reach_px)?;
    let before = smoothed_luma(source, width, height);
    let after = smoothed_luma(generated, width, height);
    // The person with its margin joins shadow and feet, and is taken away again below.
    let body = dilate(person, options.dilate_px)?;
    let mut candidates = body.clone();
    for (i, out) in candidates.iter_mut().enumerate() {
        // Noise in what is nearly black isn't a shadow: four grey levels must be gone at least.
        let darker = before[i] - after[i] > (before[i] * options.shadow_darkening).max(4.0);
        if reach.as_raw()[i] >= THRESHOLD && darker {
            *out = 255;
        }
    }
    let found = components(&candidates);
    let mut holds_person = vec![false; found.list.len() + 1];
    for (&label, &byte) in found.labels.iter().zip(person.as_raw()) {
        if byte >= THRESHOLD {
            holds_person[label as usize] = true;
        }
    }
    let mut shadow = GrayImage::new(generated.width(), generated.height());
    for (i, out) in shadow.iter_mut().enumerate() {
        let hangs_on = found.labels[i] > 0 && holds_person[found.labels[i] as usize];
        if hangs_on && body.as_raw()[i] < THRESHOLD {
            *out = 255;
        }
    }
    Ok(shadow)
}

/// Luma in 0…255, averaged over a 9 × 9 box (borders repeat).
fn smoothed_luma(image: &RgbImage, width: usize, height: usize) -> Vec<f32> {
    const HALF: usize = 4;
    let luma: Vec<f32> =
        image.as_raw().as_chunks::<3>().0.iter().map(|p| crate::light::luma(p.map(f32::from))).collect();
    let mut rows = vec![0.0; luma.len()];
    for (out, row) in rows.chunks_exact_mut(width.max(1)).zip(luma.chunks_exact(width.max(1))) {
        running_mean(row.len(), HALF, |i| row[i], |i, mean| out[i] = mean);
    }
    let mut out = vec![0.0; luma.len()];
    for x in 0..width {
        running_mean(height, HALF, |y| rows[y * width + x], |y, mean| out[y * width + x] = mean);
    }
    out
}

fn running_mean(n: usize, half: usize, get: impl Fn(usize) -> f32, mut put: impl FnMut(usize, f32)) {
    let Some(last) = n.checked_sub(1) else { return };
    let at = |i: isize| f64::from(get(i.clamp(0, last as isize) as usize));
    let half = half as isize;
    let mut sum: f64 = (-half..=half).map(at).sum();
    for i in 0..n as isize {
        put(i as usize, (sum / (2 * half + 1) as f64) as f32);
        sum += at(i + half + 1) - at(i - half);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Luma, Rgb};

    const SIZE: (u32, u32) = (160, 120);

    fn source() -> RgbImage {
        RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb([100 + (x % 50) as u8, 120 + (y % 40) as u8, 140]))
    }

    fn person() -> GrayImage {
        GrayImage::from_fn(SIZE.0, SIZE.1, |x, y| {
            Luma([if (60..80).contains(&x) && (20..80).contains(&y) { 255 } else { 0 }])
        })
    }

    /// The whole frame off by a little, a person, and a shadow to its lower right.
    fn generated() -> RgbImage {
        let (mut out, person) = (source(), person());
        for (x, y, pixel) in out.enumerate_pixels_mut() {
            pixel.0 = if person.get_pixel(x, y)[0] > 0 {
                [10, 200, 10]
            } else if (62..125).contains(&x) && (78..92).contains(&y) {
                pixel.0.map(|b| b / 2)
            } else {
                pixel.0.map(|b| b + 3)
            };
        }
        out
    }

    fn options() -> LockOptions {
        LockOptions { dilate_px: 4.0, feather_px: 6.0, shadow_reach_px: 60.0, shadow_darkening: 0.15 }
    }

    #[test]
    fn person_and_shadow_stay_and_the_rest_is_the_source() {
        let out = lock_background(&generated(), &source(), &person(), &options()).unwrap();
        assert_eq!(out.get_pixel(70, 50), generated().get_pixel(70, 50));
        assert_eq!(out.get_pixel(110, 85), generated().get_pixel(110, 85), "the shadow is kept");
        for (x, y) in [(5, 5), (20, 85), (150, 85), (70, 5), (110, 60)] {
            assert_eq!(out.get_pixel(x, y), source().get_pixel(x, y), "({x}, {y})");
        }
        let no_shadow = LockOptions { shadow_reach_px: 0.0, ..options() };
        let out = lock_background(&generated(), &source(), &person(), &no_shadow).unwrap();
        assert_eq!(out.get_pixel(110, 85), source().get_pixel(110, 85));
    }

    #[test]
    fn darkness_that_does_not_touch_the_person_is_damage() {
        let mut frame = generated();
        for y in 20..40 {
            for x in 100..115 {
                frame.put_pixel(x, y, Rgb([0; 3]));
            }
        }
        let out = lock_background(&frame, &source(), &person(), &options()).unwrap();
        assert_eq!(out.get_pixel(107, 30), source().get_pixel(107, 30));
    }

    #[test]
    fn no_person_locks_everything() {
        let nobody = GrayImage::new(SIZE.0, SIZE.1);
        assert_eq!(lock_background(&generated(), &source(), &nobody, &options()).unwrap(), source());
        assert!(lock_background(&generated(), &source(), &GrayImage::new(1, 1), &options()).is_err());
        let empty = RgbImage::new(0, 0);
        assert!(lock_background(&empty, &empty, &GrayImage::new(0, 0), &options()).unwrap().is_empty());
        let bad = LockOptions { shadow_darkening: f32::NAN, ..options() };
        assert!(lock_background(&generated(), &source(), &person(), &bad).is_err());
    }
}
