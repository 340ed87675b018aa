//! What solvers and step caches carry from step to step, in a form that can be written to a file and given back.

use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;

/// Named tensors: together with the sample and the number of finished steps, all that an interrupted loop needs to go on to the
/// same bits. Numbers are f64 tensors of one element.
#[derive(Clone, Debug, Default)]
pub struct SavedState {
    /// By name; the parts of a loop put theirs below a prefix of their own.
    pub tensors: BTreeMap<String, Tensor>,
}

impl SavedState {
    /// Puts everything of `part` below `prefix`.
    pub fn extend(&mut self, prefix: &str, part: Self) {
        self.tensors
            .extend(part.tensors.into_iter().map(|(name, tensor)| (format!("{prefix}.{name}"), tensor)));
    }

    /// What [`SavedState::extend`] has put below `prefix`.
    #[must_use]
    pub fn part(&self, prefix: &str) -> Self {
        let strip = |name: &str| name.strip_prefix(prefix)?.strip_prefix('.').map(str::to_owned);
        let tensors =
            self.tensors.iter().filter_map(|(name, tensor)| Some((strip(name)?, tensor.clone()))).collect();
        Self { tensors }
    }

    pub(crate) fn put(&mut self, name: impl Into<String>, tensor: &Tensor) {
        self.tensors.insert(name.into(), tensor.clone());
    }

    pub(crate) fn put_number(&mut self, name: &str, value: f64) -> Result<()> {
        self.tensors.insert(name.to_owned(), Tensor::new(&[value], &Device::Cpu)?);
        Ok(())
    }

    pub(crate) fn number(&self, name: &str) -> Result<f64> {
        let tensor = self.tensors.get(name).ok_or_else(|| Error::State { name: name.to_owned() })?;
        let values = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        match values.as_slice() {
            [value] => Ok(*value),
            _ => Err(Error::State { name: name.to_owned() }),
        }
    }

    pub(crate) fn count(&self, name: &str) -> Result<usize> {
        let value = self.number(name)?;
        if value.fract() != 0.0 || !(0.0..=1e9).contains(&value) {
            return Err(Error::State { name: name.to_owned() });
        }
        Ok(value as usize)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Tensor> {
        self.tensors.get(name).cloned()
    }

    /// `name.0`, `name.1` … as far as they go.
    pub(crate) fn list(&self, name: &str) -> Vec<Tensor> {
        (0..).map_while(|i| self.get(&format!("{name}.{i}"))).collect()
    }
}
