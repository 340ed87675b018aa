//! Constants as plain numbers: half precision widened, sparse tensors filled in.

use crate::error::{Error, Result};
use crate::schema::{Dim, Kind, MAX_ELEMENTS, Sparsity, Tensor};
use half::f16;

/// A constant's `f32` numbers, dense.
pub(crate) fn floats(tensor: &Tensor<'_>) -> Result<Vec<f32>> {
    let stored: Vec<f32> = match tensor.kind {
        Kind::F32 => tensor.data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Kind::F16 => tensor.data.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        kind => return Err(Error::Inconsistent(format!("{}: {kind:?} isn't floating point", tensor.name))),
    };
    let dense = match &tensor.sparsity {
        Some(sparsity) => densify(&tensor.shape, sparsity, &stored)?,
        None => stored,
    };
    let expected: usize = tensor.shape.iter().product();
    if dense.len() != expected {
        let why = format!("{}: {} numbers for the shape {:?}", tensor.name, dense.len(), tensor.shape);
        return Err(Error::Inconsistent(why));
    }
    Ok(dense)
}

/// A constant's integers.
pub(crate) fn ints(tensor: &Tensor<'_>) -> Result<Vec<i32>> {
    let expected: usize = tensor.shape.iter().product();
    if tensor.kind != Kind::I32 || tensor.data.len() != 4 * expected {
        return Err(Error::Inconsistent(format!("{}: constant integers are needed", tensor.name)));
    }
    Ok(tensor.data.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b)).collect())
}

/// Fills in a tensor stored level by level (dense or compressed rows), with optional blocks at the innermost levels.
fn densify(shape: &[usize], sparsity: &Sparsity, values: &[f32]) -> Result<Vec<f32>> {
    let bad = |why: &str| Error::Inconsistent(format!("sparse tensor: {why}"));
    let (rank, levels) = (shape.len(), sparsity.dims.len());
    if sparsity.order.len() != levels || levels != rank + sparsity.block_map.len() {
        return Err(bad("as many levels as dimensions and blocks are needed"));
    }
    // Size of each block level, and from it how far one step of each level goes in the dense tensor.
    let mut block = vec![1_usize; rank];
    let mut dimension = Vec::with_capacity(levels);
    for (level, &d) in sparsity.order.iter().enumerate() {
        let d = usize::try_from(d).map_err(|_| bad("a negative dimension"))?;
        if d < rank {
            dimension.push((d, false));
            continue;
        }
        let of =
            sparsity.block_map.get(d - rank).and_then(|m| usize::try_from(*m).ok()).filter(|m| *m < rank);
        let of = of.ok_or_else(|| bad("a block of no dimension"))?;
        let Dim::Dense(size) = sparsity.dims[level] else { return Err(bad("a block that isn't dense")) };
        block[of] = size.max(1);
        dimension.push((of, true));
    }
    let mut stride = vec![1_usize; rank];
    for d in (0..rank.saturating_sub(1)).rev() {
        stride[d] = stride[d + 1] * shape[d + 1];
    }
    let steps: Vec<usize> = dimension
        .iter()
        .map(|&(d, inner)| if inner { stride[d] } else { stride[d].saturating_mul(block[d]) })
        .collect();
    let total: usize = shape.iter().product();
    let mut dense = vec![0.0; total];
    // Positions of the current level: (index in the level above, offset in the dense tensor).
    let mut at = vec![0_usize];
    for (dim, step) in sparsity.dims.iter().zip(&steps) {
        let mut next = Vec::new();
        for (n, &offset) in at.iter().enumerate() {
            match dim {
                Dim::Dense(size) => {
                    if next.len().saturating_add(*size) > MAX_ELEMENTS.min(total) {
                        return Err(bad("more values than the shape has"));
                    }
                    next.extend((0..*size).map(|i| offset.saturating_add(i.saturating_mul(*step))));
                }
                Dim::Sparse { segments, indices } => {
                    let range = match (segments.get(n), segments.get(n + 1)) {
                        (Some(&from), Some(&to)) => indices.get(from..to),
                        _ => None,
                    };
                    let range = range.ok_or_else(|| bad("a row outside of its index"))?;
                    next.extend(range.iter().map(|i| offset.saturating_add(i.saturating_mul(*step))));
                }
            }
            if next.len() > total {
                return Err(bad("more values than the shape has"));
            }
        }
        at = next;
    }
    if at.len() != values.len() {
        return Err(bad("another number of values than positions"));
    }
    for (&offset, &value) in at.iter().zip(values) {
        *dense.get_mut(offset).ok_or_else(|| bad("a value outside of the shape"))? = value;
    }
    Ok(dense)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_rows_are_filled_in() {
        let rows = Sparsity {
            order: vec![0, 1],
            block_map: vec![],
            dims: vec![Dim::Dense(2), Dim::Sparse { segments: vec![0, 1, 3], indices: vec![2, 0, 1] }],
        };
        assert_eq!(densify(&[2, 3], &rows, &[5.0, 6.0, 7.0]).unwrap(), [0.0, 0.0, 5.0, 6.0, 7.0, 0.0]);
        assert!(densify(&[2, 3], &rows, &[5.0]).is_err());
    }

    #[test]
    fn blocks_are_filled_in() {
        // A 4 × 2 tensor in blocks of 2 × 1; only the lower left and the upper right block are there.
        let blocks = Sparsity {
            order: vec![0, 1, 2],
            block_map: vec![0],
            dims: vec![
                Dim::Dense(2),
                Dim::Sparse { segments: vec![0, 1, 2], indices: vec![1, 0] },
                Dim::Dense(2),
            ],
        };
        let dense = densify(&[4, 2], &blocks, &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(dense, [0.0, 1.0, 0.0, 2.0, 3.0, 0.0, 4.0, 0.0]);
    }

    #[test]
    fn an_index_outside_is_an_error() {
        let rows = Sparsity {
            order: vec![0, 1],
            block_map: vec![],
            dims: vec![Dim::Dense(1), Dim::Sparse { segments: vec![0, 1], indices: vec![9] }],
        };
        assert!(densify(&[1, 3], &rows, &[1.0]).is_err());
    }
}
