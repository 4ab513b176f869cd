//! Groups: who coordinates, updates and their versions, commits and their fences, deletion, expiry.

use ebb_metastore::{
    command::{
        ClassicGroup, ClassicMember, Command, CommitFence, CommitOffsets, CommittedOffset, ConsumerGroup,
        ConsumerMember, DeleteOffsets, GroupChange, UpdateGroup,
    },
    limits::{OFFSETS_CHECK_MS, OFFSETS_RETENTION_MS},
    outcome::{Outcome, Refusal},
    snapshot,
    state::{GroupBody, State},
};
use ebb_protocol::ids::{AgentId, GroupId, MemberId, Offset, PartitionIndex};

use crate::support::{World, create_topic, entry, refused, register, topic};

pub(crate) fn update(group: &str, version: u64, changes: Vec<GroupChange>) -> Command {
    Command::UpdateGroup(UpdateGroup { group: group.into(), version, changes })
}

pub(crate) fn updated(version: u64) -> Outcome {
    Outcome::GroupUpdated { version }
}

pub(crate) fn classic(generation: i32) -> GroupChange {
    GroupChange::Classic(ClassicGroup { generation, ..ClassicGroup::default() })
}

pub(crate) fn put_classic(id: &str) -> GroupChange {
    GroupChange::PutClassicMember(id.into(), Box::default())
}

pub(crate) fn consumer(epoch: i32) -> GroupChange {
    GroupChange::Consumer(ConsumerGroup { epoch, assignment_epoch: epoch })
}

pub(crate) fn put_consumer(id: &str, epoch: i32) -> GroupChange {
    GroupChange::PutConsumerMember(id.into(), Box::new(ConsumerMember { epoch, ..ConsumerMember::default() }))
}

pub(crate) fn remove(id: &str) -> GroupChange {
    GroupChange::RemoveMember(id.into())
}

pub(crate) fn offset(offset: i64) -> CommittedOffset {
    CommittedOffset { offset: Offset(offset), leader_epoch: -1, metadata: String::new() }
}

/// Commits offsets of partitions of topic 1.
pub(crate) fn commit(group: &str, fence: CommitFence, offsets: &[(i32, i64)]) -> Command {
    let of = |(partition, at): &(i32, i64)| (topic(1), PartitionIndex(*partition), offset(*at));
    let offsets = offsets.iter().map(of).collect();
    Command::CommitOffsets(CommitOffsets { group: group.into(), fence, offsets })
}

fn delete_offsets(group: &str, partitions: &[i32]) -> Command {
    let partitions = partitions.iter().map(|partition| (topic(1), PartitionIndex(*partition))).collect();
    Command::DeleteOffsets(DeleteOffsets { group: group.into(), partitions })
}

fn delete(group: &str) -> Command {
    Command::DeleteGroup { group: group.into() }
}

/// All offsets of a group in topic 1.
fn committed(state: &State, group: &str) -> Vec<(i32, i64)> {
    let group = GroupId::from(group);
    let offsets: Vec<_> = state.group(&group).into_iter().flat_map(|group| group.offsets()).collect();
    for (topic, partition, offset) in &offsets {
        assert_eq!(state.committed(&group, *topic, *partition), Some(*offset));
    }
    offsets.iter().map(|(_, partition, offset)| (partition.0, offset.offset.0)).collect()
}

fn names(state: &State) -> Vec<&str> {
    state.groups().map(|(id, _)| id.as_str()).collect()
}

/// What snapshots leave out is what they make again.
pub(crate) fn check_snapshot(state: &State) {
    assert_eq!(snapshot::decode(&snapshot::encode(state)).as_ref(), Ok(state));
}

/// A world with agents 1 to 4 on brokers 0 to 3; agent 4 listens nowhere.
fn cluster() -> World {
    let mut world = World { time: 1_000, ..World::default() };
    for agent in 1..=4 {
        let port = (agent < 4).then(|| 9_000 + u16::try_from(agent).expect("there are four"));
        world.apply(entry(agent, 0, 0, vec![register(agent, port)]), 0);
    }
    world
}

#[test]
fn the_hash_that_chooses_coordinators_is_a_format() {
    let world = cluster();
    let broker = |group: &str| world.state.coordinator(&group.into()).expect("agents are live").broker.0;
    let groups = ["", "a", "b", "c", "flights", "console-consumer-12345", "connect-cluster", "ä"];
    assert_eq!(groups.map(broker), [2, 1, 1, 1, 0, 0, 1, 0]);
    assert!(State::default().coordinator(&"a".into()).is_none());
}

#[test]
fn only_the_groups_of_an_agent_that_goes_move_and_they_spread() {
    let mut world = cluster();
    let groups: Vec<GroupId> = (0..3_000).map(|n| format!("group-{n}").as_str().into()).collect();
    let all = |state: &State| -> Vec<u128> {
        let of = |group| state.coordinator(group).expect("agents are live").id.0;
        groups.iter().map(of).collect()
    };
    let before = all(&world.state);
    for agent in 1..=3 {
        let count = before.iter().filter(|of| **of == agent).count();
        assert!((900..1_100).contains(&count), "agent {agent} has {count} of 3,000");
    }
    assert!(!before.contains(&4), "clients do not reach agent 4");
    world.apply(entry(1, 1, 1, vec![Command::SealAgent { agent: AgentId(2) }]), 0);
    let after = all(&world.state);
    for (before, after) in before.iter().zip(&after) {
        assert!(if *before == 2 { *after != 2 } else { before == after });
    }
    // A restarted agent takes its old address.
    world.apply(entry(5, 0, 0, vec![register(5, Some(9_002))]), 0);
    let back: Vec<_> = all(&world.state).iter().map(|of| if *of == 5 { 2 } else { *of }).collect();
    assert_eq!(back, before);
}

#[test]
fn an_agent_that_listens_nowhere_coordinates_nothing() {
    let mut world = World { time: 1_000, ..World::default() };
    world.apply(entry(1, 0, 0, vec![register(1, None)]), 0);
    assert!(world.state.coordinator(&"g".into()).is_none());
    let outcomes = world.apply(entry(1, 1, 1, vec![update("g", 0, vec![classic(1)])]), 0);
    assert_eq!(outcomes, [refused(Refusal::NotCoordinator)]);
    world.apply(entry(2, 0, 0, vec![register(2, Some(9_002))]), 0);
    assert_eq!(world.state.coordinator(&"g".into()).map(|agent| agent.id), Some(AgentId(2)));
}

#[test]
fn only_the_coordinator_changes_a_group() {
    let mut world = cluster();
    let holder = world.state.coordinator(&"g".into()).expect("agents are live").id;
    let commands = || {
        vec![
            update("g", 0, vec![classic(1)]),
            commit("g", CommitFence::Simple, &[(0, 5)]),
            delete_offsets("g", &[0]),
            delete("g"),
        ]
    };
    for agent in [1, 2, 3, 4].map(AgentId).into_iter().filter(|agent| *agent != holder) {
        let number = world.state.next_number(agent).expect("it is live");
        let epoch = world.state.agents().find(|live| live.id == agent).expect("it is live").epoch;
        let outcomes = world.apply(entry(agent.0, epoch.0, number, commands()), 0);
        assert_eq!(outcomes, vec![refused(Refusal::NotCoordinator); 4]);
    }
    assert_eq!(names(&world.state), [""; 0]);
    let epoch = world.state.agents().find(|live| live.id == holder).expect("it is live").epoch;
    let outcomes = world.apply(entry(holder.0, epoch.0, 1, commands()), 0);
    assert_eq!(outcomes, [updated(1), Outcome::Done, Outcome::Done, Outcome::Done]);
}

#[test]
fn updates_follow_each_other() {
    let mut world = World::with_topic();
    let mut check = |version, changes, expect| assert_eq!(world.run(update("g", version, changes)), expect);
    check(1, vec![classic(1)], refused(Refusal::StaleGroup));
    check(0, vec![], refused(Refusal::Malformed));
    check(0, vec![put_classic("m")], refused(Refusal::Malformed));
    check(0, vec![remove("m")], refused(Refusal::Malformed));
    check(0, vec![classic(1), put_consumer("m", 1)], refused(Refusal::Malformed));
    check(0, vec![classic(1), put_classic("m"), put_classic("n"), remove("x")], updated(1));
    check(0, vec![classic(1)], refused(Refusal::StaleGroup));
    check(1, vec![classic(2), remove("n"), put_consumer("m", 1)], refused(Refusal::Malformed));
    check(1, vec![], updated(2));
    let body = |world: &World| world.state.group(&"g".into()).expect("it was created").body.clone();
    let GroupBody::Classic(shared, members) = body(&world) else { panic!("it is a classic group") };
    assert_eq!((shared.generation, members.len()), (1, 2), "what was refused changed nothing");
    // Each protocol drops the members of the other.
    let migrate =
        vec![put_classic("o"), consumer(3), put_consumer("m", 3), put_consumer("p", 3), remove("p")];
    assert_eq!(world.run(update("g", 2, migrate)), updated(3));
    let GroupBody::Consumer(shared, members) = body(&world) else { panic!("it is a consumer group") };
    assert_eq!((shared.epoch, members.keys().collect::<Vec<_>>()), (3, vec![&MemberId::from("m")]));
    assert_eq!(world.run(update("g", 3, vec![consumer(4), classic(1), put_classic("a")])), updated(4));
    assert!(matches!(body(&world), GroupBody::Classic(_, members) if members.len() == 1));
    check_snapshot(&world.state);
}

#[test]
fn a_version_is_never_used_again() {
    let mut world = World::with_topic();
    assert_eq!(world.run(update("g", 0, vec![classic(1)])), updated(1));
    assert_eq!(world.run(update("g", 1, vec![classic(2)])), updated(2));
    assert_eq!(world.run(delete("g")), Outcome::Done);
    assert_eq!(world.run(update("g", 0, vec![classic(1)])), updated(3));
    assert_eq!(world.run(update("g", 2, vec![classic(3)])), refused(Refusal::StaleGroup), "from old memory");
    check_snapshot(&world.state);
    assert_eq!(world.run(commit("simple", CommitFence::Simple, &[(0, 1)])), Outcome::Done);
    assert_eq!(world.run(update("simple", 0, vec![classic(1)])), updated(3), "it was not updated before");
}

#[test]
fn commits_come_from_current_members() {
    let mut world = World::with_topic();
    let generation = |member: &str, generation| CommitFence::Classic(member.into(), generation);
    let epoch = |member: &str, epoch| CommitFence::Consumer(member.into(), epoch);
    let mut put = |group: &str, version, changes| {
        assert_eq!(world.run(update(group, version, changes)), updated(version + 1));
    };
    put("classic", 0, vec![classic(7), put_classic("m")]);
    put("consumer", 0, vec![consumer(9), put_consumer("m", 8), put_consumer("n", 9)]);
    put("left", 0, vec![classic(3)]);
    for (group, fence, expect) in [
        ("classic", generation("m", 7), Outcome::Done),
        ("classic", generation("m", 6), refused(Refusal::StaleMember)),
        ("classic", generation("n", 7), refused(Refusal::UnknownMember)),
        ("classic", CommitFence::Simple, refused(Refusal::UnknownMember)),
        ("consumer", epoch("m", 8), Outcome::Done),
        ("consumer", epoch("n", 8), refused(Refusal::StaleMember)),
        ("consumer", epoch("x", 9), refused(Refusal::UnknownMember)),
        // A member that speaks the classic protocol in a consumer group (online migration).
        ("consumer", generation("n", 9), Outcome::Done),
        ("consumer", CommitFence::Simple, refused(Refusal::UnknownMember)),
        ("left", generation("m", 3), refused(Refusal::UnknownMember)),
        ("left", CommitFence::Simple, Outcome::Done),
        ("none", generation("m", 1), refused(Refusal::UnknownGroup)),
        ("none", CommitFence::Simple, Outcome::Done),
        ("none", generation("m", 1), refused(Refusal::UnknownMember)),
    ] {
        let command = commit(group, fence.clone(), &[(0, 1), (2, 3)]);
        assert_eq!(world.run(command), expect, "{group} {fence:?}");
    }
    for group in ["classic", "consumer", "left", "none"] {
        assert_eq!(committed(&world.state, group), [(0, 1), (2, 3)], "{group}");
    }
}

#[test]
fn offsets_of_partitions_that_do_not_exist_are_passed_over() {
    let mut world = World::with_topic();
    let simple = |offsets| commit("g", CommitFence::Simple, offsets);
    assert_eq!(world.run(simple(&[(3, 1), (-1, 1)])), Outcome::Done);
    assert_eq!(names(&world.state), [""; 0], "a simple group is nothing but its offsets");
    assert_eq!(world.run(simple(&[(0, 1), (7, 1), (0, 2), (1, -5)])), Outcome::Done);
    assert_eq!(committed(&world.state, "g"), [(0, 2), (1, -5)], "the last one counts");
    check_snapshot(&world.state);
}

#[test]
fn groups_and_offsets_are_deleted() {
    let mut world = World::with_topic();
    assert_eq!(world.run(update("busy", 0, vec![classic(1), put_classic("m")])), updated(1));
    let offsets = &[(0, 1), (1, 2), (2, 3)];
    world.run(commit("busy", CommitFence::Classic("m".into(), 1), offsets));
    world.run(commit("simple", CommitFence::Simple, offsets));
    for (command, expect) in [
        (delete("busy"), refused(Refusal::GroupNotEmpty)),
        (delete("none"), refused(Refusal::UnknownGroup)),
        (delete_offsets("none", &[0]), refused(Refusal::UnknownGroup)),
        (delete_offsets("busy", &[0, 0, 9]), Outcome::Done),
        (delete_offsets("simple", &[1, 2]), Outcome::Done),
    ] {
        assert_eq!(world.run(command.clone()), expect, "{command:?}");
    }
    assert_eq!(committed(&world.state, "busy"), [(1, 2), (2, 3)]);
    assert_eq!(committed(&world.state, "simple"), [(0, 1)]);
    check_snapshot(&world.state);
    assert_eq!(world.run(delete_offsets("busy", &[1, 2])), Outcome::Done);
    assert_eq!(world.run(delete_offsets("simple", &[0])), Outcome::Done);
    assert_eq!(names(&world.state), ["busy"], "a simple group is nothing but its offsets");
    assert_eq!(world.run(update("busy", 1, vec![remove("m")])), updated(2));
    assert_eq!(world.run(delete("busy")), Outcome::Done);
    check_snapshot(&world.state);
}

#[test]
fn offsets_go_with_their_topic() {
    let mut world = World::with_topic();
    world.run(create_topic(2, "two", 1));
    world.run(update("busy", 0, vec![consumer(1), put_consumer("m", 1)]));
    world.run(commit("simple", CommitFence::Simple, &[(0, 1)]));
    let both = CommitOffsets {
        group: "busy".into(),
        fence: CommitFence::Consumer("m".into(), 1),
        offsets: vec![(topic(1), PartitionIndex(0), offset(1)), (topic(2), PartitionIndex(0), offset(2))],
    };
    assert_eq!(world.run(Command::CommitOffsets(both)), Outcome::Done);
    assert_eq!(world.run(Command::DeleteTopic { topic: topic(1) }), Outcome::Done);
    assert_eq!(names(&world.state), ["busy"]);
    assert_eq!(committed(&world.state, "busy"), [(0, 2)]);
    check_snapshot(&world.state);
    // A topic made anew under the old name is another one.
    world.run(create_topic(3, "one", 1));
    assert_eq!(committed(&world.state, "busy"), [(0, 2)]);
}

/// Lets time pass, and entries with it.
fn wait_until(world: &mut World, time: i64) {
    world.wait_until(time);
    check_snapshot(&world.state);
}

#[test]
fn offsets_of_a_group_without_members_expire_together() {
    let mut world = World::with_topic();
    let begin = world.time;
    world.run(update("g", 0, vec![classic(1), put_classic("m")]));
    world.run(commit("g", CommitFence::Classic("m".into(), 1), &[(0, 1), (1, 2)]));
    wait_until(&mut world, begin + 3 * OFFSETS_RETENTION_MS);
    assert_eq!(committed(&world.state, "g").len(), 2, "while it has members nothing expires");
    let left = world.time;
    assert_eq!(world.run(update("g", 1, vec![remove("m")])), updated(2));
    wait_until(&mut world, left + OFFSETS_RETENTION_MS - 1);
    assert_eq!(committed(&world.state, "g").len(), 2);
    // Somebody resets an offset: a sign of life.
    let reset = world.time;
    assert_eq!(world.run(commit("g", CommitFence::Simple, &[(0, 0)])), Outcome::Done);
    wait_until(&mut world, reset + OFFSETS_RETENTION_MS - 1);
    assert_eq!(committed(&world.state, "g"), [(0, 0), (1, 2)]);
    wait_until(&mut world, reset + OFFSETS_RETENTION_MS + OFFSETS_CHECK_MS);
    assert_eq!(names(&world.state), [""; 0]);
    assert_eq!(
        world.run(update("g", 0, vec![classic(1)])),
        updated(3),
        "and its versions are not used again"
    );
}

#[test]
fn a_group_with_neither_members_nor_offsets_goes_soon() {
    let mut world = World::with_topic();
    let begin = world.time;
    world.run(update("g", 0, vec![consumer(1), put_consumer("m", 1)]));
    world.run(update("g", 1, vec![remove("m")]));
    wait_until(&mut world, begin + OFFSETS_CHECK_MS - 1);
    assert_eq!(names(&world.state), ["g"]);
    wait_until(&mut world, begin + 2 * OFFSETS_CHECK_MS);
    assert_eq!(names(&world.state), [""; 0]);
}

#[test]
fn offsets_of_a_simple_group_expire_one_by_one() {
    let mut world = World::with_topic();
    let begin = world.time;
    world.run(commit("g", CommitFence::Simple, &[(0, 1), (1, 1)]));
    world.wait_until(begin + OFFSETS_RETENTION_MS / 2);
    world.run(commit("g", CommitFence::Simple, &[(1, 2)]));
    wait_until(&mut world, begin + OFFSETS_RETENTION_MS - 1);
    assert_eq!(committed(&world.state, "g"), [(0, 1), (1, 2)]);
    wait_until(&mut world, begin + OFFSETS_RETENTION_MS + OFFSETS_CHECK_MS);
    assert_eq!(committed(&world.state, "g"), [(1, 2)]);
    wait_until(&mut world, begin + OFFSETS_RETENTION_MS * 3 / 2 + OFFSETS_CHECK_MS);
    assert_eq!(names(&world.state), [""; 0]);
}

#[test]
fn a_member_that_has_gone_is_unknown() {
    let member = ClassicMember { client_id: "c".to_owned(), ..ClassicMember::default() };
    let mut world = World::with_topic();
    let put = GroupChange::PutClassicMember("m".into(), Box::new(member.clone()));
    world.run(update("g", 0, vec![classic(1), put]));
    let found = world.state.group(&"g".into()).map(|group| &group.body);
    let Some(GroupBody::Classic(_, members)) = found else { panic!("{found:?}") };
    assert_eq!(members.get(&MemberId::from("m")), Some(&member));
    world.run(update("g", 1, vec![remove("m")]));
    let fence = CommitFence::Classic("m".into(), 1);
    assert_eq!(world.run(commit("g", fence, &[(0, 1)])), refused(Refusal::UnknownMember));
}
