//! From settings to loaded models. Each is opened when its stage needs it and dropped afterwards.

mod cache;
mod configs;
mod embedded;
mod files;
mod keys;
mod plan;
mod prepare;
mod untrained;

pub use cache::ModelCache;
pub use configs::Configs;
pub(crate) use keys::Wanted;
pub use plan::GIB;
pub(crate) use plan::held;
pub use prepare::PreparedPlace;

use crate::job::{Activations, Dtype, Models, Preset};
use crate::{DetailTransfer, Error, Result};
use candle_core::{DType, Device};
use checkpoint::{Alpha, Checkpoint, Lora, Model, Part, Resolution, TokenizerModel, read_tokenizer, resolve};
use conditioning::{ConditionEmbedder, ConditionEmbedders};
use dit::{Streamed, Streaming, WanModel};
use encoders::clip_vision::ImageEncoder;
use encoders::umt5::{TextEncoder, Tokenizer};
use nn::{Inputs, WeightSource, Weights};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use untrained::Untrained;

/// The tokenizer of the small models: a few hundred words.
const SMALL_TOKENIZER: &[u8] = include_bytes!("../../data/demo_tokenizer.json");

/// The condition embedders' names among AniCrafter's tensors.
const EMBEDDERS: [&str; 2] = ["blend_embedding", "smplx_embedding"];

/// The models of a job, by settings; nothing is read before it is asked for.
#[derive(Clone, Debug)]
pub struct ModelSet {
    settings: Models,
    device: Device,
    configs: Configs,
    detail: DetailTransfer,
    files: Arc<OnceLock<Resolution>>,
}

impl ModelSet {
    /// Resolves the device and the configurations.
    ///
    /// # Errors
    /// When the device can't be opened, activations of 8 bits are asked for on one that isn't the CPU, or a file of small
    /// weights' settings can't be understood.
    pub fn new(settings: &Models) -> Result<Self> {
        let device = open_device(&settings.device)?;
        let asked = match settings {
            Models { dtype: Dtype::Int8, .. } => Some("models.dtype"),
            Models { activations: Activations::Int8, .. } => Some("models.activations"),
            _ => None,
        };
        if let Some(option) = asked.filter(|_| !device.is_cpu()) {
            return Err(Error::Option {
                option,
                why: format!(
                    "int8 is for the CPU, and models.device {:?} is a graphics processor: take \"cpu\" (--device cpu)",
                    settings.device
                ),
            });
        }
        let configs = Configs::of(settings)?;
        let detail = match (settings.preset, &settings.demo) {
            (Preset::Demo, Some(folder)) => DetailTransfer::beside(folder)?,
            (Preset::Demo, None) if !settings.untrained => embedded::detail_transfer()?,
            _ => DetailTransfer::default(),
        };
        Ok(Self { settings: settings.clone(), device, configs, detail, files: Arc::default() })
    }

    /// How these weights want detail transfer to be done: small weights may have a `detail.json`, all others take the whole
    /// difference.
    #[must_use]
    pub fn detail_transfer(&self) -> &DetailTransfer {
        &self.detail
    }

    /// Have these weights seen data, or are they drawn at random?
    #[must_use]
    pub fn is_trained(&self) -> bool {
        self.settings.preset != Preset::Demo || self.settings.demo.is_some() || !self.settings.untrained
    }

    /// Are they the published ones?
    fn is_real(&self) -> bool {
        self.settings.preset == Preset::AniCrafter
    }

    /// Are they part of the program?
    fn is_embedded(&self) -> bool {
        self.settings.preset == Preset::Demo && self.settings.demo.is_none() && !self.settings.untrained
    }

    /// Rows that a prompt's embedding is padded to.
    #[must_use]
    pub fn context_rows(&self) -> usize {
        self.configs.dit.text_len
    }

    /// The device that models run on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The hyperparameters of all models.
    #[must_use]
    pub fn configs(&self) -> &Configs {
        &self.configs
    }

    /// Are activations rounded to 8 bits?
    pub(crate) fn rounds_activations(&self) -> bool {
        self.settings.activations == Activations::Int8
    }

    /// The VAE's configuration.
    #[must_use]
    pub fn vae_config(&self) -> &vae::Config {
        &self.configs.vae
    }

    /// The transformer's configuration.
    #[must_use]
    pub fn dit_config(&self) -> &dit::Config {
        &self.configs.dit
    }

    /// The type that a model computes in. Small models are small in f32 too; the embedders and the image encoder are always.
    pub(crate) fn compute_type(&self, model: Model) -> DType {
        let half = if self.settings.dtype == Dtype::F32 { DType::F32 } else { DType::BF16 };
        match (model, self.settings.preset) {
            (Model::Dit, _) | (Model::Vae, Preset::AniCrafter) => half,
            (Model::T5, Preset::AniCrafter) => DType::BF16,
            _ => DType::F32,
        }
    }

    /// The tokenizer and the text encoder, held or streamed as the settings say.
    ///
    /// # Errors
    /// When a file is missing or doesn't fit, or the memory budget is smaller than a block.
    pub fn text(&self) -> Result<(Tokenizer, TextEncoder)> {
        let tokenizer = self.tokenizer()?;
        let config = &self.configs.text;
        let streaming = self.text_streaming()?.unwrap_or(Streaming::none(config.num_layers));
        let encoder = TextEncoder::streamed(config, &self.weights(Model::T5)?, streaming)?;
        Ok((tokenizer, encoder))
    }

    /// The tokenizer alone.
    ///
    /// # Errors
    /// When its file is missing or damaged.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        let Some(files) = self.files(Part::Tokenizer)? else {
            return Ok(Tokenizer::from_json(SMALL_TOKENIZER)?);
        };
        let path = files.first().ok_or(Error::Internal("a tokenizer without a file"))?;
        let read = match read_tokenizer(path)? {
            TokenizerModel::Json(text) => Tokenizer::from_json(&text),
            TokenizerModel::SentencePiece(bytes) => Tokenizer::from_sentencepiece(&bytes),
        };
        read.map_err(|e| Error::Damaged { path: path.clone(), why: e.to_string() })
    }

    /// The image encoder.
    ///
    /// # Errors
    /// When the file is missing or doesn't fit.
    pub fn image(&self) -> Result<ImageEncoder> {
        Ok(ImageEncoder::new(&self.configs.image, &self.weights(Model::Clip)?.pp("visual"))?)
    }

    /// The VAE, or the half of it that a stage needs.
    ///
    /// # Errors
    /// When the file is missing or doesn't fit.
    pub fn vae(&self, halves: vae::Halves) -> Result<vae::Vae> {
        let weights = self.weights(Model::Vae)?;
        Ok(vae::Vae::load_with(&self.configs.vae, &weights, halves, vae::Backend::Auto)?)
    }

    /// The condition embedders, always in f32.
    ///
    /// # Errors
    /// When the files are missing or don't fit.
    pub fn embedders(&self) -> Result<ConditionEmbedders> {
        let manifest = self.configs.embedders()?;
        let stack = |name: &str| -> Result<ConditionEmbedder> {
            let weights = match self.files(Part::AniCrafter)? {
                Some(files) => {
                    let source = Checkpoint::open(files)?.module(name)?;
                    source.compare(&manifest.below(name)).strict()?;
                    Weights::new(Arc::new(source), DType::F32, &self.device)
                }
                None if self.is_embedded() => {
                    let source = embedded::embedders()?.module(name)?;
                    source.compare(&manifest.below(name)).strict()?;
                    Weights::new(Arc::new(source), DType::F32, &self.device)
                }
                None => {
                    let source = Arc::new(Untrained::new(manifest.clone(), 4));
                    Weights::new(source, DType::F32, &self.device).pp(name)
                }
            };
            Ok(ConditionEmbedder::load(self.configs.dit.dim, &weights)?)
        };
        let [blend, smplx] = EMBEDDERS;
        Ok(ConditionEmbedders { blend: stack(blend)?, smplx: stack(smplx)? })
    }

    /// The diffusion transformer with its LoRAs, held, streamed or quantised as the settings say.
    ///
    /// # Errors
    /// When a file is missing or doesn't fit, a LoRA has unknown targets, the memory budget is smaller than a block, or
    /// activations of 8 bits are asked for without quantised weights.
    pub fn transformer(&self) -> Result<WanModel> {
        let config = &self.configs.dit;
        let source = self.transformer_weights()?;
        let dtype = self.compute_type(Model::Dit);
        let blocks = self.block_weights(source.clone())?.pp("blocks");
        let weights = Weights::new(source, dtype, &self.device);
        let streaming = self.streaming()?.unwrap_or(Streaming::none(config.num_layers));
        let provider = Streamed::new(config, &blocks, streaming)?;
        Ok(WanModel::with_blocks(config, &weights, Box::new(provider))?)
    }

    /// The weights of the transformer's blocks: prepared ones, or those of `source` in the type that they are held in.
    fn block_weights(&self, source: Arc<dyn WeightSource>) -> Result<Weights> {
        let prepared = self.prepared()?;
        let is_quantized = prepared.as_ref().map(checkpoint::Prepared::is_quantized);
        let blocks: Arc<dyn WeightSource> = match prepared {
            Some(prepared) => Arc::new(prepared),
            None => self.blocks_source(source),
        };
        let weights = Weights::new(blocks, self.compute_type(Model::Dit), &self.device);
        if self.settings.activations == Activations::Float || self.settings.dtype == Dtype::Int8 {
            return Ok(weights);
        }
        let dim = self.configs.dit.dim;
        let asked = || weights.get_quantized((dim, dim), "blocks.0.self_attn.q.weight");
        let is_quantized = is_quantized.map_or_else(|| asked().map(|found| found.is_some()), Ok)?;
        if is_quantized { Ok(weights.with_inputs(Inputs::Int8)) } else { Err(no_quantised_weights()) }
    }

    /// The transformer's tensors with all LoRAs merged on the way.
    fn transformer_weights(&self) -> Result<Arc<dyn WeightSource>> {
        let Some(mut source) = self.open(Model::Dit)? else {
            if let Some(lora) = self.settings.lora.first() {
                return Err(Error::Option {
                    option: "models.lora",
                    why: format!(
                        "{} can't be merged into weights that are drawn at random",
                        lora.path.display()
                    ),
                });
            }
            return self.untrained(Model::Dit);
        };
        if self.settings.preset == Preset::AniCrafter
            && let Some(files) = self.files(Part::AniCrafter)?
        {
            source = source.with_lora(&Lora::open(files, Alpha::Ignore)?, 1.0)?;
        }
        for lora in &self.settings.lora {
            source = merge(source, lora, self.settings.skip_unmatched)?;
        }
        Ok(Arc::new(source))
    }

    /// Where each part's files are and why these; looked for once.
    ///
    /// # Errors
    /// When a configuration lacks a number. What is wrong with a part is in the result.
    pub fn resolution(&self) -> Result<&Resolution> {
        if let Some(known) = self.files.get() {
            return Ok(known);
        }
        let request = files::request(&self.settings, &self.configs)?;
        Ok(self.files.get_or_init(|| resolve(&request)))
    }

    /// Every file that the models are read from, LoRAs included.
    ///
    /// # Errors
    /// As [`ModelSet::resolution`].
    pub fn paths(&self) -> Result<Vec<PathBuf>> {
        let chosen = self.resolution()?.parts().filter_map(|(_, outcome)| outcome.as_ref().ok());
        let files = chosen.flat_map(checkpoint::Choice::files);
        Ok(files.chain(self.settings.lora.iter().map(|lora| lora.path.clone())).collect())
    }

    /// A part's files; `None` for what is drawn at random or part of this crate.
    fn files(&self, part: Part) -> Result<Option<&[PathBuf]>> {
        let resolution = self.resolution()?;
        if resolution.parts().all(|(known, _)| known != part) {
            return Ok(None);
        }
        Ok(Some(resolution.files(part)?))
    }

    /// A model's weights, all of them known to be there: from its files, or drawn at random.
    fn weights(&self, model: Model) -> Result<Weights> {
        let source: Arc<dyn WeightSource> = match self.open(model)? {
            Some(checkpoint) => Arc::new(checkpoint),
            None if model == Model::Vae => {
                return Ok(vae::random_weights(&self.configs.vae, 3, &self.device)?);
            }
            None => self.untrained(model)?,
        };
        Ok(Weights::new(source, self.compute_type(model), &self.device))
    }

    /// A model's files, compared with what the model has; `None` for random weights.
    fn open(&self, model: Model) -> Result<Option<Checkpoint>> {
        let part = Part::ALL.into_iter().find(|part| part.model() == Some(model));
        let source = match part.map(|part| self.files(part)).transpose()?.flatten() {
            Some(files) => Checkpoint::open_model(model, files)?,
            None if self.is_embedded() => embedded::model(model)?,
            None => return Ok(None),
        };
        source.compare(&self.configs.manifest(model)?).strict()?;
        Ok(Some(source))
    }

    fn untrained(&self, model: Model) -> Result<Arc<dyn WeightSource>> {
        let name = match model {
            Model::T5 => "t5",
            Model::Clip => "clip",
            _ => "dit",
        };
        let seed = name.bytes().fold(0, |h: u64, b| h * 31 + u64::from(b));
        Ok(Arc::new(Untrained::new(self.configs.manifest(model)?, seed)))
    }
}

pub(crate) fn no_quantised_weights() -> Error {
    Error::Option {
        option: "models.activations",
        why: "int8 needs quantised weights, and the transformer's file holds none: take models.dtype (--dtype) q8 or q4"
            .to_owned(),
    }
}

/// A transformer with one of the settings' LoRAs.
pub(crate) fn merge(transformer: Checkpoint, lora: &crate::Lora, skip_unmatched: bool) -> Result<Checkpoint> {
    let opened = Lora::open(&[&lora.path], Alpha::FromFile)?.skip_unmatched(skip_unmatched);
    Ok(transformer.with_lora(&opened, lora.strength())?)
}

/// `auto`, `cpu`, `cuda`, `cuda:N` or `metal`.
///
/// # Errors
/// When the name is unknown, the build has no support for it, or there is no such device.
pub fn open_device(name: &str) -> Result<Device> {
    nn::open_device(name).map_err(|why| Error::Option { option: "models.device", why: why.to_string() })
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
    fn the_small_models_load() {
        for untrained in [false, true] {
            let settings = Models { dtype: Dtype::F32, untrained, ..Models::default() };
            let set = ModelSet::new(&settings).unwrap();
            assert_eq!(set.is_trained(), !untrained);
            let (tokenizer, text) = set.text().unwrap();
            let ids = tokenizer.tokenize("human in a scene", 64).unwrap().ids;
            assert_eq!(text.encode(&ids, 64).unwrap().dims(), [1, 64, set.dit_config().text_dim]);
            set.image().unwrap();
            set.vae(vae::Halves::Both).unwrap();
            set.embedders().unwrap();
            set.transformer().unwrap();
        }
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
