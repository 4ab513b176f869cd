//! What the sweeper counts. Knows nothing of who reads it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::survey::Survey;

/// The sweeper's counts at one moment. What is listed is as of the last complete listing, all zero before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepCounts {
    /// Listings completed.
    pub listings: u64,
    /// Segments and archive files listed.
    pub objects_listed: u64,
    /// Bytes of segments that coordinates refer to.
    pub bytes_referenced: u64,
    /// Bytes of segments that nothing refers to, dead ones and uncommitted ones together.
    pub bytes_unreferenced: u64,
    /// Bytes of archive files that coordinates refer to.
    pub archive_bytes_referenced: u64,
    /// Bytes of archive files that nothing refers to.
    pub archive_bytes_unreferenced: u64,
    /// Dead segments and archive files deleted.
    pub dead_deleted: u64,
    /// Orphans deleted.
    pub orphans_deleted: u64,
    /// Metadata for readers of Iceberg deleted that was not of today or yesterday.
    pub projections_deleted: u64,
    /// Bytes of all that was deleted.
    pub bytes_deleted: u64,
    /// Deletions that failed; each is tried again.
    pub deletions_failed: u64,
}

/// The sweeper's counters, shared with those who read them.
#[derive(Debug, Default)]
pub struct SweepCounters {
    listings: AtomicU64,
    objects_listed: AtomicU64,
    bytes_referenced: AtomicU64,
    bytes_unreferenced: AtomicU64,
    archive_bytes_referenced: AtomicU64,
    archive_bytes_unreferenced: AtomicU64,
    dead_deleted: AtomicU64,
    orphans_deleted: AtomicU64,
    projections_deleted: AtomicU64,
    bytes_deleted: AtomicU64,
    deletions_failed: AtomicU64,
}

impl SweepCounters {
    /// What they say now.
    #[must_use]
    pub fn counts(&self) -> SweepCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SweepCounts {
            listings: read(&self.listings),
            objects_listed: read(&self.objects_listed),
            bytes_referenced: read(&self.bytes_referenced),
            bytes_unreferenced: read(&self.bytes_unreferenced),
            archive_bytes_referenced: read(&self.archive_bytes_referenced),
            archive_bytes_unreferenced: read(&self.archive_bytes_unreferenced),
            dead_deleted: read(&self.dead_deleted),
            orphans_deleted: read(&self.orphans_deleted),
            projections_deleted: read(&self.projections_deleted),
            bytes_deleted: read(&self.bytes_deleted),
            deletions_failed: read(&self.deletions_failed),
        }
    }

    pub(super) fn listed(&self, found: &Survey) {
        self.listings.fetch_add(1, Ordering::Relaxed);
        self.objects_listed.store(found.objects(), Ordering::Relaxed);
        let Survey { segments, archives, .. } = found;
        self.bytes_referenced.store(segments.referenced.bytes, Ordering::Relaxed);
        self.bytes_unreferenced.store(segments.unreferenced().bytes, Ordering::Relaxed);
        self.archive_bytes_referenced.store(archives.referenced.bytes, Ordering::Relaxed);
        self.archive_bytes_unreferenced.store(archives.unreferenced().bytes, Ordering::Relaxed);
    }

    pub(super) fn dead_deleted(&self, objects: u64, bytes: u64) {
        self.dead_deleted.fetch_add(objects, Ordering::Relaxed);
        self.bytes_deleted.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn orphans_deleted(&self, objects: u64, bytes: u64) {
        self.orphans_deleted.fetch_add(objects, Ordering::Relaxed);
        self.bytes_deleted.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn projections_deleted(&self, objects: u64, bytes: u64) {
        self.projections_deleted.fetch_add(objects, Ordering::Relaxed);
        self.bytes_deleted.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn deletion_failed(&self) {
        self.deletions_failed.fetch_add(1, Ordering::Relaxed);
    }
}
