//! How much memory a pass needs, before it runs.

use crate::model::Vae;
use crate::{Config, Result};
use nn::conv3d::Storage;
use std::collections::BTreeMap;

/// Which half of the autoencoder a pass runs through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Pixels to latents.
    Encode,
    /// Latents to pixels.
    Decode,
}

/// Frames of one size that exist at one time.
#[derive(Clone, Copy, Default)]
struct Live {
    /// In the feature cache.
    cached: usize,
    /// Most that a block works on.
    working: usize,
}

#[derive(Default)]
struct Plan(BTreeMap<usize, Live>);

impl Plan {
    /// A layer that keeps `n` frames of its input.
    fn cache(&mut self, len: usize, n: usize) {
        self.0.entry(len).or_default().cached += n;
    }

    /// A block that has so many frames of a size at hand.
    fn work(&mut self, frames: &[(usize, usize)]) {
        let mut sums = BTreeMap::new();
        for &(len, n) in frames {
            *sums.entry(len).or_insert(0) += n;
        }
        for (len, n) in sums {
            let live = self.0.entry(len).or_default();
            live.working = live.working.max(n);
        }
    }

    /// `t` frames of `pixels` pixels.
    fn residual(&mut self, c_in: usize, c_out: usize, pixels: usize, t: usize) {
        self.cache(c_in * pixels, 2);
        self.cache(c_out * pixels, 2);
        let shortcut = if c_in == c_out { 0 } else { t };
        self.work(&[(c_in * pixels, t), (c_out * pixels, 2 * t + shortcut)]);
    }

    fn attention(&mut self, c: usize, pixels: usize, t: usize) {
        self.work(&[(c * pixels, 3 * t), (3 * c * pixels, t)]);
    }

    fn elements(&self) -> usize {
        self.0.iter().map(|(len, live)| len * (live.cached + live.working)).sum()
    }
}

impl Config {
    /// Elements of feature maps that exist at one time, at most, in a pass over H×W pixels.
    fn peak_elements(&self, direction: Direction, height: usize, width: usize) -> usize {
        let mut plan = Plan::default();
        let top = self.dim_mult.len() - 1;
        let pixels = |level: usize| (height >> level) * (width >> level);
        let c = |level: usize| self.dim * self.dim_mult[level];
        let (top_pixels, z) = (pixels(top), self.z_dim);
        match direction {
            Direction::Encode => {
                let mut t = self.temporal_factor();
                plan.cache(3 * pixels(0), 2);
                plan.work(&[(3 * pixels(0), t), (self.dim * pixels(0), t)]);
                let mut c_in = self.dim;
                for level in 0..=top {
                    for _ in 0..self.num_res_blocks {
                        plan.residual(c_in, c(level), pixels(level), t);
                        c_in = c(level);
                        if self.encoder_attends(level) {
                            plan.attention(c_in, pixels(level), t);
                        }
                    }
                    if let Some(&temporal) = self.temperal_downsample.get(level) {
                        let (from, to) = (c_in * pixels(level), c_in * pixels(level + 1));
                        plan.work(&[(from, t), (to, t)]);
                        if temporal {
                            t /= 2;
                            plan.cache(to, 1);
                            plan.work(&[(to, 3 * t)]);
                        }
                    }
                }
                plan.cache(c(top) * top_pixels, 2);
                plan.middle(c(top), top_pixels, t);
                plan.work(&[(c(top) * top_pixels, t), (2 * z * top_pixels, 2 * t)]);
            }
            Direction::Decode => {
                let mut t = 1;
                plan.cache(z * top_pixels, 2);
                plan.work(&[(z * top_pixels, 2), (c(top) * top_pixels, 1)]);
                plan.middle(c(top), top_pixels, t);
                let mut c_in = c(top);
                for level in (0..=top).rev() {
                    for _ in 0..=self.num_res_blocks {
                        plan.residual(c_in, c(level), pixels(level), t);
                        c_in = c(level);
                        if self.decoder_attends(level) {
                            plan.attention(c_in, pixels(level), t);
                        }
                    }
                    if level > 0 {
                        let from = c_in * pixels(level);
                        if self.temperal_downsample[level - 1] {
                            plan.cache(from, 2);
                            plan.work(&[(from, 3 * t)]);
                            t *= 2;
                        }
                        plan.work(&[(from, t), (c_in / 2 * pixels(level - 1), t)]);
                        c_in /= 2;
                    }
                }
                plan.cache(c_in * pixels(0), 2);
                plan.work(&[(c_in * pixels(0), t), (3 * pixels(0), t)]);
            }
        }
        plan.elements()
    }
}

impl Plan {
    fn middle(&mut self, c: usize, pixels: usize, t: usize) {
        self.residual(c, c, pixels, t);
        self.attention(c, pixels, t);
        self.residual(c, c, pixels, t);
    }
}

impl Vae {
    /// Upper bound of the bytes of feature maps in a pass over H×W pixels on the CPU kernels, whatever the number of
    /// frames. For tiled passes, H×W is a tile's size in pixels.
    ///
    /// For each size of frame: two frames for each 3×3×3 convolution that reads it (the feature cache), and what the
    /// largest block works on: for a residual block of T frames per chunk 3·T, or T of the input's and 3·T of the
    /// output's size where the channels change. Frames take 4 bytes an element, 2 in bf16. Not
    /// included: the weights ([`Vae::weight_bytes`]), the caller's tensors, and at most 16 MiB of working memory a
    /// thread. Other devices and training need more: their operations make copies.
    ///
    /// # Errors
    /// When H or W aren't multiples of the spatial compression.
    pub fn peak_bytes(&self, direction: Direction, height: usize, width: usize) -> Result<usize> {
        self.check_size(height, width)?;
        let bytes = if self.storage() == Storage::Bf16 { 2 } else { 4 };
        Ok(bytes * self.config().peak_elements(direction, height, width))
    }
}
