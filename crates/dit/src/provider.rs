//! Where a pass gets its blocks from: memory, or a file that is read while the pass runs.

use crate::{Block, Config, Error, Result};
use nn::{Streaming, Weights};

/// Hands out the blocks of a model in order.
pub trait BlockProvider: Send + Sync + std::fmt::Debug {
    /// How many blocks a pass runs through.
    fn n_blocks(&self) -> usize;

    /// Calls `run` with each block, first to last, and stops at the first error.
    ///
    /// # Errors
    /// When a block can't be read, or what `run` returns.
    fn for_each(&self, run: &mut dyn FnMut(usize, &Block) -> Result<()>) -> Result<()>;
}

/// All blocks in memory.
#[derive(Debug)]
pub struct Resident(Vec<Block>);

impl Resident {
    /// Reads all blocks; `weights` stands at `blocks`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(config: &Config, weights: &Weights) -> Result<Self> {
        let blocks: Result<_> = (0..config.num_layers).map(|n| Block::load(config, &weights.pp(n))).collect();
        Ok(Self(blocks?))
    }
}

impl BlockProvider for Resident {
    fn n_blocks(&self) -> usize {
        self.0.len()
    }

    fn for_each(&self, run: &mut dyn FnMut(usize, &Block) -> Result<()>) -> Result<()> {
        self.0.iter().enumerate().try_for_each(|(n, block)| run(n, block))
    }
}

/// Blocks that are read from their source in every pass, ahead of their use.
#[derive(Debug)]
pub struct Streamed(nn::Streamed<Block, Error>);

impl Streamed {
    /// Streams from `weights`, which stands at `blocks` and reads lazily; reads the kept blocks now.
    ///
    /// # Errors
    /// When `in_flight` is 0, or a kept block can't be read.
    pub fn new(config: &Config, weights: &Weights, streaming: Streaming) -> Result<Self> {
        if streaming.in_flight == 0 {
            return Err(Error::Config("streaming needs at least one block in flight".into()));
        }
        let known = config.clone();
        let load = move |weights: &Weights| Block::load(&known, weights);
        Ok(Self(nn::Streamed::load(config.num_layers, weights, streaming, load)?))
    }
}

impl BlockProvider for Streamed {
    fn n_blocks(&self) -> usize {
        self.0.n_blocks()
    }

    fn for_each(&self, run: &mut dyn FnMut(usize, &Block) -> Result<()>) -> Result<()> {
        self.0.for_each(run)
    }
}
