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
