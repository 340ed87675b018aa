//! LHM as small as it goes, for tests: a network of random numbers.
#![allow(clippy::unwrap_used, reason = "tests")]

use checkpoint::{Manifest, Model};
use lhm::{Config, MlpConfig, Variant};
use std::path::Path;
use tensorfile::{Dtype, TensorInfo, write_safetensors_with};

/// A network of a few numbers with the published one's shape.
pub fn config() -> Config {
    let mut config = Config::variant(Variant::Mini);
    (config.transformer_dim, config.transformer_heads, config.pcl_dim) = (32, 2, 32);
    (config.encoder_feat_dim, config.fine_encoder_feat_dim, config.dense_sample_pts) = (16, 24, 400);
    config.heads.query_dim = 32;
    config.heads.mlp_network_config =
        MlpConfig { n_neurons: 16, n_hidden_layers: 1, activation: "silu".to_owned() };
    let e = &mut config.encoder;
    (e.embed_dim, e.depth, e.num_heads, e.img_size, e.resolution, e.encoder_feat_dim) =
        (16, 4, 2, 70, 56, 16);
    e.intermediate_layer_idx = vec![0, 1, 2, 3];
    let s = &mut config.fine_encoder;
    s.arch =
        encoders::sapiens::Arch { embed_dims: 24, num_layers: 2, num_heads: 2, feedforward_channels: 48 };
    s.img_size = 128;
    (config.preprocess.max_tgt_size, config.preprocess.render_tgt_size) = (112, 84);
    config
}

/// Its files with random numbers in them.
pub fn write(folder: &Path) {
    let json = serde_json::to_value(config()).unwrap();
    for (file, model, config) in [
        ("model.safetensors", Model::Lhm, &json),
        ("sapiens.safetensors", Model::Sapiens, &json["fine_encoder"]),
    ] {
        let manifest = Manifest::of(model, config).unwrap();
        let info = |shape: &Vec<usize>| TensorInfo { dtype: Dtype::F32, shape: shape.clone() };
        let tensors: Vec<(&str, TensorInfo)> =
            manifest.tensors.iter().map(|(n, s)| (n.as_str(), info(s))).collect();
        write_safetensors_with(folder.join(file), &tensors, &Default::default(), |name, info| {
            let seed = name.bytes().fold(7_u32, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
            let value = |i: usize| {
                let bits = (seed ^ i as u32).wrapping_mul(0x9e37_79b9) >> 8;
                (bits as f32 / (1 << 24) as f32 - 0.5) * 0.4
                    + if name.contains("norm") || name.contains(".ln") { 1.0 } else { 0.0 }
            };
            Ok(Some((0..info.len()).flat_map(|i| value(i).to_le_bytes()).collect::<Vec<u8>>().into()))
        })
        .unwrap();
    }
    std::fs::write(folder.join("config.json"), json.to_string()).unwrap();
}
