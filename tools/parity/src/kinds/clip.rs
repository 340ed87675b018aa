//! `clip`: the image tower with its preprocessing.

use super::pictures;
use super::tensor::{to_f32, weights};
use anyhow::{Context, Result};
use bg_mask::resample::Filter;
use bg_mask::{Scaling, resize, to_planes};
use candle_core::{Device, Tensor};
use encoders::clip_vision::{Config, ImageEncoder, preprocess};
use nn::Recording;
use testkit::{Case, Checker};

pub(super) fn run(case: &Case, check: &mut Checker<'_>, device: &Device) -> Result<()> {
    let mut config: Config = serde_json::from_value(case.config().clone()).context("config")?;
    if let Some(eps) = case.json["norm_eps"].as_f64() {
        config.norm_eps = eps;
    }
    let model = ImageEncoder::new(&config, &weights(case, "visual.", device)?)?;
    for (name, run) in case.named_runs()? {
        let height = run["height"].as_u64().context("height")? as u32;
        let width = run["width"].as_u64().context("width")? as u32;
        let picture = pictures::rgb_image(case.input_u8(name, "image_u8")?)?;
        let resized = resize(&picture, width, height, Filter::Bicubic)?;
        let (h, w) = (height as usize, width as usize);
        check.u8(&format!("{name}.resized_u8"), &[h, w, 3], resized.as_raw());
        let input = Tensor::from_vec(to_planes(&resized, Scaling::PreprocessImage), (1, 3, h, w), device)?;
        check.f32(&format!("{name}.preprocessed"), input.dims(), &to_f32(&input)?);
        let pixels = preprocess(&input, config.image_size)?;
        check.f32(&format!("{name}.pixels"), pixels.dims(), &to_f32(&pixels)?);
        let mut seen = Recording::default();
        let out = model.forward_probed(&pixels, &mut seen)?;
        check.f32(&format!("{name}.out"), out.dims(), &to_f32(&out)?);
        for (tensor, values) in &seen.values {
            let tensor = format!("{name}.{tensor}");
            if check.expects(&tensor) {
                for value in values {
                    check.f32(&tensor, value.dims(), &to_f32(value)?);
                }
            }
        }
    }
    Ok(())
}
