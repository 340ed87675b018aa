//! Avatars by LHM over the API, with a small network of random numbers: files, plan, progress, result, and what goes wrong.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use checkpoint::{Manifest, Model};
use lhm::{Config, MlpConfig, Variant};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use support::Running;
use tensorfile::{Dtype, TensorInfo, write_safetensors_with};

/// A network of a few numbers with the published one's shape.
fn small() -> Config {
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

fn write_small(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let json = serde_json::to_value(small()).unwrap();
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

fn until_over(studio: &Running, id: &str) -> Value {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let making = studio.ask("GET", &format!("/v1/avatars/{id}"), None);
        if matches!(making["status"].as_str(), Some("completed" | "failed")) {
            return making;
        }
        assert!(Instant::now() < until, "{making}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn lhm_makes_an_avatar_with_the_users_weights() {
    let dir = tempfile::tempdir().unwrap();
    let weights = dir.path().join("weights");
    write_small(&weights);
    let own = weights.clone();
    let studio = Running::start_with(
        &dir.path().join("library"),
        |options| anicrafter_server::Options { weights: vec![own], ..options },
        support::FakeWorker::default(),
    );
    studio.ask("POST", "/v1/demo", None);
    let wanted = json!({
        "picture": "demo/character.png", "name": "me", "method": "lhm", "weights": weights.display().to_string(),
    });
    let plan = studio.ask("POST", "/v1/avatars/plan", Some(wanted.clone()));
    assert!(plan["licence"].as_str().unwrap().contains("non-commercial"), "{plan}");
    assert!(plan["seconds"].as_f64().unwrap() > 0.0 && plan["peak_bytes"].as_u64().unwrap() > 0, "{plan}");
    assert!(plan["points"].as_u64().unwrap() >= 400 && plan["head_in_view"] == true, "{plan}");
    assert!(plan["files"][0].as_str().unwrap().contains("model.safetensors"), "{plan}");
    // It waits for the job that runs, and jobs wait for it.
    let running = studio.queue("hold");
    studio.wait_state(&running, "running");
    let begun = studio.ask("POST", "/v1/avatars", Some(wanted.clone()));
    let id = begun["id"].as_str().unwrap();
    let stopped = studio.ask("POST", "/v1/avatars", Some(wanted.clone()));
    let stopped = stopped["id"].as_str().unwrap();
    assert_eq!(studio.ask("GET", &format!("/v1/avatars/{id}"), None)["status"], "queued");
    studio.ask("DELETE", &format!("/v1/avatars/{stopped}"), None);
    assert_eq!(studio.try_ask("GET", &format!("/v1/avatars/{stopped}"), None).status, 404);
    studio.let_go(&running);
    let made = until_over(&studio, id);
    assert_eq!(
        (&made["status"], &made["file"]["filename"]),
        (&json!("completed"), &json!("me.safetensors")),
        "{made}"
    );
    assert_eq!((&made["file"]["kind"], &made["file"]["usable"]), (&json!("avatar"), &json!(true)), "{made}");
    assert_eq!(studio.ask("GET", "/v1/avatars", None)["data"].as_array().unwrap().len(), 1);
    // What it is stays what it was made of: the avatar turns.
    let file = made["file"]["id"].as_str().unwrap();
    let turned = studio.send("GET", &format!("/v1/files/{file}/turntable?count=4&height=64"), &[], b"");
    assert_eq!(turned.status, 200, "{}", turned.text());
    for (change, about) in [
        (json!({ "weights": "demo" }), "weights"),
        (json!({ "weights": "/etc" }), "weights"),
        (json!({ "weights": "" }), "weights"),
        (json!({ "variant": "9b" }), "variant"),
        (json!({ "dtype": "f8" }), "dtype"),
        (json!({ "method": "magic" }), "method"),
        (json!({ "picture": "demo/background.mp4" }), "picture"),
        (json!({ "method": "bake" }), "weights"),
    ] {
        let mut wrong = wanted.clone();
        wrong.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let refused = studio.try_ask("POST", "/v1/avatars", Some(wrong));
        assert_eq!(
            (refused.status, refused.json()["error"]["param"].as_str()),
            (400, Some(about)),
            "{change}"
        );
    }
}
