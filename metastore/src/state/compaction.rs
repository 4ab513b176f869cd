//! How far a topic is compacted by key, and since when: by which a tombstone may go (KIP-58, KIP-534). Knows no record
//! and no key. What it says stays true: nothing ever comes below an offset that was compacted.

use std::collections::BTreeMap;

use ebb_protocol::ids::{Offset, PartitionIndex, Timestamp};
use serde::{Deserialize, Serialize};

/// How far a topic is compacted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compaction {
    clean: BTreeMap<PartitionIndex, Offset>,
    /// As [`Self::clean`] was at [`Self::marked_at`]; empty when no tombstones wait for their time to be over.
    marked: BTreeMap<PartitionIndex, Offset>,
    marked_at: Timestamp,
}

impl Compaction {
    /// Of two records of a partition with the same key, both below this offset, only the later one is there.
    #[must_use]
    pub fn clean(&self, partition: PartitionIndex) -> Offset {
        self.clean.get(&partition).copied().unwrap_or(Offset(0))
    }

    /// When the tombstones below the mark began to count their time; by the state's clock, or the entry's when that was
    /// later.
    #[must_use]
    pub fn marked_at(&self) -> Timestamp {
        self.marked_at
    }

    /// The mark in a partition: what is below was clean at [`Self::marked_at`] already.
    #[must_use]
    pub fn marked(&self, partition: PartitionIndex) -> Offset {
        self.marked.get(&partition).copied().unwrap_or(Offset(0))
    }

    /// Whether readers have had so many milliseconds to see the tombstones below the mark.
    #[must_use]
    pub fn is_ripe(&self, now: Timestamp, delete_retention_ms: i64) -> bool {
        now.0.saturating_sub(delete_retention_ms) >= self.marked_at.0
    }

    /// Whether there are tombstones below the mark, as far as one knows without having looked at the records.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.marked.is_empty()
    }

    /// Takes note of offsets up to which a topic is compacted; with `mark`, tombstones below count their time from now.
    /// Only when those below the last mark have gone may there be a next one. If all below was marked already, none are
    /// left, and nothing waits.
    pub(crate) fn record(&mut self, clean: &[(PartitionIndex, Offset)], mark: bool, now: Timestamp) {
        for (partition, offset) in clean {
            let before = self.clean.entry(*partition).or_insert(Offset(0));
            *before = (*before).max(*offset);
        }
        if mark {
            let all_gone = self.marked == self.clean;
            self.marked = if all_gone { BTreeMap::new() } else { self.clean.clone() };
            self.marked_at = self.marked_at.max(now);
        }
    }
}
