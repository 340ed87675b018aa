//! What several ranks cost and bring.
//!
//! `cargo run -p anicrafter-dit --example ranks` prints the model of the cost ([`cost`](anicrafter_dit::cost)) for the 14B transformer:
//! the tables of `docs/ranks.md`. `… --example ranks -- block 1024` times a 14B block of 1,024 tokens on one rank and on two that
//! share this machine's threads, and compares bytes and times with the model; a third argument (`f32`, `bf16`) is the weights' type.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anicrafter_dit::cost::{Cluster, EXCHANGES, all_to_all_bytes, step};
use anicrafter_dit::plan::{Storage, Workload, plan};
use anicrafter_dit::{Conditions, Config, Error, Resident, WanModel};
use candle_core::{DType, Device, Tensor};
use nn::{RandomWeights, WeightSource, Weights};
use ranks::{Collectives, Threads, Traffic};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        None => tables(),
        Some("block") => {
            let tokens = args.next().unwrap_or_else(|| "1024".to_owned()).parse()?;
            let dtype = match args.next().as_deref() {
                None | Some("bf16") => DType::BF16,
                Some("f32") => DType::F32,
                Some(other) => return Err(format!("{other} is neither f32 nor bf16").into()),
            };
            block(tokens, dtype)
        }
        Some(other) => Err(format!("{other} isn't block").into()),
    }
}

/// A kind of machine: its name, rates (480p, 720p) of a rank, bytes a second, latency.
type Kind = (&'static str, [f64; 2], f64, f64);

fn tables() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::i2v_14b_720p();
    let sizes = [("480p", [21, 60, 104]), ("720p", [21, 90, 160])];
    let job = |latent| {
        let storage = Storage::Dense(DType::BF16);
        Workload { latent, steps: 50, branches: 2, storage, streaming: None }
    };
    println!("| | tokens | one block, a branch | of that attention | one step, both branches |");
    println!("| --- | --- | --- | --- | --- |");
    for (name, latent) in sizes {
        let plan = plan(&config, &job(latent))?;
        let share = 100.0 * plan.self_attention_flops / plan.block_flops;
        println!(
            "| {name} | {} | {:.1} TFLOP | {share:.0} % | {:.2} PFLOP |",
            plan.tokens,
            plan.block_flops / 1e12,
            plan.step_flops / 1e15
        );
    }
    println!("\nBytes that a rank sends: one all-to-all, all of a block, all blocks of one branch.\n");
    println!("| ranks that share a branch | 480p | 720p |");
    println!("| --- | --- | --- |");
    for sharing in [2, 4, 5, 8, 10, 20, 40] {
        print!("| {sharing} |");
        for (_, latent) in sizes {
            let tokens = plan(&config, &job(latent))?.tokens;
            let bytes = all_to_all_bytes(&config, tokens, sharing) as f64;
            let block = EXCHANGES as f64 * bytes;
            print!(" {}, {}, {} |", size(bytes), size(block), size(40.0 * block));
        }
        println!();
    }
    // A card: the rates of docs/gpu.md. A socket of 32 cores: assumed, from what a core does in docs/performance.md.
    let card = [363e12, 337e12];
    let (tiles, vectors) = ([20e12; 2], [3e12; 2]);
    let gbit = 1e9 / 8.0;
    let cards: [Kind; 3] = [
        ("NVLink, 400 GB/s", card, 400e9, 30e-6),
        ("PCIe 5, 50 GB/s", card, 50e9, 50e-6),
        ("PCIe 4, 20 GB/s", card, 20e9, 50e-6),
    ];
    let sockets: [Kind; 5] = [
        ("tiles, 200 Gbit/s", tiles, 200.0 * gbit, 50e-6),
        ("tiles, 100 Gbit/s", tiles, 100.0 * gbit, 50e-6),
        ("tiles, 25 Gbit/s", tiles, 25.0 * gbit, 100e-6),
        ("tiles, 10 Gbit/s", tiles, 10.0 * gbit, 100e-6),
        ("vectors, 10 Gbit/s", vectors, 10.0 * gbit, 100e-6),
    ];
    println!("\nThe wire on which four ranks are no faster than two.\n");
    println!("| a rank's rate | 480p | 720p |");
    println!("| --- | --- | --- |");
    for (name, rates) in [("a card", card), ("a socket with tiles", tiles), ("a socket without", vectors)] {
        print!("| {name} |");
        for ((_, latent), flops) in sizes.into_iter().zip(rates) {
            let on = |ranks| {
                let wire = Cluster { ranks, flops, bytes_per_second: 1.0, latency: 0.0, straggler: 0.05 };
                step(&config, &job(latent), &wire)
            };
            let (two, four) = (on(2)?, on(4)?);
            print!(" {:.1} Gbit/s |", (four.bytes - two.bytes) / (two.compute - four.compute) / gbit);
        }
        println!();
    }
    table(&config, &cards, &[1, 2, 4, 8], sizes, job)?;
    table(&config, &sockets, &[1, 2, 4, 8, 10, 16, 20, 40, 80], sizes, job)?;
    Ok(())
}

/// Seconds of a step, how many times faster than one rank, the exchange's share.
fn table(
    config: &Config,
    kinds: &[Kind],
    counts: &[usize],
    sizes: [(&str, [usize; 3]); 2],
    job: impl Fn([usize; 3]) -> Workload,
) -> Result<(), Box<dyn std::error::Error>> {
    for (n, (name, latent)) in sizes.into_iter().enumerate() {
        println!("\n{name}: seconds a step, times faster than one rank, share of the exchange\n");
        print!("| ranks |");
        kinds.iter().for_each(|(kind, ..)| print!(" {kind} |"));
        println!("\n| --- |{}", " --- |".repeat(kinds.len()));
        for &ranks in counts {
            print!("| {ranks} |");
            for (_, rates, bytes_per_second, latency) in kinds {
                let of = |ranks| Cluster {
                    ranks,
                    flops: rates[n],
                    bytes_per_second: *bytes_per_second,
                    latency: *latency,
                    straggler: 0.05,
                };
                let one = step(config, &job(latent), &of(1))?.seconds();
                let many = step(config, &job(latent), &of(ranks))?;
                let seconds = many.seconds();
                let share = 100.0 * many.exchange / seconds;
                print!(" {} s, {:.1} ×, {share:.0} % |", short(seconds), one / seconds);
            }
            println!();
        }
    }
    Ok(())
}

fn short(x: f64) -> String {
    if x >= 100.0 { format!("{x:.0}") } else { format!("{x:.2}") }
}

fn size(bytes: f64) -> String {
    if bytes < 1e9 { format!("{:.0} MB", bytes / 1e6) } else { format!("{:.1} GB", bytes / 1e9) }
}

/// A transformer of one 14B block, and what it is asked.
struct Asked {
    model: WanModel,
    x: Tensor,
    branch: anicrafter_dit::Branch,
}

/// Seconds of a pass over the block, and what a rank exchanged: the best of three behind one that warms up.
fn time(asked: &Asked, ranks: &dyn Collectives) -> anicrafter_dit::Result<(f64, Traffic)> {
    let hands = asked.model.on_ranks(ranks)?;
    let embedded = hands.embed(&asked.x, 900.0, &asked.branch)?;
    let mut best = (f64::INFINITY, Traffic::default());
    for run in 0..4 {
        ranks.barrier()?;
        let (before, start) = (ranks.traffic(), Instant::now());
        hands.run_blocks(&[&embedded], &mut ())?;
        let (seconds, after) = (start.elapsed().as_secs_f64(), ranks.traffic());
        if run > 0 && seconds < best.0 {
            let waited = after.waited - before.waited;
            best = (
                seconds,
                Traffic { calls: after.calls - before.calls, sent: after.sent - before.sent, waited },
            );
        }
    }
    Ok(best)
}

fn block(tokens: usize, dtype: DType) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config { num_layers: 1, ..Config::i2v_14b_720p() };
    let weights = Weights::new(Arc::new(RandomWeights::default()), dtype, &Device::Cpu);
    let blocks = Resident::load(&config, &weights.pp("blocks"))?;
    let model = WanModel::with_blocks(&config, &weights, Box::new(blocks))?;
    let latent = [1, 2, 2 * tokens];
    let random = |name: &str, shape: &[usize]| {
        RandomWeights { seed: 1 }.dense(name, &shape.into(), DType::F32, &Device::Cpu)
    };
    let conditions = Conditions {
        context: &random("context", &[1, config.text_len, config.text_dim])?,
        clip_feature: Some(&random("image", &[1, config.image_tokens, config.image_dim])?),
        y: Some(&random("y", &[1, 20, 1, 2, 2 * tokens])?),
        add_condition: None,
    };
    let asked =
        Asked { branch: model.branch(&conditions)?, x: random("x", &[1, 16, 1, 2, 2 * tokens])?, model };

    let threads = rayon::current_num_threads();
    let one = Threads::run(1, |rank| time(&asked, rank))?.remove(0);
    let two = Threads::run(2, |rank| time(&asked, rank))?;
    // A rank on half of the threads: what the arithmetic alone would take of one that has no partner.
    let half = rayon::ThreadPoolBuilder::new().num_threads((threads / 2).max(1)).build()?;
    let half = half.install(|| {
        let mut alone = Threads::world(1);
        alone.pop().map_or(Err(Error::Config("no rank".to_owned())), |rank| time(&asked, &rank))
    })?;
    let storage = Storage::Dense(dtype);
    let job = Workload { latent, steps: 1, branches: 1, storage, streaming: None };
    let flops = plan(&config, &job)?.block_flops;
    let slowest = two.iter().map(|(seconds, _)| *seconds).fold(0.0, f64::max);
    println!("14B block, {tokens} tokens, {dtype:?}, {threads} threads, {:.2} TFLOP", flops / 1e12);
    println!("one rank, all threads       {:.3} s, {:.0} GFLOP/s", one.0, flops / one.0 / 1e9);
    println!("one rank, half of them      {:.3} s, {:.0} GFLOP/s", half.0, flops / half.0 / 1e9);
    println!(
        "two ranks, half of them each {slowest:.3} s, {:.2} times one rank on all threads",
        one.0 / slowest
    );
    for (rank, (seconds, traffic)) in two.iter().enumerate() {
        println!(
            "  rank {rank}: {seconds:.3} s, {} calls, {} bytes to the other, {:.3} s waiting",
            traffic.calls,
            traffic.sent,
            traffic.waited.as_secs_f64()
        );
    }
    // The rate of a rank is measured, the exchange is copies in memory.
    let rate = flops / half.0;
    let memory = copy_rate(all_to_all_bytes(&config, tokens, 2) as usize);
    let cluster = Cluster { ranks: 2, flops: rate, bytes_per_second: memory, latency: 5e-6, straggler: 0.0 };
    let model = step(&config, &job, &cluster)?;
    let context = 4.0 * (config.text_len + config.image_tokens) as f64 * (config.dim as f64).powi(2);
    let compute = ((flops - context) / 2.0 + context) / rate;
    let exchange = model.block_bytes / memory + EXCHANGES as f64 * cluster.latency;
    println!(
        "the model: {:.0} bytes to the other, {compute:.3} s of arithmetic + {exchange:.3} s of exchange = {:.3} s",
        model.block_bytes,
        compute + exchange
    );
    Ok(())
}

/// Bytes a second that a thread copies.
fn copy_rate(bytes: usize) -> f64 {
    let from = vec![1_u8; bytes.max(1)];
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let to = std::hint::black_box(from.clone());
        best = best.min(start.elapsed());
        drop(to);
    }
    bytes as f64 / best.as_secs_f64().max(1e-9)
}
