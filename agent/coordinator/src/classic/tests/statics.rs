//! Static members (KIP-345, KIP-814).

use ebb_metastore::command::CommitFence;

use super::support::{Desk, REBALANCE_MS, SESSION_MS, again, joiner, leaving, starter, topics};
use crate::{GroupError, JoinRequest, SyncRequest, classic::ClassicState};

/// A stable group of the static members i (a, which leads) and j (b).
fn stable() -> Desk {
    let mut desk = Desk::new();
    desk.join(starter("i", "a"));
    desk.join(starter("j", "b"));
    desk.pass(1_200);
    desk.sync_all(&["a", "b"]);
    desk
}

#[test]
fn a_static_member_returns_and_nobody_notices() {
    let mut desk = stable();
    desk.stores_at_once = false;
    let b2 = desk.join(starter("j", "b2"));
    assert!(desk.waits(b2), "its id is not recorded yet");
    desk.store();
    let answer = desk.joined(b2).expect("j joins");
    assert_eq!((answer.member.as_str(), answer.generation, answer.leader.as_str()), ("b2", 1, "a"));
    assert_eq!(desk.state(), ClassicState::Stable);
    let synced = desk.sync("b2", 1, &[]);
    assert_eq!(desk.synced(synced).expect("j syncs").assignment, b"b@1", "it has what it had");
    assert!(desk.members.contains_key(&"b2".into()) && !desk.members.contains_key(&"b".into()));
    assert_eq!(desk.beat("a", 1), Ok(()));
}

#[test]
fn the_old_id_is_fenced() {
    let mut desk = stable();
    desk.join(starter("j", "b2"));
    let old = JoinRequest { member: Some("b".into()), ..starter("j", "b") };
    let old = desk.join(old);
    assert_eq!(desk.joined(old), Err(GroupError::FencedInstance));
    let sync = desk.sync_with(SyncRequest {
        member: "b".into(),
        instance: Some("j".to_owned()),
        generation: 1,
        protocol_type: None,
        protocol: None,
        assignments: vec![],
    });
    assert_eq!(desk.synced(sync), Err(GroupError::FencedInstance));
    let commit = desk.machine.check_commit(desk.now, &"b".into(), Some("j"), 1);
    assert_eq!(commit, Err(GroupError::FencedInstance));
    let left = desk.leave(vec![leaving("b", Some("j"))]);
    assert_eq!(desk.left(left).expect("it is answered").members, [Err(GroupError::FencedInstance)]);
    assert_eq!(desk.beat("b", 1), Err(GroupError::UnknownMember), "without its instance id it is a stranger");
}

#[test]
fn a_leader_that_returns_need_not_assign_again() {
    let mut desk = stable();
    let a2 = desk.join(starter("i", "a2"));
    let answer = desk.joined(a2).expect("i joins");
    assert!(answer.skip_assignment);
    assert_eq!((answer.leader.as_str(), answer.members.len()), ("a2", 2));
    assert_eq!(desk.shared.clone().expect("it is recorded").leader, Some("a2".into()));
    // A client that does not know of it must not think that it leads.
    let a3 = desk.join(JoinRequest { supports_skipping_assignment: false, ..starter("i", "a3") });
    let answer = desk.joined(a3).expect("i joins");
    assert_eq!((answer.leader.as_str(), answer.members.len(), answer.skip_assignment), ("a2", 0, false));
}

#[test]
fn a_static_member_that_wants_something_else_is_a_rebalance() {
    let mut desk = stable();
    let protocols = vec![("range".to_owned(), topics(&["u"]))];
    let b2 = desk.join(JoinRequest { protocols, ..starter("j", "b2") });
    assert_eq!(desk.state(), ClassicState::PreparingRebalance);
    let a = desk.join(JoinRequest { instance: Some("i".to_owned()), ..again("a") });
    assert_eq!(desk.joined(a).expect("i joins").generation, 2);
    assert_eq!(desk.joined(b2).expect("j joins").generation, 2);
}

#[test]
fn a_new_id_is_recorded_before_it_is_told_in_a_rebalance_too() {
    let mut desk = stable();
    let c = desk.join(joiner("c"));
    desk.stores_at_once = false;
    let b2 = desk.join(starter("j", "b2"));
    let a = desk.join(JoinRequest { instance: Some("i".to_owned()), ..again("a") });
    assert!(desk.waits(a) && desk.waits(b2) && desk.waits(c));
    desk.store();
    assert_eq!(desk.members[&"b2".into()].assignment, b"b@1", "with what it had");
    for ticket in [a, b2, c] {
        assert_eq!(desk.joined(ticket).expect("all have joined").generation, 2);
    }
}

#[test]
fn an_instance_that_starts_twice_keeps_the_later() {
    let mut desk = Desk::new();
    let first = desk.join(starter("i", "a"));
    let second = desk.join(starter("i", "a2"));
    assert_eq!(desk.joined(first), Err(GroupError::FencedInstance));
    desk.pass(1_200);
    assert_eq!(desk.joined(second).expect("i joins").leader, "a2");
}

#[test]
fn a_static_member_that_returns_while_the_leader_assigns_has_it_begin_anew() {
    let mut desk = Desk::new();
    desk.join(starter("i", "a"));
    desk.join(starter("j", "b"));
    desk.pass(1_200);
    let b = desk.sync("b", 1, &[]);
    desk.join(starter("j", "b2"));
    assert_eq!(desk.synced(b), Err(GroupError::FencedInstance));
    assert_eq!(desk.state(), ClassicState::PreparingRebalance);
}

#[test]
fn a_static_member_that_returns_while_a_generation_is_recorded_keeps_what_that_gives_it() {
    let mut desk = stable();
    desk.join(joiner("c"));
    desk.join(JoinRequest { instance: Some("i".to_owned()), ..again("a") });
    desk.join(JoinRequest { instance: Some("j".to_owned()), ..again("b") });
    desk.stores_at_once = false;
    desk.sync("a", 2, &[("b", "half of b".to_owned()), ("c", "the other half".to_owned())]);
    let b2 = desk.join(starter("j", "b2"));
    // The generation first, then the new id.
    desk.store();
    desk.store();
    assert_eq!(desk.members[&"b2".into()].assignment, b"half of b", "what it had before is c's in part");
    assert!(!desk.members.contains_key(&"b".into()));
    assert!(desk.waits(b2), "the others are to join again");
    // Another coordinator tells it the same.
    desk.stores_at_once = true;
    desk.reload();
    let b3 = desk.join(starter("j", "b3"));
    assert_eq!(desk.joined(b3).expect("j joins").generation, 2);
    let synced = desk.sync("b3", 2, &[]);
    assert_eq!(desk.synced(synced).expect("j syncs").assignment, b"half of b");
}

#[test]
fn the_others_commit_while_a_new_id_is_recorded() {
    let mut desk = stable();
    desk.stores_at_once = false;
    let b2 = desk.join(starter("j", "b2"));
    let commit = |desk: &mut Desk, id: &str| desk.machine.check_commit(desk.now, &id.into(), None, 1);
    assert_eq!(commit(&mut desk, "a"), Ok(CommitFence::Classic("a".into(), 1)));
    assert_eq!(commit(&mut desk, "b2"), Err(GroupError::RebalanceInProgress), "it is not recorded yet");
    desk.store();
    assert_eq!(desk.joined(b2).expect("j joins").generation, 1);
    assert_eq!(commit(&mut desk, "b2"), Ok(CommitFence::Classic("b2".into(), 1)));
}

#[test]
fn a_static_member_stays_until_its_session_ends() {
    let mut desk = stable();
    desk.pass(i64::from(SESSION_MS) / 2);
    let c = desk.join(JoinRequest { rebalance_timeout_ms: 1_000, ..joiner("c") });
    for _ in 0..REBALANCE_MS / 5_000 {
        let _ = (desk.beat("a", 1), desk.beat("b", 1));
        desk.pass(5_000);
    }
    let answer = desk.joined(c).expect("c joins");
    assert_eq!(
        (answer.leader.as_str(), answer.members.len()),
        ("c", 3),
        "those are there that did not rejoin"
    );
}

#[test]
fn administrators_remove_static_members_by_their_instance() {
    let mut desk = stable();
    let left = desk.leave(vec![leaving("", Some("i")), leaving("b", Some("j"))]);
    assert_eq!(desk.left(left).expect("both have left").members, [Ok(()), Ok(())]);
    assert_eq!((desk.state(), desk.members.len()), (ClassicState::Empty, 0));
}
