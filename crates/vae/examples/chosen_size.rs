//! Wan 2.1's autoencoder on a video of a chosen size, with random weights: time and peak memory of either direction.
//!
//! `cargo run --release -p anicrafter-vae --example chosen_size -- 17 480 832` (frames, height, width; then `f32` or `bf16`).
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anicrafter_vae::{Config, Direction, Vae, random_weights};
use candle_core::{DType, Device, Tensor};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut number = |usual: usize| args.next().map_or(Ok(usual), |text| text.parse());
    let (frames, height, width) = (number(17)?, number(480)?, number(832)?);
    let dtype = match args.next().as_deref() {
        None | Some("f32") => DType::F32,
        Some("bf16") => DType::BF16,
        Some(other) => return Err(format!("{other} is none of f32, bf16").into()),
    };
    let config = Config::wan_2_1();
    let vae = Vae::load(&config, &random_weights(&config, 1, &Device::Cpu)?.with_dtype(dtype))?;
    let promised = |direction| vae.peak_bytes(direction, height, width).map(|bytes| bytes as f64 / 1e9);
    let report = |what: &str, start: Instant, promised: f64| {
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{what} {frames}x{height}x{width} {dtype:?}: {seconds:.1} s, feature maps at most {promised:.2} GB, peak {}",
            peak()
        );
    };
    let video = Tensor::rand(-1_f32, 1_f32, (1, 3, frames, height, width), &Device::Cpu)?;
    let start = Instant::now();
    let latents = vae.encode(&video, &mut ())?;
    report("encode", start, promised(Direction::Encode)?);
    drop(video);
    let start = Instant::now();
    let decoded = vae.decode(&latents, &mut ())?;
    report("decode", start, promised(Direction::Decode)?);
    println!("latents {:?}, video {:?}", latents.dims(), decoded.dims());
    Ok(())
}

/// Largest resident memory of this process so far, where the system tells it.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |kib| kib.trim().to_owned())
}
