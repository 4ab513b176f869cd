//! The entry's bytes: golden bytes of every command kind, and what becomes of bytes that are no entry.

mod text;

use ebb_metastore::{
    command::{
        ArchiveSpan, BatchFacts, BatchProducer, BodyPlace, ClassicGroup, ClassicMember, ClassicPart, Command,
        CommitFence, CommitOffsets, CommitSegment, CommittedOffset, ConsumerGroup, ConsumerMember,
        CreateTopic, DeleteOffsets, Endpoint, FileColumns, GroupChange, ObjectRef, PublishArchive,
        RecordCompaction, RegisterAgent, Run, UpdateGroup, Work,
    },
    entry::{Entry, EntryError, StateHash},
};
use ebb_protocol::{
    columns::{ColumnKind, TYPED_ROOT, TypedColumn},
    ids::{
        AgentEpoch, AgentId, ArchiveId, ByteRange, ClusterId, EntryId, HostId, LogPosition, Offset,
        PartitionIndex, ProducerEpoch, ProducerId, SegmentId, Sequence, Timestamp, TopicId, TopicName,
    },
};
use text::{hex, unhex};
use uuid::Uuid;

const GOLDEN: &str = include_str!("golden/entry-v1.hex");

fn topic() -> TopicId {
    TopicId(Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef))
}

fn runs() -> Vec<Run> {
    let producer = BatchProducer {
        id: ProducerId(7),
        epoch: ProducerEpoch(2),
        sequence: Sequence(i32::MAX),
        transactional: true,
    };
    let plain = BatchFacts { bytes: 100, records: 1, max_timestamp: Timestamp(-1), producer: None };
    let idempotent = BatchFacts {
        bytes: 900,
        records: 64,
        max_timestamp: Timestamp(1_700_000_000_000),
        producer: Some(producer),
    };
    vec![Run {
        topic: topic(),
        partition: PartitionIndex(3),
        range: ByteRange { start: 16, len: 1000 },
        batches: vec![plain, idempotent],
    }]
}

/// One command of every kind, and of every shape that a kind can take.
fn commands() -> Vec<Command> {
    let endpoint = |port| Some(Endpoint { host: "ebb.example".to_owned(), port });
    let segment = SegmentId(0x0190_0000_0000_0000_0000_0000_0000_00aa);
    vec![
        Command::CreateCluster { cluster: ClusterId(0x0190_0000_0000_0000_0000_0000_0000_0001) },
        Command::RegisterAgent(RegisterAgent {
            agent: AgentId(0x0190_0000_0000_0000_0000_0000_0000_0002),
            kafka: endpoint(9092),
            quic: endpoint(9093),
            zone: "a".to_owned(),
            understands: 1,
            host: Some(HostId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)),
        }),
        Command::SealAgent { agent: AgentId(0x0190_0000_0000_0000_0000_0000_0000_0003) },
        Command::CreateTopic(CreateTopic {
            topic: topic(),
            name: TopicName::new("flights").expect("the name is legal"),
            partitions: 6,
            config: vec![("retention.ms".to_owned(), "-1".to_owned())],
        }),
        Command::CreatePartitions { topic: topic(), total: 12 },
        Command::DeleteTopic { topic: topic() },
        Command::AlterTopicConfig {
            topic: topic(),
            changes: vec![("cleanup.policy".to_owned(), Some("compact".to_owned())), ("x".to_owned(), None)],
        },
        Command::CommitSegment(CommitSegment {
            segment,
            body: BodyPlace::Object { bytes: 1048 },
            runs: runs(),
        }),
        Command::CommitSegment(CommitSegment { segment, body: BodyPlace::Inline, runs: Vec::new() }),
        Command::DeleteRecords { topic: topic(), partition: PartitionIndex(3), before: Some(Offset(41)) },
        Command::DeleteRecords { topic: topic(), partition: PartitionIndex(3), before: None },
        Command::InitProducer { current: None },
        Command::InitProducer { current: Some((ProducerId(7), ProducerEpoch(2))) },
        Command::TruncateLog { below: LogPosition(1 << 40) },
        Command::RaiseSweepBoundary { minted_before: Timestamp(1_700_000_000_001) },
        Command::ForgetObjects {
            objects: vec![ObjectRef::Segment(segment), ObjectRef::Entry(LogPosition(9))],
        },
    ]
}

/// The commands about groups, with every kind of change.
fn group_commands() -> Vec<Command> {
    let update = |changes| Command::UpdateGroup(UpdateGroup { group: "g".into(), version: 300, changes });
    let commit = |fence| {
        let offset = CommittedOffset { offset: Offset(41), leader_epoch: -1, metadata: "at 41".to_owned() };
        let offsets = vec![(topic(), PartitionIndex(3), offset)];
        Command::CommitOffsets(CommitOffsets { group: "g".into(), fence, offsets })
    };
    let shared = ClassicGroup {
        protocol_type: "consumer".to_owned(),
        generation: 7,
        protocol: Some("range".to_owned()),
        leader: Some("m".into()),
    };
    vec![
        update(vec![
            GroupChange::Classic(shared),
            GroupChange::PutClassicMember("m".into(), Box::new(classic_member())),
            GroupChange::Consumer(ConsumerGroup { epoch: 9, assignment_epoch: 8 }),
            GroupChange::PutConsumerMember("n".into(), Box::new(consumer_member())),
            GroupChange::RemoveMember("m".into()),
        ]),
        Command::DeleteGroup { group: "g".into() },
        commit(CommitFence::Simple),
        commit(CommitFence::Classic("m".into(), 7)),
        commit(CommitFence::Consumer("n".into(), 9)),
        Command::DeleteOffsets(DeleteOffsets {
            group: "g".into(),
            partitions: vec![(topic(), PartitionIndex(3))],
        }),
        Command::AlterGroupConfig {
            group: "g".into(),
            changes: vec![
                ("consumer.session.timeout.ms".to_owned(), Some("50000".to_owned())),
                ("x".to_owned(), None),
            ],
        },
    ]
}

/// The commands about the archive, with every kind of work.
fn archive_commands() -> Vec<Command> {
    let archive = ArchiveId(0x0190_0000_0000_0000_0000_0000_0000_00bb);
    let full = ArchiveSpan {
        partition: PartitionIndex(3),
        first: Offset(40),
        next: Offset(1_000),
        replaces: 0xfeed_face_cafe_beef,
        rows: 900,
        range: ByteRange { start: 4, len: 5_000 },
        min_timestamp: Timestamp(-1),
        max_timestamp: Timestamp(1_700_000_000_003),
    };
    let empty = ArchiveSpan {
        first: Offset(1_000),
        next: Offset(1_001),
        rows: 0,
        range: ByteRange { start: 0, len: 0 },
        ..full
    };
    let window = Work::Window { from: LogPosition(8), to: LogPosition(300) };
    vec![
        Command::PublishArchive(PublishArchive {
            archive,
            topic: topic(),
            bytes: 6_000,
            tail_bytes: 900,
            tail_checksum: 0xdead_beef,
            spans: vec![full, empty],
            columns: FileColumns {
                known: 300,
                added: vec![TypedColumn {
                    parent: TYPED_ROOT,
                    key: "delay".to_owned(),
                    name: "delay_2".to_owned(),
                    kind: ColumnKind::Double,
                }],
            },
        }),
        Command::ClaimWork { work: window, seen: None },
        Command::ClaimWork { work: Work::Topic(topic()), seen: Some(300) },
        Command::ReleaseWork { work: window },
        Command::RecordCompaction(RecordCompaction {
            topic: topic(),
            clean: vec![(PartitionIndex(0), Offset(300)), (PartitionIndex(2), Offset(1))],
            mark: true,
        }),
        Command::ForgetObjects { objects: vec![ObjectRef::Archive(archive)] },
    ]
}

fn classic_member() -> ClassicMember {
    ClassicMember {
        instance: Some("i".to_owned()),
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 300_000,
        protocols: vec![("range".to_owned(), vec![1, 2]), ("roundrobin".to_owned(), vec![])],
        assignment: vec![3, 4, 5],
    }
}

fn consumer_member() -> ConsumerMember {
    let partitions =
        |indices: &[i32]| [(topic(), indices.iter().copied().map(PartitionIndex).collect())].into();
    ConsumerMember {
        instance: Some("j".to_owned()),
        rack: Some("a".to_owned()),
        client_id: "d".to_owned(),
        client_host: "/127.0.0.2".to_owned(),
        rebalance_timeout_ms: 300_000,
        topics: vec!["flights".to_owned()],
        regex: Some("f.*".to_owned()),
        assignor: Some("uniform".to_owned()),
        epoch: 9,
        previous_epoch: 8,
        assigned: partitions(&[0, 1]),
        revoking: partitions(&[2]),
        target: partitions(&[0, 1, 3]),
        classic: Some(ClassicPart {
            session_timeout_ms: 45_000,
            protocols: vec![("range".to_owned(), vec![1])],
        }),
    }
}

fn entry() -> Entry {
    Entry {
        id: EntryId(0x0190_0000_0000_0000_0000_0000_0000_0004),
        agent: AgentId(0x0190_0000_0000_0000_0000_0000_0000_0005),
        epoch: AgentEpoch(6),
        number: 7,
        time: Timestamp(1_700_000_000_002),
        hash: Some(StateHash { position: LogPosition(8), chain: 0xfeed_face_cafe_beef }),
        commands: [commands(), group_commands(), archive_commands()].concat(),
    }
}

/// Seals a head again after a test changed it.
fn with_crc(mut head: Vec<u8>) -> Vec<u8> {
    let covered = head.len() - 4;
    let crc = crc32c::crc32c(&head[..covered]).to_be_bytes();
    head[covered..].copy_from_slice(&crc);
    head
}

#[test]
fn version_1_is_written_as_the_golden_bytes() {
    assert_eq!(hex(&entry().encode(1048)), GOLDEN);
}

#[test]
fn version_1_is_read_from_the_golden_bytes() {
    let bytes = unhex(GOLDEN);
    let (read, body) = Entry::decode(&bytes).expect("golden bytes are an entry");
    assert_eq!(read, entry());
    assert_eq!(body, ByteRange { start: bytes.len() as u64, len: 1048 });
    assert_eq!(Entry::peek_id(&bytes), Some(read.id));
}

#[test]
fn the_body_follows_the_head_and_is_not_needed_to_read_it() {
    let without = Entry { hash: None, ..entry() };
    let head = without.encode(3);
    let whole = [&head[..], b"abc"].concat();
    for bytes in [&head[..], &whole[..]] {
        let (read, body) = Entry::decode(bytes).expect("a whole head is an entry");
        assert_eq!(read, without);
        assert_eq!(body, ByteRange { start: head.len() as u64, len: 3 });
    }
    assert_eq!(&whole[head.len()..], b"abc");
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let good = entry().encode(0);
    for at in 0..good.len() {
        let mut bad = good.to_vec();
        bad[at] ^= 0x10;
        assert!(Entry::decode(&bad).is_err(), "a flipped bit at {at} was not noticed");
        assert!(
            matches!(Entry::decode(&good[..at]), Err(EntryError::Truncated { .. })),
            "a cut at {at} was not noticed"
        );
    }
}

#[test]
fn bytes_that_are_no_entry_of_this_version_are_refused_by_name() {
    let good = entry().encode(0).to_vec();
    let change = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        with_crc(bytes)
    };
    let short_head = |mut bytes: Vec<u8>| {
        bytes[24..28].copy_from_slice(&95u32.to_be_bytes());
        bytes
    };
    let mut left_over = Entry { commands: Vec::new(), ..entry() }.encode(0).to_vec();
    left_over.push(0);
    left_over[24..28].copy_from_slice(&98u32.to_be_bytes());
    let check = |bytes: &[u8], expect: EntryError| assert_eq!(Entry::decode(bytes), Err(expect));
    check(b"PAR1 is another format", EntryError::NotAnEntry);
    check(&change(4, 2), EntryError::NewerVersion { found: 2 });
    check(&change(4, 0), EntryError::Damaged("its version is 0"));
    check(&change(5, 2), EntryError::Damaged("it has flags that version 1 does not know"));
    check(&change(92, 0xff), EntryError::Damaged("its commands cannot be read"));
    check(&short_head(good.clone()), EntryError::Damaged("its head is shorter than the shortest"));
    check(&with_crc(left_over), EntryError::Damaged("bytes are left over behind its commands"));
    assert_eq!(Entry::peek_id(&change(4, 2)), Some(entry().id), "the id is read from newer versions too");
    assert_eq!(Entry::peek_id(&good[..23]), None);
    assert_eq!(Entry::peek_id(&[0; 64]), None);
}
