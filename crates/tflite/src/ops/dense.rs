//! `FULLY_CONNECTED`: a matrix product on flat rows.

use super::Fused;
use crate::buffers;
use crate::error::{Error, Result};
use crate::flat::Table;
use kernels::{Linear, PackedF32, Weight};

const NAME: &str = "FULLY_CONNECTED";

#[derive(Debug)]
pub(crate) struct Dense {
    rows: usize,
    inputs: usize,
    features: usize,
    weight: PackedF32,
    bias: Vec<f32>,
    fused: Fused,
}

impl Dense {
    /// `weight` is `[features, inputs]`.
    pub(crate) fn new(
        options: &Table<'_>,
        input: &[usize],
        weight_shape: &[usize],
        weight: &[f32],
        bias: Option<Vec<f32>>,
    ) -> Result<Self> {
        let bad = |why: String| Error::Unsupported { operator: NAME, why };
        let &[features, inputs] = weight_shape else {
            return Err(bad(format!("a weight of shape {weight_shape:?}")));
        };
        let n: usize = input.iter().product();
        if inputs == 0 || !n.is_multiple_of(inputs) {
            return Err(bad(format!("the shape {input:?} with a weight for {inputs}")));
        }
        if options.u8(1, 0)? != 0 || options.bool(2)? {
            return Err(bad("shuffled weights or kept dimensions".to_owned()));
        }
        let bias = bias.unwrap_or_else(|| vec![0.0; features]);
        if bias.len() != features {
            return Err(bad(format!("{} biases for {features} features", bias.len())));
        }
        let fused = Fused::new(NAME, options.u8(0, 0)?)?;
        let weight = PackedF32::new(weight, features, inputs);
        Ok(Self { rows: n / inputs, inputs, features, weight, bias, fused })
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        vec![self.rows, self.features]
    }

    pub(crate) fn run(&self, x: &[f32]) -> Vec<f32> {
        let mut out = buffers::take(self.rows * self.features);
        let linear = Linear::new(Weight::PackedF32(&self.weight), self.features, self.inputs);
        linear.bias(&self.bias).forward(x, &mut out);
        self.fused.apply(&mut out);
        out
    }
}
