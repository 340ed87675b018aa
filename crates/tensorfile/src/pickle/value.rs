//! What a pickle holds, as a tree.

use super::TensorRef;
use crate::TensorView;
use std::sync::Arc;

/// A piece of unpickled data.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Python's `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number; NumPy scalars of any type become `Int` or `Float` too.
    Float(f64),
    /// Text.
    Str(String),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// A list, or a set.
    List(Vec<Value>),
    /// A tuple, or a `torch.Size`.
    Tuple(Vec<Value>),
    /// A dictionary in its own order.
    Dict(Vec<(Value, Value)>),
    /// A PyTorch tensor; [`Pickle::view`](super::Pickle::view) reads it.
    Tensor(Box<TensorRef>),
    /// A NumPy array.
    Array(Arc<TensorView<'static>>),
}

impl Value {
    /// The items of a list or tuple.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) | Self::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The entry of a dictionary under a text key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dict(entries) => entries.iter().find(|(k, _)| k.as_str() == Some(key)).map(|(_, v)| v),
            _ => None,
        }
    }

    /// Text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A number, whole or not.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(x) => Some(*x),
            Self::Int(x) => Some(*x as f64),
            _ => None,
        }
    }

    /// A whole number; truth values count as 0 and 1.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(x) => Some(*x),
            Self::Bool(x) => Some(i64::from(*x)),
            _ => None,
        }
    }

    /// A tensor.
    #[must_use]
    pub fn as_tensor(&self) -> Option<&TensorRef> {
        match self {
            Self::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }
}
