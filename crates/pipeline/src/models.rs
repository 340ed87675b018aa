//! From settings to loaded models. Each is opened when its stage needs it and dropped afterwards.

use crate::job::{Activations, Dtype, Models, Preset};
use crate::{DetailTransfer, Error, Result};
use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Shape, Tensor};
use checkpoint::{Alpha, Checkpoint, Lora, Manifest, Model};
use conditioning::{ConditionEmbedder, ConditionEmbedders};
use dit::{Streamed, Streaming, WanModel};
use encoders::clip_vision::ImageEncoder;
use encoders::umt5::{TextEncoder, Tokenizer};
use nn::{Inputs, QuantizeOnLoad, WeightSource, Weights};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Parts of the published CLIP file that a picture doesn't need: the text tower, the head and the last block.
const CLIP_UNUSED: [&str; 5] =
    ["textual.", "log_scale", "visual.head", "visual.post_norm.", "visual.transformer.31."];

/// The tokenizer of the small models: a few hundred words.
const DEMO_TOKENIZER: &[u8] = include_bytes!("../data/demo_tokenizer.json");

/// The models of a job, by settings; nothing is read before it is asked for.
#[derive(Clone, Debug)]
pub struct ModelSet {
    settings: Models,
    device: Device,
    /// Rows of text context that the transformer is given.
    context_rows: usize,
    dit: Value,
    vae: vae::Config,
    text: Value,
    image: Value,
    detail: DetailTransfer,
}

impl ModelSet {
    /// Resolves the device and the configurations.
    ///
    /// # Errors
    /// When the device can't be opened, activations of 8 bits are asked for on one that isn't the CPU, or a file of small
    /// weights' settings can't be understood.
    pub fn new(settings: &Models) -> Result<Self> {
        let device = open_device(&settings.device)?;
        if settings.activations == Activations::Int8 && !device.is_cpu() {
            return Err(Error::Option {
                option: "models.activations",
                why: format!(
                    "int8 is for the CPU, and models.device {:?} is a graphics processor: take \"cpu\" (--device cpu)",
                    settings.device
                ),
            });
        }
        let settings = settings.clone();
        let (dit, vae, text, image) = match (settings.preset, &settings.demo) {
            (Preset::AniCrafter, _) => (
                checkpoint::preset("wan2.1-i2v-14b-720p")?,
                vae::Config::wan_2_1(),
                checkpoint::preset("umt5-xxl")?,
                checkpoint::preset("clip-vit-h-14")?,
            ),
            (Preset::Demo, Some(folder)) => {
                let small: Small = checkpoint::read_config(folder.join("config.json"))?;
                (small.dit, small.vae, small.text, small.image)
            }
            (Preset::Demo, None) => (
                json!({
                    "dim": 192, "in_dim": 36, "ffn_dim": 768, "out_dim": 16, "text_dim": 64, "freq_dim": 64, "eps": 1e-6,
                    "patch_size": [1, 2, 2], "num_heads": 6, "num_layers": 6, "has_image_input": true, "image_dim": 64,
                    "image_tokens": 65,
                }),
                vae::Config::small(16),
                json!({
                    "vocab": 128, "dim": 64, "dim_attn": 64, "dim_ffn": 128, "num_heads": 4, "num_layers": 2,
                    "num_buckets": 32, "shared_pos": false,
                }),
                json!({
                    "embed_dim": 32, "image_size": 112, "patch_size": 14, "vision_dim": 64, "vision_mlp_ratio": 4,
                    "vision_heads": 4, "vision_layers": 3,
                }),
            ),
        };
        let context_rows = from_value::<dit::Config>(&dit)?.text_len;
        let detail = match (settings.preset, &settings.demo) {
            (Preset::Demo, Some(folder)) => DetailTransfer::beside(folder)?,
            _ => DetailTransfer::default(),
        };
        Ok(Self { settings, device, context_rows, dit, vae, text, image, detail })
    }

    /// How these weights want detail transfer to be done: small weights may have a `detail.json`, all others take the whole
    /// difference.
    #[must_use]
    pub fn detail_transfer(&self) -> &DetailTransfer {
        &self.detail
    }

    /// Have these weights seen data? The small ones without a folder are drawn at random.
    #[must_use]
    pub fn is_trained(&self) -> bool {
        self.settings.preset != Preset::Demo || self.settings.demo.is_some()
    }

    /// Rows that a prompt's embedding is padded to.
    #[must_use]
    pub fn context_rows(&self) -> usize {
        self.context_rows
    }

    /// The device that models run on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The VAE's configuration.
    #[must_use]
    pub fn vae_config(&self) -> &vae::Config {
        &self.vae
    }

    /// The transformer's hyperparameters, named as in the reference.
    #[must_use]
    pub fn dit_config(&self) -> &Value {
        &self.dit
    }

    /// Does the VAE run in bf16?
    fn half_type(&self) -> DType {
        if self.settings.dtype == Dtype::F32 { DType::F32 } else { DType::BF16 }
    }

    /// The tokenizer and the text encoder.
    ///
    /// # Errors
    /// When a file is missing or doesn't fit.
    pub fn text(&self) -> Result<(Tokenizer, TextEncoder)> {
        let config = from_value(&self.text)?;
        let Some(folder) = self.wan()? else {
            let manifest = Manifest::of(Model::T5, &self.text)?;
            let encoder = TextEncoder::new(&config, &self.small(Model::T5, "t5", &manifest, DType::F32)?)?;
            return Ok((Tokenizer::from_json(DEMO_TOKENIZER)?, encoder));
        };
        let tokenizer = find_tokenizer(folder)?;
        let file = folder.join("models_t5_umt5-xxl-enc-bf16.pth");
        let weights = Arc::new(Checkpoint::open_model(Model::T5, &[file])?);
        let encoder = TextEncoder::new(&config, &Weights::new(weights.clone(), DType::BF16, &self.device))?;
        weights.report().strict()?;
        Ok((tokenizer, encoder))
    }

    /// The image encoder.
    ///
    /// # Errors
    /// When the file is missing or doesn't fit.
    pub fn image(&self) -> Result<ImageEncoder> {
        let config = from_value(&self.image)?;
        let Some(folder) = self.wan()? else {
            let manifest = Manifest::of(Model::Clip, &self.image)?;
            let weights = self.small(Model::Clip, "clip", &manifest, DType::F32)?;
            return Ok(ImageEncoder::new(&config, &weights.pp("visual"))?);
        };
        let file = folder.join("models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth");
        let weights = Arc::new(Checkpoint::open_model(Model::Clip, &[file])?);
        let cursor = Weights::new(weights.clone(), DType::F32, &self.device);
        let encoder = ImageEncoder::new(&config, &cursor.pp("visual"))?;
        weights.report().allow_unused(&CLIP_UNUSED).strict()?;
        Ok(encoder)
    }

    /// The VAE, or the half of it that a stage needs.
    ///
    /// # Errors
    /// When the file is missing or doesn't fit.
    pub fn vae(&self, halves: vae::Halves) -> Result<vae::Vae> {
        let Some(folder) = self.wan()? else {
            let weights = match &self.settings.demo {
                Some(_) => {
                    let manifest = Manifest::of(Model::Vae, &to_value(&self.vae)?)?;
                    self.small(Model::Vae, "vae", &manifest, DType::F32)?
                }
                None => vae::random_weights(&self.vae, 3, &self.device)?,
            };
            return Ok(vae::Vae::load_with(&self.vae, &weights, halves, vae::Backend::Auto)?);
        };
        let file = folder.join("Wan2.1_VAE.pth");
        let source = Checkpoint::open_model(Model::Vae, &[file])?;
        source.compare(&Manifest::of(Model::Vae, &checkpoint::preset("wan2.1-vae")?)?).strict()?;
        let weights = Weights::new(Arc::new(source), self.half_type(), &self.device);
        Ok(vae::Vae::load_with(&self.vae, &weights, halves, vae::Backend::Auto)?)
    }

    /// The condition embedders, always in f32.
    ///
    /// # Errors
    /// When the files are missing or don't fit.
    pub fn embedders(&self) -> Result<ConditionEmbedders> {
        let config: dit::Config = from_value(&self.dit)?;
        let manifest = Manifest::embedders(&self.dit)?;
        let Some(files) = self.anicrafter()? else {
            let weights = match &self.settings.demo {
                Some(folder) => {
                    let source = Checkpoint::open(&[folder.join("anicrafter.safetensors")])?;
                    source.compare(&manifest).strict()?;
                    Weights::new(Arc::new(source), DType::F32, &self.device)
                }
                None => self.untrained(&manifest, 4, DType::F32),
            };
            return Ok(ConditionEmbedders::load(config.dim, &weights)?);
        };
        let all = Checkpoint::open(&files)?;
        let stack = |name: &str| -> Result<ConditionEmbedder> {
            let source = Arc::new(all.module(name)?);
            let stack =
                ConditionEmbedder::load(config.dim, &Weights::new(source.clone(), DType::F32, &self.device))?;
            source.report().strict()?;
            Ok(stack)
        };
        Ok(ConditionEmbedders { blend: stack("blend_embedding")?, smplx: stack("smplx_embedding")? })
    }

    /// The diffusion transformer with its LoRAs, held, streamed or quantised as the settings say.
    ///
    /// # Errors
    /// When a file is missing or doesn't fit, a LoRA has unknown targets, the memory budget is smaller than a block, or
    /// activations of 8 bits are asked for without quantised weights.
    pub fn transformer(&self) -> Result<WanModel> {
        let config: dit::Config = from_value(&self.dit)?;
        let manifest = Manifest::of(Model::Dit, &self.dit)?;
        let Some(folder) = self.wan()? else {
            let weights = self.small(Model::Dit, "dit", &manifest, self.half_type())?;
            return Ok(WanModel::load(&config, &weights)?);
        };
        let files =
            if self.settings.dit.is_empty() { transformer_files(folder) } else { self.settings.dit.clone() };
        let mut source = Checkpoint::open_model(Model::Dit, &files)?;
        source.compare(&manifest).strict()?;
        if let Some(files) = self.anicrafter()? {
            source = source.with_lora(&Lora::open(&files, Alpha::Ignore)?, 1.0)?;
        }
        for lora in &self.settings.lora {
            source = source.with_lora(&Lora::open(&[&lora.path], Alpha::FromFile)?, lora.strength())?;
        }
        let source: Arc<dyn WeightSource> = Arc::new(source);
        let blocks: Arc<dyn WeightSource> = match self.settings.dtype {
            Dtype::F32 | Dtype::Bf16 => source.clone(),
            Dtype::Q8 => Arc::new(QuantizeOnLoad::new(source.clone(), GgmlDType::Q8_0)),
            Dtype::Q4 => Arc::new(QuantizeOnLoad::new(source.clone(), GgmlDType::Q4K)),
        };
        let weights = Weights::new(source, self.half_type(), &self.device);
        let mut blocks = Weights::new(blocks, self.half_type(), &self.device).pp("blocks");
        if self.settings.activations == Activations::Int8 {
            blocks = blocks.with_inputs(Inputs::Int8);
            if blocks.get_quantized((config.dim, config.dim), "0.self_attn.q.weight")?.is_none() {
                return Err(Error::Option {
                    option: "models.activations",
                    why: "int8 needs quantised weights, and the transformer's file holds none: take models.dtype (--dtype) q8 or q4"
                        .to_owned(),
                });
            }
        }
        let streaming = match self.settings.memory_gib {
            Some(gib) => {
                let budget = (gib * 1024.0 * 1024.0 * 1024.0) as u64;
                Streaming::for_budget(budget, self.block_bytes(&manifest), config.num_layers)?
            }
            None => Streaming { in_flight: 1, keep: config.num_layers },
        };
        let provider = Streamed::new(&config, &blocks, streaming)?;
        Ok(WanModel::with_blocks(&config, &weights, Box::new(provider))?)
    }

    /// Bytes that one block takes in memory.
    fn block_bytes(&self, manifest: &Manifest) -> u64 {
        let parameters = |shape: &Vec<usize>| shape.iter().map(|&d| d as u64).product::<u64>();
        let block: u64 = manifest
            .tensors
            .iter()
            .filter(|(n, _)| n.starts_with("blocks.0."))
            .map(|(_, s)| parameters(s))
            .sum();
        match self.settings.dtype {
            Dtype::F32 => block * 4,
            Dtype::Bf16 => block * 2,
            // 34 bytes for 32 numbers, 144 for 256.
            Dtype::Q8 => block * 34 / 32,
            Dtype::Q4 => block * 144 / 256,
        }
    }

    /// The folder of the real weights; `None` for the embedded ones.
    fn wan(&self) -> Result<Option<&Path>> {
        match (self.settings.preset, &self.settings.wan) {
            (Preset::Demo, _) => Ok(None),
            (Preset::AniCrafter, Some(folder)) => Ok(Some(folder)),
            (Preset::AniCrafter, None) => Err(Error::Option {
                option: "models.wan",
                why: "the folder of the real weights is needed".to_owned(),
            }),
        }
    }

    /// AniCrafter's two files that count: the last two shards, as the reference's script names them.
    fn anicrafter(&self) -> Result<Option<Vec<PathBuf>>> {
        match (self.settings.preset, &self.settings.anicrafter) {
            (Preset::Demo, _) => Ok(None),
            (Preset::AniCrafter, Some(path)) if path.is_file() => Ok(Some(vec![path.clone()])),
            (Preset::AniCrafter, Some(folder)) => {
                Ok(Some([10, 11].map(|n| folder.join(format!("model-{n:05}-of-00011.safetensors"))).to_vec()))
            }
            (Preset::AniCrafter, None) => Err(Error::Option {
                option: "models.anicrafter",
                why: "the folder of AniCrafter's files is needed".to_owned(),
            }),
        }
    }

    /// The small weights of a model: the folder's file, or random ones where there is no folder.
    fn small(&self, model: Model, name: &str, manifest: &Manifest, dtype: DType) -> Result<Weights> {
        let Some(folder) = &self.settings.demo else {
            let seed = name.bytes().fold(0, |h: u64, b| h * 31 + u64::from(b));
            return Ok(self.untrained(manifest, seed, dtype));
        };
        let source = Checkpoint::open_model(model, &small_files(folder, name))?;
        source.compare(manifest).strict()?;
        Ok(Weights::new(Arc::new(source), dtype, &self.device))
    }

    /// Random weights of the right names and shapes.
    fn untrained(&self, manifest: &Manifest, seed: u64, dtype: DType) -> Weights {
        Weights::new(Arc::new(Untrained { manifest: manifest.tensors.clone(), seed }), dtype, &self.device)
    }
}

/// A folder's `config.json`: one object a model, under the names of the originals' constructors.
#[derive(serde::Deserialize)]
struct Small {
    dit: Value,
    vae: vae::Config,
    text: Value,
    image: Value,
}

fn from_value<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T> {
    serde_json::from_value(value.clone()).map_err(|e| Error::Settings(e.to_string()))
}

fn to_value(config: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(config).map_err(|e| Error::Settings(e.to_string()))
}

/// A small model's file in a folder of weights, or its shards, there or one folder below.
#[must_use]
pub fn small_files(folder: &Path, name: &str) -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let is_shard = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let rest = file.strip_prefix(name).and_then(|rest| rest.strip_suffix(".safetensors"));
        rest.is_some_and(|rest| rest.starts_with('-') && rest.contains("-of-"))
    };
    let here = entries(folder);
    let below = here.iter().filter(|path| path.is_dir()).flat_map(|path| entries(path));
    let mut shards: Vec<PathBuf> = here.iter().cloned().chain(below).filter(is_shard).collect();
    shards.sort_by_key(|path| path.file_name().map(std::ffi::OsStr::to_owned));
    let whole = folder.join(format!("{name}.safetensors"));
    if shards.is_empty() || whole.is_file() { vec![whole] } else { shards }
}

/// All seven shards through their index, or the one file.
fn transformer_files(folder: &Path) -> Vec<PathBuf> {
    let index = folder.join("diffusion_pytorch_model.safetensors.index.json");
    if index.is_file() {
        return vec![index];
    }
    (1..=7).map(|n| folder.join(format!("diffusion_pytorch_model-{n:05}-of-00007.safetensors"))).collect()
}

fn find_tokenizer(folder: &Path) -> Result<Tokenizer> {
    let at = folder.join("google").join("umt5-xxl");
    let read =
        |path: &Path| std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source });
    let json = at.join("tokenizer.json");
    if json.is_file() {
        return Ok(Tokenizer::from_json(&read(&json)?)?);
    }
    Ok(Tokenizer::from_sentencepiece(&read(&at.join("spiece.model"))?)?)
}

/// `auto`, `cpu`, `cuda`, `cuda:N` or `metal`.
///
/// # Errors
/// When the name is unknown, the build has no support for it, or there is no such device.
pub fn open_device(name: &str) -> Result<Device> {
    nn::open_device(name).map_err(|why| Error::Option { option: "models.device", why: why.to_string() })
}

/// Weights that have seen no data: drawn from a seed and the tensor's name.
struct Untrained {
    manifest: BTreeMap<String, Vec<usize>>,
    seed: u64,
}

impl WeightSource for Untrained {
    fn dense(&self, name: &str, shape: &Shape, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let Some(expected) = self.manifest.get(name) else {
            return Err(candle_core::Error::CannotFindTensor { path: name.to_owned() }.bt());
        };
        if expected.as_slice() != shape.dims() {
            let (expected, got) = (expected.as_slice().into(), shape.clone());
            return Err(candle_core::Error::UnexpectedShape { msg: name.to_owned(), expected, got }.bt());
        }
        let n = shape.elem_count();
        let values = if name.ends_with("norm.weight") || name.contains("norm") && name.ends_with("weight") {
            vec![1.0; n]
        } else if name.ends_with("bias") {
            vec![0.0; n]
        } else {
            let fan_in = shape.dims().iter().skip(1).product::<usize>().max(1);
            let scale = 1.0 / (fan_in as f32).sqrt();
            // FNV-1a over the name, so that every tensor has its own numbers.
            let seed = name
                .bytes()
                .fold(self.seed ^ 0xcbf2_9ce4, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0193));
            sampler::noise::randn(seed, n).into_iter().map(|x| x * scale).collect()
        };
        Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
    }

    fn contains(&self, name: &str) -> bool {
        self.manifest.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_by_name() {
        assert!(matches!(open_device("cpu"), Ok(Device::Cpu)));
        assert!(open_device("auto").is_ok());
        for name in ["gpu", "cuda:x", "", "cuda9"] {
            assert!(
                matches!(open_device(name), Err(Error::Option { option: "models.device", .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn the_embedded_models_load() {
        let set =
            ModelSet::new(&Models { preset: Preset::Demo, dtype: Dtype::F32, ..Models::default() }).unwrap();
        assert!(!set.is_trained());
        let (tokenizer, text) = set.text().unwrap();
        let ids = tokenizer.tokenize("human in a scene", 64).unwrap().ids;
        assert_eq!(text.encode(&ids, 64).unwrap().dims(), [1, 64, 64]);
        set.image().unwrap();
        set.vae(vae::Halves::Both).unwrap();
        set.embedders().unwrap();
        set.transformer().unwrap();
    }

    #[test]
    fn missing_real_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Models {
            preset: Preset::AniCrafter,
            wan: Some(dir.path().into()),
            anicrafter: Some(dir.path().into()),
            device: "cpu".to_owned(),
            ..Models::default()
        };
        let set = ModelSet::new(&settings).unwrap();
        for error in [
            set.text().err(),
            set.image().err(),
            set.vae(vae::Halves::Both).err(),
            set.embedders().err(),
            set.transformer().err(),
        ] {
            let message = error.map(|e| e.to_string()).unwrap_or_default();
            assert!(message.contains(&dir.path().display().to_string()), "{message:?} names no file");
        }
    }
}
