//! Tiled passes: less memory, seams blended as the reference does (`WanVideoVAE.tiled_encode` and `tiled_decode`).

use crate::model::{Progress, Vae};
use crate::{Error, Observer, Result};
use candle_core::{DType, Tensor};

/// Size of tiles and distance from one to the next, in latents, for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    /// Height and width of a tile.
    pub size: [usize; 2],
    /// Steps down and to the right; the rest of a tile overlaps the next.
    pub stride: [usize; 2],
}

impl Default for Tiles {
    /// The reference pipeline's: 30×52 with steps of 15×26.
    fn default() -> Self {
        Self { size: [30, 52], stride: [15, 26] }
    }
}

/// A tile's rectangle, in latents; may reach beyond the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    start: [usize; 2],
    end: [usize; 2],
}

impl Tiles {
    fn check(&self) -> Result<()> {
        let ok = |i: usize| self.stride[i] >= 1 && self.stride[i] <= self.size[i];
        if ok(0) && ok(1) { Ok(()) } else { Err(Error::Tiles { size: self.size, stride: self.stride }) }
    }

    /// Starts along one direction; a tile that the one before covers to the end is left out.
    fn starts(&self, axis: usize, n: usize) -> Vec<usize> {
        let (size, stride) = (self.size[axis], self.stride[axis]);
        (0..n).step_by(stride).filter(|&s| s < stride || s - stride + size < n).collect()
    }

    fn over(&self, n: [usize; 2]) -> Vec<Tile> {
        let columns = self.starts(1, n[1]);
        let tile = |y: usize, x: usize| Tile { start: [y, x], end: [y + self.size[0], x + self.size[1]] };
        self.starts(0, n[0]).into_iter().flat_map(|y| columns.iter().map(move |&x| tile(y, x))).collect()
    }

    /// Weight of each pixel of a tile of `[h, w]` result pixels, `scale` to a latent: the smaller of two ramps.
    fn mask(&self, tile: Tile, picture: [usize; 2], [h, w]: [usize; 2], scale: usize) -> Vec<f32> {
        let ramp = |axis: usize, n: usize| -> Vec<f32> {
            let border = (self.size[axis] - self.stride[axis]) * scale;
            let at = |i: usize| if border == 0 { 1.0 } else { ((i + 1) as f32 / border as f32).min(1.0) };
            let (first, last) = (tile.start[axis] == 0, tile.end[axis] >= picture[axis]);
            // The right ramp is laid over the left one, as the reference assigns them.
            (0..n)
                .map(|i| match (last, first) {
                    (false, _) if n - 1 - i < border => at(n - 1 - i),
                    (_, false) => at(i),
                    _ => 1.0,
                })
                .collect()
        };
        let (rows, columns) = (ramp(0, h), ramp(1, w));
        rows.iter().flat_map(|&r| columns.iter().map(move |&c| r.min(c))).collect()
    }
}

/// Weighted sums of overlapping tiles.
struct Blend {
    /// Channels times frames, height, width.
    shape: [usize; 3],
    values: Vec<f32>,
    weights: Vec<f32>,
}

impl Blend {
    fn new(shape: [usize; 3]) -> Self {
        let [planes, h, w] = shape;
        Self { shape, values: vec![0.0; planes * h * w], weights: vec![0.0; h * w] }
    }

    /// Adds a tile of `[h, w]` pixels at `start`.
    fn add(&mut self, tile: &[f32], mask: &[f32], start: [usize; 2], [h, w]: [usize; 2]) {
        let [planes, height, width] = self.shape;
        for y in 0..h {
            let at = (start[0] + y) * width + start[1];
            let mask = &mask[y * w..(y + 1) * w];
            self.weights[at..at + w].iter_mut().zip(mask).for_each(|(s, m)| *s += m);
            for p in 0..planes {
                let from = &tile[(p * h + y) * w..][..w];
                let to = &mut self.values[p * height * width + at..][..w];
                to.iter_mut().zip(from.iter().zip(mask)).for_each(|(s, (v, m))| *s += v * m);
            }
        }
    }

    fn finish(mut self) -> Vec<f32> {
        let pixels = self.weights.len();
        for plane in self.values.chunks_exact_mut(pixels) {
            plane.iter_mut().zip(&self.weights).for_each(|(v, w)| *v /= w);
        }
        self.values
    }
}

impl Vae {
    /// Encodes as [`Vae::encode`] does, tile by tile.
    ///
    /// # Errors
    /// As [`Vae::encode`], and when the tiles leave gaps.
    pub fn encode_tiled(&self, video: &Tensor, tiles: &Tiles, observer: &mut dyn Observer) -> Result<Tensor> {
        tiles.check()?;
        let (b, t) = self.check_video(video)?;
        let (factor, z, n) =
            (self.config().spatial_factor(), self.config().z_dim, self.config().latent_frames(t));
        let picture = [video.dims()[3] / factor, video.dims()[4] / factor];
        let plan = tiles.over(picture);
        let mut progress = Progress::new(b * plan.len() * n, observer)?;
        let mut clips = Vec::with_capacity(b);
        for i in 0..b {
            let mut blend = Blend::new([z * n, picture[0], picture[1]]);
            for &tile in &plan {
                let size = [0, 1].map(|a| tile.end[a].min(picture[a]) - tile.start[a]);
                let part = video.get(i)?.narrow(2, tile.start[0] * factor, size[0] * factor)?;
                let part = part.narrow(3, tile.start[1] * factor, size[1] * factor)?;
                let part = self.encode_clip(&part, observer, &mut progress)?;
                let values = part.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
                blend.add(&values, &tiles.mask(tile, picture, size, 1), tile.start, size);
            }
            clips.push(Tensor::from_vec(blend.finish(), (z, n, picture[0], picture[1]), video.device())?);
        }
        Ok(Tensor::stack(&clips, 0)?)
    }

    /// Decodes as [`Vae::decode`] does, tile by tile.
    ///
    /// # Errors
    /// As [`Vae::decode`], and when the tiles leave gaps.
    pub fn decode_tiled(
        &self,
        latents: &Tensor,
        tiles: &Tiles,
        observer: &mut dyn Observer,
    ) -> Result<Tensor> {
        tiles.check()?;
        let (b, t) = self.check_latents(latents)?;
        let (factor, n) = (self.config().spatial_factor(), self.config().video_frames(t));
        let picture = [latents.dims()[3], latents.dims()[4]];
        let plan = tiles.over(picture);
        let mut progress = Progress::new(b * plan.len() * t, observer)?;
        let mut clips = Vec::with_capacity(b);
        for i in 0..b {
            let mut blend = Blend::new([3 * n, picture[0] * factor, picture[1] * factor]);
            for &tile in &plan {
                let size = [0, 1].map(|a| tile.end[a].min(picture[a]) - tile.start[a]);
                let part = latents.get(i)?.narrow(2, tile.start[0], size[0])?;
                let part = part.narrow(3, tile.start[1], size[1])?;
                let part = self.decode_clip_unclamped(&part, observer, &mut progress)?;
                let values = part.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
                let (start, size) = (tile.start.map(|s| s * factor), size.map(|s| s * factor));
                blend.add(&values, &tiles.mask(tile, picture, size, factor), start, size);
            }
            let values = blend.finish().into_iter().map(|v| v.clamp(-1.0, 1.0)).collect();
            let shape = (3, n, picture[0] * factor, picture[1] * factor);
            clips.push(Tensor::from_vec::<_, f32>(values, shape, latents.device())?);
        }
        Ok(Tensor::stack(&clips, 0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_without_repeating() {
        let tiles = Tiles { size: [4, 6], stride: [3, 4] };
        assert_eq!(tiles.starts(0, 4), [0]);
        assert_eq!(tiles.starts(0, 5), [0, 3]);
        assert_eq!(tiles.starts(1, 12), [0, 4, 8]);
        assert_eq!(Tiles { size: [8, 8], stride: [8, 8] }.starts(0, 16), [0, 8]);
        for n in 1..40 {
            let starts = tiles.starts(1, n);
            assert!((0..n).all(|i| starts.iter().any(|&s| (s..s + 6).contains(&i))), "a gap in {n}");
            assert!(starts.windows(2).all(|s| s[0] + 6 < n || s[1] >= n), "a needless tile in {n}");
        }
    }

    #[test]
    fn masks_take_the_smaller_ramp() {
        let tiles = Tiles { size: [4, 4], stride: [2, 2] };
        let tile = Tile { start: [2, 0], end: [6, 4] };
        // Border 2: rows rise from the top edge, columns fall to the right edge.
        let mask = tiles.mask(tile, [6, 8], [4, 4], 1);
        let row = [0.5, 0.5, 0.5, 0.5];
        assert_eq!(mask[..4], row);
        assert_eq!(mask[4..8], [1.0, 1.0, 1.0, 0.5]);
    }

    #[test]
    fn steps_beyond_a_tile_are_refused() {
        let tiles = Tiles { size: [4, 4], stride: [2, 5] };
        assert!(matches!(tiles.check(), Err(Error::Tiles { stride: [2, 5], .. })));
        assert!(Tiles { size: [1, 1], stride: [0, 1] }.check().is_err());
    }
}
