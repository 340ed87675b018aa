//! Properties that hold for any weights: streaming equals the whole pass, a batch its items, tiles the picture.
#![allow(clippy::unwrap_used, reason = "tests")]

use anicrafter_vae::{Backend, Config, Direction, Error, Halves, Observer, Tiles, Vae, random_weights};
use candle_core::{DType, Device, Tensor};
use std::ops::ControlFlow;

fn small() -> Config {
    Config::small(8)
}

fn vae(config: &Config) -> Vae {
    Vae::load(config, &random_weights(config, 7, &Device::Cpu).unwrap()).unwrap()
}

fn noise(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|i| ((i * 2_654_435_761) % 1009) as f32 / 504.0 - 1.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

fn worst(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn encoding_frame_by_frame_equals_the_whole() {
    let vae = vae(&small());
    let video = noise(&[1, 3, 9, 16, 24]);
    let whole = vae.encode(&video, &mut ()).unwrap();
    let mut stream = vae.encode_stream().unwrap();
    let mut parts = Vec::new();
    for (t, n) in [(0, 1), (1, 1), (2, 2), (4, 3), (7, 2)] {
        parts.extend(stream.push(&video.get(0).unwrap().narrow(1, t, n).unwrap()).unwrap());
    }
    assert_eq!(stream.pending(), 0);
    let parts = Tensor::cat(&parts, 1).unwrap().unsqueeze(0).unwrap();
    assert_eq!(values(&parts), values(&whole));
}

#[test]
fn decoding_bit_by_bit_equals_the_whole() {
    let vae = vae(&small());
    let latents = noise(&[1, 16, 4, 2, 3]);
    let whole = vae.decode(&latents, &mut ()).unwrap();
    assert_eq!(whole.dims(), [1, 3, 13, 16, 24]);
    let mut stream = vae.decode_stream().unwrap();
    let one = latents.get(0).unwrap();
    let parts: Vec<Tensor> =
        [(0, 1), (1, 2), (3, 1)].map(|(t, n)| stream.push(&one.narrow(1, t, n).unwrap()).unwrap()).into();
    let parts = Tensor::cat(&parts, 1).unwrap().unsqueeze(0).unwrap();
    assert_eq!(values(&parts), values(&whole));
}

#[test]
fn the_past_never_sees_the_future() {
    let vae = vae(&small());
    let latents = noise(&[1, 16, 3, 2, 2]);
    let long = vae.decode(&latents, &mut ()).unwrap();
    let short = vae.decode(&latents.narrow(2, 0, 2).unwrap(), &mut ()).unwrap();
    assert_eq!(values(&long.narrow(2, 0, 5).unwrap()), values(&short));
    let video = noise(&[1, 3, 5, 16, 16]);
    let picture = vae.encode(&video.narrow(2, 0, 1).unwrap(), &mut ()).unwrap();
    let clip = vae.encode(&video, &mut ()).unwrap();
    assert_eq!(values(&clip.narrow(2, 0, 1).unwrap()), values(&picture));
}

#[test]
fn frames_of_an_incomplete_chunk_are_dropped() {
    let vae = vae(&small());
    let video = noise(&[1, 3, 8, 16, 16]);
    let whole = vae.encode(&video, &mut ()).unwrap();
    let cut = vae.encode(&video.narrow(2, 0, 5).unwrap(), &mut ()).unwrap();
    assert_eq!(values(&whole), values(&cut));
}

#[test]
fn a_batch_is_its_items() {
    let vae = vae(&small());
    let video = noise(&[2, 3, 5, 16, 16]);
    let both = vae.encode(&video, &mut ()).unwrap();
    let second = vae.encode(&video.narrow(0, 1, 1).unwrap(), &mut ()).unwrap();
    assert_eq!(values(&both.narrow(0, 1, 1).unwrap()), values(&second));
    let back = vae.decode(&both, &mut ()).unwrap();
    let second_back = vae.decode(&second, &mut ()).unwrap();
    assert_eq!(values(&back.narrow(0, 1, 1).unwrap()), values(&second_back));
}

#[test]
fn one_tile_is_the_whole_pass() {
    let vae = vae(&small());
    let video = noise(&[1, 3, 5, 32, 24]);
    let tiles = Tiles { size: [4, 5], stride: [2, 4] };
    let whole = vae.encode(&video, &mut ()).unwrap();
    assert_eq!(values(&vae.encode_tiled(&video, &tiles, &mut ()).unwrap()), values(&whole));
    let back = vae.decode(&whole, &mut ()).unwrap();
    assert_eq!(values(&vae.decode_tiled(&whole, &tiles, &mut ()).unwrap()), values(&back));
    // Smaller ones give another result of the same shape.
    let tiles = Tiles { size: [2, 2], stride: [1, 2] };
    let tiled = vae.decode_tiled(&whole, &tiles, &mut ()).unwrap();
    assert!(worst(&tiled, &back) > 1e-4);
    assert!(values(&tiled).iter().all(|v| (-1.0..=1.0).contains(v)));
}

#[test]
fn kernels_and_candle_operations_agree() {
    agree(&Config { attn_scales: vec![0.5], ..Config::small(16) });
}

#[test]
fn an_odd_width_works_where_nothing_halves_it() {
    // Levels of 5, 10, 20 and 20 channels: only the last three are halved on the way up.
    agree(&Config::small(5));
    let refused = Config { dim_mult: vec![1, 2, 3, 4], ..Config::small(5) };
    let error = refused.validate().unwrap_err().to_string();
    assert!(error.contains("dim_mult[2]") && error.contains("5 · 3"), "{error}");
    // One level halves nothing.
    let flat = Config { dim_mult: vec![3], temperal_downsample: vec![], ..Config::small(5) };
    flat.validate().unwrap();
}

/// The CPU kernels compute what candle's operations compute, both ways.
fn agree(config: &Config) {
    let fast = vae(config);
    // Variables of a training run take candle's operations.
    let source = random_weights(config, 7, &Device::Cpu).unwrap();
    let slow = Vae::load(
        config,
        &nn::Weights::new(std::sync::Arc::new(Variables(source)), DType::F32, &Device::Cpu),
    )
    .unwrap();
    assert_ne!(fast.storage(), slow.storage());
    let video = noise(&[1, 3, 5, 16, 24]);
    let (a, b) = (fast.encode(&video, &mut ()).unwrap(), slow.encode(&video, &mut ()).unwrap());
    assert!(worst(&a, &b) < 2e-5, "encode {}", worst(&a, &b));
    let latents = noise(&[1, 16, 3, 2, 3]);
    let (a, b) = (fast.decode(&latents, &mut ()).unwrap(), slow.decode(&latents, &mut ()).unwrap());
    assert!(worst(&a, &b) < 5e-5, "decode {}", worst(&a, &b));
}

#[derive(Default)]
struct Watcher(nn::Recording);

impl Observer for Watcher {
    fn probe(&mut self) -> Option<&mut dyn nn::Probe> {
        Some(&mut self.0)
    }
}

#[test]
fn watching_changes_nothing() {
    let vae = vae(&small());
    let video = noise(&[1, 3, 9, 16, 24]);
    let mut seen = Watcher::default();
    let latents = vae.encode(&video, &mut seen).unwrap();
    assert_eq!(values(&latents), values(&vae.encode(&video, &mut ()).unwrap()));
    // One value for each chunk of frames: 1, 4 and 4 of them.
    let calls: Vec<usize> = seen.0.values["enc.conv1"].iter().map(|v| v.dims()[2]).collect();
    assert_eq!(calls, [1, 4, 4]);
    let mut seen = Watcher::default();
    let back = vae.decode(&latents, &mut seen).unwrap();
    assert_eq!(values(&back), values(&vae.decode(&latents, &mut ()).unwrap()));
    assert_eq!(seen.0.values["dec"].len(), 3);
}

struct Variables(nn::Weights);

impl nn::WeightSource for Variables {
    fn dense(
        &self,
        name: &str,
        shape: &candle_core::Shape,
        dtype: DType,
        _: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = self.0.with_dtype(dtype).get(shape.clone(), name)?;
        Ok(candle_core::Var::from_tensor(&tensor)?.as_tensor().clone())
    }

    fn quantized(
        &self,
        _: &str,
        _: (usize, usize),
        _: &Device,
    ) -> candle_core::Result<Option<std::sync::Arc<candle_core::quantized::QTensor>>> {
        Ok(None)
    }

    fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

#[test]
fn half_size_weights_stay_close() {
    let config = Config::small(16);
    let weights = random_weights(&config, 7, &Device::Cpu).unwrap();
    let exact = Vae::load(&config, &weights).unwrap();
    let half = Vae::load(&config, &weights.with_dtype(DType::BF16)).unwrap();
    let maps =
        Vae::load_with(&config, &weights.with_dtype(DType::BF16), Halves::Both, Backend::Exact).unwrap();
    assert_eq!(
        (half.storage(), maps.storage()),
        (anicrafter_vae::Storage::Bf16, anicrafter_vae::Storage::F32)
    );
    let latents = noise(&[1, 16, 2, 4, 4]);
    let expected = exact.decode(&latents, &mut ()).unwrap();
    for vae in [half, maps] {
        let actual = vae.decode(&latents, &mut ()).unwrap();
        let mean = values(&actual).iter().zip(values(&expected)).map(|(a, e)| (a - e).abs()).sum::<f32>()
            / expected.elem_count() as f32;
        assert!(mean < 0.02, "mean difference {mean}");
        assert!(mean > 0.0);
    }
}

#[test]
fn other_compression_factors_and_channels_work() {
    for (dim_mult, temperal_downsample) in [
        (vec![1], vec![]),
        (vec![1, 2], vec![true]),
        (vec![1, 2, 2], vec![false, false]),
        (vec![1, 1, 2, 2, 2], vec![true, false, true, true]),
    ] {
        let z = 5;
        let config = Config {
            dim: 4,
            z_dim: z,
            dim_mult,
            num_res_blocks: 1,
            temperal_downsample,
            mean: vec![0.1; z],
            std: vec![2.0; z],
            ..Config::wan_2_1()
        };
        let vae = vae(&config);
        let (space, time) = (config.spatial_factor(), config.temporal_factor());
        let video = noise(&[1, 3, 1 + 2 * time, 2 * space, 3 * space]);
        let latents = vae.encode(&video, &mut ()).unwrap();
        assert_eq!(latents.dims(), [1, z, 3, 2, 3]);
        assert_eq!(vae.decode(&latents, &mut ()).unwrap().dims(), video.dims());
    }
}

#[test]
fn memory_stays_within_the_stated_bound() {
    for (dtype, frames) in [(DType::F32, 5), (DType::F32, 13), (DType::BF16, 9)] {
        let config = Config::small(8);
        let vae =
            Vae::load(&config, &random_weights(&config, 1, &Device::Cpu).unwrap().with_dtype(dtype)).unwrap();
        let mut stream = vae.encode_stream().unwrap();
        let latents = stream.push(&noise(&[3, frames, 48, 32])).unwrap().unwrap();
        let bound = vae.peak_bytes(Direction::Encode, 48, 32).unwrap();
        let used = stream.peak_bytes();
        assert!(used <= bound && bound <= used * 8 / 5, "encode {dtype:?} {frames}: {used} of {bound}");
        let mut stream = vae.decode_stream().unwrap();
        stream.push(&latents).unwrap();
        let bound = vae.peak_bytes(Direction::Decode, 48, 32).unwrap();
        let used = stream.peak_bytes();
        assert!(used <= bound && bound <= used * 8 / 5, "decode {dtype:?} {frames}: {used} of {bound}");
    }
}

#[test]
fn passes_report_progress_and_can_be_cancelled() {
    let vae = vae(&small());
    let video = noise(&[1, 3, 9, 16, 16]);
    let mut seen = Vec::new();
    vae.encode(&video, &mut |done: usize, of: usize| {
        seen.push((done, of));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(seen, [(0, 3), (1, 3), (2, 3), (3, 3)]);
    let stop = vae.encode(&video, &mut |done: usize, _: usize| {
        if done == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stop, Err(Error::Cancelled { done: 1, of: 3 })));
}

#[test]
fn wrong_inputs_are_refused() {
    let vae = vae(&small());
    let encode = |shape: &[usize]| vae.encode(&noise(shape), &mut ());
    assert!(matches!(encode(&[1, 3, 1, 20, 16]), Err(Error::Size { height: 20, width: 16, factor: 8 })));
    assert!(matches!(encode(&[1, 4, 1, 16, 16]), Err(Error::Shape { what: "video", .. })));
    assert!(matches!(encode(&[3, 1, 16, 16]), Err(Error::Shape { .. })));
    let empty = Tensor::zeros((1, 3, 0, 16, 16), DType::F32, &Device::Cpu).unwrap();
    assert!(matches!(vae.encode(&empty, &mut ()), Err(Error::Shape { .. })));
    let decode = |shape: &[usize]| vae.decode(&noise(shape), &mut ());
    assert!(matches!(decode(&[1, 15, 1, 2, 2]), Err(Error::Shape { what: "latents", .. })));
    let tiles = Tiles { size: [2, 2], stride: [3, 1] };
    assert!(matches!(
        vae.encode_tiled(&noise(&[1, 3, 1, 16, 16]), &tiles, &mut ()),
        Err(Error::Tiles { .. })
    ));
    let mut stream = vae.decode_stream().unwrap();
    stream.push(&noise(&[16, 1, 2, 2])).unwrap();
    assert!(stream.push(&noise(&[16, 1, 2, 3])).is_err());
    let weights = random_weights(&small(), 1, &Device::Cpu).unwrap();
    let half = Vae::load_with(&small(), &weights, Halves::Decoder, Backend::Auto).unwrap();
    assert!(matches!(half.encode(&noise(&[1, 3, 1, 16, 16]), &mut ()), Err(Error::Config(_))));
    let wrong = Config { temperal_downsample: vec![true], ..small() };
    assert!(matches!(Vae::load(&wrong, &weights), Err(Error::Config(_))));
}

#[test]
fn missing_weights_are_named() {
    let empty = nn::Weights::from_tensors(std::collections::HashMap::new(), DType::F32, &Device::Cpu);
    let error = Vae::load(&small(), &empty).unwrap_err().to_string();
    assert!(error.contains("encoder.conv1.weight"), "{error}");
}
