//! Probes see intermediate results, and the results are the same with and without them.
#![expect(clippy::unwrap_used, reason = "tests, helpers included")]

use anicrafter_encoders::{clip_vision, umt5};
use candle_core::{DType, Device, Tensor};
use nn::{RandomWeights, Recording, Weights};
use std::sync::Arc;

fn weights() -> Weights {
    Weights::new(Arc::new(RandomWeights::default()), DType::F32, &Device::Cpu)
}

fn bits(x: &Tensor) -> Vec<u32> {
    let values: Vec<f32> = x.flatten_all().unwrap().to_vec1().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn watching_the_text_encoder_changes_nothing() {
    for shared_pos in [false, true] {
        let config = umt5::Config {
            vocab: 17,
            dim: 16,
            dim_attn: 16,
            dim_ffn: 32,
            num_heads: 2,
            num_layers: 2,
            num_buckets: 8,
            shared_pos,
        };
        let model = umt5::TextEncoder::new(&config, &weights()).unwrap();
        let ids = [3, 9, 1, 0, 0];
        let mut seen = Recording::default();
        let watched = model.forward_probed(&ids, 3, &mut seen).unwrap();
        assert_eq!(bits(&watched), bits(&model.forward(&ids, 3).unwrap()));
        assert_eq!(seen.values["block1.attn"][0].dims(), [1, 5, 16]);
        assert_eq!(seen.values.contains_key("block0.pos_bias"), !shared_pos);
    }
}

#[test]
fn watching_the_image_tower_changes_nothing() {
    let config = clip_vision::Config {
        image_size: 28,
        patch_size: 14,
        vision_dim: 32,
        vision_heads: 2,
        vision_layers: 3,
        vision_mlp_ratio: 2,
        norm_eps: 1e-5,
    };
    let model = clip_vision::ImageEncoder::new(&config, &weights()).unwrap();
    let values: Vec<f32> = (0..3 * 28 * 28).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    let pixels = Tensor::from_vec(values, (1, 3, 28, 28), &Device::Cpu).unwrap();
    let mut names = Vec::new();
    let watched = model.forward_probed(&pixels, &mut |name: &str, _: &Tensor| names.push(name.to_owned()));
    assert_eq!(bits(&watched.unwrap()), bits(&model.forward(&pixels).unwrap()));
    assert_eq!(names, ["patch_embedding", "pre_norm", "block0", "block1"]);
}
