//! Reading the tensors of a case, whatever numeric type they are stored in.

use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::Path;

/// A dense row-major array.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<T> {
    /// Extent of every axis, slowest first.
    pub shape: Vec<usize>,
    /// The elements, `shape.iter().product()` of them.
    pub data: Vec<T>,
}

struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// The tensors of one `.safetensors` file by name.
#[derive(Default)]
pub struct Tensors {
    by_name: BTreeMap<String, Stored>,
}

impl std::fmt::Debug for Tensors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

impl Tensors {
    /// Reads a whole file.
    ///
    /// # Errors
    /// When the file can't be read or isn't valid safetensors.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let file = SafeTensors::deserialize(&bytes).with_context(|| format!("parsing {}", path.display()))?;
        let by_name = file
            .iter()
            .map(|(name, view)| {
                let stored =
                    Stored { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() };
                (name.to_owned(), stored)
            })
            .collect();
        Ok(Self { by_name })
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Is there a tensor of that name?
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The shape of a tensor.
    ///
    /// # Errors
    /// When there is no such tensor.
    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        Ok(&self.stored(name)?.shape)
    }

    /// How the file stores a tensor.
    ///
    /// # Errors
    /// When there is no such tensor.
    pub fn dtype(&self, name: &str) -> Result<Dtype> {
        Ok(self.stored(name)?.dtype)
    }

    fn stored(&self, name: &str) -> Result<&Stored> {
        self.by_name.get(name).with_context(|| format!("the case has no tensor {name:?}"))
    }

    fn convert<T>(&self, name: &str, from: impl Fn(Number) -> Option<T>) -> Result<Array<T>> {
        let stored = self.stored(name)?;
        let numbers = stored.numbers().with_context(|| format!("tensor {name:?}"))?;
        let data: Option<Vec<T>> = numbers.into_iter().map(from).collect();
        let data = data.with_context(|| format!("tensor {name:?} is stored as {:?}", stored.dtype))?;
        ensure!(data.len() == stored.shape.iter().product::<usize>(), "tensor {name:?} is truncated");
        Ok(Array { shape: stored.shape.clone(), data })
    }

    /// A floating-point tensor (F64, F32, F16, BF16 or U8) as f32.
    ///
    /// # Errors
    /// When there is no such tensor or it holds integers.
    pub fn f32(&self, name: &str) -> Result<Array<f32>> {
        self.convert(name, |n| match n {
            Number::Float(x) => Some(x as f32),
            Number::Int(_) => None,
        })
    }

    /// A floating-point tensor as f64.
    ///
    /// # Errors
    /// When there is no such tensor or it holds integers.
    pub fn f64(&self, name: &str) -> Result<Array<f64>> {
        self.convert(name, |n| match n {
            Number::Float(x) => Some(x),
            Number::Int(_) => None,
        })
    }

    /// An integer tensor (any width) as i64.
    ///
    /// # Errors
    /// When there is no such tensor or it holds floating-point numbers.
    pub fn i64(&self, name: &str) -> Result<Array<i64>> {
        self.convert(name, |n| match n {
            Number::Int(x) => Some(x),
            Number::Float(_) => None,
        })
    }

    /// A `uint8` tensor.
    ///
    /// # Errors
    /// When there is no such tensor or a value doesn't fit.
    pub fn u8(&self, name: &str) -> Result<Array<u8>> {
        self.convert(name, |n| match n {
            Number::Int(x) => u8::try_from(x).ok(),
            Number::Float(_) => None,
        })
    }
}

#[derive(Clone, Copy)]
enum Number {
    Float(f64),
    Int(i64),
}

impl Stored {
    fn numbers(&self) -> Result<Vec<Number>> {
        fn each<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> Number) -> Vec<Number> {
            bytes.as_chunks::<N>().0.iter().map(|c| f(*c)).collect()
        }
        let b = &self.bytes;
        Ok(match self.dtype {
            Dtype::F64 => each(b, |c| Number::Float(f64::from_le_bytes(c))),
            Dtype::F32 => each(b, |c| Number::Float(f32::from_le_bytes(c).into())),
            Dtype::F16 => each(b, |c| Number::Float(f16::from_le_bytes(c).into())),
            Dtype::BF16 => each(b, |c| Number::Float(bf16::from_le_bytes(c).into())),
            Dtype::I64 => each(b, |c| Number::Int(i64::from_le_bytes(c))),
            Dtype::I32 => each(b, |c| Number::Int(i32::from_le_bytes(c).into())),
            Dtype::I16 => each(b, |c| Number::Int(i16::from_le_bytes(c).into())),
            Dtype::I8 => each(b, |c: [u8; 1]| Number::Int(i64::from(c[0] as i8))),
            Dtype::U8 | Dtype::BOOL => each(b, |c: [u8; 1]| Number::Int(c[0].into())),
            other => bail!("dtype {other:?} isn't used by golden cases"),
        })
    }
}
