//! A published model at full size with random weights: time by part and peak memory, as the real weights would take.
//!
//! `cargo run --release -p anicrafter-lhm --example avatar_full_size -- 500m [f32|bf16|q8|int8] [threads] [points]`
#![expect(clippy::print_stdout, reason = "an example")]

use anicrafter_lhm::{
    Config, Input, Model, Part, PictureConfig, QueryPoints, Storage, Variant, Workload, body_picture, plan,
    scatter,
};
use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use image::{GrayImage, Luma, Rgb, RgbImage};
use nn::{Inputs, QuantizeOnLoad, RandomWeights, Weights};
use std::error::Error;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let arg = |i: usize, usual: &str| args.get(i).map_or(usual.to_owned(), String::clone);
    let name = arg(0, "500m");
    let variant = Variant::ALL.into_iter().find(|(own, _)| *own == name).ok_or("mini, 500m or 1b")?.1;
    let threads: usize = arg(2, "0").parse()?;
    if threads > 0 {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    let config = Config::variant(variant);
    let random = RandomWeights::default();
    let device = Device::Cpu;
    let blocks = || {
        Weights::new(Arc::new(QuantizeOnLoad::new(Arc::new(random), GgmlDType::Q8_0)), DType::F32, &device)
    };
    let (weights, storage) = match arg(1, "f32").as_str() {
        "f32" => (Weights::new(Arc::new(random), DType::F32, &device), Storage::F32),
        "bf16" => (Weights::new(Arc::new(random), DType::BF16, &device), Storage::Bf16),
        "q8" => (blocks(), Storage::Q8),
        "int8" => (blocks().with_inputs(Inputs::Int8), Storage::Q8),
        other => return Err(format!("{other}: f32, bf16, q8 or int8").into()),
    };

    let body = smplx::BodyModel::from_bytes(anicrafter_assets::BODY.to_vec())?;
    let count = arg(3, &config.dense_sample_pts.to_string()).parse()?;
    let points = QueryPoints::new(&body, &scatter(&body, count)?)?;
    let expected = plan(&config, &Workload { storage, points: Some(count) });
    println!(
        "{} points, {:.1} TFLOP, plan {} MiB",
        count,
        expected.flops() / 1e12,
        expected.peak_bytes >> 20
    );

    let input = Input {
        body: &picture(&config.preprocess)?,
        head: Tensor::full(0.5_f32, (1, 3, 112, 112), &device)?,
        has_head: true,
        betas: &[0.0; 10],
        body_ratio: 1.0,
    };
    let (mut part, mut start) = (None, Instant::now());
    let mut watch = |now: Part, done: f64| {
        if part != Some(now) {
            (part, start) = (Some(now), Instant::now());
        }
        if done >= 1.0 {
            println!(
                "{:<10} {:>8.1} s   peak {} MiB",
                now.name(),
                start.elapsed().as_secs_f64(),
                peak_memory() >> 20
            );
        }
        ControlFlow::Continue(())
    };
    let whole = Instant::now();
    let avatar = Model::new(&config, &weights, &weights)?.avatar(&input, &points, &mut watch)?;
    println!("{} Gaussians in {:.1} s", avatar.gaussians.len(), whole.elapsed().as_secs_f64());
    Ok(())
}

/// An upright figure.
fn picture(config: &PictureConfig) -> Result<anicrafter_lhm::BodyPicture, Box<dyn Error>> {
    let inside = |x: u32, y: u32| (220..380).contains(&x) && (100..900).contains(&y);
    let picture = RgbImage::from_fn(600, 1000, |x, y| Rgb([(x / 3) as u8, (y / 4) as u8, 128]));
    let mask = GrayImage::from_fn(600, 1000, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
    Ok(body_picture(&picture, &mask, config)?)
}

/// The largest memory that the process has held, in bytes, where the system tells (Linux).
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}
