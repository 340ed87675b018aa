//! The whole chain: pictures and points in, an avatar out.

use crate::observer::{Observer, OfEncoder, Part, probe_of, tell};
use crate::picture::{BodyPicture, check_body_ratio};
use crate::{Config, EMBED_HIDDEN, Error, Heads, PointEmbed, QueryPoints, Raw, Result, Transformer};
use avatar_render::{Avatar, Colors, Gaussians, LhmBody};
use candle_core::{Device, Tensor};
use encoders::{dinov2, sapiens};
use nn::{Activation, Linear, Weights};

/// What a run is given besides the points.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// The body picture.
    pub body: &'a BodyPicture,
    /// `[1, 3, H, W]` the head picture in 0 to 1, of any size.
    pub head: Tensor,
    /// Does it show a head? Handed on to the avatar.
    pub has_head: bool,
    /// The person's shape coefficients. The network doesn't see them: they are handed on to the avatar.
    pub betas: &'a [f32],
    /// The share of the body's height that is in view. Handed on to the avatar, and refused where it is too small.
    pub body_ratio: f32,
}

/// LHM. Every part of it runs once for a picture, and its weights are read when its turn comes and dropped behind it, so that
/// memory is what the transformer needs for its points and not what all weights take together.
#[derive(Debug)]
pub struct Model {
    config: Config,
    weights: Weights,
    sapiens: Weights,
}

impl Model {
    /// `weights` stands at the root of LHM's file, `sapiens` at the root of Sapiens' (above `backbone`).
    ///
    /// # Errors
    /// When the configuration isn't one of this crate's.
    pub fn new(config: &Config, weights: &Weights, sapiens: &Weights) -> Result<Self> {
        config.validate()?;
        Ok(Self { config: config.clone(), weights: weights.clone(), sapiens: sapiens.clone() })
    }

    /// The hyperparameters.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Makes an avatar. A probe is shown `body_features`, `head_features` and `latent_points`.
    ///
    /// # Errors
    /// When the picture shows too little of the body, shapes don't fit, a weight is missing or damaged, or the observer wants no
    /// more.
    pub fn avatar(
        &self,
        input: &Input<'_>,
        points: &QueryPoints,
        observer: &mut dyn Observer,
    ) -> Result<Avatar> {
        check_body_ratio(input.body_ratio, &self.config.preprocess)?;
        if let Some(at) = input.betas.iter().position(|b| !b.is_finite()) {
            return Err(Error::Config(format!("beta {at} isn't finite")));
        }
        let (body, head) = self.features(input, observer)?;
        let raw = self.gaussians(&body, &head, points, observer)?;
        drop((body, head));
        finish(&raw, input, points)
    }

    /// What the encoders see: `[1, body tokens, C]` of the body, `[1, head tokens, C]` of the head, padded with zeros to C.
    fn features(&self, input: &Input<'_>, observer: &mut dyn Observer) -> Result<(Tensor, Tensor)> {
        let (c, device) = (&self.config, self.weights.device());
        let body = sapiens::Encoder::new(&c.fine_encoder, &self.sapiens.pp("backbone"))?;
        let picture = input.body.to_tensor(device)?;
        let body = body.encode(&picture, &mut OfEncoder { observer: &mut *observer, part: Part::Body })?;
        probe_of(observer).show("body_features", &body);
        let head = dinov2::Encoder::new(&c.encoder, &self.weights.pp("encoder"))?;
        let head = head.encode(
            &input.head.to_device(device)?,
            &mut OfEncoder { observer: &mut *observer, part: Part::Head },
        )?;
        let head = head.pad_with_zeros(2, 0, c.fine_encoder_feat_dim - c.encoder_feat_dim)?;
        probe_of(observer).show("head_features", &head);
        Ok((body, head))
    }

    fn gaussians(
        &self,
        body: &Tensor,
        head: &Tensor,
        points: &QueryPoints,
        observer: &mut dyn Observer,
    ) -> Result<Raw> {
        let (c, weights) = (&self.config, &self.weights);
        let temb = self.mood(body)?;
        let cond = Tensor::cat(&[body, head], 1)?;
        let embed = PointEmbed::load(EMBED_HIDDEN, c.pcl_dim, &weights.pp("pcl_embed"))?;
        let x = embed.forward(&points.positions, weights.device())?;
        let transformer = Transformer::new(&c.transformer(), &weights.pp("transformer"))?;
        let latent = transformer.forward(x, &cond, &temb, &mut PartOf { observer: &mut *observer })?;
        drop(cond);
        probe_of(observer).show("latent_points", &latent);
        tell(observer, Part::Gaussians, 0.0)?;
        let heads = Heads::load(&c.heads, &weights.pp("renderer"))?;
        let features = heads.mlp(&latent.squeeze(0)?)?;
        drop(latent);
        let raw = heads.gaussians(&features, &points.is_upper_body, c.heads.max_scaling())?;
        tell(observer, Part::Gaussians, 1.0)?;
        Ok(raw)
    }

    /// What modulates the transformer: the mean of the body's tokens through two linear layers, `[1, 2·D]`.
    fn mood(&self, body: &Tensor) -> Result<Tensor> {
        let (wide, d) = (self.config.fine_encoder_feat_dim, self.config.transformer_dim);
        let mlp = self.weights.pp("motion_embed_mlp");
        let hidden =
            Linear::load(&mlp.pp(0), wide, wide / 2)?.forward_act(&body.mean(1)?, Activation::Silu)?;
        Ok(Linear::load(&mlp.pp(2), wide / 2, 2 * d)?.forward(&hidden)?)
    }
}

/// The transformer's observer: progress as it is, and a probe that isn't shown its insides.
struct PartOf<'a> {
    observer: &'a mut dyn Observer,
}

impl Observer for PartOf<'_> {
    fn progress(&mut self, part: Part, done: f64) -> std::ops::ControlFlow<()> {
        self.observer.progress(part, done)
    }
}

fn finish(raw: &Raw, input: &Input<'_>, points: &QueryPoints) -> Result<Avatar> {
    let offset = rows::<3>(&raw.offset, "offsets")?;
    let add = |(q, o): (&[f32; 3], &[f32; 3])| std::array::from_fn(|k| q[k] + o[k]);
    let gaussians = Gaussians {
        means: points.positions.iter().zip(&offset).map(add).collect(),
        scales: rows(&raw.scaling, "scales")?,
        rotations: rows(&raw.rotation, "rotations")?,
        opacities: rows::<1>(&raw.opacity, "opacities")?.into_flattened(),
        colors: Colors::Rgb(rows(&raw.rgb, "colours")?),
    };
    let body = LhmBody {
        query: points.positions.clone(),
        offset,
        neutral_to_zero: points.neutral_to_zero.clone(),
        betas: input.betas.to_vec(),
        body_ratio: input.body_ratio,
        has_face: input.has_head,
    };
    Ok(Avatar { gaussians, lhm: Some(body) })
}

fn rows<const N: usize>(tensor: &Tensor, what: &'static str) -> Result<Vec<[f32; N]>> {
    let values = tensor.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    if !values.iter().all(|x| x.is_finite()) {
        return Err(Error::NotFinite { what });
    }
    Ok(values.as_chunks::<N>().0.to_vec())
}
