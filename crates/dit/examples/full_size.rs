//! One step of the full 14B image-to-video shape on a small latent, its blocks streamed: time and peak memory.
//!
//! `cargo run --release -p anicrafter-dit --example full_size -- bf16 cpu` (or `q8_0`, `q4_k`, `int8`, `f32`; or `cuda:0`, `metal`). A third
//! argument `int8` multiplies quantised weights by activations of 8 bits. The weights are made up as the blocks are asked
//! for, by the thread that reads ahead; a checkpoint's would be read instead.
//! Every block embeds the text and image rows, so a step takes some 6 TFLOP more than its tokens do.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anicrafter_dit::plan::{Storage, Workload, plan};
use anicrafter_dit::{Conditions, Config, Streamed, Streaming, WanModel, pad_context};
use candle_core::quantized::GgmlDType;
use candle_core::{DType, Tensor};
use nn::{Inputs, RandomBlocks, RandomWeights, RoundOnLoad, WeightSource, Weights};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kind = std::env::args().nth(1).unwrap_or_else(|| "bf16".to_owned());
    let random: Arc<dyn WeightSource> = Arc::new(RandomWeights::default());
    let quantized = |dtype| -> (Arc<dyn WeightSource>, _, _) {
        (Arc::new(RandomBlocks { seed: 0, dtype }), DType::BF16, Storage::Quantized(dtype))
    };
    let (blocks, dtype, storage) = match kind.as_str() {
        "f32" => (random.clone(), DType::F32, Storage::Dense(DType::F32)),
        "bf16" => (random.clone(), DType::BF16, Storage::Dense(DType::BF16)),
        "q8_0" => quantized(GgmlDType::Q8_0),
        "q4_k" => quantized(GgmlDType::Q4K),
        "int8" => {
            (Arc::new(RoundOnLoad::new(random.clone())) as Arc<dyn WeightSource>, DType::BF16, Storage::Rows8)
        }
        other => return Err(format!("{other} is none of f32, bf16, q8_0, q4_k, int8").into()),
    };
    let device = nn::open_device(&std::env::args().nth(2).unwrap_or_else(|| "cpu".to_owned()))?;
    let inputs = match std::env::args().nth(3).as_deref() {
        None => Inputs::Float,
        Some("int8") if matches!(storage, Storage::Quantized(_)) => Inputs::Int8,
        Some("int8") => return Err(format!("int8 needs quantised weights, not {kind}").into()),
        Some(other) => return Err(format!("{other} isn't int8").into()),
    };
    let config = Config::i2v_14b_720p();
    let streaming = Streaming { in_flight: 2, keep: 0 };
    let latent = [1, 16, 16];
    let job = Workload { latent, steps: 1, branches: 2, storage, streaming: Some(streaming) };
    let estimate = plan(&config, &job)?;
    println!(
        "{kind}, inputs {inputs:?}: {} tokens, {:.2} TFLOP a step; expected: weights {:.2} GB, activations {:.3} GB",
        estimate.tokens,
        estimate.step_flops / 1e12,
        estimate.weight_bytes as f64 / 1e9,
        estimate.activation_bytes as f64 / 1e9
    );

    let start = Instant::now();
    let since = |what: &str| println!("{what:<28} {:>7.1} s, peak {}", start.elapsed().as_secs_f64(), peak());
    let ends = Weights::new(random, dtype, &device);
    let blocks = Weights::new(blocks, dtype, &device).with_inputs(inputs).pp("blocks");
    let blocks = Streamed::new(&config, &blocks, streaming)?;
    let model = WanModel::with_blocks(&config, &ends, Box::new(blocks))?;
    since("everything but the blocks");
    let [t, h, w] = latent;
    let x = Tensor::randn(0_f32, 1.0, (1, 16, t, h, w), &device)?;
    let y = Tensor::randn(0_f32, 1.0, (1, 20, t, h, w), &device)?;
    let prompt =
        pad_context(&Tensor::randn(0_f32, 1.0, (1, 30, config.text_dim), &device)?, config.text_len)?;
    let image = Tensor::randn(0_f32, 1.0, (1, config.image_tokens, config.image_dim), &device)?;
    let conditions =
        Conditions { context: &prompt, clip_feature: Some(&image), y: Some(&y), add_condition: None };
    let branch = model.branch(&conditions)?;
    since("prompt and picture embedded");
    let step = Instant::now();
    let mut progress = |block: usize, of: usize| {
        since(&format!("{block:>2} of {of} blocks"));
        ControlFlow::Continue(())
    };
    let both = model.forward_all(&x, 900.0, &[&branch, &branch], &mut progress)?;
    if let Some(bytes) = nn::peak_device_memory(&device)? {
        println!("peak on the device {:.2} GB", bytes as f64 / 1e9);
    }
    let mean = both[0].abs()?.mean_all()?.to_scalar::<f32>()?;
    println!(
        "{kind}: step {:.1} s, prediction {:?}, mean size {mean:.3}, peak {}",
        step.elapsed().as_secs_f64(),
        both[0].dims(),
        peak()
    );
    Ok(())
}

/// Largest resident memory of this process so far, where the system tells it.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |kib| kib.trim().to_owned())
}
