//! What the mirror counts. Knows nothing of how it works.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::{Figure, Figures};

/// Counters of one mirror.
#[derive(Debug, Default)]
pub(super) struct MirrorCounters {
    commits: AtomicU64,
    failures: AtomicU64,
    deleted: AtomicU64,
    lag: [AtomicU64; 3],
}

/// How far the foreign catalog is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lag {
    /// Tables that lack a snapshot, or of which nothing is known yet.
    pub(super) tables: u64,
    /// Snapshots that they lack.
    pub(super) snapshots: u64,
    /// The age of the oldest of those, in seconds.
    pub(super) seconds: u64,
}

impl MirrorCounters {
    pub(super) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn deleted(&self, objects: u64) {
        self.deleted.fetch_add(objects, Ordering::Relaxed);
    }

    pub(super) fn set_lag(&self, lag: Lag) {
        let values = [lag.tables, lag.snapshots, lag.seconds];
        self.lag.iter().zip(values).for_each(|(gauge, value)| gauge.store(value, Ordering::Relaxed));
    }

    #[cfg(test)]
    pub(super) fn lag(&self) -> Lag {
        let [tables, snapshots, seconds] = self.lag.each_ref().map(|gauge| gauge.load(Ordering::Relaxed));
        Lag { tables, snapshots, seconds }
    }
}

impl Figures for MirrorCounters {
    fn figures(&self) -> Vec<Figure> {
        let figure = |name: &'static str, help, value: &AtomicU64| {
            let (is_counter, value) = (name.ends_with("_total"), value.load(Ordering::Relaxed));
            Figure { name, is_counter, help, value }
        };
        let [tables, snapshots, seconds] = &self.lag;
        vec![
            figure(
                "ebb_iceberg_mirror_commits_total",
                "Changes of tables in the foreign catalog.",
                &self.commits,
            ),
            figure(
                "ebb_iceberg_mirror_failures_total",
                "Attempts to change a table there that failed and are made again.",
                &self.failures,
            ),
            figure(
                "ebb_iceberg_mirror_deleted_total",
                "Objects under mirror/ that were deleted because no table there needs them.",
                &self.deleted,
            ),
            figure("ebb_iceberg_mirror_lag_tables", "Tables that lack a snapshot there.", tables),
            figure("ebb_iceberg_mirror_lag_snapshots", "Snapshots that they lack.", snapshots),
            figure("ebb_iceberg_mirror_lag_seconds", "The age of the oldest of those.", seconds),
        ]
    }
}
