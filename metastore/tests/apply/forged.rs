//! Entries that decode but were never written by an agent: whatever they say, `apply` answers every command, and the
//! state stays one that a snapshot can hold.

use ebb_metastore::{
    command::{Command, CommitFence, DeleteOffsets, ObjectRef},
    entry::Entry,
    snapshot,
};
use ebb_protocol::ids::{
    AgentId, ByteRange, LogPosition, Offset, PartitionIndex, ProducerEpoch, ProducerId, Timestamp,
};
use proptest::{collection::vec, prelude::*};

use crate::groups;
use crate::support::{
    World, batch, commit, commit_inline, create_topic, entry, numbered, run, segment, topic,
};

fn commands() -> Vec<Command> {
    let id = ProducerId(0);
    let runs = || vec![run(1, 0, 0, vec![batch(1), numbered(id, 0, 0, 2)]), run(1, 1, 200, vec![batch(3)])];
    let partition = PartitionIndex(0);
    vec![
        Command::InitProducer { current: None },
        Command::InitProducer { current: Some((id, ProducerEpoch(0))) },
        commit(segment(900), runs()),
        commit_inline(segment(901), runs()),
        commit(segment(902), runs()),
        Command::DeleteRecords { topic: topic(1), partition, before: Some(Offset(2)) },
        Command::CreatePartitions { topic: topic(1), total: 5 },
        Command::AlterTopicConfig { topic: topic(1), changes: vec![("k".to_owned(), Some("v".to_owned()))] },
        create_topic(2, "two", 2),
        groups::commit("simple", CommitFence::Simple, &[(0, 1), (1, 2)]),
        groups::update("old", 0, vec![groups::classic(1), groups::put_classic("m")]),
        groups::update("new", 0, vec![groups::consumer(1), groups::put_consumer("m", 1)]),
        groups::commit("old", CommitFence::Classic("m".into(), 1), &[(0, 1), (2, 2)]),
        groups::commit("new", CommitFence::Consumer("m".into(), 1), &[(0, 1), (0, 2)]),
        groups::update("old", 1, vec![groups::remove("m")]),
        Command::DeleteOffsets(DeleteOffsets {
            group: "new".into(),
            partitions: vec![(topic(1), partition)],
        }),
        Command::DeleteGroup { group: "old".into() },
        Command::AlterGroupConfig {
            group: "old".into(),
            changes: vec![("k".to_owned(), Some("v".to_owned()))],
        },
        Command::DeleteTopic { topic: topic(1) },
        Command::TruncateLog { below: LogPosition(2) },
        Command::RaiseSweepBoundary { minted_before: Timestamp(800) },
        Command::ForgetObjects { objects: vec![ObjectRef::Segment(segment(900))] },
        Command::SealAgent { agent: AgentId(1) },
    ]
}

/// The head of an entry with bytes of its time and commands overwritten, under a checksum that holds.
fn forge(entry: &Entry, changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut head = entry.encode(300).to_vec();
    let covered = head.len() - 4;
    for (at, byte) in changes {
        head[68 + at.index(covered - 68)] = *byte;
    }
    let crc = crc32c::crc32c(&head[..covered]).to_be_bytes();
    head[covered..].copy_from_slice(&crc);
    head
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_entry_that_decodes_can_be_applied(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        body_start in prop_oneof![Just(1_000), any::<u64>()],
        body_len in prop_oneof![Just(300), any::<u64>()],
    ) {
        let mut world = World::with_topic();
        let number = world.state.next_number(AgentId(1)).expect("agent 1 is live");
        let honest = entry(1, world.epoch.0, number, commands());
        if let Ok((forged, _)) = Entry::decode(&forge(&honest, &changes)) {
            let body = ByteRange { start: body_start, len: body_len };
            let outcomes = world.state.apply(world.state.position(), &forged, body);
            prop_assert_eq!(outcomes.len(), forged.commands.len());
            let read = snapshot::decode(&snapshot::encode(&world.state));
            prop_assert_eq!(read, Ok(world.state));
        }
    }
}
