//! `composite`: the reference's blend of a render over a plate, with its resizes and its truncation.

use super::pictures::{rgb_image, size};
use anyhow::Result;
use bg_mask::resample::Filter;
use bg_mask::{Layout, Render, reference_blend, reference_blend_planes, resize, truncate_planes};
use image::RgbImage;
use testkit::{Case, Checker};

/// Runs the case.
pub fn run(case: &Case, checker: &mut Checker<'_>) -> Result<()> {
    for (name, run) in case.named_runs()? {
        let color = case.input_f32(name, "color")?;
        let alpha = case.input_f32(name, "alpha")?;
        let background = rgb_image(case.input_u8(name, "bkgd_u8")?)?;
        let (w, h) = size(run, "W", "H")?;
        let (render_w, render_h) = size(run, "render_image_width", "render_image_height")?;

        let render = Render::new((render_w, render_h), &color.data, Layout::Planar, &alpha.data)?;
        let plate = resize(&background, w, h, Filter::Lanczos)?;
        let plate_at_render_size = resize(&plate, render_w, render_h, Filter::Lanczos)?;
        let blended = reference_blend_planes(&render, &plate_at_render_size)?;
        let truncated = truncate_planes(&blended, render_w, render_h)?;

        let shape = [3, render_h as usize, render_w as usize];
        checker.f32(&format!("{name}.blend_float"), &shape, &blended);
        let mut compare = |tensor: &str, image: &RgbImage| {
            let shape = [image.height() as usize, image.width() as usize, 3];
            checker.u8(&format!("{name}.{tensor}"), &shape, image.as_raw());
        };
        compare("bkgd_WH_u8", &plate);
        compare("bkgd_render_u8", &plate_at_render_size);
        compare("blend_render_u8", &truncated);
        compare("blend_u8", &reference_blend(&render, &plate)?);
    }
    Ok(())
}
