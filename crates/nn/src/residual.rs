//! The residual stream: adding a layer's output to the tokens it came from.

use crate::ops;
use candle_core::{Result, Tensor, bail};

/// `x[:, first .. first + l] += gate · y`, in place where no gradient is recorded.
///
/// `x` is consumed because its memory is reused: whoever still holds a clone of it sees the sum too.
///
/// # Shapes
/// `x` `[B, L, D]`, `y` `[B, l, D]`, `gate` `[D]` → `[B, L, D]`, f32. Where `l < L`, B is 1.
///
/// # Errors
/// When the shapes don't fit, or when a gradient is recorded and `l < L`.
pub fn add_gated(x: Tensor, first: usize, y: &Tensor, gate: Option<&Tensor>) -> Result<Tensor> {
    let (b, l_all, d) = x.dims3()?;
    let (by, l, dy) = y.dims3()?;
    if by != b
        || dy != d
        || first + l > l_all
        || (l < l_all && b != 1)
        || gate.is_some_and(|g| g.dims() != [d])
    {
        bail!("{:?} can't be added to rows {first}.. of {:?}", y.dims(), x.dims());
    }
    ops::choose(|backend| backend.add_gated(&x, first, y, gate))
}
