//! `mask`: from mesh renders to the latent mask and the packed `y`.

use super::pictures::rgb_images;
use super::tensor::to_f32;
use anyhow::{Result, bail, ensure};
use candle_core::{Device, Tensor};
use conditioning::mask::{background_mask, blur_of, gaussian_blur, latent_mask, nearest};
use conditioning::{Strides, assemble_y};
use testkit::{Case, Checker};

/// Runs the case.
pub fn run(case: &Case, checker: &mut Checker<'_>) -> Result<()> {
    let strides = Strides::of(&vae::Config::wan_2_1());
    for (name, run) in case.named_runs()? {
        let mesh = rgb_images(case.input_u8(name, "smplx_u8")?)?;
        let latents = case.input_f32(name, "blend_latents")?;
        let &[1, channels, frames, h, w] = latents.shape.as_slice() else {
            bail!("run {name}: latents of shape {:?}", latents.shape);
        };

        // The last frame is lost to the reference picture.
        let Some((last, behind)) = mesh.split_last() else { bail!("run {name}: no mesh frames") };
        let full = background_mask(last.dimensions(), behind)?;
        let bytes: Vec<u8> = full.data.iter().map(|&x| x as u8).collect();
        checker.u8(&format!("{name}.smplx_mask_full"), &[1, full.frames, full.height, full.width], &bytes);

        let nearest = nearest(&full, strides.space);
        checker.f32(&format!("{name}.smplx_mask_nearest"), &[1, nearest.frames, h, w], &nearest.data);

        let (kernel_size, sigma) = blur_of(full.height, full.width);
        ensure!(
            run["kernel_size"].as_u64() == Some(kernel_size as u64)
                && run["sigma"].as_f64().is_some_and(|s| (s - sigma).abs() < 1e-9),
            "run {name}: kernel {kernel_size} and sigma {sigma} instead of {} and {}",
            run["kernel_size"],
            run["sigma"]
        );
        let blurred = gaussian_blur(&nearest, kernel_size, sigma)?;
        ensure!(blurred == latent_mask(&full, strides)?, "run {name}: latent_mask differs from its steps");
        checker.f32(&format!("{name}.smplx_mask_blurred"), &[1, blurred.frames, h, w], &blurred.data);

        let latents = Tensor::from_vec(latents.data, (1, channels, frames, h, w), &Device::Cpu)?;
        let y = assemble_y(&blurred, &latents, strides)?;
        checker.f32(&format!("{name}.y"), y.dims(), &to_f32(&y)?);
    }
    Ok(())
}
