//! Adding a LoRA to a tensor.

use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::sync::Arc;
use tensorfile::TensorSource;

/// One addition to one tensor: `scale · up × down`, or `scale · up` where there is no `down`.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    pub(crate) lora: String,
    pub(crate) source: Arc<dyn TensorSource>,
    pub(crate) up: String,
    pub(crate) down: Option<String>,
    pub(crate) scale: f64,
}

impl Patch {
    fn shape(&self, name: &str) -> Vec<usize> {
        self.source.info(name).map(|i| i.shape).unwrap_or_default()
    }
}

/// Does the patch fit a tensor of that shape?
pub(crate) fn check(patch: &Patch, target: &str, shape: &[usize]) -> Result<()> {
    let up = patch.shape(&patch.up);
    let down = patch.down.as_ref().map(|d| patch.shape(d)).unwrap_or_default();
    let elements: usize = shape.iter().product();
    let fits = match &patch.down {
        None => up.iter().product::<usize>() == elements,
        Some(_) => {
            let (rows, columns) =
                (shape.first().copied().unwrap_or(0), elements / shape.first().copied().unwrap_or(1).max(1));
            let rank = down.first().copied().unwrap_or(0);
            rank > 0
                && shape.len() >= 2
                && up.len() >= 2
                && up[0] == rows
                && up.iter().product::<usize>() == rows * rank
                && down.iter().product::<usize>() == rank * columns
        }
    };
    if fits {
        return Ok(());
    }
    let (lora, target, shape) = (patch.lora.clone(), target.to_owned(), shape.to_vec());
    let factors = if patch.down.is_some() { vec![up, down] } else { vec![up] };
    Err(Error::LoraShape { lora, target, shape, factors })
}

/// The tensor with all patches added, in the tensor's own type (F32, BF16 or F16), on the CPU.
///
/// As the reference does it (`diffsynth/models/lora.py`): both factors are cast to the weight's type, their product is
/// rounded to it, then the product with the scale, then the sum.
pub(crate) fn apply(weight: Tensor, patches: &[Patch]) -> Result<Tensor> {
    let dtype = weight.dtype();
    let round = |t: Tensor| if dtype == DType::F32 { Ok(t) } else { t.to_dtype(dtype)?.to_dtype(DType::F32) };
    let load = |patch: &Patch, name: &str| -> Result<Tensor> {
        let view = patch.source.tensor(name)?;
        let tensor = crate::convert::tensor(&view, view.shape(), dtype, &Device::Cpu)?;
        Ok(tensor.to_dtype(DType::F32)?)
    };
    let mut sum = weight.to_dtype(DType::F32)?;
    for patch in patches {
        let up = load(patch, &patch.up)?;
        let delta = match &patch.down {
            None => up.reshape(sum.shape())?,
            Some(down) => {
                // Convolutions: [out, rank, 1, 1, 1] × [rank, in, t, h, w].
                let down = load(patch, down)?.flatten_from(1)?;
                let up = up.reshape((up.dim(0)?, down.dim(0)?))?;
                round(up.matmul(&down)?)?.reshape(sum.shape())?
            }
        };
        let delta = if patch.scale == 1.0 { delta } else { round((delta * patch.scale)?)? };
        sum = round((sum + delta)?)?;
    }
    Ok(sum.to_dtype(dtype)?)
}
