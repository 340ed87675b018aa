//! Norms, RoPE and element-wise functions at every level against their formulas in `f64`.

mod common;

use anicrafter_kernels::{
    Modulation, bf16, bf16_from_f32, f32_from_bf16, gelu_erf, gelu_tanh, layer_norm, modulated_layer_norm,
    rms_norm, rms_norm_rope, rope, silu, softmax_rows,
};
use common::{Random, assert_close, at_each_level};

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

fn normalized(x: &[f32], d: usize, eps: f64) -> Vec<f64> {
    wide(x)
        .chunks(d)
        .flat_map(|row| {
            let mean = row.iter().sum::<f64>() / d as f64;
            let var = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / d as f64;
            row.iter().map(|x| (x - mean) / (var + eps).sqrt()).collect::<Vec<_>>()
        })
        .collect()
}

fn rms(x: &[f32], weight: &[f32], eps: f64) -> Vec<f64> {
    let d = weight.len();
    wide(x)
        .chunks(d)
        .flat_map(|row| {
            let square = row.iter().map(|x| x * x).sum::<f64>() / d as f64;
            row.iter().zip(weight).map(|(x, w)| x / (square + eps).sqrt() * f64::from(*w)).collect::<Vec<_>>()
        })
        .collect()
}

fn rotated(x: &[f64], heads: usize, dim: usize, cos: &[f32], sin: &[f32]) -> Vec<f64> {
    let mut out = x.to_vec();
    for (i, pair) in out.chunks_mut(2).enumerate() {
        let at = i / (heads * dim / 2) * (dim / 2) + i % (dim / 2);
        let (c, s) = (f64::from(cos[at]), f64::from(sin[at]));
        let (a, b) = (pair[0], pair[1]);
        pair.copy_from_slice(&[a * c - b * s, a * s + b * c]);
    }
    out
}

#[test]
fn norms() {
    let mut random = Random::new(21);
    for (l, d) in [(1, 1), (3, 7), (5, 64), (2, 65), (9, 300), (4, 5120)] {
        let (x, w, b) = (random.vec(l * d), random.vec(d), random.vec(d));
        let (scale, shift) = (random.vec(l * d), random.vec(l * d));
        let norm = normalized(&x, d, 1e-5);
        at_each_level(|level| {
            let name = format!("{l}×{d} at {level:?}");
            let mut out = vec![f32::NAN; l * d];
            layer_norm(&x, d, None, None, 1e-5, &mut out);
            assert_close(&name, &out, &norm, 2e-5);
            layer_norm(&x, d, Some(&w), Some(&b), 1e-5, &mut out);
            let want: Vec<f64> =
                (0..l * d).map(|i| norm[i] * f64::from(w[i % d]) + f64::from(b[i % d])).collect();
            assert_close(&name, &out, &want, 2e-5);
            modulated_layer_norm(&x, d, Modulation::Row(&w), Modulation::Full(&shift), 1e-5, &mut out);
            let want: Vec<f64> =
                (0..l * d).map(|i| norm[i] * (1.0 + f64::from(w[i % d])) + f64::from(shift[i])).collect();
            assert_close(&name, &out, &want, 2e-5);
            modulated_layer_norm(&x, d, Modulation::Full(&scale), Modulation::Row(&b), 1e-5, &mut out);
            let want: Vec<f64> =
                (0..l * d).map(|i| norm[i] * (1.0 + f64::from(scale[i])) + f64::from(b[i % d])).collect();
            assert_close(&name, &out, &want, 2e-5);
            rms_norm(&x, &w, 1e-6, &mut out);
            assert_close(&name, &out, &rms(&x, &w, 1e-6), 2e-5);
        });
    }
}

#[test]
fn rotations() {
    let mut random = Random::new(22);
    for (l, heads, dim) in [(1, 1, 2), (3, 2, 6), (5, 3, 20), (7, 4, 128), (2, 1, 38)] {
        let (x, w) = (random.vec(l * heads * dim), random.vec(heads * dim));
        let angles = random.vec(l * dim / 2);
        let cos: Vec<f32> = angles.iter().map(|a| a.cos()).collect();
        let sin: Vec<f32> = angles.iter().map(|a| a.sin()).collect();
        at_each_level(|level| {
            let name = format!("{l}×{heads}×{dim} at {level:?}");
            let mut out = x.clone();
            rope(&mut out, heads, dim, &cos, &sin);
            assert_close(&name, &out, &rotated(&wide(&x), heads, dim, &cos, &sin), 1e-6);
            let mut out = x.clone();
            rms_norm_rope(&mut out, dim, &w, 1e-6, &cos, &sin);
            assert_close(&name, &out, &rotated(&rms(&x, &w, 1e-6), heads, dim, &cos, &sin), 5e-6);
        });
    }
}

#[test]
fn functions() {
    let x: Vec<f32> = (-2003..2003).map(|i| i as f32 / 100.0).collect();
    let tanh = |x: f64| 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x)).tanh());
    let at = |f: &dyn Fn(f64) -> f64| -> Vec<f64> { x.iter().map(|x| f(f64::from(*x))).collect() };
    at_each_level(|level| {
        let name = format!("{level:?}");
        let mut out = x.clone();
        gelu_tanh(&mut out);
        assert_close(&name, &out, &at(&tanh), 3e-6);
        out.clone_from(&x);
        silu(&mut out);
        assert_close(&name, &out, &at(&|x| x / (1.0 + (-x).exp())), 3e-6);
        // Values of the exact function: 0, and x = ±1, ±2 from tables of the normal distribution.
        let mut out = vec![0.0, 1.0, -1.0, 2.0, -2.0];
        gelu_erf(&mut out);
        let want = [0.0, 0.841_344_746, -0.158_655_254, 1.954_499_736, -0.045_500_264];
        assert_close(&name, &out, &want, 5e-7);
    });
}

#[test]
fn softmax() {
    let mut random = Random::new(23);
    for d in [1, 5, 16, 100] {
        let x: Vec<f32> = random.vec(3 * d).iter().map(|x| x * 30.0).collect();
        let want: Vec<f64> = wide(&x)
            .chunks(d)
            .flat_map(|row| {
                let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = row.iter().map(|x| (x - max).exp()).sum();
                row.iter().map(|x| (x - max).exp() / sum).collect::<Vec<_>>()
            })
            .collect();
        at_each_level(|level| {
            let mut out = x.clone();
            softmax_rows(&mut out, d);
            assert_close(&format!("{d} at {level:?}"), &out, &want, 1e-6);
            let mut nothing = vec![f32::NEG_INFINITY; d];
            softmax_rows(&mut nothing, d);
            assert!(nothing.iter().all(|x| *x == 0.0), "a row of -inf at {level:?}");
        });
    }
}

#[test]
fn bf16_conversion_rounds_to_nearest_even_and_keeps_nan() {
    let x = [1.0, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, -2.5e38, f32::INFINITY, f32::NAN, -0.0];
    let mut half = [bf16::ZERO; 7];
    bf16_from_f32(&x, &mut half);
    let mut back = [0.0; 7];
    f32_from_bf16(&half, &mut back);
    assert_eq!(back[..3], [1.0, 1.0, 1.015_625]);
    assert!(back[4] == f32::INFINITY && back[5].is_nan() && back[6].is_sign_negative(), "{back:?}");
}
