//! The whole transformer: its weights, and what is embedded once for a job. A step over it is `pass`.
//!
//! After `WanModel` and `model_fn_wan_video` of AniCrafter (commit e9e8965). Differences: the text and image rows are
//! embedded once for a job instead of at every step, and positions aren't limited to 1024 an axis.

use crate::provider::{BlockProvider, Resident};
use crate::{Config, Context, Error, Observer, Result};
use candle_core::{Device, Tensor};
use nn::{Activation, LayerNorm, Linear, ProbeAt, Weights};

/// Memory that the widest intermediate of a chunk of tokens may take on the CPU, in bytes.
const CHUNK_BYTES: usize = 256 << 20;

/// On other devices, which want larger pieces of work.
const DEVICE_CHUNK_BYTES: usize = 1 << 30;

/// What conditions a branch (positive or negative) of a job, as the encoders give it.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    /// Prompt embedding `[B, text rows, text_dim]`: see [`pad_context`] for the rows that the reference feeds.
    pub context: &'a Tensor,
    /// Image features `[B, image_tokens, image_dim]`, with an image input only.
    pub clip_feature: Option<&'a Tensor>,
    /// Mask and image latents `[B, in_dim - out_dim, T, H, W]`, with an image input only.
    pub y: Option<&'a Tensor>,
    /// Tokens `[B, L, D]` that are added after patchifying: AniCrafter's avatar-background condition, which only the
    /// positive branch gets.
    pub add_condition: Option<&'a Tensor>,
}

/// A branch's conditions, embedded once for all steps.
#[derive(Clone, Debug)]
pub struct Branch {
    pub(crate) context: Context,
    pub(crate) y: Option<Tensor>,
    pub(crate) add_condition: Option<Tensor>,
}

/// Wan's transformer: predicts the velocity of a latent at a noise level.
#[derive(Debug)]
pub struct WanModel {
    pub(crate) config: Config,
    pub(crate) device: Device,
    pub(crate) patch_embedding: Linear,
    text_embedding: [Linear; 2],
    pub(crate) time_embedding: [Linear; 2],
    pub(crate) time_projection: Linear,
    img_emb: Option<ImageEmbedding>,
    pub(crate) blocks: Box<dyn BlockProvider>,
    pub(crate) head: Head,
    pub(crate) rows: usize,
}

impl WanModel {
    /// Reads the whole model into memory; `weights` stands at its root.
    ///
    /// # Errors
    /// When the config doesn't hold together, or a tensor is missing or has another shape.
    pub fn load(config: &Config, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let blocks = Resident::load(config, &weights.pp("blocks"))?;
        Self::with_blocks(config, weights, Box::new(blocks))
    }

    /// Reads everything but the blocks, which come from `blocks`.
    ///
    /// # Errors
    /// When the config doesn't hold together, or a tensor is missing or has another shape.
    pub fn with_blocks(config: &Config, weights: &Weights, blocks: Box<dyn BlockProvider>) -> Result<Self> {
        config.validate()?;
        if blocks.n_blocks() != config.num_layers {
            let (got, want) = (blocks.n_blocks(), config.num_layers);
            return Err(Error::Config(format!("{got} blocks were given to a model of {want}")));
        }
        let d = config.dim;
        let [pt, ph, pw] = config.patch_size;
        let patch = weights.pp("patch_embedding");
        let kernel = patch.get((d, config.in_dim, pt, ph, pw), "weight")?;
        let text = weights.pp("text_embedding");
        let time = weights.pp("time_embedding");
        let img_emb = if config.has_image_input {
            Some(ImageEmbedding::load(config, &weights.pp("img_emb").pp("proj"))?)
        } else {
            None
        };
        Ok(Self {
            patch_embedding: Linear::new(kernel.flatten_from(1)?, Some(patch.get_f32(d, "bias")?))?,
            text_embedding: [
                Linear::load(&text.pp(0), config.text_dim, d)?,
                Linear::load(&text.pp(2), d, d)?,
            ],
            time_embedding: [
                Linear::load(&time.pp(0), config.freq_dim, d)?,
                Linear::load(&time.pp(2), d, d)?,
            ],
            time_projection: Linear::load(&weights.pp("time_projection").pp(1), d, 6 * d)?,
            img_emb,
            blocks,
            head: Head::load(config, &weights.pp("head"))?,
            rows: rows_at_a_time(config, weights.device()),
            config: config.clone(),
            device: weights.device().clone(),
        })
    }

    /// Handles `rows` tokens at a time, which bounds memory and doesn't change the result. The default suits the width.
    #[must_use]
    pub fn with_rows(self, rows: usize) -> Self {
        Self { rows: rows.max(1), ..self }
    }

    /// What the model was loaded with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Embeds the conditions of a branch, once for all its steps.
    ///
    /// # Errors
    /// When an input is missing, superfluous or of another shape.
    pub fn branch(&self, conditions: &Conditions<'_>) -> Result<Branch> {
        self.branch_probed(conditions, &mut ProbeAt::default())
    }

    /// [`WanModel::branch`], showing `text_emb` and `clip_emb` to the observer's probe of branch 0.
    ///
    /// # Errors
    /// As [`WanModel::branch`].
    pub fn branch_observed(
        &self,
        conditions: &Conditions<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Branch> {
        self.branch_probed(conditions, &mut ProbeAt::root(observer.probe(0)))
    }

    fn branch_probed(&self, conditions: &Conditions<'_>, probe: &mut ProbeAt<'_>) -> Result<Branch> {
        let c = &self.config;
        let Conditions { context, clip_feature, y, add_condition } = *conditions;
        let (_, rows, width) = dims3("context", context)?;
        if width != c.text_dim || rows == 0 {
            return shape("context", format!("[B, rows, {}]", c.text_dim), context);
        }
        let [text_in, text_out] = &self.text_embedding;
        let text = text_out.forward(&text_in.forward_act(context, Activation::GeluTanh)?)?;
        probe.show("text_emb", &text);
        let image = match (&self.img_emb, clip_feature) {
            (Some(embedding), Some(features)) => {
                let (_, rows, width) = dims3("clip_feature", features)?;
                if rows != c.image_tokens || width != c.image_dim {
                    return shape(
                        "clip_feature",
                        format!("[B, {}, {}]", c.image_tokens, c.image_dim),
                        features,
                    );
                }
                let image = embedding.forward(features)?;
                probe.show("clip_emb", &image);
                Some(image)
            }
            (None, None) => None,
            (wanted, _) => return Err(Error::Input { what: "clip_feature", wanted: wanted.is_some() }),
        };
        if y.is_some() != c.has_image_input {
            return Err(Error::Input { what: "y", wanted: c.has_image_input });
        }
        Ok(Branch { context: Context { text, image }, y: y.cloned(), add_condition: add_condition.cloned() })
    }
}

/// Image features to context rows.
#[derive(Debug)]
struct ImageEmbedding {
    norm_in: LayerNorm,
    linear_in: Linear,
    linear_out: Linear,
    norm_out: LayerNorm,
}

impl ImageEmbedding {
    /// PyTorch's default, which the reference leaves in these two norms.
    const EPS: f64 = 1e-5;

    fn load(config: &Config, weights: &Weights) -> Result<Self> {
        let (d_in, d) = (config.image_dim, config.dim);
        Ok(Self {
            norm_in: LayerNorm::load(&weights.pp(0), d_in, Self::EPS)?,
            linear_in: Linear::load(&weights.pp(1), d_in, d_in)?,
            linear_out: Linear::load(&weights.pp(3), d_in, d)?,
            norm_out: LayerNorm::load(&weights.pp(4), d, Self::EPS)?,
        })
    }

    fn forward(&self, features: &Tensor) -> Result<Tensor> {
        let hidden = self.linear_in.forward_act(&self.norm_in.forward(features)?, Activation::GeluErf)?;
        Ok(self.norm_out.forward(&self.linear_out.forward(&hidden)?)?)
    }
}

/// Tokens to patches of the prediction.
#[derive(Debug)]
pub(crate) struct Head {
    norm: LayerNorm,
    head: Linear,
    modulation: Tensor,
}

impl Head {
    fn load(config: &Config, weights: &Weights) -> Result<Self> {
        let patch: usize = config.patch_size.iter().product();
        Ok(Self {
            norm: LayerNorm::plain(config.eps),
            head: Linear::load(&weights.pp("head"), config.dim, config.out_dim * patch)?,
            modulation: weights.get_f32((1, 2, config.dim), "modulation")?,
        })
    }

    pub(crate) fn forward(&self, tokens: &Tensor, t: &Tensor) -> Result<Tensor> {
        let rows = self.modulation.squeeze(0)?.broadcast_add(t)?; // [2, D]
        let (shift, scale) = (rows.get(0)?, rows.get(1)?);
        Ok(self.head.forward(&self.norm.forward_modulated(tokens, &shift, &scale)?)?)
    }
}

/// Tokens that a model handles at a time on a device if nothing else is asked for.
#[must_use]
pub fn rows_at_a_time(config: &Config, device: &Device) -> usize {
    let bytes = if device.is_cpu() { CHUNK_BYTES } else { DEVICE_CHUNK_BYTES };
    let rows = bytes / (4 * config.ffn_dim.max(3 * config.dim));
    rows.next_multiple_of(64).max(256)
}

/// Pads a prompt embedding with zero rows to `text_len`, as the reference does. There is no mask: the zero rows go
/// through the text embedding (which has a bias) and take part in attention, and a model without them falls apart.
///
/// # Shapes
/// `[B, rows, text_dim]` → `[B, text_len, text_dim]`.
///
/// # Errors
/// When there are more than `text_len` rows.
pub fn pad_context(context: &Tensor, text_len: usize) -> Result<Tensor> {
    let (b, rows, width) = dims3("context", context)?;
    if rows > text_len {
        return shape("context", format!("at most {text_len} rows"), context);
    }
    if rows == text_len {
        return Ok(context.clone());
    }
    let zeros = Tensor::zeros((b, text_len - rows, width), context.dtype(), context.device())?;
    Ok(Tensor::cat(&[context, &zeros], 1)?)
}

fn dims3(what: &'static str, tensor: &Tensor) -> Result<(usize, usize, usize)> {
    match tensor.dims3() {
        Ok(dims) => Ok(dims),
        Err(_) => shape(what, "three axes".into(), tensor),
    }
}

pub(crate) fn shape<T>(what: &'static str, expected: String, got: &Tensor) -> Result<T> {
    Err(Error::Shape { what, expected, got: got.dims().to_vec() })
}
