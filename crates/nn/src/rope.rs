//! Rotary position embedding over three axes.

use crate::Grid;
use crate::ops::{self, RopeRows};
use candle_core::{Device, Result, Tensor, bail};

/// Base of the frequencies' geometric series.
const THETA: f64 = 10_000.0;

/// The rotation of each token's heads by its place in time, height and width.
///
/// A head's K elements are K/2 adjacent pairs. The first K - 2⌊K/3⌋ elements turn with time, the next ⌊K/3⌋ with height,
/// the last ⌊K/3⌋ with width; pair i of an axis with d elements turns by `position · 10000^(-2i/d)` radians. The table is
/// computed in f64 and applied in f32. After Wan 2.1 (`precompute_freqs_cis_3d`, `rope_apply`).
#[derive(Clone, Debug)]
pub struct Rope3d {
    /// Of each token's angles: `[L, K/2]`.
    cos: Tensor,
    /// Of each token's angles: `[L, K/2]`.
    sin: Tensor,
}

impl Rope3d {
    /// The table for all tokens of a grid.
    ///
    /// # Errors
    /// When an axis would get an odd number of elements of the head.
    pub fn new(head_dim: usize, grid: Grid, device: &Device) -> Result<Self> {
        let side = head_dim / 3;
        let time = head_dim - 2 * side;
        if !side.is_multiple_of(2) || !time.is_multiple_of(2) || side == 0 {
            bail!("a head of {head_dim} elements can't be split into pairs for three axes");
        }
        let axis = |n: usize, d: usize| -> Vec<Vec<f64>> {
            let frequencies: Vec<f64> =
                (0..d / 2).map(|i| 1.0 / THETA.powf(2.0 * i as f64 / d as f64)).collect();
            (0..n).map(|p| frequencies.iter().map(|f| p as f64 * f).collect()).collect()
        };
        let (ts, hs, ws) = (axis(grid.t, time), axis(grid.h, side), axis(grid.w, side));
        let mut cos = Vec::with_capacity(grid.tokens() * head_dim / 2);
        let mut sin = Vec::with_capacity(cos.capacity());
        for t in &ts {
            for h in &hs {
                for w in &ws {
                    for angle in t.iter().chain(h).chain(w) {
                        cos.push(angle.cos() as f32);
                        sin.push(angle.sin() as f32);
                    }
                }
            }
        }
        let shape = (grid.tokens(), head_dim / 2);
        Ok(Self { cos: Tensor::from_vec(cos, shape, device)?, sin: Tensor::from_vec(sin, shape, device)? })
    }

    /// L, the places that there are.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.cos.dims()[0]
    }

    /// The table of the tokens `first .. first + len` alone: they are tokens 0 and up from now on. Places behind the last token
    /// are those of padding, which isn't turned.
    ///
    /// # Errors
    /// When the device fails.
    pub fn part(&self, first: usize, len: usize) -> Result<Self> {
        let real = self.tokens().saturating_sub(first).min(len);
        let first = first.min(self.tokens());
        let cut = |table: &Tensor, padding: f32| -> Result<Tensor> {
            let own = table.narrow(0, first, real)?.contiguous()?;
            if real == len {
                return Ok(own);
            }
            let padding = Tensor::full(padding, (len - real, table.dims()[1]), table.device())?;
            if real == 0 { Ok(padding) } else { Tensor::cat(&[&own, &padding], 0) }
        };
        Ok(Self { cos: cut(&self.cos, 1.0)?, sin: cut(&self.sin, 0.0)? })
    }

    /// K, elements of a head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        2 * self.cos.dims()[1]
    }

    /// The angles of `l` tokens from `first` on, for rows of `d`.
    pub(crate) fn rows(&self, first: usize, l: usize, d: usize) -> Result<RopeRows> {
        let head = self.head_dim();
        if first + l > self.tokens() || !d.is_multiple_of(head) {
            bail!(
                "RoPE for {} tokens with heads of {head} was handed {l} rows of {d} from token {first}",
                self.tokens()
            );
        }
        Ok(RopeRows { cos: self.cos.narrow(0, first, l)?, sin: self.sin.narrow(0, first, l)? })
    }

    /// Turns the heads of the tokens `first .. first + L`.
    ///
    /// # Shapes
    /// `[B, L, N·K]` → the same, f32.
    ///
    /// # Errors
    /// When the width isn't a multiple of the head or there are more tokens than places.
    pub fn forward(&self, x: &Tensor, first: usize) -> Result<Tensor> {
        let (_, l, d) = x.dims3()?;
        let rows = self.rows(first, l, d)?;
        ops::choose(|backend| backend.rope(x, &rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    #[test]
    fn a_part_turns_its_tokens_as_the_whole_does() {
        let (grid, device) = (Grid { t: 2, h: 2, w: 3 }, Device::Cpu);
        let whole = Rope3d::new(12, grid, &device).unwrap();
        let x = Tensor::randn(0_f32, 1.0, (1, 12, 24), &device).unwrap();
        let turned = whole.forward(&x, 0).unwrap();
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (first, len) in [(0, 5), (5, 5), (10, 5), (15, 5)] {
            let part = whole.part(first, len).unwrap();
            assert_eq!(part.tokens(), len);
            let real = 12_usize.saturating_sub(first).min(len);
            let padding = Tensor::ones((1, len - real, 24), DType::F32, &device).unwrap();
            let own = x.narrow(1, first.min(12), real).unwrap();
            let got = part.forward(&Tensor::cat(&[&own, &padding], 1).unwrap(), 0).unwrap();
            let want = Tensor::cat(&[&turned.narrow(1, first.min(12), real).unwrap(), &padding], 1).unwrap();
            assert_eq!(values(&got), values(&want), "{first} and {len} more");
        }
    }
}
