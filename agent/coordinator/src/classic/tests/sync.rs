//! Assignments, heartbeats, commits, time-outs, and updates that fail.

use ebb_metastore::command::CommitFence;

use super::support::{Desk, REBALANCE_MS, SESSION_MS, again, joiner, leaving};
use crate::{ConsumerHeartbeat, Event, GroupError, Reply, StoreError, SyncRequest, classic::ClassicState};

/// A group whose members have joined generation 1 and must sync; a leads.
fn completing(names: &[&str]) -> Desk {
    let mut desk = Desk::new();
    for name in names {
        desk.join(joiner(name));
    }
    desk.pass(1_200);
    assert_eq!(desk.state(), ClassicState::CompletingRebalance);
    desk
}

#[test]
fn nobody_is_told_an_assignment_that_is_not_recorded() {
    let mut desk = completing(&["a", "b"]);
    desk.stores_at_once = false;
    let b = desk.sync("b", 1, &[]);
    let a = desk.sync("a", 1, &[("a", "x".to_owned()), ("stranger", "y".to_owned())]);
    assert!(desk.waits(a) && desk.waits(b));
    assert!(desk.members.is_empty());
    desk.store();
    assert_eq!(desk.synced(a).expect("a syncs").assignment, b"x");
    assert_eq!(desk.synced(b).expect("b syncs").assignment, b"", "the leader passed it over");
    assert_eq!(desk.members[&"a".into()].assignment, b"x");
    assert_eq!(desk.members.len(), 2);
    let again = desk.sync("a", 1, &[]);
    assert_eq!(desk.synced(again).expect("a is told again").assignment, b"x");
}

#[test]
fn syncs_and_heartbeats_that_are_refused() {
    let mut desk = completing(&["a", "b"]);
    let said = |member: &str, generation, protocol: Option<&str>, kind: Option<&str>| SyncRequest {
        member: member.into(),
        instance: None,
        generation,
        protocol_type: kind.map(str::to_owned),
        protocol: protocol.map(str::to_owned),
        assignments: vec![],
    };
    let cases = [
        (said("x", 1, None, None), GroupError::UnknownMember),
        (said("a", 0, None, None), GroupError::IllegalGeneration),
        (said("a", 2, None, None), GroupError::IllegalGeneration),
        (said("a", 1, Some("sticky"), None), GroupError::InconsistentProtocol),
        (said("a", 1, Some("range"), Some("connect")), GroupError::InconsistentProtocol),
        (
            SyncRequest { instance: Some("i".to_owned()), ..said("a", 1, None, None) },
            GroupError::UnknownMember,
        ),
    ];
    for (said, expected) in cases {
        let ticket = desk.sync_with(said.clone());
        assert_eq!(desk.synced(ticket), Err(expected), "{said:?}");
    }
    assert_eq!(desk.beat("a", 1), Ok(()), "heartbeats may begin before the assignment");
    assert_eq!(desk.beat("a", 0), Err(GroupError::IllegalGeneration));
    assert_eq!(desk.beat("x", 1), Err(GroupError::UnknownMember));
    desk.sync_all(&["a", "b"]);
    desk.join(joiner("c"));
    let ticket = desk.sync("a", 1, &[]);
    assert_eq!(desk.synced(ticket), Err(GroupError::RebalanceInProgress));
    assert_eq!(desk.beat("a", 1), Err(GroupError::RebalanceInProgress));
    let mut empty = Desk::new();
    assert_eq!(empty.beat("a", 0), Err(GroupError::UnknownMember));
    let ticket = empty.ticket();
    empty.handle(Event::ConsumerHeartbeat(ticket, ConsumerHeartbeat::default()));
    assert_eq!(empty.take_answer(ticket), Some(Reply::ConsumerHeartbeat(Err(GroupError::UnknownGroup))));
}

#[test]
fn a_leader_that_never_syncs_is_removed() {
    let mut desk = completing(&["a", "b"]);
    let b = desk.sync("b", 1, &[]);
    for _ in 0..REBALANCE_MS / 5_000 {
        let _ = desk.beat("a", 1);
        desk.pass(5_000);
    }
    assert_eq!(desk.synced(b), Err(GroupError::RebalanceInProgress));
    assert_eq!(desk.beat("a", 1), Err(GroupError::UnknownMember));
    let b = desk.join(again("b"));
    assert_eq!(desk.joined(b).expect("b joins").leader, "b");
}

#[test]
fn a_follower_that_never_syncs_is_removed_from_a_stable_group() {
    let mut desk = completing(&["a", "b"]);
    let a = desk.sync("a", 1, &[]);
    assert!(!desk.waits(a));
    for _ in 0..REBALANCE_MS / 5_000 {
        let _ = (desk.beat("a", 1), desk.beat("b", 1));
        desk.pass(5_000);
    }
    assert_eq!(desk.beat("b", 1), Err(GroupError::UnknownMember));
    assert_eq!(desk.beat("a", 1), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_silent_member_is_removed_and_a_waiting_one_is_not() {
    let mut desk = Desk::stable(&["a", "b"]);
    desk.pass(i64::from(SESSION_MS) - 1);
    assert_eq!(desk.beat("a", 1), Ok(()));
    desk.pass(1);
    assert_eq!(desk.beat("b", 1), Err(GroupError::UnknownMember));
    // The new member waits for longer than its session, since a does not come.
    let mut desk = Desk::stable(&["a", "b"]);
    let b = desk.join(joiner("c"));
    let waiting = desk.join(again("b"));
    for _ in 0..5 {
        let _ = desk.beat("a", 1);
        desk.pass(5_000);
    }
    assert!(desk.waits(waiting) && desk.waits(b));
}

#[test]
fn all_gone_is_an_empty_group() {
    let mut desk = Desk::stable(&["a", "b"]);
    desk.pass(i64::from(SESSION_MS));
    assert_eq!((desk.state(), desk.members.len()), (ClassicState::Empty, 0));
    assert!(desk.machine.is_idle());
    assert_eq!(desk.machine.next_deadline(), None);
}

#[test]
fn a_rebalance_overtakes_an_assignment_that_is_being_recorded() {
    let mut desk = completing(&["a", "b"]);
    desk.stores_at_once = false;
    let a = desk.sync("a", 1, &[("a", "x".to_owned())]);
    let c = desk.join(joiner("c"));
    assert_eq!(desk.synced(a), Err(GroupError::RebalanceInProgress));
    let a = desk.join(again("a"));
    let b = desk.join(again("b"));
    assert!(desk.waits(a), "the next generation begins when the update has ended");
    desk.store();
    for ticket in [a, b, c] {
        assert_eq!(desk.joined(ticket).expect("all have joined").generation, 2);
    }
    desk.stores_at_once = true;
    desk.sync_all(&["a", "b", "c"]);
}

#[test]
fn commits_are_fenced_by_what_is_recorded() {
    let mut desk = Desk::new();
    let commit = |desk: &mut Desk, name: &str, generation| {
        desk.machine.check_commit(desk.now, &name.into(), None, generation)
    };
    assert_eq!(commit(&mut desk, "", -1), Ok(CommitFence::Simple));
    assert_eq!(commit(&mut desk, "a", 1), Err(GroupError::UnknownMember));
    let mut desk = completing(&["a", "b"]);
    assert_eq!(commit(&mut desk, "a", 1), Err(GroupError::RebalanceInProgress));
    desk.sync_all(&["a", "b"]);
    let fence = |generation| Ok(CommitFence::Classic("a".into(), generation));
    assert_eq!(commit(&mut desk, "a", 1), fence(1));
    assert_eq!(commit(&mut desk, "a", 0), Err(GroupError::IllegalGeneration));
    assert_eq!(commit(&mut desk, "", -1), Err(GroupError::UnknownMember));
    let fenced = desk.machine.check_commit(desk.now, &"a".into(), Some("i"), 1);
    assert_eq!(fenced, Err(GroupError::UnknownMember));
    // While members rejoin, they commit what they have.
    desk.join(joiner("c"));
    assert_eq!(commit(&mut desk, "a", 1), fence(1));
    // A generation that is given up before it is assigned commits as the one before it.
    desk.join(again("a"));
    desk.join(again("b"));
    assert_eq!(desk.state(), ClassicState::CompletingRebalance);
    desk.join(joiner("d"));
    assert_eq!(commit(&mut desk, "a", 2), fence(1));
    assert_eq!(commit(&mut desk, "c", 2), Err(GroupError::RebalanceInProgress), "it is not recorded");
}

#[test]
fn a_commit_is_a_heartbeat() {
    let mut desk = Desk::stable(&["a"]);
    for _ in 0..4 {
        desk.pass(i64::from(SESSION_MS) - 1);
        assert!(desk.machine.check_commit(desk.now, &"a".into(), None, 1).is_ok());
    }
}

#[test]
fn all_who_wait_are_sent_away_when_an_update_is_lost() {
    let unavailable = StoreError::Unavailable("the log is away".to_owned());
    for (error, expected) in [
        (StoreError::Lost, GroupError::NotCoordinator),
        (unavailable, GroupError::Unavailable("the log is away".to_owned())),
    ] {
        let mut desk = completing(&["a", "b"]);
        desk.stores_at_once = false;
        let b = desk.sync("b", 1, &[]);
        let a = desk.sync("a", 1, &[]);
        let left = desk.leave(vec![leaving("x", None)]);
        desk.fail(error);
        assert_eq!(desk.synced(a), Err(expected.clone()));
        assert_eq!(desk.synced(b), Err(expected.clone()));
        assert!(!desk.waits(left));
        assert_eq!(desk.beat("a", 1), Err(expected.clone()));
        assert_eq!(desk.state(), ClassicState::Dead);
    }
}

#[test]
fn another_coordinator_goes_on_and_gives_all_their_time() {
    let mut desk = Desk::stable(&["a", "b"]);
    desk.pass(i64::from(SESSION_MS) - 1);
    desk.reload();
    desk.pass(i64::from(SESSION_MS) - 1);
    assert_eq!(desk.beat("a", 1), Ok(()));
    let b = desk.sync("b", 1, &[]);
    assert_eq!(desk.synced(b).expect("b syncs").assignment, b"b@1");
    let described = desk.machine.describe();
    assert_eq!((described.protocol.as_str(), described.members.len()), ("range", 2));
    assert_eq!(described.members[0].assignment, b"a@1");
}

#[test]
fn subscriptions_are_read_from_the_metadata() {
    let mut desk = Desk::stable(&["a"]);
    assert!(desk.machine.subscribes_to("t"));
    assert!(!desk.machine.subscribes_to("u"));
    desk.leave(vec![leaving("a", None)]);
    assert!(!desk.machine.subscribes_to("t"));
}
