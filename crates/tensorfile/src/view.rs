//! One stored tensor, and the interface that all containers share.

use crate::float8::{e4m3_to_f32, e5m2_to_f32, e8m0_to_f32};
use crate::{Dtype, Error, Result, element_count};
use half::{bf16, f16};
use std::borrow::Cow;

/// What a container knows about a tensor before reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Encoding of the elements.
    pub dtype: Dtype,
    /// Extent of every axis, slowest first; empty for a scalar.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Has it no elements?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A tensor's type, shape and bytes: row-major, contiguous, little-endian, whatever the file's own order was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorView<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> TensorView<'a> {
    /// A view of `bytes`.
    ///
    /// # Errors
    /// [`Error::SizeMismatch`] when the bytes are more or fewer than shape and type take.
    pub fn new(dtype: Dtype, shape: Vec<usize>, bytes: impl Into<Cow<'a, [u8]>>) -> Result<Self> {
        let bytes = bytes.into();
        if element_count(&shape).and_then(|n| dtype.bytes_for(n)) != Some(bytes.len()) {
            return Err(Error::SizeMismatch { shape, dtype, found: bytes.len() });
        }
        Ok(Self { dtype, shape, bytes })
    }

    /// A view of f32 numbers, copied.
    ///
    /// # Errors
    /// [`Error::SizeMismatch`] when there are more or fewer numbers than the shape takes.
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Result<TensorView<'static>> {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        TensorView::new(Dtype::F32, shape.to_vec(), bytes)
    }

    /// A view of i64 numbers, copied.
    ///
    /// # Errors
    /// [`Error::SizeMismatch`] when there are more or fewer numbers than the shape takes.
    pub fn from_i64(shape: &[usize], values: &[i64]) -> Result<TensorView<'static>> {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        TensorView::new(Dtype::I64, shape.to_vec(), bytes)
    }

    /// Encoding of the elements.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Extent of every axis, slowest first; empty for a scalar.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.block_bytes() * self.dtype.block_len()
    }

    /// Has it no elements?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The elements, row-major and little-endian.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements as they came: borrowed from the file where nothing had to be reordered or inflated.
    #[must_use]
    pub fn into_bytes(self) -> Cow<'a, [u8]> {
        self.bytes
    }

    /// Cuts the borrow by copying the bytes if they are borrowed.
    #[must_use]
    pub fn into_owned(self) -> TensorView<'static> {
        TensorView { dtype: self.dtype, shape: self.shape, bytes: Cow::Owned(self.bytes.into_owned()) }
    }

    /// Type and shape alone.
    #[must_use]
    pub fn info(&self) -> TensorInfo {
        TensorInfo { dtype: self.dtype, shape: self.shape.clone() }
    }

    /// The elements as f32, of whatever type they are stored in; quantised blocks are decoded.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        let b = &self.bytes;
        match self.dtype {
            Dtype::Bool => b.iter().map(|&x| f32::from(u8::from(x != 0))).collect(),
            Dtype::U8 => b.iter().map(|&x| x.into()).collect(),
            Dtype::I8 => b.iter().map(|&x| (x as i8).into()).collect(),
            Dtype::U16 => each(b, |c| u16::from_le_bytes(c).into()),
            Dtype::I16 => each(b, |c| i16::from_le_bytes(c).into()),
            Dtype::U32 => each(b, |c| u32::from_le_bytes(c) as f32),
            Dtype::I32 => each(b, |c| i32::from_le_bytes(c) as f32),
            Dtype::U64 => each(b, |c| u64::from_le_bytes(c) as f32),
            Dtype::I64 => each(b, |c| i64::from_le_bytes(c) as f32),
            Dtype::F8E4M3 => b.iter().map(|&x| e4m3_to_f32(x)).collect(),
            Dtype::F8E5M2 => b.iter().map(|&x| e5m2_to_f32(x)).collect(),
            Dtype::F8E8M0 => b.iter().map(|&x| e8m0_to_f32(x)).collect(),
            Dtype::F16 => each(b, |c| f16::from_le_bytes(c).to_f32()),
            Dtype::BF16 => each(b, |c| bf16::from_le_bytes(c).to_f32()),
            Dtype::F32 => each(b, f32::from_le_bytes),
            Dtype::F64 => each(b, |c| f64::from_le_bytes(c) as f32),
            quantized => crate::quant::dequantize(quantized, b),
        }
    }

    /// The elements as f64, of whatever type they are stored in.
    #[must_use]
    pub fn to_f64(&self) -> Vec<f64> {
        let b = &self.bytes;
        match self.dtype {
            Dtype::U32 => each(b, |c| u32::from_le_bytes(c).into()),
            Dtype::I32 => each(b, |c| i32::from_le_bytes(c).into()),
            Dtype::U64 => each(b, |c| u64::from_le_bytes(c) as f64),
            Dtype::I64 => each(b, |c| i64::from_le_bytes(c) as f64),
            Dtype::F64 => each(b, f64::from_le_bytes),
            // Everything else is exact in f32.
            _ => self.to_f32().into_iter().map(f64::from).collect(),
        }
    }

    /// The elements as i64.
    ///
    /// A parent index of `2^32 - 1` ("no parent" in SMPL-X files) comes out as 4294967295 where it is stored as
    /// `u32`, `u64` or `i64`, and as -1 where it is stored as `i32`.
    ///
    /// # Errors
    /// [`Error::NotIntegers`] for floating-point tensors, [`Error::OutOfRange`] for a `u64` above `i64::MAX`.
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        let b = &self.bytes;
        Ok(match self.dtype {
            Dtype::Bool => b.iter().map(|&x| i64::from(x != 0)).collect(),
            Dtype::U8 => b.iter().map(|&x| x.into()).collect(),
            Dtype::I8 => b.iter().map(|&x| (x as i8).into()).collect(),
            Dtype::U16 => each(b, |c| u16::from_le_bytes(c).into()),
            Dtype::I16 => each(b, |c| i16::from_le_bytes(c).into()),
            Dtype::U32 => each(b, |c| u32::from_le_bytes(c).into()),
            Dtype::I32 => each(b, |c| i32::from_le_bytes(c).into()),
            Dtype::I64 => each(b, i64::from_le_bytes),
            Dtype::U64 => {
                let wide = each(b, u64::from_le_bytes);
                let narrow =
                    |(index, value)| i64::try_from(value).map_err(|_| Error::OutOfRange { value, index });
                return wide.into_iter().enumerate().map(narrow).collect();
            }
            found => return Err(Error::NotIntegers { found }),
        })
    }
}

fn each<const N: usize, T>(bytes: &[u8], decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|c| decode(*c)).collect()
}

/// A container of named tensors: one file of any format, or several files that belong together.
pub trait TensorSource: Send + Sync + std::fmt::Debug {
    /// The names of all readable tensors, in the file's order.
    fn names(&self) -> Vec<&str>;

    /// Type and shape of a tensor, without reading it; `None` if there is none of that name.
    fn info(&self, name: &str) -> Option<TensorInfo>;

    /// A tensor, borrowed from the file where its bytes lie there row-major and little-endian.
    ///
    /// # Errors
    /// [`Error::NoSuchTensor`], or whatever is wrong with the stored bytes.
    fn tensor(&self, name: &str) -> Result<TensorView<'_>>;

    /// An entry of the file's own notes as text: `__metadata__` of safetensors, text and numbers of GGUF. `None` where there is
    /// none of that name, which is what containers without such notes say.
    fn metadata_text(&self, key: &str) -> Option<String> {
        let _ = key;
        None
    }

    /// Tells the system that this tensor's bytes won't be needed soon. Containers that aren't mapped ignore it.
    fn release(&self, name: &str) {
        let _ = name;
    }

    /// Asks the system to read this tensor's bytes ahead. Containers that aren't mapped ignore it.
    fn prefetch(&self, name: &str) {
        let _ = name;
    }

    /// A tensor as f32 with its shape.
    ///
    /// # Errors
    /// As [`TensorSource::tensor`].
    fn f32(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let view = self.tensor(name)?;
        Ok((view.shape().to_vec(), view.to_f32()))
    }

    /// A tensor as f64 with its shape.
    ///
    /// # Errors
    /// As [`TensorSource::tensor`].
    fn f64(&self, name: &str) -> Result<(Vec<usize>, Vec<f64>)> {
        let view = self.tensor(name)?;
        Ok((view.shape().to_vec(), view.to_f64()))
    }

    /// A tensor of whole numbers as i64 with its shape.
    ///
    /// # Errors
    /// As [`TensorSource::tensor`] and [`TensorView::to_i64`].
    fn i64(&self, name: &str) -> Result<(Vec<usize>, Vec<i64>)> {
        let view = self.tensor(name)?;
        let numbers = view.to_i64().map_err(|e| Error::in_tensor(name, e))?;
        Ok((view.shape().to_vec(), numbers))
    }
}
