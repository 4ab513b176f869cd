//! The snapshot's bytes: golden bytes of a state with something of everything, and what becomes of bytes that are
//! no snapshot.

#[path = "apply/support.rs"]
#[allow(dead_code, reason = "the tests of apply use all of it")]
mod support;
mod text;

use ebb_metastore::{
    command::{
        ClassicGroup, ClassicMember, ClassicPart, Command, CommitFence, CommitOffsets, CommittedOffset,
        ConsumerGroup, ConsumerMember, Endpoint, GroupChange, ObjectRef, RecordCompaction, UpdateGroup, Work,
    },
    limits::{OFFSETS_CHECK_MS, OFFSETS_RETENTION_MS, PRODUCER_IDLE_MS},
    outcome::{BatchOutcome, Outcome},
    snapshot::{self, SnapshotError},
    state::State,
};
use ebb_protocol::ids::{
    ClusterId, HostId, LogPosition, Offset, PartitionIndex, ProducerEpoch, ProducerId, Timestamp,
};

use support::{
    World, appended, archive, batch, commit, commit_inline, create_topic, duplicate, entry, numbered,
    register, run, segment, topic,
};
use text::{hex, unhex};

const GOLDEN: &str = include_str!("golden/snapshot-v1.hex");

/// Registers an agent that listens on both transports and knows its host.
fn listening(agent: u128) -> Command {
    let mut command = register(agent, Some(9092));
    if let Command::RegisterAgent(said) = &mut command {
        said.quic = Some(Endpoint { host: "localhost".to_owned(), port: 9093 });
        said.host = Some(HostId(5));
    }
    command
}

/// A state in which nothing is empty.
fn world() -> World {
    let mut world = World::with_topic();
    let runs = |partition| vec![run(1, partition, 0, vec![batch(1)])];
    world.apply(entry(9, 0, 0, vec![Command::CreateCluster { cluster: ClusterId(7) }]), 0);
    for agent in [2, 3] {
        world.apply(entry(agent, 0, 0, vec![listening(agent)]), 0);
    }
    for _ in 0..2 {
        world.run(Command::InitProducer { current: None });
    }
    world.run(Command::InitProducer { current: Some((ProducerId(1), ProducerEpoch(0))) });
    world.run(Command::AlterTopicConfig { topic: topic(1), changes: vec![("k".into(), Some("v".into()))] });
    world.commit(0, vec![numbered(ProducerId(0), 0, 0, 2), numbered(ProducerId(0), 0, 2, 3)]);
    world.run_with_body(commit_inline(segment(2), runs(1)), 100);
    for forgotten in [true, false] {
        let id = segment(500 + u64::from(forgotten));
        world.run(commit(id, runs(2)));
        world.run(Command::DeleteRecords { topic: topic(1), partition: PartitionIndex(2), before: None });
        if forgotten {
            world.run(Command::ForgetObjects { objects: vec![ObjectRef::Segment(id)] });
        }
    }
    world.run(create_topic(2, "two", 1));
    world.run(Command::TruncateLog { below: LogPosition(3) });
    assert_eq!(world.run(Command::RaiseSweepBoundary { minted_before: Timestamp(400) }), Outcome::Done);
    add_groups(&mut world);
    add_archive(&mut world);
    world
}

/// A group of each protocol, and one that was deleted.
fn add_groups(world: &mut World) {
    // Agent 3 listens on more transports than others, and so it coordinates.
    let epoch = world.state.agents().find(|agent| agent.id.0 == 3).expect("agent 3 is live").epoch;
    let put =
        |group: &str, changes| Command::UpdateGroup(UpdateGroup { group: group.into(), version: 0, changes });
    let commit = |group: &str, fence| {
        let offset = CommittedOffset { offset: Offset(5), leader_epoch: 2, metadata: "at".to_owned() };
        let offsets = vec![(topic(1), PartitionIndex(1), offset)];
        Command::CommitOffsets(CommitOffsets { group: group.into(), fence, offsets })
    };
    let classic = ClassicGroup {
        protocol_type: "consumer".to_owned(),
        generation: 7,
        protocol: Some("range".to_owned()),
        leader: Some("m".into()),
    };
    let member =
        ClassicMember { client_id: "c".to_owned(), assignment: vec![1, 2], ..ClassicMember::default() };
    let consumer_member = ConsumerMember {
        epoch: 4,
        assigned: [(topic(1), vec![PartitionIndex(0), PartitionIndex(2)])].into(),
        classic: Some(ClassicPart::default()),
        ..ConsumerMember::default()
    };
    let consumer = ConsumerGroup { epoch: 4, assignment_epoch: 3 };
    let commands = vec![
        put("gone", vec![GroupChange::Consumer(consumer)]),
        Command::DeleteGroup { group: "gone".into() },
        put(
            "old",
            vec![GroupChange::Classic(classic), GroupChange::PutClassicMember("m".into(), Box::new(member))],
        ),
        put(
            "new",
            vec![
                GroupChange::Consumer(consumer),
                GroupChange::PutConsumerMember("n".into(), Box::new(consumer_member)),
            ],
        ),
        put("left", vec![GroupChange::Consumer(consumer)]),
        commit("old", CommitFence::Classic("m".into(), 7)),
        commit("new", CommitFence::Consumer("n".into(), 4)),
        commit("simple", CommitFence::Simple),
        Command::AlterGroupConfig { group: "set".into(), changes: vec![("k".into(), Some("v".into()))] },
    ];
    let outcomes = world.apply(entry(3, epoch.0, 1, commands), 0);
    assert!(outcomes.iter().all(|outcome| !matches!(outcome, Outcome::Refused(_))), "{outcomes:?}");
}

/// Archive files that are referenced, dead and forgotten, and claims.
fn add_archive(world: &mut World) {
    let files = [1_000, 1_001, 1_002].map(archive);
    for file in files {
        world.commit(2, vec![batch(2)]);
        let end = world.state.head(topic(1), PartitionIndex(2)).expect("it is there").high_watermark.0;
        let span = world.span(2, 0, end, 2);
        assert_eq!(world.publish(file, vec![span]), Outcome::Done);
        if file == files[1] {
            let objects = vec![ObjectRef::Archive(files[0])];
            assert_eq!(world.run(Command::ForgetObjects { objects }), Outcome::Done);
        }
    }
    let window = Work::Window { from: LogPosition(3), to: LogPosition(9) };
    for work in [window, Work::Topic(topic(1))] {
        let outcome = world.run(Command::ClaimWork { work, seen: None });
        assert!(matches!(outcome, Outcome::WorkClaimed { .. }), "{outcome:?}");
    }
    for (clean, mark) in [(1, true), (2, false)] {
        let clean = vec![(PartitionIndex(0), Offset(clean))];
        let record = RecordCompaction { topic: topic(1), clean, mark };
        assert_eq!(world.run(Command::RecordCompaction(record)), Outcome::Done);
    }
}

#[test]
fn version_1_is_written_as_the_golden_bytes() {
    assert_eq!(hex(&snapshot::encode(&world().state)), GOLDEN);
}

#[test]
fn version_1_is_read_from_the_golden_bytes() {
    let state = snapshot::decode(&unhex(GOLDEN)).expect("golden bytes are a snapshot");
    assert_eq!(state, world().state);
    // What snapshots leave out works again.
    let mut world = World { state, ..world() };
    assert_eq!(world.state.topic_id(&support::name("two")), Some(topic(2)));
    assert_eq!(world.commit(0, vec![numbered(ProducerId(0), 0, 2, 3)]), [duplicate(2)]);
    assert_eq!(world.commit(0, vec![batch(1)]), [appended(5)]);
    world.wait_until(world.time + PRODUCER_IDLE_MS.max(OFFSETS_RETENTION_MS + OFFSETS_CHECK_MS));
    world.run(create_topic(3, "three", 1));
    let [outcome] = world.commit(0, vec![numbered(ProducerId(0), 0, 5, 1)])[..] else { panic!("one batch") };
    assert!(matches!(outcome, BatchOutcome::Refused(_)), "the producer was idle for too long: {outcome:?}");
    let groups: Vec<_> = world.state.groups().map(|(id, _)| id.as_str()).collect();
    assert_eq!(groups, ["new", "old"], "groups without members were idle for too long");
    assert_eq!(world.state.unarchived().count(), 3, "segments and entries in commit order");
    world.run(Command::DeleteTopic { topic: topic(1) });
    assert!(world.state.groups().all(|(_, group)| group.offsets().next().is_none()));
}

#[test]
fn an_empty_state_is_a_snapshot_too() {
    let empty = State::default();
    assert_eq!(snapshot::decode(&snapshot::encode(&empty)), Ok(empty));
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let good = snapshot::encode(&world().state);
    for at in 0..good.len() {
        let mut bad = good.to_vec();
        bad[at] ^= 0x10;
        assert!(snapshot::decode(&bad).is_err(), "a flipped bit at {at} was not noticed");
        assert!(snapshot::decode(&good[..at]).is_err(), "a cut at {at} was not noticed");
    }
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let mut newer = unhex(GOLDEN);
    newer[4] = 2;
    let error = snapshot::decode(&newer).expect_err("version 2 does not exist yet");
    assert_eq!(error, SnapshotError::NewerVersion { found: 2 });
    assert_eq!(
        error.to_string(),
        "the snapshot has format version 2, this version knows up to 1: use a newer ebb"
    );
}
