//! The reference frame as the pipeline makes it: the person cut out on white, its box enlarged, padded to the video's shape.
//!
//! Follows `get_bbox` and the crop of `lhm_runner.py`, `scale` of `LHM/utils/bbox.py` and `pad_image_to_aspect_ratio` of
//! `run_pipeline.py` of the AniCrafter repository.

use crate::{Error, Result};
use image::{GrayImage, Rgb, RgbImage};

/// Cuts the person out: `mask` is white on it.
///
/// # Errors
/// When the mask shows nobody.
pub fn reference_frame(picture: &RgbImage, mask: &GrayImage, width: u32, height: u32) -> Result<RgbImage> {
    let [left, top, right, bottom] =
        person_box(mask).ok_or(Error::Internal("a character picture without a person"))?;
    let cut = RgbImage::from_fn(right - left, bottom - top, |x, y| {
        let (x, y) = (x + left, y + top);
        if mask.get_pixel(x, y)[0] > 127 { *picture.get_pixel(x, y) } else { Rgb([255; 3]) }
    });
    Ok(bg_mask::pad_image_to_aspect_ratio(&cut, width, height, Rgb([255; 3]))?)
}

fn person_box(mask: &GrayImage) -> Option<[u32; 4]> {
    let (w, h) = mask.dimensions();
    let mut found: Option<[u32; 4]> = None;
    for (x, y, _) in mask.enumerate_pixels().filter(|(_, _, p)| p[0] >= 128) {
        let [l, t, r, b] = found.unwrap_or([x, y, x, y]);
        found = Some([l.min(x), t.min(y), r.max(x), b.max(y)]);
    }
    let [l, t, r, b] = found?;
    let along = |from: u32, to: u32, end: u32| {
        let extent = f64::from(to - from);
        let centre = f64::from(from) + (extent / 2.0).floor();
        let half = (extent * 1.1 / 2.0).floor();
        ((centre - half).max(0.0) as u32, (centre + extent * 1.1 - half).min(f64::from(end)) as u32)
    };
    let ((l, r), (t, b)) = (along(l, r, w), along(t, b, h));
    (r > l && b > t).then_some([l, t, r, b])
}
