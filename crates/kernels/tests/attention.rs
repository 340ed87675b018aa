//! Attention at every level against a softmax in `f64`.

mod common;

use anicrafter_kernels::{Attention, Heads, Level, Precision, attention, bf16_is_faster};
use common::{Random, assert_close, at_each_level};

struct Case {
    q_len: usize,
    k_len: usize,
    heads: usize,
    dim: usize,
}

/// `softmax(q · kᵀ · scale + bias) · v` in `f64`; `[L, N, K]` inputs.
fn oracle(case: &Case, q: &[f32], k: &[f32], v: &[f32], options: &Attention<'_>) -> Vec<f64> {
    let Case { q_len, k_len, heads, dim } = *case;
    let mut out = vec![0.0; q_len * heads * dim];
    for l in 0..q_len {
        for n in 0..heads {
            let row = |x: &[f32], l: usize, d: usize| f64::from(x[(l * heads + n) * dim + d]);
            let scores: Vec<f64> = (0..k_len)
                .map(|j| {
                    if options.key_mask.is_some_and(|m| !m[j]) {
                        return f64::NEG_INFINITY;
                    }
                    let dot: f64 = (0..dim).map(|d| row(q, l, d) * row(k, j, d)).sum();
                    let bias = options.bias.map_or(0.0, |b| {
                        let head = if b.len() == q_len * k_len { 0 } else { n };
                        f64::from(b[(head * q_len + l) * k_len + j])
                    });
                    dot * f64::from(options.scale) + bias
                })
                .collect();
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if max == f64::NEG_INFINITY {
                continue;
            }
            let weights: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for d in 0..dim {
                out[(l * heads + n) * dim + d] =
                    weights.iter().enumerate().map(|(j, w)| w * row(v, j, d)).sum::<f64>() / sum;
            }
        }
    }
    out
}

fn tolerance(level: Level, precision: Precision) -> f64 {
    // Values are in -1..1; bf16 rounds weights and values to 2^-9 each, and scores by a little more.
    if precision == Precision::Bf16 && bf16_is_faster(level) { 0.04 } else { 2e-5 }
}

#[test]
fn matches_softmax_on_edge_and_random_sizes() {
    let mut random = Random::new(11);
    let mut cases = vec![
        Case { q_len: 1, k_len: 1, heads: 1, dim: 1 },
        Case { q_len: 15, k_len: 2, heads: 2, dim: 3 },
        Case { q_len: 17, k_len: 191, heads: 1, dim: 32 },
        Case { q_len: 49, k_len: 193, heads: 2, dim: 64 },
        Case { q_len: 64, k_len: 400, heads: 1, dim: 80 },
        Case { q_len: 100, k_len: 384, heads: 2, dim: 128 },
        Case { q_len: 5, k_len: 1000, heads: 3, dim: 129 },
    ];
    cases.extend((0..8).map(|_| Case {
        q_len: 1 + random.below(80),
        k_len: 1 + random.below(500),
        heads: 1 + random.below(3),
        dim: 1 + random.below(140),
    }));
    for case in cases {
        let Case { q_len, k_len, heads, dim } = case;
        let q: Vec<f32> = random.vec(q_len * heads * dim).iter().map(|x| x * 4.0).collect();
        let (k, v) = (random.vec(k_len * heads * dim), random.vec(k_len * heads * dim));
        let bias = random.vec(heads * q_len * k_len);
        let mask: Vec<bool> = (0..k_len).map(|_| random.below(3) > 0).collect();
        for variant in 0..5 {
            let mut options = Attention::new(dim);
            match variant {
                1 => options.bias = Some(&bias),
                2 => options.bias = Some(&bias[..q_len * k_len]),
                3 => options.key_mask = Some(&mask),
                4 => options.precision = Precision::F32,
                _ => {}
            }
            let want = oracle(&case, &q, &k, &v, &options);
            at_each_level(|level| {
                let mut out = vec![f32::NAN; q.len()];
                let heads = |x| Heads::new(x, heads, dim);
                attention(heads(&q), heads(&k), heads(&v), &options, &mut out);
                let name = format!("{q_len}×{k_len} N={} K={dim} variant {variant} at {level:?}", case.heads);
                assert_close(&name, &out, &want, tolerance(level, options.precision));
            });
        }
    }
}

#[test]
fn head_major_views_and_slices_of_a_joint_projection_agree_with_contiguous_ones() {
    let (len, heads, dim) = (70, 3, 20);
    let mut random = Random::new(12);
    let (q, k, v) =
        (random.vec(len * heads * dim), random.vec(len * heads * dim), random.vec(len * heads * dim));
    let head_major = |x: &[f32]| -> Vec<f32> {
        (0..x.len()).map(|i| x[(i / dim % len * heads + i / dim / len) * dim + i % dim]).collect()
    };
    let joint: Vec<f32> = (0..len)
        .flat_map(|l| [&q, &k, &v].map(|x| x[l * heads * dim..(l + 1) * heads * dim].to_vec()).concat())
        .collect();
    let width = 3 * heads * dim;
    let options = Attention { precision: Precision::F32, ..Attention::new(dim) };
    at_each_level(|level| {
        let mut want = vec![0.0; q.len()];
        attention(
            Heads::new(&q, heads, dim),
            Heads::new(&k, heads, dim),
            Heads::new(&v, heads, dim),
            &options,
            &mut want,
        );
        let mut out = vec![0.0; q.len()];
        let (a, b, c) = (head_major(&q), head_major(&k), head_major(&v));
        let view = |x| Heads::head_major(x, heads, dim);
        attention(view(&a), view(&b), view(&c), &options, &mut out);
        assert_eq!(out, want, "head-major at {level:?}");
        let part = |i: usize| Heads {
            data: &joint[i * heads * dim..],
            len,
            heads,
            dim,
            token_stride: width,
            head_stride: dim,
        };
        attention(part(0), part(1), part(2), &options, &mut out);
        assert_eq!(out, want, "joint at {level:?}");
    });
}

#[test]
fn a_query_without_keys_gives_zeros_and_huge_scores_stay_finite() {
    at_each_level(|level| {
        let (q, k, v) = (vec![1e4; 2 * 4], vec![1e4; 3 * 4], vec![1.0; 3 * 4]);
        let mut options = Attention { precision: Precision::F32, ..Attention::new(4) };
        let mut out = vec![f32::NAN; 8];
        let view = |x| Heads::new(x, 1, 4);
        attention(view(&q), view(&k), view(&v), &options, &mut out);
        assert!(out.iter().all(|x| (x - 1.0).abs() < 1e-6), "{out:?} at {level:?}");
        let none = [false; 3];
        options.key_mask = Some(&none);
        attention(view(&q), view(&k), view(&v), &options, &mut out);
        assert_eq!(out, [0.0; 8], "all masked at {level:?}");
        options.key_mask = None;
        attention(view(&q), view(&[]), view(&[]), &options, &mut out);
        assert_eq!(out, [0.0; 8], "no keys at {level:?}");
    });
}

#[test]
fn bytes_do_not_depend_on_the_number_of_threads() {
    let (len, heads, dim) = (150, 2, 40);
    let mut random = Random::new(13);
    let (q, k, v) =
        (random.vec(len * heads * dim), random.vec(len * heads * dim), random.vec(len * heads * dim));
    at_each_level(|level| {
        let run = |threads: usize| {
            let mut out = vec![0.0; q.len()];
            let view = |x| Heads::new(x, heads, dim);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| attention(view(&q), view(&k), view(&v), &Attention::new(dim), &mut out));
            out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let one = run(1);
        assert!([2, 5].into_iter().all(|threads| run(threads) == one), "at {level:?}");
    });
}
