//! The vision transformer.

use crate::{Error, Result};
use candle_core::Tensor;
use nn::{Activation, Attention, LayerNorm, Linear, Probe, ProbeAt, Weights};
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

/// Pictures to the rows that an image-to-video transformer attends to.
#[derive(Debug)]
pub struct ImageEncoder {
    patch_embedding: Linear,
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
        let kernel = weights.pp("patch_embedding").get((d, 3, p, p), "weight")?;
        let blocks = (0..config.vision_layers - 1)
            .map(|i| Block::load(config, &weights.pp("transformer").pp(i)))
            .collect::<Result<_>>()?;
        Ok(Self {
            patch_embedding: Linear::new(kernel.reshape((d, 3 * p * p))?, None)?,
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
        let patches = self.patch_embedding.forward(&self.patches(pixels)?)?; // [B, L, D]
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

    /// Cuts pixels into patches: `[B, 3, S, S]` → `[B, L, 3·P·P]`, row by row.
    fn patches(&self, pixels: &Tensor) -> Result<Tensor> {
        let (b, _, h, w) = pixels.dims4()?;
        let (size, p) = (self.image_size, self.patch_size);
        if (h, w) != (size, size) {
            let expected = format!("[B, 3, {size}, {size}]");
            return Err(Error::Shape {
                what: "the image tower's input",
                expected,
                got: pixels.dims().to_vec(),
            });
        }
        let n = size / p;
        let grid = pixels.reshape(&[b, 3, n, p, n, p][..])?; // [B, 3, n, P, n, P]
        Ok(grid.permute(&[0, 2, 4, 1, 3, 5][..])?.contiguous()?.reshape((b, n * n, 3 * p * p))?)
    }
}

#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    to_qkv: Linear,
    proj: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    n_heads: usize,
}

impl Block {
    fn load(config: &Config, weights: &Weights) -> Result<Self> {
        let (d, wide) = (config.vision_dim, config.vision_dim * config.vision_mlp_ratio);
        let (attn, mlp) = (weights.pp("attn"), weights.pp("mlp"));
        Ok(Self {
            norm1: LayerNorm::load(&weights.pp("norm1"), d, config.norm_eps)?,
            to_qkv: Linear::load(&attn.pp("to_qkv"), d, 3 * d)?,
            proj: Linear::load(&attn.pp("proj"), d, d)?,
            norm2: LayerNorm::load(&weights.pp("norm2"), d, config.norm_eps)?,
            fc1: Linear::load(&mlp.pp(0), d, wide)?,
            fc2: Linear::load(&mlp.pp(2), wide, d)?,
            n_heads: config.vision_heads,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let d = x.dim(2)?;
        let qkv = self.to_qkv.forward(&self.norm1.forward(x)?)?; // [B, L, 3·D]
        let part = |i: usize| qkv.narrow(2, i * d, d)?.contiguous();
        let attended = Attention::new(self.n_heads).forward(&part(0)?, &part(1)?, &part(2)?)?;
        let x = (x + self.proj.forward(&attended)?)?;
        let wide = self.fc1.forward_act(&self.norm2.forward(&x)?, Activation::GeluErf)?;
        Ok((&x + self.fc2.forward(&wide)?)?)
    }
}
