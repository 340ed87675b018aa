//! What the ranks of a parallel program say to each other: all-to-all, all-gather, broadcast, barrier, groups.
//!
//! [`Collectives`] is the trait, by [`Threads`] of one process, by `Mpi` (feature `mpi`: processes that a launcher started) and by `Nccl`
//! (feature `nccl`: the data moves between NVIDIA cards, everything else through one of the others).
//!
//! Every call is made by all ranks of a group, in the same order. Before data moves they meet: each learns what the others are
//! about to call. So a rank that fails, panics or leaves is an [`Error`] with its number for those who wait for it, and calls that
//! don't fit together are one for everybody; nothing hangs and nothing is mixed up.
//!
//! ```
//! use anicrafter_ranks::{Collectives, Error, Threads};
//!
//! let failed = Threads::run(3, |ranks| {
//!     if ranks.rank() == 1 {
//!         return Err(Error::Failed { rank: 1, why: "its disk is full".to_owned() });
//!     }
//!     ranks.barrier()
//! });
//! assert_eq!(failed.unwrap_err().to_string(), "rank 1 failed: its disk is full");
//! ```

mod call;
mod error;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "nccl")]
mod nccl;
mod threads;
mod traffic;

#[cfg(feature = "mpi")]
pub use crate::mpi::Mpi;
pub use call::Call;
pub use error::{Error, Result};
#[cfg(feature = "nccl")]
pub use nccl::Nccl;
pub use threads::Threads;
pub use traffic::Traffic;

/// A rank's end of a group of ranks. All of them make the same calls in the same order.
pub trait Collectives: std::fmt::Debug {
    /// This rank's number in the group, from 0.
    fn rank(&self) -> usize;

    /// How many ranks the group has.
    fn size(&self) -> usize;

    /// This rank's number among all ranks of the program: the one by which errors name it.
    fn world_rank(&self) -> usize;

    /// Sends part `n` of `send` to rank `n`, and receives what rank `n` sent here as part `n` of `receive`. Both are as long as
    /// each other, and of as many equal parts as there are ranks.
    ///
    /// # Errors
    /// When the lengths don't fit, or as [`Collectives::barrier`].
    fn all_to_all(&self, send: &[u8], receive: &mut [u8]) -> Result<()>;

    /// Puts everybody's `mine` into `all`, in the order of the ranks; all are of one length.
    ///
    /// # Errors
    /// When the lengths don't fit, or as [`Collectives::barrier`].
    fn all_gather(&self, mine: &[u8], all: &mut [u8]) -> Result<()>;

    /// Overwrites `bytes` with those of rank `root`; all are of one length.
    ///
    /// # Errors
    /// When there is no such rank, the lengths don't fit, or as [`Collectives::barrier`].
    fn broadcast(&self, root: usize, bytes: &mut [u8]) -> Result<()>;

    /// Returns when all ranks of the group have called it.
    ///
    /// # Errors
    /// When a rank failed ([`Error::Failed`]), is gone ([`Error::Gone`]) or calls something else ([`Error::Mismatch`]).
    fn barrier(&self) -> Result<()>;

    /// The group of those who call with the same `colour`, in the order of this group's ranks.
    ///
    /// # Errors
    /// As [`Collectives::barrier`].
    fn split(&self, colour: usize) -> Result<Box<dyn Collectives>>;

    /// Tells all ranks of the program that this one can't go on: whatever they wait for now or later becomes an error that names it.
    /// The first failure stays.
    fn fail(&self, why: &str);

    /// An error where a rank has failed: for those who work long without waiting for anybody.
    ///
    /// # Errors
    /// [`Error::Failed`].
    fn check(&self) -> Result<()>;

    /// What this rank has exchanged so far, in all of its groups.
    fn traffic(&self) -> Traffic;

    /// The way between cards, where there is one.
    #[cfg(feature = "nccl")]
    fn nccl(&self) -> Option<&Nccl> {
        None
    }

    /// [`Collectives::all_to_all`] of numbers.
    ///
    /// # Errors
    /// As [`Collectives::all_to_all`].
    fn all_to_all_f32(&self, send: &[f32], receive: &mut [f32]) -> Result<()> {
        self.all_to_all(bytemuck::cast_slice(send), bytemuck::cast_slice_mut(receive))
    }

    /// [`Collectives::all_gather`] of numbers.
    ///
    /// # Errors
    /// As [`Collectives::all_gather`].
    fn all_gather_f32(&self, mine: &[f32], all: &mut [f32]) -> Result<()> {
        self.all_gather(bytemuck::cast_slice(mine), bytemuck::cast_slice_mut(all))
    }

    /// [`Collectives::broadcast`] of numbers.
    ///
    /// # Errors
    /// As [`Collectives::broadcast`].
    fn broadcast_f32(&self, root: usize, values: &mut [f32]) -> Result<()> {
        self.broadcast(root, bytemuck::cast_slice_mut(values))
    }

    /// [`Collectives::broadcast`] of bytes whose number only `root` knows: what the others have is replaced.
    ///
    /// # Errors
    /// As [`Collectives::broadcast`].
    fn broadcast_vec(&self, root: usize, bytes: &mut Vec<u8>) -> Result<()> {
        let mut length = (bytes.len() as u64).to_le_bytes();
        self.broadcast(root, &mut length)?;
        if self.rank() != root {
            let length = u64::from_le_bytes(length);
            let room = usize::try_from(length).map_err(|_| Error::TooLong { bytes: length })?;
            *bytes = vec![0; room];
        }
        self.broadcast(root, bytes)
    }
}
