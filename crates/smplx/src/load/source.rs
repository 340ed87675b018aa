//! Arrays of a body file by name, with the shape they must have.

use crate::error::{Error, Result};
use crate::lanes::Directions;
use crate::model::{Hand, check_finite};
use crate::skeleton::N_HAND_JOINTS;
use std::ops::Range;
use tensorfile::{Npz, TensorSource, TensorView};

/// The arrays of a body file.
pub(super) struct Arrays<'a>(pub(super) &'a Npz);

/// An expected extent: a number, or any.
pub(super) type Extent = Option<usize>;

impl Arrays<'_> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// An array of that name and shape.
    pub(super) fn view(&self, name: &'static str, expected: &[Extent]) -> Result<TensorView<'_>> {
        if !self.has(name) {
            let smpl = !self.has("v_template") && !self.has(super::compact::MARK);
            let hint = if smpl { ": this isn't a body model in npz form" } else { "" };
            return Err(Error::MissingArray { array: name, hint });
        }
        let info = self.0.info(name);
        if let Some(info) = info {
            check_shape(name, expected, &info.shape)?;
        }
        self.0.tensor(name).map_err(|source| Error::Array { array: name.to_owned(), source })
    }

    pub(super) fn f32(&self, name: &'static str, expected: &[Extent]) -> Result<Vec<f32>> {
        let values = self.view(name, expected)?.to_f32();
        check_finite(name, &values)?;
        Ok(values)
    }

    pub(super) fn i64(&self, name: &'static str, expected: &[Extent]) -> Result<Vec<i64>> {
        let view = self.view(name, expected)?;
        view.to_i64().map_err(|source| Error::Array { array: name.to_owned(), source })
    }

    /// Whole numbers below `limit`.
    pub(super) fn indices(&self, name: &'static str, expected: &[Extent], limit: usize) -> Result<Vec<u32>> {
        let check = |(index, value): (usize, i64)| match u32::try_from(value) {
            Ok(small) if (small as usize) < limit => Ok(small),
            _ => Err(Error::Value {
                array: name.to_owned(),
                index,
                problem: format!("{value} isn't an index below {limit}"),
            }),
        };
        self.i64(name, expected)?.into_iter().enumerate().map(check).collect()
    }

    /// Triples.
    pub(super) fn triples(&self, name: &'static str, n: Extent) -> Result<Vec<[f32; 3]>> {
        Ok(self.f32(name, &[n, Some(3)])?.as_chunks::<3>().0.to_vec())
    }

    /// Mean and components of both hands; `None` where the file has none.
    pub(super) fn hands(&self) -> Result<Option<[Hand; 2]>> {
        if !self.has("hands_meanl") && !self.has("hands_meanr") {
            return Ok(None);
        }
        let hand = |mean, components| -> Result<Hand> {
            let n = N_HAND_JOINTS * 3;
            let mean = self.f32(mean, &[Some(n)])?;
            let components =
                if self.has(components) { self.f32(components, &[None, Some(n)])? } else { Vec::new() };
            let joints = |v: &[f32]| std::array::from_fn(|j| std::array::from_fn(|axis| v[j * 3 + axis]));
            Ok(Hand { mean: joints(&mean), components: components.chunks_exact(n).map(joints).collect() })
        };
        Ok(Some([hand("hands_meanl", "hands_componentsl")?, hand("hands_meanr", "hands_componentsr")?]))
    }

    /// Columns of a `[V, 3, K]` array, read a few rows at a time so that no second copy of it is made.
    pub(super) fn directions(
        &self,
        name: &'static str,
        view: &TensorView<'_>,
        n_vertices: usize,
        columns: Range<usize>,
    ) -> Result<Directions> {
        let stride = view.shape().last().copied().unwrap_or(0);
        let mut table = Directions::zeros(n_vertices, columns.len());
        if columns.is_empty() {
            return Ok(table);
        }
        let row_bytes = stride * view.dtype().block_bytes();
        let mut problem = None;
        table.fill_rows(n_vertices, |row, out| {
            let bytes = &view.bytes()[row * row_bytes..(row + 1) * row_bytes];
            let Ok(values) = TensorView::new(view.dtype(), vec![stride], bytes) else { return };
            let values = values.to_f32();
            out.copy_from_slice(&values[columns.clone()]);
            if let Some(at) = out.iter().position(|x| !x.is_finite()) {
                problem.get_or_insert((row * stride + columns.start + at, out[at]));
            }
        });
        match problem {
            None => Ok(table),
            Some((index, value)) => Err(Error::Value {
                array: name.to_owned(),
                index,
                problem: format!("{value} isn't a finite number"),
            }),
        }
    }
}

/// Compares a shape with the expected one; `None` fits any extent.
pub(super) fn check_shape(name: &str, expected: &[Extent], found: &[usize]) -> Result<()> {
    let fits =
        expected.len() == found.len() && expected.iter().zip(found).all(|(e, f)| e.is_none_or(|e| e == *f));
    if fits {
        return Ok(());
    }
    let words: Vec<String> = expected.iter().map(|e| e.map_or("_".to_owned(), |e| e.to_string())).collect();
    Err(Error::Shape {
        array: name.to_owned(),
        expected: format!("[{}]", words.join(", ")),
        found: found.to_vec(),
    })
}
