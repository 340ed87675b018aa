//! The vision transformer.

use crate::vit::{Block, Names, PatchEmbed, Sizes, check_pixels};
use crate::{Error, Result};
use candle_core::Tensor;
use nn::{LayerNorm, Probe, ProbeAt, Weights};
use serde::{Deserialize, Serialize};

/// The tower's hyperparameters, named as in the reference's constructor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// D, width of the token stream.
    pub vision_dim: usize,
    /// N; a head has D / N elements.
    pub vision_heads: usize,
    /// Number of blocks in the file; the last one isn't run.
    pub vision_layers: usize,
    /// Width inside the MLP over the width.
    pub vision_mlp_ratio: usize,
    /// Added to the variance in the layer norms.
    #[serde(default = "Config::default_norm_eps")]
    pub norm_eps: f64,
}

impl Config {
    /// ViT-H/14 at 224 pixels, the image encoder of Wan 2.1 I2V.
    #[must_use]
    pub fn vit_h_14() -> Self {
        Self {
            image_size: 224,
            patch_size: 14,
            vision_dim: 1280,
            vision_heads: 16,
            vision_layers: 32,
            vision_mlp_ratio: 4,
            norm_eps: Self::default_norm_eps(),
        }
    }

    fn default_norm_eps() -> f64 {
        1e-5
    }

    /// The number of output tokens: one class token and the patches (257 for ViT-H/14).
    #[must_use]
    pub fn n_tokens(&self) -> usize {
        1 + (self.image_size / self.patch_size.max(1)).pow(2)
    }

    /// Checks that the numbers describe a model.
    ///
    /// # Errors
    /// When they don't.
    pub fn validate(&self) -> Result<()> {
        let fail = |why: String| Err(Error::Config { model: "CLIP ViT", why });
        if self.patch_size == 0 || self.image_size == 0 || !self.image_size.is_multiple_of(self.patch_size) {
            return fail(format!(
                "image_size {} isn't a multiple of patch_size {}",
                self.image_size, self.patch_size
            ));
        }
        if self.vision_heads == 0 || !self.vision_dim.is_multiple_of(self.vision_heads) {
            return fail(format!(
                "vision_dim {} isn't a multiple of vision_heads {}",
                self.vision_dim, self.vision_heads
            ));
        }
        if self.vision_layers < 2 {
            return fail("at least 2 layers are needed: the last one isn't run".to_owned());
        }
        Ok(())
    }
}

/// Where a block keeps its layers.
const NAMES: Names = Names {
    norm1: "norm1",
    qkv: "attn.to_qkv",
    proj: "attn.proj",
    norm2: "norm2",
    fc1: "mlp.0",
    fc2: "mlp.2",
    scales: None,
};

/// Pictures to the rows that an image-to-video transformer attends to.
#[derive(Debug)]
pub struct ImageEncoder {
    patch_embedding: PatchEmbed,
    cls_embedding: Tensor,
    pos_embedding: Tensor,
    pre_norm: LayerNorm,
    blocks: Vec<Block>,
    image_size: usize,
    patch_size: usize,
}

impl ImageEncoder {
    /// Reads the tower's weights. The cursor stands at the tower: `visual` in
    /// `models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth`. The last block and the head aren't read.
    ///
    /// # Errors
    /// When the configuration is impossible, or a tensor is missing or has another shape.
    pub fn new(config: &Config, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let (d, p) = (config.vision_dim, config.patch_size);
        let sizes = Sizes {
            dim: d,
            heads: config.vision_heads,
            hidden: d * config.vision_mlp_ratio,
            eps: config.norm_eps,
        };
        let blocks = (0..config.vision_layers - 1)
            .map(|i| Block::load(&NAMES, &sizes, &weights.pp("transformer").pp(i)))
            .collect::<Result<_>>()?;
        Ok(Self {
            patch_embedding: PatchEmbed::load(&weights.pp("patch_embedding"), d, p, false)?,
            cls_embedding: weights.get_f32((1, 1, d), "cls_embedding")?,
            pos_embedding: weights.get_f32((1, config.n_tokens(), d), "pos_embedding")?,
            pre_norm: LayerNorm::load(&weights.pp("pre_norm"), d, config.norm_eps)?,
            blocks,
            image_size: config.image_size,
            patch_size: p,
        })
    }

    /// Encodes pictures of any size.
    ///
    /// # Shapes
    /// `[B, 3, H, W]` in −1..1, any size → `[B, 1 + patches, D]`, f32.
    ///
    /// # Errors
    /// When the shape isn't that of pictures.
    pub fn encode(&self, pictures: &Tensor) -> Result<Tensor> {
        self.forward(&super::preprocess(pictures, self.image_size)?)
    }

    /// Runs the tower on preprocessed pixels `[B, 3, image_size, image_size]`.
    ///
    /// # Errors
    /// When the shape differs.
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        self.run(pixels, &mut ProbeAt::default())
    }

    /// As [`ImageEncoder::forward`], showing `patch_embedding`, `pre_norm`, `block0` … to a probe.
    ///
    /// # Errors
    /// When the shape differs.
    pub fn forward_probed(&self, pixels: &Tensor, probe: &mut dyn Probe) -> Result<Tensor> {
        self.run(pixels, &mut ProbeAt::root(Some(probe)))
    }

    fn run(&self, pixels: &Tensor, probe: &mut ProbeAt<'_>) -> Result<Tensor> {
        check_pixels("the image tower's input", pixels, self.image_size)?;
        let patches = self.patch_embedding.forward(pixels)?; // [B, L, D]
        let (b, _, d) = patches.dims3()?;
        let side = self.image_size / self.patch_size;
        probe.show_with("patch_embedding", || patches.transpose(1, 2)?.reshape((b, d, side, side)))?;
        let class = self.cls_embedding.broadcast_as((b, 1, self.cls_embedding.dim(2)?))?;
        let x = Tensor::cat(&[&class.contiguous()?, &patches], 1)?.broadcast_add(&self.pos_embedding)?; // [B, 1 + L, D]
        let mut x = self.pre_norm.forward(&x)?;
        probe.show("pre_norm", &x);
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x)?;
            probe.show(format_args!("block{i}"), &x);
        }
        Ok(x)
    }
}
