//! `image_ops`: resizes, padding, normalisation and truncation of pictures.

use super::pictures::{rgb_image, size};
use anyhow::{Context, Result, bail};
use bg_mask::resample::Filter;
use bg_mask::{Scaling, from_planes, pad_image_to_aspect_ratio, resize, to_planes};
use image::Rgb;
use testkit::{Array, Case, Checker};

/// Runs the case.
pub fn run(case: &Case, checker: &mut Checker<'_>) -> Result<()> {
    for (name, run) in case.named_runs()? {
        let op = run["op"].as_str().with_context(|| format!("run {name} has no op"))?;
        let image_name = run["image"].as_str().with_context(|| format!("run {name} has no image"))?;
        let image = rgb_image(case.input_u8(name, image_name)?)?;
        let (width, height) = size(run, "width", "height")?;
        let u8_name = format!("{name}.out_u8");
        match op {
            "pad_to_aspect" => {
                let out = pad_image_to_aspect_ratio(&image, width, height, Rgb([255; 3]))?;
                checker.u8(&u8_name, &[height as usize, width as usize, 3], out.as_raw());
            }
            "lanczos" | "bicubic" => {
                let filter = if op == "lanczos" { Filter::Lanczos } else { Filter::Bicubic };
                let out = resize(&image, width, height, filter)?;
                checker.u8(&u8_name, &[height as usize, width as usize, 3], out.as_raw());
            }
            "frame_process_norm" => {
                let out = resize(&image, width, height, Filter::Bilinear)?;
                let planes = to_planes(&out, Scaling::FrameProcessNorm);
                checker.f32(&format!("{name}.out"), &[3, height as usize, width as usize], &planes);
            }
            "preprocess_image" => {
                let planes = to_planes(&image, Scaling::PreprocessImage);
                let shape = [1, 3, image.height() as usize, image.width() as usize];
                checker.f32(&format!("{name}.out"), &shape, &planes);
            }
            "tensor2video" => {
                // The case stores the tensor it cut to bytes beside the result.
                let (planes, width, height) = tensor_to_cut(case, name)?;
                checker.f32(&format!("{name}.in"), &planes.shape, &planes.data);
                let out = from_planes(&planes.data, width, height)?;
                checker.u8(&u8_name, &[height as usize, width as usize, 3], out.as_raw());
            }
            other => bail!("run {name}: unknown op {other:?}"),
        }
    }
    Ok(())
}

fn tensor_to_cut(case: &Case, run: &str) -> Result<(Array<f32>, u32, u32)> {
    let planes = case.outputs.f32(&format!("{run}.in"))?;
    let &[3, 1, height, width] = planes.shape.as_slice() else {
        bail!("run {run}: expected [3, 1, H, W], got {:?}", planes.shape);
    };
    Ok((planes, u32::try_from(width)?, u32::try_from(height)?))
}
