//! The limits on groups: each refusal by its name, and what it would have changed stays as it was.

use ebb_metastore::{
    command::{ClassicMember, Command, CommitFence, CommitOffsets, CommittedOffset, GroupChange},
    limits::{
        CONFIGS_PER_GROUP_MAX, EXPIRIES_PER_ENTRY_MAX, GROUP_BYTES_MAX, GROUP_CONFIG_BYTES_MAX,
        GROUP_CONFIGS_MAX, GROUP_ID_BYTES_MAX, GROUPS_MAX, MEMBER_BYTES_MAX, MEMBERS_PER_GROUP_MAX,
        OFFSET_BYTES, OFFSET_METADATA_BYTES_MAX, OFFSETS_BYTES_PER_GROUP_MAX, OFFSETS_CHECK_MS,
        OFFSETS_PER_GROUP_MAX, PARTITIONS_PER_TOPIC_MAX,
    },
    outcome::{Outcome, Refusal},
};
use ebb_protocol::ids::{AgentId, PartitionIndex};

use crate::{
    groups::{
        check_snapshot, classic, commit, consumer, offset, put_classic, put_consumer, remove, update, updated,
    },
    support::{World, create_topic, entry, refused, topic},
};

fn member(bytes: usize) -> Box<ClassicMember> {
    Box::new(ClassicMember { assignment: vec![0; bytes], ..ClassicMember::default() })
}

#[test]
fn ids_and_metadata_have_a_length() {
    let mut world = World::with_topic();
    let id = |more| "g".repeat(GROUP_ID_BYTES_MAX + more);
    for (more, expect) in [(0, Outcome::Done), (1, refused(Refusal::Malformed))] {
        assert_eq!(world.run(commit(&id(more), CommitFence::Simple, &[(0, 1)])), expect);
    }
    assert_eq!(world.run(update(&id(0), 0, vec![classic(1)])), updated(1));
    assert_eq!(world.run(update(&id(1), 0, vec![classic(1)])), refused(Refusal::Malformed));
    let with = |bytes| {
        let long = CommittedOffset { metadata: "m".repeat(bytes), ..offset(1) };
        let offsets = vec![(topic(1), PartitionIndex(0), offset(7)), (topic(1), PartitionIndex(1), long)];
        Command::CommitOffsets(CommitOffsets { group: "m".into(), fence: CommitFence::Simple, offsets })
    };
    let too_large = refused(Refusal::OffsetMetadataTooLarge);
    assert_eq!(world.run(with(OFFSET_METADATA_BYTES_MAX + 1)), too_large);
    assert!(world.state.group(&"m".into()).is_none(), "all or nothing");
    assert_eq!(world.run(with(OFFSET_METADATA_BYTES_MAX)), Outcome::Done);
}

#[test]
fn members_are_limited_in_number() {
    let mut world = World::new();
    let members = |count: usize| (0..count).map(|n| put_consumer(&format!("m{n}"), 1));
    let all = |count| [consumer(1)].into_iter().chain(members(count)).collect();
    let full = refused(Refusal::GroupFull);
    assert_eq!(world.run(update("g", 0, all(MEMBERS_PER_GROUP_MAX + 1))), full);
    assert_eq!(world.run(update("g", 0, all(MEMBERS_PER_GROUP_MAX))), updated(1));
    assert_eq!(world.run(update("g", 1, vec![put_consumer("x", 1)])), full);
    assert_eq!(world.run(update("g", 1, vec![put_consumer("m1", 2)])), updated(2), "one that is there");
    assert_eq!(world.run(update("g", 2, vec![put_consumer("x", 1), remove("m1")])), updated(3));
    let members = world.state.group(&"g".into()).expect("it exists").body.members();
    assert_eq!(members, MEMBERS_PER_GROUP_MAX);
}

#[test]
fn members_are_limited_in_bytes() {
    let mut world = World::new();
    let put =
        |id: usize, bytes| GroupChange::PutClassicMember(format!("m{id}").as_str().into(), member(bytes));
    let too_large = refused(Refusal::GroupTooLarge);
    assert_eq!(world.run(update("g", 0, vec![classic(1), put(0, MEMBER_BYTES_MAX)])), too_large);
    let half = MEMBER_BYTES_MAX / 2;
    let fit = GROUP_BYTES_MAX / (half + 64);
    for id in 0..fit {
        let changes = vec![classic(1), put(id, half)];
        assert_eq!(world.run(update("g", id as u64, changes)), updated(id as u64 + 1), "member {id}");
    }
    let version = fit as u64;
    assert_eq!(world.run(update("g", version, vec![put(fit, half)])), too_large);
    assert_eq!(world.run(update("g", version, vec![put(0, half)])), updated(version + 1), "it does not grow");
    let swap = vec![remove("m0"), put(fit, half)];
    assert_eq!(world.run(update("g", version + 1, swap)), updated(version + 2));
    // Members of the other protocol count no more.
    assert_eq!(
        world.run(update("g", version + 2, vec![consumer(1), put_consumer("m", 1)])),
        updated(version + 3)
    );
    assert_eq!(world.run(update("g", version + 3, vec![classic(1), put(0, half)])), updated(version + 4));
}

#[test]
fn offsets_are_limited_in_number() {
    let mut world = World::new();
    let per_topic = PARTITIONS_PER_TOPIC_MAX;
    let topics = OFFSETS_PER_GROUP_MAX as u128 / u128::from(per_topic.unsigned_abs());
    let all = |topic_id: u128, fence| {
        let of = |partition| (topic(topic_id), PartitionIndex(partition), offset(1));
        let offsets = (0..per_topic).map(of).collect();
        Command::CommitOffsets(CommitOffsets { group: "g".into(), fence, offsets })
    };
    for id in 0..=topics {
        assert_eq!(world.run(create_topic(1 + id, &format!("t{id}"), per_topic)), Outcome::Done);
        let expect = if id < topics { Outcome::Done } else { refused(Refusal::GroupTooLarge) };
        assert_eq!(world.run(all(1 + id, CommitFence::Simple)), expect, "topic {id}");
    }
    assert_eq!(world.run(commit("g", CommitFence::Simple, &[(0, 9)])), Outcome::Done, "it does not grow");
    let group = world.state.group(&"g".into()).expect("it exists");
    assert_eq!(group.offsets().count(), OFFSETS_PER_GROUP_MAX);
}

/// Sets a key of a group's configuration, or takes it back.
fn configure(group: &str, key: &str, value: Option<&str>) -> Command {
    let changes = vec![(key.to_owned(), value.map(str::to_owned))];
    Command::AlterGroupConfig { group: group.into(), changes }
}

#[test]
fn a_groups_configuration_is_kept_whether_or_not_the_group_exists() {
    let mut world = World::new();
    let found = |world: &World| {
        let config = world.state.group_config(&"g".into()).cloned().unwrap_or_default();
        config.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
    };
    assert_eq!(world.run(configure("g", "a", Some("1"))), Outcome::Done);
    assert_eq!(world.run(configure("g", "b", Some("2"))), Outcome::Done);
    world.run(update("g", 0, vec![classic(1)]));
    world.run(Command::DeleteGroup { group: "g".into() });
    assert_eq!(found(&world), ["a=1", "b=2"]);
    check_snapshot(&world.state);
    assert_eq!(world.run(configure("g", "a", None)), Outcome::Done);
    assert_eq!(found(&world), ["b=2"]);
    world.run(configure("g", "b", None));
    assert_eq!(world.run(configure("g", "c", None)), Outcome::Done, "what is not set can be taken back");
    assert_eq!(world.state.configured_groups().count(), 0, "nothing is left of it");
}

#[test]
fn configurations_of_groups_are_limited() {
    let mut world = World::new();
    let malformed = refused(Refusal::Malformed);
    let long = "x".repeat(GROUP_CONFIG_BYTES_MAX + 1);
    assert_eq!(world.run(configure("g", "k", Some(&long))), malformed);
    assert_eq!(world.run(configure("g", &long, Some("v"))), malformed);
    assert_eq!(world.run(configure("", "k", Some("v"))), malformed);
    assert_eq!(world.run(configure(&"g".repeat(GROUP_ID_BYTES_MAX + 1), "k", Some("v"))), malformed);
    let keys = |count: usize| (0..count).map(|n| (format!("k{n}"), Some("v".to_owned()))).collect();
    let many = Command::AlterGroupConfig { group: "g".into(), changes: keys(CONFIGS_PER_GROUP_MAX + 1) };
    assert_eq!(world.run(many), malformed, "all or nothing");
    assert_eq!(world.state.group_config(&"g".into()), None);
    let commands = (0..GROUP_CONFIGS_MAX).map(|n| configure(&format!("g{n}"), "k", Some("v"))).collect();
    let number = world.state.next_number(AgentId(1)).expect("agent 1 is live");
    let outcomes = world.apply(entry(1, world.epoch.0, number, commands), 0);
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done));
    assert_eq!(world.run(configure("x", "k", Some("v"))), refused(Refusal::GroupConfigsFull));
    assert_eq!(world.run(configure("x", "k", None)), Outcome::Done);
    assert_eq!(world.run(configure("g7", "l", Some("v"))), Outcome::Done, "one that is there");
    assert_eq!(world.run(configure("g7", "k", None)), Outcome::Done);
    assert_eq!(world.run(configure("g7", "l", None)), Outcome::Done);
    assert_eq!(world.run(configure("x", "k", Some("v"))), Outcome::Done, "one made room");
}

#[test]
fn offsets_are_limited_in_bytes_and_leave_room_for_members() {
    let mut world = World::new();
    assert_eq!(world.run(create_topic(1, "t", PARTITIONS_PER_TOPIC_MAX)), Outcome::Done);
    let wordy = |partition, bytes| {
        let offset = CommittedOffset { metadata: "x".repeat(bytes), ..offset(1) };
        let offsets = vec![(topic(1), PartitionIndex(partition), offset)];
        let fence = CommitFence::Simple;
        Command::CommitOffsets(CommitOffsets { group: "g".into(), fence, offsets })
    };
    let fit = OFFSETS_BYTES_PER_GROUP_MAX / (OFFSET_METADATA_BYTES_MAX + OFFSET_BYTES);
    let fit = i32::try_from(fit).expect("it is small");
    for partition in 0..fit {
        assert_eq!(world.run(wordy(partition, OFFSET_METADATA_BYTES_MAX)), Outcome::Done, "{partition}");
    }
    let too_large = refused(Refusal::GroupTooLarge);
    assert_eq!(world.run(wordy(fit, OFFSET_METADATA_BYTES_MAX)), too_large);
    assert_eq!(world.run(wordy(0, OFFSET_METADATA_BYTES_MAX)), Outcome::Done, "it does not grow");
    let half = MEMBER_BYTES_MAX / 2;
    let put = |id: usize| GroupChange::PutClassicMember(format!("m{id}").as_str().into(), member(half));
    for id in 0..GROUP_BYTES_MAX / 2 / (half + 64) {
        let version = id as u64;
        assert_eq!(world.run(update("g", version, vec![classic(1), put(id)])), updated(version + 1));
    }
}

#[test]
fn groups_are_limited_in_number_and_expire_a_few_at_a_time() {
    let mut world = World::with_topic();
    let names = (0..GROUPS_MAX).map(|n| format!("g{n}"));
    let commands: Vec<_> = names.map(|name| update(&name, 0, vec![classic(1)])).collect();
    let outcomes = world.apply(entry(1, world.epoch.0, 1 + 1, commands), 0);
    assert!(outcomes.iter().all(|outcome| *outcome == updated(1)));
    let full = refused(Refusal::GroupsFull);
    assert_eq!(world.run(update("x", 0, vec![classic(1)])), full);
    assert_eq!(world.run(commit("x", CommitFence::Simple, &[(0, 1)])), full);
    assert_eq!(world.run(commit("x", CommitFence::Simple, &[])), full, "though nothing is left of it");
    assert_eq!(world.run(update("g7", 1, vec![classic(1), put_classic("m")])), updated(2), "one that exists");
    world.time += 2 * OFFSETS_CHECK_MS;
    world.run(Command::InitProducer { current: None });
    assert_eq!(world.state.groups().count(), GROUPS_MAX - EXPIRIES_PER_ENTRY_MAX);
    for _ in 0..GROUPS_MAX / EXPIRIES_PER_ENTRY_MAX {
        world.run(Command::InitProducer { current: None });
    }
    assert_eq!(world.state.groups().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["g7"]);
}
