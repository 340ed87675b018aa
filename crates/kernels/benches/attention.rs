//! Rates of attention at the shapes of the models, in multiplications and additions a second. Guards the blocked kernel.

use anicrafter_kernels::{Attention, Heads, Precision, attention};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// `(name, N, Lq, Lk, K)`.
const SHAPES: [(&str, usize, usize, usize, usize); 4] = [
    ("dit_self_4096_tokens", 8, 4096, 4096, 128),
    ("dit_text_1024_tokens", 40, 1024, 512, 128),
    ("clip_257_tokens", 16, 257, 257, 80),
    ("umt5_512_tokens", 64, 512, 512, 64),
];

fn data(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7919 % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn attend(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("attention/{:?}", anicrafter_kernels::level()));
    group.sample_size(10);
    for (name, heads, q_len, k_len, dim) in SHAPES {
        let (q, k, v) = (data(q_len * heads * dim), data(k_len * heads * dim), data(k_len * heads * dim));
        let mut out = vec![0.0; q.len()];
        group.throughput(Throughput::Elements(4 * (q_len * k_len * heads * dim) as u64));
        for precision in [Precision::F32, Precision::Bf16] {
            let options = Attention { precision, ..Attention::new(dim) };
            group.bench_function(format!("{name}/{precision:?}"), |b| {
                b.iter(|| {
                    let view = |x| Heads::new(x, heads, dim);
                    attention(view(&q), view(&k), view(&v), &options, &mut out);
                });
            });
        }
    }
}

criterion_group!(benches, attend);
criterion_main!(benches);
