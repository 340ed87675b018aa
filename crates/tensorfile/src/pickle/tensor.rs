//! Tensors of a PyTorch file: strided windows on storages.

use super::PickleError;
use crate::{Dtype, TensorInfo, TensorView, element_count};
use std::borrow::Cow;

/// Where a tensor's elements lie: a strided window on one of the file's storages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorRef {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// In elements.
    pub(super) strides: Vec<usize>,
    /// First element, counted from the storage's start.
    pub(super) offset: usize,
    /// Index of the storage.
    pub(super) storage: usize,
}

impl TensorRef {
    /// Encoding of the elements.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Extent of every axis.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Type and shape.
    #[must_use]
    pub fn info(&self) -> TensorInfo {
        TensorInfo { dtype: self.dtype, shape: self.shape.clone() }
    }

    fn is_contiguous(&self) -> bool {
        let mut step = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&extent, &stride)| {
            let fits = extent == 1 || stride == step;
            step *= extent;
            fits
        })
    }

    /// Checks the window against a storage of `bytes` bytes in a file of `file` bytes.
    pub(super) fn check(&self, bytes: usize, file: usize) -> Result<(), PickleError> {
        let width = self.dtype.block_bytes();
        let out = || PickleError::OutOfStorage {
            shape: self.shape.clone(),
            strides: self.strides.clone(),
            offset: self.offset,
            available: bytes / width,
        };
        let count = element_count(&self.shape).ok_or_else(out)?;
        if count == 0 {
            return Ok(());
        }
        let last = self.shape.iter().zip(&self.strides).try_fold(self.offset, |last, (&extent, &stride)| {
            last.checked_add((extent - 1).checked_mul(stride)?)
        });
        let end = last.and_then(|last| last.checked_add(1)?.checked_mul(width));
        if end.is_none_or(|end| end > bytes) {
            return Err(out());
        }
        // A stride of zero repeats elements. What is repeated to more than the file's size is a trap.
        if count.checked_mul(width).is_none_or(|n| n > file) {
            return Err(PickleError::Expanded { shape: self.shape.clone() });
        }
        Ok(())
    }

    /// The elements, row-major and little-endian. The window must have been checked against `storage`.
    pub(super) fn view<'a>(&self, storage: &'a [u8], big_endian: bool) -> Option<TensorView<'a>> {
        let width = self.dtype.block_bytes();
        let count = element_count(&self.shape)?;
        let mut bytes = if count == 0 {
            Cow::Borrowed(&[][..])
        } else if self.is_contiguous() {
            Cow::Borrowed(storage.get(self.offset * width..(self.offset + count) * width)?)
        } else {
            Cow::Owned(self.gather(storage, count)?)
        };
        if big_endian && width > 1 {
            bytes.to_mut().chunks_exact_mut(width).for_each(<[u8]>::reverse);
        }
        TensorView::new(self.dtype, self.shape.clone(), bytes).ok()
    }

    fn gather(&self, storage: &[u8], count: usize) -> Option<Vec<u8>> {
        let width = self.dtype.block_bytes();
        let mut out = Vec::with_capacity(count * width);
        let mut index = vec![0; self.shape.len()];
        let mut at = self.offset;
        for _ in 0..count {
            out.extend_from_slice(storage.get(at * width..(at + 1) * width)?);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at += self.strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                at -= self.strides[axis] * self.shape[axis];
                index[axis] = 0;
            }
        }
        Some(out)
    }
}
