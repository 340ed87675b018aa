//! DINOv2 with registers (arXiv 2304.07193, 2309.16588) and the head that fuses four of its levels: what LHM sees a person's head
//! with.
//!
//! Ported from `Dinov2FusionWrapper` and its vision transformer in LHM (`LHM/models/encoders`, aigc3d/LHM b31e76a).

use crate::observer::{Observer, probe_of, step};
use crate::resize::{Axis, resample};
use crate::square::white_square;
use crate::vit::{Block, Names, PatchEmbed, Sizes, check_numbers, check_pixels};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use nn::{LayerNorm, Linear, Weights};
use serde::{Deserialize, Serialize};

const MODEL: &str = "DINOv2";

/// Hyperparameters, named as in the reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// D, width of the tokens.
    pub embed_dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// N; a head has D / N elements.
    pub num_heads: usize,
    /// Side of the picture that the positions in the file are for.
    #[serde(default = "defaults::img_size")]
    pub img_size: usize,
    /// Side of a patch in pixels.
    #[serde(default = "defaults::patch_size")]
    pub patch_size: usize,
    /// Tokens without a position, behind the class token.
    #[serde(default = "defaults::num_register_tokens")]
    pub num_register_tokens: usize,
    /// Are positions antialiased where they are resized?
    #[serde(default = "defaults::yes")]
    pub interpolate_antialias: bool,
    /// Added to the number of patches that positions are resized to; 0 in models with registers.
    #[serde(default)]
    pub interpolate_offset: f64,
    /// Width inside the MLP over the width.
    #[serde(default = "defaults::mlp_ratio")]
    pub mlp_ratio: usize,
    /// Added to the variance in the layer norms.
    #[serde(default = "defaults::norm_eps")]
    pub norm_eps: f64,
    /// The blocks behind which a level is taken, four of them.
    pub intermediate_layer_idx: Vec<usize>,
    /// Width of the fused features.
    pub encoder_feat_dim: usize,
    /// Side of the square that pictures are resized to.
    pub resolution: usize,
    /// Is a picture blurred before it is made smaller?
    #[serde(default = "defaults::yes")]
    pub antialias: bool,
}

mod defaults {
    pub(super) fn img_size() -> usize {
        518
    }
    pub(super) fn patch_size() -> usize {
        14
    }
    pub(super) fn num_register_tokens() -> usize {
        4
    }
    pub(super) fn mlp_ratio() -> usize {
        4
    }
    pub(super) fn norm_eps() -> f64 {
        1e-6
    }
    pub(super) fn yes() -> bool {
        true
    }
}

impl Config {
    /// `dinov2_vitl14_reg` with the four levels that LHM fuses, for heads of 448 pixels.
    #[must_use]
    pub fn vit_l_14_reg() -> Self {
        Self {
            embed_dim: 1024,
            depth: 24,
            num_heads: 16,
            img_size: defaults::img_size(),
            patch_size: defaults::patch_size(),
            num_register_tokens: defaults::num_register_tokens(),
            interpolate_antialias: true,
            interpolate_offset: 0.0,
            mlp_ratio: defaults::mlp_ratio(),
            norm_eps: defaults::norm_eps(),
            intermediate_layer_idx: vec![4, 11, 17, 23],
            encoder_feat_dim: 1024,
            resolution: 448,
            antialias: true,
        }
    }

    /// Number of patches of a picture, which is that of the features' rows.
    #[must_use]
    pub fn n_patches(&self) -> usize {
        (self.resolution / self.patch_size.max(1)).pow(2)
    }

    fn sizes(&self) -> Sizes {
        let (dim, heads) = (self.embed_dim, self.num_heads);
        Sizes { dim, heads, hidden: dim * self.mlp_ratio, eps: self.norm_eps }
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
                ("embed_dim", self.embed_dim),
                ("depth", self.depth),
                ("mlp_ratio", self.mlp_ratio),
                ("img_size", self.img_size),
                ("resolution", self.resolution),
                ("num_register_tokens", self.num_register_tokens),
                ("encoder_feat_dim", self.encoder_feat_dim),
            ],
        )?;
        self.sizes().check(MODEL)?;
        let p = self.patch_size;
        for (what, side) in [("img_size", self.img_size), ("resolution", self.resolution)] {
            if p == 0 || side == 0 || !side.is_multiple_of(p) {
                return fail(format!("{what} {side} isn't a multiple of patch_size {p}"));
            }
        }
        let levels = &self.intermediate_layer_idx;
        if levels.is_empty() || !levels.is_sorted_by(|a, b| a < b) || levels.iter().any(|l| *l >= self.depth)
        {
            return fail(format!("intermediate_layer_idx {levels:?} of {} blocks", self.depth));
        }
        Ok(())
    }
}

const NAMES: Names = Names {
    norm1: "norm1",
    qkv: "attn.qkv",
    proj: "attn.proj",
    norm2: "norm2",
    fc1: "mlp.fc1",
    fc2: "mlp.fc2",
    scales: Some(["ls1.gamma", "ls2.gamma"]),
};

/// Pictures of a head to rows of features.
///
/// A picture is encoded once, so that a block's weights are read when its turn comes and dropped behind it: memory is that of one
/// block.
#[derive(Debug)]
pub struct Encoder {
    config: Config,
    weights: Weights,
}

impl Encoder {
    /// `weights` stands above `model` and `fusion_head`: `encoder` in LHM's file.
    ///
    /// # Errors
    /// When the configuration is impossible.
    pub fn new(config: &Config, weights: &Weights) -> Result<Self> {
        config.validate()?;
        Ok(Self { config: config.clone(), weights: weights.clone() })
    }

    /// The square that the model sees, without any mean or deviation taken off: `[1, 3, H, W]` in 0..1 →
    /// `[1, 3, resolution, resolution]`.
    ///
    /// # Errors
    /// When the picture has another shape.
    pub fn preprocess(&self, picture: &Tensor) -> Result<Tensor> {
        white_square(picture, self.config.resolution, self.config.antialias)
    }

    /// Encodes a picture of any size.
    ///
    /// # Shapes
    /// `[1, 3, H, W]` in 0..1 → `[1, patches, encoder_feat_dim]`, f32.
    ///
    /// # Errors
    /// When the shape isn't a picture's, a weight is missing or has another shape, or the observer wants no more.
    pub fn encode(&self, picture: &Tensor, observer: &mut dyn Observer) -> Result<Tensor> {
        self.forward(&self.preprocess(picture)?, observer)
    }

    /// Runs the model on preprocessed pixels `[B, 3, resolution, resolution]`. A probe is shown `pos_embed`, `tokens`, `block0`
    /// …, `level0` … and `out`.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn forward(&self, pixels: &Tensor, observer: &mut dyn Observer) -> Result<Tensor> {
        let c = &self.config;
        check_pixels("DINOv2's input", pixels, c.resolution)?;
        let (d, model) = (c.embed_dim, self.weights.pp("model"));
        let patches = PatchEmbed::load(&model.pp("patch_embed.proj"), d, c.patch_size, true)?;
        let patches = patches.forward(pixels)?; // [B, L, D]
        let b = patches.dim(0)?;
        let repeat = |t: Tensor| t.broadcast_as((b, t.dim(1)?, d))?.contiguous();
        let class = repeat(model.get_f32((1, 1, d), "cls_token")?)?;
        let positions = self.positions(&model)?;
        probe_of(observer).show("pos_embed", &positions);
        let x = Tensor::cat(&[class, patches], 1)?.broadcast_add(&positions)?;
        let mut x = x;
        if c.num_register_tokens > 0 {
            let registers = repeat(model.get_f32((1, c.num_register_tokens, d), "register_tokens")?)?;
            x = Tensor::cat(&[x.narrow(1, 0, 1)?, registers, x.narrow(1, 1, x.dim(1)? - 1)?], 1)?;
        }
        probe_of(observer).show("tokens", &x);

        let norm = LayerNorm::load(&model.pp("norm"), d, c.norm_eps)?;
        let mut levels = Vec::new();
        let last = c.intermediate_layer_idx.last().map_or(0, |last| last + 1);
        for i in 0..last {
            step(observer, i, last)?;
            x = Block::load(&NAMES, &c.sizes(), &model.pp("blocks").pp(i))?.forward(&x)?;
            let mut probe = probe_of(observer);
            probe.show(format_args!("block{i}"), &x);
            if c.intermediate_layer_idx.contains(&i) {
                let special = 1 + c.num_register_tokens;
                let level = norm.forward(&x.narrow(1, special, x.dim(1)? - special)?.contiguous()?)?;
                probe.show(format_args!("level{}", levels.len()), &level);
                levels.push(level);
            }
        }
        step(observer, last, last)?;
        let out = self.fuse(&levels)?;
        probe_of(observer).show("out", &out);
        Ok(out)
    }

    /// The class token's position and those of the patches, resized to their number: `[1, 1 + patches, D]`.
    fn positions(&self, model: &Weights) -> Result<Tensor> {
        let c = &self.config;
        let (d, stored, n) = (c.embed_dim, c.img_size / c.patch_size, c.resolution / c.patch_size);
        let all = model.get_f32((1, 1 + stored * stored, d), "pos_embed")?;
        if stored == n {
            return Ok(all);
        }
        let class = all.narrow(1, 0, 1)?.contiguous()?;
        let grid = all.narrow(1, 1, stored * stored)?.squeeze(0)?.t()?.contiguous()?; // [D, stored²]
        let planes = grid.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        let scale = match c.interpolate_offset {
            0.0 => stored as f64 / n as f64,
            offset => stored as f64 / (n as f64 + offset),
        };
        let axis = if c.interpolate_antialias {
            Axis::bicubic_antialiased(stored, n, scale as f32)
        } else if c.interpolate_offset == 0.0 {
            Axis::bicubic(stored, n)
        } else {
            let why = "interpolate_offset without interpolate_antialias isn't supported".to_owned();
            return Err(Error::Config { model: MODEL, why });
        };
        let resized = Tensor::from_vec(resample(&planes, &axis, &axis)?, (1, d, n * n), &Device::Cpu)?;
        let resized = resized.transpose(1, 2)?.contiguous()?.to_device(all.device())?;
        Ok(Tensor::cat(&[class, resized], 1)?)
    }

    /// Each level through its own linear layer, all of them side by side through one more.
    fn fuse(&self, levels: &[Tensor]) -> Result<Tensor> {
        let (d, head) = (self.config.embed_dim, self.weights.pp("fusion_head"));
        let linear = |weights: &Weights, d_in: usize, d_out: usize| {
            let kernel = weights.get((d_out, d_in, 1, 1), "weight")?.reshape((d_out, d_in))?;
            Linear::new(kernel, Some(weights.get_f32(d_out, "bias")?))
        };
        let parts: Vec<Tensor> = levels
            .iter()
            .enumerate()
            .map(|(i, level)| linear(&head.pp("projects").pp(i), d, d)?.forward(level))
            .collect::<candle_core::Result<_>>()?;
        let wide = Tensor::cat(&parts, 2)?;
        let output = linear(&head.pp("output_conv"), d * parts.len(), self.config.encoder_feat_dim)?;
        Ok(output.forward(&wide)?)
    }
}
