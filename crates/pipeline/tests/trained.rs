//! The demo's trained weights through the normal loaders, against what the trainer computed from the same weights.
#![allow(clippy::unwrap_used, reason = "tests")]

use anicrafter_pipeline::models::ModelSet;
use anicrafter_pipeline::{Job, Preset};
use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use checkpoint::{Checkpoint, Model, Part};
use conditioning::{Rounding, Strides};
use dit::{Conditions, Streamed, Streaming, WanModel};
use nn::{Inputs, QuantizeOnLoad, RoundOnLoad, WeightSource, Weights};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn models() -> ModelSet {
    let mut job = Job::new(Preset::Demo);
    job.models.demo = Some(root().join("assets/demo/weights"));
    job.models.device = "cpu".to_owned();
    ModelSet::new(&job.models).unwrap()
}

fn golden() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(root().join("fixtures/trained/trained.safetensors"), &Device::Cpu).unwrap()
}

/// Largest difference over the largest value.
fn error(got: &Tensor, want: &Tensor) -> f32 {
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(got.dims(), want.dims());
    let (got, want) = (values(got), values(want));
    let largest = want.iter().fold(0_f32, |m, v| m.max(v.abs()));
    got.iter().zip(&want).fold(0_f32, |m, (a, b)| m.max((a - b).abs())) / largest
}

#[test]
fn the_weights_are_trained_and_small_enough() {
    assert!(models().is_trained());
    let folder = root().join("assets/demo/weights");
    let bytes: u64 = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= 25_000_000, "{bytes} bytes");
}

#[test]
fn autoencoder_computes_what_the_trainer_computed() {
    let (golden, vae) = (golden(), models().vae(vae::Halves::Both).unwrap());
    let latents = vae.encode(&golden["video"], &mut ()).unwrap();
    assert!(error(&latents, &golden["latents"]) < 2e-4, "{}", error(&latents, &golden["latents"]));
    let decoded = vae.decode(&golden["latents"], &mut ()).unwrap();
    assert!(error(&decoded, &golden["decoded"]) < 2e-4, "{}", error(&decoded, &golden["decoded"]));
}

fn predict(model: &WanModel, golden: &HashMap<String, Tensor>) -> Tensor {
    let conditions = Conditions {
        context: &golden["context"],
        clip_feature: Some(&golden["clip_feature"]),
        y: Some(&golden["y"]),
        add_condition: Some(&golden["tokens"]),
    };
    let timestep = f64::from(golden["timestep"].to_vec1::<f32>().unwrap()[0]);
    model.forward(&golden["x"], timestep, &model.branch(&conditions).unwrap(), &mut ()).unwrap()
}

/// Trained weights in quantised blocks: what activations of 8 bits add to the blocks' own error.
#[test]
fn activations_of_8_bits_cost_little_beside_quantised_weights() {
    let golden = golden();
    let config = models().dit_config().clone();
    let models = models();
    let files = models.resolution().unwrap().files(Part::Transformer).unwrap();
    let source = Arc::new(Checkpoint::open_model(Model::Dit, files).unwrap());
    let predict = |blocks: Arc<dyn WeightSource>, inputs| {
        let blocks = Weights::new(blocks, DType::F32, &Device::Cpu).with_inputs(inputs).pp("blocks");
        let blocks = Streamed::new(&config, &blocks, Streaming { in_flight: 1, keep: config.num_layers });
        let ends = Weights::new(source.clone(), DType::F32, &Device::Cpu);
        predict(&WanModel::with_blocks(&config, &ends, Box::new(blocks.unwrap())).unwrap(), &golden)
    };
    let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
    let relative = |a: &Tensor, b: &Tensor| norm(&(a - b).unwrap()) / norm(b);
    for (dtype, most) in [(GgmlDType::Q8_0, 0.005), (GgmlDType::Q4K, 0.005)] {
        let predict = |inputs| predict(Arc::new(QuantizeOnLoad::new(source.clone(), dtype)), inputs);
        let (float, int8, exact) = (predict(Inputs::Float), predict(Inputs::Int8), &golden["velocity"]);
        let (weights, added, both) =
            (relative(&float, exact), relative(&int8, &float), relative(&int8, exact));
        println!("{dtype:?}: weights {weights:.2e}, activations {added:.2e}, both {both:.2e}");
        assert!(added > 0.0 && added < most, "{dtype:?}: {added}");
    }
    // One scale a row of weights, one scale a token.
    let rows =
        relative(&predict(Arc::new(RoundOnLoad::new(source.clone())), Inputs::Float), &golden["velocity"]);
    println!("int8: both {rows:.2e}");
    assert!(rows > 0.0 && rows < 0.03, "{rows}");
}

#[test]
fn transformer_computes_what_the_trainer_computed() {
    let (golden, models) = (golden(), models());
    let (tokenizer, text) = models.text().unwrap();
    let rows = models.context_rows();
    let ids = tokenizer.tokenize(anicrafter_pipeline::PROMPT, rows).unwrap().ids;
    let context = text.encode(&ids, rows).unwrap();
    assert!(error(&context, &golden["context"]) < 1e-4, "{}", error(&context, &golden["context"]));
    let feature = models.image().unwrap().encode(&golden["picture"]).unwrap();
    assert!(error(&feature, &golden["clip_feature"]) < 1e-4, "{}", error(&feature, &golden["clip_feature"]));
    assert_eq!(golden["frames"].dims()[2], 5 + Strides::of(models.vae_config()).leading());
    let frames = &golden["frames"];
    let tokens = models.embedders().unwrap().tokens(frames, frames, Rounding::None).unwrap();
    assert!(error(&tokens, &golden["tokens"]) < 1e-4, "{}", error(&tokens, &golden["tokens"]));
    let model = models.transformer().unwrap();
    let velocity = predict(&model, &golden);
    assert!(error(&velocity, &golden["velocity"]) < 1e-3, "{}", error(&velocity, &golden["velocity"]));
}
