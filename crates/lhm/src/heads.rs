//! Features to Gaussians.
//!
//! Ported from `MLP` (`LHM/models/rendering/utils/utils.py`) and `GSLayer` (`gs_renderer.py`) of aigc3d/LHM b31e76a.

use crate::config::MlpConfig;
use crate::{Error, HeadsConfig, Result};
use candle_core::{D, DType, Tensor};
use nn::{Activation, Linear, Weights};

impl MlpConfig {
    pub(crate) fn activation(&self) -> Result<Option<Activation>> {
        match self.activation.as_str() {
            "silu" => Ok(Some(Activation::Silu)),
            // Candle has it as an operation.
            "relu" => Ok(None),
            other => Err(Error::Config(format!(
                "the perceptron's activation {other:?}; silu and relu are supported"
            ))),
        }
    }
}

/// What the layers say of each point. N points; all f32.
#[derive(Clone, Debug)]
pub struct Raw {
    /// `[N, 3]` offsets from the query points, in metres.
    pub offset: Tensor,
    /// `[N, 1]` opacities, 0 to 1.
    pub opacity: Tensor,
    /// `[N, 4]` quaternions of length 1 (w, x, y, z).
    pub rotation: Tensor,
    /// `[N, 3]` standard deviations in metres.
    pub scaling: Tensor,
    /// `[N, 3]` red, green, blue in 0 to 1.
    pub rgb: Tensor,
}

/// A perceptron, then one linear layer for each property.
#[derive(Debug)]
pub struct Heads {
    config: HeadsConfig,
    mlp: Vec<Linear>,
    xyz: Linear,
    opacity: Option<Linear>,
    rotation: Option<Linear>,
    scaling: Linear,
    shs: Linear,
}

impl Heads {
    /// `weights` stands above `mlp_net` and `gs_net`: `renderer` in LHM's file.
    ///
    /// # Errors
    /// When the configuration isn't one of this crate's, or a weight is missing or has another shape.
    pub fn load(config: &HeadsConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let (d, mlp) = (config.query_dim, &config.mlp_network_config);
        let layers = weights.pp("mlp_net").pp("layers");
        let layer = |i: usize| {
            let d_in = if i == 0 { d } else { mlp.n_neurons };
            let d_out = if i == mlp.n_hidden_layers { d } else { mlp.n_neurons };
            // Activations stand between the layers in the reference's list.
            Linear::load(&layers.pp(2 * i), d_in, d_out)
        };
        let out = weights.pp("gs_net").pp("out_layers");
        let linear = |name: &str, n: usize| Linear::load(&out.pp(name), d, n);
        Ok(Self {
            mlp: (0..=mlp.n_hidden_layers).map(layer).collect::<candle_core::Result<_>>()?,
            xyz: linear("xyz", 3)?,
            opacity: if config.fix_opacity { None } else { Some(linear("opacity", 1)?) },
            rotation: if config.fix_rotation { None } else { Some(linear("rotation", 4)?) },
            scaling: linear("scaling", 3)?,
            shs: linear("shs", 3)?,
            config: config.clone(),
        })
    }

    /// The perceptron: `[.., D]` → the same.
    ///
    /// # Errors
    /// When the shape doesn't fit.
    pub fn mlp(&self, features: &Tensor) -> Result<Tensor> {
        let activation = self.config.mlp_network_config.activation()?;
        let mut x = features.clone();
        for (i, layer) in self.mlp.iter().enumerate() {
            x = match activation {
                _ if i + 1 == self.mlp.len() => layer.forward(&x)?,
                Some(activation) => layer.forward_act(&x, activation)?,
                None => layer.forward(&x)?.relu()?,
            };
        }
        Ok(x)
    }

    /// The layers behind the perceptron, with `max_scaling` as the ceiling of the scales and a lower one for the points of the
    /// upper body.
    ///
    /// # Shapes
    /// `features` `[N, D]`, `is_upper_body` `[N]`.
    ///
    /// # Errors
    /// When the shapes don't fit.
    pub fn gaussians(&self, features: &Tensor, is_upper_body: &[bool], max_scaling: f32) -> Result<Raw> {
        let (n, _) = features.dims2()?;
        if is_upper_body.len() != n {
            let (what, expected, got) =
                ("the upper body's marks", format!("[{n}]"), vec![is_upper_body.len()]);
            return Err(Error::Shape { what, expected, got });
        }
        let device = features.device();
        let unit = |layer: &Linear| sigmoid(&layer.forward(features)?);
        let ceilings: Vec<f32> = is_upper_body
            .iter()
            .map(
                |upper| {
                    if *upper { max_scaling.min(self.config.upper_body_max_scaling) } else { max_scaling }
                },
            )
            .collect();
        let ceilings = Tensor::from_vec(ceilings, (n, 1), device)?;
        let scaling = self.scaling.forward(features)?.exp()?;
        let scaling = scaling.broadcast_minimum(&ceilings)?;
        Ok(Raw {
            offset: ((unit(&self.xyz)? - 0.5)? * f64::from(self.config.xyz_offset_max_step))?,
            opacity: match &self.opacity {
                Some(layer) => unit(layer)?,
                None => Tensor::ones((n, 1), DType::F32, device)?,
            },
            rotation: match &self.rotation {
                Some(layer) => {
                    let q = layer.forward(features)?;
                    let norm = q.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
                    q.broadcast_div(&norm.maximum(1e-12)?)?
                }
                None => Tensor::new(&[1.0_f32, 0.0, 0.0, 0.0], device)?.broadcast_as((n, 4))?.contiguous()?,
            },
            scaling,
            rgb: unit(&self.shs)?,
        })
    }
}

fn sigmoid(x: &Tensor) -> candle_core::Result<Tensor> {
    (x.neg()?.exp()? + 1.0)?.recip()
}
