//! A source of weights that quantises large matrices on the way.

use crate::WeightSource;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Result, Shape, Tensor};
use std::sync::Arc;

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
