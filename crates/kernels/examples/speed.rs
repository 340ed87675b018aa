//! Rates of the kernels on this machine:
//! `cargo run --release -p anicrafter-kernels --example speed [LEVEL|best] [wall|processor] [quantized]`, the last for products by
//! quantised weights alone.
//!
//! Prints the peak of a loop of fused multiply-adds in registers, then the best of a few runs for the shapes of a 14B
//! transformer block at 1,024 tokens. `processor` counts the time that threads spend on a processor (Linux), which other
//! load disturbs less; it compares with the peak where `RAYON_NUM_THREADS` is 1.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calls a loop compiled for instructions that were checked for")
)]

use std::sync::OnceLock;
use std::time::Instant;

use anicrafter_kernels::{
    Attention, Heads, Level, Linear, Modulation, PackedBf16, PackedF32, PackedInt8, Precision, QuantKind,
    Weight, attention, bf16, gelu_tanh, modulated_layer_norm, rms_norm_rope, set_level,
};

static PROCESSOR: OnceLock<bool> = OnceLock::new();

/// Seconds since some point.
fn now() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    if !PROCESSOR.get().copied().unwrap_or(false) {
        return START.get_or_init(Instant::now).elapsed().as_secs_f64();
    }
    let tasks = std::fs::read_dir("/proc/self/task").expect("the processor clock needs Linux's /proc");
    let nanoseconds = |task: std::fs::DirEntry| -> Option<f64> {
        let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse().ok()
    };
    tasks.flatten().filter_map(nanoseconds).sum::<f64>() * 1e-9
}

fn best(runs: usize, mut f: impl FnMut()) -> f64 {
    (0..runs)
        .map(|_| {
            let start = now();
            f();
            now() - start
        })
        .fold(f64::INFINITY, f64::min)
}

/// GFLOP/s of one thread whose multiply-adds wait for nothing: 10 chains of vectors.
#[cfg(target_arch = "x86_64")]
fn peak() -> Option<f64> {
    const CHAINS: usize = 10;
    const ROUNDS: usize = 20_000_000;

    use std::arch::x86_64::{
        _mm256_add_ps, _mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_add_ps, _mm512_cvtss_f32,
        _mm512_fmadd_ps, _mm512_set1_ps,
    };

    #[target_feature(enable = "avx2,fma")]
    fn avx2(seed: f32) -> f32 {
        let x = _mm256_set1_ps(seed);
        let mut sums = [x; CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, x, x);
            }
        }
        let mut all = x;
        for sum in sums {
            all = _mm256_add_ps(all, sum);
        }
        _mm256_cvtss_f32(all)
    }

    #[target_feature(enable = "avx512f")]
    fn avx512(seed: f32) -> f32 {
        let x = _mm512_set1_ps(seed);
        let mut sums = [x; CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, x, x);
            }
        }
        let mut all = x;
        for sum in sums {
            all = _mm512_add_ps(all, sum);
        }
        _mm512_cvtss_f32(all)
    }

    let seed = std::hint::black_box(0.5);
    let (lanes, seconds) = match anicrafter_kernels::level() {
        Level::Avx512 | Level::Avx512Bf16 | Level::Amx => {
            // SAFETY: a level in use is supported.
            (16, best(3, || _ = std::hint::black_box(unsafe { avx512(seed) })))
        }
        Level::Avx2 => {
            // SAFETY: a level in use is supported.
            (8, best(3, || _ = std::hint::black_box(unsafe { avx2(seed) })))
        }
        _ => return None,
    };
    Some((2 * lanes * CHAINS * ROUNDS) as f64 / seconds * 1e-9)
}

#[cfg(not(target_arch = "x86_64"))]
fn peak() -> Option<f64> {
    None
}

fn data(len: usize) -> Vec<f32> {
    let mut state = 1_u32;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Blocks of a few kinds with scales of 2^-8 to 2^-7.
fn quantized(kind: QuantKind, values: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut bytes: Vec<u8> = (0..values / kind.block_len() * kind.block_bytes())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    let scales: &[usize] = match kind {
        QuantKind::Q8_0 | QuantKind::Q4_0 => &[1],
        QuantKind::Q6K => &[209],
        _ => &[1, 3],
    };
    for block in bytes.chunks_mut(kind.block_bytes()) {
        scales.iter().for_each(|&at| block[at] = 0x1c);
    }
    bytes
}

/// Products by quantised weights, with activations as they are and of 8 bits.
fn quantized_products() {
    for (m, n, k) in [(1024, 5120, 5120), (1024, 5120, 13824), (64, 5120, 5120), (1, 5120, 5120)] {
        let x = data(m * k);
        let mut out = vec![0.0; m * n];
        for kind in [QuantKind::Q8_0, QuantKind::Q4_0, QuantKind::Q4K, QuantKind::Q5K, QuantKind::Q6K] {
            let bytes = quantized(kind, n * k);
            let layer = Linear::new(Weight::Quantized(kind, &bytes), n, k);
            let flop = 2.0 * (m * n * k) as f64;
            let mut rates = [0.0; 2];
            for (rate, precision) in rates.iter_mut().zip([Precision::default(), Precision::Int8]) {
                let layer = layer.precision(precision);
                let s = best(2, || layer.forward(&x, &mut out));
                *rate = flop / s * 1e-9;
                println!("linear {m}×{n}×{k} {kind:?} {precision:?} {:8.2} ms {rate:7.1} GFLOP/s", s * 1e3);
            }
            println!("    Int8 {:.2} times as fast", rates[1] / rates[0]);
        }
    }
}

fn main() {
    PROCESSOR.get_or_init(|| std::env::args().nth(2).is_some_and(|clock| clock == "processor"));
    if let Some(name) = std::env::args().nth(1).filter(|name| name != "best") {
        let level = Level::ALL.into_iter().find(|l| format!("{l:?}").eq_ignore_ascii_case(&name));
        set_level(level.expect("no such level")).expect("unsupported level");
    }
    println!("level {:?}, {} threads", anicrafter_kernels::level(), rayon::current_num_threads());
    if let Some(peak) = peak() {
        println!("peak of one thread in f32 {peak:32.1} GFLOP/s");
    }
    quantized_products();
    if std::env::args().nth(3).is_some_and(|part| part == "quantized") {
        return;
    }
    for (m, n, k) in
        [(1024, 5120, 5120), (1024, 13824, 5120), (1024, 5120, 13824), (512, 5120, 4096), (1, 5120, 5120)]
    {
        let (x, w) = (data(m * k), data(n * k));
        let half: Vec<bf16> = w.iter().map(|w| bf16::from_f32(*w)).collect();
        let (packed, packed_half) = (PackedF32::new(&w, n, k), PackedBf16::new(&half, n, k));
        let mut out = vec![0.0; m * n];
        let packed_int8 = PackedInt8::new(&w, n, k);
        for (name, weight) in [
            ("f32", Weight::F32(&w)),
            ("packed f32", Weight::PackedF32(&packed)),
            ("bf16", Weight::Bf16(&half)),
            ("packed bf16", Weight::PackedBf16(&packed_half)),
            ("packed int8", Weight::PackedInt8(&packed_int8)),
        ] {
            let s = best(3, || Linear::new(weight, n, k).forward(&x, &mut out));
            let flop = 2.0 * (m * n * k) as f64;
            println!("linear {m}×{n}×{k} {name:12} {:8.2} ms {:7.1} GFLOP/s", s * 1e3, flop / s * 1e-9);
        }
    }
    for (lq, lk, heads, dim) in
        [(1024, 1024, 40, 128), (4096, 4096, 8, 128), (1024, 512, 40, 128), (512, 512, 64, 64)]
    {
        let (q, k, v) = (data(lq * heads * dim), data(lk * heads * dim), data(lk * heads * dim));
        let mut out = vec![0.0; lq * heads * dim];
        let view = |x| Heads::new(x, heads, dim);
        let s = best(3, || attention(view(&q), view(&k), view(&v), &Attention::new(dim), &mut out));
        let flop = 4.0 * (lq * lk * heads * dim) as f64;
        println!(
            "attention {heads} heads {lq}×{lk}×{dim} {:8.2} ms {:7.1} GFLOP/s",
            s * 1e3,
            flop / s * 1e-9
        );
    }
    let (l, d) = (1024, 5120);
    let (mut x, row) = (data(l * d), data(d));
    let mut out = vec![0.0; l * d];
    let gb = (l * d * 8) as f64 * 1e-9;
    let row = Modulation::Row(&row);
    let s = best(5, || modulated_layer_norm(&x, d, row, row, 1e-6, &mut out));
    println!("modulated_layer_norm {l}×{d} {:8.2} ms {:7.1} GB/s", s * 1e3, gb / s);
    let (weight, angles) = (data(d), data(l * 64));
    let s = best(5, || rms_norm_rope(&mut x, 128, &weight, 1e-6, &angles, &angles));
    println!("rms_norm_rope {l}×{d} {:8.2} ms {:7.1} GB/s", s * 1e3, gb / s);
    let s = best(5, || gelu_tanh(&mut x));
    println!("gelu_tanh {l}×{d} {:8.2} ms {:7.1} GB/s", s * 1e3, gb / s);
}
