//! The residual stream: adding a layer's output to the tokens it came from.

use crate::slices;
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
    if slices::on_kernels(&[&x, y]) && x.is_contiguous() {
        let rows = x.narrow(1, first, l)?;
        slices::update_from(&rows, [y, gate.unwrap_or(y)], |x, y, g| {
            match gate {
                Some(_) => kernels::gate_add(x, y, g),
                None => kernels::add(x, y),
            }
            Ok(())
        })?;
        return Ok(x);
    }
    #[cfg(feature = "cuda")]
    if let Some(done) = crate::cuda::gate_add(&x, first, y, gate) {
        done?;
        return Ok(x);
    }
    let y = match gate {
        Some(gate) => y.broadcast_mul(gate)?,
        None => y.clone(),
    };
    if l == l_all {
        return x + y;
    }
    if x.track_op() || y.track_op() {
        bail!("a part of the tokens can't be updated in place while gradients are recorded");
    }
    let sum = (x.narrow(1, first, l)?.contiguous()? + y)?;
    x.slice_set(&sum.contiguous()?, 1, first)?;
    Ok(x)
}
