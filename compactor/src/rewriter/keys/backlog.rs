//! How far a topic is compacted by key, for those who ask. Looks at the state, and at nothing else.

use ebb_metastore::{
    command::ObjectRef,
    state::{BatchCoordinates, State},
};
use ebb_protocol::ids::{PartitionIndex, Timestamp, TopicId};

use super::{look::Look, plan::Plan};

/// What key compaction has before it in a topic, and behind it. What is not in archive files yet, or younger than
/// `min.compaction.lag.ms`, is neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyBacklog {
    /// Records in the parts of archive files that were not compacted yet.
    pub dirty_records: u64,
    /// Bytes of these parts.
    pub dirty_bytes: u64,
    /// Bytes of the parts that were.
    pub clean_bytes: u64,
}

impl KeyBacklog {
    /// That of a topic, by a wall clock; `None` when it is not compacted.
    #[must_use]
    pub fn of(state: &State, topic: TopicId, now: Timestamp) -> Option<Self> {
        let look = Look::at(state, topic, now)?;
        let parts = Plan::new(state, topic, now).map(|plan| plan.parts).unwrap_or_default();
        let dirty = parts.iter().flat_map(|part| part.dirty_rows().map(|row| (part.partition, row)));
        Some(Self {
            dirty_records: dirty.map(|(partition, row)| records(state, partition, row)).sum(),
            dirty_bytes: look.dirty_bytes,
            clean_bytes: look.clean_bytes,
        })
    }
}

/// How many records a row in an archive file has.
fn records(state: &State, partition: PartitionIndex, row: &BatchCoordinates) -> u64 {
    let ObjectRef::Archive(id) = row.object else { return 0 };
    let Some((_, file)) = state.archive_file(id) else { return 0 };
    let behind = file.spans.partition_point(|span| (span.partition, span.first) <= (partition, row.base));
    let span = behind.checked_sub(1).and_then(|index| file.spans.get(index));
    span.filter(|span| span.partition == partition).map_or(0, |span| span.rows)
}
