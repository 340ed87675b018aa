//! A model file that does a known task.

use crate::error::{Error, Result};
use tflite::{Model, Tensor};

/// A model with a name for errors.
#[derive(Debug)]
pub(crate) struct Network {
    name: &'static str,
    model: Model,
}

impl Network {
    /// Reads a model whose one input is a picture `[1, side, side, 3]` and whose outputs' shapes pass `fits`.
    pub(crate) fn read(
        name: &'static str,
        bytes: &[u8],
        side: usize,
        fits: impl FnOnce(&[&[usize]]) -> bool,
    ) -> Result<Self> {
        let model = Model::from_bytes(bytes).map_err(|source| Error::Model { model: name, source })?;
        let (inputs, outputs) = (model.inputs(), model.outputs());
        let wanted: &[usize] = &[1, side, side, 3];
        if inputs != [wanted] || !fits(&outputs) {
            return Err(Error::Task { model: name, found: format!("{inputs:?} to {outputs:?}") });
        }
        Ok(Self { name, model })
    }

    /// What the model says of a picture.
    pub(crate) fn run(&self, picture: &[f32]) -> Result<Vec<Tensor>> {
        self.model.run(&[picture]).map_err(|source| Error::Model { model: self.name, source })
    }
}

/// `1 / (1 + e⁻ᵛ)`: the probability that a logit stands for.
pub(crate) fn logistic(v: f32) -> f32 {
    1.0 / (1.0 + (-v).exp())
}
