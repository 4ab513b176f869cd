//! Random sequences of commands, with duplicates, gaps, wraps, stale agents and deletions: the state agrees with
//! the model after every entry, the same entries give the same state, and a snapshot has the same future.

use ebb_metastore::{
    command::{ArchiveSpan, BatchFacts, BatchProducer, Command, ObjectRef, PublishArchive, Work},
    entry::Entry,
    limits::CLOCK_STEP_MAX_MS,
    outcome::{Outcome, Refusal},
    snapshot,
    state::{State, fingerprint},
};
use ebb_protocol::ids::{
    AgentId, ArchiveId, ByteRange, LogPosition, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence,
    Timestamp, TopicId,
};
use proptest::prelude::*;

use crate::{
    model::Model,
    ops::{BatchOp, Fault, Op, PublishFault, PublishOp, RunOp, SequenceOp, TOPICS, steps},
    support::{
        ARCHIVE_BYTES, BATCH_BYTES, HEAD_BYTES, archive, commit, commit_inline, create_topic, entry, publish,
        refused, register, run, segment, topic,
    },
};

#[derive(Clone, Copy, Debug, Default)]
struct Writer {
    id: u128,
    epoch: u64,
    number: u64,
}

/// The head of an entry and the length of its body.
#[derive(Clone, Debug)]
struct Logged {
    head: Vec<u8>,
    body_len: u64,
}

impl Logged {
    fn apply(&self, state: &mut State) -> Vec<Outcome> {
        let (entry, body) = Entry::decode(&self.head).expect("it was encoded");
        assert_eq!(body, ByteRange { start: self.head.len() as u64, len: self.body_len });
        // The model does not know how long heads are.
        state.apply(state.position(), &entry, ByteRange { start: HEAD_BYTES, len: self.body_len })
    }
}

/// The state and the model side by side, and the entries that made them.
#[derive(Debug, Default)]
struct Run {
    state: State,
    model: Model,
    writers: [Writer; 2],
    sealed: Option<Writer>,
    /// The id of the second agent, whose clock is a week ahead.
    ahead: u128,
    /// The topic that has each name.
    slots: [Option<u128>; TOPICS as usize],
    boundary: i64,
    published: Option<ArchiveId>,
    log: Vec<Logged>,
    outcomes: Vec<Vec<Outcome>>,
}

impl Run {
    fn new() -> Self {
        let mut run = Self::default();
        run.restart(0);
        run.restart(1);
        run.step(0, Fault::None, &Op::CreateTopic { slot: 0, partitions: 2 });
        run.step(0, Fault::None, &Op::InitProducer);
        run
    }

    fn now(&self) -> u64 {
        100 * (1 + self.log.len() as u64)
    }

    fn apply(&mut self, mut entry: Entry, body_len: u64) -> Vec<Outcome> {
        let now = self.now().cast_signed();
        let ahead_ms = if entry.agent.0 == self.ahead { 7 * 24 * CLOCK_STEP_MAX_MS } else { 0 };
        entry.time = Timestamp(now + ahead_ms);
        entry.id.0 = self.log.len() as u128;
        entry.hash = Some(self.state.hash());
        let logged = Logged { head: entry.encode(body_len).to_vec(), body_len };
        let outcomes = logged.apply(&mut self.state);
        assert!(self.state.time().0 <= now, "a clock that is wrong does not move the state's");
        self.log.push(logged);
        self.outcomes.push(outcomes.clone());
        outcomes
    }

    fn restart(&mut self, agent: usize) {
        let id = 1 + self.log.len() as u128;
        if agent == 1 {
            self.ahead = id;
        }
        let port = u16::try_from(agent).expect("there are two agents");
        let outcomes = self.apply(entry(id, 0, 0, vec![register(id, Some(port))]), 0);
        let [Outcome::AgentRegistered { epoch, broker }] = outcomes[..] else { panic!("{outcomes:?}") };
        assert_eq!(usize::try_from(broker.0), Ok(agent), "a broker id stays with its address");
        let old = std::mem::replace(&mut self.writers[agent], Writer { id, epoch: epoch.0, number: 1 });
        self.model.claims.retain(|(_, _, holder, _)| *holder != old.id);
        self.sealed = Some(old).filter(|old| old.id > 0).or(self.sealed);
    }

    fn step(&mut self, agent: usize, fault: Fault, op: &Op) {
        if let Op::RestartAgent { agent } = op {
            return self.restart(*agent);
        }
        let before = (self.model.clone(), self.slots, self.boundary, self.published);
        let (command, expect, body_len) = self.plan(self.writers[agent].id, op);
        self.model.note_tables();
        let mut writer = self.writers[agent];
        let expect = match fault {
            Fault::None => expect,
            Fault::WrongEpoch => {
                writer.epoch += 1;
                refused(Refusal::StaleAgent)
            }
            Fault::NumberAgain => {
                writer.number -= 1;
                refused(Refusal::OutOfTurn)
            }
            Fault::NumberTooHigh => {
                writer.number += 1;
                refused(Refusal::OutOfTurn)
            }
            Fault::Sealed => {
                writer = self.sealed.unwrap_or(Writer { id: 999_999, epoch: 1, number: 0 });
                refused(Refusal::StaleAgent)
            }
            Fault::NeverRegistered => {
                writer = Writer { id: 999_999, epoch: 0, number: 0 };
                refused(Refusal::StaleAgent)
            }
        };
        if fault == Fault::None {
            self.writers[agent].number += 1;
        } else {
            (self.model, self.slots, self.boundary, self.published) = before;
        }
        let outcomes = self.apply(entry(writer.id, writer.epoch, writer.number, vec![command]), body_len);
        assert_eq!(outcomes, [expect], "{op:?} with fault {fault:?}");
        self.model.check(&self.state);
        let alive = self.writers.map(|writer| self.state.next_number(AgentId(writer.id)));
        assert_eq!(alive, self.writers.map(|writer| Some(writer.number)));
    }

    /// The command of an op, what it should answer, and the length of its body; the model is changed as if it holds.
    fn plan(&mut self, writer: u128, op: &Op) -> (Command, Outcome, u64) {
        let at = |slots: &[Option<u128>], slot: u8| slots[usize::from(slot)].unwrap_or(0);
        let (command, expect) = match op {
            Op::Commit { inline, again, runs } => return self.plan_commit(*inline, *again, runs),
            Op::RestartAgent { .. } => unreachable!("an agent registers in an entry of its own"),
            Op::CreateTopic { slot, partitions } => self.plan_create(*slot, i32::from(*partitions)),
            Op::Grow { slot } => {
                let id = topic(at(&self.slots, *slot));
                let present = self.model.partitions.keys().filter(|(topic, _)| *topic == id).count();
                let total = i32::try_from(present).expect("there are few") + 1;
                let expect = match present {
                    0 => refused(Refusal::UnknownTopic(id)),
                    _ => {
                        self.model.partitions.insert((id, PartitionIndex(total - 1)), Default::default());
                        Outcome::Done
                    }
                };
                (Command::CreatePartitions { topic: id, total }, expect)
            }
            Op::DeleteTopic { slot } => {
                let id = topic(at(&self.slots, *slot));
                let existed = self.slots[usize::from(*slot)].take().is_some();
                self.model.partitions.retain(|(topic, _), _| *topic != id);
                let expect = if existed { Outcome::Done } else { refused(Refusal::UnknownTopic(id)) };
                (Command::DeleteTopic { topic: id }, expect)
            }
            Op::DeleteRecords { slot, partition, percent } => {
                let (topic, partition) =
                    (topic(at(&self.slots, *slot)), PartitionIndex(i32::from(*partition)));
                self.plan_delete_records(topic, partition, i64::from(*percent))
            }
            Op::InitProducer => {
                let (id, epoch) = (ProducerId(self.model.producers_issued), ProducerEpoch(0));
                self.model.producers_issued += 1;
                (Command::InitProducer { current: None }, Outcome::ProducerReady { id, epoch })
            }
            Op::Truncate => (Command::TruncateLog { below: self.state.position() }, Outcome::Done),
            Op::Sweep => {
                self.boundary = self.now().cast_signed() - 500;
                let minted_before = Timestamp(self.boundary);
                (Command::RaiseSweepBoundary { minted_before }, Outcome::Done)
            }
            Op::Forget => {
                let objects = self.state.dead_objects().map(|(object, _)| object).collect();
                (Command::ForgetObjects { objects }, Outcome::Done)
            }
            Op::Publish(op) => self.plan_publish(op),
            Op::Claim { from, len, seen } => self.plan_claim(writer, *from, from + len, *seen),
            Op::Release => {
                let own = self.model.claims.iter().position(|(_, _, holder, _)| *holder == writer);
                let own = own.map_or((0, 1, 0, 0), |index| self.model.claims.remove(index));
                let work = Work::Window { from: LogPosition(own.0), to: LogPosition(own.1) };
                let others = self.model.claims.iter().any(|(from, to, ..)| (*from, *to) == (0, 1));
                let taken = own.1 == 1 && own.2 == 0 && others;
                let expect = if taken { refused(Refusal::WorkClaimed) } else { Outcome::Done };
                (Command::ReleaseWork { work }, expect)
            }
        };
        (command, expect, 0)
    }

    fn plan_claim(&mut self, holder: u128, from: u64, to: u64, seen: bool) -> (Command, Outcome) {
        let claims = &mut self.model.claims;
        let overlaps = |claim: &(u64, u64, u128, u64)| claim.0 < to && from < claim.1;
        let other = claims.iter().find(|claim| overlaps(claim) && claim.2 != holder);
        let seen = other.filter(|_| seen).map(|claim| claim.3);
        let work = Work::Window { from: LogPosition(from), to: LogPosition(to) };
        let command = Command::ClaimWork { work, seen };
        if from >= to {
            return (command, refused(Refusal::Malformed));
        }
        if claims.iter().any(|claim| overlaps(claim) && claim.2 != holder && Some(claim.3) != seen) {
            return (command, refused(Refusal::WorkClaimed));
        }
        claims.retain(|claim| !overlaps(claim));
        self.model.claims_granted += 1;
        let version = self.model.claims_granted;
        self.model.claims.push((from, to, holder, version));
        (command, Outcome::WorkClaimed { version })
    }

    /// A publish as a planner makes it that looks at the state now, or one that is wrong.
    fn plan_publish(&mut self, op: &PublishOp) -> (Command, Outcome) {
        let topic = topic(self.slots[usize::from(op.slot)].unwrap_or(0));
        let mut spans = Vec::new();
        for (partition, (from, to)) in (0..).zip(&op.shares) {
            let partition = PartitionIndex(partition);
            let rows = self.state.find(topic, partition, Offset(0), u64::MAX, usize::MAX);
            let share = |percent: u8| rows.len() * usize::from(percent) / 100;
            let rows = rows.get(share(*from)..share(*to)).unwrap_or_default();
            let (Some(first), Some(last)) = (rows.first(), rows.last()) else { continue };
            let (first, next) = (first.base, last.last.plus(1));
            let offsets = (next.0 - first.0).unsigned_abs();
            let rows = fingerprint(rows);
            let kept = offsets / 100 * u64::from(op.kept) + offsets % 100 * u64::from(op.kept) / 100;
            let len = if kept > 0 { ARCHIVE_BYTES / 4 } else { 0 };
            spans.push(ArchiveSpan {
                partition,
                first,
                next,
                replaces: rows ^ u64::from(op.fault == PublishFault::Stale),
                rows: kept,
                range: ByteRange { start: spans.len() as u64 * len, len },
                min_timestamp: Timestamp(0),
                max_timestamp: Timestamp(op.max_timestamp),
            });
        }
        let again = self.published.filter(|_| op.fault == PublishFault::Again);
        let archive = again.unwrap_or(archive(self.now()));
        let mut stale = op.fault == PublishFault::Stale;
        if let Some(span) = spans.first_mut().filter(|_| op.fault == PublishFault::HalfRow)
            && span.rows.max(1) < (span.next.0 - span.first.0).unsigned_abs()
        {
            span.first = span.first.plus(1);
            stale = true;
        }
        let expect = if spans.is_empty() {
            refused(Refusal::Malformed)
        } else if archive.minted_at().0 < self.boundary {
            refused(Refusal::ArchiveTooOld)
        } else if again.is_some() {
            refused(Refusal::ArchivePublished)
        } else if stale {
            refused(Refusal::StaleArchive)
        } else if self.model.publish(topic, ObjectRef::Archive(archive), &spans) {
            self.published =
                Some(archive).filter(|_| spans.iter().any(|span| span.rows > 0)).or(self.published);
            Outcome::Done
        } else {
            refused(Refusal::ArchiveInPart)
        };
        let Command::PublishArchive(file) = publish(archive, spans) else { unreachable!("it publishes") };
        (Command::PublishArchive(PublishArchive { topic, ..file }), expect)
    }

    fn plan_create(&mut self, slot: u8, partitions: i32) -> (Command, Outcome) {
        let id = 1 + self.log.len() as u128;
        let command = create_topic(id, &format!("topic-{slot}"), partitions);
        let slot = &mut self.slots[usize::from(slot)];
        if slot.is_some() {
            return (command, refused(Refusal::TopicExists));
        }
        *slot = Some(id);
        for partition in 0..partitions {
            self.model.partitions.insert((topic(id), PartitionIndex(partition)), Default::default());
        }
        (command, Outcome::Done)
    }

    fn plan_delete_records(
        &mut self,
        topic: TopicId,
        partition: PartitionIndex,
        percent: i64,
    ) -> (Command, Outcome) {
        let Some(model) = self.model.partitions.get_mut(&(topic, partition)) else {
            let command = Command::DeleteRecords { topic, partition, before: None };
            return (command, refused(Refusal::UnknownPartition));
        };
        let high = model.high_watermark();
        let before = high / 100 * percent + high % 100 * percent / 100;
        let command = Command::DeleteRecords { topic, partition, before: Some(Offset(before)) };
        if before > high {
            return (command, refused(Refusal::OffsetOutOfRange));
        }
        model.log_start = model.log_start.max(before);
        (command, Outcome::RecordsDeleted { log_start: Offset(model.log_start) })
    }

    fn plan_commit(&mut self, inline: bool, again: bool, ops: &[RunOp]) -> (Command, Outcome, u64) {
        let earlier = self.model.segments.first().copied().filter(|_| again && !inline);
        let fresh = segment(self.now());
        let id = match earlier {
            Some(ObjectRef::Segment(id)) => id,
            _ => fresh,
        };
        let before = self.model.clone();
        let count = ops.iter().map(|op| op.batches.len()).sum::<usize>() as u64;
        let body_len = if inline { count * u64::from(BATCH_BYTES) } else { 0 };
        let position = self.state.position();
        let (object, shift) =
            if inline { (ObjectRef::Entry(position), HEAD_BYTES) } else { (ObjectRef::Segment(id), 0) };
        let (mut runs, mut outcomes, mut start) = (Vec::new(), Vec::new(), 0);
        for op in ops {
            let at =
                (topic(self.slots[usize::from(op.slot)].unwrap_or(0)), PartitionIndex(op.partition.into()));
            let (mut batches, mut answers, begin) = (Vec::new(), Vec::new(), start);
            for batch in &op.batches {
                let facts = self.facts(at, batch);
                answers.push(self.model.append(at, facts, object, shift + start));
                batches.push(facts);
                start += u64::from(BATCH_BYTES);
            }
            let mut run = run(0, at.1.0, begin, batches);
            run.topic = at.0;
            runs.push(run);
            outcomes.push(answers);
        }
        let mut expect = Outcome::Committed { runs: outcomes };
        if !inline && id.minted_at().0 < self.boundary {
            (self.model, expect) = (before, refused(Refusal::SegmentTooOld));
        } else if earlier.is_some() {
            (self.model, expect) = (before, refused(Refusal::SegmentCommitted));
        } else if !inline {
            self.model.segments.insert(object);
        }
        (if inline { commit_inline(id, runs) } else { commit(id, runs) }, expect, body_len)
    }

    /// A batch as its producer would send it now.
    fn facts(&self, at: (TopicId, PartitionIndex), op: &BatchOp) -> BatchFacts {
        let mut facts = BatchFacts {
            bytes: BATCH_BYTES,
            records: op.records,
            max_timestamp: Timestamp(op.timestamp),
            producer: None,
        };
        let Some((id, sequence)) = op.producer else { return facts };
        let id = i64::from(id);
        let unseen = Default::default();
        let partition = self.model.partitions.get(&at).unwrap_or(&unseen);
        let next = partition.next_sequence(id);
        let wrapped = |sequence: i64| i32::try_from(sequence % (1 << 31)).expect("it was wrapped");
        let current = partition.epoch(id).unwrap_or(0);
        let (epoch, sequence) = match sequence {
            SequenceOp::Next => (current, wrapped(next)),
            SequenceOp::Gap(gap) => (current, wrapped(next + i64::from(gap))),
            SequenceOp::Again(back) => match partition.earlier(id, back) {
                Some((sequence, records)) => {
                    facts.records = records;
                    (current, sequence)
                }
                None => (current, wrapped(next)),
            },
            SequenceOp::NewEpoch(sequence) => (current + 1, sequence),
            SequenceOp::OldEpoch => ((current - 1).max(0), wrapped(next)),
        };
        let (id, epoch, sequence) = (ProducerId(id), ProducerEpoch(epoch), Sequence(sequence));
        facts.producer = Some(BatchProducer { id, epoch, sequence, transactional: false });
        facts
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_state_agrees_with_the_model(steps in steps(), at in any::<prop::sample::Index>()) {
        let mut run = Run::new();
        for (agent, fault, op) in &steps {
            run.step(*agent, *fault, op);
        }
        // The same entries give the same state, and so does a snapshot on the way.
        let cut = at.index(run.log.len());
        let mut state = State::default();
        for (position, (logged, expect)) in run.log.iter().zip(&run.outcomes).enumerate() {
            if position == cut {
                let bytes = snapshot::encode(&state);
                let read = snapshot::decode(&bytes).expect("it was encoded");
                prop_assert_eq!(&read, &state);
                prop_assert_eq!(snapshot::encode(&read), bytes);
                state = read;
            }
            let (entry, _) = Entry::decode(&logged.head).expect("it was encoded");
            prop_assert_eq!(entry.hash.map(|hash| state.check_hash(hash)), Some(Ok(())));
            prop_assert_eq!(&logged.apply(&mut state), expect);
        }
        prop_assert_eq!(state.hash(), run.state.hash());
        prop_assert_eq!(state, run.state);
    }
}
