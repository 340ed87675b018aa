//! Matching an avatar's light to the plate it is put on.
//!
//! The avatar is taken as lit by neutral light of medium brightness. The plate around it tells the scene's light: its
//! colour cast (the mean colour of what surrounds the person, were the world grey on average) and its brightness.
//! Both are applied to the avatar in part, as gains, and follow the video slowly, so that nothing flickers.

use crate::distance::squared_distance;
use crate::error::{Result, in_range, same_size};
use image::{GrayImage, RgbImage};

/// Mean display-coded luma of a picture in medium light.
const MEDIUM_LUMA: f32 = 0.42;
/// No channel is made darker or brighter than this.
const GAINS: (f32, f32) = (0.55, 1.6);

/// How strongly, from where, and how slowly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LightOptions {
    /// Share of the plate's colour cast that the avatar takes on, 0 to 1.
    pub cast: f32,
    /// Share of the plate's brightness (on a logarithmic scale) that the avatar takes on, 0 to 1.
    pub brightness: f32,
    /// How far around the person the plate is looked at, in pixels.
    pub ring_px: f32,
    /// Share of the new frame in the running mean, above 0, to 1.
    pub follow: f32,
}

impl Default for LightOptions {
    fn default() -> Self {
        Self { cast: 0.5, brightness: 0.35, ring_px: 80.0, follow: 0.1 }
    }
}

/// Follows a video and says how to tint the avatar.
#[derive(Clone, Debug)]
pub struct LightMatch {
    options: LightOptions,
    /// Running mean of the logarithms of the gains.
    logs: Option<[f32; 3]>,
}

impl LightMatch {
    /// Starts without a memory: the first frame sets the gains.
    ///
    /// # Errors
    /// When an option is out of range.
    pub fn new(options: LightOptions) -> Result<Self> {
        in_range("cast", options.cast, 0.0..=1.0, "0 to 1")?;
        in_range("brightness", options.brightness, 0.0..=1.0, "0 to 1")?;
        in_range("ring_px", options.ring_px, 1.0..=32768.0, "1 to 32768 pixels")?;
        in_range("follow", options.follow, 1e-4..=1.0, "0.0001 to 1")?;
        Ok(Self { options, logs: None })
    }

    /// Gains for red, green and blue on this frame. Where the person leaves no plate around it to see, the last
    /// frame's gains stay.
    ///
    /// # Errors
    /// When the sizes differ.
    pub fn update(&mut self, plate: &RgbImage, person: &GrayImage) -> Result<[f32; 3]> {
        same_size("the person mask", plate.dimensions(), person.dimensions())?;
        if let Some(mean) = mean_around(plate, person, self.options.ring_px) {
            let new = self.log_gains(mean);
            let follow = self.options.follow;
            let old = self.logs.unwrap_or(new);
            self.logs = Some(std::array::from_fn(|c| old[c] + follow * (new[c] - old[c])));
        }
        Ok(self.logs.unwrap_or([0.0; 3]).map(f32::exp))
    }

    fn log_gains(&self, mean: [f32; 3]) -> [f32; 3] {
        let grey = luma(mean).max(1e-3);
        let bright = self.options.brightness * (grey / MEDIUM_LUMA).ln();
        mean.map(|c| {
            let cast = self.options.cast * (c.max(1e-3) / grey).ln();
            (cast + bright).clamp(GAINS.0.ln(), GAINS.1.ln())
        })
    }
}

/// BT.709 luma of display-coded values.
pub(crate) fn luma([r, g, b]: [f32; 3]) -> f32 {
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

/// Mean colour (0…1) of the plate within `ring_px` of the person but not on it.
fn mean_around(plate: &RgbImage, person: &GrayImage, ring_px: f32) -> Option<[f32; 3]> {
    let distance = squared_distance(person);
    let (mut sums, mut n) = ([0_u64; 3], 0_u64);
    for (pixel, &d) in plate.as_raw().as_chunks::<3>().0.iter().zip(&distance) {
        if d > 0.0 && d <= ring_px * ring_px {
            for (sum, &byte) in sums.iter_mut().zip(pixel) {
                *sum += u64::from(byte);
            }
            n += 1;
        }
    }
    (n > 0).then(|| sums.map(|s| (s as f64 / (255.0 * n as f64)) as f32))
}

/// Multiplies premultiplied colour by the gains; alpha stays, so colour is held within it.
///
/// # Shapes
/// `color` is `[H, W, 3]`, `alpha` `[H, W]`.
///
/// # Errors
/// When the lengths don't fit.
pub fn apply_gains(color: &mut [f32], alpha: &[f32], gains: [f32; 3]) -> Result<()> {
    crate::error::same_length("the colour", alpha.len() * 3, color.len())?;
    for (pixel, &alpha) in color.as_chunks_mut::<3>().0.iter_mut().zip(alpha) {
        for (value, gain) in pixel.iter_mut().zip(gains) {
            *value = (*value * gain).min(alpha.max(*value));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Luma, Rgb};

    fn person() -> GrayImage {
        GrayImage::from_fn(40, 40, |x, _| Luma([if (15..25).contains(&x) { 255 } else { 0 }]))
    }

    #[test]
    fn a_warm_dim_plate_tints_and_darkens() {
        let plate = RgbImage::from_pixel(40, 40, Rgb([90, 60, 40]));
        let mut light = LightMatch::new(LightOptions::default()).unwrap();
        let [r, g, b] = light.update(&plate, &person()).unwrap();
        assert!(r > g && g > b && g < 1.0, "{r} {g} {b}");
        let again = light.update(&plate, &person()).unwrap();
        assert_eq!(again, [r, g, b]);
    }

    #[test]
    fn a_medium_grey_plate_changes_nothing_and_jumps_are_followed_slowly() {
        let grey = (MEDIUM_LUMA * 255.0).round() as u8;
        let plate = RgbImage::from_pixel(40, 40, Rgb([grey; 3]));
        let mut light = LightMatch::new(LightOptions::default()).unwrap();
        let gains = light.update(&plate, &person()).unwrap();
        assert!(gains.iter().all(|g| (g - 1.0).abs() < 0.01), "{gains:?}");
        let dark = RgbImage::from_pixel(40, 40, Rgb([10; 3]));
        let next = light.update(&dark, &person()).unwrap();
        assert!(next[0] > 0.9 && next[0] < gains[0], "{next:?}");
        let nothing = light.update(&dark, &GrayImage::new(40, 40)).unwrap();
        assert_eq!(nothing, next);
    }

    #[test]
    fn colour_stays_within_alpha() {
        let mut color = [0.4, 0.4, 0.4, 0.9, 0.1, 0.0];
        apply_gains(&mut color, &[0.5, 1.0], [1.5, 0.5, 1.0]).unwrap();
        assert_eq!(color, [0.5, 0.2, 0.4, 1.0, 0.05, 0.0]);
        assert!(apply_gains(&mut color, &[1.0], [1.0; 3]).is_err());
        assert!(LightMatch::new(LightOptions { follow: 0.0, ..LightOptions::default() }).is_err());
    }
}
