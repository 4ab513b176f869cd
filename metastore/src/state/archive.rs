//! What the compactor and its status ask of the state: what is to be archived, what a plan replaces, who does what, and
//! what retention would delete. Changes nothing. Walks are short or go in slices, because they run under the lock.

use std::collections::BTreeSet;

use ebb_protocol::{
    ids::{ArchiveId, LogPosition, Offset, PartitionIndex, Timestamp, TopicId, TopicPartition},
    planted::{Bug, is_planted},
};

use super::{
    ArchiveFile, BatchCoordinates, Claim, Compaction, State, Table, UnarchivedObject, config::TopicSettings,
};
use crate::command::{ObjectRef, Work};

/// Rows of coordinates, by partition.
pub type RowsByPartition = Vec<(TopicPartition, Vec<BatchCoordinates>)>;

/// How far a topic's archive has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveStatus {
    /// The files of its table.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// The records in them.
    pub file_rows: u64,
    /// Offsets that lie in segments and entries still: the lag.
    pub waiting_records: u64,
    /// The bytes of their batches, compressed as they are.
    pub waiting_bytes: u64,
    /// When the oldest of them was committed; `None` when nothing waits.
    pub waiting_since: Option<Timestamp>,
}

impl State {
    /// The size of an object that coordinates refer to, or that is dead and not forgotten: in bytes, of an entry that
    /// of its body.
    #[must_use]
    pub fn object_bytes(&self, object: ObjectRef) -> Option<u64> {
        self.objects.bytes(object)
    }

    /// The segments and entries that coordinates refer to, in the order in which they were committed.
    pub fn unarchived(&self) -> impl Iterator<Item = UnarchivedObject> {
        self.unarchived_from(LogPosition(0))
    }

    /// Those of [`State::unarchived`] that were committed at a position or behind it; costs nothing for those before.
    pub fn unarchived_from(&self, from: LogPosition) -> impl Iterator<Item = UnarchivedObject> {
        self.objects.unarchived(from)
    }

    /// The rows of coordinates that lie in some objects, partition by partition in the order of topic id and index,
    /// beginning with the partition `cursor`. It ends when it has looked at about `limit` partitions and rows
    /// together, but not within a partition; then the cursor for the next call is given back too.
    #[must_use]
    pub fn rows_of_objects(
        &self,
        cursor: Option<TopicPartition>,
        objects: &BTreeSet<ObjectRef>,
        limit: usize,
    ) -> (RowsByPartition, Option<TopicPartition>) {
        let (mut found, mut looked_at) = (Vec::new(), 0);
        for (at, partition) in self.topics.partitions_from(cursor) {
            if looked_at > 0 && looked_at >= limit {
                return (found, Some(at));
            }
            let rows = partition.coordinates.iter().inspect(|_| looked_at += 1);
            let rows: Vec<_> = rows.filter(|row| objects.contains(&row.object)).copied().collect();
            looked_at += 1;
            if !rows.is_empty() {
                found.push((at, rows));
            }
        }
        (found, None)
    }

    /// The [`super::fingerprint`] of the rows of coordinates that hold the offsets `first..next`, now: what a span of an
    /// archive file must name as what it replaces. `None` when there are no such rows, or one of them has other offsets
    /// too: no file may take their place. A planner that has copied its rows takes the fingerprint of the copies, since
    /// the state may have moved on.
    #[must_use]
    pub fn fingerprint(
        &self,
        topic: TopicId,
        partition: PartitionIndex,
        first: Offset,
        next: Offset,
    ) -> Option<u64> {
        self.topics.partition(topic, partition)?.coordinates.fingerprint(first, next)
    }

    /// The claims to work on the archive, sorted by work.
    pub fn claims(&self) -> impl Iterator<Item = (Work, Claim)> {
        self.claims.iter()
    }

    /// The archive files of a topic as analysts see them; `None` while nothing was ever published for it. Only a topic
    /// with a table may have gaps between its rows of coordinates: what compaction left nothing of.
    #[must_use]
    pub fn table(&self, topic: TopicId) -> Option<&Table> {
        self.tables.get(&topic)
    }

    /// How far a topic is compacted by key; `None` while it never was.
    #[must_use]
    pub fn compaction(&self, topic: TopicId) -> Option<&Compaction> {
        self.compactions.get(&topic)
    }

    /// An archive file and its topic: what a reader must know of the file before it reads it. `None` once no snapshot
    /// that is kept has it.
    #[must_use]
    pub fn archive_file(&self, id: ArchiveId) -> Option<(TopicId, &ArchiveFile)> {
        let topic = self.objects.topic(ObjectRef::Archive(id))?;
        self.table(topic)?.file(id).map(|file| (topic, file))
    }

    /// How far a topic's archive has come; `None` when there is no such topic. A walk over the topic's coordinates.
    #[must_use]
    pub fn archive_status(&self, topic: TopicId) -> Option<ArchiveStatus> {
        let mut status = ArchiveStatus::default();
        for partition in self.topics.get(topic)?.partitions() {
            let rows = partition.coordinates.iter();
            for row in rows.filter(|row| !matches!(row.object, ObjectRef::Archive(_))) {
                status.waiting_records += (row.last.0 - row.base.0 + 1).unsigned_abs();
                status.waiting_bytes += row.range.len;
                let at = self.objects.committed_at(row.object);
                status.waiting_since = [status.waiting_since, at].into_iter().flatten().min();
            }
        }
        for (_, file) in self.table(topic).into_iter().flat_map(Table::files) {
            status.files += 1;
            status.file_bytes += file.bytes;
            status.file_rows += file.rows;
        }
        Some(status)
    }

    /// Where a partition's log should begin by `retention.ms` and `retention.bytes`; `None` when it may stay as it is.
    /// The state only tells: it is for the compactor to have the records deleted. `now` is a wall clock's.
    ///
    /// Whole rows go, from the front: while the row's largest timestamp is older than the time allows (that of its
    /// commit counts where records have none), and while what is left behind it still has as many bytes as the limit
    /// allows, as in Kafka (`UnifiedLog.deleteOldSegments`). Kafka spares the active segment, which has no counterpart
    /// here: a partition may become empty. Only with `delete` in `cleanup.policy`.
    #[must_use]
    pub fn retention_point(
        &self,
        topic: TopicId,
        partition: PartitionIndex,
        now: Timestamp,
        settings: &TopicSettings,
    ) -> Option<Offset> {
        let found = self.topics.partition(topic, partition).filter(|_| settings.delete)?;
        let has_expired = |row: &BatchCoordinates| {
            let committed = || self.objects.committed_at(row.object).unwrap_or(row.max_timestamp);
            let at = if row.max_timestamp.0 < 0 { committed() } else { row.max_timestamp };
            settings.retention_ms.is_some_and(|kept| at.0 < now.0.saturating_sub(kept))
        };
        let sum = || found.coordinates.iter().map(|row| row.range.len).sum::<u64>();
        let limit = settings.retention_bytes.map(|limit| u64::try_from(limit).unwrap_or(0));
        let mut surplus = limit.map_or(0, |limit| sum().saturating_sub(limit));
        let mut point = None;
        for row in found.coordinates.iter() {
            let is_surplus = limit.is_some() && row.range.len <= surplus;
            let stays = !is_surplus && !has_expired(row);
            let one_more = is_planted(Bug::RetainedOneLess) && point.is_some();
            if stays && !one_more {
                break;
            }
            surplus = surplus.saturating_sub(row.range.len);
            point = Some(Offset(row.last.0 + 1).min(found.high_watermark));
            if stays {
                break;
            }
        }
        point.filter(|point| *point > found.log_start)
    }
}
