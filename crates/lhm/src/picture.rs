//! From a picture, the person's mask and the box of the head to what the encoders see.
//!
//! Ported from `infer_preprocess_image` and `crop_face_image` of AniCrafter's `lhm_runner.py` (commit e9e8965) and
//! `LHM/runners/infer/utils.py`, with their roundings.

use crate::{PictureConfig, Result, Unfit};
use bg_mask::area::{resize_f64, resize_u8};
use bg_mask::person_box;
use candle_core::{Device, Tensor};
use image::{GrayImage, RgbImage};

/// Most pixels of what is cut out: 32 bytes each while it is worked on.
const MAX_PIXELS: usize = 64 << 20;

/// The person on white, cut and sized as the model takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct BodyPicture {
    /// The person's enlarged box in the picture: left, top, right, bottom, the last two exclusive.
    pub person: [u32; 4],
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// `[3, height, width]` red, green, blue in 0 to 1.
    pub rgb: Vec<f32>,
    /// `[height, width]` 1 on the person.
    pub mask: Vec<f32>,
}

impl BodyPicture {
    /// `[1, 3, height, width]` for the encoder.
    ///
    /// # Errors
    /// When the device fails.
    pub fn to_tensor(&self, device: &Device) -> Result<Tensor> {
        Ok(Tensor::from_slice(&self.rgb, (1, 3, self.height, self.width), device)?)
    }
}

/// The head, cut out and sized.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadPicture {
    /// The enlarged box in the picture: left, top, right, bottom. It may leave the picture.
    pub enlarged: [i64; 4],
    /// Side in pixels.
    pub size: usize,
    /// `[size, size, 3]` bytes; `None` where the cut is empty, and the model is shown black.
    pub pixels: Option<Vec<u8>>,
}

impl HeadPicture {
    /// A head picture of one's own, of any size: a sharper one, say.
    #[must_use]
    pub fn of_picture(picture: &RgbImage) -> (Vec<f32>, usize, usize) {
        let (w, h) = picture.dimensions();
        (planes(picture.as_raw()), h as usize, w as usize)
    }

    /// `[1, 3, size, size]` in 0 to 1 for the encoder.
    ///
    /// # Errors
    /// When the device fails.
    pub fn to_tensor(&self, device: &Device) -> Result<Tensor> {
        let shape = (1, 3, self.size, self.size);
        match &self.pixels {
            Some(pixels) => Ok(Tensor::from_vec(planes(pixels), shape, device)?),
            None => Ok(Tensor::zeros(shape, candle_core::DType::F32, device)?),
        }
    }
}

/// Interleaved bytes to planes in 0 to 1.
fn planes(pixels: &[u8]) -> Vec<f32> {
    (0..3).flat_map(|c| pixels.iter().skip(c).step_by(3).map(|v| f32::from(*v) / 255.0)).collect()
}

/// A picture in working: `f64` colours and mask, both 0 to 1.
struct Canvas {
    width: u32,
    height: u32,
    rgb: Vec<f64>,
    mask: Vec<f64>,
}

impl Canvas {
    fn resized(&self, width: u32, height: u32) -> Result<Self> {
        let (from, to) = ((self.width, self.height), (width, height));
        let (rgb, mask) = (resize_f64(&self.rgb, 3, from, to)?, resize_f64(&self.mask, 1, from, to)?);
        Ok(Self { width, height, rgb, mask })
    }

    fn cropped(&self, left: u32, top: u32, width: u32, height: u32) -> Self {
        let rows = |values: &[f64], channels: usize| {
            let line = self.width as usize * channels;
            let first = left as usize * channels;
            let rows = values.chunks_exact(line).skip(top as usize).take(height as usize);
            rows.flat_map(|row| row[first..][..width as usize * channels].iter().copied()).collect()
        };
        Self { width, height, rgb: rows(&self.rgb, 3), mask: rows(&self.mask, 1) }
    }
}

/// Cuts the person out and sizes the cut: on white, padded to the model's shape, averaged.
///
/// # Errors
/// [`Unfit`] where the picture doesn't serve.
pub fn body_picture(picture: &RgbImage, mask: &GrayImage, config: &PictureConfig) -> Result<BodyPicture> {
    if picture.dimensions() != mask.dimensions() {
        return Err(Unfit::MaskSize { picture: picture.dimensions(), mask: mask.dimensions() }.into());
    }
    let person = person_box(mask).ok_or(Unfit::Nobody)?;
    let [left, top, right, bottom] = person;
    let (w, h) = (right - left, bottom - top);
    if w >= h {
        return Err(Unfit::TooWide { width: w, height: h }.into());
    }
    let canvas = on_white(picture, mask, person, config)?;
    let longer = f64::from(canvas.width.max(canvas.height));
    let ratio = f64::from(config.max_tgt_size) / longer;
    let side = |n: u32| ((f64::from(n) * ratio).round_ties_even() as u32).max(1);
    let canvas = canvas.resized(side(canvas.width), side(canvas.height))?;
    let canvas = centre_crop(&canvas, config)?;
    let (height, width) = config.size();
    let sized = canvas.resized(width, height)?;
    let (height, width) = (height as usize, width as usize);
    let plane = |c: usize| sized.rgb.iter().skip(c).step_by(3).map(|v| *v as f32);
    Ok(BodyPicture {
        person,
        height,
        width,
        rgb: (0..3).flat_map(plane).collect(),
        mask: sized.mask.iter().map(|v| *v as f32).collect(),
    })
}

/// The box of the picture on white, padded to the model's shape: on both sides where it is too narrow (an odd column is lost),
/// else above only.
fn on_white(
    picture: &RgbImage,
    mask: &GrayImage,
    [left, top, right, bottom]: [u32; 4],
    config: &PictureConfig,
) -> Result<Canvas> {
    let (w, h) = (right - left, bottom - top);
    let (wide, high) = (f64::from(w), f64::from(h));
    let target = (wide * (high / wide) / config.aspect_standard).min(high) as u32;
    let (beside, above) = if target > w {
        ((target - w) / 2, 0)
    } else {
        (0, (wide * config.aspect_standard - high).max(0.0) as u32)
    };
    let (width, height) = (w + 2 * beside, h + above);
    let n = width as usize * height as usize;
    if n > MAX_PIXELS {
        return Err(Unfit::TooLarge { width, height, most: (MAX_PIXELS >> 20) as u32 }.into());
    }
    let mut canvas = Canvas { width, height, rgb: vec![config.bg_color; 3 * n], mask: vec![0.0; n] };
    for y in 0..h {
        for x in 0..w {
            if f64::from(mask.get_pixel(left + x, top + y)[0]) / 255.0 > config.mask_threshold {
                let at = (y + above) as usize * width as usize + (x + beside) as usize;
                canvas.mask[at] = 1.0;
                let pixel = picture.get_pixel(left + x, top + y).0;
                for (out, v) in canvas.rgb[3 * at..][..3].iter_mut().zip(pixel) {
                    *out = f64::from(v) / 255.0;
                }
            }
        }
    }
    Ok(canvas)
}

/// The part about the middle that reaches as far as the mask does, widened to the model's shape where the picture allows it.
fn centre_crop(canvas: &Canvas, config: &PictureConfig) -> Result<Canvas> {
    let (cx, cy) = (i64::from(canvas.width / 2), i64::from(canvas.height / 2));
    let (mut half_w, mut half_h) = (-1, -1);
    for (y, row) in canvas.mask.chunks_exact(canvas.width as usize).enumerate() {
        for (x, _) in row.iter().enumerate().filter(|(_, v)| **v > 0.0) {
            half_w = half_w.max((cx - x as i64).abs());
            half_h = half_h.max((cy - y as i64).abs());
        }
    }
    if half_w < 0 {
        return Err(Unfit::Nobody.into());
    }
    let aspect = config.aspect_standard;
    let (raw_w, raw_h) = (half_w, half_h);
    let rounded = |x: f64| x.round_ties_even() as i64;
    if half_h as f64 / half_w as f64 >= aspect {
        half_w = rounded(half_h as f64 / aspect);
    } else {
        half_h = rounded(half_w as f64 * aspect);
    }
    if half_h > cy {
        half_w = rounded(raw_h as f64 / aspect);
        half_h = raw_h;
    }
    if half_w > cx {
        half_h = rounded(raw_w as f64 * aspect);
        half_w = raw_w;
    }
    let unfit = || Unfit::Aspect {
        width: (2 * half_w.max(0)) as u32,
        height: (2 * half_h.max(0)) as u32,
        aspect: format!("{aspect:.2}"),
    };
    let fits = half_w > 0 && half_w <= cx && half_h > 0 && half_h <= cy;
    if !fits || (half_h as f64 / half_w as f64 - aspect).abs() >= 0.03 {
        return Err(unfit().into());
    }
    let side = |half: i64| 2 * half as u32;
    Ok(canvas.cropped((cx - half_w) as u32, (cy - half_h) as u32, side(half_w), side(half_h)))
}

/// Cuts the head out and sizes it. `head` is the box in the picture: left, top, right, bottom in pixels.
///
/// The box becomes a square. Where it leaves the picture at the left or above, the reference's slice counts from the other end
/// and is usually empty: then there is no head.
///
/// # Errors
/// [`Unfit::Number`] for a box that isn't one, [`Unfit::MaskSize`] for a mask of another size.
pub fn head_picture(
    picture: &RgbImage,
    mask: &GrayImage,
    head: [f32; 4],
    config: &PictureConfig,
) -> Result<HeadPicture> {
    if picture.dimensions() != mask.dimensions() {
        return Err(Unfit::MaskSize { picture: picture.dimensions(), mask: mask.dimensions() }.into());
    }
    let [left, top, right, bottom] = head;
    if !head.iter().all(|v| v.is_finite() && v.abs() < 1e6) || right <= left || bottom <= top {
        return Err(Unfit::Number { what: "the head's box", value: format!("{head:?}") }.into());
    }
    let half = ((bottom - top) * (right - left)).sqrt() * config.head_scale / 2.0;
    let (cx, cy) = ((left + right) / 2.0, (top + bottom) / 2.0);
    let enlarged = [cx - half, cy - half, cx + half, cy + half].map(|v| v as i64);
    let (w, h) = picture.dimensions();
    let columns = slice(enlarged[0], enlarged[2], w);
    let rows = slice(enlarged[1], enlarged[3], h);
    let size = config.src_head_size as usize;
    if columns.is_empty() || rows.is_empty() {
        return Ok(HeadPicture { enlarged, size, pixels: None });
    }
    let (cut_w, cut_h) = ((columns.end - columns.start), (rows.end - rows.start));
    let mut cut = Vec::with_capacity(3 * cut_w as usize * cut_h as usize);
    for y in rows {
        for x in columns.clone() {
            cut.extend(white_around(picture, mask, x, y, config));
        }
    }
    let pixels = resize_u8(&cut, 3, (cut_w, cut_h), (config.src_head_size, config.src_head_size))?;
    Ok(HeadPicture { enlarged, size, pixels: Some(pixels) })
}

/// A pixel of the picture on white.
fn white_around(picture: &RgbImage, mask: &GrayImage, x: u32, y: u32, config: &PictureConfig) -> [u8; 3] {
    let inside = f64::from(mask.get_pixel(x, y)[0]) / 255.0 > config.mask_threshold;
    let pixel = picture.get_pixel(x, y).0;
    // Truncated, as the reference does it; what was a byte stays one.
    if inside { pixel } else { [(config.bg_color * 255.0) as u8; 3] }
}

/// Python's slice `from..to` of `n`: negative ends count from the back.
fn slice(from: i64, to: i64, n: u32) -> std::ops::Range<u32> {
    let n = i64::from(n);
    let end = |i: i64| (if i < 0 { i + n } else { i }).clamp(0, n) as u32;
    end(from)..end(to)
}

/// Refuses a picture that shows too little of the body, as the reference does.
///
/// # Errors
/// [`Unfit::TooLittle`], or [`Unfit::Number`] for what isn't a share.
pub fn check_body_ratio(ratio: f32, config: &PictureConfig) -> Result<()> {
    if !(0.0..=1.0).contains(&ratio) {
        return Err(Unfit::Number { what: "the visible share of the body", value: ratio.to_string() }.into());
    }
    if ratio <= config.least_body_ratio {
        return Err(Unfit::TooLittle { ratio, least: config.least_body_ratio }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use image::{Luma, Rgb};

    fn upright(w: u32, h: u32, person: [u32; 4]) -> (RgbImage, GrayImage) {
        let [l, t, r, b] = person;
        let inside = move |x: u32, y: u32| (l..r).contains(&x) && (t..b).contains(&y);
        let mask = GrayImage::from_fn(w, h, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
        (RgbImage::from_pixel(w, h, Rgb([20, 120, 220])), mask)
    }

    fn small() -> PictureConfig {
        PictureConfig { max_tgt_size: 90, render_tgt_size: 84, ..PictureConfig::default() }
    }

    #[test]
    fn the_person_stands_on_white() {
        let (picture, mask) = upright(60, 100, [20, 10, 40, 90]);
        let body = body_picture(&picture, &mask, &small()).unwrap();
        assert_eq!((body.height, body.width), (140, 84));
        let middle = 70 * 84 + 42;
        assert!((body.rgb[middle] - 20.0 / 255.0).abs() < 1e-5 && (body.rgb[0] - 1.0).abs() < 1e-5);
        assert!((body.mask[middle] - 1.0).abs() < 1e-5 && body.mask[0] == 0.0);
    }

    #[test]
    fn pictures_that_do_not_serve_say_why() {
        let refuse = |picture: &RgbImage, mask: &GrayImage| match body_picture(picture, mask, &small()) {
            Err(Error::Picture(why)) => why,
            other => panic!("{other:?}"),
        };
        let (picture, mask) = upright(60, 100, [0, 0, 0, 0]);
        assert_eq!(refuse(&picture, &mask), Unfit::Nobody);
        let (picture, mask) = upright(100, 60, [10, 10, 90, 50]);
        assert!(matches!(refuse(&picture, &mask), Unfit::TooWide { .. }));
        assert!(matches!(refuse(&picture, &GrayImage::new(5, 5)), Unfit::MaskSize { .. }));
        // A hair of a person, which would be padded to 1.2 gigapixels.
        let hair = GrayImage::from_fn(2, 45_000, |_, y| Luma([if y > 20 { 255 } else { 0 }]));
        let hair_picture = RgbImage::new(2, 45_000);
        assert!(matches!(refuse(&hair_picture, &hair), Unfit::TooLarge { .. }));
        // A person of a few pixels.
        for person in [[5, 5, 6, 8], [5, 5, 6, 7], [0, 0, 1, 2], [3, 0, 5, 20]] {
            let (picture, mask) = upright(20, 20, person);
            let _ = body_picture(&picture, &mask, &small());
        }
    }

    #[test]
    fn too_little_of_the_body_is_refused() {
        let config = PictureConfig::default();
        check_body_ratio(0.93, &config).unwrap();
        for (ratio, text) in [(0.1, "10 %"), (0.0, "0 %"), (f32::NAN, "NaN"), (1.5, "1.5")] {
            let error = check_body_ratio(ratio, &config).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_head_at_the_border_is_cut_as_python_slices() {
        let (picture, mask) = upright(60, 100, [20, 10, 40, 90]);
        let config = PictureConfig::default();
        let cut = |head| head_picture(&picture, &mask, head, &config);
        assert!(cut([25.0, 12.0, 35.0, 24.0]).unwrap().pixels.is_some());
        assert!(cut([25.0, 0.0, 35.0, 10.0]).unwrap().pixels.is_none());
        assert!(cut([55.0, 40.0, 70.0, 50.0]).unwrap().pixels.is_some());
        assert!(cut([155.0, 40.0, 170.0, 50.0]).unwrap().pixels.is_none());
        for bad in
            [[1.0, 1.0, 1.0, 4.0], [f32::NAN, 0.0, 1.0, 1.0], [0.0, 0.0, 1e9, 1e9], [5.0, 1.0, 2.0, 4.0]]
        {
            assert!(cut(bad).is_err(), "{bad:?}");
        }
    }
}
