//! A block that walks past a wall, conditioned with random weights: what comes out, and where the mask sees the block.
#![allow(clippy::print_stdout, reason = "an example")]

use anicrafter_conditioning::{Clip, ConditionEmbedders, Conditioner, Strides};
use candle_core::{DType, Device};
use image::{Rgb, RgbImage};
use nn::{RandomWeights, Weights};
use std::ops::ControlFlow;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::Cpu;
    let config = vae::Config::small(16);
    let vae = vae::Vae::load(&config, &vae::random_weights(&config, 1, &device)?)?;
    let weights = Weights::new(Arc::new(RandomWeights::default()), DType::F32, &device);
    let embedders = ConditionEmbedders::load(192, &weights)?;

    let (w, h, n) = (160, 96, 8);
    let walker = |n: u32, ground: [u8; 3]| {
        RgbImage::from_fn(w, h, |x, y| {
            let inside = (16 * n..16 * n + 24).contains(&x) && y > 24;
            Rgb(if inside { [200, 60, 40] } else { ground })
        })
    };
    let reference = walker(4, [255; 3]);
    let blend: Vec<RgbImage> = (0..n).map(|i| walker(i, [120, 110, 90])).collect();
    let mesh: Vec<RgbImage> = (0..n).map(|i| walker(i, [0; 3])).collect();

    let clip = Clip::new(&reference, &blend, &mesh, Strides::of(&config))?;
    let conditioner = Conditioner::new(&embedders, &vae)?;
    let made = conditioner.condition(&clip, &device, &mut |share| {
        println!("{:>3.0} %", 100.0 * share);
        ControlFlow::Continue(())
    })?;
    println!("latents {:?}, y {:?}, tokens {:?}", made.latents.dims(), made.y.dims(), made.tokens.dims());
    for frame in made.mask.data.chunks_exact(made.mask.height * made.mask.width) {
        let row = &frame[(made.mask.height - 1) * made.mask.width..];
        println!("{}", row.iter().map(|&x| if x > 0.5 { '.' } else { '#' }).collect::<String>());
    }
    Ok(())
}
