//! Adding a LoRA to a tensor.

use crate::shape::same_shape;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::sync::Arc;
use tensorfile::TensorSource;

/// One change of one tensor.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    pub(crate) lora: String,
    pub(crate) source: Arc<dyn TensorSource>,
    pub(crate) change: Change,
    /// The scale times the strength.
    pub(crate) scale: f64,
}

/// What is done to the tensor, in the order of the variants where several parts of one file meet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// It is replaced by this tensor: at scale 1 wholly, else by as much.
    Whole(String),
    /// This tensor is added.
    Difference(String),
    /// The product of two is added: `up × down`.
    Product { up: String, down: String },
}

impl Patch {
    fn shape(&self, name: &str) -> Vec<usize> {
        self.source.info(name).map(|i| i.shape).unwrap_or_default()
    }
}

/// Does the patch fit a tensor of that shape?
///
/// # Errors
/// [`Error::LoraShape`] where it doesn't.
pub(crate) fn check(patch: &Patch, target: &str, shape: &[usize]) -> Result<()> {
    let elements: usize = shape.iter().product();
    let (fits, factors) = match &patch.change {
        Change::Whole(one) | Change::Difference(one) => {
            let one = patch.shape(one);
            // The model's own shape may be folded, or the difference's.
            (same_shape(&one, shape) || same_shape(shape, &one), vec![one])
        }
        Change::Product { up, down } => {
            let (up, down) = (patch.shape(up), patch.shape(down));
            let (rows, columns) =
                (shape.first().copied().unwrap_or(0), elements / shape.first().copied().unwrap_or(1).max(1));
            let rank = down.first().copied().unwrap_or(0);
            let fits = rank > 0
                && shape.len() >= 2
                && up.len() >= 2
                && up[0] == rows
                && up.iter().product::<usize>() == rows * rank
                && down.iter().product::<usize>() == rank * columns;
            (fits, vec![up, down])
        }
    };
    if fits {
        return Ok(());
    }
    let (lora, target, shape) = (patch.lora.clone(), target.to_owned(), shape.to_vec());
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
        let delta = match &patch.change {
            Change::Whole(whole) => {
                let whole = load(patch, whole)?.reshape(sum.shape())?;
                if patch.scale == 1.0 {
                    sum = whole;
                    continue;
                }
                (whole - &sum)?
            }
            Change::Difference(difference) => load(patch, difference)?.reshape(sum.shape())?,
            Change::Product { up, down } => {
                // Convolutions: [out, rank, 1, 1, 1] × [rank, in, t, h, w].
                let (up, down) = (load(patch, up)?, load(patch, down)?.flatten_from(1)?);
                let up = up.reshape((up.dim(0)?, down.dim(0)?))?;
                round(up.matmul(&down)?)?.reshape(sum.shape())?
            }
        };
        let delta = if patch.scale == 1.0 { delta } else { round((delta * patch.scale)?)? };
        sum = round((sum + delta)?)?;
    }
    Ok(sum.to_dtype(dtype)?)
}
