//! Whether a topic is due to be compacted, and if not, from when on it may be. Looks at the state and copies none of it:
//! there may be a million rows, and somebody looks again and again.

use ebb_metastore::state::{BatchCoordinates, State, config::TopicSettings};
use ebb_protocol::ids::{Offset, PartitionIndex, Timestamp, TopicId};

use super::plan::{is_archived, is_old, is_ripe};

/// What a look at a topic shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Bytes of rows with offsets that are to be compacted.
    pub(super) dirty_bytes: u64,
    /// Bytes of rows that are clean.
    pub(super) clean_bytes: u64,
    pub(super) is_due: bool,
    /// By the wall clock: when it may be due although nothing more is archived.
    pub(super) next: Option<Timestamp>,
    /// The largest timestamp of the oldest dirty row.
    since: Option<Timestamp>,
}

impl Look {
    /// A look by a wall clock; `None` when the topic is not compacted.
    pub(super) fn at(state: &State, topic: TopicId, now: Timestamp) -> Option<Self> {
        let settings = state.settings(topic).filter(|settings| settings.compact)?;
        let before = state.compaction(topic);
        let mut found = Self::default();
        for partition in (0..state.topic_by_id(topic)?.partitions).map(PartitionIndex) {
            let Some(head) = state.head(topic, partition) else { continue };
            let clean = before.map_or(Offset(0), |before| before.clean(partition)).max(head.log_start);
            found.rows(state.rows(topic, partition), clean, settings, now);
        }
        found.is_due = found.is_dirty_enough(settings, now);
        if let Some(since) = found.since {
            found.wake(since.0.saturating_add(settings.max_compaction_lag_ms).saturating_add(1));
        } else if let Some(before) = before.filter(|before| found.clean_bytes > 0 && before.waits()) {
            // What is not dirty enough yet takes the tombstones along when it is.
            found.is_due = is_ripe(before, state, settings);
            found.wake(before.marked_at().0.saturating_add(settings.delete_retention_ms));
        }
        found.next = found.next.filter(|next| *next > now);
        Some(found)
    }

    /// Takes up the rows of a partition that is clean up to some offset.
    fn rows<'a>(
        &mut self,
        rows: impl Iterator<Item = &'a BatchCoordinates>,
        clean: Offset,
        settings: &TopicSettings,
        now: Timestamp,
    ) {
        for row in rows.take_while(|row| is_archived(row)) {
            if row.last < clean {
                self.clean_bytes += row.range.len;
            } else if is_old(row, settings, now) {
                self.dirty_bytes += row.range.len;
                self.since = Some(self.since.map_or(row.max_timestamp, |since| since.min(row.max_timestamp)));
            } else {
                return self.wake(row.max_timestamp.0.saturating_add(settings.min_compaction_lag_ms));
            }
        }
    }

    fn wake(&mut self, at: i64) {
        let at = Timestamp(at);
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// Whether enough is dirty (`min.cleanable.dirty.ratio`), or some of it for too long (`max.compaction.lag.ms`,
    /// KIP-354).
    fn is_dirty_enough(&self, settings: &TopicSettings, now: Timestamp) -> bool {
        let all = u128::from(self.dirty_bytes) + u128::from(self.clean_bytes);
        let enough = u128::from(self.dirty_bytes) * 1_000_000
            > all.saturating_mul(u128::from(settings.min_cleanable_dirty_ppm));
        let late = |since: Timestamp| now.0.saturating_sub(settings.max_compaction_lag_ms) > since.0;
        self.dirty_bytes > 0 && (enough || self.since.is_some_and(late))
    }
}
