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
            conv2d(&frames, &w, sh)?
        } else {
            // candle has one stride for both directions: take the smaller one's result and skip.
            let dense = conv2d(&frames, &w, 1)?;
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

/// Elements of the unrolled input that candle's convolution makes on a device, at most: its kernels count in 32 bits.
const UNROLLED: usize = 1 << 29;

/// A convolution of padded frames `[T, C, H, W]` with `weight` `[O, C, kh, kw]`; on devices other than the CPU over as
/// many frames, or rows of one frame, at a time as the bound allows.
fn conv2d(frames: &Tensor, weight: &Tensor, stride: usize) -> Result<Tensor> {
    let (_, c, h, w) = frames.dims4()?;
    let (_, _, kh, kw) = weight.dims4()?;
    let whole = |x: &Tensor| x.conv2d(weight, 0, stride, 1, 1);
    if frames.device().is_cpu() || h < kh || w < kw {
        return whole(frames);
    }
    in_pieces(frames, (kh, stride), c * kh * kw * ((w - kw) / stride + 1), UNROLLED, whole)
}

/// Applies `whole` to pieces of frames `[T, C, H, W]`, so that no piece unrolls to more than `budget` elements, of which
/// an output row takes `per_row`; kernel height and stride say which rows an output row needs.
fn in_pieces(
    frames: &Tensor,
    (kh, stride): (usize, usize),
    per_row: usize,
    budget: usize,
    whole: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (t, _, h, _) = frames.dims4()?;
    let rows = (h - kh) / stride + 1;
    let at_a_time = (budget / (per_row * rows).max(1)).clamp(1, t);
    let band = (budget / per_row.max(1)).clamp(1, rows);
    let mut parts = Vec::with_capacity(t.div_ceil(at_a_time));
    for start in (0..t).step_by(at_a_time) {
        let part = frames.narrow(0, start, at_a_time.min(t - start))?;
        if band == rows {
            parts.push(whole(&part)?);
            continue;
        }
        let bands = (0..rows).step_by(band).map(|first| {
            let n = band.min(rows - first);
            whole(&part.narrow(2, first * stride, (n - 1) * stride + kh)?.contiguous()?)
        });
        parts.push(Tensor::cat(&bands.collect::<Result<Vec<_>>>()?, 2)?);
    }
    Tensor::cat(&parts, 0)
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

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn pieces_make_the_whole() {
        let random = |shape: &[usize]| -> Tensor {
            let n: usize = shape.iter().product();
            let values = (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect::<Vec<_>>();
            Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
        };
        let (x, w) = (random(&[3, 2, 9, 7]), random(&[4, 2, 3, 3]));
        for stride in [1, 2] {
            let whole = |x: &Tensor| x.conv2d(&w, 0, stride, 1, 1);
            let expected = whole(&x).unwrap();
            let per_row = 2 * 9 * ((7 - 3) / stride + 1);
            // Everything, two frames, one frame, two rows, less than one row.
            for budget in [usize::MAX, 2 * 7 * per_row, 7 * per_row, 2 * per_row, 1] {
                let y = in_pieces(&x, (3, stride), per_row, budget, whole).unwrap();
                assert_eq!(y.dims(), expected.dims());
                let worst = (y - &expected).unwrap().abs().unwrap().max_all().unwrap();
                assert!(worst.to_dtype(DType::F32).unwrap().to_scalar::<f32>().unwrap() < 1e-5, "{budget}");
            }
        }
    }
}
