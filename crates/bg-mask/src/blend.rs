//! A render laid over a plate: the reference's blend bit for bit, and a correct "over".

use crate::error::{Error, Result, same_length, same_size};
use crate::fit::resize;
use crate::render::Render;
use crate::resample::Filter;
use image::RgbImage;
use rayon::prelude::*;

/// The reference's blend: plate to the render's size with Lanczos, [`reference_blend_planes`],
/// [`truncate_planes`], and with Lanczos back to the plate's size.
///
/// It keeps what the reference does (`run_pipeline.py` lines 483 to 486 at commit e9e8965), faults included: the
/// premultiplied colour is multiplied by alpha once more, which darkens soft edges, and bytes are cut, not rounded.
///
/// # Errors
/// When one of the two has no pixels.
pub fn reference_blend(render: &Render<'_>, plate: &RgbImage) -> Result<RgbImage> {
    let (width, height) = render.dimensions();
    let resized;
    let plate_at_render_size = if plate.dimensions() == render.dimensions() {
        plate
    } else {
        resized = resize(plate, width, height, Filter::Lanczos)?;
        &resized
    };
    let mut blended = RgbImage::new(width, height);
    let row_len = width as usize * 3;
    blended
        .par_chunks_exact_mut(row_len.max(1))
        .zip(plate_at_render_size.par_chunks_exact(row_len.max(1)))
        .enumerate()
        .for_each(|(y, (out, plate))| {
            let pixels = out.as_chunks_mut::<3>().0.iter_mut().zip(plate.as_chunks::<3>().0);
            for ((out, plate), i) in pixels.zip(render.row(y)) {
                *out = reference_pixel(render.color_at(i), render.alpha()[i], *plate).map(truncate);
            }
        });
    if plate.dimensions() == render.dimensions() {
        return Ok(blended);
    }
    resize(&blended, plate.width(), plate.height(), Filter::Lanczos)
}

/// `color * alpha + plate / 255 * (1 - alpha)` in f32, each operation rounded by itself.
fn reference_pixel(color: [f32; 3], alpha: f32, plate: [u8; 3]) -> [f32; 3] {
    std::array::from_fn(|k| color[k] * alpha + f32::from(plate[k]) / 255.0 * (1.0 - alpha))
}

/// `np.uint8(x * 255)`: cut toward zero, and wrapped around above 255 as the reference's cast does.
fn truncate(x: f32) -> u8 {
    ((x * 255.0) as i32) as u8
}

/// The blend of the reference before it becomes bytes.
///
/// # Shapes
/// `[3, H, W]`; the plate has the render's size.
///
/// # Errors
/// When the sizes differ.
pub fn reference_blend_planes(render: &Render<'_>, plate: &RgbImage) -> Result<Vec<f32>> {
    same_size("the plate", render.dimensions(), plate.dimensions())?;
    let n = render.alpha().len();
    let mut out = vec![0.0; 3 * n];
    for (i, plate) in plate.as_raw().as_chunks::<3>().0.iter().enumerate() {
        let pixel = reference_pixel(render.color_at(i), render.alpha()[i], *plate);
        for (channel, value) in pixel.into_iter().enumerate() {
            out[channel * n + i] = value;
        }
    }
    Ok(out)
}

/// Planes in 0…1 as bytes, cut and not rounded; values above 1 wrap around, as the reference's cast does.
///
/// # Shapes
/// `planes` is `[3, H, W]`.
///
/// # Errors
/// When `planes` doesn't hold `3 * width * height` values.
pub fn truncate_planes(planes: &[f32], width: u32, height: u32) -> Result<RgbImage> {
    let n = width as usize * height as usize;
    same_length("the planes of a picture", 3 * n, planes.len())?;
    let mut out = RgbImage::new(width, height);
    for (i, pixel) in out.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        *pixel = [truncate(planes[i]), truncate(planes[n + i]), truncate(planes[2 * n + i])];
    }
    Ok(out)
}

/// Porter and Duff's "over" with premultiplied colour: `color + plate * (1 - alpha)`, rounded to nearest, clipped.
///
/// Where alpha is zero the plate's bytes come through untouched. The plate must have the render's size.
///
/// # Errors
/// When the sizes differ.
pub fn over(render: &Render<'_>, plate: &RgbImage) -> Result<RgbImage> {
    let mut out = plate.clone();
    over_in_place(render, &mut out)?;
    Ok(out)
}

/// [`over`] that writes into the plate.
///
/// # Errors
/// When the sizes differ.
pub fn over_in_place(render: &Render<'_>, plate: &mut RgbImage) -> Result<()> {
    same_size("the plate", render.dimensions(), plate.dimensions())?;
    let row_len = plate.width() as usize * 3;
    plate.par_chunks_exact_mut(row_len.max(1)).enumerate().for_each(|(y, row)| {
        for (pixel, i) in row.as_chunks_mut::<3>().0.iter_mut().zip(render.row(y)) {
            let alpha = render.alpha()[i];
            if alpha > 0.0 {
                *pixel = over_pixel(render.color_at(i), alpha, *pixel);
            }
        }
    });
    Ok(())
}

#[inline]
fn over_pixel(color: [f32; 3], alpha: f32, plate: [u8; 3]) -> [u8; 3] {
    let through = 1.0 - alpha.min(1.0);
    std::array::from_fn(|k| round_byte(color[k] * 255.0 + f32::from(plate[k]) * through))
}

/// Rounds to the nearest byte; what isn't a number becomes 0.
#[inline]
pub(crate) fn round_byte(x: f32) -> u8 {
    (x + 0.5) as u8
}

/// Mixes two pictures by a mask: 255 takes `front`, 0 takes `back`, both untouched; between, a rounded mix.
///
/// # Errors
/// When the sizes differ.
pub fn mix(front: &RgbImage, back: &RgbImage, mask: &image::GrayImage) -> Result<RgbImage> {
    same_size("the picture behind", front.dimensions(), back.dimensions())?;
    same_size("the mask", front.dimensions(), mask.dimensions())?;
    let (width, height) = front.dimensions();
    let mut out = vec![0_u8; front.as_raw().len()];
    let columns = (width as usize).max(1);
    let row_len = columns * 3;
    out.par_chunks_exact_mut(row_len)
        .zip(front.as_raw().par_chunks_exact(row_len))
        .zip(back.as_raw().par_chunks_exact(row_len))
        .zip(mask.as_raw().par_chunks_exact(columns))
        .for_each(|(((out, front), back), mask)| {
            let pixels = front.as_chunks::<3>().0.iter().zip(back.as_chunks::<3>().0).zip(mask);
            for (out, ((front, back), &m)) in out.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                *out = std::array::from_fn(|k| mix_byte(front[k], back[k], m));
            }
        });
    RgbImage::from_raw(width, height, out).ok_or(Error::TooLarge { what: "the mixed picture", width, height })
}

#[inline]
fn mix_byte(front: u8, back: u8, mask: u8) -> u8 {
    let (f, b, m) = (u32::from(front), u32::from(back), u32::from(mask));
    // The quotient by 255, rounded to nearest; exact for every sum that can occur.
    ((f * m + b * (255 - m) + 127) / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Layout;
    use image::{GrayImage, Luma, Rgb};

    #[test]
    fn reference_darkens_soft_edges_and_over_does_not() {
        let (color, alpha) = ([0.5_f32; 3], [0.5_f32]);
        let render = Render::new((1, 1), &color, Layout::Planar, &alpha).unwrap();
        let white = RgbImage::from_pixel(1, 1, Rgb([255; 3]));
        assert_eq!(over(&render, &white).unwrap().as_raw(), &[255; 3]);
        assert_eq!(reference_blend(&render, &white).unwrap().as_raw(), &[191; 3]);
    }

    #[test]
    fn reference_bytes_wrap_and_over_clips() {
        let (color, alpha) = ([1.01_f32, 1.0, 0.0], [1.0_f32]);
        let render = Render::new((1, 1), &color, Layout::Interleaved, &alpha).unwrap();
        let black = RgbImage::new(1, 1);
        assert_eq!(reference_blend(&render, &black).unwrap().as_raw(), &[1, 255, 0]);
        assert_eq!(over(&render, &black).unwrap().as_raw(), &[255, 255, 0]);
    }

    #[test]
    fn sizes_must_agree() {
        let render = Render::new((2, 1), &[0.0; 6], Layout::Planar, &[0.0; 2]).unwrap();
        assert!(matches!(over(&render, &RgbImage::new(1, 2)), Err(Error::Size { .. })));
        assert!(matches!(
            Render::new((2, 2), &[0.0; 6], Layout::Planar, &[0.0; 4]),
            Err(Error::Length { .. })
        ));
        let empty = Render::new((0, 0), &[], Layout::Planar, &[]).unwrap();
        assert!(over(&empty, &RgbImage::new(0, 0)).is_ok());
        assert!(matches!(reference_blend(&empty, &RgbImage::new(3, 3)), Err(Error::Empty { .. })));
    }

    #[test]
    fn mix_takes_either_side_untouched() {
        for byte in 0..=255_u8 {
            assert_eq!(mix_byte(byte, 77, 255), byte);
            assert_eq!(mix_byte(77, byte, 0), byte);
            assert_eq!(mix_byte(byte, byte, 99), byte);
        }
        let (a, b) = (RgbImage::from_pixel(2, 1, Rgb([9; 3])), RgbImage::from_pixel(2, 1, Rgb([5; 3])));
        let mask = GrayImage::from_fn(2, 1, |x, _| Luma([if x == 0 { 255 } else { 0 }]));
        assert_eq!(mix(&a, &b, &mask).unwrap().as_raw(), &[9, 9, 9, 5, 5, 5]);
    }
}
