//! Rates of the kernels on this machine: `cargo run --release -p kernels --example speed [LEVEL]`.
//!
//! Prints the best of a few runs for the shapes of a 14B transformer block at 1,024 tokens.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::Instant;

use kernels::{
    Attention, Heads, Level, Linear, Modulation, PackedBf16, PackedF32, Weight, attention, bf16, gelu_tanh,
    modulated_layer_norm, rms_norm_rope, set_level,
};

fn best(runs: usize, mut f: impl FnMut()) -> f64 {
    (0..runs)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
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

fn main() {
    if let Some(name) = std::env::args().nth(1) {
        let level = Level::ALL.into_iter().find(|l| format!("{l:?}").eq_ignore_ascii_case(&name));
        set_level(level.expect("no such level")).expect("unsupported level");
    }
    println!("level {:?}, {} threads", kernels::level(), rayon::current_num_threads());
    for (m, n, k) in
        [(1024, 5120, 5120), (1024, 13824, 5120), (1024, 5120, 13824), (512, 5120, 4096), (1, 5120, 5120)]
    {
        let (x, w) = (data(m * k), data(n * k));
        let half: Vec<bf16> = w.iter().map(|w| bf16::from_f32(*w)).collect();
        let (packed, packed_half) = (PackedF32::new(&w, n, k), PackedBf16::new(&half, n, k));
        let mut out = vec![0.0; m * n];
        for (name, weight) in [
            ("f32", Weight::F32(&w)),
            ("packed f32", Weight::PackedF32(&packed)),
            ("bf16", Weight::Bf16(&half)),
            ("packed bf16", Weight::PackedBf16(&packed_half)),
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
