//! Matrix products at every level against sums in `f64`, on random and edge sizes.

mod common;

use anicrafter_kernels::{
    Activation, Gate, Linear, Mat, PackedBf16, PackedF32, Precision, Weight, bf16_is_faster, matmul,
    matmul_batched,
};
use common::{Random, assert_close, at_each_level, linear, to_bf16, widened};

/// Edge sizes first: ones, odd, just below and above the tiles and blocks of every level.
fn sizes(random: &mut Random) -> Vec<[usize; 3]> {
    let mut sizes = vec![
        [1, 1, 1],
        [1, 17, 3],
        [2, 16, 255],
        [3, 33, 257],
        [4, 31, 512],
        [5, 48, 513],
        [6, 15, 514],
        [7, 100, 1],
        [13, 65, 2],
        [14, 64, 256],
        [15, 47, 1025],
        [29, 300, 70],
        [257, 40, 31],
        [300, 513, 64],
    ];
    sizes.extend((0..12).map(|_| [1 + random.below(70), 1 + random.below(150), 1 + random.below(700)]));
    sizes
}

/// Rounding both factors to bf16 may cost 2^-8 of a product; the sum of K random products grows with sqrt(K).
fn bf16_tolerance(k: usize) -> f64 {
    (k as f64).sqrt() * 6.0 / 256.0
}

#[test]
fn every_weight_kind_matches_the_sum() {
    let mut random = Random::new(1);
    for [m, n, k] in sizes(&mut random) {
        let (x, w) = (random.vec(m * k), random.vec(n * k));
        let half = to_bf16(&w);
        let (packed, packed_half) = (PackedF32::new(&w, n, k), PackedBf16::new(&half, n, k));
        let want = linear(&x, &w, m, n, k);
        let want_half = linear(&x, &widened(&half), m, n, k);
        let exact = k as f64 * 2e-7;
        at_each_level(|level| {
            let name = |kind: &str| format!("{kind} {m}×{n}×{k} at {level:?}");
            let mut out = vec![f32::NAN; m * n];
            Linear::new(Weight::F32(&w), n, k).forward(&x, &mut out);
            assert_close(&name("f32"), &out, &want, exact);
            out.fill(f32::NAN);
            Linear::new(Weight::PackedF32(&packed), n, k).forward(&x, &mut out);
            assert_close(&name("packed f32"), &out, &want, exact);
            for (kind, weight) in
                [("bf16", Weight::Bf16(&half)), ("packed bf16", Weight::PackedBf16(&packed_half))]
            {
                out.fill(f32::NAN);
                Linear::new(weight, n, k).precision(Precision::F32).forward(&x, &mut out);
                assert_close(&name(kind), &out, &want_half, exact);
                out.fill(f32::NAN);
                Linear::new(weight, n, k).forward(&x, &mut out);
                let tolerance = if bf16_is_faster(level) { bf16_tolerance(k) } else { exact };
                assert_close(&name(&format!("{kind} in bf16")), &out, &want_half, tolerance);
            }
            out.fill(f32::NAN);
            Linear::new(Weight::PackedF32(&packed), n, k).precision(Precision::Bf16).forward(&x, &mut out);
            assert_close(&name("packed f32 in bf16"), &out, &want, bf16_tolerance(k));
        });
    }
}

/// A function of a number.
type Function = fn(f64) -> f64;

#[test]
fn epilogues_follow_their_formula() {
    let mut random = Random::new(2);
    for [m, n, k] in [[1, 5, 9], [3, 70, 300], [40, 50, 20]] {
        let (x, w, bias) = (random.vec(m * k), random.vec(n * k), random.vec(n));
        let (row, full, residual) = (random.vec(n), random.vec(m * n), random.vec(m * n));
        let product = linear(&x, &w, m, n, k);
        let functions: [(Activation, Function); 3] = [
            (Activation::None, |x| x),
            (Activation::GeluTanh, |x| {
                0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x)).tanh())
            }),
            (Activation::Silu, |x| x / (1.0 + (-x).exp())),
        ];
        at_each_level(|level| {
            for (activation, f) in functions {
                let layer = Linear::new(Weight::F32(&w), n, k).bias(&bias).activation(activation);
                let y: Vec<f64> =
                    product.iter().enumerate().map(|(i, y)| f(y + f64::from(bias[i % n]))).collect();
                for (gate, values) in [
                    (Gate::One, vec![1.0; m * n]),
                    (Gate::Row(&row), row.iter().copied().cycle().take(m * n).collect()),
                    (Gate::Full(&full), full.clone()),
                ] {
                    let name = format!("{activation:?} {gate:?} {m}×{n}×{k} at {level:?}");
                    let want: Vec<f64> =
                        (0..m * n).map(|i| f64::from(residual[i]) + f64::from(values[i]) * y[i]).collect();
                    let mut out = residual.clone();
                    layer.forward_add(&x, gate, &mut out);
                    assert_close(&name, &out, &want, 1e-4);
                    let mut out = vec![f32::NAN; m * n];
                    layer.forward_residual(&x, &residual, gate, &mut out);
                    assert_close(&name, &out, &want, 1e-4);
                }
            }
        });
    }
}

#[test]
fn strided_products_read_the_right_elements() {
    let mut random = Random::new(3);
    for [m, n, k] in [[1, 1, 1], [3, 20, 7], [33, 50, 260], [6, 16, 16]] {
        let (a, b) = (random.vec(2 * m * k), random.vec(2 * k * n));
        let transposed = |x: &[f32], rows: usize, cols: usize| -> Vec<f32> {
            (0..rows * cols).map(|i| x[i % rows * cols + i / rows]).collect()
        };
        at_each_level(|level| {
            let mut out = vec![f32::NAN; 2 * m * n];
            matmul_batched(2, Mat::new(&a, m, k), m * k, Mat::new(&b, k, n), k * n, &mut out);
            for i in 0..2 {
                let (a, b) = (&a[i * m * k..(i + 1) * m * k], &b[i * k * n..(i + 1) * k * n]);
                let b_t = transposed(b, k, n);
                let want = linear(a, &b_t, m, n, k);
                assert_close(
                    &format!("batch {i} at {level:?}"),
                    &out[i * m * n..(i + 1) * m * n],
                    &want,
                    1e-4,
                );
                let a_t = transposed(a, m, k);
                let mut out = vec![f32::NAN; m * n];
                matmul(Mat::new(&a_t, k, m).t(), Mat::new(b, k, n), &mut out);
                assert_close(&format!("aᵀ at {level:?}"), &out, &want, 1e-4);
                matmul(Mat::new(a, m, k), Mat::new(&b_t, n, k).t(), &mut out);
                assert_close(&format!("bᵀ at {level:?}"), &out, &want, 1e-4);
            }
        });
    }
}

#[test]
fn bytes_do_not_depend_on_the_number_of_threads() {
    let mut random = Random::new(4);
    for [m, n, k] in [[3, 200, 800], [100, 300, 600], [500, 40, 90]] {
        let (x, w) = (random.vec(m * k), to_bf16(&random.vec(n * k)));
        at_each_level(|level| {
            let run = |threads: usize| {
                let mut out = vec![0.0; m * n];
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
                pool.install(|| Linear::new(Weight::Bf16(&w), n, k).forward(&x, &mut out));
                out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let one = run(1);
            for threads in [2, 3, 7] {
                assert!(run(threads) == one, "{m}×{n}×{k}: {threads} threads differ from one at {level:?}");
            }
        });
    }
}

#[test]
fn no_inputs_give_the_bias() {
    at_each_level(|_| {
        let mut out = vec![f32::NAN; 6];
        matmul(Mat::new(&[], 2, 0), Mat::new(&[], 0, 3), &mut out);
        assert_eq!(out, [0.0; 6]);
    });
}

#[test]
fn packed_weights_survive_a_change_of_level() {
    let (n, k) = (37, 130);
    let mut random = Random::new(5);
    let (x, w) = (random.vec(9 * k), random.vec(n * k));
    let want = linear(&x, &w, 9, n, k);
    let mut packed = Vec::new();
    at_each_level(|_| packed.push(PackedF32::new(&w, n, k)));
    at_each_level(|level| {
        for packed in &packed {
            let mut out = vec![0.0; 9 * n];
            Linear::new(Weight::PackedF32(packed), n, k).forward(&x, &mut out);
            assert_close(&format!("{level:?}"), &out, &want, 1e-4);
        }
    });
}

#[test]
#[should_panic(expected = "the weight isn't [3, 4]")]
fn a_weight_of_another_shape_is_refused() {
    let _ = Linear::new(Weight::F32(&[0.0; 11]), 3, 4);
}
