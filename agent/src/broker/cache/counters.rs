//! What the read path counts, for metrics and tests.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of the read path. They only grow.
#[derive(Debug, Default)]
pub struct ReadCounters {
    hits: AtomicU64,
    misses: AtomicU64,
    gets: AtomicU64,
    merged: AtomicU64,
    read_ahead: AtomicU64,
    damaged: AtomicU64,
    unreadable: AtomicU64,
}

/// The counters' values at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Blocks that were in the cache.
    pub hits: u64,
    /// Blocks that were read from the store.
    pub misses: u64,
    /// GETs that read them, each one block or some that lie next to each other.
    pub gets: u64,
    /// Blocks that another reader was reading from the store already.
    pub merged: u64,
    /// Blocks that were read before anybody asked for them.
    pub read_ahead: u64,
    /// Times that stored or cached bytes turned out to be damaged, and were read from the store again.
    pub damaged: u64,
    /// Reads that failed because records are missing or damaged in the store itself. Worth an alarm.
    pub unreadable: u64,
}

impl ReadCounters {
    /// The values now.
    #[must_use]
    pub fn counts(&self) -> ReadCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReadCounts {
            hits: load(&self.hits),
            misses: load(&self.misses),
            gets: load(&self.gets),
            merged: load(&self.merged),
            read_ahead: load(&self.read_ahead),
            damaged: load(&self.damaged),
            unreadable: load(&self.unreadable),
        }
    }

    pub(super) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// One GET reads some blocks.
    pub(super) fn miss(&self, blocks: usize) {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.misses.fetch_add(blocks as u64, Ordering::Relaxed);
    }

    pub(super) fn merge(&self) {
        self.merged.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ahead(&self) {
        self.read_ahead.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::broker) fn damage(&self) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::broker) fn unreadable(&self) {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }
}
