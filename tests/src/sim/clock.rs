//! An agent's wall clock: off from the start, and it jumps.

use std::sync::atomic::{AtomicI64, Ordering};

use ebb_protocol::{clock::Clock, ids::Timestamp};
use tokio::time::Instant;

/// The simulation begins at this time, in milliseconds since the Unix epoch.
const EPOCH_MS: i64 = 1_760_000_000_000;

/// A wall clock that follows the simulation's time at a distance that changes by jumps.
#[derive(Debug)]
pub(super) struct SimClock {
    start: Instant,
    error_ms: AtomicI64,
}

impl SimClock {
    pub(super) fn new(start: Instant, error_ms: i64) -> Self {
        Self { start, error_ms: AtomicI64::new(error_ms) }
    }

    /// Sets how far it is off.
    pub(super) fn set(&self, error_ms: i64) {
        self.error_ms.store(error_ms, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp(EPOCH_MS + passed + self.error_ms.load(Ordering::Relaxed))
    }
}
