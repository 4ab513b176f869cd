//! What the neighbours of an agent, and a compactor on its own, put on the metrics page. Knows what they count, and
//! nothing of how they work.

use std::{fmt, sync::Arc};

use ebb_agent::{Figure, Figures};
use ebb_compactor::{
    rewriter::{KeyCounters, MergeCounters, RewriteCounters},
    sweeper::SweepCounters,
};
use ebb_metastore::Metastore;
use ebb_protocol::clock::SharedClock;

/// What archiving came to.
#[derive(Debug)]
pub(crate) struct Rewritten(pub(crate) Arc<RewriteCounters>);

impl Figures for Rewritten {
    fn figures(&self) -> Vec<Figure> {
        let counts = self.0.counts();
        let counter = |name, help, value| Figure { name, is_counter: true, help, value };
        vec![
            counter("ebb_archive_windows_total", "Windows whose files were published.", counts.windows),
            counter(
                "ebb_archive_windows_failed_total",
                "Windows that could not be archived and are tried again.",
                counts.windows_failed,
            ),
            counter("ebb_archive_files_total", "Archive files published.", counts.files),
            counter("ebb_archive_file_bytes_total", "Bytes of archive files published.", counts.file_bytes),
            counter(
                "ebb_archive_source_bytes_total",
                "Bytes of record batches archived.",
                counts.source_bytes,
            ),
            counter("ebb_archive_records_total", "Records archived.", counts.records),
            counter(
                "ebb_archive_files_refused_total",
                "Archive files that came too late and are deleted.",
                counts.files_refused,
            ),
            counter(
                "ebb_archive_values_unfit_total",
                "Values archived without typed columns because they do not fit.",
                counts.values_unfit,
            ),
        ]
    }
}

/// What key compaction came to.
#[derive(Debug)]
pub(crate) struct Compacted(pub(crate) Arc<KeyCounters>);

impl Figures for Compacted {
    fn figures(&self) -> Vec<Figure> {
        let counts = self.0.counts();
        let counter = |name, help, value| Figure { name, is_counter: true, help, value };
        vec![
            counter("ebb_compaction_passes_total", "Passes of key compaction over a topic.", counts.passes),
            counter(
                "ebb_compaction_passes_failed_total",
                "Passes of key compaction that failed and are tried again.",
                counts.passes_failed,
            ),
            counter("ebb_compaction_files_total", "Archive files that were compacted.", counts.files),
            counter(
                "ebb_compaction_records_dropped_total",
                "Records that were dropped by key compaction.",
                counts.records_dropped,
            ),
            counter(
                "ebb_compaction_tombstones_dropped_total",
                "Tombstones that were dropped because their time was over.",
                counts.tombstones_dropped,
            ),
        ]
    }
}

/// What merging of small files came to.
#[derive(Debug)]
pub(crate) struct Merged(pub(crate) Arc<MergeCounters>);

impl Figures for Merged {
    fn figures(&self) -> Vec<Figure> {
        let counts = self.0.counts();
        let counter = |name, help, value| Figure { name, is_counter: true, help, value };
        vec![
            counter("ebb_merge_files_total", "Archive files that were merged from others.", counts.files),
            counter(
                "ebb_merge_file_bytes_total",
                "Bytes of archive files merged from others.",
                counts.file_bytes,
            ),
            counter(
                "ebb_merge_files_replaced_total",
                "Archive files in whose place merged ones came.",
                counts.files_replaced,
            ),
            counter(
                "ebb_merge_files_refused_total",
                "Merged files that came too late and are deleted.",
                counts.files_refused,
            ),
            counter("ebb_merge_failures_total", "Merges that failed and are tried again.", counts.failed),
        ]
    }
}

/// What sweeping came to.
#[derive(Debug)]
pub(crate) struct Swept(pub(crate) Arc<SweepCounters>);

impl Figures for Swept {
    fn figures(&self) -> Vec<Figure> {
        let counts = self.0.counts();
        let counter = |name, help, value| Figure { name, is_counter: true, help, value };
        let gauge = |name, help, value| Figure { name, is_counter: false, help, value };
        vec![
            counter(
                "ebb_sweep_listings_total",
                "Complete listings of the segments and archive files.",
                counts.listings,
            ),
            counter("ebb_sweep_dead_deleted_total", "Dead objects deleted.", counts.dead_deleted),
            counter("ebb_sweep_orphans_deleted_total", "Orphans deleted.", counts.orphans_deleted),
            counter(
                "ebb_sweep_projections_deleted_total",
                "Metadata for readers of Iceberg deleted.",
                counts.projections_deleted,
            ),
            counter("ebb_sweep_deleted_bytes_total", "Bytes of all that was deleted.", counts.bytes_deleted),
            counter(
                "ebb_sweep_failures_total",
                "Deletions that failed and are tried again.",
                counts.deletions_failed,
            ),
            gauge(
                "ebb_segments_referenced_bytes",
                "Bytes of segments in use, as of the last listing.",
                counts.bytes_referenced,
            ),
            gauge(
                "ebb_segments_unreferenced_bytes",
                "Bytes of segments that nothing refers to, as of the last listing.",
                counts.bytes_unreferenced,
            ),
            gauge(
                "ebb_archive_referenced_bytes",
                "Bytes of archive files in use, as of the last listing.",
                counts.archive_bytes_referenced,
            ),
            gauge(
                "ebb_archive_unreferenced_bytes",
                "Bytes of archive files that nothing refers to, as of the last listing.",
                counts.archive_bytes_unreferenced,
            ),
        ]
    }
}

/// How far archiving is behind, by the state of the cluster.
pub(crate) struct Waiting {
    pub(crate) metastore: Metastore,
    pub(crate) clock: SharedClock,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}

impl Figures for Waiting {
    fn figures(&self) -> Vec<Figure> {
        let now = self.clock.now();
        let (objects, bytes, since) = self.metastore.read(|state| {
            state.unarchived().fold((0, 0, now), |(objects, bytes, since), object| {
                (objects + 1, bytes + object.bytes, since.min(object.at))
            })
        });
        let seconds = u64::try_from(now.0.saturating_sub(since.0) / 1_000).unwrap_or(0);
        let gauge = |name, help, value| Figure { name, is_counter: false, help, value };
        vec![
            gauge("ebb_archive_lag_objects", "Segments and entries that are not archived.", objects),
            gauge("ebb_archive_lag_bytes", "Their bytes that are in use.", bytes),
            gauge("ebb_archive_lag_seconds", "The age of the oldest of those.", seconds),
        ]
    }
}
