//! Joining: ids, limits, the initial delay, and who must rejoin.

use super::support::{Desk, REBALANCE_MS, SESSION_MS, again, config, joiner, leaving, topics};
use crate::{
    GroupError, JoinRequest,
    classic::{ClassicConfig, ClassicState},
};

#[test]
fn members_that_start_together_make_one_generation() {
    let mut desk = Desk::new();
    let a = desk.join(joiner("a"));
    desk.pass(400);
    let b = desk.join(joiner("b"));
    desk.pass(200);
    assert!(desk.waits(a), "b has extended the wait");
    desk.pass(400);
    let (a, b) = (desk.joined(a).expect("a joins"), desk.joined(b).expect("b joins"));
    assert_eq!((a.generation, b.generation, a.leader.as_str(), b.leader.as_str()), (1, 1, "a", "a"));
    assert_eq!((a.members.len(), b.members.len()), (2, 0), "the leader alone sees the members");
    assert_eq!(a.members[1].metadata, topics(&["t"]));
    desk.sync_all(&["a", "b"]);
    assert_eq!(desk.updates, 1);
}

#[test]
fn the_initial_delay_ends_with_the_rebalance_timeout() {
    let mut desk = Desk::with(ClassicConfig { members_max: 1_000, ..config() });
    let first = desk.join(JoinRequest { rebalance_timeout_ms: 2_000, ..joiner("m") });
    for index in 0..9 {
        desk.pass(250);
        desk.join(JoinRequest { rebalance_timeout_ms: 2_000, ..joiner(&format!("m{index}")) });
    }
    assert!(!desk.waits(first));
}

#[test]
fn a_member_gets_its_id_first_and_joins_with_it() {
    let mut desk = Desk::new();
    let knowing = |said| JoinRequest { requires_known_member: true, ..said };
    let a = desk.join(knowing(joiner("a")));
    assert_eq!(desk.joined(a), Err(GroupError::MemberIdRequired("a".into())));
    assert!(!desk.machine.is_idle(), "its id must not be forgotten");
    let a = desk.join(knowing(again("a")));
    desk.pass(500);
    assert_eq!(desk.joined(a).expect("a joins").generation, 1);
    // A rebalance waits for those who got their ids, until the session time-out.
    desk.sync_all(&["a"]);
    desk.join(knowing(joiner("b")));
    let a = desk.join(again("a"));
    assert!(desk.waits(a));
    desk.pass(i64::from(SESSION_MS));
    assert_eq!(desk.joined(a).expect("b is given up").generation, 2);
    let late = desk.join(knowing(again("b")));
    assert_eq!(desk.joined(late), Err(GroupError::UnknownMember));
}

#[test]
fn joins_that_are_refused() {
    let refused = |said: JoinRequest| {
        let mut desk = Desk::stable(&["a", "b"]);
        let ticket = desk.join(said);
        let error = desk.joined(ticket).expect_err("it is refused");
        assert_eq!(desk.state(), ClassicState::Stable, "the group does not notice");
        error
    };
    let timeout = |session_timeout_ms| JoinRequest { session_timeout_ms, ..joiner("c") };
    assert_eq!(refused(timeout(5_999)), GroupError::InvalidSessionTimeout);
    assert_eq!(refused(timeout(1_800_001)), GroupError::InvalidSessionTimeout);
    assert_eq!(refused(again("stranger")), GroupError::UnknownMember);
    let protocols = |name: &str| JoinRequest { protocols: vec![(name.to_owned(), vec![])], ..joiner("c") };
    assert_eq!(refused(protocols("sticky")), GroupError::InconsistentProtocol);
    assert_eq!(refused(JoinRequest { protocols: vec![], ..joiner("c") }), GroupError::InconsistentProtocol);
    let other = JoinRequest { protocol_type: "connect".to_owned(), ..joiner("c") };
    assert_eq!(refused(other), GroupError::InconsistentProtocol);
    let unknown = JoinRequest { instance: Some("i".to_owned()), ..again("a") };
    assert_eq!(refused(unknown), GroupError::UnknownMember);
    let large = JoinRequest { protocols: vec![("range".to_owned(), vec![0; 1 << 20])], ..joiner("c") };
    assert!(matches!(refused(large), GroupError::InvalidRequest(_)));
}

#[test]
fn a_group_has_so_many_members() {
    let mut desk = Desk::stable(&["a", "b", "c", "d"]);
    let e = desk.join(joiner("e"));
    assert_eq!(desk.joined(e), Err(GroupError::GroupFull));
    assert_eq!(desk.beat("a", 1), Ok(()));
}

#[test]
fn the_protocol_most_members_want_is_chosen_of_those_that_all_speak() {
    let speaks = |member: &str, names: &[&str]| JoinRequest {
        protocols: names.iter().map(|name| ((*name).to_owned(), vec![])).collect(),
        ..joiner(member)
    };
    let mut desk = Desk::new();
    let a = desk.join(speaks("a", &["only-a", "range", "sticky"]));
    desk.join(speaks("b", &["sticky", "range"]));
    desk.join(speaks("c", &["sticky", "range"]));
    desk.pass(1_200);
    assert_eq!(desk.joined(a).expect("a joins").protocol, "sticky");
}

#[test]
fn a_new_member_has_the_others_join_again() {
    let mut desk = Desk::stable(&["a", "b"]);
    let c = desk.join(joiner("c"));
    assert_eq!(desk.beat("a", 1), Err(GroupError::RebalanceInProgress));
    let a = desk.join(again("a"));
    assert!(desk.waits(a));
    let b = desk.join(again("b"));
    for ticket in [a, b, c] {
        assert_eq!(desk.joined(ticket).expect("all have joined").generation, 2);
    }
    desk.sync_all(&["a", "b", "c"]);
    assert_eq!(desk.updates, 2);
}

#[test]
fn a_member_that_does_not_rejoin_is_out() {
    let mut desk = Desk::stable(&["a", "b"]);
    let c = desk.join(joiner("c"));
    let b = desk.join(again("b"));
    // The leader is alive, and yet it does not join.
    for _ in 0..REBALANCE_MS / 5_000 {
        let _ = desk.beat("a", 1);
        desk.pass(5_000);
    }
    assert_eq!(desk.joined(b).expect("b joins").leader, "b", "another one leads");
    assert_eq!(desk.joined(c).expect("c joins").generation, 2);
    assert_eq!(desk.beat("a", 1), Err(GroupError::UnknownMember));
    desk.sync_all(&["b", "c"]);
    assert!(!desk.members.contains_key(&"a".into()), "it is not recorded any more");
}

#[test]
fn joining_again_with_the_same_metadata_answers_again() {
    let mut desk = Desk::stable(&["a", "b"]);
    let b = desk.join(again("b"));
    assert_eq!(desk.joined(b).expect("b is told again").generation, 1);
    assert_eq!(desk.state(), ClassicState::Stable);
    // The leader asks for a rebalance by it.
    let a = desk.join(again("a"));
    assert_eq!(desk.state(), ClassicState::PreparingRebalance);
    let b = desk.join(again("b"));
    assert_eq!(desk.joined(a).expect("a joins").members.len(), 2);
    assert_eq!(desk.joined(b).expect("b joins").generation, 2);
    // Before the assignment too, the leader's included.
    let a = desk.join(again("a"));
    assert_eq!(desk.joined(a).expect("a is told again").members.len(), 2);
    assert_eq!(desk.state(), ClassicState::CompletingRebalance);
    // And with other metadata it is a rebalance.
    let other = vec![("range".to_owned(), topics(&["u"]))];
    desk.join(JoinRequest { protocols: other, ..again("b") });
    assert_eq!(desk.state(), ClassicState::PreparingRebalance);
}

#[test]
fn of_two_joins_of_a_member_the_later_is_answered_with_the_generation() {
    let mut desk = Desk::stable(&["a", "b"]);
    let first = desk.join(again("a"));
    let second = desk.join(again("a"));
    assert_eq!(desk.joined(first), Err(GroupError::RebalanceInProgress));
    desk.join(again("b"));
    assert_eq!(desk.joined(second).expect("a joins").generation, 2);
}

#[test]
fn a_member_that_leaves_makes_room() {
    let mut desk = Desk::stable(&["a", "b", "c"]);
    let left = desk.leave(vec![leaving("a", None), leaving("x", None), leaving("", Some("i"))]);
    let left = desk.left(left).expect("each has its own result").members;
    assert_eq!(left, [Ok(()), Err(GroupError::UnknownMember), Err(GroupError::UnknownMember)]);
    let b = desk.join(again("b"));
    let c = desk.join(again("c"));
    assert_eq!(desk.joined(b).expect("b joins").leader, "b");
    assert!(!desk.waits(c));
}

#[test]
fn the_last_one_is_told_when_the_group_is_recorded_as_empty() {
    let mut desk = Desk::stable(&["a"]);
    desk.stores_at_once = false;
    let left = desk.leave(vec![leaving("a", None)]);
    assert!(desk.waits(left));
    assert!(!desk.machine.is_idle());
    desk.store();
    assert_eq!(desk.left(left).expect("a has left").members, [Ok(())]);
    assert!(desk.machine.is_idle());
    let shared = desk.shared.clone().expect("the group is recorded");
    assert_eq!((shared.generation, shared.protocol, shared.leader), (2, None, None));
    assert!(desk.members.is_empty());
    desk.reload();
    desk.stores_at_once = true;
    let a = desk.join(joiner("a"));
    desk.pass(500);
    assert_eq!(desk.joined(a).expect("a joins").generation, 3, "generations go on");
}

#[test]
fn the_last_one_waits_for_nobody_who_may_come_yet() {
    let mut desk = Desk::stable(&["a"]);
    let c = desk.join(JoinRequest { requires_known_member: true, ..joiner("c") });
    assert_eq!(desk.joined(c), Err(GroupError::MemberIdRequired("c".into())));
    let left = desk.leave(vec![leaving("a", None)]);
    assert_eq!(desk.left(left).expect("a has left").members, [Ok(())]);
    assert_eq!(desk.state(), ClassicState::Empty);
    // The id is good for as long as before, and the wait for first members ends with the last of them.
    let c = desk.join(again("c"));
    let left = desk.leave(vec![leaving("c", None)]);
    assert_eq!(desk.left(left).expect("c has left").members, [Ok(())]);
    assert_eq!(desk.joined(c), Err(GroupError::UnknownMember));
    assert_eq!(desk.state(), ClassicState::Empty);
}

#[test]
fn a_pending_member_that_leaves_is_not_waited_for() {
    let mut desk = Desk::stable(&["a"]);
    desk.join(JoinRequest { requires_known_member: true, ..joiner("b") });
    let a = desk.join(again("a"));
    assert!(desk.waits(a));
    let left = desk.leave(vec![leaving("b", None)]);
    assert_eq!(desk.left(left).expect("b has left").members, [Ok(())]);
    assert!(!desk.waits(a));
}

#[test]
fn a_hundred_members_make_one_update() {
    let mut desk = Desk::with(ClassicConfig::default());
    let names: Vec<String> = (0..100).map(|index| format!("m{index:03}")).collect();
    for name in &names {
        desk.join(JoinRequest { requires_known_member: true, ..joiner(name) });
        desk.join(JoinRequest { requires_known_member: true, ..again(name) });
        desk.pass(5);
    }
    desk.pass(1_000);
    // Six partitions for each, as far as the group cares.
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    desk.sync_all(&names);
    assert_eq!((desk.updates, desk.members.len()), (1, 100));
}
