//! One block of the 14B model, the unit of which a video takes thousands: guards the whole chain of matrix products,
//! attention and norms. FLOP/s = elements/s of the report.
//!
//! `cargo bench -p anicrafter-dit --bench block -- bf16/1024` runs one of them; the f32 block alone takes 1.6 GB.

use anicrafter_dit::plan::{Storage, Workload, plan};
use anicrafter_dit::{Block, Config, Context, Scope};
use candle_core::{DType, Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nn::{Grid, RandomWeights, Rope3d, WeightSource, Weights};
use std::sync::Arc;
use std::time::Duration;

/// Latent frames, height and width that make so many tokens.
const SIZES: [(usize, [usize; 3]); 2] = [(1024, [4, 32, 32]), (4096, [4, 64, 64])];

fn dit_block(c: &mut Criterion) {
    let config = Config::i2v_14b_720p();
    let mut group = c.benchmark_group("dit_block");
    group.sample_size(10).measurement_time(Duration::from_secs(20)).warm_up_time(Duration::from_secs(2));
    for (name, dtype) in [("bf16", DType::BF16), ("f32", DType::F32)] {
        // Made on first use, so that a filtered run doesn't pay for what it leaves out.
        let mut block = None;
        for (tokens, latent) in SIZES {
            let job =
                Workload { latent, steps: 1, branches: 1, storage: Storage::Dense(dtype), streaming: None };
            let flops = plan(&config, &job).expect("the sizes fit the patch").block_flops;
            group.throughput(Throughput::Elements(flops as u64));
            group.bench_function(BenchmarkId::new(name, tokens), |b| {
                let block = block.get_or_insert_with(|| random_block(&config, dtype));
                let inputs = Inputs::new(&config, latent);
                b.iter(|| block.forward(inputs.x.clone(), &inputs.scope()).expect("the shapes fit"));
            });
        }
    }
    group.finish();
}

fn random_block(config: &Config, dtype: DType) -> Block {
    let weights = Weights::new(Arc::new(RandomWeights::default()), dtype, &Device::Cpu);
    Block::load(config, &weights.pp("blocks").pp(0)).expect("random weights have every tensor")
}

struct Inputs {
    x: Tensor,
    context: Context,
    t_mod: Tensor,
    rope: Rope3d,
}

impl Inputs {
    fn new(config: &Config, latent: [usize; 3]) -> Self {
        let random = |name: &str, shape: [usize; 3]| {
            let source = RandomWeights { seed: 1 };
            source.dense(name, &(&shape[..]).into(), DType::F32, &Device::Cpu).expect("memory")
        };
        let grid = Grid::of(latent, config.patch_size).expect("the sizes fit the patch");
        let d = config.dim;
        let context = Context {
            text: random("text", [1, config.text_len, d]),
            image: Some(random("image", [1, 257, d])),
        };
        Self {
            x: random("x", [1, grid.tokens(), d]),
            context,
            t_mod: random("t_mod", [1, 6, d]),
            rope: Rope3d::new(config.head_dim(), grid, &Device::Cpu).expect("a head of 128"),
        }
    }

    /// The residual stream is updated in place; the values stay finite over the runs, as the norms start each branch.
    fn scope(&self) -> Scope<'_> {
        Scope { context: &self.context, t_mod: &self.t_mod, rope: &self.rope, rows: 4096, ranks: None }
    }
}

criterion_group!(benches, dit_block);
criterion_main!(benches);
