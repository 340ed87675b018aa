//! From the machine's objects to a tree.

use super::{Id, Machine, Node, Result};
use crate::pickle::{PickleError, TensorRef, Value};
use std::sync::Arc;

/// Deepest nesting that is turned into a [`Value`].
const MAX_DEPTH: usize = 64;

/// Bytes that the tree of a pickle of `len` bytes may take. Every object takes at least one byte of pickle, so that only
/// the repetition of memoised objects can exceed this, and that is real (keys of optimiser states) in small
/// amounts only.
fn tree_budget(len: usize) -> usize {
    len.saturating_mul(size_of::<Value>()).min(256 << 20) + (1 << 20)
}

impl Machine<'_> {
    /// The object as a tree.
    pub(in crate::pickle) fn value(&self, id: Id) -> Result<Value> {
        let limit = tree_budget(self.bytes.len());
        self.tree(id, 0, &mut limit.clone(), limit)
    }

    fn tree(&self, id: Id, depth: usize, left: &mut usize, limit: usize) -> Result<Value> {
        if depth > MAX_DEPTH {
            return Err(PickleError::TooMuch { what: "levels", limit: MAX_DEPTH });
        }
        let node = &self.nodes[id];
        let own = match node {
            Node::Str(text) => text.len(),
            Node::Bytes(bytes) => bytes.len(),
            Node::Tensor(tensor) => size_of::<TensorRef>() + 16 * tensor.shape.len(),
            _ => 0,
        };
        *left = left
            .checked_sub(size_of::<Value>() + own)
            .ok_or(PickleError::TooMuch { what: "bytes of objects", limit })?;
        let mut items = |ids: &[Id]| {
            ids.iter().map(|&i| self.tree(i, depth + 1, left, limit)).collect::<Result<Vec<_>>>()
        };
        Ok(match node {
            Node::None => Value::None,
            Node::Bool(x) => Value::Bool(*x),
            Node::Int(x) => Value::Int(*x),
            // Beyond 64 bits nothing but a magic number is known; keep its bytes.
            Node::Long(bytes) => Value::Bytes(bytes.clone()),
            Node::Float(x) => Value::Float(*x),
            Node::Str(text) => Value::Str(text.clone()),
            Node::Bytes(bytes) => Value::Bytes(bytes.clone()),
            Node::List(ids) => Value::List(items(ids)?),
            Node::Tuple(ids) => Value::Tuple(items(ids)?),
            Node::Dict(entries) => {
                let mut out = Vec::new();
                for &(k, v) in entries {
                    out.push((self.tree(k, depth + 1, left, limit)?, self.tree(v, depth + 1, left, limit)?));
                }
                Value::Dict(out)
            }
            Node::Object(None) => Value::Dict(Vec::new()),
            Node::Object(Some(state)) => self.tree(*state, depth + 1, left, limit)?,
            Node::Tensor(tensor) => Value::Tensor(tensor.clone()),
            Node::Array(array) => Value::Array(Arc::clone(array)),
            // An element type as data ("dtype": torch.float16) is harmless: its name.
            Node::Global(name) if crate::pickle::rebuild::torch_dtype(name).is_some() => {
                Value::Str(name.clone())
            }
            Node::NumpyType(descr) => Value::Str(descr.clone()),
            Node::Global(name) => return Err(PickleError::Forbidden { global: name.clone() }),
            Node::Storage(_) | Node::BytesStorage(_) => {
                return Err(PickleError::Forbidden { global: "a storage without a tensor".to_owned() });
            }
            Node::NumpyArray | Node::JoblibArray => {
                return Err(PickleError::Arguments { function: "numpy.ndarray".to_owned() });
            }
        })
    }
}
