//! What must hold for any weights: no files, no reference.
#![expect(clippy::unwrap_used, reason = "tests, helpers included")]

use anicrafter_dit::{
    BlockProvider, Conditions, Config, Error, Observer, Resident, Streamed, Streaming, WanModel, pad_context,
};
use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor, Var};
use nn::{Probe, QuantizeOnLoad, RandomWeights, Recording, WeightSource, Weights};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn config() -> Config {
    Config {
        dim: 48,
        ffn_dim: 80,
        num_heads: 2,
        num_layers: 3,
        text_dim: 32,
        freq_dim: 16,
        image_dim: 24,
        image_tokens: 5,
        text_len: 12,
        ..Config::i2v_14b_720p()
    }
}

fn weights() -> Weights {
    Weights::new(Arc::new(RandomWeights::default()), DType::F32, &Device::Cpu)
}

fn random(name: &str, shape: &[usize]) -> Tensor {
    let tensor = RandomWeights { seed: 5 }.dense(name, &shape.into(), DType::F32, &Device::Cpu).unwrap();
    (tensor * (shape[1..].iter().product::<usize>() as f64).sqrt()).unwrap()
}

struct Inputs {
    x: Tensor,
    y: Tensor,
    context: Tensor,
    image: Tensor,
    condition: Tensor,
}

impl Inputs {
    fn new(config: &Config, [t, h, w]: [usize; 3]) -> Self {
        Self {
            x: random("x", &[1, 16, t, h, w]),
            y: random("y", &[1, 20, t, h, w]),
            context: random("context", &[1, 12, config.text_dim]),
            image: random("image", &[1, config.image_tokens, config.image_dim]),
            condition: random("condition", &[1, t * h * w / 4, config.dim]),
        }
    }

    fn conditions(&self) -> Conditions<'_> {
        Conditions {
            context: &self.context,
            clip_feature: Some(&self.image),
            y: Some(&self.y),
            add_condition: Some(&self.condition),
        }
    }

    fn predict(&self, model: &WanModel) -> Tensor {
        let branch = model.branch(&self.conditions()).unwrap();
        model.forward(&self.x, 700.0, &branch, &mut ()).unwrap()
    }
}

fn worst(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn chunks_of_tokens_do_not_change_the_result() {
    let config = config();
    let inputs = Inputs::new(&config, [3, 4, 6]);
    let whole = inputs.predict(&WanModel::load(&config, &weights()).unwrap());
    for rows in [1, 5, 17, 18] {
        let chunked = inputs.predict(&WanModel::load(&config, &weights()).unwrap().with_rows(rows));
        assert!(worst(&chunked, &whole) < 1e-5, "{rows} rows: {}", worst(&chunked, &whole));
    }
}

#[test]
fn streamed_equals_resident() {
    let config = config();
    let inputs = Inputs::new(&config, [2, 4, 4]);
    let resident = inputs.predict(&WanModel::load(&config, &weights()).unwrap());
    for (in_flight, keep) in [(1, 0), (1, 2), (2, 0), (2, 1), (3, 0), (5, 9)] {
        let streaming = Streaming { in_flight, keep };
        let blocks = Streamed::new(&config, &weights().pp("blocks"), streaming).unwrap();
        let model = WanModel::with_blocks(&config, &weights(), Box::new(blocks)).unwrap();
        assert_eq!(worst(&inputs.predict(&model), &resident), 0.0, "{streaming:?}");
        assert_eq!(worst(&inputs.predict(&model), &resident), 0.0, "{streaming:?}, second pass");
    }
    let none = Streaming { in_flight: 0, keep: 0 };
    assert!(matches!(Streamed::new(&config, &weights().pp("blocks"), none), Err(Error::Config(_))));
}

/// Counts the blocks that are in memory at once: a block's modulation lives as long as the block.
struct Counting {
    reads: Arc<AtomicUsize>,
}

impl WeightSource for Counting {
    fn dense(
        &self,
        name: &str,
        shape: &candle_core::Shape,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        if name.ends_with("modulation") {
            self.reads.fetch_add(1, Ordering::SeqCst);
        }
        RandomWeights::default().dense(name, shape, dtype, device)
    }

    fn contains(&self, _: &str) -> bool {
        true
    }
}

#[test]
fn streaming_never_reads_further_ahead_than_told() {
    let config = Config { num_layers: 8, ..config() };
    for in_flight in [1, 2, 4] {
        let reads = Arc::new(AtomicUsize::new(0));
        let source = Arc::new(Counting { reads: reads.clone() });
        let weights = Weights::new(source, DType::F32, &Device::Cpu);
        let streamed =
            Streamed::new(&config, &weights.pp("blocks"), Streaming { in_flight, keep: 0 }).unwrap();
        streamed
            .for_each(&mut |n, _| {
                std::thread::sleep(std::time::Duration::from_millis(20));
                let begun = reads.load(Ordering::SeqCst);
                assert!(begun <= n + in_flight, "block {n} runs and {begun} were begun");
                Ok(())
            })
            .unwrap();
        assert_eq!(reads.load(Ordering::SeqCst), 8);
    }
}

#[test]
fn branches_together_equal_branches_apart() {
    let config = config();
    let inputs = Inputs::new(&config, [2, 4, 4]);
    let model = WanModel::load(&config, &weights()).unwrap();
    let positive = model.branch(&inputs.conditions()).unwrap();
    let negative = model.branch(&Conditions { add_condition: None, ..inputs.conditions() }).unwrap();
    let both = model.forward_all(&inputs.x, 700.0, &[&positive, &negative], &mut ()).unwrap();
    for (together, branch) in both.iter().zip([&positive, &negative]) {
        assert_eq!(worst(together, &model.forward(&inputs.x, 700.0, branch, &mut ()).unwrap()), 0.0);
    }
    assert!(worst(&both[0], &both[1]) > 1e-3, "the added condition changes the prediction");
}

#[test]
fn a_step_can_be_taken_apart() {
    let config = config();
    let inputs = Inputs::new(&config, [2, 4, 4]);
    let model = WanModel::load(&config, &weights()).unwrap();
    let branch = model.branch(&inputs.conditions()).unwrap();
    let embedded = model.embed(&inputs.x, 700.0, &branch).unwrap();
    assert_eq!(embedded.t_mod.dims(), [1, 6, config.dim]);
    let before = embedded.tokens.copy().unwrap();
    let tokens = model.run_blocks(&[&embedded], &mut ()).unwrap().remove(0);
    assert_eq!(worst(&embedded.tokens, &before), 0.0, "the blocks leave the embedded tokens alone");
    // What a step cache does: the residual of an earlier step instead of the blocks.
    let residual = (&tokens - &embedded.tokens).unwrap();
    let cached = model.head(&(&embedded.tokens + residual).unwrap(), &embedded).unwrap();
    assert!(worst(&cached, &inputs.predict(&model)) < 1e-5);
    assert!(model.run_blocks(&[], &mut ()).unwrap().is_empty());
}

#[test]
fn text_rows_are_a_set_and_zero_rows_count() {
    let config = config();
    let inputs = Inputs::new(&config, [1, 4, 4]);
    let model = WanModel::load(&config, &weights()).unwrap();
    let predict = |context: &Tensor| {
        let branch = model.branch(&Conditions { context, ..inputs.conditions() }).unwrap();
        model.forward(&inputs.x, 700.0, &branch, &mut ()).unwrap()
    };
    let context = random("rows", &[1, 4, config.text_dim]);
    let order = Tensor::new(&[2_u32, 0, 3, 1], &Device::Cpu).unwrap();
    let shuffled = context.index_select(&order, 1).unwrap();
    assert!(worst(&predict(&context), &predict(&shuffled)) < 1e-5);
    let padded = pad_context(&context, config.text_len).unwrap();
    assert_eq!(padded.dims(), [1, 12, config.text_dim]);
    assert!(worst(&predict(&context), &predict(&padded)) > 1e-4, "zero rows take part in attention");
    assert_eq!(worst(&pad_context(&padded, 12).unwrap(), &padded), 0.0);
    assert!(matches!(pad_context(&padded, 11), Err(Error::Shape { .. })));
}

#[test]
fn one_frame_is_enough_and_odd_sizes_are_refused() {
    let config = config();
    let model = WanModel::load(&config, &weights()).unwrap();
    assert_eq!(Inputs::new(&config, [1, 2, 2]).predict(&model).dims(), [1, 16, 1, 2, 2]);
    for (size, axis) in [([2, 3, 4], "height (3)"), ([2, 4, 5], "width (5)")] {
        let inputs = Inputs::new(&config, size);
        let branch = model.branch(&Conditions { add_condition: None, ..inputs.conditions() }).unwrap();
        let error = model.forward(&inputs.x, 700.0, &branch, &mut ()).unwrap_err().to_string();
        assert!(error.contains(axis), "{error}");
    }
}

#[test]
fn wrong_inputs_are_named() {
    let config = config();
    let model = WanModel::load(&config, &weights()).unwrap();
    let inputs = Inputs::new(&config, [2, 4, 4]);
    let all = inputs.conditions();
    let refused = |conditions: &Conditions<'_>| model.branch(conditions).unwrap_err();
    assert!(matches!(
        refused(&Conditions { clip_feature: None, ..all }),
        Error::Input { what: "clip_feature", wanted: true }
    ));
    assert!(matches!(refused(&Conditions { y: None, ..all }), Error::Input { what: "y", wanted: true }));
    assert!(matches!(
        refused(&Conditions { context: &inputs.x, ..all }),
        Error::Shape { what: "context", .. }
    ));
    assert!(matches!(
        refused(&Conditions { clip_feature: Some(&inputs.context), ..all }),
        Error::Shape { what: "clip_feature", .. }
    ));
    let short = inputs.condition.narrow(1, 0, 7).unwrap();
    let branch = model.branch(&Conditions { add_condition: Some(&short), ..all }).unwrap();
    let error = model.forward(&inputs.x, 700.0, &branch, &mut ()).unwrap_err();
    assert!(matches!(error, Error::Shape { what: "add_condition", .. }));
    let other = Inputs::new(&config, [3, 4, 4]);
    let branch = model.branch(&all).unwrap();
    let error = model.forward(&other.x, 700.0, &branch, &mut ()).unwrap_err();
    assert!(matches!(error, Error::Shape { what: "y", .. }));
    // A text-to-video model takes neither picture features nor latents.
    let text_only = Config { in_dim: 16, has_image_input: false, ..config };
    let model = WanModel::load(&text_only, &weights()).unwrap();
    assert!(matches!(model.branch(&all), Err(Error::Input { what: "clip_feature", wanted: false })));
    let plain = Conditions { clip_feature: None, y: None, ..all };
    assert!(model.forward(&inputs.x, 0.0, &model.branch(&plain).unwrap(), &mut ()).is_ok());
}

#[test]
fn missing_weights_are_named_in_full() {
    let model = WanModel::load(&config(), &Weights::from_tensors(HashMap::new(), DType::F32, &Device::Cpu));
    assert!(model.unwrap_err().to_string().contains("blocks.0.modulation"));
    let source = Weights::from_tensors(HashMap::new(), DType::F32, &Device::Cpu).pp("blocks");
    for in_flight in [1, 2] {
        let streamed = Streamed::new(&config(), &source, Streaming { in_flight, keep: 0 }).unwrap();
        let error = streamed.for_each(&mut |_, _| panic!("there is no block to run")).unwrap_err();
        assert!(error.to_string().contains("blocks.0.modulation"), "{error}");
    }
}

#[test]
fn the_observer_can_stop_a_pass() {
    let config = config();
    let inputs = Inputs::new(&config, [1, 4, 4]);
    for streaming in [None, Some(Streaming { in_flight: 2, keep: 0 })] {
        let blocks: Box<dyn BlockProvider> = match streaming {
            None => Box::new(Resident::load(&config, &weights().pp("blocks")).unwrap()),
            Some(s) => Box::new(Streamed::new(&config, &weights().pp("blocks"), s).unwrap()),
        };
        let model = WanModel::with_blocks(&config, &weights(), blocks).unwrap();
        let branch = model.branch(&inputs.conditions()).unwrap();
        let mut calls = Vec::new();
        let mut stop = |block: usize, of: usize| {
            calls.push((block, of));
            if block == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let error = model.forward(&inputs.x, 700.0, &branch, &mut stop).unwrap_err();
        assert!(matches!(error, Error::Cancelled { block: 1, of: 3 }));
        assert_eq!(calls, [(0, 3), (1, 3)]);
    }
}

#[derive(Default)]
struct Watcher(BTreeMap<usize, Recording>);

impl Observer for Watcher {
    fn probe(&mut self, branch: usize) -> Option<&mut dyn Probe> {
        Some(self.0.entry(branch).or_default())
    }
}

/// Watching takes the same ways through the model, fused and in chunks: the same bits come out, and what is seen is what
/// the whole pass computes.
#[test]
fn watching_changes_nothing() {
    let config = config();
    let inputs = Inputs::new(&config, [3, 4, 6]);
    let quantized: Arc<dyn WeightSource> =
        Arc::new(QuantizeOnLoad::new(Arc::new(RandomWeights::default()), GgmlDType::Q8_0));
    // Products of few rows and of many round their inputs differently where weights aren't f32.
    let weights = [
        (weights(), 1e-4),
        (weights().with_dtype(DType::BF16), 0.1),
        (Weights::new(quantized, DType::F32, &Device::Cpu), 0.1),
    ];
    for (weights, tolerance) in weights {
        let mut whole = Watcher::default();
        for rows in [64, 5] {
            let model = WanModel::load(&config, &weights).unwrap().with_rows(rows);
            let positive = model.branch(&inputs.conditions()).unwrap();
            let negative = model.branch(&Conditions { add_condition: None, ..inputs.conditions() }).unwrap();
            let mut seen = Watcher::default();
            let predict = |observer: &mut dyn Observer| {
                model.forward_all(&inputs.x, 700.0, &[&positive, &negative], observer).unwrap()
            };
            for (watched, alone) in predict(&mut seen).iter().zip(&predict(&mut ())) {
                assert_eq!(worst(watched, alone), 0.0, "{rows} rows");
            }
            assert_eq!(seen.0.len(), 2, "both branches were shown");
            if rows == 64 {
                whole = seen;
                continue;
            }
            for (branch, recording) in &seen.0 {
                assert!(recording.values.contains_key("block2.self_attn.norm_q"));
                for (name, values) in &recording.values {
                    let expected = &whole.0[branch].values[name];
                    assert_eq!((values.len(), expected.len()), (1, 1), "{name}");
                    let worst = worst(&values[0], &expected[0]);
                    assert!(worst < tolerance, "{name}: {worst}");
                }
            }
        }
    }
}

#[test]
fn half_and_quantised_weights_stay_close() {
    let config = Config { dim: 96, ffn_dim: 128, ..config() };
    let inputs = Inputs::new(&config, [2, 4, 4]);
    let exact = inputs.predict(&WanModel::load(&config, &weights()).unwrap());
    let scale = exact.abs().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
    let half = WanModel::load(&config, &weights().with_dtype(DType::BF16)).unwrap();
    let source = Arc::new(QuantizeOnLoad::new(Arc::new(RandomWeights::default()), GgmlDType::Q8_0));
    let quantized = WanModel::load(&config, &Weights::new(source, DType::F32, &Device::Cpu)).unwrap();
    for (model, tolerance) in [(half, 0.1), (quantized, 0.1)] {
        let worst = worst(&inputs.predict(&model), &exact);
        assert!(worst > 0.0 && worst < tolerance * scale.max(1.0), "{worst} at a scale of {scale}");
    }
}

/// Inputs of 8 bits cost a small part of what the blocks' own rounding costs.
#[test]
fn inputs_of_8_bits_stay_close() {
    let config = Config { dim: 256, ffn_dim: 768, num_heads: 2, ..config() };
    let inputs = Inputs::new(&config, [2, 8, 8]);
    let exact = inputs.predict(&WanModel::load(&config, &weights()).unwrap());
    let relative = |a: &Tensor, b: &Tensor| {
        let norm = |x: &Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
        norm(&(a - b).unwrap()) / norm(b)
    };
    for (dtype, tolerance) in [(GgmlDType::Q8_0, 0.01), (GgmlDType::Q4K, 0.01)] {
        let source = Arc::new(QuantizeOnLoad::new(Arc::new(RandomWeights::default()), dtype));
        let weights = Weights::new(source, DType::F32, &Device::Cpu);
        let float = inputs.predict(&WanModel::load(&config, &weights).unwrap());
        let int8 = WanModel::load(&config, &weights.with_inputs(nn::Inputs::Int8)).unwrap();
        let int8 = inputs.predict(&int8);
        let (added, whole, blocks) =
            (relative(&int8, &float), relative(&int8, &exact), relative(&float, &exact));
        println!("{dtype:?}: weights {blocks:.2e}, inputs of 8 bits {added:.2e}, both {whole:.2e}");
        assert!(added > 0.0 && added < tolerance, "{dtype:?}: {added} beside {blocks} of the weights");
    }
}

#[test]
fn the_whole_model_can_be_trained() {
    let config = config();
    let inputs = Inputs::new(&config, [1, 4, 4]);
    // Take the names from a recording of what a model asks for.
    let name = "blocks.1.cross_attn.k_img.weight";
    let shape = (config.dim, config.dim);
    let value = RandomWeights::default().dense(name, &shape.into(), DType::F32, &Device::Cpu).unwrap();
    let variable = Var::from_tensor(&value).unwrap();
    let source = Arc::new(OneVariable { name, variable: variable.clone() });
    let model = WanModel::load(&config, &Weights::new(source, DType::F32, &Device::Cpu)).unwrap();
    let out = inputs.predict(&model);
    let plain = inputs.predict(&WanModel::load(&config, &weights()).unwrap());
    assert!(worst(&out.detach(), &plain) < 1e-4, "training computes what inference does");
    let gradients = out.sqr().unwrap().mean_all().unwrap().backward().unwrap();
    let gradient = gradients.get(variable.as_tensor()).unwrap();
    assert!(gradient.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() > 0.0);
}

/// Random weights, all of them variables; one is known by name.
struct OneVariable {
    name: &'static str,
    variable: Var,
}

impl WeightSource for OneVariable {
    fn dense(
        &self,
        name: &str,
        shape: &candle_core::Shape,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        if name == self.name {
            return Ok(self.variable.as_tensor().clone());
        }
        let value = RandomWeights::default().dense(name, shape, dtype, device)?;
        Ok(Var::from_tensor(&value)?.into_inner())
    }

    fn contains(&self, _: &str) -> bool {
        true
    }
}

#[test]
fn configs_are_read_in_three_spellings() {
    let published = r#"{"_class_name": "WanModel", "dim": 5120, "eps": 1e-06, "ffn_dim": 13824, "freq_dim": 256,
        "in_dim": 36, "model_type": "i2v", "num_heads": 40, "num_layers": 40, "out_dim": 16, "text_len": 512}"#;
    let diffusers = r#"{"_class_name": "WanTransformer3DModel", "added_kv_proj_dim": 5120, "attention_head_dim": 128,
        "cross_attn_norm": true, "eps": 1e-06, "ffn_dim": 13824, "freq_dim": 256, "image_dim": 1280,
        "in_channels": 36, "num_attention_heads": 40, "num_layers": 40, "out_channels": 16,
        "patch_size": [1, 2, 2], "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 1024, "text_dim": 4096}"#;
    let own = serde_json::to_string(&Config::i2v_14b_720p()).unwrap();
    for text in [published, diffusers, &own] {
        assert_eq!(serde_json::from_str::<Config>(text).unwrap(), Config::i2v_14b_480p());
    }
    let refused = [
        (published.replace("i2v", "vace"), "model_type"),
        (published.replace(r#""model_type": "i2v","#, ""), "has_image_input"),
        (published.replace(r#""num_heads": 40"#, r#""num_heads": 39"#), "num_heads"),
        (published.replace(r#""num_layers": 40"#, r#""num_layers": 0"#), "num_layers"),
        (published.replace("5120", "5160"), "pairs"),
    ];
    for (text, why) in refused {
        let error = serde_json::from_str::<Config>(&text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    Config::t2v_1_3b().validate().unwrap();
}
