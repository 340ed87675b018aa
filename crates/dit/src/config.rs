//! Hyperparameters, under the names of the reference's constructor.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The hyperparameters of a Wan transformer.
///
/// Deserialises from the reference's own names, from the published `config.json` (`model_type` stands for
/// `has_image_input`), and from diffusers' `transformer/config.json` (`num_attention_heads`, `attention_head_dim`,
/// `in_channels`, `out_channels`, `image_dim`). Whatever a file doesn't say has the value that all Wan 2.1 models share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ConfigFile")]
pub struct Config {
    /// D, width of the token stream.
    pub dim: usize,
    /// Channels that are patchified: 16 latents, and 20 more (mask and image latents) with an image input.
    pub in_dim: usize,
    /// Hidden width of the feed-forward layers.
    pub ffn_dim: usize,
    /// Channels of the prediction.
    pub out_dim: usize,
    /// Width of the text encoder's rows.
    pub text_dim: usize,
    /// Width of the sinusoidal timestep embedding.
    pub freq_dim: usize,
    /// Epsilon of the norms.
    pub eps: f64,
    /// Patch extents (time, height, width).
    pub patch_size: [usize; 3],
    /// N, number of heads.
    pub num_heads: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Does the model take image features and image latents?
    pub has_image_input: bool,
    /// Rows that a prompt embedding is padded to.
    pub text_len: usize,
    /// Rows of image features.
    pub image_tokens: usize,
    /// Width of the image features.
    pub image_dim: usize,
}

/// What configuration files say.
#[derive(Deserialize)]
struct ConfigFile {
    dim: Option<usize>,
    attention_head_dim: Option<usize>,
    #[serde(alias = "in_channels")]
    in_dim: usize,
    ffn_dim: usize,
    #[serde(alias = "out_channels")]
    out_dim: usize,
    text_dim: Option<usize>,
    freq_dim: Option<usize>,
    eps: Option<f64>,
    patch_size: Option<[usize; 3]>,
    #[serde(alias = "num_attention_heads")]
    num_heads: usize,
    num_layers: usize,
    has_image_input: Option<bool>,
    model_type: Option<String>,
    text_len: Option<usize>,
    image_tokens: Option<usize>,
    image_dim: Option<usize>,
}

impl TryFrom<ConfigFile> for Config {
    type Error = Error;

    fn try_from(file: ConfigFile) -> Result<Self> {
        let has_image_input = match (file.has_image_input, file.model_type.as_deref()) {
            (Some(has), _) => has,
            (None, Some("i2v")) => true,
            (None, Some("t2v")) => false,
            (None, Some(other)) => {
                return Err(Error::Config(format!("model_type {other:?} isn't supported")));
            }
            // diffusers' files have neither, and an image_dim only with an image input.
            (None, None) if file.attention_head_dim.is_some() => file.image_dim.is_some(),
            (None, None) => {
                return Err(Error::Config("neither has_image_input nor model_type is given".into()));
            }
        };
        let Some(dim) = file.dim.or(file.attention_head_dim.map(|k| k * file.num_heads)) else {
            return Err(Error::Config("neither dim nor attention_head_dim is given".into()));
        };
        let shared = Self::t2v_14b();
        let config = Self {
            dim,
            in_dim: file.in_dim,
            ffn_dim: file.ffn_dim,
            out_dim: file.out_dim,
            text_dim: file.text_dim.unwrap_or(shared.text_dim),
            freq_dim: file.freq_dim.unwrap_or(shared.freq_dim),
            eps: file.eps.unwrap_or(shared.eps),
            patch_size: file.patch_size.unwrap_or(shared.patch_size),
            num_heads: file.num_heads,
            num_layers: file.num_layers,
            has_image_input,
            text_len: file.text_len.unwrap_or(shared.text_len),
            image_tokens: file.image_tokens.unwrap_or(shared.image_tokens),
            image_dim: file.image_dim.unwrap_or(shared.image_dim),
        };
        config.validate()?;
        Ok(config)
    }
}

impl Config {
    /// Wan2.1-T2V-1.3B.
    #[must_use]
    pub fn t2v_1_3b() -> Self {
        Self { dim: 1536, ffn_dim: 8960, num_heads: 12, num_layers: 30, ..Self::t2v_14b() }
    }

    /// Wan2.1-T2V-14B.
    #[must_use]
    pub fn t2v_14b() -> Self {
        Self {
            dim: 5120,
            in_dim: 16,
            ffn_dim: 13824,
            out_dim: 16,
            text_dim: 4096,
            freq_dim: 256,
            eps: 1e-6,
            patch_size: [1, 2, 2],
            num_heads: 40,
            num_layers: 40,
            has_image_input: false,
            text_len: 512,
            image_tokens: 257,
            image_dim: 1280,
        }
    }

    /// Wan2.1-I2V-14B-480P. The 720P model has the same hyperparameters and other weights.
    #[must_use]
    pub fn i2v_14b_480p() -> Self {
        Self { in_dim: 36, has_image_input: true, ..Self::t2v_14b() }
    }

    /// Wan2.1-I2V-14B-720P, AniCrafter's base model.
    #[must_use]
    pub fn i2v_14b_720p() -> Self {
        Self::i2v_14b_480p()
    }

    /// K, elements of a head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.dim / self.num_heads
    }

    /// Checks that the hyperparameters fit together.
    ///
    /// # Errors
    /// When they don't: says which.
    pub fn validate(&self) -> Result<()> {
        let fail = |why: String| Err(Error::Config(why));
        let positive = [
            ("dim", self.dim),
            ("in_dim", self.in_dim),
            ("ffn_dim", self.ffn_dim),
            ("out_dim", self.out_dim),
            ("text_dim", self.text_dim),
            ("freq_dim", self.freq_dim),
            ("num_heads", self.num_heads),
            ("num_layers", self.num_layers),
            ("text_len", self.text_len),
            ("image_tokens", self.image_tokens),
            ("image_dim", self.image_dim),
            ("patch_size[0]", self.patch_size[0]),
            ("patch_size[1]", self.patch_size[1]),
            ("patch_size[2]", self.patch_size[2]),
        ];
        for (name, value) in positive {
            if value == 0 || value > 1 << 24 {
                return fail(format!("{name} is {value}"));
            }
        }
        if !self.dim.is_multiple_of(self.num_heads) {
            return fail(format!("dim {} isn't a multiple of num_heads {}", self.dim, self.num_heads));
        }
        let head = self.head_dim();
        if !(head / 3).is_multiple_of(2) || !head.is_multiple_of(2) || head < 6 {
            return fail(format!("a head of {head} elements can't be split into pairs for three axes"));
        }
        if !self.freq_dim.is_multiple_of(2) {
            return fail(format!("freq_dim {} is odd", self.freq_dim));
        }
        if !(self.eps.is_finite() && self.eps > 0.0) {
            return fail(format!("eps is {}", self.eps));
        }
        if self.has_image_input && self.in_dim <= self.out_dim {
            return fail(format!(
                "with an image input in_dim {} must exceed out_dim {}",
                self.in_dim, self.out_dim
            ));
        }
        Ok(())
    }
}
