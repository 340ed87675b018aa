//! Every layer has two forms: the CPU kernels, and candle's operations for other devices and training. A variable
//! forces the second form on the CPU, so both can be compared here.
#![expect(clippy::unwrap_used, reason = "tests, helpers included")]

use anicrafter_nn::{
    Activation, Attention, Grid, Inputs, LayerNorm, Linear, Precision, QuantizeOnLoad, RandomBlocks,
    RandomWeights, RmsNorm, Rope3d, WeightSource, Weights, add_gated,
};
use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Result, Tensor, Var};
use std::sync::{Arc, PoisonError, RwLock};

/// The kernels' level is the whole process's: whoever compares to the last bit holds it.
static LEVEL: RwLock<()> = RwLock::new(());

fn random(name: &str, shape: &[usize]) -> Tensor {
    let source = RandomWeights { seed: 7 };
    let fan_in = shape[1..].iter().product::<usize>() as f64;
    let tensor = source.dense(name, &shape.into(), DType::F32, &Device::Cpu).unwrap();
    (tensor * fan_in.sqrt()).unwrap() // unit variance
}

fn row(name: &str, d: usize) -> Tensor {
    random(name, &[1, d]).squeeze(0).unwrap()
}

fn variable(x: &Tensor) -> Tensor {
    Var::from_tensor(x).unwrap().into_inner()
}

fn worst(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let difference = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
    let worst = difference.max(0).unwrap().to_scalar::<f32>().unwrap();
    assert!(difference.sum_all().unwrap().to_scalar::<f32>().unwrap().is_finite());
    worst
}

#[track_caller]
fn close(a: Result<Tensor>, b: Result<Tensor>, tolerance: f32) {
    let worst = worst(&a.unwrap(), &b.unwrap());
    assert!(worst <= tolerance, "differs by {worst}, allowed {tolerance}");
}

#[test]
fn linear() {
    for (rows, d_in, d_out) in [(1, 8, 4), (5, 33, 17), (70, 64, 130)] {
        let x = random("x", &[1, rows, d_in]);
        let w = (random("w", &[d_out, d_in]) / (d_in as f64).sqrt()).unwrap();
        let b = row("b", d_out);
        let kernels = Linear::new(w.clone(), Some(b.clone())).unwrap();
        let candle = Linear::new(variable(&w), Some(b.clone())).unwrap();
        for activation in [Activation::None, Activation::GeluTanh, Activation::GeluErf, Activation::Silu] {
            close(kernels.forward_act(&x, activation), candle.forward_act(&x, activation), 1e-5);
        }
        let half = Linear::new(w.to_dtype(DType::BF16).unwrap(), Some(b)).unwrap();
        close(half.forward(&x), candle.forward(&x), 0.05);
    }
}

#[test]
fn linear_adds_to_some_rows() {
    let _level = LEVEL.read().unwrap_or_else(PoisonError::into_inner);
    let (x, w) = (random("x", &[1, 3, 16]), random("w", &[8, 16]));
    let (residual, gate) = (random("r", &[1, 10, 8]), row("g", 8));
    let linear = Linear::new(w.clone(), None).unwrap();
    let y = linear.forward(&x).unwrap();
    for gate in [None, Some(&gate)] {
        let fused = linear.forward_add(&x, residual.copy().unwrap(), 4, gate).unwrap();
        let apart = add_gated(residual.copy().unwrap(), 4, &y, gate);
        close(Ok(fused.clone()), apart, 1e-4);
        assert_eq!(worst(&fused.narrow(1, 0, 4).unwrap(), &residual.narrow(1, 0, 4).unwrap()), 0.0);
        assert_eq!(worst(&fused.narrow(1, 7, 3).unwrap(), &residual.narrow(1, 7, 3).unwrap()), 0.0);
        assert!(worst(&fused, &residual) > 0.1);
        // Recorded gradients: the whole must be given, and the sum is a new tensor.
        let whole = random("whole", &[1, 10, 8]);
        let tracked = add_gated(variable(&residual), 0, &whole, gate);
        close(tracked, add_gated(residual.copy().unwrap(), 0, &whole, gate), 1e-6);
        assert!(add_gated(variable(&residual), 4, &y, gate).is_err());
    }
    assert!(linear.forward_add(&x, residual.copy().unwrap(), 8, None).is_err());
}

#[test]
fn norms() {
    let (x, weight, bias) = (random("x", &[2, 5, 48]), row("w", 48), row("b", 48));
    let tracked = variable(&x);
    let rms = RmsNorm::new(weight.clone(), 1e-6);
    close(rms.forward(&x), rms.forward(&tracked), 1e-5);
    let plain = LayerNorm::plain(1e-6);
    close(plain.forward(&x), plain.forward(&tracked), 1e-5);
    close(
        plain.forward_modulated(&x, &bias, &weight),
        plain.forward_modulated(&tracked, &bias, &weight),
        1e-5,
    );
    let tensors = [("n.weight".to_owned(), weight), ("n.bias".to_owned(), bias)];
    let weights = Weights::from_tensors(tensors.into(), DType::F32, &Device::Cpu);
    let affine = LayerNorm::load(&weights.pp("n"), 48, 1e-6).unwrap();
    close(affine.forward(&x), affine.forward(&tracked), 1e-5);
    assert!(affine.forward(&random("x", &[2, 47])).is_err());
    assert!(rms.forward(&random("x", &[2, 47])).is_err());
}

#[test]
fn rope() {
    let grid = Grid { t: 2, h: 3, w: 4 };
    let rope = Rope3d::new(12, grid, &Device::Cpu).unwrap();
    let x = random("x", &[1, 20, 24]);
    close(rope.forward(&x, 4), rope.forward(&variable(&x), 4), 1e-6);
    let norm = RmsNorm::new(row("w", 24), 1e-6);
    let apart = rope.forward(&norm.forward(&x).unwrap(), 4);
    close(norm.forward_rope(x.copy().unwrap(), &rope, 4), apart, 1e-6);
    assert!(rope.forward(&x, 5).is_err(), "more tokens than places");
    assert!(Rope3d::new(15, grid, &Device::Cpu).is_err());
    // A rotation keeps lengths, and the product of two tokens depends on their distance alone.
    let lengths = |x: &Tensor| x.sqr().unwrap().sum(2).unwrap();
    close(Ok(lengths(&rope.forward(&x, 4).unwrap())), Ok(lengths(&x)), 1e-4);
    let (a, b) = (random("a", &[1, 1, 12]), random("b", &[1, 1, 12]));
    let product = |i: usize, j: usize| {
        let (a, b) = (rope.forward(&a, i).unwrap(), rope.forward(&b, j).unwrap());
        (a * b).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()
    };
    assert!((product(0, 5) - product(13, 18)).abs() < 1e-4); // one row down, one to the right
    assert!((product(0, 5) - product(0, 6)).abs() > 1e-3);
}

#[test]
fn attention() {
    for (lq, lk, n, k) in [(1, 1, 1, 8), (7, 13, 3, 16), (130, 70, 2, 32)] {
        let (q, key, v) =
            (random("q", &[2, lq, n * k]), random("k", &[2, lk, n * k]), random("v", &[2, lk, n * k]));
        let per_head = random("bias", &[n, lq, lk]);
        let shared = random("bias", &[1, lq, lk]);
        for bias in [None, Some(&per_head), Some(&shared)] {
            for scale in [None, Some(1.0)] {
                let attention = Attention { bias, scale, ..Attention::new(n) };
                let whole = attention.forward(&variable(&q), &key, &v).unwrap();
                close(attention.forward(&q, &key, &v), Ok(whole.clone()), 1e-5);
                // A budget of a few rows of scores: the same result, chunk by chunk.
                let chunked = Attention { score_budget: 3 * 2 * n * lk, ..attention };
                close(chunked.forward(&variable(&q), &key, &v), Ok(whole.clone()), 1e-6);
                let half = Attention { precision: Precision::Bf16, ..attention };
                close(half.forward(&q, &key, &v), Ok(whole), 0.1);
            }
        }
    }
    let x = random("x", &[1, 4, 12]);
    assert!(Attention::new(5).forward(&x, &x, &x).is_err());
    assert!(Attention::new(3).forward(&x, &random("k", &[1, 4, 6]), &x).is_err());
}

#[test]
fn quantised_is_close_to_dense() {
    let inner = Arc::new(RandomWeights { seed: 3 });
    let dense = Weights::new(inner.clone(), DType::F32, &Device::Cpu);
    let exact = Linear::load(&dense, 256, 96).unwrap();
    // Root mean square of the output is 1: the tolerance is a multiple of the format's step.
    for (dtype, tolerance) in [(GgmlDType::Q8_0, 0.06), (GgmlDType::Q4_0, 0.6), (GgmlDType::Q4K, 0.6)] {
        let source = Arc::new(QuantizeOnLoad::new(inner.clone(), dtype));
        let quantized = Linear::load(&Weights::new(source, DType::F32, &Device::Cpu), 256, 96).unwrap();
        // Few rows and many rows take different ways.
        for rows in [2, 80] {
            let x = random("x", &[rows, 256]);
            let (a, b) = (quantized.forward(&x).unwrap(), exact.forward(&x).unwrap());
            let worst = worst(&a, &b);
            assert!(worst > 0.0 && worst < tolerance, "{dtype:?}, {rows} rows: {worst}");
        }
    }
}

/// Products that dequantise while they read, against the same blocks dequantised beforehand, at each level.
#[test]
fn quantised_products_equal_those_of_dequantised_weights() {
    let _level = LEVEL.write().unwrap_or_else(PoisonError::into_inner);
    let formats = [GgmlDType::Q8_0, GgmlDType::Q4_0, GgmlDType::Q4K, GgmlDType::Q5K, GgmlDType::Q6K];
    // The kernels don't read this one: its blocks are widened first.
    for dtype in formats.into_iter().chain([GgmlDType::Q5_0]) {
        let source = QuantizeOnLoad::new(Arc::new(RandomWeights { seed: 3 }), dtype);
        let blocks = source.quantized("weight", (37, 512), &Device::Cpu).unwrap().unwrap();
        let wide = Linear::new(blocks.dequantize(&Device::Cpu).unwrap(), None).unwrap();
        let weights = Weights::new(Arc::new(source), DType::F32, &Device::Cpu);
        let quantized = Linear::load_without_bias(&weights, 512, 37).unwrap();
        for level in kernels::Level::ALL.into_iter().filter(|level| level.is_supported()) {
            kernels::set_level(level).unwrap();
            // bf16 products round the activations, widening to bf16 rounds the weights.
            let rounded = kernels::bf16_is_faster(level) || dtype == GgmlDType::Q5_0;
            for rows in [1, 4, 5, 100] {
                let x = random("x", &[rows, 512]);
                close(quantized.forward(&x), wide.forward(&x), if rounded { 0.03 } else { 2e-5 });
            }
        }
        kernels::set_level(kernels::detected_level()).unwrap();
    }
}

/// Inputs of 8 bits: close to float inputs, for every format that has products of them; said where there are none.
#[test]
fn inputs_of_8_bits_are_close_or_refused() {
    let _level = LEVEL.read().unwrap_or_else(PoisonError::into_inner);
    let weights = |dtype| {
        let source = QuantizeOnLoad::new(Arc::new(RandomWeights { seed: 3 }), dtype);
        Weights::new(Arc::new(source), DType::F32, &Device::Cpu)
    };
    for dtype in [GgmlDType::Q8_0, GgmlDType::Q4_0, GgmlDType::Q4K, GgmlDType::Q5K] {
        let weights = weights(dtype);
        let float = Linear::load(&weights, 512, 37).unwrap();
        let int8 = Linear::load(&weights.with_inputs(Inputs::Int8).pp("a"), 512, 37);
        assert!(format!("{int8:?}").contains("by 8 bits"), "the setting walks down with the path");
        let int8 = Linear::load(&weights.with_inputs(Inputs::Int8), 512, 37).unwrap();
        let x = random("x", &[2, 40, 512]);
        let worst = worst(&int8.forward(&x).unwrap(), &float.forward(&x).unwrap());
        assert!(worst > 0.0 && worst < 0.05, "{dtype:?}: {worst}");
    }
    let refused = Linear::load(&weights(GgmlDType::Q5_0).with_inputs(Inputs::Int8), 512, 37);
    assert!(refused.unwrap_err().to_string().contains("not Q5_0"));
    let dense = Weights::new(Arc::new(RandomWeights { seed: 3 }), DType::F32, &Device::Cpu);
    let x = random("x", &[7, 512]);
    let [plain, same] =
        [Inputs::Float, Inputs::Int8].map(|i| Linear::load(&dense.with_inputs(i), 512, 37).unwrap());
    assert_eq!(
        worst(&plain.forward(&x).unwrap(), &same.forward(&x).unwrap()),
        0.0,
        "dense weights aren't concerned"
    );
}

/// Made up blocks are valid and differ from place to place.
#[test]
fn random_blocks_have_the_stated_size() {
    for dtype in [GgmlDType::Q8_0, GgmlDType::Q4K] {
        let source = RandomBlocks { seed: 3, dtype };
        let blocks = source.quantized("weight", (64, 512), &Device::Cpu).unwrap().unwrap();
        let values = blocks.dequantize(&Device::Cpu).unwrap();
        let rms = values.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
        let stated = (512_f32).sqrt().recip();
        assert!(rms > 0.5 * stated && rms < 2.0 * stated, "{dtype:?}: {rms}, stated {stated}");
        assert!(worst(&values.narrow(0, 0, 1).unwrap(), &values.narrow(0, 1, 1).unwrap()) > 0.0);
        assert!(source.quantized("weight", (64, 500), &Device::Cpu).unwrap().is_none(), "no whole blocks");
    }
}

#[test]
fn gradients_reach_the_weights() {
    let w = Var::from_tensor(&random("w", &[6, 8])).unwrap();
    let linear = Linear::new(w.as_tensor().clone(), None).unwrap();
    let y = linear.forward_act(&random("x", &[1, 5, 8]), Activation::GeluTanh).unwrap();
    let y = LayerNorm::plain(1e-6).forward(&y).unwrap();
    let y = Attention::new(2).forward(&y, &y, &y).unwrap();
    let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let gradient = gradients.get(w.as_tensor()).unwrap();
    assert!(gradient.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap() > 0.0);
    // Packed weights can't be trained through; they say so.
    let packed = Linear::new(random("w", &[6, 8]), None).unwrap();
    assert!(packed.forward(&variable(&random("x", &[5, 8]))).unwrap_err().to_string().contains("gradient"));
}
