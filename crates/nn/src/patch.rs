//! Cutting a video latent into tokens and putting tokens together again.

use candle_core::{Result, Tensor, bail};

/// How many tokens a latent has along each axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Latent frames over the patch's.
    pub t: usize,
    /// Latent rows over the patch's height.
    pub h: usize,
    /// Latent columns over the patch's width.
    pub w: usize,
}

impl Grid {
    /// The grid of a latent of `[t, h, w]` cut into patches of `patch`.
    ///
    /// # Errors
    /// When an extent isn't a positive multiple of the patch.
    pub fn of(latent: [usize; 3], patch: [usize; 3]) -> Result<Self> {
        for (axis, (n, p)) in ["frames", "height", "width"].iter().zip(latent.iter().zip(patch)) {
            if p == 0 || *n == 0 || !n.is_multiple_of(p) {
                bail!("the latent's {axis} ({n}) must be a positive multiple of the patch's ({p})");
            }
        }
        Ok(Self { t: latent[0] / patch[0], h: latent[1] / patch[1], w: latent[2] / patch[2] })
    }

    /// L = t · h · w, in the order of [`patchify`].
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.t * self.h * self.w
    }
}

/// Cuts a latent into patches, one row a token.
///
/// # Shapes
/// `[B, C, T, H, W]` → `[B, L, C·pt·ph·pw]`, tokens in (t, h, w) order, elements in (c, t, h, w) order, which is that of
/// a convolution weight `[D, C, pt, ph, pw]`.
///
/// # Errors
/// When an extent isn't a multiple of the patch.
pub fn patchify(x: &Tensor, patch: [usize; 3]) -> Result<(Tensor, Grid)> {
    let (b, c, t, h, w) = x.dims5()?;
    let grid = Grid::of([t, h, w], patch)?;
    let [pt, ph, pw] = patch;
    let rows = x
        .reshape(&[b, c, grid.t, pt, grid.h, ph, grid.w, pw][..])?
        .permute([0, 2, 4, 6, 1, 3, 5, 7])? // [B, t, h, w, C, pt, ph, pw]
        .reshape((b, grid.tokens(), c * pt * ph * pw))?; // [B, L, C·pt·ph·pw]
    Ok((rows, grid))
}

/// Puts tokens together into a latent.
///
/// # Shapes
/// `[B, L, pt·ph·pw·C]`, elements in (t, h, w, c) order, channel last → `[B, C, T, H, W]`.
///
/// # Errors
/// When the shape doesn't fit the grid and the patch.
pub fn unpatchify(tokens: &Tensor, grid: Grid, patch: [usize; 3]) -> Result<Tensor> {
    let (b, l, d) = tokens.dims3()?;
    let [pt, ph, pw] = patch;
    let per_channel = pt * ph * pw;
    if l != grid.tokens() || !d.is_multiple_of(per_channel) {
        bail!("tokens of shape {:?} don't fit a grid of {grid:?} with patches of {patch:?}", tokens.dims());
    }
    let c = d / per_channel;
    tokens
        .reshape(&[b, grid.t, grid.h, grid.w, pt, ph, pw, c][..])?
        .permute([0, 7, 1, 4, 2, 5, 3, 6])? // [B, C, t, pt, h, ph, w, pw]
        .reshape((b, c, grid.t * pt, grid.h * ph, grid.w * pw)) // [B, C, T, H, W]
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn tokens_run_along_the_width_first() {
        let x = Tensor::arange(0_f32, 2.0 * 2.0 * 4.0 * 6.0, &Device::Cpu).unwrap();
        let x = x.reshape((1, 2, 2, 4, 6)).unwrap();
        let (tokens, grid) = patchify(&x, [1, 2, 2]).unwrap();
        assert_eq!(grid, Grid { t: 2, h: 2, w: 3 });
        let tokens = tokens.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(tokens[0], [0.0, 1.0, 6.0, 7.0, 48.0, 49.0, 54.0, 55.0]);
        assert_eq!(tokens[1][..2], [2.0, 3.0]);
        assert_eq!(tokens[3][..2], [12.0, 13.0]);
        assert_eq!(tokens[6][..2], [24.0, 25.0]);
    }

    #[test]
    fn unpatchify_reads_the_channel_last() {
        let tokens = Tensor::arange(0_f32, 16.0, &Device::Cpu).unwrap().reshape((1, 2, 8)).unwrap();
        let x = unpatchify(&tokens, Grid { t: 1, h: 1, w: 2 }, [1, 2, 2]).unwrap();
        assert_eq!(x.dims(), [1, 2, 1, 2, 4]);
        let x = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(x[..8], [0.0, 2.0, 8.0, 10.0, 4.0, 6.0, 12.0, 14.0]);
        assert_eq!(x[8..], [1.0, 3.0, 9.0, 11.0, 5.0, 7.0, 13.0, 15.0]);
    }

    #[test]
    fn refuses_what_does_not_divide() {
        let odd = Tensor::zeros((1, 2, 2, 3, 6), candle_core::DType::F32, &Device::Cpu).unwrap();
        let error = patchify(&odd, [1, 2, 2]).unwrap_err().to_string();
        assert!(error.contains("height (3)"), "{error}");
        let tokens = Tensor::zeros((1, 5, 8), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(unpatchify(&tokens, Grid { t: 1, h: 1, w: 2 }, [1, 2, 2]).is_err());
    }
}
