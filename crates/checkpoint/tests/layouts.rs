//! Installations in the layouts that people have, found and told apart by what their files hold.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use anicrafter_checkpoint::{
    Layout, Manifest, Model, Part, Problem, Request, Resolution, Skeleton, TokenizerModel, Why,
    read_tokenizer, resolve, write_skeleton,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tensorfile::{Dtype, TensorInfo, write_safetensors_with};

fn skeleton(layout: Layout) -> Skeleton {
    Skeleton {
        layout,
        rank: 2,
        config: json!({
            "dim": 32, "in_dim": 36, "ffn_dim": 64, "out_dim": 16, "text_dim": 32, "freq_dim": 32, "eps": 1e-6,
            "patch_size": [1, 2, 2], "num_heads": 2, "num_layers": 2, "has_image_input": true, "image_dim": 32,
        }),
        vae: json!({ "dim": 8, "z_dim": 4 }),
        text: json!({
            "vocab": 64, "dim": 32, "dim_attn": 32, "dim_ffn": 64, "num_heads": 4, "num_layers": 2,
            "num_buckets": 32, "shared_pos": false,
        }),
        image: json!({
            "embed_dim": 32, "image_size": 28, "patch_size": 14, "vision_dim": 32, "vision_mlp_ratio": 4,
            "vision_heads": 2, "vision_layers": 3,
        }),
        ..Skeleton::default()
    }
}

fn request(folder: &Path) -> Request {
    let small = skeleton(Layout::Published);
    let of = |model, config: &Value| (model, Manifest::of(model, config).unwrap());
    Request {
        folders: vec![folder.to_owned()],
        named: BTreeMap::new(),
        models: [
            of(Model::Dit, &small.config),
            of(Model::Vae, &small.vae),
            of(Model::T5, &small.text),
            of(Model::Clip, &small.image),
        ]
        .into(),
        embedders: Some(Manifest::embedders(&small.config).unwrap()),
        lora: true,
        tokenizer: true,
    }
}

/// A folder in a layout.
fn installation(layout: Layout) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_skeleton(dir.path(), &skeleton(layout)).unwrap();
    dir
}

fn file(resolution: &Resolution, part: Part) -> String {
    let files = resolution.files(part).unwrap();
    files[0].file_name().unwrap().to_string_lossy().into_owned()
}

fn problem(resolution: &Resolution, part: Part) -> &Problem {
    resolution.parts().find(|(p, _)| *p == part).unwrap().1.as_ref().unwrap_err()
}

/// A transformer of the small configuration with some of its numbers changed.
fn write_dit(path: &Path, dtype: Dtype, change: &Value) {
    let mut config = skeleton(Layout::Published).config;
    for (name, value) in change.as_object().unwrap() {
        config[name] = value.clone();
    }
    let manifest = Manifest::of(Model::Dit, &config).unwrap();
    let tensors: Vec<(&str, TensorInfo)> = manifest
        .tensors
        .iter()
        .map(|(name, shape)| (name.as_str(), TensorInfo { dtype, shape: shape.clone() }))
        .collect();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_safetensors_with(path, &tensors, &BTreeMap::new(), |_, _| Ok(None)).unwrap();
}

#[test]
fn every_layout_is_complete() {
    for (name, layout) in Layout::ALL {
        let dir = installation(layout);
        let found = resolve(&request(dir.path()));
        assert!(found.is_complete(), "{name}:\n{found}");
        let why = |part| found.choice(part).unwrap().why;
        assert_eq!(why(Part::AniCrafter), Why::PublishedName, "{name}");
        assert_eq!(found.files(Part::AniCrafter).unwrap().len(), 2, "{name}");
        let (transformer, tokenizer) = match layout {
            Layout::Published => (Why::PublishedName, Why::Tokenizer),
            Layout::ComfyUi => (Why::Folder("diffusion_models"), Why::InTextEncoder),
            Layout::Diffusers => (Why::Folder("transformer"), Why::Tokenizer),
            _ => (Why::Folder("unet"), Why::Tokenizer),
        };
        assert_eq!((why(Part::Transformer), why(Part::Tokenizer)), (transformer, tokenizer), "{name}");
        let path = &found.files(Part::Tokenizer).unwrap()[0];
        assert!(matches!(read_tokenizer(path).unwrap(), TokenizerModel::SentencePiece(b) if b.len() > 100));
    }
}

#[test]
fn what_a_file_holds_decides_where_names_do_not() {
    let dir = installation(Layout::ComfyUi);
    let models = dir.path().join("diffusion_models");
    std::fs::rename(models.join("wan2.1_i2v_720p_14B_bf16.safetensors"), models.join("mine.SafeTensors"))
        .unwrap();
    write_dit(&models.join("wan2.1_i2v_720p_14B_fp16.safetensors"), Dtype::F16, &json!({ "in_dim": 16 }));
    write_dit(&models.join("a/wan2.1_t2v.safetensors"), Dtype::F16, &json!({ "has_image_input": false }));
    let found = resolve(&request(dir.path()));
    assert_eq!(file(&found, Part::Transformer), "mine.SafeTensors", "{found}");
    // Without it, what comes nearest is named with what is wrong with it.
    std::fs::remove_file(models.join("mine.SafeTensors")).unwrap();
    let found = resolve(&request(dir.path()));
    let Problem::Mismatch { paths, report } = problem(&found, Part::Transformer) else { panic!("{found}") };
    assert!(paths[0].ends_with("wan2.1_i2v_720p_14B_fp16.safetensors"), "{found}");
    assert_eq!(report.misshaped[0].name, "patch_embedding.weight");
}

#[test]
fn the_base_models_size_and_the_best_precision_are_preferred() {
    let dir = installation(Layout::ComfyUi);
    let models = dir.path().join("diffusion_models");
    for (name, dtype) in [
        ("wan2.1_i2v_480p_14B_fp16.safetensors", Dtype::F32),
        ("Wan2.1-I2V-14B-720P_fp8_e4m3fn.safetensors", Dtype::F8E4M3),
    ] {
        write_dit(&models.join(name), dtype, &json!({}));
    }
    let found = resolve(&request(dir.path()));
    let choice = found.choice(Part::Transformer).unwrap();
    assert_eq!(file(&found, Part::Transformer), "wan2.1_i2v_720p_14B_bf16.safetensors");
    assert_eq!(choice.passed_over, [models.join("Wan2.1-I2V-14B-720P_fp8_e4m3fn.safetensors")]);
    // Of two models of one shape, nobody can say which is meant.
    write_dit(&models.join("dreamy_i2v_720p.safetensors"), Dtype::BF16, &json!({}));
    let found = resolve(&request(dir.path()));
    let Problem::Ambiguous { paths } = problem(&found, Part::Transformer) else { panic!("{found}") };
    assert_eq!(paths.len(), 3);
    let mut named = request(dir.path());
    named.named.insert(Part::Transformer, vec![models.join("dreamy_i2v_720p.safetensors")]);
    let found = resolve(&named);
    assert_eq!(found.choice(Part::Transformer).unwrap().why, Why::Named);
}

#[test]
fn parts_can_be_named_and_are_checked() {
    let dir = installation(Layout::Diffusers);
    let at = |name: &str| vec![dir.path().join(name)];
    let mut request = request(dir.path());
    request.folders.clear();
    let found = resolve(&request);
    let problems = found.parts().filter(|(_, p)| matches!(p, Err(Problem::Absent { .. }))).count();
    assert_eq!(problems, Part::ALL.len(), "{found}");
    request.named = [
        (Part::Transformer, at("transformer")),
        (Part::Vae, at("vae/diffusion_pytorch_model.safetensors")),
        (Part::TextEncoder, at("text_encoder/model.safetensors.index.json")),
        (Part::Tokenizer, at("tokenizer")),
        (Part::ImageEncoder, at("image_encoder")),
        (
            Part::AniCrafter,
            vec![
                dir.path().join("model-00010-of-00011.safetensors"),
                dir.path().join("model-00011-of-00011.safetensors"),
            ],
        ),
    ]
    .into();
    let found = resolve(&request);
    assert!(found.is_complete(), "{found}");
    request.named.insert(Part::Vae, at("image_encoder"));
    request.named.insert(Part::Tokenizer, at("nowhere/spiece.model"));
    let found = resolve(&request);
    assert!(matches!(problem(&found, Part::Vae), Problem::Broken { .. }), "{found}");
    assert!(problem(&found, Part::Tokenizer).to_string().contains("nowhere"), "{found}");
}

#[test]
fn what_is_missing_is_named() {
    let dir = installation(Layout::Published);
    std::fs::remove_dir_all(dir.path().join("google")).unwrap();
    std::fs::remove_file(dir.path().join("Wan2.1_VAE.pth")).unwrap();
    let found = resolve(&request(dir.path()));
    assert!(matches!(problem(&found, Part::Tokenizer), Problem::Absent { .. }), "{found}");
    assert!(matches!(problem(&found, Part::Vae), Problem::Absent { looked_at: 4, .. }), "{found}");
    assert!(found.files(Part::Vae).unwrap_err().to_string().contains("VAE"));
    // A shard that isn't there, with an index and without one.
    let gone = dir.path().join("diffusion_pytorch_model-00003-of-00007.safetensors");
    std::fs::remove_file(gone).unwrap();
    let found = resolve(&request(dir.path()));
    assert!(problem(&found, Part::Transformer).to_string().contains("00003-of-00007"), "{found}");
    std::fs::remove_file(dir.path().join("diffusion_pytorch_model.safetensors.index.json")).unwrap();
    let found = resolve(&request(dir.path()));
    let text = problem(&found, Part::Transformer).to_string();
    assert!(text.contains("shard 3 of diffusion_pytorch_model-?-of-00007"), "{text}");
}

#[test]
fn a_pointer_in_a_parts_place_is_no_part() {
    let dir = installation(Layout::ComfyUi);
    let path = dir.path().join("vae/wan_2.1_vae.safetensors");
    std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 254\n").unwrap();
    let found = resolve(&request(dir.path()));
    assert!(problem(&found, Part::Vae).to_string().contains("wan_2.1_vae.safetensors"), "{found}");
}

#[cfg(unix)]
#[test]
fn the_hubs_cache_is_followed_to_its_main_branch() {
    let dir = tempfile::tempdir().unwrap();
    let repository = dir.path().join("models--Wan-AI--Wan2.1-I2V-14B-720P-Diffusers");
    let (old, new) = (repository.join("snapshots/0aaa"), repository.join("snapshots/1bbb"));
    write_skeleton(&new, &skeleton(Layout::Diffusers)).unwrap();
    // As the hub does it: the snapshot's files are links into a folder of blobs.
    let blobs = repository.join("blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in ["transformer", "vae", "text_encoder", "image_encoder"] {
        files.extend(std::fs::read_dir(new.join(folder)).unwrap().map(|e| e.unwrap().path()));
    }
    for (n, path) in files.iter().enumerate() {
        let blob = blobs.join(format!("{n:08x}"));
        std::fs::rename(path, &blob).unwrap();
        std::os::unix::fs::symlink(&blob, path).unwrap();
    }
    write_dit(&old.join("transformer/diffusion_pytorch_model.safetensors"), Dtype::F32, &json!({}));
    std::fs::create_dir_all(repository.join("refs")).unwrap();
    std::fs::write(repository.join("refs/main"), "1bbb").unwrap();
    let found = resolve(&request(dir.path()));
    assert!(found.is_complete(), "{found}");
    assert!(found.files(Part::Transformer).unwrap()[0].starts_with(&new), "{found}");
}
