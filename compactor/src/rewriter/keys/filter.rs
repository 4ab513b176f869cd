//! Which records of a compacted topic stay, as in Kafka (`Cleaner.shouldRetainRecord`). Knows no files.

use ebb_archive::Found;
use ebb_protocol::{
    batch::{BatchBuilder, DECOMPRESSED_BYTES_MAX, Record, RecordBatch},
    ids::{Offset, PartitionIndex},
    planted::{Bug, is_planted},
};

use super::table::KeyTable;

/// The records of a partition that stay.
#[derive(Debug)]
pub(super) struct Filter<'a> {
    pub(super) table: &'a KeyTable,
    pub(super) partition: PartitionIndex,
    /// Whatever lies here or behind stays.
    pub(super) limit: Offset,
    /// Tombstones below have been there for long enough.
    pub(super) ripe: Offset,
    /// The offset behind the partition's last record. That record stays, so that whoever reads up to it gets there.
    pub(super) end: Offset,
    /// What was dropped so far.
    pub(super) dropped: Dropped,
    /// The first offset of a batch that could not be thinned.
    pub(super) held: Option<Offset>,
}

/// Records that were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// All of them.
    pub(super) records: u64,
    /// Those that were tombstones whose time was over.
    pub(super) tombstones: u64,
}

impl Filter<'_> {
    /// What is left of a batch; `None` when nothing is. A batch that nobody can read stays as it is: its records have no
    /// keys that a consumer could see.
    pub(super) fn thin(&mut self, found: &Found) -> Option<RecordBatch> {
        let batch = &found.batch;
        let Some(records) = keyed(batch) else { return Some(batch.clone()) };
        let before = self.dropped;
        let kept: Vec<_> = records.iter().filter(|record| self.keeps(record)).collect();
        if kept.len() == records.len() {
            return Some(batch.clone());
        }
        if kept.is_empty() {
            return None;
        }
        let thinned = rebuild(found, &kept);
        if thinned.is_none() {
            self.dropped = before;
            self.held = Some(self.held.unwrap_or(batch.base_offset()).min(batch.base_offset()));
        }
        Some(thinned.unwrap_or_else(|| batch.clone()))
    }

    fn keeps(&mut self, record: &Record) -> bool {
        let is_beyond = record.offset >= self.limit && !is_planted(Bug::LaterThanTableDropped);
        if is_beyond || record.offset.plus(1) == self.end {
            return true;
        }
        let superseded = match &record.key {
            Some(key) => self.table.latest(self.partition, key).is_some_and(|latest| {
                record.offset < latest
                    || (is_planted(Bug::LatestRecordDropped) && record.offset == latest)
                    || (is_planted(Bug::LaterThanTableDropped) && record.offset > latest)
            }),
            // It came before the topic was compacted; Kafka drops it too.
            None => true,
        };
        let is_ripe = record.offset < self.ripe || is_planted(Bug::TombstoneTooSoon);
        let expired = !superseded && record.value.is_none() && is_ripe;
        self.dropped.records += u64::from(superseded || expired);
        self.dropped.tombstones += u64::from(expired);
        !superseded && !expired
    }
}

/// The records of a batch by whose keys it is compacted; `None` when nobody can read all of them, or when it is of a
/// transaction's markers, whose keys are none of a producer's. Such a batch stays, and supersedes nothing.
pub(super) fn keyed(batch: &RecordBatch) -> Option<Vec<Record>> {
    let records = batch.decode(DECOMPRESSED_BYTES_MAX).and_then(Iterator::collect);
    records.ok().filter(|_| !batch.is_control())
}

/// A batch with some of its records. One that was kept whole is compressed as it was: it may be very large otherwise.
/// `None` when it does not go into a batch.
fn rebuild(found: &Found, kept: &[&Record]) -> Option<RecordBatch> {
    let header = found.batch.header();
    let mut builder = BatchBuilder::default();
    for record in kept {
        let delta = i32::try_from(record.offset.0 - header.base_offset.0).ok()?;
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.append_at(delta, record.timestamp, key, value, &record.headers).ok()?;
    }
    let batch = builder.finish_as(header).ok()?;
    if !found.kept_whole {
        return Some(batch);
    }
    batch.with_compression(found.batch.compression(), DECOMPRESSED_BYTES_MAX).ok()
}
