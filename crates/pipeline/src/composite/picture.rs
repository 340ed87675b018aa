//! Small changes of pictures and masks.

use crate::Result;
use bg_mask::Occluder;
use bg_mask::resample::Filter;
use image::{GrayImage, RgbImage};

/// A picture at another size; the same picture where it has that size.
pub(super) fn resized(image: RgbImage, [w, h]: [u32; 2]) -> Result<RgbImage> {
    if image.dimensions() == (w, h) { Ok(image) } else { Ok(bg_mask::resize(&image, w, h, Filter::Lanczos)?) }
}

/// A mask at another size; the same mask where it has that size.
pub(super) fn resized_mask(mask: GrayImage, [w, h]: [u32; 2]) -> Result<GrayImage> {
    if mask.dimensions() == (w, h) {
        return Ok(mask);
    }
    Ok(gray(&bg_mask::resize(&gray_to_rgb(&mask), w, h, Filter::Bilinear)?))
}

/// The plate's own pixels back over a blend, where the matte is white.
pub(super) fn in_front(blend: &RgbImage, matte: &GrayImage, plate: &RgbImage) -> Result<RgbImage> {
    Ok(bg_mask::composite_layers(blend, &[], &[Occluder { matte, color: Some(plate) }])?)
}

/// A mask as a grey picture in three equal channels.
#[must_use]
pub fn gray_to_rgb(mask: &GrayImage) -> RgbImage {
    let mut out = RgbImage::new(mask.width(), mask.height());
    for (out, &m) in out.as_chunks_mut::<3>().0.iter_mut().zip(mask.as_raw()) {
        *out = [m; 3];
    }
    out
}

/// A mask out of its three-channel form.
#[must_use]
pub fn gray(mask: &RgbImage) -> GrayImage {
    let mut out = GrayImage::new(mask.width(), mask.height());
    for (out, rgb) in out.iter_mut().zip(mask.as_raw().as_chunks::<3>().0) {
        *out = rgb[0];
    }
    out
}
