//! The batches of one partition, in order: open, waiting, on their way, come back.
//! Pure: time and answers come in, batches go out. Sequences are given out here and nowhere else.
//!
//! Up to five batches are on their way at once. When one of them fails, nothing new leaves until all of them are
//! back; then those that may be sent again stand in front, in their old order. A batch keeps its sequence across
//! attempts, so that the cluster recognises a repetition. A sequence is given to another batch only when it is
//! certain that its first bearer is not in the log and no attempt of it is still on its way; where that is not
//! certain, the whole producer needs a new epoch, which makes every old attempt void.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use ebb_protocol::{
    batch::{BatchBuilder, BuildError},
    ids::{PartitionIndex, ProducerEpoch, ProducerId, Sequence, Timestamp},
};
use tokio::time::Instant;

use super::{
    Record,
    batch::{Ack, Batch, Delivery, Stamp},
};
use crate::Error;

/// What an attempt to send a batch came to.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    /// It is in the log.
    Done(Ack),
    /// It may be sent again. `uncertain`: it may be in the log all the same.
    Again { uncertain: bool, error: Error },
    /// An earlier sequence is missing at the cluster (OUT_OF_ORDER_SEQUENCE_NUMBER), so this batch is not in the log.
    Gap(Error),
    /// The cluster does not know the producer (UNKNOWN_PRODUCER_ID); whether an earlier attempt is in the log cannot
    /// be told.
    Forgotten(Error),
    /// It is refused for good.
    Refused(Error),
}

/// A batch that is over, and how.
pub(super) type Finished = (Batch, Result<Ack, Error>);

/// What is to be done when all batches are back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: batches are still on their way, or none failed.
    Nothing,
    /// Send again, after a pause.
    Again,
    /// Get the producer a new epoch first.
    NewEpoch,
}

/// See the file's head.
#[derive(Debug)]
pub(super) struct Queue {
    partition: PartitionIndex,
    bytes_max: usize,
    idempotent: bool,
    open: Option<Batch>,
    waiting: VecDeque<Batch>,
    in_flight: usize,
    returned: Vec<Batch>,
    /// The lowest sequence that was refused for good since all batches were back.
    refused: Option<Sequence>,
    /// Nothing leaves before the producer has a new epoch.
    blocked: bool,
    next_sequence: Sequence,
    next_serial: u64,
    unresolved: BTreeSet<u64>,
    /// Bytes of the last batches: how much room a new one gets at first.
    capacity: usize,
}

/// A record that joined a batch.
#[derive(Debug)]
pub(super) struct Appended {
    pub(super) delivery: Delivery,
    /// Whether it is the first of its batch.
    pub(super) opened: bool,
    /// Whether a full batch now waits.
    pub(super) closed: bool,
}

/// How many batches of a producer and partition the cluster remembers (KIP-98).
const BATCHES_REMEMBERED: u64 = 5;
/// Room for a first batch, in bytes. Later ones get the room that the last one needed.
const CAPACITY_FIRST: usize = 16 << 10;

impl Queue {
    pub(super) fn new(partition: PartitionIndex, bytes_max: usize, idempotent: bool) -> Self {
        Self {
            partition,
            bytes_max,
            idempotent,
            open: None,
            waiting: VecDeque::new(),
            in_flight: 0,
            returned: Vec::new(),
            refused: None,
            blocked: false,
            next_sequence: Sequence(0),
            next_serial: 0,
            unresolved: BTreeSet::new(),
            capacity: CAPACITY_FIRST,
        }
    }

    /// Adds a record; a batch that would grow over its limit is closed first. `charge` is the record's share of the
    /// producer's memory.
    pub(super) fn append(
        &mut self,
        record: &Record,
        timestamp: Timestamp,
        charge: usize,
        now: Instant,
    ) -> Result<Appended, BuildError> {
        let full = |batch: &Batch| batch.bytes().saturating_add(charge) > self.bytes_max;
        let closed = self.open.as_ref().is_some_and(full) && self.close_open();
        let opened = self.open.is_none();
        let (serial, capacity) = (self.next_serial, self.capacity);
        let mut batch = self.open.take().unwrap_or_else(|| Batch::new(serial, now, capacity));
        match batch.append(self.partition, record, timestamp, charge) {
            Ok(delivery) => {
                if opened {
                    self.unresolved.insert(serial);
                    self.next_serial += 1;
                }
                self.open = Some(batch);
                Ok(Appended { delivery, opened, closed })
            }
            Err(error) => {
                self.open = (!opened).then_some(batch);
                Err(error)
            }
        }
    }

    /// Closes the open batch, so that it waits to be sent. Answers whether there was one.
    pub(super) fn close_open(&mut self) -> bool {
        let Some(batch) = self.open.take() else { return false };
        // A little more, since batches of equal limits differ a little.
        self.capacity = batch.bytes().saturating_mul(9) / 8;
        self.waiting.push_back(batch);
        true
    }

    /// When the open batch got its first record.
    pub(super) fn opened_at(&self) -> Option<Instant> {
        self.open.as_ref().map(|batch| batch.opened)
    }

    /// Whether nothing has failed since all batches were back, so that batches may leave.
    pub(super) fn is_settled(&self) -> bool {
        self.returned.is_empty() && self.refused.is_none() && !self.blocked
    }

    /// Whether no closed batch waits.
    pub(super) fn is_drained(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a closed batch may leave. A batch that has never been sent must not be so far ahead of the oldest
    /// one in doubt that the cluster would forget that one.
    pub(super) fn is_due(&self, fresh: bool) -> bool {
        let oldest = self.unresolved.first().copied().unwrap_or(0);
        let near = |batch: &Batch| batch.serial < oldest + BATCHES_REMEMBERED;
        let may_leave = |batch: &Batch| batch.stamp.is_some() || (fresh && near(batch));
        self.is_settled() && self.waiting.front().is_some_and(may_leave)
    }

    /// Whether no batch is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// Whether batches that were sent before have to be sent again under their old stamps. While there are any, the
    /// producer's epoch must not change.
    pub(super) fn has_stamped(&self) -> bool {
        self.in_flight > 0 || (!self.blocked && self.waiting.iter().any(|batch| batch.stamp.is_some()))
    }

    /// Takes the next batch to send, stamped when the producer is idempotent. Without `fresh` only batches that have
    /// been sent before.
    pub(super) fn take(
        &mut self,
        identity: Option<(ProducerId, ProducerEpoch)>,
        fresh: bool,
    ) -> Option<Batch> {
        if !self.is_due(fresh) {
            return None;
        }
        let mut batch = self.waiting.pop_front()?;
        if let (None, Some((id, epoch))) = (batch.stamp, identity) {
            batch.stamp = Some(Stamp { id, epoch, sequence: self.next_sequence });
            self.next_sequence = self.next_sequence.plus(batch.records());
        }
        batch.attempts += 1;
        self.in_flight += 1;
        Some(batch)
    }

    /// Takes a batch back with what became of it. Answers the batch when it is over.
    pub(super) fn settle(&mut self, mut batch: Batch, verdict: Verdict) -> Option<Finished> {
        self.in_flight -= 1;
        let behind_a_failure = !self.returned.is_empty() || self.refused.is_some();
        match verdict {
            Verdict::Done(ack) => return Some(self.finish(batch, Ok(ack))),
            Verdict::Again { uncertain, .. } => batch.uncertain |= uncertain,
            Verdict::Gap(_) | Verdict::Forgotten(_) if behind_a_failure => {}
            Verdict::Gap(_) => {
                batch.uncertain = false;
                self.blocked = true;
            }
            Verdict::Forgotten(error) => {
                self.blocked = true;
                if batch.uncertain {
                    let text = format!("{error}; an earlier attempt may have been written");
                    return Some(self.finish(batch, Err(Error::Uncertain(text.into()))));
                }
            }
            Verdict::Refused(error) if batch.uncertain => {
                // An earlier attempt may be in the log or still arrive, so the sequence is used up.
                self.blocked |= self.idempotent;
                let text = format!("{error}; an earlier attempt may have been written");
                return Some(self.finish(batch, Err(Error::Uncertain(text.into()))));
            }
            Verdict::Refused(error) => {
                if let Some(stamp) = batch.stamp {
                    self.refused.get_or_insert(stamp.sequence);
                }
                return Some(self.finish(batch, Err(error)));
            }
        }
        self.returned.push(batch);
        None
    }

    /// Puts everything in order when the last batch is back: those to be sent again stand in front.
    pub(super) fn regroup(&mut self) -> Next {
        if self.in_flight > 0 || self.is_settled() {
            return Next::Nothing;
        }
        // Batches of a stream that broke may come back after one that could not be put on it any more.
        self.returned.sort_by_key(|batch| batch.serial);
        for batch in std::mem::take(&mut self.returned).into_iter().rev() {
            self.waiting.push_front(batch);
        }
        if let Some(sequence) = self.refused.take() {
            self.reuse_from(sequence);
        }
        if self.blocked { Next::NewEpoch } else { Next::Again }
    }

    /// Gives the sequences from `sequence` on to the batches that wait, or asks for a new epoch where an old attempt
    /// may still arrive under one of them.
    fn reuse_from(&mut self, sequence: Sequence) {
        if self.waiting.iter().any(|batch| batch.uncertain) {
            self.blocked = true;
            return;
        }
        self.next_sequence = sequence;
        for batch in &mut self.waiting {
            batch.stamp = None;
        }
    }

    /// Starts again from sequence 0 under a new epoch. Batches of which an old attempt may be in the log are over:
    /// under the new epoch they could not be recognised.
    pub(super) fn begin_epoch(&mut self) -> Vec<Finished> {
        self.blocked = false;
        self.refused = None;
        self.next_sequence = Sequence(0);
        let (lost, kept) = std::mem::take(&mut self.waiting).into_iter().partition(|batch| batch.uncertain);
        self.waiting = kept;
        for batch in &mut self.waiting {
            batch.stamp = None;
        }
        let text = "the producer got a new epoch before the batch's fate was known: it may have been written";
        self.finish_all(lost, &Error::Uncertain(text.into()))
    }

    /// Ends the batches that have waited longer than `timeout`, when no batch is on its way.
    pub(super) fn expire(&mut self, now: Instant, timeout: Duration) -> Vec<Finished> {
        let mut over = Vec::new();
        let mut refused = None;
        while self.in_flight == 0 && self.waiting.front().is_some_and(|batch| now - batch.opened >= timeout) {
            let Some(batch) = self.waiting.pop_front() else { break };
            refused = refused.or(batch.stamp.map(|stamp| stamp.sequence));
            // Its sequence must not be given away while an attempt may still arrive.
            self.blocked |= batch.uncertain && self.idempotent;
            let error = if batch.uncertain {
                Error::Uncertain(
                    format!("no clear answer within {timeout:?}: the effect may have happened").into(),
                )
            } else {
                Error::TimedOut(format!("not delivered within {timeout:?}").into())
            };
            over.push(self.finish(batch, Err(error)));
        }
        if let Some(sequence) = refused.filter(|_| !self.blocked) {
            self.reuse_from(sequence);
        }
        over
    }

    /// Ends every batch that is not on its way.
    pub(super) fn fail_all(&mut self, error: &Error) -> Vec<Finished> {
        self.close_open();
        let mut over: VecDeque<Batch> = std::mem::take(&mut self.returned).into();
        over.append(&mut self.waiting);
        self.finish_all(over, error)
    }

    /// Whether a new epoch is needed before anything can leave.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// The serial that the next batch will have.
    pub(super) fn next_serial(&self) -> u64 {
        self.next_serial
    }

    /// Whether every batch before `serial` is over.
    pub(super) fn is_resolved_before(&self, serial: u64) -> bool {
        self.unresolved.first().is_none_or(|first| *first >= serial)
    }

    fn finish_all(&mut self, batches: VecDeque<Batch>, error: &Error) -> Vec<Finished> {
        batches.into_iter().map(|batch| self.finish(batch, Err(error.clone()))).collect()
    }

    fn finish(&mut self, batch: Batch, outcome: Result<Ack, Error>) -> Finished {
        self.unresolved.remove(&batch.serial);
        (batch, outcome)
    }
}

/// What a record takes of a batch and of the producer's memory at most, in bytes.
pub(super) fn charge(record: &Record) -> usize {
    BatchBuilder::record_bytes_max(record.key.as_deref(), record.value.as_deref(), &record.headers)
}
