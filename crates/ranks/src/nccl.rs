//! Data between NVIDIA cards: ranks meet and fail by the words of another way, their tensors go from card to card.

use crate::{Collectives, Error, Result, Traffic};
use cudarc::driver::{CudaSlice, CudaStream, CudaView};
use cudarc::nccl::{Comm, Id, group_end, group_start, result::NcclError};
use std::sync::Arc;

/// A rank with a card of its own. What lies in main memory goes the other way's way.
pub struct Nccl {
    cards: Comm,
    words: Box<dyn Collectives>,
}

impl std::fmt::Debug for Nccl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nccl").field("card", &self.cards.ordinal()).field("words", &self.words).finish()
    }
}

impl Nccl {
    /// Joins the cards of a group: each of `words`' ranks brings the stream that its work is queued on. Two ranks can't share a
    /// card.
    ///
    /// # Errors
    /// When NCCL can't be begun, or as [`Collectives::barrier`].
    pub fn join(words: Box<dyn Collectives>, stream: Arc<CudaStream>) -> Result<Self> {
        let failed = |error: NcclError| {
            let why = format!("NCCL: {error:?}");
            words.fail(&why);
            Error::Library { rank: words.world_rank(), why }
        };
        let mut bytes = [0_u8; 128];
        if words.rank() == 0 {
            let id = Id::new().map_err(failed)?;
            bytes = id.internal().map(|byte| byte as u8);
        }
        words.broadcast(0, &mut bytes)?;
        let id = Id::uninit(bytes.map(|byte| byte as _));
        let cards = Comm::from_rank(stream, words.rank(), words.size(), id).map_err(failed)?;
        Ok(Self { cards, words })
    }

    /// [`Collectives::all_to_all`] of numbers on the card, queued on its stream.
    ///
    /// # Errors
    /// As [`Collectives::all_to_all`], or when NCCL fails.
    pub fn all_to_all(&self, send: &CudaView<'_, f32>, receive: &mut CudaSlice<f32>) -> Result<()> {
        let size = self.size();
        crate::Call::all_to_all(4 * send.len(), 4 * receive.len(), size)?;
        // All are at the door: a rank that failed is heard here, not in a call that never ends.
        self.words.barrier()?;
        let part = send.len() / size;
        group_start().map_err(|error| self.failed(error))?;
        for n in 0..size {
            let range = part * n..part * (n + 1);
            self.cards.send(&send.slice(range.clone()), n as i32).map_err(|error| self.failed(error))?;
            self.cards.recv(&mut receive.slice_mut(range), n as i32).map_err(|error| self.failed(error))?;
        }
        group_end().map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// [`Collectives::all_gather`] of numbers on the card, queued on its stream.
    ///
    /// # Errors
    /// As [`Collectives::all_gather`], or when NCCL fails.
    pub fn all_gather(&self, mine: &CudaView<'_, f32>, all: &mut CudaSlice<f32>) -> Result<()> {
        crate::Call::all_gather(4 * mine.len(), 4 * all.len(), self.size())?;
        self.words.barrier()?;
        self.cards.all_gather(mine, all).map_err(|error| self.failed(error))?;
        Ok(())
    }

    fn failed(&self, error: NcclError) -> Error {
        let why = format!("NCCL: {error:?}");
        self.words.fail(&why);
        Error::Library { rank: self.world_rank(), why }
    }
}

impl Collectives for Nccl {
    fn rank(&self) -> usize {
        self.words.rank()
    }

    fn size(&self) -> usize {
        self.words.size()
    }

    fn world_rank(&self) -> usize {
        self.words.world_rank()
    }

    fn all_to_all(&self, send: &[u8], receive: &mut [u8]) -> Result<()> {
        self.words.all_to_all(send, receive)
    }

    fn all_gather(&self, mine: &[u8], all: &mut [u8]) -> Result<()> {
        self.words.all_gather(mine, all)
    }

    fn broadcast(&self, root: usize, bytes: &mut [u8]) -> Result<()> {
        self.words.broadcast(root, bytes)
    }

    fn barrier(&self) -> Result<()> {
        self.words.barrier()
    }

    fn split(&self, colour: usize) -> Result<Box<dyn Collectives>> {
        Ok(Box::new(Self::join(self.words.split(colour)?, self.cards.stream())?))
    }

    fn fail(&self, why: &str) {
        self.words.fail(why);
    }

    fn check(&self) -> Result<()> {
        self.words.check()
    }

    fn traffic(&self) -> Traffic {
        self.words.traffic()
    }

    fn nccl(&self) -> Option<&Nccl> {
        Some(self)
    }
}
