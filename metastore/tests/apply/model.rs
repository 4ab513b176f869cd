//! The naive model: every batch of a partition in a plain list, the whole history of every producer, and Kafka's
//! rules written down as simply as they can be.

use std::collections::{BTreeMap, BTreeSet};

use ebb_metastore::{
    command::{BatchFacts, BatchProducer, ObjectRef},
    outcome::{BatchOutcome, BatchRefusal},
    state::{BatchCoordinates, State},
};
use ebb_protocol::ids::{Offset, PartitionIndex, Sequence, Timestamp, TopicId};

const SEQUENCES: i64 = 1 << 31;

/// What the model knows of the cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) partitions: BTreeMap<(TopicId, PartitionIndex), Partition>,
    pub(crate) producers_issued: i64,
    pub(crate) segments: BTreeSet<ObjectRef>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Partition {
    pub(crate) log_start: i64,
    batches: Vec<Placed>,
    /// Every batch that each producer ever appended.
    producers: BTreeMap<i64, Vec<Appended>>,
}

/// A batch where it lies.
#[derive(Clone, Copy, Debug)]
struct Placed {
    base: i64,
    facts: BatchFacts,
    object: ObjectRef,
    start: u64,
}

#[derive(Clone, Copy, Debug)]
struct Appended {
    epoch: i16,
    sequence: Sequence,
    records: u32,
    base: i64,
}

impl Partition {
    pub(crate) fn high_watermark(&self) -> i64 {
        self.batches.last().map_or(0, |batch| batch.base + i64::from(batch.facts.records))
    }

    /// The sequence that follows all batches of a producer's present epoch.
    pub(crate) fn next_sequence(&self, id: i64) -> i64 {
        let epoch = self.epoch(id);
        let of_epoch = self.history(id).iter().filter(|batch| Some(batch.epoch) == epoch);
        of_epoch.map(|batch| i64::from(batch.records)).sum::<i64>() % SEQUENCES
    }

    pub(crate) fn epoch(&self, id: i64) -> Option<i16> {
        self.history(id).last().map(|batch| batch.epoch)
    }

    /// Sequence and record count of the batch that a producer appended as its `back`-last.
    pub(crate) fn earlier(&self, id: i64, back: usize) -> Option<(i32, u32)> {
        let back = self.history(id).iter().rev().nth(back);
        back.map(|batch| (batch.sequence.0, batch.records))
    }

    fn history(&self, id: i64) -> &[Appended] {
        self.producers.get(&id).map_or(&[], Vec::as_slice)
    }

    /// `Ok` when the batch is to be appended.
    fn judge(&self, batch: &BatchProducer, records: u32) -> Result<(), BatchOutcome> {
        use BatchRefusal::{DuplicateSequence, OutOfOrderSequence, StaleProducerEpoch, UnknownProducer};
        let refuse = |refusal| Err(BatchOutcome::Refused(refusal));
        let begins = batch.sequence == Sequence(0);
        match self.epoch(batch.id.0) {
            None if begins => return Ok(()),
            None => return refuse(UnknownProducer),
            Some(epoch) if batch.epoch.0 < epoch => return refuse(StaleProducerEpoch),
            Some(epoch) if batch.epoch.0 > epoch && begins => return Ok(()),
            Some(epoch) if batch.epoch.0 > epoch => return refuse(OutOfOrderSequence),
            Some(_) => {}
        }
        let of_epoch = self.history(batch.id.0).iter().filter(|old| old.epoch == batch.epoch.0);
        let twin = |old: &&Appended| old.sequence == batch.sequence && old.records == records;
        if let Some(old) = of_epoch.rev().take(5).find(twin) {
            let log_start = Offset(self.log_start);
            return Err(BatchOutcome::Duplicate { base: Offset(old.base), log_start });
        }
        let gap = (i64::from(batch.sequence.0) - self.next_sequence(batch.id.0)).rem_euclid(SEQUENCES);
        match gap {
            0 => Ok(()),
            gap if gap < SEQUENCES / 2 => refuse(OutOfOrderSequence),
            _ => refuse(DuplicateSequence),
        }
    }
}

impl Model {
    /// Appends a batch that lies at `start` of `object`, or says why not.
    pub(crate) fn append(
        &mut self,
        at: (TopicId, PartitionIndex),
        facts: BatchFacts,
        object: ObjectRef,
        start: u64,
    ) -> BatchOutcome {
        let Some(partition) = self.partitions.get_mut(&at) else {
            return BatchOutcome::Refused(BatchRefusal::UnknownPartition);
        };
        let base = partition.high_watermark();
        if let Some(producer) = facts.producer {
            if producer.id.0 >= self.producers_issued {
                return BatchOutcome::Refused(BatchRefusal::UnknownProducer);
            }
            if let Err(outcome) = partition.judge(&producer, facts.records) {
                return outcome;
            }
            let (epoch, sequence, records) = (producer.epoch.0, producer.sequence, facts.records);
            let history = partition.producers.entry(producer.id.0).or_default();
            history.push(Appended { epoch, sequence, records, base });
        }
        partition.batches.push(Placed { base, facts, object, start });
        BatchOutcome::Appended { base: Offset(base), log_start: Offset(partition.log_start) }
    }

    /// Asserts that the state tells of every partition what the model knows.
    pub(crate) fn check(&self, state: &State) {
        let mut referenced = BTreeSet::new();
        let heads: Vec<_> = state.heads().collect();
        assert_eq!(heads.len(), self.partitions.len());
        for (at, head) in heads {
            let model = &self.partitions[&(at.topic, at.partition)];
            assert_eq!(head.log_start.0, model.log_start);
            assert_eq!(head.high_watermark.0, model.high_watermark());
            assert_eq!(head.last_stable, head.high_watermark);
            let rows = state.find(at.topic, at.partition, Offset(0), u64::MAX, usize::MAX);
            check_rows(&rows, model);
            check_look_ups(state, (at.topic, at.partition), &rows);
            referenced.extend(rows.iter().map(|row| row.object));
        }
        let of_state = state.references().objects;
        assert!(of_state.keys().eq(&referenced), "what is referenced is what coordinates refer to");
        for (object, _) in state.dead_objects() {
            assert!(!referenced.contains(&object), "{object:?} is dead and referenced");
        }
    }
}

/// Every row is a row of neighbours in offsets and in bytes, and no batch at or above the log start is missing.
fn check_rows(rows: &[BatchCoordinates], model: &Partition) {
    let mut left = model.batches.iter().peekable();
    for row in rows {
        // What lies below the log start may have gone.
        while left.next_if(|batch| batch.base < row.base.0).is_some_and(|batch| {
            assert!(batch.base + i64::from(batch.facts.records) <= model.log_start, "{batch:?} is missing");
            true
        }) {}
        let (mut base, mut start, mut max_timestamp) = (row.base.0, row.range.start, Timestamp(i64::MIN));
        while let Some(batch) = left.next_if(|batch| batch.base <= row.last.0) {
            assert_eq!((batch.base, batch.start, batch.object), (base, start, row.object));
            base += i64::from(batch.facts.records);
            start += u64::from(batch.facts.bytes);
            max_timestamp = max_timestamp.max(batch.facts.max_timestamp);
        }
        assert_eq!((base, start, max_timestamp), (row.last.0 + 1, row.range.end(), row.max_timestamp));
        assert!(row.last.0 >= model.log_start, "{row:?} should have gone");
    }
    for batch in left {
        assert!(batch.base + i64::from(batch.facts.records) <= model.log_start, "{batch:?} is missing");
    }
}

/// Look-ups by offset and time agree with scans of the rows.
fn check_look_ups(state: &State, (topic, partition): (TopicId, PartitionIndex), rows: &[BatchCoordinates]) {
    for row in rows {
        for offset in [row.base, row.last] {
            assert_eq!(state.find(topic, partition, offset, 0, 0), [*row]);
        }
        for at in [row.max_timestamp, Timestamp(row.max_timestamp.0 + 1)] {
            let scan = rows.iter().find(|row| row.max_timestamp >= at).copied();
            assert_eq!(state.find_time(topic, partition, at), scan);
        }
    }
    let max = rows.iter().map(|row| row.max_timestamp).max();
    let scan = rows.iter().find(|row| Some(row.max_timestamp) == max).copied();
    assert_eq!(state.find_max_time(topic, partition), scan);
}
