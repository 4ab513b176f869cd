//! Producers: the ids given out, and what each partition remembers of a producer so that a batch that comes twice is
//! appended once (KIP-98, KIP-360). Knows nothing of coordinates.

use ebb_protocol::planted::{Bug, is_planted};
use std::collections::{BTreeMap, BTreeSet};

use ebb_protocol::ids::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp, TopicPartition};
use serde::{Deserialize, Serialize};

use super::{inspect::ActiveProducer, partition::Partition, topics::Topics};
use crate::{
    command::BatchProducer,
    limits::{BATCHES_KEPT_PER_PRODUCER, PRODUCER_IDLE_MS},
    outcome::BatchRefusal,
};

/// Sequences wrap at 2^31; one counts as behind another when it is less than half of that behind.
const SEQUENCES: i64 = 1 << 31;

/// What a partition remembers of a producer. There is always at least one batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProducerInPartition {
    epoch: ProducerEpoch,
    last_used: Timestamp,
    /// When the idle list looks at it next; not after it has been idle for too long.
    due: Timestamp,
    /// The last batches of the epoch, the newest first. Only the first `kept` count.
    batches: [KeptBatch; BATCHES_KEPT_PER_PRODUCER],
    kept: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct KeptBatch {
    first: Sequence,
    last: Sequence,
    base: Offset,
}

/// What to do with an idempotent batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    Duplicate { base: Offset },
    Refuse(BatchRefusal),
}

impl ProducerInPartition {
    /// Judges a batch of `records` records by what the partition remembers of its producer, if anything.
    pub(crate) fn judge(known: Option<&Self>, batch: &BatchProducer, records: i32) -> Verdict {
        if is_planted(Bug::NoDeduplication) {
            return Verdict::Append;
        }
        let begins = batch.sequence == Sequence(0);
        let Some(known) = known else {
            return if begins { Verdict::Append } else { Verdict::Refuse(BatchRefusal::UnknownProducer) };
        };
        if batch.epoch < known.epoch {
            return Verdict::Refuse(BatchRefusal::StaleProducerEpoch);
        }
        if batch.epoch > known.epoch {
            // A new epoch starts over.
            return if begins { Verdict::Append } else { Verdict::Refuse(BatchRefusal::OutOfOrderSequence) };
        }
        let last = batch.sequence.plus(records - 1);
        let twin = known.batches().iter().find(|kept| kept.first == batch.sequence && kept.last == last);
        if let Some(twin) = twin {
            return Verdict::Duplicate { base: twin.base };
        }
        let next = known.batches().first().map_or(Sequence(0), |newest| newest.last.plus(1));
        let ahead = (i64::from(batch.sequence.0) - i64::from(next.0)).rem_euclid(SEQUENCES);
        match ahead {
            0 => Verdict::Append,
            gap if gap < SEQUENCES / 2 => Verdict::Refuse(BatchRefusal::OutOfOrderSequence),
            _ => Verdict::Refuse(BatchRefusal::DuplicateSequence),
        }
    }

    /// Remembers a batch that was appended.
    pub(crate) fn remember(&mut self, batch: &BatchProducer, records: i32, base: Offset, now: Timestamp) {
        if self.epoch != batch.epoch {
            self.epoch = batch.epoch;
            self.kept = 0;
        }
        self.batches.rotate_right(1);
        self.batches[0] = KeptBatch { first: batch.sequence, last: batch.sequence.plus(records - 1), base };
        self.kept = (self.kept + 1).min(self.batches.len() as u8);
        self.last_used = now;
    }

    /// What administrators are told of it.
    pub(crate) fn describe(&self, id: ProducerId) -> ActiveProducer {
        let last_sequence = self.batches().first().map_or(Sequence(-1), |newest| newest.last);
        ActiveProducer { id, epoch: self.epoch, last_sequence, last_used: self.last_used }
    }

    fn batches(&self) -> &[KeptBatch] {
        &self.batches[..usize::from(self.kept).min(self.batches.len())]
    }

    fn expires(&self) -> Timestamp {
        Timestamp(self.last_used.0.saturating_add(PRODUCER_IDLE_MS))
    }
}

/// The producer ids that were given out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProducerIds {
    /// The next id to give out; all below were.
    next: i64,
    current: BTreeMap<ProducerId, IssuedEpoch>,
    /// The same ids by the time of their renewal. Made again from `current`.
    #[serde(skip)]
    by_age: BTreeSet<(Timestamp, ProducerId)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct IssuedEpoch {
    epoch: ProducerEpoch,
    at: Timestamp,
}

/// Why no epoch was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoEpoch {
    Stale,
    Unknown,
}

impl ProducerIds {
    /// Whether the id was ever given out.
    pub(crate) fn issued(&self, id: ProducerId) -> bool {
        (0..self.next).contains(&id.0)
    }

    /// Gives out a new id.
    pub(crate) fn fresh(&mut self, now: Timestamp) -> (ProducerId, ProducerEpoch) {
        let given = (ProducerId(self.next), ProducerEpoch(0));
        self.next += 1;
        self.set(given.0, given.1, now);
        given
    }

    /// Gives out the next epoch of an id, or a new id when its epochs are used up.
    pub(crate) fn renew(
        &mut self,
        id: ProducerId,
        epoch: ProducerEpoch,
        now: Timestamp,
    ) -> Result<(ProducerId, ProducerEpoch), NoEpoch> {
        let current = self.current.get(&id).ok_or(NoEpoch::Unknown)?;
        if current.epoch != epoch {
            return Err(NoEpoch::Stale);
        }
        // The greatest epoch stays free, as in Kafka, so that a coordinator can always fence once more.
        match epoch.0.checked_add(1).filter(|next| *next < i16::MAX) {
            Some(next) => {
                self.set(id, ProducerEpoch(next), now);
                Ok((id, ProducerEpoch(next)))
            }
            None => Ok(self.fresh(now)),
        }
    }

    fn set(&mut self, id: ProducerId, epoch: ProducerEpoch, now: Timestamp) {
        if let Some(before) = self.current.insert(id, IssuedEpoch { epoch, at: now }) {
            self.by_age.remove(&(before.at, id));
        }
        self.by_age.insert((now, id));
    }

    /// Forgets ids that were not renewed since `before`, at most `work` of them, and then the oldest until at most
    /// `max` are left.
    pub(crate) fn expire(&mut self, before: Timestamp, work: usize, max: usize) {
        for _ in 0..work {
            if self.by_age.first().is_none_or(|(at, _)| *at >= before) {
                break;
            }
            self.forget_oldest();
        }
        while self.by_age.len() > max {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.by_age.pop_first() {
            self.current.remove(&id);
        }
    }

    pub(super) fn rebuild(&mut self) {
        self.by_age = self.current.iter().map(|(id, issued)| (issued.at, *id)).collect();
    }
}

/// The pairs of producer and partition in the order in which they may become idle. Every pair that a partition
/// remembers is in it once, under the `due` of its row; a row that was used since is put back when its turn comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IdleList {
    by_due: BTreeSet<(Timestamp, TopicPartition, ProducerId)>,
}

impl IdleList {
    /// A row for a pair that a partition begins to remember.
    pub(crate) fn begin(
        &mut self,
        at: TopicPartition,
        id: ProducerId,
        epoch: ProducerEpoch,
        now: Timestamp,
    ) -> Box<ProducerInPartition> {
        let batches = [KeptBatch::default(); BATCHES_KEPT_PER_PRODUCER];
        let mut row = Box::new(ProducerInPartition { epoch, last_used: now, due: now, batches, kept: 0 });
        row.due = row.expires();
        self.by_due.insert((row.due, at, id));
        row
    }

    /// Takes note that a partition, and with it a row, has gone.
    pub(crate) fn end(&mut self, at: TopicPartition, id: ProducerId, row: &ProducerInPartition) {
        self.by_due.remove(&(row.due, at, id));
    }

    /// Forgets the pairs that are idle for too long, looking at `work` pairs at most, and then those idle for longest
    /// until at most `max` are left.
    pub(crate) fn expire(&mut self, topics: &mut Topics, now: Timestamp, work: usize, max: usize) {
        for _ in 0..work {
            if self.by_due.first().is_none_or(|(due, ..)| *due > now) {
                break;
            }
            self.look_at_first(topics);
        }
        while self.by_due.len() > max {
            self.look_at_first(topics);
        }
    }

    /// Forgets the first pair, or puts it back to where it belongs.
    fn look_at_first(&mut self, topics: &mut Topics) {
        let Some((due, at, id)) = self.by_due.pop_first() else { return };
        let Some(partition) = topics.partition_mut(at.topic, at.partition) else { return };
        let Some(row) = partition.producers.get_mut(&id) else { return };
        if row.expires() > due {
            row.due = row.expires();
            self.by_due.insert((row.due, at, id));
        } else {
            partition.producers.remove(&id);
        }
    }

    /// Makes the list again from the rows.
    pub(super) fn rebuild(topics: &Topics) -> Self {
        let of = |(at, partition): (TopicPartition, &Partition)| {
            partition.producers.iter().map(|(id, row)| (row.due, at, *id)).collect::<Vec<_>>()
        };
        Self { by_due: topics.partitions().flat_map(of).collect() }
    }
}

#[cfg(test)]
mod tests {
    use ebb_protocol::ids::{PartitionIndex, TopicId};

    use super::*;

    const ID: ProducerId = ProducerId(1);

    fn batch(epoch: i16, sequence: i32) -> BatchProducer {
        let (epoch, sequence) = (ProducerEpoch(epoch), Sequence(sequence));
        BatchProducer { id: ID, epoch, sequence, transactional: false }
    }

    /// A producer that appended these batches (sequence, records) under epoch 3, the n-th at offset 100 n.
    fn known(batches: &[(i32, i32)]) -> ProducerInPartition {
        let at = TopicPartition { topic: TopicId(uuid::Uuid::nil()), partition: PartitionIndex(0) };
        let mut known = *IdleList::default().begin(at, ID, ProducerEpoch(3), Timestamp(0));
        let mut base = Offset(0);
        for (sequence, records) in batches {
            known.remember(&batch(3, *sequence), *records, base, Timestamp(0));
            base = base.plus(100);
        }
        known
    }

    #[test]
    fn an_unknown_producer_begins_with_sequence_0() {
        let judge = |sequence| ProducerInPartition::judge(None, &batch(0, sequence), 1);
        assert_eq!(judge(0), Verdict::Append);
        assert_eq!(judge(1), Verdict::Refuse(BatchRefusal::UnknownProducer));
    }

    #[test]
    fn sequences_follow_each_other() {
        use BatchRefusal::{DuplicateSequence, OutOfOrderSequence, StaleProducerEpoch};
        let known = known(&[(0, 10), (10, 10), (20, 10), (30, 10), (40, 10), (50, 10)]);
        let check = |epoch, sequence, records, expect| {
            let verdict = ProducerInPartition::judge(Some(&known), &batch(epoch, sequence), records);
            assert_eq!(verdict, expect, "epoch {epoch}, sequence {sequence}, {records} records");
        };
        check(3, 60, 1, Verdict::Append);
        check(3, 61, 1, Verdict::Refuse(OutOfOrderSequence));
        check(3, 50, 10, Verdict::Duplicate { base: Offset(500) });
        check(3, 10, 10, Verdict::Duplicate { base: Offset(100) });
        check(3, 0, 10, Verdict::Refuse(DuplicateSequence));
        check(3, 50, 9, Verdict::Refuse(DuplicateSequence));
        check(3, 55, 10, Verdict::Refuse(DuplicateSequence));
        check(2, 60, 1, Verdict::Refuse(StaleProducerEpoch));
        check(4, 0, 1, Verdict::Append);
        check(4, 60, 1, Verdict::Refuse(OutOfOrderSequence));
    }

    #[test]
    fn a_new_epoch_forgets_the_batches_of_the_old() {
        let mut known = known(&[(0, 10)]);
        known.remember(&batch(4, 0), 10, Offset(100), Timestamp(0));
        let judge = |sequence| ProducerInPartition::judge(Some(&known), &batch(4, sequence), 10);
        assert_eq!(judge(0), Verdict::Duplicate { base: Offset(100) });
        assert_eq!(judge(10), Verdict::Append);
    }

    #[test]
    fn sequences_wrap() {
        let check = |batches: &[(i32, i32)], sequence, records, expect| {
            let verdict = ProducerInPartition::judge(Some(&known(batches)), &batch(3, sequence), records);
            assert_eq!(verdict, expect, "sequence {sequence} after {batches:?}");
        };
        check(&[(i32::MAX, 1)], 0, 1, Verdict::Append);
        check(&[(i32::MAX - 4, 10)], 5, 1, Verdict::Append);
        check(&[(i32::MAX - 4, 10)], i32::MAX - 4, 10, Verdict::Duplicate { base: Offset(0) });
        check(&[(i32::MAX - 4, 10)], 4, 1, Verdict::Refuse(BatchRefusal::DuplicateSequence));
        check(&[(i32::MAX - 4, 10)], i32::MAX, 1, Verdict::Refuse(BatchRefusal::DuplicateSequence));
        check(&[(i32::MAX - 4, 4)], 3, 1, Verdict::Refuse(BatchRefusal::OutOfOrderSequence));
    }

    #[test]
    fn ids_are_renewed_until_their_epochs_are_used_up() {
        let mut ids = ProducerIds::default();
        let now = Timestamp(0);
        let (id, epoch) = ids.fresh(now);
        assert_eq!((id, epoch), (ProducerId(0), ProducerEpoch(0)));
        assert!(ids.issued(id) && !ids.issued(ProducerId(1)) && !ids.issued(ProducerId(-1)));
        assert_eq!(ids.renew(id, epoch, now), Ok((id, ProducerEpoch(1))));
        assert_eq!(ids.renew(id, epoch, now), Err(NoEpoch::Stale));
        assert_eq!(ids.renew(ProducerId(1), epoch, now), Err(NoEpoch::Unknown));
        let last = ProducerEpoch(i16::MAX - 1);
        ids.set(id, ProducerEpoch(i16::MAX - 2), now);
        assert_eq!(ids.renew(id, ProducerEpoch(i16::MAX - 2), now), Ok((id, last)));
        assert_eq!(ids.renew(id, last, now), Ok((ProducerId(1), ProducerEpoch(0))));
    }

    #[test]
    fn ids_expire_by_age_and_by_number() {
        let mut ids = ProducerIds::default();
        for now in 0..10 {
            ids.fresh(Timestamp(now));
        }
        ids.renew(ProducerId(0), ProducerEpoch(0), Timestamp(9)).expect("the epoch is current");
        let left = |ids: &ProducerIds| ids.current.keys().map(|id| id.0).collect::<Vec<_>>();
        ids.expire(Timestamp(3), 100, 100);
        assert_eq!(left(&ids), [0, 3, 4, 5, 6, 7, 8, 9]);
        ids.expire(Timestamp(100), 1, 100);
        assert_eq!(left(&ids), [0, 4, 5, 6, 7, 8, 9]);
        ids.expire(Timestamp(3), 100, 4);
        assert_eq!(left(&ids), [0, 7, 8, 9]);
        let before = ids.clone();
        ids.rebuild();
        assert_eq!(ids, before, "the order by age can be made again");
    }
}
