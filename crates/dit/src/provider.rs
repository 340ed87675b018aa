//! Where a pass gets its blocks from: memory, or a file that is read while the pass runs.

use crate::{Block, Config, Error, Result};
use nn::Weights;
use std::sync::mpsc;

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

/// How much of a streamed model is held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streaming {
    /// Blocks in memory at once besides the kept ones: the running one and those read ahead by another thread. 1 reads
    /// nothing ahead.
    pub in_flight: usize,
    /// The first blocks, which are read once and kept.
    pub keep: usize,
}

impl Streaming {
    /// What fits into `budget` bytes when a block takes `block` bytes: two in flight, and the rest kept.
    ///
    /// # Errors
    /// When not even one block fits.
    pub fn for_budget(budget: u64, block: u64, n_blocks: usize) -> Result<Self> {
        let fits = usize::try_from(budget / block.max(1)).unwrap_or(usize::MAX);
        match fits {
            0 => Err(Error::Budget { budget, needed: block }),
            1 => Ok(Self { in_flight: 1, keep: 0 }),
            _ if fits >= n_blocks => Ok(Self { in_flight: 1, keep: n_blocks }),
            _ => Ok(Self { in_flight: 2, keep: fits - 2 }),
        }
    }
}

/// Blocks that are read from their source in every pass, ahead of their use.
#[derive(Debug)]
pub struct Streamed {
    config: Config,
    weights: Weights,
    streaming: Streaming,
    kept: Vec<Block>,
}

impl Streamed {
    /// Streams from `weights`, which stands at `blocks` and reads lazily; reads the kept blocks now.
    ///
    /// # Errors
    /// When `in_flight` is 0, or a kept block can't be read.
    pub fn new(config: &Config, weights: &Weights, streaming: Streaming) -> Result<Self> {
        if streaming.in_flight == 0 {
            return Err(Error::Config("streaming needs at least one block in flight".into()));
        }
        let keep = streaming.keep.min(config.num_layers);
        let kept: Result<_> = (0..keep).map(|n| Block::load(config, &weights.pp(n))).collect();
        Ok(Self { config: config.clone(), weights: weights.clone(), streaming, kept: kept? })
    }

    fn read(&self, n: usize) -> Result<Block> {
        let block = Block::load(&self.config, &self.weights.pp(n))?;
        // Copies to a device are ordered within a thread alone: whoever runs the block is another one.
        self.weights.device().synchronize()?;
        Ok(block)
    }
}

impl BlockProvider for Streamed {
    fn n_blocks(&self) -> usize {
        self.config.num_layers
    }

    fn for_each(&self, run: &mut dyn FnMut(usize, &Block) -> Result<()>) -> Result<()> {
        let (kept, all) = (self.kept.len(), self.config.num_layers);
        if self.streaming.in_flight == 1 || kept == all {
            self.kept.iter().enumerate().try_for_each(|(n, block)| run(n, block))?;
            return (kept..all).try_for_each(|n| run(n, &self.read(n)?));
        }
        // One block runs, one is being read or waits at the channel's door, the others wait inside.
        let (sender, receiver) = mpsc::sync_channel(self.streaming.in_flight - 2);
        std::thread::scope(|threads| {
            threads.spawn(move || {
                for n in kept..all {
                    let block = self.read(n);
                    let failed = block.is_err();
                    if sender.send(block).is_err() || failed {
                        return;
                    }
                }
            });
            self.kept.iter().enumerate().try_for_each(|(n, block)| run(n, block))?;
            for (n, block) in (kept..all).zip(&receiver) {
                run(n, &block?)?;
            }
            drop(receiver);
            Ok(())
        })
    }
}
