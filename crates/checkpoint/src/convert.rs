//! From stored elements to candle tensors: one conversion on the way, no intermediate copy.

use crate::companions::Scale;
use candle_core::quantized::{GgmlDType, QTensor, ggml_file::qtensor_from_ggml};
use candle_core::{DType, Device, Result, Tensor};
use half::{bf16, f16};
use tensorfile::{Dtype, TensorView, e4m3_to_f32, e5m2_to_f32};

/// The tensor in `dtype` (F32, BF16, F16; F64, U8, U32 and I64 for what isn't weights) on `device`.
pub(crate) fn tensor(
    view: &TensorView<'_>,
    shape: &[usize],
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    match dtype {
        DType::F32 => Tensor::from_vec(view.to_f32(), shape, device),
        DType::BF16 => {
            Tensor::from_vec(floats(view, bf16::from_le_bytes, Dtype::BF16, bf16::from_f32), shape, device)
        }
        DType::F16 => {
            Tensor::from_vec(floats(view, f16::from_le_bytes, Dtype::F16, f16::from_f32), shape, device)
        }
        DType::F64 => Tensor::from_vec(view.to_f64(), shape, device),
        DType::I64 => {
            let numbers = view.to_i64().map_err(candle_core::Error::wrap)?;
            Tensor::from_vec(numbers, shape, device)
        }
        other => Tensor::from_vec(view.to_f32(), shape, device)?.to_dtype(other),
    }
}

/// As [`tensor`], every element multiplied by its block's scale before it is rounded.
pub(crate) fn scaled(
    view: &TensorView<'_>,
    scale: &Scale,
    dtype: DType,
    device: &Device,
) -> crate::Result<Tensor> {
    let shape = view.shape();
    Ok(match dtype {
        DType::BF16 => Tensor::from_vec(multiplied(view, scale, bf16::from_f32)?, shape, device)?,
        DType::F16 => Tensor::from_vec(multiplied(view, scale, f16::from_f32)?, shape, device)?,
        DType::F32 => Tensor::from_vec(multiplied(view, scale, |x| x)?, shape, device)?,
        other => Tensor::from_vec(multiplied(view, scale, |x| x)?, shape, device)?.to_dtype(other)?,
    })
}

/// Row by row, so that no second copy of the whole is made.
fn multiplied<T>(view: &TensorView<'_>, scale: &Scale, round: impl Fn(f32) -> T) -> crate::Result<Vec<T>> {
    let rows = view.shape().first().copied().unwrap_or(1).max(1);
    let columns = view.len() / rows;
    let mut out = Vec::with_capacity(view.len());
    let Some(bytes) = view.dtype().bytes_for(columns).filter(|n| *n > 0) else { return Ok(out) };
    for (row, bytes) in view.bytes().chunks_exact(bytes).enumerate() {
        let numbers = TensorView::new(view.dtype(), vec![columns], bytes)?.to_f32();
        for (block, s) in numbers.chunks(scale.columns_a_block.max(1)).zip(scale.row(row)) {
            out.extend(block.iter().map(|x| round(x * s)));
        }
    }
    Ok(out)
}

/// Sixteen-bit elements: as they are where they are stored so, else rounded one by one.
fn floats<T>(
    view: &TensorView<'_>,
    same: impl Fn([u8; 2]) -> T,
    own: Dtype,
    round: impl Fn(f32) -> T,
) -> Vec<T> {
    let bytes = view.bytes();
    let halves = || bytes.as_chunks::<2>().0.iter();
    match view.dtype() {
        stored if stored == own => halves().map(|c| same(*c)).collect(),
        Dtype::BF16 => halves().map(|c| round(bf16::from_le_bytes(*c).to_f32())).collect(),
        Dtype::F16 => halves().map(|c| round(f16::from_le_bytes(*c).to_f32())).collect(),
        Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|c| round(f32::from_le_bytes(*c))).collect(),
        Dtype::F8E4M3 => bytes.iter().map(|&b| round(e4m3_to_f32(b))).collect(),
        Dtype::F8E5M2 => bytes.iter().map(|&b| round(e5m2_to_f32(b))).collect(),
        _ => view.to_f32().into_iter().map(round).collect(),
    }
}

/// candle's name of a block type.
pub(crate) fn block_type(dtype: Dtype) -> Option<GgmlDType> {
    Some(match dtype {
        Dtype::Q4_0 => GgmlDType::Q4_0,
        Dtype::Q4_1 => GgmlDType::Q4_1,
        Dtype::Q5_0 => GgmlDType::Q5_0,
        Dtype::Q5_1 => GgmlDType::Q5_1,
        Dtype::Q8_0 => GgmlDType::Q8_0,
        Dtype::Q2K => GgmlDType::Q2K,
        Dtype::Q3K => GgmlDType::Q3K,
        Dtype::Q4K => GgmlDType::Q4K,
        Dtype::Q5K => GgmlDType::Q5K,
        Dtype::Q6K => GgmlDType::Q6K,
        _ => return None,
    })
}

/// The stored blocks as they are.
pub(crate) fn blocks(
    view: &TensorView<'_>,
    dtype: GgmlDType,
    shape: (usize, usize),
    device: &Device,
) -> Result<QTensor> {
    let bytes = view.bytes();
    let dims = vec![shape.0, shape.1];
    // candle reads the bytes as structs of f16 and smaller; a file may place them at odd addresses.
    if bytes.as_ptr().addr().is_multiple_of(align_of::<u32>()) {
        return qtensor_from_ggml(dtype, bytes, dims, device);
    }
    let mut aligned = vec![0_u32; bytes.len().div_ceil(size_of::<u32>())];
    let copy = &mut bytemuck::cast_slice_mut::<u32, u8>(&mut aligned)[..bytes.len()];
    copy.copy_from_slice(bytes);
    qtensor_from_ggml(dtype, copy, dims, device)
}
