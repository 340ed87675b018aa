//! What happens to a row of a product on its way to the output.

use super::Gate;
use crate::Activation;
use simd::Simd;

/// What becomes of the product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Combine<'a> {
    Store,
    AddTo(Gate<'a>),
    Residual(&'a [f32], Gate<'a>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Epilogue<'a> {
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) activation: Activation,
    pub(crate) combine: Combine<'a>,
}

impl Epilogue<'_> {
    /// Finishes columns `col0..` of a row of width `n` and writes them; `acc` is used up.
    #[inline(always)]
    pub(crate) fn write<S: Simd>(
        &self,
        s: S,
        row: usize,
        col0: usize,
        n: usize,
        acc: &mut [f32],
        out: &mut [f32],
    ) {
        let len = acc.len();
        if let Some(bias) = self.bias {
            acc.iter_mut().zip(&bias[col0..]).for_each(|(a, b)| *a += b);
        }
        self.activation.run(s, acc);
        let full = |v: &'_ [f32]| row * n + col0..row * n + col0 + len.min(v.len());
        let gate = match self.combine {
            Combine::Store => {
                out.copy_from_slice(acc);
                return;
            }
            Combine::AddTo(gate) => gate,
            Combine::Residual(residual, gate) => {
                out.copy_from_slice(&residual[full(residual)]);
                gate
            }
        };
        match gate {
            Gate::One => out.iter_mut().zip(acc).for_each(|(o, a)| *o += *a),
            Gate::Row(gate) => {
                out.iter_mut().zip(acc).zip(&gate[col0..]).for_each(|((o, a), g)| *o += g * *a);
            }
            Gate::Full(gate) => {
                out.iter_mut().zip(acc).zip(&gate[full(gate)]).for_each(|((o, a), g)| *o += g * *a);
            }
        }
    }
}
