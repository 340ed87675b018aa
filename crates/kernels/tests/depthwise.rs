//! Depthwise convolutions against their definition, with sums in `f64`.

mod common;

use anicrafter_kernels::Depthwise;
use common::{Random, at_each_level};

/// By definition.
fn slowly(of: &Depthwise<'_>, x: &[f32], input: [usize; 2], output: [usize; 2]) -> Vec<f32> {
    let c = of.bias.len();
    let one = |i: usize| {
        let (oy, ox, k) = (i / c / output[1], i / c % output[1], i % c);
        let mut sum = f64::from(of.bias[k]);
        for (ky, kx) in (0..of.kernel[0]).flat_map(|ky| (0..of.kernel[1]).map(move |kx| (ky, kx))) {
            let y = (oy * of.stride[0] + ky).checked_sub(of.pad[0]).filter(|y| *y < input[0]);
            let u = (ox * of.stride[1] + kx).checked_sub(of.pad[1]).filter(|u| *u < input[1]);
            if let (Some(y), Some(u)) = (y, u) {
                let (x, weight) =
                    (x[(y * input[1] + u) * c + k], of.weight[(ky * of.kernel[1] + kx) * c + k]);
                sum += f64::from(x) * f64::from(weight);
            }
        }
        (sum as f32).clamp(of.clamp[0], of.clamp[1])
    };
    (0..output[0] * output[1] * c).map(one).collect()
}

#[test]
fn windows_of_all_sizes_at_all_borders() {
    at_each_level(|level| {
        let mut random = Random::new(5);
        for (c, kernel, stride, pad) in [
            (1, [3, 3], [1, 1], [1, 1]),
            (2, [3, 5], [1, 1], [1, 2]),
            (4, [5, 3], [2, 1], [1, 1]),
            (6, [3, 3], [2, 2], [0, 0]),
            (8, [3, 3], [1, 1], [1, 1]),
            (8, [5, 5], [1, 1], [2, 2]),
            (16, [3, 3], [1, 1], [1, 1]),
            (24, [5, 3], [2, 1], [1, 1]),
            (40, [3, 3], [2, 2], [0, 1]),
            (64, [7, 7], [3, 3], [3, 3]),
        ] {
            for input in [[9, 13], [2, 2], [1, 30], [3, 77]] {
                let output: [usize; 2] = std::array::from_fn(|k| usize::div_ceil(input[k], stride[k]));
                let x = random.vec(input[0] * input[1] * c);
                let weight = random.vec(kernel[0] * kernel[1] * c);
                let bias = random.vec(c);
                let clamp = if c.is_multiple_of(8) { [0.0, 1.5] } else { [f32::NEG_INFINITY, f32::INFINITY] };
                let of = Depthwise { weight: &weight, bias: &bias, kernel, stride, pad, clamp };
                let mut out = vec![f32::NAN; output[0] * output[1] * c];
                of.forward(&x, input, output, &mut out);
                for (a, b) in out.iter().zip(slowly(&of, &x, input, output)) {
                    assert!((a - b).abs() < 1e-5, "{level:?} {c} {kernel:?} {stride:?} {input:?}: {a} {b}");
                }
            }
        }
    });
}

#[test]
#[should_panic(expected = "x isn't [H, W, C]")]
fn a_picture_of_another_size_is_refused() {
    let of = Depthwise {
        weight: &[1.0; 9],
        bias: &[0.0],
        kernel: [3, 3],
        stride: [1, 1],
        pad: [1, 1],
        clamp: [0.0, 1.0],
    };
    of.forward(&[0.0; 11], [3, 4], [3, 4], &mut [0.0; 12]);
}
