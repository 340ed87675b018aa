//! Encoder and decoder: the order of the blocks, as the checkpoint's keys number them.

use crate::Config;
use crate::block::{Attention, Block, CausalConv, Downsample, Pass, Residual, Upsample};
use candle_core::Result;
use nn::Weights;
use nn::conv3d::{Calls, ChannelNorm, Conv3d, Frames, Read};

/// A stack of blocks between a first and a last convolution.
#[derive(Debug)]
pub(crate) struct Network {
    /// `enc` or `dec`, as probes are told.
    name: &'static str,
    conv1: CausalConv,
    /// `(module, blocks)` in order: `downsamples` then `middle`, or `middle` then `upsamples`.
    parts: [(&'static str, Vec<Block>); 2],
    head_norm: ChannelNorm,
    head: CausalConv,
}

fn calls(frames: usize) -> Calls {
    if frames > 1 { Calls::Clips } else { Calls::Frames }
}

fn middle(weights: &Weights, c: usize, calls: Calls) -> Result<Vec<Block>> {
    let weights = weights.pp("middle");
    Ok(vec![
        Block::Residual(Box::new(Residual::load(&weights.pp(0), c, c, calls)?)),
        Block::Attention(Box::new(Attention::load(&weights.pp(1), c)?)),
        Block::Residual(Box::new(Residual::load(&weights.pp(2), c, c, calls)?)),
    ])
}

impl Network {
    /// `[3, T, H, W]` to `[2·z_dim, T / 4, H / 8, W / 8]`.
    pub(crate) fn encoder(config: &Config, weights: &Weights) -> Result<Self> {
        let mut frames = config.temporal_factor();
        let mut c = config.dim;
        let conv1 = CausalConv::load(&weights.pp("conv1"), 3, c, calls(frames))?;
        let stack = weights.pp("downsamples");
        let mut blocks = Vec::new();
        for (level, mult) in config.dim_mult.iter().enumerate() {
            for _ in 0..config.num_res_blocks {
                let (at, c_out) = (stack.pp(blocks.len()), config.dim * mult);
                blocks.push(Block::Residual(Box::new(Residual::load(&at, c, c_out, calls(frames))?)));
                c = c_out;
                if config.encoder_attends(level) {
                    let at = stack.pp(blocks.len());
                    blocks.push(Block::Attention(Box::new(Attention::load(&at, c)?)));
                }
            }
            if let Some(&temporal) = config.temperal_downsample.get(level) {
                let at = stack.pp(blocks.len());
                blocks.push(Block::Downsample(Box::new(Downsample::load(&at, c, temporal)?)));
                frames /= if temporal { 2 } else { 1 };
            }
        }
        Ok(Self {
            name: "enc",
            conv1,
            parts: [("downsamples", blocks), ("middle", middle(weights, c, calls(frames))?)],
            head_norm: ChannelNorm::load(&weights.pp("head.0"), c, 3)?,
            head: CausalConv::load(&weights.pp("head.2"), c, 2 * config.z_dim, calls(frames))?,
        })
    }

    /// `[z_dim, 1, H / 8, W / 8]` to `[3, 1 or 4, H, W]`.
    pub(crate) fn decoder(config: &Config, weights: &Weights) -> Result<Self> {
        let mut frames = 1;
        let top = config.dim_mult.len() - 1;
        let mut c = config.dim * config.dim_mult[top];
        let conv1 = CausalConv::load(&weights.pp("conv1"), config.z_dim, c, calls(frames))?;
        let middle = middle(weights, c, calls(frames))?;
        let stack = weights.pp("upsamples");
        let mut blocks = Vec::new();
        for (level, mult) in config.dim_mult.iter().enumerate().rev() {
            for _ in 0..=config.num_res_blocks {
                let (at, c_out) = (stack.pp(blocks.len()), config.dim * mult);
                blocks.push(Block::Residual(Box::new(Residual::load(&at, c, c_out, calls(frames))?)));
                c = c_out;
                if config.decoder_attends(level) {
                    let at = stack.pp(blocks.len());
                    blocks.push(Block::Attention(Box::new(Attention::load(&at, c)?)));
                }
            }
            if level > 0 {
                let temporal = config.temperal_downsample[level - 1];
                let at = stack.pp(blocks.len());
                blocks.push(Block::Upsample(Box::new(Upsample::load(&at, c, temporal)?)));
                frames *= if temporal { 2 } else { 1 };
                c /= 2;
            }
        }
        Ok(Self {
            name: "dec",
            conv1,
            parts: [("middle", middle), ("upsamples", blocks)],
            head_norm: ChannelNorm::load(&weights.pp("head.0"), c, 3)?,
            head: CausalConv::load(&weights.pp("head.2"), c, 3, calls(frames))?,
        })
    }

    /// One chunk.
    pub(crate) fn forward(&self, pass: &mut Pass<'_>, x: &Frames) -> Result<Frames> {
        pass.cache.rewind();
        let name = self.name;
        let mut x = self.conv1.forward(pass, x, Read::PLAIN, None)?;
        pass.show(format_args!("{name}.conv1"), &x)?;
        for (part, blocks) in &self.parts {
            for (i, block) in blocks.iter().enumerate() {
                x = block.forward(pass, x)?;
                pass.show(format_args!("{name}.{part}.{i}"), &x)?;
            }
        }
        let x = self.head.forward(pass, &x, Read::norm_silu(&self.head_norm), None)?;
        pass.show(name, &x)?;
        Ok(x)
    }

    /// All convolutions.
    pub(crate) fn convs(&self) -> impl Iterator<Item = &Conv3d> {
        let blocks = self.parts.iter().flat_map(|(_, blocks)| blocks.iter().flat_map(Block::convs));
        [self.conv1.conv(), self.head.conv()].into_iter().chain(blocks)
    }
}
