//! What time it is: the system's clock, or one that a test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock that is shared.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicU64>>);

impl Clock {
    /// The system's.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// One that stands at so many milliseconds since 1970 until it is [moved](Clock::advance_ms).
    #[must_use]
    pub fn standing_at_ms(ms: u64) -> Self {
        Self(Some(Arc::new(AtomicU64::new(ms))))
    }

    /// Moves a standing clock on; the system's goes by itself.
    pub fn advance_ms(&self, ms: u64) {
        if let Some(standing) = &self.0 {
            standing.fetch_add(ms, Ordering::Relaxed);
        }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            Some(standing) => standing.load(Ordering::Relaxed),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn now_s(&self) -> u64 {
        self.now_ms() / 1000
    }
}
