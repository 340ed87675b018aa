//! Activations of 8 bits by quantised weights: the same bytes at every level, against their definition and against products
//! that round nothing.

mod common;

use std::sync::Arc;

use anicrafter_kernels::{
    Activation, Gate, Level, Linear, PackedF32, PackedInt8, Precision, QuantKind, SharedBytes, Weight,
};
use common::{KINDS, Random, assert_close, at_each_level, blocks, linear, to_bf16, widened};

const GROUP: usize = 32;

/// The kinds that have products of integers.
fn integer_kinds() -> impl Iterator<Item = QuantKind> {
    KINDS.into_iter().filter(|kind| *kind != QuantKind::Q6K)
}

/// `x` after rounding, by the definition.
fn rounded(x: &[f32]) -> Vec<f32> {
    let group = |x: &[f32]| -> Vec<f32> {
        let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        if largest == 0.0 {
            return vec![0.0; x.len()];
        }
        x.iter().map(|x| (x * (127.0 / largest)).round_ties_even() * (largest / 127.0)).collect()
    };
    x.chunks(GROUP).flat_map(group).collect()
}

fn dequantized(kind: QuantKind, bytes: &[u8], len: usize) -> Vec<f32> {
    let mut w = vec![0.0; len];
    kind.dequantize(bytes, &mut w);
    w
}

/// `|got − want| / |want|`
fn relative(got: &[f32], want: &[f64]) -> f64 {
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut got.iter().zip(want).map(|(got, want)| f64::from(*got) - want))
        / norm(&mut want.iter().copied())
}

/// Edge sizes `[M, N, blocks of a row]` first: more rows than the exact path takes, tiles and panels that aren't full, one
/// block, more than a block of K, tasks side by side.
fn sizes(random: &mut Random) -> Vec<[usize; 3]> {
    let mut sizes = vec![
        [5, 1, 1],
        [6, 16, 1],
        [7, 17, 2],
        [13, 15, 3],
        [14, 33, 5],
        [29, 100, 1],
        [70, 129, 4],
        [300, 40, 2],
    ];
    sizes.extend((0..6).map(|_| [5 + random.below(60), 1 + random.below(90), 1 + random.below(6)]));
    sizes
}

#[test]
fn every_level_makes_the_bytes_of_the_portable_one_and_they_follow_the_definition() {
    let mut random = Random::new(51);
    for [m, n, blocks_per_row] in sizes(&mut random) {
        for kind in integer_kinds() {
            let k = blocks_per_row * kind.block_len();
            let bytes = blocks(&mut random, kind, n * blocks_per_row);
            let w = dequantized(kind, &bytes, n * k);
            let mut x = random.vec(m * k);
            x[..GROUP].fill(0.0);
            for x in x.iter_mut().skip(GROUP).step_by(97) {
                *x *= 40.0;
            }
            let want = linear(&rounded(&x), &w, m, n, k);
            let magnitudes = |x: &[f32]| x.iter().map(|x| x.abs()).collect::<Vec<_>>();
            // Terms with minima are summed apart: up to 3 times as large as their difference.
            let scale = linear(&magnitudes(&x), &magnitudes(&w), m, n, k).into_iter().fold(0.0, f64::max);
            let (mut oracle, mut least) = (Vec::new(), f64::INFINITY);
            at_each_level(|level| {
                let mut out = vec![f32::NAN; m * n];
                Linear::new(Weight::Quantized(kind, &bytes), n, k)
                    .precision(Precision::Int8)
                    .forward(&x, &mut out);
                let name = format!("{kind:?} {m}×{n}×{k} at {level:?}");
                assert_close(&name, &out, &want, scale * 2e-6);
                if level == Level::Portable {
                    oracle.clone_from(&out);
                    least = relative(&out, &linear(&x, &w, m, n, k));
                }
                let same = out.iter().zip(&oracle).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{name} differs from the portable product");
            });
            assert!(least > 1e-4, "{kind:?} {m}×{n}×{k}: nothing was rounded");
        }
    }
}

/// A uniform group's step is 1/127 of its largest value, so that rounding costs 1/127 · √3/√12 = 0.4 % of it. Where one
/// value in a hundred is fifty times as large, most groups have none and a third are 1.8 times as coarse as their output.
#[test]
fn the_error_against_exact_activations_is_small() {
    let mut random = Random::new(52);
    let (m, n, k) = (12, 64, 2048);
    for kind in integer_kinds() {
        let bytes = blocks(&mut random, kind, n * k / kind.block_len());
        let w = dequantized(kind, &bytes, n * k);
        let even = random.vec(m * k);
        let heavy: Vec<f32> =
            even.iter().map(|x| if random.below(100) == 0 { 50.0 * x } else { *x }).collect();
        for (name, x, tolerance) in [("even", even, 0.006), ("heavy tails", heavy, 0.02)] {
            let mut out = vec![f32::NAN; m * n];
            Linear::new(Weight::Quantized(kind, &bytes), n, k)
                .precision(Precision::Int8)
                .forward(&x, &mut out);
            let error = relative(&out, &linear(&x, &w, m, n, k));
            assert!(error < tolerance, "{kind:?}, {name}: {error:e}");
        }
    }
}

#[test]
fn values_without_a_scale_spoil_their_own_row_alone() {
    let mut random = Random::new(53);
    let (m, n, k) = (9, 20, 512);
    for kind in integer_kinds() {
        let bytes = blocks(&mut random, kind, n * k / kind.block_len());
        let mut x = random.vec(m * k);
        let layer = Linear::new(Weight::Quantized(kind, &bytes), n, k).precision(Precision::Int8);
        at_each_level(|level| {
            let mut want = vec![0.0; m * n];
            x[5 * k..6 * k].fill(0.0);
            layer.forward(&x, &mut want);
            for (row, at, bad) in [(0, 0, f32::NAN), (3, 511, f32::INFINITY), (8, 100, f32::NEG_INFINITY)] {
                let mut x = x.clone();
                x[row * k + at] = bad;
                x[5 * k..6 * k].fill(1e-38); // as good as 0
                x[5 * k] = f32::from_bits(1);
                let mut out = vec![0.0; m * n];
                layer.forward(&x, &mut out);
                for (i, (out, want)) in out.iter().zip(&want).enumerate() {
                    let fits = if i / n == row { out.is_nan() } else { out.to_bits() == want.to_bits() };
                    assert!(fits, "{kind:?} at {level:?}, {bad} in row {row}: {out} at {i}, want {want}");
                }
            }
            let mut huge = x.clone();
            huge[2 * k..3 * k].fill(f32::MAX / 2.0);
            let mut out = vec![0.0; m * n];
            layer.forward(&huge, &mut out);
            let rest = (0..m * n).filter(|i| i / n != 2);
            assert!(rest.into_iter().all(|i| out[i].to_bits() == want[i].to_bits()), "{kind:?} at {level:?}");
        });
    }
}

#[test]
fn few_rows_q6_k_and_dense_weights_stay_exact() {
    let mut random = Random::new(54);
    let (n, k) = (40, 256);
    for kind in KINDS {
        let bytes = blocks(&mut random, kind, n * k / kind.block_len());
        let most = if kind == QuantKind::Q6K { 9 } else { 4 };
        for m in 1..=most {
            let x = random.vec(m * k);
            let (mut exact, mut out) = (vec![0.0; m * n], vec![1.0; m * n]);
            let layer = Linear::new(Weight::Quantized(kind, &bytes), n, k);
            at_each_level(|level| {
                layer.forward(&x, &mut exact);
                layer.precision(Precision::Int8).forward(&x, &mut out);
                assert_eq!(exact, out, "{kind:?}, {m} rows at {level:?}");
            });
        }
    }
    let (x, w) = (random.vec(7 * k), random.vec(n * k));
    let packed = PackedF32::new(&w, n, k);
    for weight in [Weight::F32(&w), Weight::PackedF32(&packed)] {
        let (mut exact, mut out) = (vec![0.0; 7 * n], vec![1.0; 7 * n]);
        at_each_level(|level| {
            Linear::new(weight, n, k).forward(&x, &mut exact);
            Linear::new(weight, n, k).precision(Precision::Int8).forward(&x, &mut out);
            assert_eq!(exact, out, "{level:?}");
        });
    }
}

#[test]
fn bias_activation_gate_and_residual_follow() {
    let mut random = Random::new(55);
    let (m, n, k) = (11, 37, 512);
    let bytes = blocks(&mut random, QuantKind::Q4K, n * k / 256);
    let (x, bias, gate, residual) = (random.vec(m * k), random.vec(n), random.vec(n), random.vec(m * n));
    let plain = Linear::new(Weight::Quantized(QuantKind::Q4K, &bytes), n, k).precision(Precision::Int8);
    at_each_level(|level| {
        let mut product = vec![0.0; m * n];
        plain.forward(&x, &mut product);
        let want: Vec<f64> = product
            .iter()
            .zip(&residual)
            .enumerate()
            .map(|(i, (y, r))| {
                let y = f64::from(y + bias[i % n]);
                f64::from(*r) + f64::from(gate[i % n]) * y / (1.0 + (-y).exp())
            })
            .collect();
        let mut out = vec![f32::NAN; m * n];
        let layer = plain.bias(&bias).activation(Activation::Silu);
        layer.forward_residual(&x, &residual, Gate::Row(&gate), &mut out);
        let largest = want.iter().fold(1.0, |most: f64, y| most.max(y.abs()));
        assert_close(&format!("{level:?}"), &out, &want, largest * 2e-6);
    });
}

/// Weights of 8 bits by activations of 8 bits, each row with one scale: against the sums of the rounded values, with what each level
/// rounds to.
#[test]
fn rows_of_8_bits_are_the_sums_of_rounded_factors() {
    /// Values of -127..=127, and their scale.
    fn rounded(row: &[f32]) -> (Vec<f64>, f64) {
        let largest = row.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
        if largest == 0.0 {
            return (vec![0.0; row.len()], 0.0);
        }
        let factor = 127.0 / largest;
        (row.iter().map(|x| f64::from((x * factor).round_ties_even())).collect(), f64::from(largest / 127.0))
    }
    let mut random = Random::new(56);
    for [m, n, k] in
        [[1, 3, 4], [2, 40, 129], [3, 16, 64], [7, 33, 515], [14, 70, 1030], [40, 50, 2050], [300, 20, 31]]
    {
        let (mut x, w) = (random.vec(m * k), random.vec(n * k));
        x[(m - 1) * k..].fill(0.0);
        let half = to_bf16(&w);
        let (a, q): (Vec<_>, Vec<_>) =
            (x.chunks(k).map(rounded).collect(), w.chunks(k).map(rounded).collect());
        let want: Vec<f64> = (0..m * n)
            .map(|i| {
                let ((a, s), (q, d)) = (&a[i / n], &q[i % n]);
                a.iter().zip(q).map(|(a, q)| a * q).sum::<f64>() * d * s
            })
            .collect();
        let packed = PackedInt8::new(&w, n, k);
        let from_half = PackedInt8::from_bf16(&half, n, k);
        assert_eq!(from_half.bytes(), PackedInt8::new(&widened(&half), n, k).bytes());
        let exact = linear(&x, &w, m, n, k);
        let mut oracle = Vec::new();
        at_each_level(|level| {
            let name = format!("{m}×{n}×{k} at {level:?}");
            let mut out = vec![f32::NAN; m * n];
            Linear::new(Weight::PackedInt8(&packed), n, k).forward(&x, &mut out);
            assert_close(&name, &out, &want, (k as f64).sqrt() * 1e-6);
            if level == Level::Portable {
                oracle.clone_from(&out);
            }
            assert_eq!(out, oracle, "{name} differs from the portable product");
            for precision in [Precision::F32, Precision::Bf16] {
                Linear::new(Weight::PackedInt8(&packed), n, k).precision(precision).forward(&x, &mut out);
                assert_close(&format!("{name} in {precision:?}"), &out, &exact, (k as f64).sqrt() * 0.025);
            }
        });
    }
}

/// Evenly spread values lose 0.4 % on each side.
#[test]
fn the_error_of_8_bits_on_both_sides_is_small() {
    let mut random = Random::new(57);
    let (m, n, k) = (12, 64, 2048);
    let (x, w) = (random.vec(m * k), random.vec(n * k));
    let packed = PackedInt8::new(&w, n, k);
    let mut out = vec![f32::NAN; m * n];
    Linear::new(Weight::PackedInt8(&packed), n, k).forward(&x, &mut out);
    let error = relative(&out, &linear(&x, &w, m, n, k));
    assert!(error < 0.008, "{error:e}");
}

#[test]
fn rows_without_a_scale_spoil_their_own_outputs_alone() {
    let mut random = Random::new(58);
    let (m, n, k) = (9, 20, 100);
    let (mut x, mut w) = (random.vec(m * k), random.vec(n * k));
    x[4 * k + 7] = f32::INFINITY;
    w[11 * k + 99] = f32::NAN;
    let packed = PackedInt8::new(&w, n, k);
    at_each_level(|level| {
        let mut out = vec![0.0; m * n];
        Linear::new(Weight::PackedInt8(&packed), n, k).forward(&x, &mut out);
        for (i, out) in out.iter().enumerate() {
            assert_eq!(out.is_nan(), i / n == 4 || i % n == 11, "{i} at {level:?}: {out}");
        }
    });
}

#[test]
fn weights_of_8_bits_come_back_from_their_bytes() {
    /// Bytes that begin where a `u32` may.
    struct Aligned(Vec<u32>);
    impl AsRef<[u8]> for Aligned {
        fn as_ref(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }
    let mut random = Random::new(59);
    let (m, n, k) = (6, 35, 70);
    let (x, w) = (random.vec(m * k), random.vec(n * k));
    let packed = PackedInt8::new(&w, n, k);
    assert_eq!(packed.bytes().len(), PackedInt8::byte_len(n, k));
    let bytes: SharedBytes = Arc::new(Aligned(bytemuck::pod_collect_to_vec(packed.bytes())));
    let shared = PackedInt8::shared(bytes.clone(), n, k).expect("the same shape");
    let (mut own, mut again) = (vec![0.0; m * n], vec![1.0; m * n]);
    Linear::new(Weight::PackedInt8(&packed), n, k).forward(&x, &mut own);
    Linear::new(Weight::PackedInt8(&shared), n, k).forward(&x, &mut again);
    assert_eq!(own, again);
    assert!(PackedInt8::shared(bytes, n + 16, k).is_err());
}
