//! Pixels that aren't square made square: pictures of old tapes, of some cameras and of anamorphic encodings.

use image::RgbImage;
use rayon::prelude::*;

/// The size at which a picture of `size` with pixels of this width to height looks right with square pixels; the shorter
/// way is made longer, so that nothing is lost. None where nothing is to be done, or the ratio makes no sense.
pub(crate) fn square_size(size: (u32, u32), ratio: (u32, u32)) -> Option<(u32, u32)> {
    let (num, den) = ratio;
    if num == 0 || den == 0 || num == den || num.max(den) / num.min(den) >= 8 {
        return None;
    }
    let longer = |n: u32, a: u32, b: u32| {
        let n = u64::from(n) * u64::from(a) / u64::from(b);
        u32::try_from(n.div_ceil(2) * 2).ok()
    };
    Some(if num > den { (longer(size.0, num, den)?, size.1) } else { (size.0, longer(size.1, den, num)?) })
}

/// A picture at a size that is larger in one way, by linear interpolation between pixel centres.
pub(crate) fn enlarge(picture: &RgbImage, (width, height): (u32, u32)) -> RgbImage {
    let mut out = RgbImage::new(width, height);
    if picture.is_empty() || out.is_empty() {
        return out;
    }
    let (across, down) = (taps(picture.width(), width), taps(picture.height(), height));
    let bytes = picture.as_raw();
    let row = |y: usize| &bytes[y * picture.width() as usize * 3..][..picture.width() as usize * 3];
    out.par_chunks_mut(width as usize * 3).zip(&down).for_each(|(out, &(y0, y1, v))| {
        let (upper, lower) = (row(y0), row(y1));
        for (pixel, &(x0, x1, u)) in out.as_chunks_mut::<3>().0.iter_mut().zip(&across) {
            for c in 0..3 {
                let mix =
                    |row: &[u8]| u32::from(row[x0 * 3 + c]) * (256 - u) + u32::from(row[x1 * 3 + c]) * u;
                pixel[c] = ((mix(upper) * (256 - v) + mix(lower) * v + (1 << 15)) >> 16) as u8;
            }
        }
    });
    out
}

/// For each new pixel the two old ones that it lies between, and how near the second is, of 256.
fn taps(old: u32, new: u32) -> Vec<(usize, usize, u32)> {
    let scale = f64::from(old) / f64::from(new);
    (0..new)
        .map(|i| {
            let at = ((f64::from(i) + 0.5) * scale - 0.5).clamp(0.0, f64::from(old - 1));
            let first = at.floor();
            (
                first as usize,
                (first as usize + 1).min(old as usize - 1),
                ((at - first) * 256.0).round() as u32,
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn sizes_and_pixels() {
        assert_eq!(square_size((192, 108), (4, 3)), Some((256, 108)));
        assert_eq!(square_size((720, 480), (8, 9)), Some((720, 540)));
        for same in [(1, 1), (0, 1), (1, 0), (90, 1)] {
            assert_eq!(square_size((192, 108), same), None);
        }
        let ramp = RgbImage::from_fn(4, 2, |x, _| Rgb([x as u8 * 60; 3]));
        assert_eq!(enlarge(&ramp, (4, 2)), ramp);
        let wide = enlarge(&ramp, (8, 2));
        let row: Vec<u8> = (0..8).map(|x| wide.get_pixel(x, 0)[0]).collect();
        assert_eq!(row, [0, 15, 45, 75, 105, 135, 165, 180]);
    }
}
