//! Convolutions at the shapes of the Wan 2.1 VAE (dim 96, 256×256 pixels): guards the kernels behind `vae`; depthwise ones at those of a
//! pose network, behind `tflite`.
//! Throughput counts the plain algorithm's FLOPs as elements, so Winograd can exceed the CPU's peak.

use anicrafter_kernels::Depthwise;
use anicrafter_kernels::conv::{Calls, Conv, ConvShape, Frame, FrameMut, Input, Padding};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

struct Layer {
    name: &'static str,
    c_in: usize,
    c_out: usize,
    kernel: [usize; 3],
    stride: [usize; 3],
    upsample: bool,
    side: usize,
    frames: usize,
}

const LAYERS: [Layer; 8] = [
    Layer {
        name: "96_256px_4f",
        c_in: 96,
        c_out: 96,
        kernel: [3, 3, 3],
        stride: [1, 1, 1],
        upsample: false,
        side: 256,
        frames: 4,
    },
    Layer {
        name: "192_128px_4f",
        c_in: 192,
        c_out: 192,
        kernel: [3, 3, 3],
        stride: [1, 1, 1],
        upsample: false,
        side: 128,
        frames: 4,
    },
    Layer {
        name: "384_64px_4f",
        c_in: 384,
        c_out: 384,
        kernel: [3, 3, 3],
        stride: [1, 1, 1],
        upsample: false,
        side: 64,
        frames: 4,
    },
    Layer {
        name: "384_32px_1f",
        c_in: 384,
        c_out: 384,
        kernel: [3, 3, 3],
        stride: [1, 1, 1],
        upsample: false,
        side: 32,
        frames: 1,
    },
    Layer {
        name: "up_192_96_256px_1f",
        c_in: 192,
        c_out: 96,
        kernel: [1, 3, 3],
        stride: [1, 1, 1],
        upsample: true,
        side: 128,
        frames: 1,
    },
    Layer {
        name: "down_96_256px_1f",
        c_in: 96,
        c_out: 96,
        kernel: [1, 3, 3],
        stride: [1, 2, 2],
        upsample: false,
        side: 256,
        frames: 1,
    },
    Layer {
        name: "head_96_3_256px_4f",
        c_in: 96,
        c_out: 3,
        kernel: [3, 3, 3],
        stride: [1, 1, 1],
        upsample: false,
        side: 256,
        frames: 4,
    },
    Layer {
        name: "shortcut_192_384_64px_2f",
        c_in: 192,
        c_out: 384,
        kernel: [1, 1, 1],
        stride: [1, 1, 1],
        upsample: false,
        side: 64,
        frames: 2,
    },
];

fn conv(c: &mut Criterion) {
    let mut group = c.benchmark_group("conv");
    group.sample_size(10);
    for layer in LAYERS {
        let padding = match (layer.kernel[1], layer.stride[1]) {
            (1, _) => Padding::default(),
            (_, 1) => Padding::symmetric(1, 1),
            _ => Padding { bottom: 1, right: 1, ..Padding::default() },
        };
        let shape = ConvShape {
            c_in: layer.c_in,
            c_out: layer.c_out,
            kernel: layer.kernel,
            stride: layer.stride,
            padding,
        };
        let taps: usize = layer.kernel.iter().product();
        let wave = |n: usize| (0..n).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<f32>>();
        let weight = wave(layer.c_in * layer.c_out * taps);
        let calls = if layer.frames > 1 { Calls::Clips } else { Calls::Frames };
        let conv = Conv::new(shape, &weight, None, calls);
        let data = wave(layer.side * layer.side * layer.c_in);
        let gamma = vec![1.0; layer.c_in];
        let frames = vec![Some(Frame::F32(&data)); layer.frames + layer.kernel[0] - 1];
        let mut input = Input::new(&frames, layer.side, layer.side, layer.c_in);
        input.upsample = layer.upsample;
        if layer.kernel[0] == 3 {
            input.gamma = Some(&gamma);
            input.silu = true;
        }
        let (h, w) = input.size();
        let (h, w) = shape.size(h, w);
        let mut results = vec![vec![0.0; h * w * layer.c_out]; layer.frames];
        let (full_h, full_w) = input.size();
        group.throughput(Throughput::Elements((shape.flops(full_h, full_w) * layer.frames as f64) as u64));
        group.bench_function(BenchmarkId::new("f32", layer.name), |b| {
            b.iter(|| {
                let mut out: Vec<FrameMut<'_>> = results.iter_mut().map(|r| FrameMut::F32(r)).collect();
                conv.forward(black_box(&input), None, &mut out);
            });
        });
    }
    group.finish();
}

/// Depthwise layers of MediaPipe's pose network: the side of the picture (padded by the model where it isn't a power of two), channels,
/// the window's side, from window to window, and the side of the output.
const DEPTHWISE: [(usize, usize, usize, usize, usize); 5] =
    [(256, 8, 3, 1, 256), (130, 64, 3, 2, 64), (68, 144, 5, 2, 32), (64, 144, 3, 1, 64), (16, 528, 5, 1, 16)];

fn depthwise(c: &mut Criterion) {
    let mut group = c.benchmark_group("depthwise");
    let wave = |n: usize| (0..n).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<f32>>();
    for (side, channels, kernel, stride, output) in DEPTHWISE {
        let pad = if stride == 1 { kernel / 2 } else { 0 };
        let (x, weight, bias) =
            (wave(side * side * channels), wave(kernel * kernel * channels), wave(channels));
        let layer = Depthwise {
            weight: &weight,
            bias: &bias,
            kernel: [kernel; 2],
            stride: [stride; 2],
            pad: [pad; 2],
            clamp: [0.0, 6.0],
        };
        let mut out = vec![0.0; output * output * channels];
        let flops = 2 * out.len() * kernel * kernel;
        group.throughput(Throughput::Elements(flops as u64));
        group.bench_function(
            BenchmarkId::new("f32", format!("{channels}_{side}px_{kernel}x{kernel}")),
            |b| {
                b.iter(|| layer.forward(black_box(&x), [side; 2], [output; 2], &mut out));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, conv, depthwise);
criterion_main!(benches);
