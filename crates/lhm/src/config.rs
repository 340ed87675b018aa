//! Hyperparameters, named as in the reference's constructors and in `config.json` of the published files.

use crate::{Error, Result};
use encoders::{dinov2, sapiens};
use serde::{Deserialize, Serialize};

/// The three sizes in which LHM was published. `-HF` files (trained with random crops of the body too) are of the same shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// LHM-MINI: 2 layers, 20,000 points, pictures of 840 × 504.
    Mini,
    /// LHM-500M and LHM-500M-HF: 5 layers, 40,000 points, pictures of 1694 × 1022.
    #[serde(rename = "500m")]
    M500,
    /// LHM-1B and LHM-1B-HF, which AniCrafter uses: 15 layers, 40,000 points, pictures of 1694 × 1022.
    #[serde(rename = "1b")]
    B1,
}

impl Variant {
    /// All of them with their names on a command line.
    pub const ALL: [(&'static str, Self); 3] = [("mini", Self::Mini), ("500m", Self::M500), ("1b", Self::B1)];

    /// Its name on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mini => "mini",
            Self::M500 => "500m",
            Self::B1 => "1b",
        }
    }
}

/// Largest side of a picture in a configuration, in pixels.
const MAX_SIDE: u32 = 1 << 13;
/// Largest width, number of layers and the like: products of a few of them stay far from overflow.
const MAX_NUMBER: usize = 1 << 16;

/// How the picture is cut and sized.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PictureConfig {
    /// Longer side of the cut before the final size, in pixels.
    pub max_tgt_size: u32,
    /// What height and width of the body picture are made from: height `⌊size · aspect / multiply⌋ · multiply`, width likewise
    /// without the aspect. The published models' `source_image_res`.
    #[serde(alias = "source_image_res")]
    pub render_tgt_size: u32,
    /// Both sides are multiples of this.
    pub multiply: u32,
    /// Side of the head picture.
    pub src_head_size: u32,
    /// Height of the body picture over its width.
    pub aspect_standard: f64,
    /// What the head's box is enlarged by.
    pub head_scale: f32,
    /// Brightness of what lies outside the mask, 0 to 1.
    pub bg_color: f64,
    /// The share above which a mask's pixel is the person.
    pub mask_threshold: f64,
    /// Less of the body's height in view than this, or just as much, is refused.
    pub least_body_ratio: f32,
}

impl Default for PictureConfig {
    fn default() -> Self {
        Self {
            max_tgt_size: 896,
            render_tgt_size: 1024,
            multiply: 14,
            src_head_size: 112,
            aspect_standard: 5.0 / 3.0,
            head_scale: 1.65,
            bg_color: 1.0,
            mask_threshold: 0.5,
            least_body_ratio: 0.1,
        }
    }
}

impl PictureConfig {
    /// Checks that the numbers are those of pictures.
    ///
    /// # Errors
    /// When they aren't.
    pub fn validate(&self) -> Result<()> {
        let sides = [
            ("max_tgt_size", self.max_tgt_size),
            ("render_tgt_size", self.render_tgt_size),
            ("src_head_size", self.src_head_size),
        ];
        for (name, side) in sides {
            if !(1..=MAX_SIDE).contains(&side) {
                return Err(Error::Config(format!("{name} {side}, not 1 to {MAX_SIDE}")));
            }
        }
        if self.multiply == 0 || self.multiply > self.render_tgt_size {
            return Err(Error::Config(format!(
                "multiply {} of a size of {}",
                self.multiply, self.render_tgt_size
            )));
        }
        if !(1.0..=4.0).contains(&self.aspect_standard) {
            return Err(Error::Config(format!("aspect_standard {}, not 1 to 4", self.aspect_standard)));
        }
        let scale = self.head_scale > 0.0 && self.head_scale < 100.0;
        if !scale || !(0.0..=1.0).contains(&self.bg_color) {
            return Err(Error::Config(format!("head_scale {}, bg_color {}", self.head_scale, self.bg_color)));
        }
        Ok(())
    }

    /// Height and width of the body picture.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        let multiple = |x: f64| (x / f64::from(self.multiply.max(1))) as u32 * self.multiply;
        let size = f64::from(self.render_tgt_size);
        (multiple(size * self.aspect_standard), multiple(size))
    }
}

/// The perceptron before the Gaussians' layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MlpConfig {
    /// Width inside.
    pub n_neurons: usize,
    /// Number of inner layers.
    pub n_hidden_layers: usize,
    /// `silu` or `relu`.
    pub activation: String,
}

/// What turns features into Gaussians.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadsConfig {
    /// Width of the features.
    #[serde(rename = "gs_query_dim", alias = "query_dim")]
    pub query_dim: usize,
    /// The perceptron.
    #[serde(rename = "gs_mlp_network_config", alias = "mlp_network_config")]
    pub mlp_network_config: MlpConfig,
    /// Colours instead of spherical harmonics; the only form that is supported, and that was published.
    #[serde(rename = "gs_use_rgb", alias = "use_rgb")]
    pub use_rgb: bool,
    /// Size of the range of offsets, in metres.
    #[serde(rename = "gs_xyz_offset_max_step", alias = "xyz_offset_max_step")]
    pub xyz_offset_max_step: f32,
    /// Training steps and ceilings of the scales: until `[0]` it is `[1]`, at `[3]` it is `[2]`, between them a line.
    #[serde(rename = "gs_clip_scaling", alias = "clip_scaling")]
    pub clip_scaling: [f64; 4],
    /// Is every Gaussian opaque?
    #[serde(default)]
    pub fix_opacity: bool,
    /// Is no Gaussian turned?
    #[serde(default)]
    pub fix_rotation: bool,
    /// Ceiling of the scales of the upper body's points, in metres.
    #[serde(default = "upper_body_max_scaling")]
    pub upper_body_max_scaling: f32,
}

fn upper_body_max_scaling() -> f32 {
    0.02
}

/// The transformer of points and picture tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransformerConfig {
    /// Number of layers; each has a block for the head and one for the body.
    pub num_layers: usize,
    /// N; a head of the attention has `inner_dim / N` elements.
    pub num_heads: usize,
    /// D, width of points and tokens.
    pub inner_dim: usize,
    /// Width of the picture's features.
    pub cond_dim: usize,
    /// How many of the picture's tokens are the body's.
    #[serde(default = "body_tokens")]
    pub body_tokens: usize,
    /// Width inside the feed-forward layers over the width.
    #[serde(default = "ff_mult")]
    pub ff_mult: usize,
    /// Added to the variance in the norms.
    #[serde(default = "eps")]
    pub eps: f64,
    /// The same in the modulated norms before attention.
    #[serde(default = "eps")]
    pub norm1_eps: f64,
    /// Only `sd3_mm_bh_cond` is supported, and was published.
    #[serde(default = "block_type")]
    pub block_type: String,
    /// Only `rms_norm`.
    #[serde(default = "qk_norm")]
    pub qk_norm: String,
    /// Only `gelu-approximate`.
    #[serde(default = "activation")]
    pub activation: String,
}

fn body_tokens() -> usize {
    4096
}
fn ff_mult() -> usize {
    4
}
fn eps() -> f64 {
    1e-6
}
fn block_type() -> String {
    "sd3_mm_bh_cond".to_owned()
}
fn qk_norm() -> String {
    "rms_norm".to_owned()
}
fn activation() -> String {
    "gelu-approximate".to_owned()
}

impl TransformerConfig {
    /// Checks that the numbers describe a model that this crate has.
    ///
    /// # Errors
    /// When they don't.
    pub fn validate(&self) -> Result<()> {
        let only = |what: &str, found: &str, has: String| {
            if found == has {
                Ok(())
            } else {
                Err(Error::Config(format!("{what} {found:?}, only {has:?} is supported")))
            }
        };
        only("block_type", &self.block_type, block_type())?;
        only("qk_norm", &self.qk_norm, qk_norm())?;
        only("activation", &self.activation, activation())?;
        let (d, n) = (self.inner_dim, self.num_heads);
        let numbers = [d, self.num_layers, self.cond_dim, self.ff_mult, self.body_tokens];
        if let Some(large) = numbers.iter().find(|n| **n > MAX_NUMBER) {
            return Err(Error::Config(format!("a transformer of a dimension of {large}")));
        }
        if n == 0 || d == 0 || !d.is_multiple_of(n) {
            return Err(Error::Config(format!("a transformer of width {d} with {n} heads")));
        }
        if self.num_layers == 0 || self.cond_dim == 0 || self.ff_mult == 0 || self.body_tokens == 0 {
            return Err(Error::Config("a transformer without layers, features or tokens".to_owned()));
        }
        Ok(())
    }
}

/// LHM's hyperparameters as `config.json` has them, flat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// D.
    pub transformer_dim: usize,
    /// Number of layers.
    pub transformer_layers: usize,
    /// Number of attention heads.
    pub transformer_heads: usize,
    /// As [`TransformerConfig::block_type`].
    #[serde(default = "block_type")]
    pub transformer_type: String,
    /// Width of the head picture's features.
    pub encoder_feat_dim: usize,
    /// Width of the body picture's features.
    pub fine_encoder_feat_dim: usize,
    /// Width of the embedded points.
    pub pcl_dim: usize,
    /// Number of points.
    pub dense_sample_pts: usize,
    /// The layers that make Gaussians.
    #[serde(flatten)]
    pub heads: HeadsConfig,
    /// The head picture's encoder.
    #[serde(default = "dinov2::Config::vit_l_14_reg")]
    pub encoder: dinov2::Config,
    /// The body picture's encoder.
    #[serde(default)]
    pub fine_encoder: sapiens::Config,
    /// How the picture is cut and sized.
    #[serde(default)]
    pub preprocess: PictureConfig,
}

impl Config {
    /// A published size.
    #[must_use]
    pub fn variant(variant: Variant) -> Self {
        let (layers, points, size) = match variant {
            Variant::Mini => (2, 20_000, 512),
            Variant::M500 => (5, 40_000, 1024),
            Variant::B1 => (15, 40_000, 1024),
        };
        let mlp = MlpConfig { n_neurons: 512, n_hidden_layers: 2, activation: "silu".to_owned() };
        Self {
            transformer_dim: 1024,
            transformer_layers: layers,
            transformer_heads: 16,
            transformer_type: block_type(),
            encoder_feat_dim: 1024,
            fine_encoder_feat_dim: 1536,
            pcl_dim: 1024,
            dense_sample_pts: points,
            heads: HeadsConfig {
                query_dim: 1024,
                mlp_network_config: mlp,
                use_rgb: true,
                xyz_offset_max_step: 1.0,
                clip_scaling: [100.0, 0.01, 0.05, 3000.0],
                fix_opacity: false,
                fix_rotation: false,
                upper_body_max_scaling: upper_body_max_scaling(),
            },
            encoder: dinov2::Config::vit_l_14_reg(),
            fine_encoder: sapiens::Config::sapiens_1b(),
            preprocess: PictureConfig { render_tgt_size: size, ..PictureConfig::default() },
        }
    }

    /// The configuration of a `config.json`: the flat arguments of the reference's constructor. What the encoders are comes from
    /// their names; the picture's size, which the file needn't say, is that of the published model of the same numbers.
    ///
    /// # Errors
    /// When a number is missing, or an encoder isn't one of this crate's.
    pub fn from_json(json: &serde_json::Value) -> Result<Self> {
        let name = |key: &str| json[key].as_str().unwrap_or_default();
        let (head, body) = (name("encoder_model_name"), name("fine_encoder_model_name"));
        if json["encoder"].is_null() && !matches!(head, "" | "dinov2_vitl14_reg") {
            return Err(Error::Config(format!(
                "encoder_model_name {head:?}, only \"dinov2_vitl14_reg\" is known"
            )));
        }
        if json["fine_encoder"].is_null() && !body.is_empty() && !body.contains("sapiens_1b") {
            return Err(Error::Config(format!("fine_encoder_model_name {body:?}, only Sapiens-1B is known")));
        }
        let mut config: Self =
            serde_json::from_value(json.clone()).map_err(|e| Error::Config(e.to_string()))?;
        if json["preprocess"].is_null() {
            let given = json["source_image_res"].as_u64().and_then(|n| u32::try_from(n).ok());
            let usual = config.published().map(|variant| Self::variant(variant).preprocess.render_tgt_size);
            if let Some(size) = given.or(usual) {
                config.preprocess.render_tgt_size = size;
            }
        }
        config.validate()?;
        Ok(config)
    }

    /// The published size that this is, if it is one; the picture's size isn't looked at, which `config.json` doesn't say.
    #[must_use]
    pub fn published(&self) -> Option<Variant> {
        let same = |variant: &Variant| {
            let preset = Self::variant(*variant);
            Self { preprocess: preset.preprocess.clone(), ..self.clone() } == preset
        };
        Variant::ALL.map(|(_, variant)| variant).into_iter().find(same)
    }

    /// The transformer's part.
    #[must_use]
    pub fn transformer(&self) -> TransformerConfig {
        TransformerConfig {
            num_layers: self.transformer_layers,
            num_heads: self.transformer_heads,
            inner_dim: self.transformer_dim,
            cond_dim: self.fine_encoder_feat_dim,
            body_tokens: self.fine_encoder.n_patches(),
            ff_mult: ff_mult(),
            eps: eps(),
            norm1_eps: eps(),
            block_type: self.transformer_type.clone(),
            qk_norm: qk_norm(),
            activation: activation(),
        }
    }

    /// Checks that the numbers fit together and describe a model that this crate has.
    ///
    /// # Errors
    /// When they don't.
    pub fn validate(&self) -> Result<()> {
        self.encoder.validate()?;
        self.fine_encoder.validate()?;
        self.transformer().validate()?;
        self.heads.validate()?;
        self.preprocess.validate()?;
        let equal = [
            ("pcl_dim", self.pcl_dim, "transformer_dim", self.transformer_dim),
            ("gs_query_dim", self.heads.query_dim, "transformer_dim", self.transformer_dim),
            (
                "the encoder's encoder_feat_dim",
                self.encoder.encoder_feat_dim,
                "encoder_feat_dim",
                self.encoder_feat_dim,
            ),
            (
                "the fine encoder's embed_dims",
                self.fine_encoder.arch.embed_dims,
                "fine_encoder_feat_dim",
                self.fine_encoder_feat_dim,
            ),
        ];
        for (a, x, b, y) in equal {
            if x != y {
                return Err(Error::Config(format!("{a} is {x}, but {b} is {y}")));
            }
        }
        if self.encoder_feat_dim > self.fine_encoder_feat_dim {
            return Err(Error::Config(format!(
                "encoder_feat_dim {} is more than fine_encoder_feat_dim {}",
                self.encoder_feat_dim, self.fine_encoder_feat_dim
            )));
        }
        Ok(())
    }
}

impl HeadsConfig {
    /// Checks that the numbers describe a model that this crate has.
    ///
    /// # Errors
    /// When they don't.
    pub fn validate(&self) -> Result<()> {
        if !self.use_rgb {
            return Err(Error::Config("gs_use_rgb is false; only colours are supported".to_owned()));
        }
        self.mlp_network_config.activation()?;
        let mlp = &self.mlp_network_config;
        if [mlp.n_neurons, mlp.n_hidden_layers, self.query_dim].iter().any(|n| *n > MAX_NUMBER) {
            return Err(Error::Config(format!(
                "a perceptron of {} layers of {}",
                mlp.n_hidden_layers, mlp.n_neurons
            )));
        }
        if self.mlp_network_config.n_hidden_layers == 0
            || self.mlp_network_config.n_neurons == 0
            || self.query_dim == 0
        {
            return Err(Error::Config("a perceptron without layers".to_owned()));
        }
        Ok(())
    }

    /// The ceiling of the scales at a training step; [`HeadsConfig::max_scaling`] is what the finished model has.
    #[must_use]
    pub fn max_scaling_at(&self, step: u64) -> f32 {
        let [start, low, high, end] = self.clip_scaling;
        let done = ((step as f64 - start) / (end - start)).clamp(0.0, 1.0);
        if step as f64 <= start { low as f32 } else { (low + (high - low) * done) as f32 }
    }

    /// The ceiling of the finished model's scales.
    #[must_use]
    pub fn max_scaling(&self) -> f32 {
        self.clip_scaling[2] as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_sizes_hold_together() {
        for (name, variant) in Variant::ALL {
            let config = Config::variant(variant);
            config.validate().unwrap();
            assert_eq!(config.published(), Some(variant));
            assert_eq!(variant.name(), name);
        }
        assert_eq!(Config::variant(Variant::B1).preprocess.size(), (1694, 1022));
        assert_eq!(Config::variant(Variant::Mini).preprocess.size(), (840, 504));
    }

    #[test]
    fn config_files_say_what_the_model_is() {
        let json = serde_json::json!({
            "transformer_dim": 1024, "transformer_layers": 2, "transformer_heads": 16, "encoder_feat_dim": 1024,
            "fine_encoder_feat_dim": 1536, "pcl_dim": 1024, "dense_sample_pts": 20000, "gs_query_dim": 1024, "gs_use_rgb": true,
            "gs_mlp_network_config": { "n_neurons": 512, "n_hidden_layers": 2, "activation": "silu" },
            "gs_xyz_offset_max_step": 1.0, "gs_clip_scaling": [100, 0.01, 0.05, 3000], "encoder_model_name": "dinov2_vitl14_reg",
            "fine_encoder_model_name": "./pretrained_models/sapiens/pretrained/checkpoints/sapiens_1b/x.pt2", "facesr": true,
        });
        assert_eq!(Config::from_json(&json).unwrap(), Config::variant(Variant::Mini));
        let back = serde_json::to_value(Config::variant(Variant::B1)).unwrap();
        assert_eq!(Config::from_json(&back).unwrap(), Config::variant(Variant::B1));
        let mut other = json.clone();
        other["encoder_model_name"] = "dinov2_vits14_reg".into();
        assert!(Config::from_json(&other).unwrap_err().to_string().contains("dinov2_vits14_reg"));
        let mut other = json;
        other["pcl_dim"] = serde_json::Value::Null;
        assert!(Config::from_json(&other).is_err());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let other = Config { pcl_dim: 512, ..Config::variant(Variant::Mini) };
        let error = other.validate().unwrap_err().to_string();
        assert!(error.contains("pcl_dim is 512, but transformer_dim is 1024"), "{error}");
        let other = Config { transformer_type: "basic".to_owned(), ..Config::variant(Variant::Mini) };
        assert!(other.validate().unwrap_err().to_string().contains("basic"));
    }

    #[test]
    fn absurd_numbers_are_errors() {
        let base = || Config::variant(Variant::Mini);
        let mut all: Vec<Config> = (0..8).map(|_| base()).collect();
        all[0].preprocess.render_tgt_size = u32::MAX;
        all[1].preprocess.multiply = 0;
        all[2].encoder.embed_dim = usize::MAX / 2;
        all[3].fine_encoder.img_size = 1 << 40;
        all[4].transformer_layers = usize::MAX;
        all[5].heads.mlp_network_config.n_hidden_layers = usize::MAX;
        all[6].preprocess.aspect_standard = 0.0;
        all[7].encoder.mlp_ratio = usize::MAX;
        for (i, config) in all.iter().enumerate() {
            assert!(config.validate().is_err(), "{i}");
        }
    }

    #[test]
    fn the_ceiling_of_scales_rises_while_training() {
        let heads = Config::variant(Variant::B1).heads;
        assert_eq!([0, 100, 1550, 3000].map(|s| heads.max_scaling_at(s)), [0.01, 0.01, 0.03, 0.05]);
        assert_eq!(heads.max_scaling(), heads.max_scaling_at(10_000_000));
    }
}
