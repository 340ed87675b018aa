//! Between the plain arrays of a case and candle's tensors.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use nn::Weights;
use std::collections::HashMap;
use testkit::{Array, Case};

/// An array as a tensor.
pub(super) fn from_array(array: Array<f32>, device: &Device) -> Result<Tensor> {
    Ok(Tensor::from_vec(array.data, array.shape, device)?)
}

/// A tensor's elements in row-major order.
pub(super) fn to_f32(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// All weights of a case whose names start with `prefix`, without it, in f32 (stored BF16 widens exactly).
pub(super) fn weights(case: &Case, prefix: &str, device: &Device) -> Result<Weights> {
    weights_as(case, prefix, DType::F32, device)
}

/// As [`weights`], handed out in `dtype`.
pub(super) fn weights_as(case: &Case, prefix: &str, dtype: DType, device: &Device) -> Result<Weights> {
    let mut tensors = HashMap::new();
    for name in case.weights.names() {
        if let Some(rest) = name.strip_prefix(prefix) {
            tensors.insert(rest.to_owned(), from_array(case.weights.f32(name)?, &Device::Cpu)?);
        }
    }
    Ok(Weights::from_tensors(tensors, dtype, device))
}
