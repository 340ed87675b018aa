//! The parts of a TensorFlow Lite file that matter here, as plain structs.
//!
//! Field numbers: `tensorflow/lite/schema/schema.fbs` (version 3).

use crate::error::{Error, Result};
use crate::flat::{Table, check};

const MAX_TENSORS: usize = 20_000;
const MAX_OPERATORS: usize = 20_000;
const MAX_ARGUMENTS: usize = 64;
const MAX_DIMS: usize = 6;
/// Numbers of one tensor.
pub(crate) const MAX_ELEMENTS: usize = 1 << 26;
/// Entries of a sparse tensor's index.
const MAX_INDEX: usize = 1 << 24;

/// What a tensor's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    F32,
    F16,
    I32,
    Other(u8),
}

/// A tensor: its shape and, if it is a constant, its bytes.
#[derive(Debug)]
pub(crate) struct Tensor<'a> {
    pub name: String,
    pub shape: Vec<usize>,
    pub kind: Kind,
    pub data: &'a [u8],
    pub sparsity: Option<Sparsity>,
}

/// How a sparse tensor is stored.
#[derive(Debug)]
pub(crate) struct Sparsity {
    pub order: Vec<i32>,
    pub block_map: Vec<i32>,
    pub dims: Vec<Dim>,
}

/// One level of a sparse tensor.
#[derive(Debug)]
pub(crate) enum Dim {
    Dense(usize),
    Sparse { segments: Vec<usize>, indices: Vec<usize> },
}

/// One operation of the graph.
#[derive(Debug)]
pub(crate) struct Operator<'a> {
    pub code: i32,
    pub custom: String,
    /// Tensor numbers; −1 for one that is left out.
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
    pub options: Option<Table<'a>>,
    pub custom_options: &'a [u8],
}

/// A model with one subgraph.
#[derive(Debug)]
pub(crate) struct Graph<'a> {
    pub tensors: Vec<Tensor<'a>>,
    pub operators: Vec<Operator<'a>>,
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
}

pub(crate) fn read(bytes: &[u8]) -> Result<Graph<'_>> {
    if bytes.get(4..8) != Some(b"TFL3") {
        return Err(Error::NotAModel("the mark TFL3 is missing"));
    }
    let root = Table::root(bytes)?;
    let codes = root.tables(1, "operator codes", MAX_OPERATORS)?;
    // Older files have the code in the first field, newer ones in the fourth; whichever isn't used is smaller.
    let codes = codes
        .iter()
        .map(|code| Ok((i32::from(code.u8(0, 0)?).max(code.i32(3, 0)?), code.text(1)?)))
        .collect::<Result<Vec<_>>>()?;
    let buffers = root.tables(4, "buffers", MAX_TENSORS)?;
    let graphs = root.tables(2, "subgraphs", 64)?;
    let [graph] = graphs.as_slice() else {
        return Err(Error::Inconsistent(format!("{} subgraphs, one is read", graphs.len())));
    };
    let mut tensors = Vec::new();
    for table in graph.tables(0, "tensors", MAX_TENSORS)? {
        let buffer = table.u32(2, 0)? as usize;
        let data = match (buffer, buffers.get(buffer)) {
            (0, _) => &[][..],
            (_, Some(buffer)) => buffer.bytes(0)?,
            (_, None) => return Err(Error::Inconsistent(format!("buffer {buffer} doesn't exist"))),
        };
        tensors.push(Tensor {
            name: table.text(3)?,
            shape: shape(&table.ints(0, "dimensions", MAX_DIMS)?.unwrap_or_default())?,
            kind: match table.u8(1, 0)? {
                0 => Kind::F32,
                1 => Kind::F16,
                2 => Kind::I32,
                other => Kind::Other(other),
            },
            data,
            sparsity: table.table(6)?.map(|t| sparsity(&t)).transpose()?,
        });
    }
    let arguments = |table: &Table<'_>, id| {
        let found = table.ints(id, "arguments", MAX_ARGUMENTS)?.unwrap_or_default();
        match found.iter().find(|i| **i < -1 || **i >= tensors.len() as i32) {
            Some(i) => Err(Error::Inconsistent(format!("tensor {i} of {} is used", tensors.len()))),
            None => Ok(found),
        }
    };
    let mut operators = Vec::new();
    for table in graph.tables(3, "operators", MAX_OPERATORS)? {
        let index = table.u32(0, 0)? as usize;
        let (code, custom) = codes
            .get(index)
            .ok_or_else(|| Error::Inconsistent(format!("operator code {index} doesn't exist")))?;
        operators.push(Operator {
            code: *code,
            custom: custom.clone(),
            inputs: arguments(&table, 1)?,
            outputs: arguments(&table, 2)?,
            options: table.table(4)?,
            custom_options: table.bytes(5)?,
        });
    }
    let (inputs, outputs) = (arguments(graph, 1)?, arguments(graph, 2)?);
    Ok(Graph { tensors, operators, inputs, outputs })
}

/// A static shape of bounded size.
pub(crate) fn shape(dims: &[i32]) -> Result<Vec<usize>> {
    let mut total = 1_usize;
    let mut shape = Vec::with_capacity(dims.len());
    for &dim in dims {
        let dim = usize::try_from(dim).ok().filter(|d| *d > 0);
        let dim = dim.ok_or_else(|| Error::Inconsistent(format!("{dims:?} isn't a static shape")))?;
        total = total.saturating_mul(dim);
        shape.push(dim);
    }
    check("a tensor's number of elements", total, MAX_ELEMENTS)?;
    Ok(shape)
}

fn sparsity(table: &Table<'_>) -> Result<Sparsity> {
    let list = |id| Ok(table.ints(id, "sparse order", 2 * MAX_DIMS)?.unwrap_or_default());
    let mut dims = Vec::new();
    for dim in table.tables(2, "sparse levels", 2 * MAX_DIMS)? {
        dims.push(match dim.u8(0, 0)? {
            0 => Dim::Dense(usize::try_from(dim.i32(1, 0)?).unwrap_or(0)),
            _ => Dim::Sparse { segments: index(&dim, 2)?, indices: index(&dim, 4)? },
        });
    }
    Ok(Sparsity { order: list(0)?, block_map: list(1)?, dims })
}

/// A union of three vector types at field `id` (its type) and `id + 1`.
fn index(table: &Table<'_>, id: usize) -> Result<Vec<usize>> {
    let missing = || Error::Inconsistent("a sparse level without its index".to_owned());
    let values = table.table(id + 1)?.ok_or_else(missing)?;
    let what = "a sparse index";
    match table.u8(id, 0)? {
        1 => {
            let ints = values.ints(0, what, MAX_INDEX)?.ok_or_else(missing)?;
            let checked: Option<Vec<usize>> = ints.into_iter().map(|i| usize::try_from(i).ok()).collect();
            checked.ok_or_else(|| Error::Inconsistent("a negative sparse index".to_owned()))
        }
        2 => {
            Ok(values.shorts(0, what, MAX_INDEX)?.ok_or_else(missing)?.into_iter().map(usize::from).collect())
        }
        3 => Ok(values.bytes(0)?.iter().map(|b| usize::from(*b)).collect()),
        _ => Err(missing()),
    }
}
