//! What ranks tell each other before they exchange anything.

use crate::{Error, Result};
use std::fmt;

/// A call that a rank is about to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// Bytes for each rank.
    AllToAll(u64),
    /// Bytes of each rank.
    AllGather(u64),
    /// Bytes, from a rank of the group.
    Broadcast(u64, u32),
    /// Nothing but waiting.
    Barrier,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllToAll(bytes) => write!(f, "all-to-all of {bytes} bytes a rank"),
            Self::AllGather(bytes) => write!(f, "all-gather of {bytes} bytes a rank"),
            Self::Broadcast(bytes, root) => {
                write!(f, "broadcast of {bytes} bytes from the group's rank {root}")
            }
            Self::Barrier => f.write_str("barrier"),
        }
    }
}

impl Call {
    /// An all-to-all of these buffers, in a group of `size`.
    pub(crate) fn all_to_all(send: usize, receive: usize, size: usize) -> Result<Self> {
        let what = "all-to-all";
        if receive != send {
            return Err(Error::Length { what, got: receive, expected: send, size });
        }
        if !send.is_multiple_of(size) {
            return Err(Error::Length { what, got: send, expected: send.next_multiple_of(size), size });
        }
        Ok(Self::AllToAll((send / size) as u64))
    }

    /// An all-gather of these buffers, in a group of `size`.
    pub(crate) fn all_gather(mine: usize, all: usize, size: usize) -> Result<Self> {
        if all != mine * size {
            return Err(Error::Length { what: "all-gather", got: all, expected: mine * size, size });
        }
        Ok(Self::AllGather(mine as u64))
    }

    /// A broadcast in a group of `size`.
    pub(crate) fn broadcast(bytes: usize, root: usize, size: usize) -> Result<Self> {
        if root >= size {
            return Err(Error::NoRank { rank: root, size });
        }
        Ok(Self::Broadcast(bytes as u64, root as u32))
    }

    /// Bytes that rank `rank` sends to others in a group of `size`.
    pub(crate) fn sent(self, rank: usize, size: usize) -> u64 {
        let others = size as u64 - 1;
        match self {
            Self::AllToAll(bytes) | Self::AllGather(bytes) => bytes * others,
            Self::Broadcast(bytes, root) if root as usize == rank => bytes * others,
            Self::Broadcast(..) | Self::Barrier => 0,
        }
    }

    /// For a message between processes.
    #[cfg(any(feature = "mpi", test))]
    pub(crate) fn encode(self) -> [u8; 16] {
        let (kind, bytes, root) = match self {
            Self::AllToAll(bytes) => (1, bytes, 0),
            Self::AllGather(bytes) => (2, bytes, 0),
            Self::Broadcast(bytes, root) => (3, bytes, root),
            Self::Barrier => (4, 0, 0),
        };
        let mut message = [0; 16];
        message[..8].copy_from_slice(&bytes.to_le_bytes());
        message[8..12].copy_from_slice(&root.to_le_bytes());
        message[12] = kind;
        message
    }

    /// What [`Call::encode`] gave.
    #[cfg(any(feature = "mpi", test))]
    pub(crate) fn decode(message: [u8; 16]) -> Option<Self> {
        let [b0, b1, b2, b3, b4, b5, b6, b7, r0, r1, r2, r3, kind, ..] = message;
        let bytes = u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
        match kind {
            1 => Some(Self::AllToAll(bytes)),
            2 => Some(Self::AllGather(bytes)),
            3 => Some(Self::Broadcast(bytes, u32::from_le_bytes([r0, r1, r2, r3]))),
            4 => Some(Self::Barrier),
            _ => None,
        }
    }
}

/// An error where the members of a group, given by their numbers in the world, don't call the same: the same error for everybody.
pub(crate) fn agree(members: &[usize], calls: &[Call]) -> Result<()> {
    let Some((first, rest)) = calls.split_first() else { return Ok(()) };
    match rest.iter().position(|call| call != first) {
        None => Ok(()),
        Some(n) => {
            Err(Error::Mismatch { rank: members[n + 1], calls: rest[n], other: members[0], others: *first })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_survive_a_message() {
        for call in [Call::AllToAll(1 << 40), Call::AllGather(0), Call::Broadcast(7, 3), Call::Barrier] {
            assert_eq!(Call::decode(call.encode()), Some(call));
        }
        assert_eq!(Call::decode([9; 16]), None);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        assert!(Call::all_to_all(12, 12, 4).is_ok());
        assert!(matches!(Call::all_to_all(12, 8, 4), Err(Error::Length { got: 8, expected: 12, .. })));
        assert!(matches!(Call::all_to_all(10, 10, 4), Err(Error::Length { got: 10, expected: 12, .. })));
        assert!(matches!(Call::all_gather(3, 8, 3), Err(Error::Length { got: 8, expected: 9, .. })));
        assert!(matches!(Call::broadcast(1, 3, 3), Err(Error::NoRank { rank: 3, size: 3 })));
    }
}
