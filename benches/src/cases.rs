//! What can be compared.

use anyhow::{Result, bail};
use candle_core::{DType, Device, Tensor};
use dit::{Block, Context, Scope};
use encoders::{clip_vision, umt5};
use nn::{Attention, Grid, Linear, Precision, RandomWeights, Rope3d, WeightSource, Weights};
use std::sync::Arc;
use vae::Vae;

/// Runs once and hands out the result.
pub(crate) type Case = Box<dyn Fn() -> Result<Tensor>>;

/// Makes the weights (seed 0) and inputs (seed 1) of a case.
pub(crate) fn load(name: &str, dtype: DType) -> Result<Case> {
    let weights = Weights::new(Arc::new(RandomWeights::default()), dtype, &Device::Cpu);
    match name.split_once('/').unwrap_or((name, "")) {
        ("linear", rows) => linear(&weights, rows.parse()?),
        ("dit_block", tokens) => dit_block(&weights, tokens.parse()?),
        ("attention", tokens) => attention(dtype, tokens.parse()?),
        ("vae_encode", size) => vae_encode(wan(&weights)?, sizes(size)?.unwrap_or([5, 256, 256])),
        ("vae_decode", size) => vae_decode(wan(&weights)?, sizes(size)?.unwrap_or([5, 256, 256])),
        ("small_vae_encode", size) => vae_encode(small(&weights)?, sizes(size)?.unwrap_or([17, 192, 320])),
        ("small_vae_decode", size) => vae_decode(small(&weights)?, sizes(size)?.unwrap_or([17, 192, 320])),
        ("umt5_layer", tokens) => umt5_layer(&weights, tokens.parse()?),
        ("clip", "") => clip(&weights),
        _ => bail!("no such case"),
    }
}

fn input(name: &str, shape: &[usize]) -> Result<Tensor> {
    Ok(RandomWeights { seed: 1 }.dense(name, &shape.into(), DType::F32, &Device::Cpu)?)
}

/// A linear layer 5120 → 5120.
fn linear(weights: &Weights, rows: usize) -> Result<Case> {
    let layer = Linear::load(&weights.pp("linear"), 5120, 5120)?;
    let x = input("x", &[rows, 5120])?;
    Ok(Box::new(move || Ok(layer.forward(&x)?)))
}

/// One block of the 14B image-to-video model, with 512 text and 257 image rows.
fn dit_block(weights: &Weights, tokens: usize) -> Result<Case> {
    let config = dit::Config::i2v_14b_720p();
    let block = Block::load(&config, &weights.pp("blocks").pp(0))?;
    let side = (tokens as f64 / 4.0).sqrt() as usize;
    let grid = Grid::of([4, 2 * side, 2 * side], config.patch_size)?;
    if grid.tokens() != tokens {
        bail!("{tokens} tokens aren't four square frames");
    }
    let d = config.dim;
    let context = Context {
        text: input("text", &[1, config.text_len, d])?,
        image: Some(input("image", &[1, config.image_tokens, d])?),
    };
    let (x, t_mod) = (input("x", &[1, tokens, d])?, input("t_mod", &[1, 6, d])?);
    let rope = Rope3d::new(config.head_dim(), grid, &Device::Cpu)?;
    Ok(Box::new(move || {
        let scope = Scope { context: &context, t_mod: &t_mod, rope: &rope, rows: 4096, ranks: None };
        // The block works in place, so each run gets its own copy.
        Ok(block.forward(x.copy()?, &scope)?)
    }))
}

/// Attention of 40 heads of 128 among the tokens.
fn attention(dtype: DType, tokens: usize) -> Result<Case> {
    let [q, k, v] = ["q", "k", "v"].map(|name| input(name, &[1, tokens, 40 * 128]));
    let (q, k, v) = (unit(&q?)?, unit(&k?)?, unit(&v?)?);
    let precision = if dtype == DType::BF16 { Precision::Bf16 } else { Precision::F32 };
    Ok(Box::new(move || Ok(Attention { precision, ..Attention::new(40) }.forward(&q, &k, &v)?)))
}

/// Variance 1 instead of 1 / (elements behind the first axis).
fn unit(x: &Tensor) -> Result<Tensor> {
    let fan_in = x.elem_count() / x.dim(0)?;
    Ok((x * (fan_in as f64).sqrt())?)
}

/// `T×H×W`, if it isn't empty.
fn sizes(text: &str) -> Result<Option<[usize; 3]>> {
    if text.is_empty() {
        return Ok(None);
    }
    let numbers = text.split('x').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    let Ok(sizes) = <[usize; 3]>::try_from(numbers) else { bail!("{text} isn't TxHxW") };
    Ok(Some(sizes))
}

/// An autoencoder with latents as they come out.
fn vae(config: vae::Config, weights: &Weights) -> Result<Vae> {
    let z = config.z_dim;
    Ok(Vae::load(&vae::Config { mean: vec![0.0; z], std: vec![1.0; z], ..config }, weights)?)
}

/// The Wan 2.1 autoencoder.
fn wan(weights: &Weights) -> Result<Vae> {
    vae(vae::Config::wan_2_1(), weights)
}

/// An autoencoder of the size of the demo's.
fn small(weights: &Weights) -> Result<Vae> {
    let config =
        vae::Config { z_dim: 48, dim_mult: vec![1, 2, 3, 3], num_res_blocks: 1, ..vae::Config::small(24) };
    vae(config, weights)
}

/// A video of T×H×W.
fn vae_encode(vae: Vae, [t, h, w]: [usize; 3]) -> Result<Case> {
    let video = unit(&input("video", &[1, 3, t, h, w])?)?;
    Ok(Box::new(move || Ok(vae.encode(&video, &mut ())?)))
}

/// The latents of a video of T×H×W.
fn vae_decode(vae: Vae, [t, h, w]: [usize; 3]) -> Result<Case> {
    let config = vae.config();
    let shape =
        [1, config.z_dim, config.latent_frames(t), h / config.spatial_factor(), w / config.spatial_factor()];
    let latents = unit(&input("latents", &shape)?)?;
    Ok(Box::new(move || Ok(vae.decode(&latents, &mut ())?)))
}

/// One layer of UMT5-XXL with a small vocabulary, its embedding and last norm.
fn umt5_layer(weights: &Weights, tokens: usize) -> Result<Case> {
    let config = umt5::Config { vocab: 1024, num_layers: 1, ..umt5::Config::umt5_xxl() };
    let encoder = umt5::TextEncoder::new(&config, weights)?;
    let ids: Vec<u32> = (0..tokens).map(|i| (i * 37 % 1024) as u32).collect();
    Ok(Box::new(move || Ok(encoder.forward(&ids, ids.len())?)))
}

/// The image tower on one picture.
fn clip(weights: &Weights) -> Result<Case> {
    let tower = clip_vision::ImageEncoder::new(&clip_vision::Config::vit_h_14(), weights)?;
    let pixels = unit(&input("pixels", &[1, 3, 224, 224])?)?;
    Ok(Box::new(move || Ok(tower.forward(&pixels)?)))
}
