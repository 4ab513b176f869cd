//! Inputs for `entries`, `apply` and `snapshots`: a cluster's first steps, with every kind of command.

use ebb_fuzz::Step;
use ebb_metastore::{
    command::{
        ArchiveSpan, BatchFacts, BatchProducer, BodyPlace, ClassicGroup, Command, CommitFence, CommitOffsets,
        CommitSegment, CommittedOffset, ConsumerGroup, ConsumerMember, CreateTopic, DeleteOffsets, Endpoint,
        FileColumns, GroupChange, ObjectRef, PublishArchive, RecordCompaction, RegisterAgent, Run,
        UpdateGroup, Work,
    },
    entry::Entry,
    snapshot,
    state::{BatchCoordinates, State, fingerprint},
};
use ebb_protocol::columns::{ColumnKind, TYPED_ROOT, TypedColumn};
use ebb_protocol::ids::{
    AgentEpoch, AgentId, ArchiveId, ByteRange, ClusterId, EntryId, LogPosition, Offset, PartitionIndex,
    ProducerEpoch, ProducerId, SegmentId, Sequence, Timestamp, TopicId, TopicName,
};
use uuid::Uuid;

use crate::Seed;

const AGENT: u8 = 1;

pub(crate) fn seeds() -> Vec<Seed> {
    let steps = steps();
    let mut state = State::default();
    let mut seeds = Vec::new();
    let whole = postcard::to_allocvec(&steps).expect("commands serialise into memory");
    seeds.push(Seed::new("apply", "life", whole));
    for (number, step) in (0_u64..).zip(&steps) {
        let entry = entry(&state, step, number);
        let head = entry.encode(step.body_len);
        let body = ByteRange { start: head.len() as u64, len: step.body_len };
        state.apply(LogPosition(number), &entry, body);
        seeds.push(Seed::new("entries", format!("{number}"), head.to_vec()));
        seeds.push(Seed::new("snapshots", format!("{number}"), snapshot::encode(&state).to_vec()));
    }
    seeds
}

/// The step as its agent's next entry.
fn entry(state: &State, step: &Step, number: u64) -> Entry {
    let agent = AgentId(step.agent.into());
    let known = state.agents().find(|known| known.id == agent);
    Entry {
        id: EntryId(0x0190 << 112 | u128::from(number)),
        agent,
        epoch: known.map_or(AgentEpoch(0), |known| known.epoch),
        number: known.map_or(0, |known| known.next_number),
        time: Timestamp(1_000 + i64::try_from(number).expect("few steps")),
        hash: known.map(|_| state.hash()),
        commands: step.commands.clone(),
    }
}

fn steps() -> Vec<Step> {
    let step = |body_len, commands| Step { agent: AGENT, elapsed_ms: 1_000, body_len, commands };
    let endpoint = |port| Some(Endpoint { host: "ebb".to_owned(), port });
    let register = |agent: u8| {
        Command::RegisterAgent(RegisterAgent {
            agent: AgentId(agent.into()),
            kafka: endpoint(9092),
            quic: endpoint(9093),
            zone: "a".to_owned(),
            understands: 1,
            host: None,
        })
    };
    vec![
        step(0, vec![Command::CreateCluster { cluster: ClusterId(7) }, register(AGENT)]),
        step(0, vec![create_topic(1, "flights", 3), create_topic(2, "t", 1)]),
        step(0, vec![Command::InitProducer { current: None }, Command::InitProducer { current: None }]),
        step(0, vec![commit(10_000, BodyPlace::Object { bytes: 400 }, None)]),
        step(400, vec![commit(10_001, BodyPlace::Inline, numbered(0, 0))]),
        step(400, vec![commit(10_002, BodyPlace::Inline, numbered(0, 0))]),
        step(0, vec![commit(10_003, BodyPlace::Object { bytes: 400 }, numbered(0, 3)), producer(0, 0)]),
        step(
            0,
            vec![
                Command::CreatePartitions { topic: topic(2), total: 2 },
                Command::AlterTopicConfig {
                    topic: topic(1),
                    changes: vec![("retention.ms".to_owned(), Some("-1".to_owned())), ("x".to_owned(), None)],
                },
                Command::AlterGroupConfig {
                    group: "g".into(),
                    changes: vec![("consumer.session.timeout.ms".to_owned(), Some("50000".to_owned()))],
                },
            ],
        ),
        step(0, archive()),
        step(0, vec![delete_records(Some(Offset(2))), delete_records(None)]),
        step(0, groups()),
        step(
            0,
            vec![
                Command::ForgetObjects {
                    objects: vec![ObjectRef::Segment(segment(10_000)), ObjectRef::Entry(LogPosition(4))],
                },
                Command::TruncateLog { below: LogPosition(3) },
                Command::RaiseSweepBoundary { minted_before: Timestamp(10_000) },
            ],
        ),
        step(
            0,
            vec![
                Command::DeleteTopic { topic: topic(1) },
                Command::SealAgent { agent: AgentId(AGENT.into()) },
            ],
        ),
        Step { agent: 2, ..step(0, vec![register(2)]) },
    ]
}

/// A file in the place of the first segment's row in partition 1, another in its place, and claims.
fn archive() -> Vec<Command> {
    let row = |object| BatchCoordinates {
        object,
        range: ByteRange { start: 0, len: 100 },
        base: Offset(0),
        last: Offset(2),
        max_timestamp: Timestamp(5),
    };
    let publish = |archive, replaced: ObjectRef, rows| {
        let span = ArchiveSpan {
            partition: PartitionIndex(1),
            first: Offset(0),
            next: Offset(3),
            replaces: fingerprint(&[row(replaced)]),
            rows,
            range: ByteRange { start: 4, len: 50 },
            min_timestamp: Timestamp(5),
            max_timestamp: Timestamp(5),
        };
        let (topic, spans) = (topic(1), vec![span]);
        let (bytes, tail_bytes, tail_checksum) = (90, 30, 7);
        let (key, name, kind) = ("delay".to_owned(), "delay".to_owned(), ColumnKind::Double);
        let added = vec![TypedColumn { parent: TYPED_ROOT, key, name, kind }];
        let columns = FileColumns { known: 0, added };
        Command::PublishArchive(PublishArchive {
            archive,
            topic,
            bytes,
            tail_bytes,
            tail_checksum,
            spans,
            columns,
        })
    };
    let files = [10_004_u128, 10_005].map(|minted_at| ArchiveId(minted_at << 80));
    let window = Work::Window { from: LogPosition(3), to: LogPosition(5) };
    vec![
        publish(files[0], ObjectRef::Segment(segment(10_000)), 3),
        publish(files[1], ObjectRef::Archive(files[0]), 2),
        Command::ForgetObjects { objects: vec![ObjectRef::Archive(files[0])] },
        Command::ClaimWork { work: window, seen: None },
        Command::ClaimWork { work: Work::Topic(topic(1)), seen: Some(1) },
        Command::ReleaseWork { work: window },
        Command::RecordCompaction(RecordCompaction {
            topic: topic(1),
            clean: vec![(PartitionIndex(1), Offset(2))],
            mark: true,
        }),
    ]
}

/// A group of each protocol and a simple one; what is left of them when a topic goes, and later time.
fn groups() -> Vec<Command> {
    let update = |group: &str, version, changes| {
        Command::UpdateGroup(UpdateGroup { group: group.into(), version, changes })
    };
    let commit = |group: &str, fence| {
        let offset = CommittedOffset { offset: Offset(1), leader_epoch: 0, metadata: "m".to_owned() };
        let offsets = [1, 2].map(|number| (topic(number), PartitionIndex(0), offset.clone())).to_vec();
        Command::CommitOffsets(CommitOffsets { group: group.into(), fence, offsets })
    };
    let classic = || GroupChange::Classic(ClassicGroup { generation: 1, ..ClassicGroup::default() });
    let consumer = ConsumerMember {
        epoch: 1,
        target: [(topic(1), vec![PartitionIndex(0)])].into(),
        ..ConsumerMember::default()
    };
    vec![
        update("c", 0, vec![classic(), GroupChange::PutClassicMember("m".into(), Box::default())]),
        update(
            "k",
            0,
            vec![
                GroupChange::Consumer(ConsumerGroup { epoch: 1, assignment_epoch: 1 }),
                GroupChange::PutConsumerMember("n".into(), Box::new(consumer)),
            ],
        ),
        commit("s", CommitFence::Simple),
        commit("c", CommitFence::Classic("m".into(), 1)),
        commit("k", CommitFence::Consumer("n".into(), 1)),
        update("c", 1, vec![GroupChange::RemoveMember("m".into())]),
        Command::DeleteOffsets(DeleteOffsets {
            group: "k".into(),
            partitions: vec![(topic(1), PartitionIndex(0))],
        }),
        update("d", 0, vec![classic()]),
        Command::DeleteGroup { group: "d".into() },
    ]
}

fn topic(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(number))
}

fn segment(minted_at: u128) -> SegmentId {
    SegmentId(minted_at << 80)
}

fn create_topic(number: u128, name: &str, partitions: i32) -> Command {
    let name = TopicName::new(name).expect("the name is legal");
    Command::CreateTopic(CreateTopic { topic: topic(number), name, partitions, config: Vec::new() })
}

fn producer(id: i64, epoch: i16) -> Command {
    Command::InitProducer { current: Some((ProducerId(id), ProducerEpoch(epoch))) }
}

fn delete_records(before: Option<Offset>) -> Command {
    Command::DeleteRecords { topic: topic(1), partition: PartitionIndex(0), before }
}

fn numbered(id: i64, sequence: i32) -> Option<BatchProducer> {
    let (epoch, sequence) = (ProducerEpoch(0), Sequence(sequence));
    Some(BatchProducer { id: ProducerId(id), epoch, sequence, transactional: false })
}

/// Two batches of one partition and one of another.
fn commit(minted_at: u128, body: BodyPlace, producer: Option<BatchProducer>) -> Command {
    let batch = BatchFacts { bytes: 100, records: 3, max_timestamp: Timestamp(5), producer };
    let plain = BatchFacts { producer: None, ..batch };
    let run = |partition, start, batches: Vec<BatchFacts>| Run {
        topic: topic(1),
        partition: PartitionIndex(partition),
        range: ByteRange { start, len: 100 * batches.len() as u64 },
        batches,
    };
    let runs = vec![run(0, 44, vec![batch, plain]), run(1, 244, vec![plain])];
    Command::CommitSegment(CommitSegment { segment: segment(minted_at), body, runs })
}
