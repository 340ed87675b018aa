//! Quantised matrices: a source that makes them on the way, and the forms that the kernels multiply them in.

use crate::{Packed, PackedForm, WeightSource};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{CpuStorage, DType, Device, Result, Shape, Tensor, bail};
use half::bf16;
use kernels::QuantKind;
use rayon::prelude::*;
use std::borrow::Cow;
use std::sync::Arc;

/// Elements that a task widens: a whole number of blocks of every format.
const ELEMENTS_PER_TASK: usize = 1 << 16;

/// The format as the kernels know it; `None` where they can't read its blocks.
pub(crate) fn kind(dtype: GgmlDType) -> Option<QuantKind> {
    match dtype {
        GgmlDType::Q8_0 => Some(QuantKind::Q8_0),
        GgmlDType::Q4_0 => Some(QuantKind::Q4_0),
        GgmlDType::Q4K => Some(QuantKind::Q4K),
        GgmlDType::Q5K => Some(QuantKind::Q5K),
        GgmlDType::Q6K => Some(QuantKind::Q6K),
        _ => None,
    }
}

/// All elements in bf16, whose rounding is finer than any of the formats' steps.
pub(crate) fn widen(matrix: &QTensor) -> Result<Vec<bf16>> {
    let dtype = matrix.dtype();
    let data = matrix.data()?;
    let bytes_per_task = ELEMENTS_PER_TASK / dtype.block_size() * dtype.type_size();
    let mut out = vec![bf16::ZERO; matrix.shape().elem_count()];
    out.par_chunks_mut(ELEMENTS_PER_TASK).zip(data.par_chunks(bytes_per_task)).try_for_each(
        |(out, blocks)| match dtype.from_data(Cow::Borrowed(blocks)).dequantize(out.len())? {
            CpuStorage::F32(values) => {
                out.iter_mut().zip(values).for_each(|(o, v)| *o = bf16::from_f32(v));
                Ok(())
            }
            _ => bail!("blocks of {dtype:?} don't widen to f32"),
        },
    )?;
    Ok(out)
}

/// Wraps another source and hands its matrices out in quantised blocks.
///
/// A matrix stays dense where its rows aren't a whole number of blocks; everything but matrices always does.
pub struct QuantizeOnLoad {
    inner: Arc<dyn WeightSource>,
    dtype: GgmlDType,
}

impl std::fmt::Debug for QuantizeOnLoad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "QuantizeOnLoad({:?})", self.dtype)
    }
}

impl QuantizeOnLoad {
    /// Matrices of `inner` in blocks of `dtype`: `Q8_0`, `Q4_K` …
    #[must_use]
    pub fn new(inner: Arc<dyn WeightSource>, dtype: GgmlDType) -> Self {
        Self { inner, dtype }
    }
}

impl WeightSource for QuantizeOnLoad {
    fn dense(&self, name: &str, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
        self.inner.dense(name, shape, dtype, device)
    }

    fn quantized(&self, name: &str, shape: (usize, usize), device: &Device) -> Result<Option<Arc<QTensor>>> {
        if let Some(stored) = self.inner.quantized(name, shape, device)? {
            return Ok(Some(stored));
        }
        if !shape.1.is_multiple_of(self.dtype.block_size()) {
            return Ok(None);
        }
        let dense = self.inner.dense(name, &shape.into(), DType::F32, &Device::Cpu)?;
        Ok(Some(Arc::new(QTensor::quantize_onto(&dense, self.dtype, device)?)))
    }

    fn contains(&self, name: &str) -> bool {
        self.inner.contains(name)
    }
}

/// Wraps another source and hands its matrices out in 8 bits, with a scale a row: [`PackedForm::Int8`]. Their products round their inputs
/// too, with a scale a row of theirs. CPU only.
///
/// What the other source has in quantised blocks is widened first.
pub struct RoundOnLoad {
    inner: Arc<dyn WeightSource>,
}

impl std::fmt::Debug for RoundOnLoad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RoundOnLoad")
    }
}

impl RoundOnLoad {
    /// Matrices of `inner` in 8 bits.
    #[must_use]
    pub fn new(inner: Arc<dyn WeightSource>) -> Self {
        Self { inner }
    }
}

impl WeightSource for RoundOnLoad {
    fn dense(&self, name: &str, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
        self.inner.dense(name, shape, dtype, device)
    }

    fn packed(&self, name: &str, shape: (usize, usize), _: DType) -> Result<Option<Packed>> {
        if PackedForm::Int8.byte_len(shape).is_none() {
            return Ok(None);
        }
        let dense = self.inner.dense(name, &shape.into(), DType::F32, &Device::Cpu)?;
        Packed::pack_int8(&dense).map(Some)
    }

    fn contains(&self, name: &str) -> bool {
        self.inner.contains(name)
    }
}
