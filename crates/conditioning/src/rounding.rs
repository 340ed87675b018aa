//! Where the reference keeps bf16 between its models.

use candle_core::{DType, Tensor};

/// What values are kept in between the models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// In f32.
    #[default]
    None,
    /// In bf16, as the reference does for its bf16 model.
    Bf16,
}

impl Rounding {
    /// Rounds, and gives f32 back.
    ///
    /// # Errors
    /// When the device fails.
    pub fn apply(self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::None => Ok(x.clone()),
            Self::Bf16 => x.to_dtype(DType::BF16)?.to_dtype(DType::F32),
        }
    }
}
