//! Convolutions at every level against the definition, also with weights that were packed at another level.

mod common;

use anicrafter_kernels::Level;
use anicrafter_kernels::conv::{Calls, Conv, ConvShape, Frame, FrameMut, Input, Padding, conv_reference};
use common::{Random, at_each_level};

fn values(len: usize, seed: u64) -> Vec<f32> {
    Random::new(seed).vec(len)
}

struct Case {
    shape: ConvShape,
    size: (usize, usize),
    frames: usize,
    upsample: bool,
    norm: bool,
}

fn case(c_in: usize, c_out: usize, kernel: [usize; 3], size: (usize, usize), frames: usize) -> Case {
    let padding = Padding::symmetric(kernel[1] / 2, kernel[2] / 2);
    let shape = ConvShape { c_in, c_out, kernel, stride: [1, 1, 1], padding };
    Case { shape, size, frames, upsample: false, norm: kernel == [3, 3, 3] && c_in > 3 }
}

/// The layers of the video autoencoder, narrow ones, and channels that fill no vector.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (c_in, c_out) in [(3, 24), (24, 24), (24, 3), (24, 48), (16, 40), (17, 33), (40, 8), (72, 36)] {
        cases.push(case(c_in, c_out, [3, 3, 3], (9, 14), 5));
        cases.push(case(c_in, c_out, [1, 3, 3], (4, 33), 2));
        cases.push(case(c_in, c_out, [1, 1, 1], (5, 7), 1));
        cases.push(case(c_in, c_out, [3, 1, 1], (5, 7), 4));
        cases.push(Case { upsample: true, ..case(c_in, c_out, [1, 3, 3], (6, 5), 2) });
        let mut down = case(c_in, c_out, [1, 3, 3], (12, 10), 1);
        down.shape.stride = [1, 2, 2];
        down.shape.padding = Padding { bottom: 1, right: 1, ..Padding::default() };
        cases.push(down);
    }
    // Pairs of frames and 4×4 tiles; 2×2 tiles; one pixel.
    cases.push(case(48, 56, [3, 3, 3], (13, 21), 7));
    cases.push(case(272, 280, [1, 3, 3], (3, 5), 1));
    cases.push(Case { upsample: true, ..case(72, 64, [1, 3, 3], (6, 5), 2) });
    cases.push(case(272, 280, [3, 3, 3], (3, 2), 5));
    cases.push(case(24, 24, [3, 3, 3], (1, 1), 3));
    // Blocks that see nothing but padding.
    for c_in in [3, 24] {
        let mut far = case(c_in, 24, [3, 3, 3], (2, 3), 3);
        far.shape.padding = Padding { bottom: 37, right: 70, ..Padding::default() };
        cases.push(far);
    }
    cases
}

#[test]
fn every_level_agrees_with_the_definition_with_weights_packed_at_any() {
    let levels: Vec<Level> = Level::ALL.into_iter().filter(|level| level.is_supported()).collect();
    for Case { shape, size: (height, width), frames, upsample, norm } in cases() {
        let taps: usize = shape.kernel.iter().product();
        let (weight, bias) = (values(shape.c_out * shape.c_in * taps, 1), values(shape.c_out, 2));
        let gamma = values(shape.c_in, 3);
        let data: Vec<Vec<f32>> =
            (0..frames).map(|t| values(height * width * shape.c_in, 4 + t as u64)).collect();
        let views: Vec<Option<Frame<'_>>> =
            data.iter().enumerate().map(|(t, d)| (t != 1 || frames < 3).then_some(Frame::F32(d))).collect();
        let mut input = Input::new(&views, height, width, shape.c_in);
        input.upsample = upsample;
        if norm {
            input.gamma = Some(&gamma);
            input.silu = true;
        }
        let expected = conv_reference(&shape, &weight, Some(&bias), &input);
        let (h, w) = input.size();
        let (h, w) = shape.size(h, w);
        let len = h * w * shape.c_out;
        let extra = values(expected.len(), 9);
        let residual: Vec<Frame<'_>> = extra.chunks_exact(len).map(Frame::F32).collect();
        let largest = if norm { (shape.c_in as f32).sqrt() } else { 1.0 };
        let tolerance = 1e-5 * largest * ((shape.c_in * taps) as f32).sqrt().max(4.0);
        for calls in [Calls::Frames, Calls::Clips] {
            let mut packed: Vec<(Level, Conv)> = Vec::new();
            at_each_level(|level| packed.push((level, Conv::new(shape, &weight, Some(&bias), calls))));
            assert_eq!(packed.len(), levels.len());
            at_each_level(|level| {
                for (packed_at, conv) in &packed {
                    let mut actual = vec![f32::NAN; expected.len()];
                    let mut out: Vec<FrameMut<'_>> =
                        actual.chunks_exact_mut(len).map(FrameMut::F32).collect();
                    conv.forward(&input, Some(&residual), &mut out);
                    for (i, ((a, e), r)) in actual.iter().zip(&expected).zip(&extra).enumerate() {
                        let error = (a - e - r).abs();
                        assert!(
                            error <= tolerance,
                            "element {i} of {shape:?} at {level:?}, packed at {packed_at:?}: {a}, not {e} + {r}"
                        );
                    }
                }
            });
        }
    }
}
