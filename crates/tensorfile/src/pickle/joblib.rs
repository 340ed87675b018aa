//! joblib's pickles: in an array's place stands a wrapper, and behind the wrapper's state lie the elements as they are.
//!
//! Facts of the format: joblib 1.x, `numpy_pickle.py`.

use super::PickleError;
use super::machine::{Id, Machine, Node};
use super::rebuild::{is_object, numpy_header};
use std::borrow::Cow;
use std::sync::Arc;

/// The class of the wrapper.
pub(super) const WRAPPER: &str = "joblib.numpy_pickle.NumpyArrayWrapper";

impl Machine<'_> {
    /// Takes the elements that follow a wrapper's state: raw bytes, or one more pickle where they are objects.
    pub(super) fn joblib_array(&mut self, state: Id) -> Result<Node, PickleError> {
        let wrong = || PickleError::Arguments { function: WRAPPER.to_owned() };
        let entry = |key: &str| match &self.nodes[state] {
            Node::Dict(entries) => {
                entries.iter().find(|(k, _)| self.text_of(*k) == Some(key)).map(|(_, value)| *value)
            }
            _ => None,
        };
        let (Some(shape), Some(kind), Some(order)) = (entry("shape"), entry("dtype"), entry("order")) else {
            return Err(wrong());
        };
        let Node::NumpyType(descr) = &self.nodes[kind] else { return Err(wrong()) };
        let shape = self.sizes(shape).ok_or_else(wrong)?;
        let fortran = self.text_of(order) == Some("F");
        let aligned =
            entry("numpy_array_alignment_bytes").is_some_and(|id| matches!(self.nodes[id], Node::Int(_)));
        if is_object(descr) {
            let array = self.run_inner()?;
            return match &self.nodes[array] {
                list @ Node::List(_) => Ok(list.clone()),
                _ => Err(wrong()),
            };
        }
        let header = numpy_header(descr, fortran, shape);
        if aligned {
            let padding = self.byte()?;
            self.take(padding.into())?;
        }
        let bytes = header.data_bytes().ok().flatten().ok_or_else(wrong)?;
        let elements = self.take(bytes as u64)?;
        self.charge(bytes)?;
        let view = crate::npy::elements(&header, Cow::Owned(elements.to_vec())).map_err(|_| wrong())?;
        Ok(Node::Array(Arc::new(view)))
    }
}
