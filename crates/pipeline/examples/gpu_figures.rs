//! Time and peak device memory of the heavy parts at full size, on made-up weights.
//!
//! `cargo run --release -p anicrafter-pipeline --features cuda --example gpu_figures -- cuda:0 block attention vae step`
//!
//! - `block`: one block of the 14B transformer in bf16 at 32,760 tokens (81 × 480 × 832) and 75,600 (81 × 720 × 1280)
//! - `attention`: its self-attention alone, by the fused kernel and in chunks, and how far the two lie apart
//! - `vae`: decoding 81 × 480 × 832 with the autoencoder of Wan 2.1, in bf16 and f32
//! - `step`: one denoising step of the whole 14B transformer, two branches, 32,760 tokens, weights resident in bf16
//! - `small`: the first three at sizes for any machine, to see that they run, and a small transformer with resident and
//!   with streamed weights against the CPU
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use candle_core::{DType, Device, Tensor};
use dit::plan::{Storage, Workload, plan};
use dit::{Block, Conditions, Config, Context, Scope, Streamed, Streaming, WanModel, pad_context};
use nn::{Attention, Grid, Precision, RandomWeights, Rope3d, WeightSource, Weights, peak_device_memory};
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Latent frames, height and width of 81 frames at 480 × 832 and 720 × 1280.
const LATENTS: [[usize; 3]; 2] = [[21, 60, 104], [21, 90, 160]];
const SMALL: [usize; 3] = [3, 16, 16];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (device, parts) = arguments.split_first().ok_or("which device? cpu, cuda:N or metal")?;
    let device = nn::open_device(device)?;
    for part in parts {
        match part.as_str() {
            "block" => LATENTS.iter().try_for_each(|&latent| block(&device, latent))?,
            "attention" => LATENTS.iter().try_for_each(|&latent| attention(&device, latent))?,
            "vae" => [DType::BF16, DType::F32].iter().try_for_each(|&t| vae(&device, LATENTS[0], 96, t))?,
            "step" => step(&device, LATENTS[0])?,
            "small" => {
                model(&device)?;
                block(&device, SMALL)?;
                attention(&device, SMALL)?;
                vae(&device, SMALL, 16, DType::BF16)?;
                vae(&device, SMALL, 16, DType::F32)?;
            }
            other => return Err(format!("{other:?} is none of block, attention, vae, step, small").into()),
        }
    }
    Ok(())
}

/// Runs it once to warm up and three times more, or only once where that takes long; gives the median in seconds and the
/// peak memory in words.
fn measure(device: &Device, mut run: impl FnMut() -> Result<()>) -> Result<(f64, String)> {
    const LONG: f64 = 10.0;
    peak_device_memory(device)?;
    let mut timed = || -> Result<f64> {
        let start = Instant::now();
        run()?;
        device.synchronize()?;
        Ok(start.elapsed().as_secs_f64())
    };
    let first = timed()?;
    let mut times = if first > LONG { vec![first] } else { vec![timed()?, timed()?, timed()?] };
    times.sort_by(f64::total_cmp);
    Ok((times[times.len() / 2], peak(device)?))
}

fn peak(device: &Device) -> Result<String> {
    let bytes = peak_device_memory(device)?;
    Ok(bytes.map_or_else(|| "not told".to_owned(), |bytes| format!("{:.2} GB", bytes as f64 / 1e9)))
}

/// Made-up values of unit variance.
fn random(name: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
    let fan_in: usize = shape[1..].iter().product();
    let tensor = RandomWeights { seed: 1 }.dense(name, &shape.into(), DType::F32, device)?;
    Ok((tensor * (fan_in as f64).sqrt())?)
}

fn block(device: &Device, latent: [usize; 3]) -> Result<()> {
    let config = Config::i2v_14b_720p();
    let weights = Weights::new(Arc::new(RandomWeights::default()), DType::BF16, device);
    let block = Block::load(&config, &weights.pp("blocks").pp(0))?;
    let grid = Grid::of(latent, config.patch_size)?;
    let (d, tokens) = (config.dim, grid.tokens());
    let context = Context {
        text: random("text", &[1, config.text_len, d], device)?,
        image: Some(random("image", &[1, 257, d], device)?),
    };
    let (t_mod, rope) = (random("t_mod", &[1, 6, d], device)?, Rope3d::new(config.head_dim(), grid, device)?);
    let rows = dit::rows_at_a_time(&config, device);
    let scope = Scope { context: &context, t_mod: &t_mod, rope: &rope, rows, ranks: None };
    // The stream is updated in place; the values stay finite over the runs, as the norms start each branch.
    let x = random("x", &[1, tokens, d], device)?;
    let (seconds, peak) = measure(device, || {
        block.forward(x.clone(), &scope)?;
        Ok(())
    })?;
    let mean = x.narrow(1, 0, tokens.min(1000))?.abs()?.mean_all()?.to_scalar::<f32>()?;
    let storage = Storage::Dense(DType::BF16);
    let flops =
        plan(&config, &Workload { latent, steps: 1, branches: 1, storage, streaming: None })?.block_flops;
    println!(
        "block, bf16, {tokens} tokens: {seconds:.3} s, {:.0} TFLOP/s, peak {peak}, mean size {mean:.3}",
        flops / seconds / 1e12
    );
    Ok(())
}

fn attention(device: &Device, latent: [usize; 3]) -> Result<()> {
    let config = Config::i2v_14b_720p();
    let tokens = Grid::of(latent, config.patch_size)?.tokens();
    let part = |name: &str| random(name, &[1, tokens, config.dim], device);
    let (q, k, v) = (part("q")?, part("k")?, part("v")?);
    let flops = 4.0 * (tokens as f64).powi(2) * config.dim as f64;
    let mut last = Vec::new();
    for (name, fused) in [("fused", true), ("in chunks", false)] {
        let attention = Attention { precision: Precision::Bf16, fused, ..Attention::new(config.num_heads) };
        let mut out = None;
        let (seconds, peak) = measure(device, || {
            out = Some(attention.forward(&q, &k, &v)?.narrow(1, 0, tokens.min(1000))?.contiguous()?);
            Ok(())
        })?;
        let rate = flops / seconds / 1e12;
        println!("attention, bf16, {tokens} tokens, {name}: {seconds:.3} s, {rate:.0} TFLOP/s, peak {peak}");
        last.extend(out);
    }
    let distance = (&last[0] - &last[1])?.sqr()?.sum_all()?.to_scalar::<f32>()?;
    let length = last[1].sqr()?.sum_all()?.to_scalar::<f32>()?;
    println!(
        "attention, {tokens} tokens: the two differ by {:.2e} of their length",
        (distance / length).sqrt()
    );
    Ok(())
}

fn vae(device: &Device, latent: [usize; 3], dim: usize, dtype: DType) -> Result<()> {
    let config = vae::Config { dim, ..vae::Config::wan_2_1() };
    let weights = vae::random_weights(&config, 1, device)?.with_dtype(dtype);
    let vae = vae::Vae::load_with(&config, &weights, vae::Halves::Decoder, vae::Backend::Auto)?;
    let [t, h, w] = latent;
    let latents = random("latents", &[1, config.z_dim, t, h, w], device)?;
    let mut shape = Vec::new();
    let (seconds, peak) = measure(device, || {
        shape = vae.decode(&latents, &mut ())?.dims().to_vec();
        Ok(())
    })?;
    println!("VAE decode, {dtype:?}, dim {dim}, {shape:?}: {seconds:.3} s, peak {peak}");
    Ok(())
}

/// A small transformer on the CPU in f32, and on the device in both types, resident and streamed.
fn model(device: &Device) -> Result<()> {
    let config = Config {
        dim: 256,
        num_heads: 2,
        ffn_dim: 512,
        num_layers: 6,
        text_dim: 64,
        ..Config::i2v_14b_720p()
    };
    let predict = |device: &Device, dtype: DType, streamed: bool| -> Result<Tensor> {
        let weights = Weights::new(Arc::new(RandomWeights::default()), dtype, device);
        let model = if streamed {
            let blocks = Streamed::new(&config, &weights.pp("blocks"), Streaming { in_flight: 3, keep: 1 })?;
            WanModel::with_blocks(&config, &weights, Box::new(blocks))?
        } else {
            WanModel::load(&config, &weights)?
        };
        let [t, h, w] = SMALL;
        let prompt = random("prompt", &[1, 512, config.text_dim], device)?;
        let image = random("image", &[1, config.image_tokens, config.image_dim], device)?;
        let y = random("y", &[1, config.in_dim - config.out_dim, t, h, w], device)?;
        let conditions =
            Conditions { context: &prompt, clip_feature: Some(&image), y: Some(&y), add_condition: None };
        let x = random("latents", &[1, config.out_dim, t, h, w], device)?;
        let branch = model.branch(&conditions)?;
        Ok(model.forward(&x, 900.0, &branch, &mut ())?.to_device(&Device::Cpu)?)
    };
    let expected = predict(&Device::Cpu, DType::F32, false)?;
    for (dtype, streamed) in [(DType::F32, false), (DType::BF16, false), (DType::BF16, true)] {
        let got = predict(device, dtype, streamed)?;
        let distance = (got - &expected)?.sqr()?.sum_all()?.to_scalar::<f32>()?;
        let length = expected.sqr()?.sum_all()?.to_scalar::<f32>()?;
        let distance = (distance / length).sqrt();
        println!(
            "model, {dtype:?}, streamed {streamed}: differs from the CPU's f32 by {distance:.2e} of its length"
        );
    }
    Ok(())
}

fn step(device: &Device, latent: [usize; 3]) -> Result<()> {
    let config = Config::i2v_14b_720p();
    let weights = Weights::new(Arc::new(RandomWeights::default()), DType::BF16, device);
    let start = Instant::now();
    let model = WanModel::load(&config, &weights)?;
    device.synchronize()?;
    println!("14B weights made up and on the device: {:.1} s", start.elapsed().as_secs_f64());
    let [t, h, w] = latent;
    let prompt = pad_context(&random("prompt", &[1, 30, config.text_dim], device)?, config.text_len)?;
    let image = random("image", &[1, config.image_tokens, config.image_dim], device)?;
    let y = random("y", &[1, config.in_dim - config.out_dim, t, h, w], device)?;
    let tokens = Grid::of(latent, config.patch_size)?.tokens();
    let avatar = random("avatar", &[1, tokens, config.dim], device)?;
    let negative =
        Conditions { context: &prompt, clip_feature: Some(&image), y: Some(&y), add_condition: None };
    let positive = model.branch(&Conditions { add_condition: Some(&avatar), ..negative })?;
    let negative = model.branch(&negative)?;
    let x = random("latents", &[1, config.out_dim, t, h, w], device)?;
    for run in ["first", "second"] {
        peak_device_memory(device)?;
        let start = Instant::now();
        let both = model.forward_all(&x, 900.0, &[&positive, &negative], &mut ())?;
        device.synchronize()?;
        let seconds = start.elapsed().as_secs_f64();
        let mean = both[0].abs()?.mean_all()?.to_scalar::<f32>()?;
        println!(
            "step, 14B, bf16, {tokens} tokens, 2 branches, {run}: {seconds:.2} s, peak {}, mean size {mean:.3}",
            peak(device)?
        );
    }
    Ok(())
}
