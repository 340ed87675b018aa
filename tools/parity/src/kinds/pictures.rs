//! Pictures as the cases store them.

use anyhow::{Context, Result, bail};
use image::RgbImage;
use serde_json::Value;
use testkit::Array;

/// `[H, W, 3]` bytes as a picture.
pub fn rgb_image(array: Array<u8>) -> Result<RgbImage> {
    let &[height, width, 3] = array.shape.as_slice() else {
        bail!("not a picture: shape {:?}", array.shape);
    };
    RgbImage::from_raw(u32::try_from(width)?, u32::try_from(height)?, array.data).context("picture too large")
}

/// `[F, H, W, 3]` bytes as pictures.
pub fn rgb_images(array: Array<u8>) -> Result<Vec<RgbImage>> {
    let &[frames, height, width, 3] = array.shape.as_slice() else {
        bail!("not a clip: shape {:?}", array.shape);
    };
    let n = height * width * 3;
    (0..frames)
        .map(|f| rgb_image(Array { shape: vec![height, width, 3], data: array.data[f * n..][..n].to_vec() }))
        .collect()
}

/// Two sizes of a run, by key.
pub fn size(run: &Value, width: &str, height: &str) -> Result<(u32, u32)> {
    let get = |key: &str| -> Result<u32> {
        let value = run[key].as_u64().with_context(|| format!("run {} has no {key}", run["name"]))?;
        Ok(u32::try_from(value)?)
    };
    Ok((get(width)?, get(height)?))
}
