//! From a picture to a vision transformer's square: padded with white on both sides, then resized.

use crate::resize::kornia_bicubic;
use crate::{Error, Result};
use candle_core::{Device, Tensor};

/// Longest side: a strip of a picture becomes a square of its length.
const MAX_SIDE: usize = 1 << 13;

/// Pads a picture `[1, 3, H, W]` in 0..1 with white to a square, an odd remainder right and below, and resizes it to
/// `[1, 3, size, size]`. Overshoot isn't clamped. Ported from `_preprocess_image` of LHM's encoders.
pub(crate) fn white_square(picture: &Tensor, size: usize, antialias: bool) -> Result<Tensor> {
    let (h, w) = match *picture.dims() {
        [1, 3, h, w] if h.min(w) > 0 && h.max(w) <= MAX_SIDE => (h, w),
        _ => {
            let (expected, got) = (format!("[1, 3, H, W] of at most {MAX_SIDE}"), picture.dims().to_vec());
            return Err(Error::Shape { what: "a picture", expected, got });
        }
    };
    let pixels = picture.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    let side = h.max(w);
    let (left, top) = ((side - w) / 2, (side - h) / 2);
    let mut square = vec![1.0; 3 * side * side];
    for (plane, square) in pixels.chunks_exact(h * w).zip(square.chunks_exact_mut(side * side)) {
        for (y, row) in plane.chunks_exact(w).enumerate() {
            square[(top + y) * side + left..][..w].copy_from_slice(row);
        }
    }
    let out = kornia_bicubic(&square, [side; 2], [size; 2], antialias)?;
    Ok(Tensor::from_vec(out, (1, 3, size, size), &Device::Cpu)?.to_device(picture.device())?)
}
