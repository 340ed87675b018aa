//! What must hold of any clip and any weights.
#![allow(clippy::unwrap_used, reason = "tests")]

use anicrafter_conditioning::{
    Clip, ConditionEmbedders, Conditioner, Error, Prompts, Rounding, Strides, condition_tokens,
};
use candle_core::{DType, Device, IndexOp, Tensor};
use image::{Rgb, RgbImage};
use nn::{RandomWeights, Weights};
use std::ops::ControlFlow;
use std::sync::Arc;
use vae::Vae;

const WAN: Strides = Strides { time: 4, space: 8 };
const DIM: usize = 48;

fn picture(seed: u32) -> RgbImage {
    RgbImage::from_fn(64, 48, |x, y| Rgb([(x * 3 + seed) as u8, (y * 5 + seed) as u8, (x + y * seed) as u8]))
}

/// A body that stands in the left half.
fn body() -> RgbImage {
    RgbImage::from_fn(64, 48, |x, _| Rgb([if x < 32 { 90 } else { 1 }; 3]))
}

fn embedders() -> ConditionEmbedders {
    let weights = Weights::new(Arc::new(RandomWeights::default()), DType::F32, &Device::Cpu);
    ConditionEmbedders::load(DIM, &weights).unwrap()
}

fn vae(config: &vae::Config) -> Vae {
    Vae::load(config, &vae::random_weights(config, 1, &Device::Cpu).unwrap()).unwrap()
}

fn worst(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

fn go_on(_: f64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn frames_stand_behind_the_reference_picture() {
    let reference = picture(200);
    let (blend, mesh): (Vec<_>, Vec<_>) = ((0..4).map(picture).collect(), vec![body(); 4]);
    let clip = Clip::new(&reference, &blend, &mesh, WAN).unwrap();
    assert_eq!(clip.size(), [5, 48, 64]);
    let frames = clip.blend_frames(&Device::Cpu).unwrap();
    for (f, picture) in std::iter::once(&reference).chain(&blend).enumerate() {
        for channel in 0..3 {
            let expected = (f32::from(picture.get_pixel(7, 5)[channel]) / 255.0 - 0.5) / 0.5;
            assert_eq!(frames.i((channel, f, 5, 7)).unwrap().to_scalar::<f32>().unwrap(), expected);
        }
    }
    // The embedders see the reference picture four times, with a mask of ones, then the frames with theirs.
    let [input, _] = clip.embedder_inputs(&Device::Cpu).unwrap();
    assert_eq!(input.dims(), [1, 4, 8, 48, 64]);
    let at = |c: usize, f: usize, x: usize| input.i((0, c, f, 5, x)).unwrap().to_scalar::<f32>().unwrap();
    for f in 0..8 {
        assert_eq!((at(0, f, 7), at(0, f, 40)), (if f < 4 { 1.0 } else { 0.0 }, 1.0));
        let shown = frames.i((1, f.saturating_sub(3), 5, 7)).unwrap().to_scalar::<f32>().unwrap();
        assert_eq!(at(2, f, 7), shown);
    }
}

#[test]
fn everything_about_a_clip_in_one_call() {
    let config = vae::Config::small(8);
    let (embedders, vae) = (embedders(), vae(&config));
    let mut conditioner = Conditioner::new(&embedders, &vae).unwrap();
    let reference = picture(200);
    for n in [0, 4, 8] {
        let (blend, mesh): (Vec<_>, Vec<_>) = ((0..n).map(picture).collect(), vec![body(); n as usize]);
        let clip = Clip::new(&reference, &blend, &mesh, Strides::of(&config)).unwrap();
        let mut shares = Vec::new();
        let made = conditioner
            .condition(&clip, &Device::Cpu, &mut |share| {
                shares.push(share);
                ControlFlow::Continue(())
            })
            .unwrap();
        assert!(shares.is_sorted() && shares.last() == Some(&1.0), "{shares:?}");
        let t = 1 + n as usize / 4;
        assert_eq!(made.latents.dims(), [1, 16, t, 6, 8]);
        assert_eq!(made.y.dims(), [1, 20, t, 6, 8]);
        assert_eq!(made.tokens.dims(), [1, t * 3 * 4, DIM]);
        assert_eq!(worst(&made.y.narrow(1, 4, 16).unwrap(), &made.latents), 0.0);
        // The mask of frame f stands in channel (f − 1) mod 4 of latent frame 1 + (f − 1) / 4; the first has ones.
        for f in 0..=n as usize {
            let (channel, frame) = if f == 0 { (0, 0) } else { ((f - 1) % 4, 1 + (f - 1) / 4) };
            let value = made.y.i((0, channel, frame, 2, 5)).unwrap().to_scalar::<f32>().unwrap();
            let expected = if f == 0 { 1.0 } else { made.mask.data[((f - 1) * 6 + 2) * 8 + 5] };
            assert_eq!(value, expected, "frame {f} of {n}");
        }
        // Part by part or as a whole: the same tokens.
        let [blend, mesh] = clip.embedder_inputs(&Device::Cpu).unwrap();
        let whole = [embedders.blend.forward(&blend).unwrap(), embedders.smplx.forward(&mesh).unwrap()];
        let whole = condition_tokens(&whole[0], &whole[1], Rounding::None).unwrap();
        assert_eq!(worst(&made.tokens, &whole), 0.0);

        conditioner.rounding = Rounding::Bf16;
        let rounded = conditioner.condition(&clip, &Device::Cpu, &mut go_on).unwrap();
        conditioner.rounding = Rounding::None;
        let difference = worst(&rounded.tokens, &made.tokens);
        assert!(difference > 0.0 && difference < 0.02, "{difference}");
        for tensor in [&rounded.tokens, &rounded.latents, &rounded.y] {
            assert_eq!(worst(&Rounding::Bf16.apply(tensor).unwrap(), tensor), 0.0);
        }
    }
}

#[test]
fn a_run_is_stopped_where_the_observer_says() {
    let config = vae::Config::small(8);
    let (embedders, vae) = (embedders(), vae(&config));
    let conditioner = Conditioner::new(&embedders, &vae).unwrap();
    let frame = picture(1);
    let frames = vec![frame.clone(); 8];
    let clip = Clip::new(&frame, &frames, &frames, WAN).unwrap();
    for stop in [0.0, 0.4, 0.7] {
        let mut observer =
            |share| if share > stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let stopped = conditioner.condition(&clip, &Device::Cpu, &mut observer);
        assert!(matches!(stopped, Err(Error::Cancelled)), "at {stop}");
    }
}

#[test]
fn only_the_positive_branch_has_the_tokens() {
    let one = |n: usize| Tensor::full(n as f32, (1, 1, 1), &Device::Cpu).unwrap();
    let prompts = Prompts { positive: one(1), negative: Some(one(2)), clip_feature: one(3) };
    let (y, tokens) = (one(4), one(5));
    let (positive, negative) = prompts.branches(&y, &tokens);
    assert!(positive.add_condition.is_some() && positive.y.is_some() && positive.clip_feature.is_some());
    let negative = negative.unwrap();
    assert!(negative.add_condition.is_none() && negative.y.is_some() && negative.clip_feature.is_some());
    assert_eq!(worst(negative.context, &one(2)), 0.0);
    let alone = Prompts { negative: None, ..prompts };
    assert!(alone.branches(&y, &tokens).1.is_none());
}

#[test]
fn clips_that_do_not_fit_say_why() {
    let (reference, frame) = (picture(1), body());
    let refused = |blend: &[RgbImage], mesh: &[RgbImage], strides| {
        Clip::new(&reference, blend, mesh, strides).unwrap_err().to_string()
    };
    let four = vec![frame.clone(); 4];
    let message = refused(&four, &four[..3], WAN);
    assert!(message.contains("4 and 3"), "{message}");
    let message = refused(&four[..2], &four[..2], WAN);
    assert!(message.contains("multiple of 4"), "{message}");
    let message = refused(&[frame.clone(), frame.clone(), RgbImage::new(64, 40), frame.clone()], &four, WAN);
    assert!(message.contains("avatar frame 2") && message.contains("64×40"), "{message}");
    let message = refused(&four, &four, Strides { space: 32, ..WAN });
    assert!(message.contains("multiples of 32"), "{message}");

    // Embedders of four frames and sixteen pixels to a token don't go with a VAE of two frames, nor a clip of another VAE.
    let mut config = vae::Config::small(8);
    let (embedders, fits) = (embedders(), vae(&config));
    config.temperal_downsample[1] = false;
    let error = Conditioner::new(&embedders, &vae(&config)).unwrap_err();
    assert!(matches!(error, Error::Strides { embedder: [4, 16], .. }), "{error}");
    let clip = Clip::new(&reference, &four, &four, Strides::of(&config)).unwrap();
    let conditioner = Conditioner::new(&embedders, &fits).unwrap();
    let error = conditioner.condition(&clip, &Device::Cpu, &mut go_on).unwrap_err();
    assert!(matches!(error, Error::Clip { .. }), "{error}");
}
