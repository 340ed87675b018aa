//! `denoise`: the whole generation, from frames and embeddings to frames.

use super::pictures;
use super::tensor::{from_array, to_f32, weights, weights_as};
use anyhow::{Context, Result};
use bg_mask::{Scaling, from_planes, to_planes};
use candle_core::{DType, Device, Tensor};
use conditioning::{Clip, ConditionEmbedders, Conditioner, Prompts, Rounding, Strides};
use dit::WanModel;
use image::RgbImage;
use pipeline::denoise::{Sampling, Start, Step, StepCacheSettings, Watch, denoise};
use serde_json::Value;
use std::ops::ControlFlow;
use testkit::{Case, Checker};
use vae::{Tiles, Vae};

pub(super) fn run(case: &Case, check: &mut Checker<'_>, device: &Device) -> Result<()> {
    for (name, run) in case.named_runs()? {
        one(case, check, (name, run), device).with_context(|| format!("run {name}"))?;
    }
    Ok(())
}

fn one(case: &Case, check: &mut Checker<'_>, (name, run): (&str, &Value), device: &Device) -> Result<()> {
    let config = case.config();
    let inputs = run["inputs"].as_str().context("inputs")?;
    let half = run["dtype"] == "bf16";
    let (dtype, rounding) = if half { (DType::BF16, Rounding::Bf16) } else { (DType::F32, Rounding::None) };
    let dit_config: dit::Config = serde_json::from_value(config["dit"].clone()).context("dit config")?;
    // The reference's statistics of the latents are constants of its code, not of the configuration.
    let mut vae_config = serde_json::to_value(vae::Config::wan_2_1())?;
    for (key, value) in config["vae"].as_object().context("vae config")? {
        vae_config[key] = value.clone();
    }
    let vae_config: vae::Config = serde_json::from_value(vae_config).context("vae config")?;
    let model = WanModel::load(&dit_config, &weights_as(case, "dit.", dtype, device)?)?;
    let vae = Vae::load(&vae_config, &weights_as(case, "vae.", dtype, device)?)?;
    let embedders = ConditionEmbedders::load(dit_config.dim, &weights(case, "", device)?)?;

    let reference = pictures::rgb_image(case.input_u8(inputs, "ref_u8")?)?;
    let blend = pictures::rgb_images(case.input_u8(inputs, "blend_u8")?)?;
    let mesh = pictures::rgb_images(case.input_u8(inputs, "smplx_u8")?)?;
    // The reference's videos lose their last frame to the reference picture.
    let behind = |frames: &[RgbImage]| frames[..frames.len().saturating_sub(1)].to_vec();
    let (blend, mesh) = (behind(&blend), behind(&mesh));
    let clip = Clip::new(&reference, &blend, &mesh, Strides::of(&vae_config))?;
    let [f, h, w] = clip.size();
    let mut expect = |tensor: &str, value: &Tensor| -> Result<()> {
        let tensor = format!("{name}.{tensor}");
        if check.expects(&tensor) {
            check.f32(&tensor, value.dims(), &to_f32(value)?);
        }
        Ok(())
    };

    let picture = to_planes(&reference, Scaling::PreprocessImage);
    expect("clip_input", &Tensor::from_vec(picture, (1, 3, h, w), &Device::Cpu)?)?;
    let tiles = tiles(run)?;
    let mut conditioner = Conditioner::new(&embedders, &vae)?;
    (conditioner.rounding, conditioner.tiles) = (rounding, tiles);
    let made = conditioner.condition(&clip, device, &mut |_| ControlFlow::Continue(()))?;
    let mask = (1, made.mask.frames, made.mask.height, made.mask.width);
    expect("smplx_mask_blurred", &Tensor::from_vec(made.mask.data, mask, &Device::Cpu)?)?;
    expect("condition", &made.tokens)?;
    expect("combine_blend_latents", &made.latents)?;
    expect("y", &made.y)?;

    let sampling = sampling(config, run, half)?;
    let context = |tensor: &str| -> Result<Tensor> {
        Ok(rounding.apply(&from_array(case.input_f32(inputs, tensor)?, device)?)?)
    };
    let prompts = Prompts {
        positive: context("context_posi")?,
        negative: Some(context("context_nega")?),
        clip_feature: context("clip_feature")?,
    };
    let (positive, negative) = prompts.branches(&made.y, &made.tokens);
    let noise = context("noise")?;
    let mut steps = Steps::default();
    let start = Start::at(noise, 0);
    let result = denoise(&model, &positive, negative.as_ref(), start, &sampling, &mut steps)?;

    expect("latents", &result)?;
    expect("latents_steps", &Tensor::stack(&steps.latents, 0)?)?;
    expect("noise_pred_steps", &Tensor::stack(&steps.velocity, 0)?)?;
    expect("pred_posi_steps", &Tensor::stack(&steps.positive, 0)?)?;
    if !steps.negative.is_empty() {
        expect("pred_nega_steps", &Tensor::stack(&steps.negative, 0)?)?;
    }
    let n = steps.timesteps.len();
    expect("model_timesteps", &Tensor::from_vec(steps.timesteps.clone(), (n, 1), &Device::Cpu)?)?;
    for (b, branch) in ["posi", "nega"].into_iter().enumerate() {
        let calc: Vec<i64> = steps.cache.iter().filter_map(|c| c.get(b)).map(|c| i64::from(c.0)).collect();
        let accumulated: Vec<f64> = steps.cache.iter().filter_map(|c| c.get(b)).map(|c| c.1).collect();
        let (calc_name, sum_name) = (format!("{name}.calc_{branch}"), format!("{name}.accumulated_{branch}"));
        if check.expects(&calc_name) {
            check.i64(&calc_name, &[calc.len()], &calc);
        }
        if check.expects(&sum_name) {
            check.f64(&sum_name, &[accumulated.len()], &accumulated);
        }
    }

    let decoded = match &tiles {
        Some(tiles) => vae.decode_tiled(&result, tiles, &mut ())?,
        None => vae.decode(&result, &mut ())?,
    };
    let decoded_name = format!("{name}.decoded");
    if check.expects(&decoded_name) {
        check.f32(&decoded_name, decoded.dims(), &to_f32(&decoded)?);
    }
    let frames_name = format!("{name}.frames_u8");
    if check.expects(&frames_name) {
        let mut bytes = Vec::with_capacity(f * h * w * 3);
        for i in 0..f {
            let planes = to_f32(&decoded.get(0)?.narrow(1, i, 1)?)?;
            bytes.extend_from_slice(from_planes(&planes, w as u32, h as u32)?.as_raw());
        }
        check.u8(&frames_name, &[f, h, w, 3], &bytes);
    }
    Ok(())
}

fn tiles(run: &Value) -> Result<Option<Tiles>> {
    if run["tiled"] != true {
        return Ok(None);
    }
    let pair = |key: &str| -> Result<[usize; 2]> {
        serde_json::from_value(run[key].clone()).context(key.to_owned())
    };
    Ok(Some(Tiles { size: pair("tile_size")?, stride: pair("tile_stride")? }))
}

fn sampling(config: &Value, run: &Value, half: bool) -> Result<Sampling> {
    let step_cache = run["tea_cache_l1_thresh"].as_f64().map(|threshold| StepCacheSettings {
        threshold: Some(threshold),
        model: run["tea_cache_model_id"].as_str().map(str::to_owned),
        ..StepCacheSettings::default()
    });
    Ok(Sampling {
        steps: run["num_inference_steps"].as_u64().context("num_inference_steps")? as usize,
        cfg_scale: run["cfg_scale"].as_f64().context("cfg_scale")?,
        shift: config["sigma_shift"].as_f64().context("sigma_shift")?,
        step_cache,
        bf16_timestep: half || run["round_timestep_bf16"] == true,
        bf16_latents: half,
        ..Sampling::reference()
    })
}

/// Keeps what every step computed.
#[derive(Default)]
struct Steps {
    timesteps: Vec<f32>,
    positive: Vec<Tensor>,
    negative: Vec<Tensor>,
    velocity: Vec<Tensor>,
    latents: Vec<Tensor>,
    cache: Vec<Vec<(bool, f64)>>,
}

impl Watch for Steps {
    fn step(&mut self, step: &Step<'_>) -> pipeline::Result<()> {
        // The model is told the timestep once for each branch.
        let branches = 1 + usize::from(step.negative.is_some());
        self.timesteps.extend(vec![step.timestep as f32; branches]);
        self.positive.push(step.positive.clone());
        self.negative.extend(step.negative.cloned());
        self.velocity.push(step.velocity.clone());
        self.latents.push(step.latents.clone());
        self.cache.push(step.cache.to_vec());
        Ok(())
    }
}
