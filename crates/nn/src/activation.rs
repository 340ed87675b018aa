//! Activation functions.

use crate::ops;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// What is applied to each element after a linear layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `x / 2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
    GeluTanh,
    /// `x / 2 · (1 + erf(x / √2))`.
    GeluErf,
    /// `x / (1 + e⁻ˣ)`.
    Silu,
}

impl Activation {
    /// Applies it to every element. Any shape.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        if self == Self::None {
            return Ok(x.clone());
        }
        ops::choose(|backend| backend.activate(x, self))
    }
}

impl From<Activation> for kernels::Activation {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::None => Self::None,
            Activation::GeluTanh => Self::GeluTanh,
            Activation::GeluErf => Self::GeluErf,
            Activation::Silu => Self::Silu,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn matches_hand_computed_values() {
        let x = Tensor::new(&[-3.0_f32, -0.5, 0.0, 0.5, 3.0], &Device::Cpu).unwrap();
        // From the definitions, with 10 digits.
        let expected = [
            (Activation::GeluTanh, [-0.003_637_392, -0.154_285_98, 0.0, 0.345_714_02, 2.996_362_6]),
            (Activation::GeluErf, [-0.004_049_694, -0.154_268_77, 0.0, 0.345_731_23, 2.995_950_3]),
            (Activation::Silu, [-0.142_277_62, -0.188_770_33, 0.0, 0.311_229_67, 2.857_722_4]),
        ];
        for (activation, expected) in expected {
            let y = activation.forward(&x).unwrap().to_vec1::<f32>().unwrap();
            for (y, e) in y.iter().zip(expected) {
                assert!((y - e).abs() < 2e-6, "{activation:?}: {y} instead of {e}");
            }
        }
    }
}
