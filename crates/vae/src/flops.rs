//! How much arithmetic a pass takes.

use crate::{Config, Direction};

/// Multiply-adds, summed while a network is walked through.
#[derive(Default)]
struct Sum(f64);

impl Sum {
    /// A convolution of `taps` taps that gives `elements` pixels in all.
    fn conv(&mut self, taps: usize, c_in: usize, c_out: usize, elements: f64) {
        self.0 += (taps * c_in * c_out) as f64 * elements;
    }

    fn residual(&mut self, c_in: usize, c_out: usize, elements: f64) {
        self.conv(27, c_in, c_out, elements);
        self.conv(27, c_out, c_out, elements);
        if c_in != c_out {
            self.conv(1, c_in, c_out, elements);
        }
    }

    /// Attention among the pixels of each frame.
    fn attention(&mut self, c: usize, pixels: f64, elements: f64) {
        self.conv(1, c, 4 * c, elements);
        self.0 += 2.0 * c as f64 * pixels * elements;
    }

    fn middle(&mut self, c: usize, pixels: f64, elements: f64) {
        self.residual(c, c, elements);
        self.attention(c, pixels, elements);
        self.residual(c, c, elements);
    }
}

impl Config {
    /// Floating-point operations of a pass over `frames` frames of H×W pixels; a multiply-add counts as 2. Norms and activations
    /// aren't counted.
    #[must_use]
    pub fn flops(&self, direction: Direction, frames: usize, height: usize, width: usize) -> f64 {
        let mut sum = Sum::default();
        let top = self.dim_mult.len().saturating_sub(1);
        let pixels = |level: usize| ((height >> level) * (width >> level)) as f64;
        let c = |level: usize| self.dim * self.dim_mult.get(level).copied().unwrap_or(1);
        let latent = self.latent_frames(frames);
        match direction {
            Direction::Encode => {
                let (mut t, mut c_in) = (frames as f64, self.dim);
                sum.conv(27, 3, self.dim, pixels(0) * t);
                for level in 0..=top {
                    for _ in 0..self.num_res_blocks {
                        sum.residual(c_in, c(level), pixels(level) * t);
                        c_in = c(level);
                        if self.encoder_attends(level) {
                            sum.attention(c_in, pixels(level), pixels(level) * t);
                        }
                    }
                    if let Some(&temporal) = self.temperal_downsample.get(level) {
                        sum.conv(9, c_in, c_in, pixels(level + 1) * t);
                        if temporal {
                            t = 1.0 + (t - 1.0) / 2.0;
                            sum.conv(3, c_in, c_in, pixels(level + 1) * t);
                        }
                    }
                }
                sum.middle(c_in, pixels(top), pixels(top) * t);
                sum.conv(27, c_in, 2 * self.z_dim, pixels(top) * t);
            }
            Direction::Decode => {
                let (mut t, mut c_in) = (latent as f64, c(top));
                sum.conv(27, self.z_dim, c_in, pixels(top) * t);
                sum.middle(c_in, pixels(top), pixels(top) * t);
                for level in (0..=top).rev() {
                    for _ in 0..=self.num_res_blocks {
                        sum.residual(c_in, c(level), pixels(level) * t);
                        c_in = c(level);
                        if self.decoder_attends(level) {
                            sum.attention(c_in, pixels(level), pixels(level) * t);
                        }
                    }
                    if level > 0 {
                        if self.temperal_downsample.get(level - 1) == Some(&true) {
                            sum.conv(3, c_in, 2 * c_in, pixels(level) * t);
                            t = 1.0 + (t - 1.0) * 2.0;
                        }
                        sum.conv(9, c_in, c_in / 2, pixels(level - 1) * t);
                        c_in /= 2;
                    }
                }
                sum.conv(27, c_in, 3, pixels(0) * t);
            }
        }
        2.0 * sum.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_with_pixels_and_frames() {
        let config = Config::wan_2_1();
        for direction in [Direction::Encode, Direction::Decode] {
            let flops = |frames, side| config.flops(direction, frames, side, side);
            let attention = flops(5, 256) / flops(5, 128) / 4.0;
            assert!((1.0..1.05).contains(&attention), "four times the pixels, a little more for attention");
            let per_chunk = flops(9, 128) - flops(5, 128);
            assert!((flops(81, 128) - flops(5, 128) - 19.0 * per_chunk).abs() < 1e-3 * per_chunk);
            assert!(per_chunk > 0.0);
        }
    }

    /// The first convolution alone, by hand.
    #[test]
    fn counts_a_network_of_one_level() {
        let config = Config {
            dim_mult: vec![1],
            num_res_blocks: 0,
            temperal_downsample: Vec::new(),
            ..Config::small(4)
        };
        // conv1 27·3·4, middle 2 × 2 × 27·4·4 and attention 4·4·4 + 2·4·pixels, head 27·4·32.
        let per_pixel = 27 * 3 * 4 + 4 * 27 * 16 + 64 + 8 * 16 + 27 * 4 * 32;
        assert_eq!(config.flops(Direction::Encode, 1, 4, 4), (2 * per_pixel * 16) as f64);
    }
}
