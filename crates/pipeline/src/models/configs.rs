//! The hyperparameters of all models of a job: a preset's, or those of a folder of small weights.

use crate::job::{Models, Preset};
use crate::{Error, Result};
use checkpoint::{Manifest, Model};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What each model is built by. In a folder of small weights this is `config.json`: one object a model, under the names of
/// the originals' constructors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Configs {
    /// The diffusion transformer, and with it the condition embedders.
    pub dit: dit::Config,
    /// The autoencoder.
    pub vae: vae::Config,
    /// The text encoder.
    pub text: encoders::umt5::Config,
    /// The image encoder.
    pub image: encoders::clip_vision::Config,
}

impl Configs {
    /// Wan2.1-I2V-14B-720P with the encoders and the autoencoder that it is published with.
    #[must_use]
    pub fn wan_2_1_i2v_14b() -> Self {
        Self {
            dit: dit::Config::i2v_14b_720p(),
            vae: vae::Config::wan_2_1(),
            text: encoders::umt5::Config::umt5_xxl(),
            image: encoders::clip_vision::Config::vit_h_14(),
        }
    }

    /// Small models that are filled with random numbers: everything runs, nothing is restored.
    #[must_use]
    pub fn untrained() -> Self {
        Self {
            dit: dit::Config {
                dim: 192,
                ffn_dim: 768,
                num_heads: 6,
                num_layers: 6,
                text_dim: 64,
                freq_dim: 64,
                image_dim: 64,
                image_tokens: 65,
                ..dit::Config::i2v_14b_720p()
            },
            vae: vae::Config::small(16),
            text: encoders::umt5::Config {
                vocab: 128,
                dim: 64,
                dim_attn: 64,
                dim_ffn: 128,
                num_heads: 4,
                num_layers: 2,
                num_buckets: 32,
                shared_pos: false,
            },
            image: encoders::clip_vision::Config {
                image_size: 112,
                vision_dim: 64,
                vision_heads: 4,
                vision_layers: 3,
                ..encoders::clip_vision::Config::vit_h_14()
            },
        }
    }

    /// Reads the `config.json` of a folder of small weights.
    ///
    /// # Errors
    /// When it can't be read, lacks a number, or its numbers don't fit each other.
    pub fn read(folder: &Path) -> Result<Self> {
        let configs: Self = checkpoint::read_config(folder.join("config.json"))?;
        configs.checked()
    }

    /// Those of a `config.json` in memory.
    pub(super) fn parse(json: &[u8]) -> Result<Self> {
        let configs: Self = serde_json::from_slice(json).map_err(|e| Error::Settings(e.to_string()))?;
        configs.checked()
    }

    fn checked(self) -> Result<Self> {
        self.vae.validate()?;
        self.text.validate()?;
        self.image.validate()?;
        Ok(self)
    }

    /// Those of a job's weights.
    ///
    /// # Errors
    /// As [`Configs::read`].
    pub fn of(models: &Models) -> Result<Self> {
        match (models.preset, &models.demo) {
            (Preset::AniCrafter, _) => Ok(Self::wan_2_1_i2v_14b()),
            (Preset::Demo, Some(folder)) => Self::read(folder),
            (Preset::Demo, None) if models.untrained => Ok(Self::untrained()),
            (Preset::Demo, None) => super::embedded::configs(),
        }
    }

    /// The tensors of a model.
    ///
    /// # Errors
    /// When the model has none that are known, which is a fault of this crate.
    pub fn manifest(&self, model: Model) -> Result<Manifest> {
        let config = match model {
            Model::Dit => to_value(&self.dit)?,
            Model::Vae => to_value(&self.vae)?,
            Model::T5 => to_value(&self.text)?,
            Model::Clip => to_value(&self.image)?,
            _ => return Err(Error::Internal("a model without a configuration")),
        };
        Ok(Manifest::of(model, &config)?)
    }

    /// The tensors of the condition embedders.
    ///
    /// # Errors
    /// As [`Configs::manifest`].
    pub fn embedders(&self) -> Result<Manifest> {
        Ok(Manifest::embedders(&to_value(&self.dit)?)?)
    }
}

fn to_value(config: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(config).map_err(|e| Error::Settings(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use checkpoint::preset;
    use serde_json::Value;

    /// The typed configurations and the presets that files are checked by must not drift apart.
    #[test]
    fn typed_configurations_have_the_presets_tensors() {
        let configs = Configs::wan_2_1_i2v_14b();
        for (model, name) in
            [(Model::Dit, "wan2.1-i2v-14b-720p"), (Model::Vae, "wan2.1-vae"), (Model::T5, "umt5-xxl")]
        {
            let preset: Value = preset(name).unwrap();
            assert_eq!(configs.manifest(model).unwrap(), Manifest::of(model, &preset).unwrap(), "{name}");
        }
        let whole: Value = preset("clip-vit-h-14").unwrap();
        let whole = Manifest::of(Model::Clip, &whole).unwrap();
        for (name, shape) in configs.manifest(Model::Clip).unwrap().tensors {
            assert_eq!(whole.tensors.get(&name), Some(&shape), "{name}");
        }
    }

    #[test]
    fn a_damaged_configuration_names_its_file() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["{", "{}", r#"{"dit": {"dim": 4}, "vae": {}, "text": {}, "image": {}}"#] {
            std::fs::write(dir.path().join("config.json"), text).unwrap();
            let error = Configs::read(dir.path()).unwrap_err().to_string();
            assert!(error.contains("config.json"), "{error}");
        }
    }
}
