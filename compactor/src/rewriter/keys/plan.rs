//! What there is to compact of a topic. Looks at the state, and at nothing else.

use std::{collections::BTreeMap, ops::Range};

use ebb_metastore::{
    command::ObjectRef,
    state::{BatchCoordinates, Compaction, State, config::TopicSettings},
};
use ebb_protocol::ids::{ArchiveId, Offset, PartitionIndex, Timestamp, TopicId};

use crate::rewriter::source::FileFacts;

/// Records stay for about this part of their retention longer than they have to, because others of their row are younger.
const LATE_PART: i64 = 10;

/// A topic as it is before a pass.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) topic: TopicId,
    /// Those with records in archive files, by their index.
    pub(super) parts: Vec<Part>,
    pub(super) files: BTreeMap<ArchiveId, FileFacts>,
    pub(super) grain: Grain,
    /// Whether tombstones begin to count their time with this pass: those that did before are ripe, or there are none.
    pub(super) mark: bool,
}

/// How much may become one row. A row goes from the log as a whole, so with `delete` in `cleanup.policy` too it must not
/// hold back too much: a topic whose files all became one again and again would never lose a record to retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grain {
    /// Bytes, before anything is dropped.
    bytes_max: u64,
    /// Rows whose largest timestamps lie in the same period of so many milliseconds may become one. Of what did already
    /// only the largest timestamp is known: a mere distance would grow from pass to pass.
    period_ms: i64,
}

/// A partition as it is before a pass.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) partition: PartitionIndex,
    /// Its rows that are in archive files, each with its place among all rows.
    pub(super) rows: Vec<(usize, BatchCoordinates)>,
    /// The offsets that were not compacted yet and may be: they are in archive files, as is all before them, and older
    /// than `min.compaction.lag.ms`.
    pub(super) dirty: Range<Offset>,
    /// Tombstones below may go.
    pub(super) ripe: Offset,
    /// The high watermark.
    pub(super) end: Offset,
}

impl Plan {
    /// The plan for a topic, by a wall clock; `None` when it is not compacted, or nothing of it can be.
    pub(super) fn new(state: &State, topic: TopicId, now: Timestamp) -> Option<Self> {
        let settings = state.settings(topic).filter(|settings| settings.compact)?;
        let count = state.topic_by_id(topic)?.partitions;
        let before = state.compaction(topic);
        let ripe = before.filter(|before| is_ripe(before, state, settings));
        let part = |partition| {
            let clean = before.map_or(Offset(0), |before| before.clean(partition));
            let ripe = ripe.map_or(Offset(0), |ripe| ripe.marked(partition));
            part(state, topic, partition, settings, now, clean, ripe)
        };
        let parts: Vec<_> = (0..count).map(PartitionIndex).filter_map(part).collect();
        let mut files = BTreeMap::new();
        for (_, row) in parts.iter().flat_map(|part| &part.rows) {
            if let ObjectRef::Archive(id) = row.object
                && let Some((_, file)) = state.archive_file(id)
            {
                files.insert(id, FileFacts::of(file));
            }
        }
        let mark = before.is_none_or(|before| !before.waits()) || ripe.is_some();
        let grain = Grain::new(settings);
        (!files.is_empty()).then_some(Self { topic, parts, files, grain, mark })
    }

    /// Whether more is clean than before when a pass has come to these offsets.
    pub(super) fn went_on(&self, clean: &[(PartitionIndex, Offset)]) -> bool {
        let before = |partition| self.parts.iter().find(|part| part.partition == partition);
        clean.iter().any(|(at, clean)| before(*at).is_some_and(|part| *clean > part.dirty.start))
    }

    /// Whether anything is to be compacted; otherwise a pass is only about tombstones.
    pub(super) fn is_dirty(&self) -> bool {
        self.parts.iter().any(|part| !part.dirty.is_empty())
    }
}

impl Part {
    /// Its rows with offsets that are to be compacted.
    pub(super) fn dirty_rows(&self) -> impl Iterator<Item = &BatchCoordinates> {
        let dirty = self.dirty.clone();
        let is_dirty = move |row: &&BatchCoordinates| {
            !dirty.is_empty() && row.last >= dirty.start && row.base < dirty.end
        };
        self.rows.iter().map(|(_, row)| row).filter(is_dirty)
    }
}

impl Grain {
    fn new(settings: &TopicSettings) -> Self {
        let part = |kept: Option<i64>| kept.filter(|_| settings.delete).map(|kept| kept / LATE_PART);
        let bytes = part(settings.retention_bytes).map(|bytes| u64::try_from(bytes).unwrap_or(0));
        let period_ms = part(settings.retention_ms).map(|ms| ms.min(settings.segment_ms).max(1));
        Self { bytes_max: bytes.unwrap_or(u64::MAX), period_ms: period_ms.unwrap_or(i64::MAX) }
    }

    /// Whether a row may become one with those before it.
    pub(super) fn allows(self, rows: &[BatchCoordinates], row: &BatchCoordinates) -> bool {
        let bytes = rows.iter().fold(row.range.len, |bytes, row| bytes.saturating_add(row.range.len));
        let period = |row: &BatchCoordinates| row.max_timestamp.0.div_euclid(self.period_ms);
        bytes <= self.bytes_max && rows.last().is_none_or(|last| period(last) == period(row))
    }
}

fn part(
    state: &State,
    topic: TopicId,
    partition: PartitionIndex,
    settings: &TopicSettings,
    now: Timestamp,
    clean: Offset,
    ripe: Offset,
) -> Option<Part> {
    let head = state.head(topic, partition)?;
    let all = state.find(topic, partition, Offset(0), u64::MAX, usize::MAX);
    let compactable = all.iter().take_while(|row| is_archived(row) && is_old(row, settings, now));
    let end = compactable.last().map_or(head.log_start, |row| row.last.plus(1));
    let start = clean.max(head.log_start);
    let rows: Vec<_> = all.into_iter().enumerate().filter(|(_, row)| is_archived(row)).collect();
    let dirty = start..end.max(start);
    (!rows.is_empty()).then_some(Part { partition, rows, dirty, ripe, end: head.high_watermark })
}

pub(super) fn is_archived(row: &BatchCoordinates) -> bool {
    matches!(row.object, ObjectRef::Archive(_))
}

/// Whether a row may be compacted (`min.compaction.lag.ms`).
pub(super) fn is_old(row: &BatchCoordinates, settings: &TopicSettings, now: Timestamp) -> bool {
    let lag = settings.min_compaction_lag_ms;
    lag == 0 || row.max_timestamp.0 <= now.0.saturating_sub(lag)
}

/// Whether there are tombstones that readers have had the time to see (`delete.retention.ms`).
pub(super) fn is_ripe(before: &Compaction, state: &State, settings: &TopicSettings) -> bool {
    before.waits() && before.is_ripe(state.time(), settings.delete_retention_ms)
}
