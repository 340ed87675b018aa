//! Sapiens (arXiv 2408.12569), a vision transformer trained on pictures of people: what LHM sees a person's body with.
//!
//! Ported from `pretrain/mmpretrain/models/backbones/vision_transformer.py` of facebookresearch/sapiens (commit 3e829ac) and
//! `SapiensWrapper` of LHM (aigc3d/LHM b31e76a).

use crate::observer::{Observer, probe_of, step};
use crate::square::white_square;
use crate::vit::{Block, Names, PatchEmbed, Sizes, check_numbers, check_pixels};
use crate::{Error, Result};
use candle_core::Tensor;
use nn::{LayerNorm, Weights};
use serde::{Deserialize, Serialize};

const MODEL: &str = "Sapiens";

/// Sizes of the transformer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arch {
    /// D, width of the tokens.
    pub embed_dims: usize,
    /// Number of layers.
    pub num_layers: usize,
    /// N; a head has D / N elements.
    pub num_heads: usize,
    /// Width inside the MLP.
    pub feedforward_channels: usize,
}

/// Hyperparameters, named as in the reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Sizes of the transformer.
    pub arch: Arch,
    /// Side of the square that pictures are resized to.
    pub img_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Does a class token come first? It is dropped at the end.
    pub with_cls_token: bool,
    /// Is there a norm behind the last layer?
    pub final_norm: bool,
    /// Added to the variance in the layer norms.
    pub norm_eps: f64,
    /// Taken off the square, by channel.
    pub mean: [f32; 3],
    /// What the square is divided by, by channel.
    pub std: [f32; 3],
    /// Is a picture blurred before it is made smaller?
    pub antialias: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self::sapiens_1b()
    }
}

impl Config {
    /// Sapiens-1B, pretrained at 1024 pixels.
    #[must_use]
    pub fn sapiens_1b() -> Self {
        Self {
            arch: Arch { embed_dims: 1536, num_layers: 40, num_heads: 24, feedforward_channels: 6144 },
            img_size: 1024,
            patch_size: 16,
            with_cls_token: true,
            final_norm: true,
            norm_eps: 1e-6,
            mean: [0.4844, 0.4570, 0.4062],
            std: [0.2295, 0.2236, 0.2256],
            antialias: true,
        }
    }

    /// Number of patches of a picture, which is that of the features' rows.
    #[must_use]
    pub fn n_patches(&self) -> usize {
        (self.img_size / self.patch_size.max(1)).pow(2)
    }

    fn sizes(&self) -> Sizes {
        let a = &self.arch;
        Sizes { dim: a.embed_dims, heads: a.num_heads, hidden: a.feedforward_channels, eps: self.norm_eps }
    }

    /// Checks that the numbers describe a model.
    ///
    /// # Errors
    /// When they don't.
    pub fn validate(&self) -> Result<()> {
        let fail = |why: String| Err(Error::Config { model: MODEL, why });
        check_numbers(
            MODEL,
            &[
                ("embed_dims", self.arch.embed_dims),
                ("num_layers", self.arch.num_layers),
                ("feedforward_channels", self.arch.feedforward_channels),
                ("img_size", self.img_size),
            ],
        )?;
        self.sizes().check(MODEL)?;
        let (side, p) = (self.img_size, self.patch_size);
        if p == 0 || side == 0 || !side.is_multiple_of(p) {
            return fail(format!("img_size {side} isn't a multiple of patch_size {p}"));
        }
        if self.arch.num_layers == 0 {
            return fail("it has no layers".to_owned());
        }
        if self.std.iter().any(|s| !(*s > 0.0)) {
            return fail(format!("a deviation of {:?}", self.std));
        }
        Ok(())
    }
}

const NAMES: Names = Names {
    norm1: "ln1",
    qkv: "attn.qkv",
    proj: "attn.proj",
    norm2: "ln2",
    fc1: "ffn.layers.0.0",
    fc2: "ffn.layers.1",
    scales: None,
};

/// Pictures of a body to rows of features.
///
/// A picture is encoded once, so that a layer's weights are read when its turn comes and dropped behind it: memory is that of one
/// layer (113 MB of Sapiens-1B's 4.6 GB in f32).
#[derive(Debug)]
pub struct Encoder {
    config: Config,
    weights: Weights,
}

impl Encoder {
    /// `weights` stands at the transformer: `backbone` in the published TorchScript file.
    ///
    /// # Errors
    /// When the configuration is impossible.
    pub fn new(config: &Config, weights: &Weights) -> Result<Self> {
        config.validate()?;
        Ok(Self { config: config.clone(), weights: weights.clone() })
    }

    /// The square that the model sees: `[1, 3, H, W]` in 0..1 → `[1, 3, img_size, img_size]`, padded with white, resized,
    /// normalised.
    ///
    /// # Errors
    /// When the picture has another shape.
    pub fn preprocess(&self, picture: &Tensor) -> Result<Tensor> {
        let square = white_square(picture, self.config.img_size, self.config.antialias)?;
        let channel = |values: &[f32; 3]| Tensor::new(values, square.device())?.reshape((1, 3, 1, 1));
        let centred = square.broadcast_sub(&channel(&self.config.mean)?)?;
        Ok(centred.broadcast_div(&channel(&self.config.std)?)?)
    }

    /// Encodes a picture of any size.
    ///
    /// # Shapes
    /// `[1, 3, H, W]` in 0..1 → `[1, patches, D]`, f32.
    ///
    /// # Errors
    /// When the shape isn't a picture's, a weight is missing or has another shape, or the observer wants no more.
    pub fn encode(&self, picture: &Tensor, observer: &mut dyn Observer) -> Result<Tensor> {
        self.forward(&self.preprocess(picture)?, observer)
    }

    /// Runs the model on preprocessed pixels `[B, 3, img_size, img_size]`. A probe is shown `patch_embed`, `layer0` … and
    /// `out`.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn forward(&self, pixels: &Tensor, observer: &mut dyn Observer) -> Result<Tensor> {
        let (c, weights) = (&self.config, &self.weights);
        check_pixels("Sapiens' input", pixels, c.img_size)?;
        let d = c.arch.embed_dims;
        let patches = PatchEmbed::load(&weights.pp("patch_embed.projection"), d, c.patch_size, true)?;
        let mut x = patches.forward(pixels)?; // [B, L, D]
        probe_of(observer).show("patch_embed", &x);
        let first = usize::from(c.with_cls_token);
        if c.with_cls_token {
            let class = weights.get_f32((1, 1, d), "cls_token")?.broadcast_as((x.dim(0)?, 1, d))?;
            x = Tensor::cat(&[&class.contiguous()?, &x], 1)?;
        }
        x = x.broadcast_add(&weights.get_f32((1, first + c.n_patches(), d), "pos_embed")?)?;
        let layers = c.arch.num_layers;
        for i in 0..layers {
            step(observer, i, layers)?;
            x = Block::load(&NAMES, &c.sizes(), &weights.pp("layers").pp(i))?.forward(&x)?;
            probe_of(observer).show(format_args!("layer{i}"), &x);
        }
        step(observer, layers, layers)?;
        if c.final_norm {
            x = LayerNorm::load(&weights.pp("ln1"), d, c.norm_eps)?.forward(&x)?;
        }
        let out = x.narrow(1, first, x.dim(1)? - first)?.contiguous()?;
        probe_of(observer).show("out", &out);
        Ok(out)
    }
}
