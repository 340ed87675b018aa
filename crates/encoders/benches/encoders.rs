//! One UMT5-XXL layer at 512 tokens and the whole CLIP ViT-H tower on a picture, in f32 and bf16: guards prompt and
//! picture embedding. `cargo bench -p anicrafter-encoders -- umt5_layer/bf16` runs one of them; the tower takes 2.5 GB in f32.

use anicrafter_encoders::{clip_vision, umt5};
use candle_core::{DType, Device, Tensor};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use nn::{RandomWeights, Weights};
use std::sync::Arc;
use std::time::Duration;

const TYPES: [(&str, DType); 2] = [("f32", DType::F32), ("bf16", DType::BF16)];

fn random(dtype: DType) -> Weights {
    Weights::new(Arc::new(RandomWeights::default()), dtype, &Device::Cpu)
}

fn umt5_layer(c: &mut Criterion) {
    // A small vocabulary: the embedding is a copy of a few rows.
    let config = umt5::Config { vocab: 1024, num_layers: 1, ..umt5::Config::umt5_xxl() };
    let ids: Vec<u32> = (0..512).collect();
    let mut group = c.benchmark_group("umt5_layer");
    group.sample_size(10).measurement_time(Duration::from_secs(10)).warm_up_time(Duration::from_secs(1));
    for (name, dtype) in TYPES {
        // Made on first use, so that a filtered run doesn't pay for what it leaves out.
        let mut encoder = None;
        group.bench_function(BenchmarkId::new(name, ids.len()), |b| {
            let encoder = encoder.get_or_insert_with(|| {
                umt5::TextEncoder::new(&config, &random(dtype)).expect("random weights have every tensor")
            });
            b.iter(|| encoder.forward(&ids, ids.len()).expect("the ids are in the vocabulary"));
        });
    }
    group.finish();
}

fn clip(c: &mut Criterion) {
    let config = clip_vision::Config::vit_h_14();
    let pixels = Tensor::rand(-1_f32, 1_f32, (1, 3, 224, 224), &Device::Cpu).expect("memory");
    let mut group = c.benchmark_group("clip");
    group.sample_size(10).measurement_time(Duration::from_secs(10)).warm_up_time(Duration::from_secs(1));
    for (name, dtype) in TYPES {
        let mut tower = None;
        group.bench_function(BenchmarkId::new(name, "vit_h_14"), |b| {
            let tower = tower.get_or_insert_with(|| {
                clip_vision::ImageEncoder::new(&config, &random(dtype))
                    .expect("random weights have every tensor")
            });
            b.iter(|| tower.forward(&pixels).expect("the picture has the tower's size"));
        });
    }
    group.finish();
}

criterion_group!(benches, umt5_layer, clip);
criterion_main!(benches);
