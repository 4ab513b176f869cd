//! What the rewriter counts. Knows nothing of who reads it.

use std::sync::atomic::{AtomicU64, Ordering};

/// The rewriter's counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RewriteCounts {
    /// Windows whose files were published.
    pub windows: u64,
    /// Windows that could not be rewritten; each is tried again.
    pub windows_failed: u64,
    /// Files that were published.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Bytes of record batches that were read.
    pub source_bytes: u64,
    /// Records that were written.
    pub records: u64,
    /// Files that were written and not published, because their topic had changed meanwhile.
    pub files_refused: u64,
    /// Values that were written without typed columns because they do not fit.
    pub values_unfit: u64,
}

/// The rewriter's counters, shared with those who read them.
#[derive(Debug, Default)]
pub struct RewriteCounters {
    windows: AtomicU64,
    windows_failed: AtomicU64,
    files: AtomicU64,
    file_bytes: AtomicU64,
    source_bytes: AtomicU64,
    records: AtomicU64,
    files_refused: AtomicU64,
    values_unfit: AtomicU64,
}

impl RewriteCounters {
    /// What they say now.
    #[must_use]
    pub fn counts(&self) -> RewriteCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RewriteCounts {
            windows: read(&self.windows),
            windows_failed: read(&self.windows_failed),
            files: read(&self.files),
            file_bytes: read(&self.file_bytes),
            source_bytes: read(&self.source_bytes),
            records: read(&self.records),
            files_refused: read(&self.files_refused),
            values_unfit: read(&self.values_unfit),
        }
    }

    pub(super) fn window(&self, source_bytes: u64) {
        self.windows.fetch_add(1, Ordering::Relaxed);
        self.source_bytes.fetch_add(source_bytes, Ordering::Relaxed);
    }

    pub(super) fn window_failed(&self) {
        self.windows_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn file(&self, bytes: u64, records: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.file_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn unfit(&self, values: u64) {
        self.values_unfit.fetch_add(values, Ordering::Relaxed);
    }

    pub(super) fn file_refused(&self) {
        self.files_refused.fetch_add(1, Ordering::Relaxed);
    }
}
