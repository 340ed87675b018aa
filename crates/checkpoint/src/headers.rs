//! A model of which only names and shapes are known.

use crate::Manifest;
use tensorfile::{Dtype, Error, Result, TensorInfo, TensorSource, TensorView};

/// A manifest in the place of a file: LoRA targets can be looked up in it, numbers can't be read.
#[derive(Debug)]
pub(crate) struct Headers(pub(crate) Manifest);

impl TensorSource for Headers {
    fn names(&self) -> Vec<&str> {
        self.0.tensors.keys().map(String::as_str).collect()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        self.0.tensors.get(name).map(|shape| TensorInfo { dtype: Dtype::F32, shape: shape.clone() })
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        Err(Error::NoSuchTensor { name: name.to_owned() })
    }
}
