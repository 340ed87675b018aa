//! One prediction of a small image-to-video transformer: blocks in memory, then streamed, with progress.
//!
//! `cargo run -p anicrafter-dit --example denoise_step`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anicrafter_dit::plan::{Storage, Workload, plan};
use anicrafter_dit::{Conditions, Config, Streamed, Streaming, WanModel, pad_context};
use candle_core::{DType, Device, Tensor};
use nn::{RandomWeights, Weights};
use std::ops::ControlFlow;
use std::sync::Arc;

fn main() -> anicrafter_dit::Result<()> {
    let device = Device::Cpu;
    let config = Config {
        dim: 96,
        ffn_dim: 256,
        num_heads: 4,
        num_layers: 4,
        text_dim: 64,
        image_dim: 64,
        ..Config::i2v_14b_720p()
    };
    let latent = [3, 8, 12];
    let storage = Storage::Dense(DType::F32);
    let estimate = plan(&config, &Workload { latent, steps: 1, branches: 2, storage, streaming: None })?;
    println!("{} tokens, {:.1} MFLOP a step", estimate.tokens, estimate.step_flops / 1e6);

    // A real program takes its weights from a checkpoint; these are made up.
    let weights = Weights::new(Arc::new(RandomWeights::default()), DType::F32, &device);
    let resident = WanModel::load(&config, &weights)?;
    let blocks = Streamed::new(&config, &weights.pp("blocks"), Streaming { in_flight: 2, keep: 1 })?;
    let streamed = WanModel::with_blocks(&config, &weights, Box::new(blocks))?;

    let [t, h, w] = latent;
    let x = Tensor::randn(0_f32, 1.0, (1, config.out_dim, t, h, w), &device)?;
    let y = Tensor::randn(0_f32, 1.0, (1, config.in_dim - config.out_dim, t, h, w), &device)?;
    let prompt = pad_context(&Tensor::randn(0_f32, 1.0, (1, 9, config.text_dim), &device)?, config.text_len)?;
    let image = Tensor::randn(0_f32, 1.0, (1, config.image_tokens, config.image_dim), &device)?;
    let avatar = Tensor::randn(0_f32, 0.1, (1, estimate.tokens, config.dim), &device)?;
    let negative =
        Conditions { context: &prompt, clip_feature: Some(&image), y: Some(&y), add_condition: None };
    let positive = Conditions { add_condition: Some(&avatar), ..negative };

    let mut predictions = Vec::new();
    for model in [&resident, &streamed] {
        let (positive, negative) = (model.branch(&positive)?, model.branch(&negative)?);
        let mut progress = |block: usize, of: usize| {
            println!("  {block} of {of} blocks done");
            ControlFlow::Continue(())
        };
        let both = model.forward_all(&x, 875.0, &[&positive, &negative], &mut progress)?;
        let guided = (&both[1] + ((&both[0] - &both[1])? * 5.0)?)?;
        predictions.push(guided);
    }
    let difference = (&predictions[0] - &predictions[1])?.abs()?.max_all()?.to_scalar::<f32>()?;
    println!("prediction {:?}; streamed differs by {difference}", predictions[0].dims());
    Ok(())
}
