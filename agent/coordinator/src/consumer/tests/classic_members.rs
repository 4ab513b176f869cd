//! Members of the classic protocol in a consumer group, and the way from one protocol to the other.

use std::collections::BTreeMap;

use ebb_metastore::command::{ClassicGroup, ClassicMember, CommitFence, GroupChange};
use ebb_protocol::ids::MemberId;

use super::support::{Desk, beat, join, owns};
use crate::{
    ClassicHeartbeat, Event, GroupError, JoinAnswer, JoinRequest, LeaveRequest, LeavingMember, Reply,
    SyncAnswer, SyncRequest,
    consumer::{ConsumerConfig, ConsumerMachine, LEAVE, limits::SAID_BYTES_MAX, partitions::to_set},
    consumer_protocol::{decode_assignment, encode_assignment},
};

/// The metadata of a member that subscribes to `t` and owns some of it, in version 1.
fn metadata(owned: &[i32]) -> Vec<u8> {
    let mut bytes = b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff".to_vec();
    // The owned partitions have the form of an assignment between its version and its user data.
    let encoded = encode_assignment(1, &[("t".to_owned(), owned.to_vec())]);
    bytes.extend_from_slice(&encoded[2..encoded.len() - 4]);
    bytes
}

fn join_request(member: Option<&str>, owned: &[i32]) -> JoinRequest {
    JoinRequest {
        member: member.map(MemberId::from),
        fresh_member: "fresh".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), metadata(owned))],
        ..JoinRequest::default()
    }
}

fn rejoin(desk: &mut Desk, said: JoinRequest) -> Result<JoinAnswer, GroupError> {
    match desk.reply(|ticket| Event::Join(ticket, said)) {
        Reply::Join(result) => result,
        other => panic!("{other:?}"),
    }
}

fn sync_request(member: &str, generation: i32) -> SyncRequest {
    SyncRequest {
        member: MemberId::from(member),
        instance: None,
        generation,
        protocol_type: None,
        protocol: None,
        assignments: Vec::new(),
    }
}

fn sync(desk: &mut Desk, said: SyncRequest) -> Result<Vec<i32>, GroupError> {
    match desk.reply(|ticket| Event::Sync(ticket, said)) {
        Reply::Sync(Ok(SyncAnswer { protocol_type, protocol, assignment })) => {
            assert_eq!((protocol_type.as_str(), protocol.as_str()), ("consumer", "range"));
            let lists = decode_assignment(&assignment).expect("it can be read");
            Ok(lists.into_iter().flat_map(|(_, partitions)| partitions).collect())
        }
        Reply::Sync(Err(error)) => Err(error),
        other => panic!("{other:?}"),
    }
}

fn classic_beat(desk: &mut Desk, member: &str, generation: i32) -> Result<(), GroupError> {
    let said = ClassicHeartbeat { member: MemberId::from(member), instance: None, generation };
    match desk.reply(|ticket| Event::Heartbeat(ticket, said)) {
        Reply::Heartbeat(result) => result,
        other => panic!("{other:?}"),
    }
}

fn leave(desk: &mut Desk, member: &str) -> Result<(), GroupError> {
    let leaving = LeavingMember { member: member.to_owned(), instance: None };
    match desk.reply(|ticket| Event::Leave(ticket, LeaveRequest { members: vec![leaving] })) {
        Reply::Leave(Ok(answer)) => answer.members[0].clone(),
        other => panic!("{other:?}"),
    }
}

/// A group with topic `t` of four partitions, of which `a` (KIP-848) and `c` (classic) own two each, at epoch 2.
fn mixed() -> Desk {
    let mut desk = Desk::new();
    desk.cluster.put("t", 4);
    desk.ask(join("a", &["t"])).expect("a joins");
    let answer = rejoin(&mut desk, join_request(Some("c"), &[])).expect("c joins");
    assert_eq!((answer.generation, answer.protocol.as_str()), (2, "range"));
    assert_eq!(sync(&mut desk, sync_request("c", 2)), Ok(vec![]), "nothing is free yet");
    assert_eq!(classic_beat(&mut desk, "c", 2), Ok(()));
    let kept = desk.ask(beat("a", 1)).ok().and_then(|answer| answer.assignment).expect("a gives up two");
    desk.ask(owns("a", 1, kept)).expect("a has given up");
    assert_eq!(
        classic_beat(&mut desk, "c", 2),
        Err(GroupError::RebalanceInProgress),
        "there is something for it"
    );
    assert_eq!(rejoin(&mut desk, join_request(Some("c"), &[])).map(|answer| answer.generation), Ok(2));
    assert_eq!(sync(&mut desk, sync_request("c", 2)).map(|owned| owned.len()), Ok(2));
    assert_eq!(classic_beat(&mut desk, "c", 2), Ok(()));
    desk
}

fn owned_by(desk: &Desk, member: &str) -> Vec<i32> {
    let record = &desk.machine.members[&MemberId::from(member)].record;
    to_set(&record.assigned).into_iter().map(|partition| partition.partition.0).collect()
}

#[test]
fn a_classic_member_shares_with_one_of_the_new_protocol() {
    let mut desk = mixed();
    let c = MemberId::from("c");
    assert_eq!(desk.machine.check_commit(&c, 2), Ok(CommitFence::Consumer(c.clone(), 2)));
    assert_eq!(desk.machine.check_commit(&c, 1), Err(GroupError::IllegalGeneration));
    // When a third one comes, c gives up by joining again without what it must not have.
    desk.ask(join("d", &["t"])).expect("d joins");
    let owned = owned_by(&desk, "c");
    assert_eq!(classic_beat(&mut desk, "c", 2), Err(GroupError::RebalanceInProgress));
    let generation = rejoin(&mut desk, join_request(Some("c"), &owned)).expect("c joins again").generation;
    let kept = sync(&mut desk, sync_request("c", generation)).expect("it learns what it keeps");
    let generation = rejoin(&mut desk, join_request(Some("c"), &kept)).expect("c has given up").generation;
    assert_eq!(generation, 3);
    assert_eq!(sync(&mut desk, sync_request("c", 3)), Ok(kept));
}

#[test]
fn a_classic_member_leaves_and_frees_what_it_had() {
    let mut desk = mixed();
    assert_eq!(leave(&mut desk, "a"), Err(GroupError::UnknownMember), "a leaves by its own protocol");
    assert_eq!(leave(&mut desk, "x"), Err(GroupError::UnknownMember));
    assert_eq!(leave(&mut desk, "c"), Ok(()));
    desk.ask(beat("a", 2)).expect("a goes on");
    assert_eq!(owned_by(&desk, "a").len(), 4);
}

#[test]
fn a_classic_member_must_be_heard_of_and_act() {
    let mut desk = mixed();
    desk.sleep(10_000);
    desk.store();
    assert_eq!(classic_beat(&mut desk, "c", 2), Err(GroupError::UnknownMember), "silent for its own 10 s");

    let mut desk = mixed();
    desk.ask(join("d", &["t"])).expect("d joins");
    for _ in 0..4 {
        assert_eq!(classic_beat(&mut desk, "c", 2), Err(GroupError::RebalanceInProgress));
        desk.sleep(5_000);
    }
    desk.store();
    assert_eq!(
        classic_beat(&mut desk, "c", 2),
        Err(GroupError::UnknownMember),
        "it has not joined again in 20 s"
    );
}

#[test]
fn what_waits_for_an_update_is_heard_before_its_member_is_late() {
    let mut desk = mixed();
    desk.sleep(9_000);
    desk.ask(beat("a", 2)).expect("a goes on");
    desk.send(join("d", &["t"]));
    assert!(desk.is_storing());
    let said = ClassicHeartbeat { member: MemberId::from("c"), instance: None, generation: 2 };
    let waits = desk.request(|ticket| Event::Heartbeat(ticket, said));
    desk.sleep(2_000);
    desk.store();
    desk.store();
    assert_eq!(desk.take(waits), Some(Reply::Heartbeat(Err(GroupError::RebalanceInProgress))));
    assert_eq!(desk.members.len(), 3, "c was heard of in time");
}

#[test]
fn classic_requests_that_do_not_fit_are_refused() {
    let mut desk = mixed();
    let mut check = |said: JoinRequest, error: GroupError| assert_eq!(rejoin(&mut desk, said), Err(error));
    let with = |change: &dyn Fn(&mut JoinRequest)| {
        let mut said = join_request(None, &[]);
        change(&mut said);
        said
    };
    check(
        with(&|said| said.requires_known_member = true),
        GroupError::MemberIdRequired(MemberId::from("fresh")),
    );
    check(with(&|said| said.session_timeout_ms = 1), GroupError::InvalidSessionTimeout);
    let too_long = GroupError::InvalidRequest("MemberId and InstanceId must not be that long.");
    check(with(&|said| said.instance = Some("i".repeat(2_000))), too_long.clone());
    check(with(&|said| said.member = Some(MemberId::from("m".repeat(2_000).as_str()))), too_long);
    check(with(&|said| said.protocol_type = "connect".to_owned()), GroupError::InconsistentProtocol);
    check(with(&|said| said.protocols[0].0 = "sticky".to_owned()), GroupError::InconsistentProtocol);
    check(with(&|said| said.protocols[0].1.clear()), GroupError::InconsistentProtocol);
    check(with(&|said| said.protocols.clear()), GroupError::InconsistentProtocol);
    assert_eq!(sync(&mut desk, sync_request("c", 1)), Err(GroupError::IllegalGeneration));
    assert_eq!(sync(&mut desk, sync_request("a", 2)), Err(GroupError::UnknownMember));
    let other = SyncRequest { protocol: Some("sticky".to_owned()), ..sync_request("c", 2) };
    assert_eq!(sync(&mut desk, other), Err(GroupError::InconsistentProtocol));
    assert_eq!(classic_beat(&mut desk, "c", 3), Err(GroupError::IllegalGeneration));
}

#[test]
fn a_static_classic_member_is_replaced_and_the_old_one_fenced() {
    let mut desk = mixed();
    let said =
        |member: Option<&str>| JoinRequest { instance: Some("i".to_owned()), ..join_request(member, &[]) };
    let first = rejoin(&mut desk, said(None)).expect("a static member joins").member;
    let next = JoinRequest { fresh_member: "next".to_owned(), ..said(None) };
    assert_eq!(rejoin(&mut desk, next).map(|answer| answer.member), Ok("next".to_owned()));
    assert_eq!(rejoin(&mut desk, said(Some(&first))), Err(GroupError::FencedInstance));
    let old = SyncRequest { instance: Some("i".to_owned()), ..sync_request(&first, 3) };
    assert_eq!(sync(&mut desk, old), Err(GroupError::FencedInstance));
    // One of the new protocol takes the place without waiting.
    let heir = crate::ConsumerHeartbeat { instance: Some("i".to_owned()), ..join("heir", &["t"]) };
    assert!(desk.ask(heir).is_ok());
}

/// A classic group of members `b` and `c` with two partitions each, at generation 7.
fn classic() -> (ClassicGroup, BTreeMap<MemberId, ClassicMember>) {
    let member = |owned: &[i32]| ClassicMember {
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        protocols: vec![("range".to_owned(), metadata(&[]))],
        assignment: encode_assignment(1, &[("t".to_owned(), owned.to_vec())]),
        ..ClassicMember::default()
    };
    let shared = ClassicGroup {
        protocol_type: "consumer".to_owned(),
        generation: 7,
        protocol: Some("range".to_owned()),
        leader: Some(MemberId::from("b")),
    };
    (shared, [(MemberId::from("b"), member(&[0, 1])), (MemberId::from("c"), member(&[2, 3]))].into())
}

#[test]
fn a_classic_group_becomes_a_consumer_group_and_back() {
    let (shared, members) = classic();
    let mut desk = Desk::new();
    desk.cluster.put("t", 4);
    let upgraded =
        ConsumerMachine::from_classic(&shared, &members, ConsumerConfig::default(), desk.now, &desk.cluster);
    desk.machine = upgraded.expect("the members are consumers");
    assert_eq!(desk.machine.as_classic(&desk.cluster), Some((shared, members)), "nothing is lost on the way");
    let effects = {
        let said = join("a", &["t"]);
        desk.machine.handle(desk.now, Event::ConsumerHeartbeat(crate::Ticket(0), said), &desk.cluster)
    };
    let changes = effects.store.expect("the group is recorded whole");
    assert!(
        matches!(changes[..2], [GroupChange::Classic(_), GroupChange::Consumer(_)]),
        "which drops what was"
    );
    assert_eq!(changes.len(), 5);
    desk.machine.handle(desk.now, Event::Stored(Ok(())), &desk.cluster);
    assert_eq!(desk.machine.as_classic(&desk.cluster), None);
    assert_eq!(owned_by(&desk, "b"), [0, 1], "both keep what they have until they join again");
    let bye = Event::ConsumerHeartbeat(crate::Ticket(1), beat("a", LEAVE));
    assert!(desk.machine.handle(desk.now, bye, &desk.cluster).store.is_some());
    desk.machine.handle(desk.now, Event::Stored(Ok(())), &desk.cluster);
    let (shared, members) = desk.machine.as_classic(&desk.cluster).expect("all members are classic again");
    assert_eq!((shared.generation, members.len()), (9, 2), "generations go on where epochs ended");
}

#[test]
fn only_groups_of_consumers_are_migrated() {
    let desk = Desk::new();
    let config = ConsumerConfig::default();
    let upgrade = |shared: &ClassicGroup, members: &BTreeMap<MemberId, ClassicMember>, config| {
        ConsumerMachine::from_classic(shared, members, config, desk.now, &desk.cluster).is_some()
    };
    let (shared, members) = classic();
    assert!(upgrade(&shared, &members, config));
    assert!(!upgrade(
        &ClassicGroup { protocol_type: "connect".to_owned(), ..shared.clone() },
        &members,
        config
    ));
    assert!(!upgrade(&shared, &members, ConsumerConfig { members_max: 1, ..config }));
    let mut broken = members;
    broken.values_mut().for_each(|member| member.protocols[0].1.truncate(3));
    assert!(!upgrade(&shared, &broken, config));
}

#[test]
fn what_a_leader_assigned_counts_as_far_as_it_exists() {
    let (shared, mut members) = classic();
    let assigned = [("t".to_owned(), vec![-1, 3, 4, i32::MAX, i32::MIN, 3]), ("gone".to_owned(), vec![0])];
    let c = members.get_mut(&MemberId::from("c")).expect("c is a member");
    c.assignment = encode_assignment(1, &assigned);
    let mut desk = Desk::new();
    desk.cluster.put("t", 4);
    let upgraded =
        ConsumerMachine::from_classic(&shared, &members, ConsumerConfig::default(), desk.now, &desk.cluster);
    desk.machine = upgraded.expect("the members are consumers");
    assert_eq!(owned_by(&desk, "c"), [3]);
}

#[test]
fn a_group_that_is_too_large_is_not_migrated() {
    let (shared, mut members) = classic();
    let mut desk = Desk::new();
    desk.cluster.put("t", 4);
    let upgrades = |members: &BTreeMap<MemberId, ClassicMember>| {
        let config = ConsumerConfig { members_max: 100, ..ConsumerConfig::default() };
        ConsumerMachine::from_classic(&shared, members, config, desk.now, &desk.cluster).is_some()
    };
    let large = |bytes: usize| {
        let mut metadata = metadata(&[]);
        metadata.resize(bytes, 0);
        ClassicMember { protocols: vec![("range".to_owned(), metadata)], ..ClassicMember::default() }
    };
    members.insert(MemberId::from("d"), large(400 << 10));
    assert!(upgrades(&members));
    members.insert(MemberId::from("d"), large(SAID_BYTES_MAX));
    assert!(!upgrades(&members), "one member is too large");
    for number in 0..12 {
        members.insert(MemberId::from(format!("d{number}").as_str()), large(400 << 10));
    }
    members.remove(&MemberId::from("d"));
    assert!(!upgrades(&members), "all together are");
}
