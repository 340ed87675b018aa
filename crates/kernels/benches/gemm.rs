//! Rates of linear layers at the shapes of a 14B transformer block and its encoders, in multiplications and additions a
//! second. Guards the blocking, the packing on the way and the one-row path against getting slower.

use anicrafter_kernels::{Linear, PackedBf16, PackedF32, QuantKind, Weight, bf16};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// `(name, M, N, K)`.
const SHAPES: [(&str, usize, usize, usize); 4] = [
    ("dit_attention_1024_tokens", 1024, 5120, 5120),
    ("dit_ffn_up_1024_tokens", 1024, 13824, 5120),
    ("umt5_attention_512_tokens", 512, 4096, 4096),
    ("time_embedding", 1, 5120, 5120),
];

fn data(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7919 % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn linear(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("linear/{:?}", anicrafter_kernels::level()));
    group.sample_size(10);
    for (name, m, n, k) in SHAPES {
        let (x, w) = (data(m * k), data(n * k));
        let half: Vec<bf16> = w.iter().map(|w| bf16::from_f32(*w)).collect();
        let (packed, packed_half) = (PackedF32::new(&w, n, k), PackedBf16::new(&half, n, k));
        let eights = vec![1; n * k / 32 * 34];
        let mut out = vec![0.0; m * n];
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
        for (kind, weight) in [
            ("f32", Weight::F32(&w)),
            ("packed_f32", Weight::PackedF32(&packed)),
            ("bf16", Weight::Bf16(&half)),
            ("packed_bf16", Weight::PackedBf16(&packed_half)),
            ("q8_0", Weight::Quantized(QuantKind::Q8_0, &eights)),
        ] {
            let layer = Linear::new(weight, n, k);
            group.bench_function(BenchmarkId::new(name, kind), |b| b.iter(|| layer.forward(&x, &mut out)));
        }
    }
}

criterion_group!(benches, linear);
criterion_main!(benches);
