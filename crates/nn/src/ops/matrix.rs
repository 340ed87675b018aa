//! The forms in which backends keep the weights of a product.

use crate::Inputs;
use ::kernels::{PackedBf16, PackedF32, PackedInt8, QuantKind, SharedBytes};
use candle_core::Tensor;
use candle_core::quantized::QTensor;
use std::sync::Arc;

/// A weight matrix `[d_out, d_in]`.
#[derive(Clone)]
pub(crate) enum Matrix {
    /// As it is, in f32 or bf16: other devices than the CPU, and variables of a training run.
    Dense(Tensor),
    /// Repacked for the CPU kernels.
    PackedF32(Arc<PackedF32>),
    /// Repacked for the CPU kernels; products round their input to bf16 too.
    PackedBf16(Arc<PackedBf16>),
    /// Rounded to 8 bits for the CPU kernels, with a scale a row; products round their input too.
    PackedInt8(Arc<PackedInt8>),
    /// The blocks of a quantised file, and how a product takes its input.
    Quantized(Arc<QTensor>, Inputs),
    /// The same in bytes that somebody else owns: a mapped file.
    Blocks(QuantKind, SharedBytes, Inputs),
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dense(weight) => write!(f, "{:?}", weight.dtype()),
            Self::PackedF32(_) => write!(f, "F32, packed"),
            Self::PackedBf16(_) => write!(f, "BF16, packed"),
            Self::PackedInt8(_) => write!(f, "8 bits with a scale a row, packed"),
            Self::Blocks(kind, _, Inputs::Float) => write!(f, "{kind:?}, shared"),
            Self::Blocks(kind, _, Inputs::Int8) => write!(f, "{kind:?} by 8 bits, shared"),
            Self::Quantized(weight, Inputs::Float) => write!(f, "{:?}", weight.dtype()),
            Self::Quantized(weight, Inputs::Int8) => write!(f, "{:?} by 8 bits", weight.dtype()),
        }
    }
}
