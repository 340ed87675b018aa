//! Pictures brought to a wanted size the way the reference brings them there.

use crate::error::{Error, Result};
use crate::resample::{Filter, resample};
use image::{Rgb, RgbImage};

/// Resizes a picture with Pillow's antialiased resampler; equal sizes are a copy.
///
/// # Errors
/// When one of the two sizes has no pixels.
pub fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> Result<RgbImage> {
    let pixels = resample(image.as_raw(), 3, image.dimensions(), (width, height), filter)?;
    let what = "the resized picture";
    RgbImage::from_raw(width, height, pixels).ok_or(Error::TooLarge { what, width, height })
}

/// Fits a picture into `width`×`height` with its aspect ratio kept and the rest filled with `fill`.
///
/// A picture larger than the target in some direction is first reduced with Lanczos to sizes cut to integers; the
/// result (or the untouched picture) is then scaled with the bicubic filter until it touches the target, its size
/// rounded half to even. Mostly that means two resamplings, as in `pad_image_to_aspect_ratio` of the reference's
/// `run_pipeline.py` (lines 23 to 44 at commit e9e8965) followed by Pillow's `ImageOps.pad`.
///
/// # Errors
/// When the picture or the target has no pixels, or when a side shrinks to nothing.
pub fn pad_image_to_aspect_ratio(
    image: &RgbImage,
    width: u32,
    height: u32,
    fill: Rgb<u8>,
) -> Result<RgbImage> {
    for (what, (width, height)) in
        [("the picture to fit", image.dimensions()), ("the target", (width, height))]
    {
        if width == 0 || height == 0 {
            return Err(Error::Empty { what, width, height });
        }
    }
    let (w, h) = (f64::from(image.width()), f64::from(image.height()));
    let (target_w, target_h) = (f64::from(width), f64::from(height));
    let reduced;
    let image = if image.width() > width || image.height() > height {
        let scale = if w / h > target_w / target_h { target_w / w } else { target_h / h };
        reduced = resize(image, (w * scale) as u32, (h * scale) as u32, Filter::Lanczos)?;
        &reduced
    } else {
        image
    };
    let (w, h) = (f64::from(image.width()), f64::from(image.height()));
    let (ratio, target_ratio) = (w / h, target_w / target_h);
    let (contained_w, contained_h) = if ratio > target_ratio {
        (width, (h / w * target_w).round_ties_even() as u32)
    } else if ratio < target_ratio {
        ((w / h * target_h).round_ties_even() as u32, height)
    } else {
        (width, height)
    };
    let contained = resize(image, contained_w, contained_h, Filter::Bicubic)?;
    if contained.dimensions() == (width, height) {
        return Ok(contained);
    }
    let mut out = RgbImage::from_pixel(width, height, fill);
    let middle =
        |outer: u32, inner: u32| (f64::from(outer.saturating_sub(inner)) * 0.5).round_ties_even() as i64;
    let (x, y) =
        if contained_w == width { (0, middle(height, contained_h)) } else { (middle(width, contained_w), 0) };
    image::imageops::replace(&mut out, &contained, x, y);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pads_the_short_side() {
        let image = RgbImage::from_pixel(4, 8, Rgb([10, 20, 30]));
        let out = pad_image_to_aspect_ratio(&image, 9, 8, Rgb([255; 3])).unwrap();
        assert_eq!(out.get_pixel(0, 0), &Rgb([255; 3]));
        assert_eq!(out.get_pixel(2, 4), &Rgb([10, 20, 30]));
        assert_eq!(out.get_pixel(6, 4), &Rgb([255; 3]));
    }

    #[test]
    fn refuses_a_side_that_vanishes() {
        let sliver = RgbImage::new(1000, 1);
        assert!(matches!(pad_image_to_aspect_ratio(&sliver, 4, 4, Rgb([0; 3])), Err(Error::Empty { .. })));
        assert!(matches!(pad_image_to_aspect_ratio(&sliver, 0, 4, Rgb([0; 3])), Err(Error::Empty { .. })));
    }
}
