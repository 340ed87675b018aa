//! A model: its graph as checked steps.

use crate::buffers;
use crate::constant;
use crate::error::{Error, Result};
use crate::flat::{Table, check};
use crate::ops::{
    Binary, BinaryKind, Concat, Conv, Dense, DepthToSpace, Depthwise, Fused, Pad, Pool, Prelu, Resize,
    TransposeConv, Unary,
};
use crate::schema::{self, Graph, Kind, Operator};
use std::borrow::Cow;
use std::rc::Rc;

/// Numbers of all constants together.
const MAX_CONSTANTS: usize = 1 << 27;

/// A tensor that a run gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its numbers, row major.
    pub data: Vec<f32>,
}

/// A model that is ready to run. It can be shared between threads.
#[derive(Debug)]
pub struct Model {
    steps: Vec<Step>,
    constants: Vec<(usize, Vec<f32>)>,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    shapes: Vec<Vec<usize>>,
    /// For each step the tensors that nobody needs after it.
    done: Vec<Vec<usize>>,
}

#[derive(Debug)]
struct Step {
    kernel: Kernel,
    inputs: Vec<usize>,
    output: usize,
}

#[derive(Debug)]
enum Kernel {
    Make(Make),
    Change(Change),
}

/// Operators that make a tensor of others.
#[derive(Debug)]
enum Make {
    Conv(Conv),
    Dense(Dense),
    Depthwise(Depthwise),
    TransposeConv(TransposeConv),
    Pool(Pool),
    Resize(Resize),
    Pad(Pad),
    Concat(Concat),
    DepthToSpace(DepthToSpace),
}

/// Operators that change a tensor number by number.
#[derive(Debug)]
enum Change {
    Unary(Unary),
    Binary(Binary),
    Prelu(Prelu),
    /// The same numbers under another shape.
    Same,
}

impl Model {
    /// Reads a model, folds its constants and checks every step.
    ///
    /// # Errors
    /// When the bytes aren't a model, contradict themselves, or use something that isn't supported.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let graph = schema::read(bytes)?;
        let mut loader = Loader { constants: vec![None; graph.tensors.len()], total: 0, graph: &graph };
        let shapes: Vec<Vec<usize>> = graph.tensors.iter().map(|t| t.shape.clone()).collect();
        let inputs = tensors(&graph.inputs)?;
        let mut known: Vec<bool> = graph.tensors.iter().map(|t| !t.data.is_empty()).collect();
        inputs.iter().for_each(|i| known[*i] = true);
        let mut steps = Vec::new();
        for operator in &graph.operators {
            let (used, made) = (tensors(&operator.inputs), tensors(&operator.outputs)?);
            let used = used.unwrap_or_else(|_| {
                operator.inputs.iter().filter_map(|i| usize::try_from(*i).ok()).collect()
            });
            let &[output] = made.as_slice() else {
                return Err(Error::Inconsistent(format!("an operator with {} results", made.len())));
            };
            if let Some(missing) = used.iter().find(|i| !known[**i]) {
                return Err(Error::Inconsistent(format!("tensor {missing} is used before it is made")));
            }
            if known[output] {
                return Err(Error::Inconsistent(format!("tensor {output} is made twice")));
            }
            known[output] = true;
            // Half precision and sparse constants become plain ones now.
            if matches!(operator.code, DEQUANTIZE | DENSIFY) && loader.is_constant(used.first().copied()) {
                loader.fold(used[0], output)?;
                continue;
            }
            let (kernel, inputs, shape) = loader.step(operator)?;
            if shape != shapes[output] {
                let why = format!("tensor {output} is {:?}, its operator gives {shape:?}", shapes[output]);
                return Err(Error::Inconsistent(why));
            }
            steps.push(Step { kernel, inputs, output });
        }
        let outputs = tensors(&graph.outputs)?;
        if let Some(missing) = outputs.iter().find(|i| !known[**i]) {
            return Err(Error::Inconsistent(format!("output {missing} is never made")));
        }
        let mut needed: Vec<usize> =
            steps.iter().flat_map(|s| s.inputs.clone()).chain(outputs.clone()).collect();
        needed.sort_unstable();
        needed.dedup();
        let mut constants = Vec::new();
        for i in needed {
            let made = steps.iter().any(|s| s.output == i) || inputs.contains(&i);
            if !made {
                constants.push((i, loader.floats(i)?.as_ref().clone()));
            }
        }
        let done = last_uses(&steps, &outputs);
        Ok(Self { steps, constants, inputs, outputs, shapes, done })
    }

    /// Shapes of the inputs.
    #[must_use]
    pub fn inputs(&self) -> Vec<&[usize]> {
        self.inputs.iter().map(|i| self.shapes[*i].as_slice()).collect()
    }

    /// Shapes of the outputs.
    #[must_use]
    pub fn outputs(&self) -> Vec<&[usize]> {
        self.outputs.iter().map(|i| self.shapes[*i].as_slice()).collect()
    }

    /// Runs the model; `inputs` in the order of [`Model::inputs`], row major.
    ///
    /// # Errors
    /// When the number of inputs or of their elements doesn't fit.
    pub fn run(&self, inputs: &[&[f32]]) -> Result<Vec<Tensor>> {
        for (index, tensor) in self.inputs.iter().enumerate() {
            let expected = self.shapes[*tensor].iter().product();
            let got = inputs.get(index).map_or(0, |x| x.len());
            if got != expected {
                return Err(Error::Input { index, expected, got });
            }
        }
        if let Some(extra) = inputs.get(self.inputs.len()) {
            return Err(Error::Input { index: self.inputs.len(), expected: 0, got: extra.len() });
        }
        let mut values: Vec<Option<Cow<'_, [f32]>>> = vec![None; self.shapes.len()];
        for (i, data) in &self.constants {
            values[*i] = Some(Cow::Borrowed(data));
        }
        for (i, data) in self.inputs.iter().zip(inputs) {
            values[*i] = Some(Cow::Borrowed(data));
        }
        let missing = || Error::Inconsistent("a tensor is missing".to_owned());
        for (step, done) in self.steps.iter().zip(&self.done) {
            let made = match &step.kernel {
                Kernel::Change(change) => {
                    let mut x = to_change(&mut values, step, change.changed(), done).ok_or_else(missing)?;
                    let other = change.other().map(|k| values[step.inputs[k]].as_deref());
                    change.run(&mut x, other.map_or(Ok(&[][..]), |x| x.ok_or_else(missing))?);
                    x
                }
                Kernel::Make(make) => {
                    let x =
                        step.inputs.iter().map(|i| values[*i].as_deref()).collect::<Option<Vec<&[f32]>>>();
                    make.run(&x.ok_or_else(missing)?)
                }
            };
            values[step.output] = Some(Cow::Owned(made));
            for i in done {
                if let Some(Cow::Owned(buffer)) = values[*i].take() {
                    buffers::give(buffer);
                }
            }
        }
        let take = |i: &usize| {
            let data = values[*i].as_deref().ok_or_else(missing)?.to_vec();
            Ok(Tensor { shape: self.shapes[*i].clone(), data })
        };
        let made = self.outputs.iter().map(take).collect();
        for value in values {
            if let Some(Cow::Owned(buffer)) = value {
                buffers::give(buffer);
            }
        }
        made
    }
}

/// An input that a step changes: the tensor itself where nobody needs it afterwards, else a copy.
fn to_change(
    values: &mut [Option<Cow<'_, [f32]>>],
    step: &Step,
    input: usize,
    done: &[usize],
) -> Option<Vec<f32>> {
    let i = step.inputs[input];
    let is_last = done.contains(&i) && step.inputs.iter().filter(|j| **j == i).count() == 1;
    match values[i].take_if(|value| is_last && matches!(value, Cow::Owned(_))) {
        Some(own) => Some(own.into_owned()),
        None => values[i].as_deref().map(buffers::copy),
    }
}

impl Make {
    fn run(&self, x: &[&[f32]]) -> Vec<f32> {
        match self {
            Self::Conv(op) => op.run(x[0]),
            Self::Dense(op) => op.run(x[0]),
            Self::Depthwise(op) => op.run(x[0]),
            Self::TransposeConv(op) => op.run(x[0]),
            Self::Pool(op) => op.run(x[0]),
            Self::Resize(op) => op.run(x[0]),
            Self::Pad(op) => op.run(x[0]),
            Self::Concat(op) => op.run(x),
            Self::DepthToSpace(op) => op.run(x[0]),
        }
    }
}

impl Change {
    /// The input that is changed.
    fn changed(&self) -> usize {
        match self {
            Self::Unary(_) | Self::Prelu(_) | Self::Same => 0,
            Self::Binary(op) => usize::from(op.swapped),
        }
    }

    /// The input that it is changed with.
    fn other(&self) -> Option<usize> {
        match self {
            Self::Unary(_) | Self::Prelu(_) | Self::Same => None,
            Self::Binary(op) => Some(usize::from(!op.swapped)),
        }
    }

    fn run(&self, x: &mut [f32], other: &[f32]) {
        match self {
            Self::Unary(op) => op.run(x),
            Self::Binary(op) => op.run(x, other),
            Self::Prelu(op) => op.run(x),
            Self::Same => {}
        }
    }
}

fn tensors(list: &[i32]) -> Result<Vec<usize>> {
    let all: Option<Vec<usize>> = list.iter().map(|i| usize::try_from(*i).ok()).collect();
    all.ok_or_else(|| Error::Inconsistent("a tensor is left out".to_owned()))
}

fn last_uses(steps: &[Step], outputs: &[usize]) -> Vec<Vec<usize>> {
    let mut seen: std::collections::BTreeSet<usize> = outputs.iter().copied().collect();
    let mut done = vec![Vec::new(); steps.len()];
    for (n, step) in steps.iter().enumerate().rev() {
        for &input in &step.inputs {
            if seen.insert(input) {
                done[n].push(input);
            }
        }
    }
    done
}

const DEQUANTIZE: i32 = 6;
const DENSIFY: i32 = 124;
const CUSTOM: i32 = 32;

/// Constants while a model is read.
struct Loader<'a> {
    graph: &'a Graph<'a>,
    constants: Vec<Option<Rc<Vec<f32>>>>,
    total: usize,
}

impl Loader<'_> {
    fn is_constant(&self, tensor: Option<usize>) -> bool {
        tensor.is_some_and(|i| self.constants[i].is_some() || !self.graph.tensors[i].data.is_empty())
    }

    /// A constant's numbers.
    fn floats(&mut self, tensor: usize) -> Result<Rc<Vec<f32>>> {
        if let Some(found) = &self.constants[tensor] {
            return Ok(found.clone());
        }
        let stored = &self.graph.tensors[tensor];
        if stored.data.is_empty() {
            return Err(Error::Inconsistent(format!("{}: a constant is needed", stored.name)));
        }
        self.total = self.total.saturating_add(stored.shape.iter().product());
        check("the constants' number of elements", self.total, MAX_CONSTANTS)?;
        let made = Rc::new(constant::floats(stored)?);
        self.constants[tensor] = Some(made.clone());
        Ok(made)
    }

    /// Makes `to` the same constant as `from`.
    fn fold(&mut self, from: usize, to: usize) -> Result<()> {
        let values = self.floats(from)?;
        if self.graph.tensors[to].shape != self.graph.tensors[from].shape {
            return Err(Error::Inconsistent(format!("{}: its shape changes", self.graph.tensors[from].name)));
        }
        self.constants[to] = Some(values);
        Ok(())
    }

    /// One operator: its kernel, the tensors it reads when it runs, and the shape it gives.
    fn step(&mut self, operator: &Operator<'_>) -> Result<(Kernel, Vec<usize>, Vec<usize>)> {
        let name = name_of(operator);
        let argument = |n: usize| -> Result<usize> {
            let found = operator.inputs.get(n).and_then(|i| usize::try_from(*i).ok());
            found.ok_or_else(|| Error::Inconsistent(format!("{name}: input {n} is missing")))
        };
        let graph = self.graph;
        let shape = |i: usize| graph.tensors[i].shape.as_slice();
        let x = argument(0)?;
        if graph.tensors[x].kind != Kind::F32 {
            let why = format!("{}: its input isn't 32-bit floating point", graph.tensors[x].name);
            return Err(Error::Operator(format!("{name} ({why})")));
        }
        let options = operator.options;
        let need = || -> Result<Table<'_>> {
            options.ok_or_else(|| Error::Inconsistent(format!("{name}: its options are missing")))
        };
        let bias = |loader: &mut Self| -> Result<Option<Vec<f32>>> {
            argument(2).ok().map(|b| Ok(loader.floats(b)?.as_ref().clone())).transpose()
        };
        let one = |kernel: Kernel, shape: Vec<usize>| Ok((kernel, vec![x], shape));
        match operator.code {
            0 | 18 => {
                let kind = if operator.code == 0 { BinaryKind::Add } else { BinaryKind::Mul };
                let fused = match options {
                    Some(options) => Fused::new("ADD", options.u8(0, 0)?)?,
                    None => Fused::None,
                };
                let y = argument(1)?;
                let op = Binary::new(kind, fused, shape(x), shape(y))?;
                let of = if op.swapped { y } else { x };
                Ok((Kernel::Change(Change::Binary(op)), vec![x, y], shape(of).to_vec()))
            }
            1 | 17 => {
                let op = Pool::new(&need()?, shape(x), operator.code == 17)?;
                let shape = op.shape();
                one(Kernel::Make(Make::Pool(op)), shape)
            }
            2 => {
                let all = tensors(&operator.inputs)?;
                let shapes: Vec<&[usize]> = all.iter().map(|i| shape(*i)).collect();
                let op = Concat::new(&shapes, need()?.i32(0, 0)?)?;
                let shape = op.shape();
                Ok((Kernel::Make(Make::Concat(op)), all, shape))
            }
            3 => {
                let (w, bias) = (argument(1)?, bias(self)?);
                let op = Conv::new(&need()?, shape(x), shape(w), &self.floats(w)?, bias)?;
                let shape = op.shape();
                one(Kernel::Make(Make::Conv(op)), shape)
            }
            4 => {
                let (w, bias) = (argument(1)?, bias(self)?);
                let weight = self.floats(w)?.as_ref().clone();
                let op = Depthwise::new(&need()?, shape(x), shape(w), weight, bias)?;
                let shape = op.shape();
                one(Kernel::Make(Make::Depthwise(op)), shape)
            }
            5 => {
                let op = DepthToSpace::new(shape(x), need()?.i32(0, 0)?)?;
                let shape = op.shape();
                one(Kernel::Make(Make::DepthToSpace(op)), shape)
            }
            9 => {
                let (w, bias) = (argument(1)?, bias(self)?);
                let op = Dense::new(&need()?, shape(x), shape(w), &self.floats(w)?, bias)?;
                let shape = op.shape();
                one(Kernel::Make(Make::Dense(op)), shape)
            }
            14 => one(Kernel::Change(Change::Unary(Unary::Logistic)), shape(x).to_vec()),
            19 => one(Kernel::Change(Change::Unary(Unary::Relu)), shape(x).to_vec()),
            21 => one(Kernel::Change(Change::Unary(Unary::Relu6)), shape(x).to_vec()),
            117 => one(Kernel::Change(Change::Unary(Unary::HardSwish)), shape(x).to_vec()),
            22 => {
                let output = tensors(&operator.outputs)?[0];
                let same = shape(x).iter().product::<usize>() == shape(output).iter().product::<usize>();
                if !same {
                    return Err(Error::Inconsistent(format!(
                        "{name}: {:?} to {:?}",
                        shape(x),
                        shape(output)
                    )));
                }
                one(Kernel::Change(Change::Same), shape(output).to_vec())
            }
            23 => {
                let size = constant::ints(&graph.tensors[argument(1)?])?;
                let op = Resize::new(&need()?, shape(x), &size)?;
                let shape = op.shape();
                one(Kernel::Make(Make::Resize(op)), shape)
            }
            34 => {
                let op = Pad::new(shape(x), &constant::ints(&graph.tensors[argument(1)?])?)?;
                let shape = op.shape();
                one(Kernel::Make(Make::Pad(op)), shape)
            }
            40 => {
                let axes = constant::ints(&graph.tensors[argument(1)?])?;
                if axes != [1, 2] {
                    return Err(Error::Unsupported { operator: "MEAN", why: format!("axes {axes:?}") });
                }
                let op = Pool::whole(shape(x))?;
                let kept = need()?.bool(0)?;
                let full = op.shape();
                let shape = if kept { full } else { vec![1, full[3]] };
                one(Kernel::Make(Make::Pool(op)), shape)
            }
            54 => {
                let slopes = self.floats(argument(1)?)?.as_ref().clone();
                one(Kernel::Change(Change::Prelu(Prelu::new(shape(x), slopes)?)), shape(x).to_vec())
            }
            CUSTOM if operator.custom == "Convolution2DTransposeBias" => {
                let (w, b) = (argument(1)?, argument(2)?);
                let (weight, bias) = (self.floats(w)?.as_ref().clone(), self.floats(b)?.as_ref().clone());
                let op = TransposeConv::new(operator.custom_options, shape(x), shape(w), weight, bias)?;
                let shape = op.shape();
                one(Kernel::Make(Make::TransposeConv(op)), shape)
            }
            _ => Err(Error::Operator(name)),
        }
    }
}

fn name_of(operator: &Operator<'_>) -> String {
    let known = match operator.code {
        0 => "ADD",
        1 => "AVERAGE_POOL_2D",
        2 => "CONCATENATION",
        3 => "CONV_2D",
        4 => "DEPTHWISE_CONV_2D",
        5 => "DEPTH_TO_SPACE",
        9 => "FULLY_CONNECTED",
        DEQUANTIZE => "DEQUANTIZE (of a computed tensor)",
        14 => "LOGISTIC",
        17 => "MAX_POOL_2D",
        18 => "MUL",
        19 => "RELU",
        21 => "RELU6",
        22 => "RESHAPE",
        23 => "RESIZE_BILINEAR",
        CUSTOM => return format!("{} (custom)", operator.custom),
        34 => "PAD",
        40 => "MEAN",
        54 => "PRELU",
        117 => "HARD_SWISH",
        DENSIFY => "DENSIFY (of a computed tensor)",
        other => return format!("{other} of the schema"),
    };
    known.to_owned()
}
