//! Encode and decode of 5×256×256 at the size of Wan 2.1 (dim 96), f32 and bf16: guards the whole autoencoder.
//! Throughput is in pixels.

use anicrafter_vae::{Config, Vae, random_weights};
use candle_core::{DType, Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;

const FRAMES: usize = 5;
const SIDE: usize = 256;

fn passes(c: &mut Criterion) {
    let config = Config::wan_2_1();
    let device = Device::Cpu;
    let mut run = || -> Result<(), anicrafter_vae::Error> {
        for (name, dtype) in [("f32", DType::F32), ("bf16", DType::BF16)] {
            let vae = Vae::load(&config, &random_weights(&config, 1, &device)?.with_dtype(dtype))?;
            let video = Tensor::rand(-1_f32, 1_f32, (1, 3, FRAMES, SIDE, SIDE), &device)?;
            let latents = vae.encode(&video, &mut ())?;
            let id = |what: &str| BenchmarkId::new(what, format!("cpu_{name}_5x256x256_dim96"));
            let mut group = c.benchmark_group("vae");
            group
                .sample_size(10)
                .measurement_time(Duration::from_secs(20))
                .warm_up_time(Duration::from_secs(1));
            group.throughput(Throughput::Elements((FRAMES * SIDE * SIDE) as u64));
            group.bench_function(id("vae_encode"), |b| b.iter(|| vae.encode(&video, &mut ())));
            group.bench_function(id("vae_decode"), |b| b.iter(|| vae.decode(&latents, &mut ())));
            group.finish();
        }
        Ok(())
    };
    if let Err(error) = run() {
        panic!("the bench's own model failed: {error}");
    }
}

criterion_group!(benches, passes);
criterion_main!(benches);
