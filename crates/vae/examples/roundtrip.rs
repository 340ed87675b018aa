//! Streams a made-up video through tiny random weights, a few frames at a time, and prints sizes and memory.
#![expect(clippy::print_stdout, reason = "an example")]

use anicrafter_vae::{Config, Direction, Vae, random_weights};
use candle_core::{Device, Tensor};

fn main() -> Result<(), anicrafter_vae::Error> {
    let (height, width) = (64, 96);
    let config = Config::small(8);
    let vae = Vae::load(&config, &random_weights(&config, 1, &Device::Cpu)?)?;
    let (mut encoder, mut decoder) = (vae.encode_stream()?, vae.decode_stream()?);
    for second in 0..4 {
        let frames = 6;
        let wave = |i: usize| (((i + second) as f32) * 0.01).sin();
        let values: Vec<f32> = (0..3 * frames * height * width).map(wave).collect();
        let video = Tensor::from_vec(values, (3, frames, height, width), &Device::Cpu)?;
        if let Some(latents) = encoder.push(&video)? {
            let decoded = decoder.push(&latents)?;
            println!("{frames} frames in, latents {:?}, video {:?} out", latents.dims(), decoded.dims());
        }
    }
    println!("{} frames wait for the rest of their chunk", encoder.pending());
    let bound = vae.peak_bytes(Direction::Decode, height, width)?;
    println!(
        "decoding took {} KiB of feature maps, at most {} KiB were promised",
        decoder.peak_bytes() / 1024,
        bound / 1024
    );
    Ok(())
}
