//! Where a layer gets its weights from: a cursor into a tree of named tensors.

use crate::Packed;
use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Result, Shape, Tensor};
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

/// A store of named tensors that hands them out in the shape and type that a layer asks for.
///
/// Implementations read from memory (a [`HashMap`]), or from files (crate `checkpoint`), merge LoRA on the way and
/// record what was asked for. A name that doesn't exist or whose shape differs is an error that names the
/// tensor, the expected and the found shape.
pub trait WeightSource: Send + Sync {
    /// The tensor `name`, of exactly `shape`, converted to `dtype` on `device`.
    ///
    /// # Errors
    /// When the tensor is missing or has another shape.
    fn dense(&self, name: &str, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor>;

    /// The matrix `name` of `shape` as the file's own quantised blocks; `None` where it is stored densely, which is what
    /// sources without quantised blocks say of everything.
    ///
    /// # Errors
    /// When the tensor is missing or has another shape.
    fn quantized(&self, name: &str, shape: (usize, usize), device: &Device) -> Result<Option<Arc<QTensor>>> {
        let _ = (name, shape, device);
        Ok(None)
    }

    /// The matrix `name` of `shape` in the form that the CPU's products read, for a model that computes in `dtype`; `None` where
    /// it isn't stored so, which is what sources say that aren't prepared.
    ///
    /// # Errors
    /// When the tensor has another shape, or is stored for another type.
    fn packed(&self, name: &str, shape: (usize, usize), dtype: DType) -> Result<Option<Packed>> {
        let _ = (name, shape, dtype);
        Ok(None)
    }

    /// As [`WeightSource::rows`], without reading the rest of the matrix; `None` where that can't be done, which is what sources say that
    /// don't read from files.
    ///
    /// # Errors
    /// As [`WeightSource::rows`].
    fn rows_alone(
        &self,
        name: &str,
        shape: (usize, usize),
        rows: &[u32],
        dtype: DType,
        device: &Device,
    ) -> Result<Option<Tensor>> {
        let _ = (name, shape, rows, dtype, device);
        Ok(None)
    }

    /// Rows of the matrix `name` of `shape`, in the order asked for: a table that a model looks a few rows up in.
    ///
    /// # Errors
    /// When the tensor is missing or has another shape, or a row lies outside of it.
    fn rows(
        &self,
        name: &str,
        shape: (usize, usize),
        rows: &[u32],
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        match self.rows_alone(name, shape, rows, dtype, device)? {
            Some(found) => Ok(found),
            None => {
                self.dense(name, &shape.into(), dtype, device)?.index_select(&Tensor::new(rows, device)?, 0)
            }
        }
    }

    /// Is there a tensor of that name?
    fn contains(&self, name: &str) -> bool;
}

/// What a linear layer with quantised weights does to its input before it multiplies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inputs {
    /// Nothing: products are in floating point.
    #[default]
    Float,
    /// Rounds it to 8 bits, each row in groups of 32, so that products are integers: [`kernels::Precision::Int8`]. CPU only.
    Int8,
}

/// A place in the tree of weights: a source, a prefix, the model's compute type and its device.
///
/// `pp("blocks").pp(3)` walks down like a path; layers take the cursor that stands at their own keys.
#[derive(Clone)]
pub struct Weights {
    source: Arc<dyn WeightSource>,
    prefix: String,
    dtype: DType,
    inputs: Inputs,
    device: Device,
}

impl std::fmt::Debug for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Weights({:?}, {:?}, {:?})", self.prefix, self.dtype, self.device)
    }
}

impl Weights {
    /// The root of a source. `dtype` is what [`Weights::get`] hands out (F32, or BF16 for half-size weights).
    #[must_use]
    pub fn new(source: Arc<dyn WeightSource>, dtype: DType, device: &Device) -> Self {
        Self { source, prefix: String::new(), dtype, inputs: Inputs::Float, device: device.clone() }
    }

    /// Weights that are in memory already: tests, generated models.
    #[must_use]
    pub fn from_tensors(tensors: HashMap<String, Tensor>, dtype: DType, device: &Device) -> Self {
        Self::new(Arc::new(tensors), dtype, device)
    }

    /// One level down: `self.pp("blocks").pp(0)` stands at `blocks.0`.
    #[must_use]
    pub fn pp(&self, segment: impl Display) -> Self {
        Self { prefix: self.name(&segment.to_string()), ..self.clone() }
    }

    /// The same place in the tree; tensors come in `dtype` from here on.
    #[must_use]
    pub fn with_dtype(&self, dtype: DType) -> Self {
        Self { dtype, ..self.clone() }
    }

    /// The same place in the tree; linear layers loaded from here on treat their inputs so, where their weights are quantised.
    /// Dense layers don't change.
    #[must_use]
    pub fn with_inputs(&self, inputs: Inputs) -> Self {
        Self { inputs, ..self.clone() }
    }

    /// What [`Weights::with_inputs`] has set.
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        self.inputs
    }

    /// The type that [`Weights::get`] hands out: f32 or bf16.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The device that tensors are placed on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The full name of a tensor below this place, as the file has it: `blocks.3.ffn.0.weight` for `weight`.
    #[must_use]
    pub fn name(&self, tensor: &str) -> String {
        if self.prefix.is_empty() { tensor.to_owned() } else { format!("{}.{tensor}", self.prefix) }
    }

    /// Is there a tensor of that name below this place?
    #[must_use]
    pub fn contains(&self, tensor: &str) -> bool {
        self.source.contains(&self.name(tensor))
    }

    /// A tensor in the type of [`Weights::dtype`].
    ///
    /// # Errors
    /// When the tensor is missing or has another shape.
    pub fn get(&self, shape: impl Into<Shape>, tensor: &str) -> Result<Tensor> {
        self.source.dense(&self.name(tensor), &shape.into(), self.dtype, &self.device)
    }

    /// A tensor in f32 whatever the compute type is: norms, biases, modulation.
    ///
    /// # Errors
    /// When the tensor is missing or has another shape.
    pub fn get_f32(&self, shape: impl Into<Shape>, tensor: &str) -> Result<Tensor> {
        self.source.dense(&self.name(tensor), &shape.into(), DType::F32, &self.device)
    }

    /// Rows of a matrix in the type of [`Weights::dtype`], without the rest where the source can: `[rows, columns]`.
    ///
    /// # Errors
    /// When the tensor is missing or has another shape, or a row lies outside of it.
    pub fn rows(&self, shape: (usize, usize), tensor: &str, rows: &[u32]) -> Result<Tensor> {
        self.source.rows(&self.name(tensor), shape, rows, self.dtype, &self.device)
    }

    /// A matrix as the CPU's products read it, if it is stored so and the CPU is where it goes.
    ///
    /// # Errors
    /// When the tensor has another shape, or is stored for another type.
    pub fn get_packed(&self, shape: (usize, usize), tensor: &str) -> Result<Option<Packed>> {
        if !self.device.is_cpu() {
            return Ok(None);
        }
        self.source.packed(&self.name(tensor), shape, self.dtype)
    }

    /// A matrix in the file's own quantised blocks, if it is stored so.
    ///
    /// # Errors
    /// When the tensor is missing or has another shape.
    pub fn get_quantized(&self, shape: (usize, usize), tensor: &str) -> Result<Option<Arc<QTensor>>> {
        self.source.quantized(&self.name(tensor), shape, &self.device)
    }
}

impl WeightSource for HashMap<String, Tensor> {
    fn dense(&self, name: &str, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
        let Some(tensor) = self.get(name) else {
            return Err(candle_core::Error::CannotFindTensor { path: name.to_owned() }.bt());
        };
        if tensor.shape() != shape {
            let msg = format!("shape mismatch for {name}");
            return Err(candle_core::Error::UnexpectedShape {
                msg,
                expected: shape.clone(),
                got: tensor.shape().clone(),
            }
            .bt());
        }
        tensor.to_device(device)?.to_dtype(dtype)
    }

    fn contains(&self, name: &str) -> bool {
        self.contains_key(name)
    }
}
