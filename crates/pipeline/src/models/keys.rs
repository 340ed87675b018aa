//! What a model's numbers depend on, as fingerprints, and how much memory each takes.

use super::{ModelSet, embedded};
use crate::Result;
use crate::work::Fingerprint;
use checkpoint::{Model, Part};
use dit::plan::{Workload, plan};
use vae::Halves;

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

    /// The halves of the VAE that it is.
    pub(crate) fn halves(self) -> Halves {
        if self == Self::Decoder { Halves::Decoder } else { Halves::Encoder }
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
        let packaged = self.is_embedded().then(embedded::digest);
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
        let memory = (wanted == Wanted::Transformer).then_some(self.settings.memory_gib).flatten();
        Fingerprint::of(&(self.key(wanted)?, memory))
    }

    /// Bytes that a loaded model takes.
    pub(crate) fn bytes(&self, wanted: Wanted) -> Result<u64> {
        let dense = |model: Model, keep: &dyn Fn(&str) -> bool| -> Result<u64> {
            let manifest = self.configs.manifest(model)?;
            let kept = manifest.tensors.iter().filter(|(name, _)| keep(name));
            let numbers: usize = kept.map(|(_, shape)| shape.iter().product::<usize>()).sum();
            Ok((numbers * self.compute_type(model).size_in_bytes()) as u64)
        };
        match wanted {
            Wanted::Text => dense(Model::T5, &|_| true),
            Wanted::Image => dense(Model::Clip, &|_| true),
            Wanted::Encoder => dense(Model::Vae, &|name| !name.starts_with("decoder.")),
            Wanted::Decoder => dense(Model::Vae, &|name| !name.starts_with("encoder.")),
            Wanted::Embedders => {
                let manifest = self.configs.embedders()?;
                let numbers: usize =
                    manifest.tensors.values().map(|shape| shape.iter().product::<usize>()).sum();
                Ok(4 * numbers as u64)
            }
            Wanted::Transformer => {
                let workload = Workload {
                    latent: self.configs.dit.patch_size,
                    steps: 1,
                    branches: 1,
                    storage: self.storage(),
                    streaming: self.streaming()?,
                };
                Ok(plan(&self.configs.dit, &workload)?.weight_bytes)
            }
        }
    }
}
