//! What a model's numbers depend on, as fingerprints, and how much memory each takes.

use super::{ModelSet, embedded};
use crate::Result;
use crate::work::Fingerprint;
use checkpoint::{Model, Part};
use std::time::Instant;

/// A model as stages ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The tokenizer and the text encoder.
    Text,
    /// The image encoder.
    Image,
    /// The condition embedders.
    Embedders,
    /// The VAE's encoder.
    Encoder,
    /// The transformer with its LoRAs.
    Transformer,
    /// The VAE's decoder.
    Decoder,
}

impl Wanted {
    /// What events call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text encoder",
            Self::Image => "image encoder",
            Self::Embedders => "condition embedders",
            Self::Encoder => "VAE encoder",
            Self::Transformer => "transformer",
            Self::Decoder => "VAE decoder",
        }
    }

    fn parts(self) -> &'static [Part] {
        match self {
            Self::Text => &[Part::TextEncoder, Part::Tokenizer],
            Self::Image => &[Part::ImageEncoder],
            Self::Embedders => &[Part::AniCrafter],
            Self::Encoder | Self::Decoder => &[Part::Vae],
            // AniCrafter's files have a LoRA too.
            Self::Transformer => &[Part::Transformer, Part::AniCrafter],
        }
    }
}

impl ModelSet {
    /// The fingerprint of everything that a model's results depend on: its weights, the device, the form of its inputs. Another
    /// model's files and settings don't change it.
    pub(crate) fn key(&self, wanted: Wanted) -> Result<Fingerprint> {
        let activations = (wanted == Wanted::Transformer).then_some(self.settings.activations);
        Fingerprint::of(&(self.weights_key(wanted)?, &self.settings.device, activations))
    }

    /// The fingerprint of where a model's numbers come from and what they are held in. How much of them is in memory changes
    /// none.
    pub(super) fn weights_key(&self, wanted: Wanted) -> Result<Fingerprint> {
        let own = &self.settings;
        let mut files = Vec::new();
        for part in wanted.parts() {
            for path in self.files(*part)?.unwrap_or_default() {
                files.push(Fingerprint::of_path(path)?);
            }
        }
        let packaged = self.is_embedded().then(embedded::fingerprint);
        let types: Vec<String> = wanted
            .parts()
            .iter()
            .filter_map(|part| part.model())
            .map(|model| format!("{:?}", self.compute_type(model)))
            .collect();
        let base = (wanted.name(), own.preset, own.untrained, packaged, files, types);
        if wanted != Wanted::Transformer {
            return Fingerprint::of(&base);
        }
        let mut loras = Vec::new();
        for lora in &own.lora {
            loras.push((Fingerprint::of_path(&lora.path)?, lora.strength()));
        }
        Fingerprint::of(&(base, own.dtype, loras, own.skip_unmatched))
    }

    /// The fingerprint by which a loaded model is found again: its numbers, and how much of it is in memory.
    pub(crate) fn key_in_memory(&self, wanted: Wanted) -> Result<Fingerprint> {
        let streams = matches!(wanted, Wanted::Transformer | Wanted::Text);
        let memory = self.settings.memory_gib.filter(|_| streams);
        Fingerprint::of(&(self.key(wanted)?, memory))
    }

    /// The fingerprint of what the rate of arithmetic depends on: widths, types, device.
    pub(crate) fn rate_key(&self) -> Result<Fingerprint> {
        let own = &self.settings;
        Fingerprint::of(&(&self.configs, own.preset, own.dtype, own.activations, &own.device))
    }

    /// Loads a matrix of a model as the model would, and says how long that took and what share of the model's numbers it has;
    /// `None` where the weights are part of the program or their files can't be read.
    pub(crate) fn time_a_matrix(&self, wanted: Wanted) -> Result<Option<(f64, f64)>> {
        if !self.is_real() {
            return Ok(None);
        }
        let (model, at) = match wanted {
            Wanted::Text => (Model::T5, "blocks.1."),
            Wanted::Image => (Model::Clip, "visual.transformer.1."),
            Wanted::Encoder => (Model::Vae, "encoder."),
            Wanted::Decoder => (Model::Vae, "decoder."),
            Wanted::Transformer => (Model::Dit, "blocks.1."),
            Wanted::Embedders => return Ok(None),
        };
        let manifest = self.configs.manifest(model)?;
        // Of the transformers the blocks count, of the VAE its half, of the others everything.
        let counted = match model {
            Model::Dit | Model::T5 => "blocks.",
            Model::Vae => at,
            _ => "",
        };
        let size = |shape: &[usize]| shape.iter().product::<usize>();
        let all: usize = manifest
            .tensors
            .iter()
            .filter(|(name, _)| name.starts_with(counted))
            .map(|(_, shape)| size(shape))
            .sum();
        let below = manifest.tensors.iter().filter(|(name, _)| name.starts_with(at));
        let mut fitting: Vec<(&String, &Vec<usize>)> =
            below.filter(|(_, shape)| shape.len() == 2 || model == Model::Vae).collect();
        fitting.sort_by_key(|(_, shape)| size(shape));
        let Some(largest) = fitting.pop() else { return Ok(None) };
        let opened = match model {
            Model::Dit => self.transformer_weights().and_then(|source| self.block_weights(source)),
            _ => self.weights(model),
        };
        let Ok(weights) = opened else { return Ok(None) };
        let load = |(name, shape): (&String, &Vec<usize>)| -> Result<()> {
            if let (&[d_out, d_in], Some(layer)) = (&shape[..], name.strip_suffix(".weight")) {
                nn::Linear::load_without_bias(&weights.pp(layer), d_in, d_out)?;
            } else {
                weights.get(shape.clone(), name)?;
            }
            Ok(())
        };
        // What happens once (a LoRA's first use, memory's first pages) isn't a matrix's time: the next smaller one takes it.
        if let Some(next) = fitting.pop() {
            load(next)?;
        }
        let start = Instant::now();
        load(largest)?;
        Ok(Some((start.elapsed().as_secs_f64(), size(largest.1) as f64 / all.max(1) as f64)))
    }

    /// Bytes that a loaded model takes.
    pub(crate) fn bytes(&self, wanted: Wanted) -> Result<u64> {
        let dense = |model: Model, without: &str| -> Result<u64> {
            let mut manifest = self.configs.manifest(model)?;
            manifest.tensors.retain(|name, _| without.is_empty() || !name.starts_with(without));
            Ok(manifest.parameters() * self.compute_type(model).size_in_bytes() as u64)
        };
        match wanted {
            // Of the words' table a few rows are read.
            Wanted::Text => {
                let n_blocks = self.configs.text.num_layers;
                let held = self.text_streaming()?.map_or(n_blocks, |streaming| streaming.held(n_blocks));
                Ok(held as u64 * self.text_block_bytes()?)
            }
            Wanted::Image => dense(Model::Clip, ""),
            Wanted::Encoder => dense(Model::Vae, "decoder."),
            Wanted::Decoder => dense(Model::Vae, "encoder."),
            Wanted::Embedders => Ok(4 * self.configs.embedders()?.parameters()),
            Wanted::Transformer => Ok(self.least_plan(self.streaming()?)?.weight_bytes),
        }
    }
}
