//! The equal blocks of a deep model: held in memory, or read from their source while a pass runs.

use crate::Weights;
use std::sync::mpsc;

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
    /// Nothing is read while a pass runs: all blocks are kept.
    #[must_use]
    pub fn none(n_blocks: usize) -> Self {
        Self { in_flight: 1, keep: n_blocks }
    }

    /// What fits into `budget` bytes when a block takes `block` bytes: two in flight, and the rest kept; `None` when not even one
    /// block fits.
    #[must_use]
    pub fn for_budget(budget: u64, block: u64, n_blocks: usize) -> Option<Self> {
        let fits = usize::try_from(budget / block.max(1)).unwrap_or(usize::MAX);
        match fits {
            0 => None,
            _ if fits >= n_blocks => Some(Self::none(n_blocks)),
            1 => Some(Self { in_flight: 1, keep: 0 }),
            _ => Some(Self { in_flight: 2, keep: fits - 2 }),
        }
    }

    /// Blocks of `n_blocks` that are in memory at most.
    #[must_use]
    pub fn held(self, n_blocks: usize) -> usize {
        if self.keep >= n_blocks { n_blocks } else { (self.keep + self.in_flight).min(n_blocks) }
    }
}

/// Reads a block by its number.
type Read<B, E> = Box<dyn Fn(usize) -> Result<B, E> + Send + Sync>;

/// Blocks of which the first are kept; the others are read from their source in every pass, ahead of their use.
pub struct Streamed<B, E> {
    n_blocks: usize,
    in_flight: usize,
    kept: Vec<B>,
    read: Read<B, E>,
}

impl<B, E> std::fmt::Debug for Streamed<B, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { n_blocks, in_flight, kept, .. } = self;
        write!(f, "Streamed({} of {n_blocks} blocks kept, {in_flight} in flight)", kept.len())
    }
}

impl<B: Send + Sync, E: Send> Streamed<B, E> {
    /// Blocks that `read` reads, by their number; the kept ones now. No block in flight counts as one.
    ///
    /// # Errors
    /// When a kept block can't be read.
    pub fn new(
        n_blocks: usize,
        streaming: Streaming,
        read: impl Fn(usize) -> Result<B, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let kept = (0..streaming.keep.min(n_blocks)).map(&read).collect::<Result<_, E>>()?;
        Ok(Self { n_blocks, in_flight: streaming.in_flight.max(1), kept, read: Box::new(read) })
    }

    /// Blocks that `load` loads from their weights; `weights` stands above them and reads lazily.
    ///
    /// # Errors
    /// When a kept block can't be read.
    pub fn load(
        n_blocks: usize,
        weights: &Weights,
        streaming: Streaming,
        load: impl Fn(&Weights) -> Result<B, E> + Send + Sync + 'static,
    ) -> Result<Self, E>
    where
        E: From<candle_core::Error>,
    {
        let weights = weights.clone();
        Self::new(n_blocks, streaming, move |n| {
            let block = load(&weights.pp(n))?;
            // Copies to a device are ordered within a thread alone: whoever runs the block is another one.
            weights.device().synchronize()?;
            Ok(block)
        })
    }

    /// How many blocks a pass runs through.
    #[must_use]
    pub fn n_blocks(&self) -> usize {
        self.n_blocks
    }

    /// Calls `run` with each block, first to last, and stops at the first error.
    ///
    /// # Errors
    /// When a block can't be read, or what `run` returns.
    pub fn for_each(&self, run: &mut dyn FnMut(usize, &B) -> Result<(), E>) -> Result<(), E> {
        let (kept, all) = (self.kept.len(), self.n_blocks);
        if self.in_flight == 1 || kept == all {
            self.kept.iter().enumerate().try_for_each(|(n, block)| run(n, block))?;
            return (kept..all).try_for_each(|n| run(n, &(self.read)(n)?));
        }
        // One block runs, one is being read or waits at the channel's door, the others wait inside.
        let (sender, receiver) = mpsc::sync_channel(self.in_flight - 2);
        std::thread::scope(|threads| {
            threads.spawn(move || {
                for n in kept..all {
                    let block = (self.read)(n);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_budget_is_kept_or_refused() {
        let of = |budget| Streaming::for_budget(budget, 10, 40);
        assert_eq!(of(35), Some(Streaming { in_flight: 2, keep: 1 }));
        assert_eq!(of(19), Some(Streaming { in_flight: 1, keep: 0 }));
        assert_eq!(of(400), Some(Streaming { in_flight: 1, keep: 40 }));
        assert_eq!(of(9), None);
        for budget in [10, 19, 20, 35, 390, 400, 4000] {
            assert!(of(budget).unwrap().held(40) as u64 * 10 <= budget, "{budget}");
        }
        // One block that fits is all of a model of one block.
        assert_eq!(Streaming::for_budget(15, 10, 1), Some(Streaming::none(1)));
    }

    /// A block that counts itself while it lives.
    struct Block(usize, Arc<AtomicUsize>);

    impl Drop for Block {
        fn drop(&mut self) {
            self.1.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn no_more_blocks_live_than_are_allowed() {
        for (in_flight, keep) in [(1, 0), (2, 0), (3, 2), (2, 7), (1, 9), (0, 3)] {
            let (alive, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let streaming = Streaming { in_flight, keep };
            let counters = (alive.clone(), most.clone());
            let blocks = Streamed::<_, ()>::new(8, streaming, move |n| {
                let now = counters.0.fetch_add(1, Ordering::SeqCst) + 1;
                counters.1.fetch_max(now, Ordering::SeqCst);
                Ok(Block(n, counters.0.clone()))
            })
            .unwrap();
            for _ in 0..2 {
                let mut seen = Vec::new();
                blocks
                    .for_each(&mut |n, block| {
                        assert_eq!(n, block.0);
                        seen.push(n);
                        Ok(())
                    })
                    .unwrap();
                assert_eq!(seen, (0..8).collect::<Vec<_>>());
            }
            assert_eq!(alive.load(Ordering::SeqCst), keep.min(8), "{streaming:?}");
            let allowed = Streaming { in_flight: in_flight.max(1), keep }.held(8);
            assert!(most.load(Ordering::SeqCst) <= allowed, "{streaming:?}");
        }
    }

    #[test]
    fn the_first_error_ends_a_pass() {
        for in_flight in [1, 2, 3] {
            let streaming = Streaming { in_flight, keep: 1 };
            let read = |n: usize| if n == 3 { Err("read") } else { Ok(n) };
            let blocks = Streamed::new(6, streaming, read).unwrap();
            let mut ran = 0;
            let mut count = |_: usize, _: &usize| {
                ran += 1;
                Ok(())
            };
            assert_eq!(blocks.for_each(&mut count), Err("read"));
            assert_eq!(ran, 3);
            assert_eq!(blocks.for_each(&mut |n, _| if n == 2 { Err("run") } else { Ok(()) }), Err("run"));
        }
    }
}
