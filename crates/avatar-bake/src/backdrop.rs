//! A mask for a picture whose background is one plain colour.

use crate::{Error, Result};
use image::{GrayImage, Luma, RgbImage};

/// Colours this near to the background's are background (largest difference of a channel, of 255).
const NEAR: i32 = 14;
/// The backdrop has to fill at least this share of the picture's border.
const LEAST: f32 = 0.4;

/// The mask of what stands before a plain backdrop: everything that isn't joined to the picture's border by pixels of
/// the border's usual colour. The picture may cut the person off; white clothes before a white wall aren't told apart.
///
/// # Errors
/// [`Error::NoBackdrop`] when the border isn't mostly of one colour.
pub fn plain_backdrop(picture: &RgbImage) -> Result<GrayImage> {
    let (w, h) = picture.dimensions();
    let rim = |x: u32, y: u32| x == 0 || y == 0 || x + 1 == w || y + 1 == h;
    let border: Vec<(u32, u32)> =
        (0..h).flat_map(|y| (0..w).map(move |x| (x, y))).filter(|(x, y)| rim(*x, *y)).collect();
    let median = |k: usize| {
        let mut channel: Vec<u8> = border.iter().map(|(x, y)| picture.get_pixel(*x, *y)[k]).collect();
        channel.sort_unstable();
        channel.get(channel.len() / 2).copied().unwrap_or_default()
    };
    let backdrop: [u8; 3] = std::array::from_fn(median);
    let near = |x: u32, y: u32| {
        let pixel = picture.get_pixel(x, y);
        (0..3).all(|k| (i32::from(pixel[k]) - i32::from(backdrop[k])).abs() <= NEAR)
    };
    let mut mask = GrayImage::from_pixel(w, h, Luma([255]));
    let mut front: Vec<(u32, u32)> = border.iter().copied().filter(|(x, y)| near(*x, *y)).collect();
    let share = front.len() as f32 / border.len().max(1) as f32;
    if !(share >= LEAST) {
        return Err(Error::NoBackdrop { share });
    }
    front.iter().for_each(|(x, y)| mask.put_pixel(*x, *y, Luma([0])));
    while let Some((x, y)) = front.pop() {
        for (dx, dy) in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
            let (Some(x), Some(y)) = (x.checked_add_signed(dx), y.checked_add_signed(dy)) else { continue };
            if x < w && y < h && mask.get_pixel(x, y)[0] == 255 && near(x, y) {
                mask.put_pixel(x, y, Luma([0]));
                front.push((x, y));
            }
        }
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn a_square_before_a_wall() {
        let picture = RgbImage::from_fn(20, 20, |x, y| {
            let inside = (5..12).contains(&x) && (4..20).contains(&y);
            // A hole of the wall's colour inside of it doesn't touch the border.
            let hole = (7..9).contains(&x) && (8..10).contains(&y);
            if inside && !hole { Rgb([90, 20, 30]) } else { Rgb([250, 251, (245 + x % 4) as u8]) }
        });
        let mask = plain_backdrop(&picture).unwrap();
        for (x, y, m) in mask.enumerate_pixels() {
            let inside = (5..12).contains(&x) && (4..20).contains(&y);
            assert_eq!(m[0] == 255, inside, "{x} {y}");
        }
    }

    #[test]
    fn a_busy_wall_is_refused() {
        let picture =
            RgbImage::from_fn(20, 20, |x, y| Rgb([(x * 97 + y * 31) as u8, (y * 71) as u8, x as u8]));
        assert!(matches!(plain_backdrop(&picture), Err(Error::NoBackdrop { .. })));
        assert!(matches!(plain_backdrop(&RgbImage::new(0, 0)), Err(Error::NoBackdrop { .. })));
    }
}
