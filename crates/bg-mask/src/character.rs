//! The character picture becomes the reference frame: the person cut out on white, cropped to its box × 1.1, padded to the
//! video's shape.
//!
//! Ported from `lhm_runner.py` (`get_bbox` and the crop), `LHM/utils/bbox.py` (`scale`) and `run_pipeline.py`
//! (`pad_image_to_aspect_ratio`) of the AniCrafter repository.

use crate::error::{Error, Result, same_size};
use crate::fit::pad_image_to_aspect_ratio;
use image::{GrayImage, Rgb, RgbImage, RgbaImage};

/// What the person's box is enlarged by.
const ENLARGE: f64 = 1.1;

/// Cuts the person out on white: `mask` is white on it.
///
/// # Errors
/// When the mask has another size or shows nobody, or the target has no pixels.
pub fn reference_frame(picture: &RgbImage, mask: &GrayImage, width: u32, height: u32) -> Result<RgbImage> {
    same_size("the character's mask", picture.dimensions(), mask.dimensions())?;
    let (w, h) = mask.dimensions();
    let nobody = Error::Empty { what: "the person in the mask", width: w, height: h };
    let [left, top, right, bottom] = person_box(mask).ok_or(nobody)?;
    let cut = RgbImage::from_fn(right - left, bottom - top, |x, y| {
        let (x, y) = (x + left, y + top);
        if mask.get_pixel(x, y)[0] > 127 { *picture.get_pixel(x, y) } else { Rgb([255; 3]) }
    });
    pad_image_to_aspect_ratio(&cut, width, height, Rgb([255; 3]))
}

/// The picture and its mask from one with an alpha channel.
#[must_use]
pub fn split_alpha(picture: &RgbaImage) -> (RgbImage, GrayImage) {
    let (w, h) = picture.dimensions();
    let rgb = RgbImage::from_fn(w, h, |x, y| {
        let p = picture.get_pixel(x, y).0;
        Rgb([p[0], p[1], p[2]])
    });
    let mask = GrayImage::from_fn(w, h, |x, y| image::Luma([picture.get_pixel(x, y)[3]]));
    (rgb, mask)
}

/// The enlarged box around everything in the mask that is at least half white: left, top, right, bottom, the last two
/// exclusive. `None` where the mask shows nobody.
#[must_use]
pub fn person_box(mask: &GrayImage) -> Option<[u32; 4]> {
    let (w, h) = mask.dimensions();
    let inside = mask.enumerate_pixels().filter(|(_, _, p)| f64::from(p[0]) / 255.0 >= 0.5);
    let found = inside.fold(None, |found: Option<[u32; 4]>, (x, y, _)| {
        let [l, t, r, b] = found.unwrap_or([x, y, x, y]);
        Some([l.min(x), t.min(y), r.max(x), b.max(y)])
    })?;
    let along = |from: u32, to: u32, end: u32| {
        let (from, to) = (f64::from(from), f64::from(to));
        // The centre and extent as the reference's box class rounds them.
        let extent = to - from;
        let centre = from + (extent / 2.0).floor();
        let extent = extent * ENLARGE;
        let low = centre - (extent / 2.0).floor();
        let high = centre + extent - (extent / 2.0).floor();
        (low.max(0.0) as u32, high.min(f64::from(end)) as u32)
    };
    let (left, right) = along(found[0], found[2], w);
    let (top, bottom) = along(found[1], found[3], h);
    (right > left && bottom > top).then_some([left, top, right, bottom])
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    #[test]
    fn the_person_is_cut_out_on_white() {
        let picture = RgbImage::from_pixel(100, 80, Rgb([10, 20, 30]));
        let mask = GrayImage::from_fn(100, 80, |x, y| {
            Luma([if (40..60).contains(&x) && (20..60).contains(&y) { 255 } else { 0 }])
        });
        assert_eq!(person_box(&mask), Some([39, 18, 59, 60]));
        let frame = reference_frame(&picture, &mask, 64, 32).unwrap();
        assert_eq!(frame.dimensions(), (64, 32));
        assert_eq!(frame.get_pixel(0, 0).0, [255; 3]);
        assert_eq!(frame.get_pixel(32, 16).0, [10, 20, 30]);
    }

    #[test]
    fn nobody_and_other_sizes_are_errors() {
        let picture = RgbImage::new(10, 10);
        assert!(matches!(
            reference_frame(&picture, &GrayImage::new(10, 10), 16, 16),
            Err(Error::Empty { .. })
        ));
        assert!(matches!(reference_frame(&picture, &GrayImage::new(9, 10), 16, 16), Err(Error::Size { .. })));
    }
}
