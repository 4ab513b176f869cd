//! The witness: sees every object at the moment when it is written or deleted, and every entry when it lands. Keeps
//! the true state, which no agent has, and says when something is done that must never be done.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use ebb_metastore::{
    command::{BodyPlace, Command, ObjectRef},
    entry::Entry,
    outcome::{BatchOutcome, BatchRefusal, Outcome, Refusal},
    state::State,
};
use ebb_protocol::ids::{AgentId, ByteRange, LogPosition, Offset, PartitionIndex, SegmentId, TopicId};
use parking_lot::Mutex;

use super::{probes::Probe, world::World};

/// The witness of one run.
#[derive(Debug)]
pub(super) struct Witness {
    world: Arc<World>,
    truth: Mutex<Truth>,
}

#[derive(Debug, Default)]
struct Truth {
    /// After all entries that stand without a gap.
    state: State,
    /// Entries behind a gap.
    ahead: BTreeMap<LogPosition, Bytes>,
    /// Agents that are, or were, live.
    registered: BTreeSet<AgentId>,
    /// Checksums of entries and segments that have ever been there.
    entries: BTreeMap<LogPosition, u32>,
    segments: BTreeMap<SegmentId, u32>,
}

impl Witness {
    pub(super) fn new(world: Arc<World>) -> Self {
        Self { world, truth: Mutex::default() }
    }

    /// Reads the true state.
    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.truth.lock().state)
    }

    /// An entry landed.
    pub(super) fn entry(&self, position: LogPosition, bytes: &Bytes) {
        let mut truth = self.truth.lock();
        let truth = &mut *truth;
        let sum = checksum(bytes);
        if *truth.entries.entry(position).or_insert(sum) != sum {
            // A late copy of an old request may fill a position that was dropped. Nobody may believe it; that is
            // seen in what is lost.
            return;
        }
        if position >= truth.state.position() {
            truth.ahead.insert(position, bytes.clone());
        }
        while let Some(bytes) = truth.ahead.remove(&truth.state.position()) {
            match Entry::decode(&bytes) {
                Ok((entry, body)) => self.apply(truth, &entry, body),
                Err(error) => {
                    return self.world.violation(format!("an entry was written that is none: {error}"));
                }
            }
        }
    }

    fn apply(&self, truth: &mut Truth, entry: &Entry, body: ByteRange) {
        let state = &mut truth.state;
        let out = truth.registered.contains(&entry.agent) && state.next_number(entry.agent).is_none();
        let outcomes = state.apply(state.position(), entry, body);
        if out && !outcomes.iter().all(|outcome| matches!(outcome, Outcome::Refused(_))) {
            let agent = entry.agent;
            self.world.violation(format!("an entry of {agent} took effect, which had been put out"));
        }
        truth.registered.extend(state.agents().map(|agent| agent.id));
        let mut commits = 0;
        for (command, outcome) in entry.commands.iter().zip(&outcomes) {
            if let Command::CommitSegment(segment) = command {
                commits += 1;
                self.world.probe(match segment.body {
                    BodyPlace::Inline => Probe::InlineFlush,
                    BodyPlace::Object { .. } => Probe::SegmentFlush,
                });
            }
            self.note(outcome);
        }
        if commits > 1 {
            self.world.probe(Probe::GroupCommit);
        }
    }

    fn note(&self, outcome: &Outcome) {
        let batch = |batch: &BatchOutcome| match batch {
            BatchOutcome::Duplicate { .. } => Some(Probe::DuplicateAnswered),
            BatchOutcome::Refused(BatchRefusal::OutOfOrderSequence) => Some(Probe::SequenceOutOfOrder),
            BatchOutcome::Refused(BatchRefusal::StaleProducerEpoch) => Some(Probe::OldEpochRefused),
            BatchOutcome::Refused(BatchRefusal::UnknownPartition) => Some(Probe::DeletedTopicRefused),
            _ => None,
        };
        match outcome {
            Outcome::Committed { runs } => {
                runs.iter().flatten().filter_map(batch).for_each(|probe| self.world.probe(probe));
            }
            Outcome::Refused(Refusal::StaleAgent) => self.world.probe(Probe::ZombieFenced),
            Outcome::Refused(Refusal::SegmentTooOld) => self.world.probe(Probe::SegmentTooOld),
            Outcome::Refused(Refusal::OutOfTurn) => self.world.probe(Probe::GhostEntry),
            Outcome::RecordsDeleted { .. } => self.world.probe(Probe::RecordsDeleted),
            _ => {}
        }
    }

    /// Two agents wanted one position.
    pub(super) fn raced(&self) {
        self.world.probe(Probe::AgentsRaced);
    }

    /// A segment was put.
    pub(super) fn segment(&self, id: SegmentId, bytes: &Bytes) {
        let sum = checksum(bytes);
        if *self.truth.lock().segments.entry(id).or_insert(sum) != sum {
            self.world.violation(format!("segment {id} was overwritten with other bytes"));
        }
    }

    /// An object is deleted.
    pub(super) fn deleted(&self, object: ObjectRef) {
        if self.read(|state| state.is_referenced(object)) {
            self.world.violation(format!("{object:?} was deleted while the state refers to it"));
        }
        self.world.probe(match object {
            ObjectRef::Entry(_) => Probe::LogTruncated,
            ObjectRef::Segment(_) if self.read(|state| state.is_dead(object)) => Probe::SegmentSwept,
            ObjectRef::Segment(_) => Probe::OrphanSwept,
        });
    }

    /// An append was acknowledged: its place must be taken by now.
    pub(super) fn acknowledged(&self, topic: TopicId, partition: PartitionIndex, base: Offset, records: i64) {
        let head = self.read(|state| state.head(topic, partition));
        if head.is_some_and(|head| head.high_watermark < base.plus(records)) {
            self.world.violation(format!("offset {base} was acknowledged before it was durable"));
        }
    }
}

fn checksum(bytes: &Bytes) -> u32 {
    xxhash_rust::xxh3::xxh3_64(bytes) as u32
}
