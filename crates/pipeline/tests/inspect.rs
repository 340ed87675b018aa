//! What is found wrong before anything runs.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use anicrafter_pipeline::models::ModelSet;
use anicrafter_pipeline::{Actor, Error, Findings, Job, Lora, Preset, inspect};
use checkpoint::{Layout, Model, Part, Skeleton, write_skeleton};
use std::collections::BTreeMap;
use std::path::Path;
use tensorfile::{Dtype, TensorInfo, write_safetensors_with};

/// A job on small weights that were written into `folder`, with inputs that are there.
fn job(folder: &Path) -> Job {
    let mut job = Job::new(Preset::Demo);
    let weights = folder.join("weights");
    let untrained = ModelSet::new(&job.models).unwrap();
    let configs = serde_json::to_value(untrained.configs()).unwrap();
    let part = |name: &str| configs[name].clone();
    let skeleton = Skeleton {
        layout: Layout::Diffusers,
        rank: 2,
        config: part("dit"),
        vae: part("vae"),
        text: part("text"),
        image: part("image"),
        ..Skeleton::default()
    };
    write_skeleton(&weights, &skeleton).unwrap();
    std::fs::write(weights.join("config.json"), configs.to_string()).unwrap();
    let demo = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo").join(name);
    job.input.actors.push(Actor::new(demo("avatar.safetensors"), demo("motion.json")));
    job.input.background = demo("background.mp4");
    job.models.demo = Some(weights);
    job.models.device = "cpu".to_owned();
    job.output.video = folder.join("out.mp4");
    job
}

fn about(findings: &Findings) -> Vec<&str> {
    findings.problems.iter().map(|p| p.about.as_str()).collect()
}

/// A LoRA whose pairs fit a layer of `columns` columns.
fn write_lora(path: &Path, columns: usize, blocks: usize) {
    let mut tensors = Vec::new();
    for block in 0..blocks {
        let layer = format!("diffusion_model.blocks.{block}.self_attn.q");
        let info = |shape: [usize; 2]| TensorInfo { dtype: Dtype::F16, shape: shape.to_vec() };
        tensors.push((format!("{layer}.lora_A.weight"), info([2, columns])));
        tensors.push((format!("{layer}.lora_B.weight"), info([columns, 2])));
    }
    let tensors: Vec<(&str, TensorInfo)> = tensors.iter().map(|(n, i)| (n.as_str(), i.clone())).collect();
    write_safetensors_with(path, &tensors, &BTreeMap::new(), |_, _| Ok(None)).unwrap();
}

#[test]
fn a_whole_job_has_nothing_to_complain_of() {
    let dir = tempfile::tempdir().unwrap();
    let mut job = job(dir.path());
    let lora = dir.path().join("fits.safetensors");
    let columns = ModelSet::new(&job.models).unwrap().dit_config().dim;
    write_lora(&lora, columns, 2);
    job.models.lora.push(Lora { path: lora, strength: None });
    let findings = inspect(&job);
    assert!(findings.is_clean(), "{findings}");
    assert_eq!(findings.choices.len(), 5);
    assert_eq!(findings.loras[0].targets, 2);
    assert!(findings.clean().is_ok());
}

#[test]
fn everything_that_is_wrong_is_named_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut job = job(dir.path());
    let lora = dir.path().join("other.safetensors");
    write_lora(&lora, 64, 900);
    job.models.lora.push(Lora { path: lora, strength: None });
    job.models.lora.push(Lora { path: dir.path().join("nowhere.safetensors"), strength: None });
    job.models.tokenizer = Some(dir.path().join("no-tokenizer"));
    job.input.actors[0].motion = dir.path().join("no-motion");
    job.input.background = dir.path().join("empty");
    std::fs::write(dir.path().join("empty"), "").unwrap();
    std::fs::remove_dir_all(dir.path().join("weights/vae")).unwrap();
    let findings = inspect(&job);
    let (names, text) = (about(&findings), findings.to_string());
    for name in ["input.actors", "input.background", "VAE", "tokenizer"] {
        assert!(names.contains(&name), "{name}: {text}");
    }
    for name in ["other.safetensors", "nowhere.safetensors", "no-motion", "no-tokenizer"] {
        assert!(text.contains(name), "{name}: {text}");
    }
    assert!(text.lines().count() < 40, "{text}");
    assert!(matches!(findings.clean(), Err(Error::Findings(_))));
}

#[test]
fn saved_embeddings_take_the_text_encoders_place_and_are_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let mut job = job(dir.path());
    std::fs::remove_dir_all(dir.path().join("weights/text_encoder")).unwrap();
    assert_eq!(about(&inspect(&job)), ["text encoder"]);
    let saved = dir.path().join("prompt.safetensors");
    let write = |columns: usize| {
        let info = TensorInfo { dtype: Dtype::F32, shape: vec![1, 8, columns] };
        write_safetensors_with(&saved, &[("positive", info)], &BTreeMap::new(), |_, _| Ok(None)).unwrap();
    };
    let set = ModelSet::new(&job.models).unwrap();
    write(set.dit_config().text_dim);
    job.prompt.embeddings = Some(saved.clone());
    assert!(inspect(&job).is_clean(), "{}", inspect(&job));
    job.sampling.cfg_scale = 2.0;
    assert!(inspect(&job).to_string().contains("negative"));
    job.sampling.cfg_scale = 1.0;
    write(7);
    assert_eq!(about(&inspect(&job)), ["prompt.embeddings"]);
}

#[test]
fn a_plan_and_a_run_choose_the_same_streaming() {
    let mut job = Job::new(Preset::AniCrafter);
    job.models.device = "cpu".to_owned();
    let all = ModelSet::new(&job.models).unwrap();
    assert_eq!(all.streaming().unwrap(), None);
    let block = all.plan(&job).unwrap().block_bytes;
    let gib = |bytes: u64| Some(bytes as f64 / (1024.0 * 1024.0 * 1024.0));
    job.models.memory_gib = gib(5 * block + block / 2);
    let streaming = ModelSet::new(&job.models).unwrap().streaming().unwrap().unwrap();
    assert_eq!((streaming.in_flight, streaming.keep), (2, 3));
    job.models.memory_gib = gib(block / 2);
    let error = ModelSet::new(&job.models).unwrap().streaming().unwrap_err().to_string();
    assert!(error.contains("models.memory_gib"), "{error}");
    assert_eq!(Part::Transformer.model(), Some(Model::Dit));
}

#[test]
fn the_text_encoder_keeps_to_the_memory_too() {
    let of = |gib: Option<f64>| {
        let mut job = Job::new(Preset::AniCrafter);
        job.models.device = "cpu".to_owned();
        job.models.memory_gib = gib;
        ModelSet::new(&job.models).unwrap().text_streaming()
    };
    assert_eq!(of(None).unwrap(), None);
    // A block takes 0.36 GiB in bf16, all 24 of them 8.6.
    let held = |gib| of(Some(gib)).unwrap().map(|streaming| (streaming.in_flight, streaming.keep));
    assert_eq!(
        [held(0.4), held(1.0), held(2.0), held(9.0)],
        [Some((1, 0)), Some((2, 0)), Some((2, 3)), Some((1, 24))]
    );
    let error = of(Some(0.3)).unwrap_err().to_string();
    assert!(error.contains("text encoder") && error.contains("models.memory_gib"), "{error}");
}

#[test]
fn inputs_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    let mut job = job(dir.path());
    job.input.background = dir.path().join("background.mp4");
    std::fs::write(&job.input.background, "there").unwrap();
    let findings = inspect(&job);
    assert_eq!(about(&findings), ["input"]);
    assert!(findings.to_string().contains("background.mp4"), "{findings}");
}
