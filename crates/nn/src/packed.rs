//! Weight matrices in the form that the CPU's products read, so that a file can hold them ready to be multiplied by.

use crate::ops::Matrix;
use crate::{Inputs, quantize, slices};
use candle_core::quantized::{GgmlDType, QTensor, ggml_file::qtensor_from_ggml};
use candle_core::{DType, Device, Result, Tensor, bail};
use half::bf16;
use kernels::{PackedBf16, PackedF32, PackedInt8, SharedBytes};
use std::borrow::Cow;
use std::sync::Arc;

/// How a [`Packed`] matrix is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackedForm {
    /// Panels of f32.
    F32,
    /// Panels of bf16 pairs.
    Bf16,
    /// Panels of 8 bits with a scale a row; products round their input to 8 bits too, with a scale a token.
    Int8,
    /// The blocks of a quantised format, row by row as a GGUF file has them.
    Blocks(GgmlDType),
}

impl PackedForm {
    /// The bytes that a matrix `[d_out, d_in]` takes; `None` where its rows aren't whole blocks, or are too long for
    /// the form.
    #[must_use]
    pub fn byte_len(self, (d_out, d_in): (usize, usize)) -> Option<usize> {
        match self {
            Self::F32 => Some(PackedF32::byte_len(d_out, d_in)),
            Self::Bf16 => Some(PackedBf16::byte_len(d_out, d_in)),
            Self::Int8 => (d_in <= PackedInt8::LONGEST_ROW).then(|| PackedInt8::byte_len(d_out, d_in)),
            Self::Blocks(dtype) => {
                let blocks = d_in.is_multiple_of(dtype.block_size()).then(|| d_in / dtype.block_size())?;
                Some(d_out * blocks * dtype.type_size())
            }
        }
    }
}

/// A weight matrix `[d_out, d_in]` in the form that the CPU's products read.
///
/// Its bytes can be written to a file; mapped again, they are multiplied by where they lie. They are the same at every
/// instruction set.
#[derive(Clone, Debug)]
pub struct Packed {
    form: PackedForm,
    shape: (usize, usize),
    matrix: Matrix,
}

impl Packed {
    /// Packs a matrix in main memory, f32 or bf16.
    ///
    /// # Errors
    /// When it isn't such a matrix.
    pub fn pack(weight: &Tensor) -> Result<Self> {
        let shape = weight.dims2()?;
        let (form, matrix) = match weight.dtype() {
            DType::F32 => (PackedForm::F32, pack(weight)?),
            DType::BF16 => (PackedForm::Bf16, pack(weight)?),
            other => bail!("weights are packed in f32 or bf16, not in {other:?}"),
        };
        Ok(Self { form, shape, matrix })
    }

    /// Rounds a matrix in main memory, f32 or bf16, to 8 bits with a scale a row, and packs it.
    ///
    /// # Errors
    /// When it isn't such a matrix.
    pub fn pack_int8(weight: &Tensor) -> Result<Self> {
        let shape = weight.dims2()?;
        let (n, k) = shape;
        let packed = match weight.dtype() {
            DType::F32 => slices::read::<f32, _>(weight, |w| Ok(PackedInt8::new(w, n, k)))?,
            DType::BF16 => slices::read::<bf16, _>(weight, |w| Ok(PackedInt8::from_bf16(w, n, k)))?,
            other => bail!("weights are rounded to 8 bits from f32 or bf16, not from {other:?}"),
        };
        Ok(Self { form: PackedForm::Int8, shape, matrix: Matrix::PackedInt8(Arc::new(packed)) })
    }

    /// Takes a quantised matrix as it is.
    ///
    /// # Errors
    /// When it isn't a matrix.
    pub fn blocks(weight: Arc<QTensor>) -> Result<Self> {
        let shape = weight.shape().dims2()?;
        let form = PackedForm::Blocks(weight.dtype());
        Ok(Self { form, shape, matrix: Matrix::Quantized(weight, Inputs::Float) })
    }

    /// Takes what [`Packed::bytes`] gave, where it lies. It should begin at a cache line (64 bytes).
    ///
    /// # Errors
    /// When the bytes aren't a matrix of that form and shape.
    pub fn shared(form: PackedForm, shape: (usize, usize), bytes: SharedBytes) -> Result<Self> {
        let (n, k) = shape;
        let matrix = match form {
            PackedForm::F32 => {
                Matrix::PackedF32(Arc::new(PackedF32::shared(bytes, n, k).map_err(candle_core::Error::wrap)?))
            }
            PackedForm::Bf16 => Matrix::PackedBf16(Arc::new(
                PackedBf16::shared(bytes, n, k).map_err(candle_core::Error::wrap)?,
            )),
            PackedForm::Int8 => Matrix::PackedInt8(Arc::new(
                PackedInt8::shared(bytes, n, k).map_err(candle_core::Error::wrap)?,
            )),
            PackedForm::Blocks(dtype) => {
                let (expected, found) = (form.byte_len(shape), (*bytes).as_ref().len());
                if expected != Some(found) {
                    bail!("{found} bytes aren't the blocks of {dtype:?} of a matrix [{n}, {k}]");
                }
                match quantize::kind(dtype) {
                    Some(kind) => Matrix::Blocks(kind, bytes, Inputs::Float),
                    // The kernels have no products for this format: it is widened from candle's own blocks.
                    None => {
                        let blocks = qtensor_from_ggml(dtype, (*bytes).as_ref(), vec![n, k], &Device::Cpu)?;
                        Matrix::Quantized(Arc::new(blocks), Inputs::Float)
                    }
                }
            }
        };
        Ok(Self { form, shape, matrix })
    }

    /// How it is stored.
    #[must_use]
    pub fn form(&self) -> PackedForm {
        self.form
    }

    /// `(d_out, d_in)`.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// The bytes to store.
    ///
    /// # Errors
    /// When they lie on another device and can't be read.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        match &self.matrix {
            Matrix::PackedF32(packed) => Ok(packed.bytes().into()),
            Matrix::PackedBf16(packed) => Ok(packed.bytes().into()),
            Matrix::PackedInt8(packed) => Ok(packed.bytes().into()),
            Matrix::Blocks(_, bytes, _) => Ok((**bytes).as_ref().into()),
            Matrix::Quantized(blocks, _) => blocks.data(),
            Matrix::Dense(_) => bail!("a dense matrix isn't packed"),
        }
    }

    /// What a layer multiplies by.
    pub(crate) fn into_matrix(self, inputs: Inputs) -> Matrix {
        match self.matrix {
            Matrix::Quantized(blocks, _) => Matrix::Quantized(blocks, inputs),
            Matrix::Blocks(kind, bytes, _) => Matrix::Blocks(kind, bytes, inputs),
            other => other,
        }
    }
}

/// Repacks a dense weight in main memory for the kernels.
pub(crate) fn pack(weight: &Tensor) -> Result<Matrix> {
    let (n, k) = weight.dims2()?;
    match weight.dtype() {
        DType::F32 => {
            slices::read::<f32, _>(weight, |w| Ok(Matrix::PackedF32(Arc::new(PackedF32::new(w, n, k)))))
        }
        DType::BF16 => {
            slices::read::<bf16, _>(weight, |w| Ok(Matrix::PackedBf16(Arc::new(PackedBf16::new(w, n, k)))))
        }
        other => bail!("a linear layer needs weights in f32 or bf16, got {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Linear, WeightSource, Weights};
    use candle_core::Shape;
    use std::collections::HashMap;

    /// Bytes that begin where a `u32` may, as those of a mapped file do.
    struct Aligned(Vec<u32>, usize);

    impl AsRef<[u8]> for Aligned {
        fn as_ref(&self) -> &[u8] {
            &bytemuck::cast_slice(&self.0)[..self.1]
        }
    }

    fn stored(packed: &Packed) -> SharedBytes {
        let bytes = packed.bytes().unwrap();
        let mut words = vec![0_u32; bytes.len().div_ceil(4)];
        bytemuck::cast_slice_mut::<u32, u8>(&mut words)[..bytes.len()].copy_from_slice(&bytes);
        Arc::new(Aligned(words, bytes.len()))
    }

    /// Hands out one matrix, packed.
    struct Ready(Packed);

    impl WeightSource for Ready {
        fn dense(&self, name: &str, _: &Shape, _: DType, _: &Device) -> Result<Tensor> {
            Err(candle_core::Error::CannotFindTensor { path: name.to_owned() }.bt())
        }

        fn packed(&self, _: &str, _: (usize, usize), _: DType) -> Result<Option<Packed>> {
            Ok(Some(self.0.clone()))
        }

        fn contains(&self, name: &str) -> bool {
            name == "weight"
        }
    }

    #[test]
    fn stored_matrices_give_the_products_of_loaded_ones() {
        let weight = Tensor::randn(0_f32, 1.0, (24, 256), &Device::Cpu).unwrap();
        let x = Tensor::randn(0_f32, 1.0, (3, 256), &Device::Cpu).unwrap();
        let forms = [
            Packed::pack(&weight).unwrap(),
            Packed::pack(&weight.to_dtype(DType::BF16).unwrap()).unwrap(),
            Packed::pack_int8(&weight).unwrap(),
            Packed::pack_int8(&weight.to_dtype(DType::BF16).unwrap()).unwrap(),
            Packed::blocks(Arc::new(QTensor::quantize(&weight, GgmlDType::Q4K).unwrap())).unwrap(),
            Packed::blocks(Arc::new(QTensor::quantize(&weight, GgmlDType::Q2K).unwrap())).unwrap(),
        ];
        for packed in forms {
            let expected = Linear {
                weight: packed.clone().into_matrix(Inputs::Float),
                bias: None,
                d_in: 256,
                d_out: 24,
            };
            let expected = expected.forward(&x).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(Some(packed.bytes().unwrap().len()), packed.form().byte_len((24, 256)));
            let again = Packed::shared(packed.form(), (24, 256), stored(&packed)).unwrap();
            let weights = Weights::new(Arc::new(Ready(again)), DType::BF16, &Device::Cpu);
            let layer = Linear::load_without_bias(&weights, 256, 24).unwrap();
            assert_eq!(layer.forward(&x).unwrap().to_vec2::<f32>().unwrap(), expected, "{:?}", packed.form());
        }
    }

    #[test]
    fn bytes_of_another_shape_are_refused() {
        let weight = Tensor::zeros((16, 32), DType::F32, &Device::Cpu).unwrap();
        let packed = Packed::pack(&weight).unwrap();
        assert!(Packed::shared(PackedForm::F32, (16, 31), stored(&packed)).is_err());
        let blocks = PackedForm::Blocks(GgmlDType::Q8_0);
        assert!(Packed::shared(blocks, (16, 32), stored(&packed)).is_err());
        assert!(Packed::shared(blocks, (16, 33), stored(&packed)).is_err());
        let weights: HashMap<String, Tensor> = [("weight".to_owned(), weight)].into();
        assert!(weights.packed("weight", (16, 32), DType::F32).unwrap().is_none());
    }
}
