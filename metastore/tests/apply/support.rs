//! A state with one registered agent, and short ways to write commands.

use ebb_metastore::{
    command::{
        ArchiveSpan, BatchFacts, BatchProducer, BodyPlace, Command, CommitSegment, CreateTopic, Endpoint,
        FileColumns, PublishArchive, RegisterAgent, Run,
    },
    entry::Entry,
    limits::CLOCK_STEP_MAX_MS,
    outcome::{BatchOutcome, Outcome, Refusal},
    state::State,
};
use ebb_protocol::ids::{
    AgentEpoch, AgentId, ArchiveId, ByteRange, EntryId, LogPosition, Offset, PartitionIndex, ProducerEpoch,
    ProducerId, SegmentId, Sequence, Timestamp, TopicId, TopicName,
};
use uuid::Uuid;

/// The head length of every entry with a body in these tests.
pub(crate) const HEAD_BYTES: u64 = 1_000;

/// Bytes of every batch that [`batch`] and [`numbered`] make.
pub(crate) const BATCH_BYTES: u32 = 100;

/// A state that agent 1 writes to.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) epoch: AgentEpoch,
    pub(crate) time: i64,
}

impl World {
    /// With agent 1 registered, which listens.
    pub(crate) fn new() -> Self {
        let mut world = Self { time: 1_000, ..Self::default() };
        let outcomes = world.apply(entry(1, 0, 0, vec![register(1, Some(1))]), 0);
        let [Outcome::AgentRegistered { epoch, .. }] = outcomes[..] else {
            panic!("the first agent was not registered: {outcomes:?}");
        };
        world.epoch = epoch;
        world
    }

    /// With topic 1 of three partitions.
    pub(crate) fn with_topic() -> Self {
        let mut world = Self::new();
        assert_eq!(world.run(create_topic(1, "one", 3)), Outcome::Done);
        world
    }

    pub(crate) fn apply(&mut self, mut entry: Entry, body_len: u64) -> Vec<Outcome> {
        entry.time = Timestamp(self.time);
        entry.id = EntryId(u128::from(self.state.position().0));
        let body = ByteRange { start: HEAD_BYTES, len: body_len };
        self.state.apply(self.state.position(), &entry, body)
    }

    /// Lets time pass, with an entry of agent 1 in every step of the state's clock, and one at the end.
    pub(crate) fn wait_until(&mut self, time: i64) {
        while self.time < time {
            self.time = time.min(self.time + CLOCK_STEP_MAX_MS);
            self.run(Command::TruncateLog { below: LogPosition(0) });
        }
    }

    /// Applies one command of agent 1.
    pub(crate) fn run(&mut self, command: Command) -> Outcome {
        self.run_with_body(command, 0)
    }

    pub(crate) fn run_with_body(&mut self, command: Command, body_len: u64) -> Outcome {
        let number = self.state.next_number(AgentId(1)).expect("agent 1 is live");
        let outcomes = self.apply(entry(1, self.epoch.0, number, vec![command]), body_len);
        let [outcome] = &outcomes[..] else { panic!("one command has one outcome: {outcomes:?}") };
        outcome.clone()
    }

    /// Commits a fresh segment with these batches for a partition of topic 1.
    pub(crate) fn commit(&mut self, partition: i32, batches: Vec<BatchFacts>) -> Vec<BatchOutcome> {
        let segment = segment((1 << 40) + self.state.position().0);
        let outcome = self.run(commit(segment, vec![run(1, partition, 0, batches)]));
        match outcome {
            Outcome::Committed { mut runs } if runs.len() == 1 => runs.remove(0),
            other => panic!("the segment was not committed: {other:?}"),
        }
    }
}

impl World {
    /// A span of so many records for a partition of topic 1, as a planner makes it who looks at the state now.
    pub(crate) fn span(&self, partition: i32, first: i64, next: i64, rows: u64) -> ArchiveSpan {
        let (partition, first, next) = (PartitionIndex(partition), Offset(first), Offset(next));
        let replaces = self.state.fingerprint(topic(1), partition, first, next).unwrap_or(0);
        let range = ByteRange { start: 4, len: if rows > 0 { ARCHIVE_BYTES - 4 } else { 0 } };
        let (min_timestamp, max_timestamp) = (Timestamp(0), Timestamp(0));
        ArchiveSpan { partition, first, next, replaces, rows, range, min_timestamp, max_timestamp }
    }

    /// Publishes a file of topic 1.
    pub(crate) fn publish(&mut self, archive: ArchiveId, spans: Vec<ArchiveSpan>) -> Outcome {
        self.run(publish(archive, spans))
    }
}

/// Bytes of every archive file, unless it has no records.
pub(crate) const ARCHIVE_BYTES: u64 = 1_000;

/// The id of an archive file minted at a time, in milliseconds.
pub(crate) fn archive(minted_at: u64) -> ArchiveId {
    ArchiveId(u128::from(minted_at) << 80)
}

/// Publishes a file of topic 1.
pub(crate) fn publish(archive: ArchiveId, spans: Vec<ArchiveSpan>) -> Command {
    let bytes = if spans.iter().any(|span| span.rows > 0) { ARCHIVE_BYTES } else { 0 };
    let tail_bytes = if bytes > 0 { 100 } else { 0 };
    let (topic, tail_checksum) = (topic(1), 7);
    Command::PublishArchive(PublishArchive {
        archive,
        topic,
        bytes,
        tail_bytes,
        tail_checksum,
        spans,
        columns: FileColumns::default(),
    })
}

pub(crate) fn entry(agent: u128, epoch: u64, number: u64, commands: Vec<Command>) -> Entry {
    let (agent, epoch, time) = (AgentId(agent), AgentEpoch(epoch), Timestamp(0));
    Entry { id: EntryId(0), agent, epoch, number, time, hash: None, commands }
}

pub(crate) fn register(agent: u128, port: Option<u16>) -> Command {
    let kafka = port.map(|port| Endpoint { host: "localhost".to_owned(), port });
    let (zone, understands) = (String::new(), 1);
    Command::RegisterAgent(RegisterAgent {
        agent: AgentId(agent),
        kafka,
        quic: None,
        zone,
        understands,
        host: None,
    })
}

pub(crate) fn topic(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(number))
}

pub(crate) fn name(name: &str) -> TopicName {
    TopicName::new(name).expect("tests use legal names")
}

pub(crate) fn create_topic(id: u128, called: &str, partitions: i32) -> Command {
    Command::CreateTopic(CreateTopic { topic: topic(id), name: name(called), partitions, config: Vec::new() })
}

/// The id of a segment minted at a time, in milliseconds.
pub(crate) fn segment(minted_at: u64) -> SegmentId {
    SegmentId(u128::from(minted_at) << 80)
}

pub(crate) fn commit(segment: SegmentId, runs: Vec<Run>) -> Command {
    let bytes = runs.iter().map(|run| run.range.end()).max().unwrap_or(0);
    Command::CommitSegment(CommitSegment { segment, body: BodyPlace::Object { bytes }, runs })
}

pub(crate) fn commit_inline(segment: SegmentId, runs: Vec<Run>) -> Command {
    Command::CommitSegment(CommitSegment { segment, body: BodyPlace::Inline, runs })
}

/// A run whose bytes begin at `start` of its segment.
pub(crate) fn run(id: u128, partition: i32, start: u64, batches: Vec<BatchFacts>) -> Run {
    let len = batches.iter().map(|batch| u64::from(batch.bytes)).sum();
    let range = ByteRange { start, len };
    Run { topic: topic(id), partition: PartitionIndex(partition), range, batches }
}

/// A batch without a producer.
pub(crate) fn batch(records: u32) -> BatchFacts {
    BatchFacts { bytes: BATCH_BYTES, records, max_timestamp: Timestamp(0), producer: None }
}

/// A batch of an idempotent producer.
pub(crate) fn numbered(id: ProducerId, epoch: i16, sequence: i32, records: u32) -> BatchFacts {
    let (epoch, sequence) = (ProducerEpoch(epoch), Sequence(sequence));
    BatchFacts {
        producer: Some(BatchProducer { id, epoch, sequence, transactional: false }),
        ..batch(records)
    }
}

pub(crate) fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(refusal)
}

pub(crate) fn appended(base: i64) -> BatchOutcome {
    BatchOutcome::Appended { base: Offset(base), log_start: Offset(0) }
}

pub(crate) fn duplicate(base: i64) -> BatchOutcome {
    BatchOutcome::Duplicate { base: Offset(base), log_start: Offset(0) }
}
