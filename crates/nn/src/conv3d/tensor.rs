//! The same convolution made of candle's operations: for CUDA, Metal and training.

use super::norm::Read;
use super::{ConvShape, Frames};
use candle_core::{Result, Tensor};

/// Normalises, activates and upsamples `x` `[T, C, H, W]`.
fn read_tensor(x: &Tensor, read: Read<'_>) -> Result<Tensor> {
    let mut x = x.clone();
    if let Some(norm) = read.norm {
        x = norm.of_tensor(&x)?;
    }
    if read.silu {
        x = x.silu()?;
    }
    if read.upsample {
        let (_, _, h, w) = x.dims4()?;
        x = x.upsample_nearest2d(2 * h, 2 * w)?;
    }
    Ok(x)
}

/// Convolves `zeros` frames of zeros and `x` `[T, C, H, W]`.
pub(super) fn convolve(
    shape: &ConvShape,
    weight: &Tensor,
    bias: Option<&Tensor>,
    (zeros, x): (usize, &Tensor),
    read: Read<'_>,
) -> Result<Tensor> {
    let [kt, _, _] = shape.kernel;
    let [st, sh, sw] = shape.stride;
    let padding = shape.padding;
    let x = read_tensor(&x.to_dtype(weight.dtype())?, read)?;
    let x =
        x.pad_with_zeros(2, padding.top, padding.bottom)?.pad_with_zeros(3, padding.left, padding.right)?;
    let x = if zeros > 0 { x.pad_with_zeros(0, zeros, 0)? } else { x };
    let n = shape.frames(x.dims()[0]);
    let strided = |x: &Tensor, tap: usize| -> Result<Tensor> {
        if st == 1 {
            return x.narrow(0, tap, n);
        }
        let frames: Result<Vec<Tensor>> = (0..n).map(|i| x.narrow(0, tap + i * st, 1)).collect();
        Tensor::cat(&frames?, 0)
    };
    let mut sum: Option<Tensor> = None;
    for tap in 0..kt {
        let frames = strided(&x, tap)?.contiguous()?;
        let w = weight.narrow(2, tap, 1)?.squeeze(2)?.contiguous()?; // [O, I, kh, kw]
        let y = if sh == sw {
            frames.conv2d(&w, 0, sh, 1, 1)?
        } else {
            // candle has one stride for both directions: take the smaller one's result and skip.
            let dense = frames.conv2d(&w, 0, 1, 1, 1)?;
            let rows: Vec<u32> = (0..dense.dims()[2] as u32).step_by(sh).collect();
            let columns: Vec<u32> = (0..dense.dims()[3] as u32).step_by(sw).collect();
            let dense = dense.index_select(&Tensor::new(rows, x.device())?, 2)?;
            dense.index_select(&Tensor::new(columns, x.device())?, 3)?
        };
        sum = Some(match sum {
            None => y,
            Some(sum) => (sum + y)?,
        });
    }
    let Some(sum) = sum else { candle_core::bail!("a convolution without temporal taps") };
    match bias {
        None => Ok(sum),
        Some(bias) => sum.broadcast_add(&bias.reshape((1, shape.c_out, 1, 1))?.to_dtype(sum.dtype())?),
    }
}

/// Single-head attention within each frame: `qkv` `[T, 3·C, H, W]` to `[T, C, H, W]`.
pub(super) fn attend(qkv: &Tensor) -> Result<Frames> {
    let (t, c3, h, w) = qkv.dims4()?;
    let c = c3 / 3;
    let dtype = qkv.dtype();
    let mut frames = Vec::with_capacity(t);
    for i in 0..t {
        let part = |n: usize| -> Result<Tensor> {
            qkv.narrow(0, i, 1)?.narrow(1, n * c, c)?.reshape((c, h * w))?.t()?.contiguous() // [L, C]
        };
        let (q, k, v) = (part(0)?, part(1)?, part(2)?);
        let k = k.t()?.contiguous()?;
        let scale = 1.0 / (c as f64).sqrt();
        // Queries in bands, so that the scores stay below 64 MiB in f32.
        let band = (16 * 1024 * 1024 / (h * w)).max(1);
        let mut rows = Vec::new();
        for start in (0..h * w).step_by(band) {
            let q = q.narrow(0, start, band.min(h * w - start))?;
            let scores = (q.matmul(&k)? * scale)?.to_dtype(candle_core::DType::F32)?;
            let max = scores.max_keepdim(1)?;
            let e = scores.broadcast_sub(&max)?.exp()?;
            let p = e.broadcast_div(&e.sum_keepdim(1)?)?.to_dtype(dtype)?;
            rows.push(p.matmul(&v)?);
        }
        frames.push(Tensor::cat(&rows, 0)?.t()?.reshape((1, c, h, w))?);
    }
    Frames::of_tensor(Tensor::cat(&frames, 0)?.contiguous()?)
}
