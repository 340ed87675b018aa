//! How much a rank has exchanged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a rank has exchanged since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Calls of all kinds.
    pub calls: u64,
    /// Bytes that went to other ranks; those that a rank keeps don't count.
    pub sent: u64,
    /// Time between its own arrival at the calls and the last one's: what the slowest rank costs.
    pub waited: Duration,
}

/// Counts while it is shared by a rank's groups.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    calls: AtomicU64,
    sent: AtomicU64,
    waited: AtomicU64,
}

impl Counter {
    pub(crate) fn add(&self, sent: u64, waited: Duration) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.sent.fetch_add(sent, Ordering::Relaxed);
        let nanoseconds = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        self.waited.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Traffic {
        Traffic {
            calls: self.calls.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            waited: Duration::from_nanos(self.waited.load(Ordering::Relaxed)),
        }
    }
}
