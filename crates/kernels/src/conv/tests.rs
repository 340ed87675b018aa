//! Every algorithm and level against the definition, on random and edge sizes.

use super::dispatch::{Job, Target};
use super::tiled::Tiled;
use super::{Calls, Conv, ConvShape, Frame, FrameMut, Input, Padding, conv_reference};
use crate::amx::{Emulated, TileUnit};
use half::bf16;
use proptest::prelude::*;

fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

#[derive(Clone, Debug)]
struct Trial {
    shape: ConvShape,
    height: usize,
    width: usize,
    /// Which input frames exist.
    frames: Vec<bool>,
    upsample: bool,
    norm: bool,
    silu: bool,
    residual: bool,
    calls: Calls,
}

fn check(trial: &Trial) {
    let Trial { shape, height, width, .. } = *trial;
    let taps: usize = shape.kernel.iter().product();
    let depth = shape.c_in * taps;
    let weight = noise(shape.c_out * depth, 1);
    let bias = noise(shape.c_out, 2);
    let gamma = noise(shape.c_in, 3);
    let len = height * width * shape.c_in;
    let data: Vec<Vec<f32>> = (0..trial.frames.len()).map(|t| noise(len, 10 + t as u32)).collect();
    let frames: Vec<Option<Frame<'_>>> =
        trial.frames.iter().zip(&data).map(|(&there, d)| there.then_some(Frame::F32(d))).collect();
    let mut input = Input::new(&frames, height, width, shape.c_in);
    input.upsample = trial.upsample;
    input.gamma = trial.norm.then_some(&gamma);
    input.silu = trial.silu;
    let mut expected = conv_reference(&shape, &weight, Some(&bias), &input);
    let (h, w) = input.size();
    let (h, w) = shape.size(h, w);
    let n = shape.frames(frames.len());
    let size = h * w * shape.c_out;
    assert_eq!(expected.len(), n * size);
    let extra = noise(n * size, 5);
    let residual: Vec<Frame<'_>> = (0..n).map(|t| Frame::F32(&extra[t * size..(t + 1) * size])).collect();
    if trial.residual {
        expected.iter_mut().zip(&extra).for_each(|(e, r)| *e += r);
    }
    let conv = Conv::new(shape, &weight, Some(&bias), trial.calls);
    let mut actual = vec![f32::NAN; n * size];
    let mut rest = actual.as_mut_slice();
    let mut out = Vec::new();
    for _ in 0..n {
        let (frame, after) = rest.split_at_mut(size);
        out.push(FrameMut::F32(frame));
        rest = after;
    }
    conv.forward(&input, trial.residual.then_some(&residual), &mut out);
    // Sums of `depth` products below 1 each (a normalised channel reaches sqrt(c_in)).
    let largest = if trial.norm { (shape.c_in as f32).sqrt() } else { 1.0 };
    // Winograd's transforms add to the rounding errors of the products.
    let tolerance = 1e-5 * largest * (depth as f32).sqrt().max(4.0);
    for (i, (a, e)) in actual.iter().zip(&expected).enumerate() {
        assert!((a - e).abs() <= tolerance, "element {i}: {a} instead of {e} (± {tolerance}) in {trial:?}");
    }
}

fn trials() -> impl Strategy<Value = Trial> {
    let channels = prop_oneof![Just(1_usize), Just(3), Just(16), Just(17), Just(33), 1..40_usize];
    let kernel = prop_oneof![
        4 => Just([3_usize, 3, 3]),
        2 => Just([1, 3, 3]),
        1 => Just([1, 1, 1]),
        1 => Just([3, 1, 1]),
        1 => Just([2, 2, 4]),
        1 => Just([1, 5, 2])
    ];
    let stride = prop_oneof![4 => Just([1_usize, 1, 1]), 1 => Just([1, 2, 2]), 1 => Just([2, 1, 1]), 1 => Just([1, 1, 3])];
    let padding = (0..3_usize, 0..3_usize, 0..3_usize, 0..3_usize)
        .prop_map(|(top, bottom, left, right)| Padding { top, bottom, left, right });
    (
        (channels.clone(), channels, kernel, stride, padding),
        (1..14_usize, 1..14_usize, proptest::collection::vec(any::<bool>(), 0..7)),
        (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
    )
        .prop_map(|((c_in, c_out, kernel, stride, padding), (height, width, frames), flags)| Trial {
            shape: ConvShape { c_in, c_out, kernel, stride, padding },
            height,
            width,
            frames,
            upsample: flags.0,
            norm: flags.1,
            silu: flags.2,
            residual: flags.3,
            calls: if flags.4 { Calls::Clips } else { Calls::Frames },
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn agrees_with_the_definition(trial in trials()) {
        check(&trial);
    }

    #[test]
    fn agrees_with_the_definition_for_the_layers_of_a_video_model(
        frames in proptest::collection::vec(prop_oneof![4 => Just(true), 1 => Just(false)], 3..9),
        height in 1..12_usize, width in 1..40_usize,
        upsample: bool, norm: bool, residual: bool, clips: bool,
    ) {
        let shape = ConvShape {
            c_in: 24, c_out: 48, kernel: [3, 3, 3], stride: [1, 1, 1], padding: Padding::symmetric(1, 1),
        };
        let calls = if clips { Calls::Clips } else { Calls::Frames };
        check(&Trial { shape, height, width, frames, upsample, norm, silu: norm, residual, calls });
    }
}

#[test]
fn half_size_frames_are_widened_and_rounded() {
    let shape = ConvShape {
        c_in: 20,
        c_out: 18,
        kernel: [1, 3, 3],
        stride: [1, 1, 1],
        padding: Padding::symmetric(1, 1),
    };
    let weight = noise(20 * 18 * 9, 1);
    let narrow: Vec<bf16> = noise(6 * 7 * 20, 2).into_iter().map(bf16::from_f32).collect();
    let wide: Vec<f32> = narrow.iter().map(|v| v.to_f32()).collect();
    let conv = Conv::new(shape, &weight, None, Calls::Frames);
    let (mut a, mut b) = (vec![0.0; 6 * 7 * 18], vec![bf16::ZERO; 6 * 7 * 18]);
    let (wide, narrow) = ([Some(Frame::F32(&wide))], [Some(Frame::Bf16(&narrow))]);
    let gamma = noise(20, 3);
    let of = |frames| Input { gamma: Some(&gamma), silu: true, ..Input::new(frames, 6, 7, 20) };
    conv.forward(&of(&wide), None, &mut [FrameMut::F32(&mut a)]);
    conv.forward(&of(&narrow), None, &mut [FrameMut::Bf16(&mut b)]);
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(bf16::from_f32(*a), *b);
    }
}

#[test]
#[should_panic(expected = "output frames don't fit")]
fn refuses_a_wrong_number_of_frames() {
    let shape =
        ConvShape { c_in: 1, c_out: 1, kernel: [3, 1, 1], stride: [1, 1, 1], padding: Padding::default() };
    let conv = Conv::new(shape, &[0.0; 3], None, Calls::Frames);
    let frame = [0.0; 4];
    let mut out = [0.0; 4];
    conv.forward(&Input::new(&[Some(Frame::F32(&frame)); 2], 2, 2, 1), None, &mut [FrameMut::F32(&mut out)]);
}

/// On a unit of tiles against the definition on rounded weights and inputs: strides, edges, absent frames, odd panels, doubled pixels.
fn tiles_agree<U: TileUnit>(unit: U) {
    let round = |x: &mut [f32]| x.iter_mut().for_each(|x| *x = bf16::from_f32(*x).to_f32());
    let one = Padding::symmetric(1, 1);
    let below = Padding { bottom: 1, right: 1, ..Padding::default() };
    for (kernel, stride, padding, c_in, c_out, height, width) in [
        ([3, 3, 3], [1, 1, 1], one, 32, 48, 5, 7),
        ([3, 3, 3], [1, 1, 1], one, 64, 20, 11, 70),
        ([1, 3, 3], [1, 2, 2], below, 32, 33, 9, 40),
        ([1, 1, 1], [1, 1, 1], Padding::default(), 96, 64, 6, 5),
        ([3, 1, 1], [2, 1, 1], Padding::default(), 32, 16, 3, 36),
        ([1, 3, 3], [1, 1, 1], one, 192, 3, 1, 1),
    ] {
        let shape = ConvShape { c_in, c_out, kernel, stride, padding };
        let depth = c_in * kernel.iter().product::<usize>();
        let mut weight = noise(c_out * depth, 1);
        round(&mut weight);
        let tiled = Tiled::new(&shape, &weight);
        assert_eq!(tiled.weight(&shape), weight);
        let mut bias = noise(c_out, 2);
        for (upsample, frames) in
            [(false, [true; 4]), (true, [false, true, true, false]), (false, [false; 4])]
        {
            let mut data: Vec<Vec<f32>> = (0..4).map(|t| noise(height * width * c_in, 10 + t)).collect();
            data.iter_mut().for_each(|data| round(data));
            let frames: Vec<Option<Frame<'_>>> =
                frames.iter().zip(&data).map(|(&there, d)| there.then_some(Frame::F32(d))).collect();
            let input = Input { upsample, ..Input::new(&frames, height, width, c_in) };
            let expected = conv_reference(&shape, &weight, Some(&bias), &input);
            let (h, w) = input.size();
            let size = shape.size(h, w);
            let n = shape.frames(frames.len());
            bias.resize(c_out + 24, 0.0);
            let job = Job { shape: &shape, input: &input, bias: &bias, size };
            let mut actual = vec![f32::NAN; expected.len()];
            let mut out: Vec<FrameMut<'_>> =
                actual.chunks_exact_mut(expected.len() / n).map(FrameMut::F32).collect();
            tiled.run(unit, &job, &Target::new(None, &mut out));
            drop(out);
            bias.truncate(c_out);
            for (i, (a, e)) in actual.iter().zip(&expected).enumerate() {
                assert!((a - e).abs() <= 1e-5 * (depth as f32).sqrt(), "{shape:?}, {i}: {a} instead of {e}");
            }
        }
    }
}

#[test]
fn convolutions_on_tiles_agree_with_the_definition() {
    tiles_agree(Emulated);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn convolutions_by_tile_instructions_agree_with_the_definition() {
    if let Some(amx) = ::simd::Amx::detect() {
        tiles_agree(amx);
    }
}
