//! The naive model: every batch of a partition in a plain list, the whole history of every producer, and Kafka's
//! rules written down as simply as they can be.

use std::collections::{BTreeMap, BTreeSet};

use ebb_metastore::{
    command::{ArchiveSpan, BatchFacts, BatchProducer, ObjectRef, Work},
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
    /// The archive files of each topic, snapshot by snapshot.
    pub(crate) tables: BTreeMap<TopicId, Vec<BTreeSet<ObjectRef>>>,
    /// Each claim's range, holder and version.
    pub(crate) claims: Vec<(u64, u64, u128, u64)>,
    pub(crate) claims_granted: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Partition {
    pub(crate) log_start: i64,
    high_watermark: i64,
    batches: Vec<Placed>,
    /// Every batch that each producer ever appended.
    producers: BTreeMap<i64, Vec<Appended>>,
}

/// A batch where it lies, or a span of an archive file.
#[derive(Clone, Copy, Debug)]
struct Placed {
    base: i64,
    /// The offset after the last one.
    next: i64,
    bytes: u64,
    max_timestamp: Timestamp,
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
        self.high_watermark
    }

    /// What readers can see.
    fn live(&self) -> impl Iterator<Item = &Placed> {
        self.batches.iter().filter(|batch| batch.next > self.log_start)
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
        let (next, bytes) = (base + i64::from(facts.records), u64::from(facts.bytes));
        let max_timestamp = facts.max_timestamp;
        partition.batches.push(Placed { base, next, bytes, max_timestamp, object, start });
        partition.high_watermark = next;
        BatchOutcome::Appended { base: Offset(base), log_start: Offset(partition.log_start) }
    }

    /// Puts a file in the place of what its spans cover; false when it would replace another file in part.
    pub(crate) fn publish(&mut self, topic: TopicId, object: ObjectRef, spans: &[ArchiveSpan]) -> bool {
        let covers = |at: PartitionIndex, placed: &Placed| {
            spans
                .iter()
                .any(|span| span.partition == at && span.first.0 <= placed.base && placed.next <= span.next.0)
        };
        let of_topic = || self.partitions.iter().filter(|((id, _), _)| *id == topic);
        let live = || of_topic().flat_map(|((_, at), rows)| rows.live().map(|placed| (*at, *placed)));
        let archived = |placed: &Placed| matches!(placed.object, ObjectRef::Archive(_));
        let (taken, left): (Vec<_>, Vec<_>) =
            live().filter(|(_, placed)| archived(placed)).partition(|(at, placed)| covers(*at, placed));
        let taken: BTreeSet<_> = taken.iter().map(|(_, placed)| placed.object).collect();
        if left.iter().any(|(_, placed)| taken.contains(&placed.object)) {
            return false;
        }
        for span in spans {
            let Some(partition) = self.partitions.get_mut(&(topic, span.partition)) else { continue };
            partition.batches.retain(|placed| !covers(span.partition, placed));
            if span.rows > 0 {
                let (base, next) = (span.first.0, span.next.0);
                let (bytes, start) = (span.range.len, span.range.start);
                let max_timestamp = span.max_timestamp;
                partition.batches.push(Placed { base, next, bytes, max_timestamp, object, start });
                partition.batches.sort_by_key(|placed| placed.base);
            }
        }
        true
    }

    /// Notes the snapshot that a command has made, if it has: whenever the set of a topic's files has changed.
    pub(crate) fn note_tables(&mut self) {
        let mut present: BTreeMap<TopicId, BTreeSet<ObjectRef>> = BTreeMap::new();
        for ((topic, _), partition) in &self.partitions {
            let files = present.entry(*topic).or_default();
            files.extend(
                partition
                    .live()
                    .map(|placed| placed.object)
                    .filter(|object| matches!(object, ObjectRef::Archive(_))),
            );
        }
        self.tables.retain(|topic, _| present.contains_key(topic));
        for (topic, files) in present {
            let last = self.tables.get(&topic).and_then(|snapshots| snapshots.last());
            if last.map_or(!files.is_empty(), |last| *last != files) {
                self.tables.entry(topic).or_default().push(files);
            }
        }
    }

    fn check_tables(&self, state: &State) {
        for info in state.topics() {
            let expect = self.tables.get(&info.id).map_or(&[][..], Vec::as_slice);
            let Some(table) = state.table(info.id) else {
                assert_eq!(expect, [], "{info:?}");
                continue;
            };
            let of = |id| ObjectRef::Archive(id);
            assert!(table.files().map(|(id, _)| of(id)).eq(expect.last().into_iter().flatten().copied()));
            for snapshot in table.snapshots() {
                let files = table.files_at(snapshot.sequence).map(|(id, _)| of(id));
                let index = usize::try_from(snapshot.sequence - 1).expect("there are few");
                assert!(files.eq(expect[index].iter().copied()), "snapshot {}", snapshot.sequence);
            }
            let current = table.current().map(|snapshot| snapshot.sequence);
            assert_eq!(current.unwrap_or(0), expect.len() as u64);
        }
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
        self.check_tables(state);
        let waiting: BTreeSet<_> = state.unarchived().map(|found| found.object).collect();
        let segments = referenced.iter().filter(|object| !matches!(object, ObjectRef::Archive(_)));
        assert!(waiting.iter().eq(segments), "what waits is what is referenced and not archived");
        let mut claims: Vec<_> = self.claims.clone();
        claims.sort_unstable();
        let held = state.claims().map(|(work, claim)| match work {
            Work::Window { from, to } => (from.0, to.0, claim.holder.0, claim.version),
            Work::Topic(_) => panic!("nobody claims a topic"),
        });
        assert!(held.eq(claims));
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
            assert!(batch.next <= model.log_start, "{batch:?} is missing");
            true
        }) {}
        let (mut base, mut start, mut max_timestamp) = (row.base.0, row.range.start, Timestamp(i64::MIN));
        while let Some(batch) = left.next_if(|batch| batch.base <= row.last.0) {
            assert_eq!((batch.base, batch.start, batch.object), (base, start, row.object));
            base = batch.next;
            start += batch.bytes;
            max_timestamp = max_timestamp.max(batch.max_timestamp);
        }
        assert_eq!((base, start, max_timestamp), (row.last.0 + 1, row.range.end(), row.max_timestamp));
        assert!(row.last.0 >= model.log_start, "{row:?} should have gone");
    }
    for batch in left {
        assert!(batch.next <= model.log_start, "{batch:?} is missing");
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
