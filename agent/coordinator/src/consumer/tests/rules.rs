//! The rules of KIP-848 one by one.

use ebb_metastore::{
    command::{CommitFence, Partitions},
    state::group_config::GroupSettings,
};
use ebb_protocol::ids::MemberId;

use super::support::{Desk, beat, join, owns};
use crate::{
    ConsumerHeartbeat, GroupError, HeartbeatAnswer,
    consumer::{ConsumerConfig, ConsumerState, LEAVE, LEAVE_FOR_A_WHILE},
};

/// A group with a topic `t` of four partitions.
fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.cluster.put("t", 4);
    desk
}

/// A group with members `a` and `b` that own two partitions each, at epoch 2.
fn pair() -> Desk {
    let mut desk = desk();
    ok(&mut desk, join("a", &["t"]));
    ok(&mut desk, join("b", &["t"]));
    let kept = ok(&mut desk, beat("a", 1)).assignment.expect("a must give up two");
    ok(&mut desk, owns("a", 1, kept));
    let answer = ok(&mut desk, beat("b", 2));
    assert_eq!(answer.assignment.map(|partitions| count(&partitions)), Some(2));
    assert_eq!(desk.machine.describe().state, ConsumerState::Stable);
    desk
}

fn count(partitions: &Partitions) -> usize {
    partitions.values().map(Vec::len).sum()
}

#[track_caller]
fn ok(desk: &mut Desk, said: ConsumerHeartbeat) -> HeartbeatAnswer {
    desk.ask(said).expect("the group takes the request")
}

#[track_caller]
fn refused(desk: &mut Desk, said: ConsumerHeartbeat, error: GroupError) {
    let updates = desk.updates;
    assert_eq!(desk.ask(said), Err(error));
    assert_eq!(desk.updates, updates, "a refusal records nothing");
}

fn leave(member: &str) -> ConsumerHeartbeat {
    beat(member, LEAVE)
}

fn with_instance(instance: &str, said: ConsumerHeartbeat) -> ConsumerHeartbeat {
    ConsumerHeartbeat { instance: Some(instance.to_owned()), ..said }
}

#[test]
fn requests_that_contradict_themselves_are_refused() {
    let mut desk = pair();
    let mut check =
        |said: ConsumerHeartbeat, reason| refused(&mut desk, said, GroupError::InvalidRequest(reason));
    let nobody = |said: ConsumerHeartbeat| ConsumerHeartbeat { member: None, ..said };
    check(nobody(beat("", 1)), "MemberId can't be empty.");
    check(beat("", 1), "MemberId can't be empty.");
    check(nobody(leave("")), "MemberId can't be empty.");
    check(beat("a", LEAVE_FOR_A_WHILE), "InstanceId can't be null.");
    check(beat("a", -3), "MemberEpoch is invalid.");
    check(with_instance("", join("c", &["t"])), "InstanceId can't be empty.");
    check(ConsumerHeartbeat { rack: Some(String::new()), ..join("c", &["t"]) }, "RackId can't be empty.");
    check(
        ConsumerHeartbeat { rebalance_timeout_ms: -1, ..join("c", &["t"]) },
        "RebalanceTimeoutMs must be provided in first request.",
    );
    let must_be_empty = "TopicPartitions must be empty when (re-)joining.";
    check(ConsumerHeartbeat { owned: None, ..join("c", &["t"]) }, must_be_empty);
    let owned = desk.cluster.list("t", &[0]);
    let mut check =
        |said: ConsumerHeartbeat, reason| refused(&mut desk, said, GroupError::InvalidRequest(reason));
    check(ConsumerHeartbeat { owned: Some(owned), ..join("c", &["t"]) }, must_be_empty);
    check(
        ConsumerHeartbeat { topics: None, ..join("c", &["t"]) },
        "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
    );
    check(join(&"x".repeat(2_000), &["t"]), "MemberId and InstanceId must not be that long.");
    check(join("c", &["x".repeat(300_000).as_str()]), "SubscribedTopicNames must not be that many.");
    let sticky = ConsumerHeartbeat { assignor: Some("sticky".to_owned()), ..join("c", &["t"]) };
    refused(&mut desk, sticky, GroupError::UnsupportedAssignor("sticky".to_owned()));
    let regex = ConsumerHeartbeat { regex: Some("(".to_owned()), ..join("c", &[]) };
    assert!(matches!(desk.ask(regex), Err(GroupError::InvalidRegularExpression(_))));
    assert_eq!(desk.machine.describe().members.len(), 2, "nobody has joined");
}

#[test]
fn the_first_member_gets_everything_and_then_nothing_new() {
    let mut desk = desk();
    let answer = ok(&mut desk, join("a", &["t", "unknown"]));
    let all = desk.cluster.list("t", &[0, 1, 2, 3]);
    let expected =
        HeartbeatAnswer { member: "a".to_owned(), epoch: 1, interval_ms: 500, assignment: Some(all.clone()) };
    assert_eq!(answer, expected);
    assert_eq!(desk.updates, 1);
    let answer = ok(&mut desk, owns("a", 1, all.clone()));
    assert_eq!(answer, HeartbeatAnswer { assignment: None, ..expected.clone() });
    // A client that does not know whether its last request came through says everything, and gets everything.
    let full = ConsumerHeartbeat { epoch: 1, owned: Some(all), ..join("a", &["t", "unknown"]) };
    assert_eq!(ok(&mut desk, full), expected);
    assert_eq!(desk.updates, 1, "heartbeats that change nothing record nothing");
}

#[test]
fn members_come_again_sooner_while_partitions_move() {
    let mut desk = desk();
    assert_eq!(ok(&mut desk, join("z", &["unknown"])).interval_ms, 5_000, "there are none");
    ok(&mut desk, leave("z"));
    ok(&mut desk, join("a", &["t"]));
    let mut interval = |after, said| {
        desk.now.0 += after;
        ok(&mut desk, said).interval_ms
    };
    assert_eq!(interval(4_999, beat("a", 3)), 500);
    assert_eq!(interval(1, beat("a", 3)), 5_000, "nothing has moved for an interval");
    assert_eq!(interval(40_000, join("b", &["t"])), 500);
    assert_eq!(interval(4_000, beat("a", 3)), 500, "it has not heard of the change before");
    assert_eq!(interval(1_000, beat("b", 4)), 5_000);
}

#[test]
fn a_member_without_an_id_gets_one() {
    let mut desk = desk();
    let said = ConsumerHeartbeat { member: None, fresh_member: "fresh".to_owned(), ..join("", &["t"]) };
    assert_eq!(ok(&mut desk, said).member, "fresh");
    assert_eq!(ok(&mut desk, beat("fresh", 1)).epoch, 1);
}

#[test]
fn a_partition_is_given_up_before_another_member_gets_it() {
    let mut desk = desk();
    ok(&mut desk, join("a", &["t"]));
    let answer = ok(&mut desk, join("b", &["t"]));
    assert_eq!((answer.epoch, answer.assignment), (2, Some(Partitions::new())), "nothing is free yet");
    let all = desk.cluster.list("t", &[0, 1, 2, 3]);
    let answer = ok(&mut desk, owns("a", 1, all.clone()));
    let kept = answer.assignment.expect("two must be given up");
    assert_eq!((answer.epoch, count(&kept)), (1, 2));
    assert_eq!(desk.machine.describe().state, ConsumerState::Reconciling);
    // Until it says so, it owns them.
    assert_eq!(ok(&mut desk, owns("a", 1, all)).epoch, 1);
    assert_eq!(ok(&mut desk, beat("b", 2)).assignment, None);
    assert_eq!(ok(&mut desk, owns("a", 1, kept.clone())).epoch, 2);
    let answer = ok(&mut desk, beat("b", 2));
    let got = answer.assignment.expect("they are free now");
    assert_eq!((count(&got), got == kept), (2, false));
    assert_eq!(desk.machine.describe().state, ConsumerState::Stable);
}

#[test]
fn epochs_fence_members_that_are_not_where_the_group_believes_them() {
    let mut desk = pair();
    refused(&mut desk, beat("a", 3), GroupError::FencedMemberEpoch);
    refused(&mut desk, beat("a", 1), GroupError::FencedMemberEpoch);
    let (stranger, all) = (desk.cluster.list("t", &[3]), desk.cluster.list("t", &[0, 1, 2, 3]));
    refused(&mut desk, owns("a", 1, stranger), GroupError::FencedMemberEpoch);
    refused(&mut desk, owns("a", 1, all), GroupError::FencedMemberEpoch);
    refused(&mut desk, beat("c", 1), GroupError::UnknownMember);
    refused(&mut desk, leave("c"), GroupError::UnknownMember);
    // The answer that raised the epoch may have been lost.
    let kept = desk.cluster.list("t", &[0]);
    assert_eq!(ok(&mut desk, owns("a", 1, kept)).epoch, 2);
    // A fenced member comes back as itself.
    let answer = ok(&mut desk, join("a", &["t"]));
    assert_eq!((answer.epoch, answer.assignment.map(|all| count(&all))), (2, Some(2)));
}

#[test]
fn a_member_that_leaves_frees_what_it_owned() {
    let mut desk = pair();
    let answer = ok(&mut desk, leave("b"));
    assert_eq!((answer.epoch, answer.assignment), (LEAVE, None));
    let answer = ok(&mut desk, beat("a", 2));
    assert_eq!((answer.epoch, answer.assignment.map(|all| count(&all))), (3, Some(4)));
    ok(&mut desk, leave("a"));
    assert!(desk.machine.is_idle() && desk.members.is_empty());
    assert_eq!(desk.machine.describe().state, ConsumerState::Empty);
    assert_eq!(desk.shared.epoch, 4);
}

#[test]
fn a_silent_member_is_removed() {
    let mut desk = pair();
    desk.sleep(30_000);
    ok(&mut desk, beat("a", 2));
    desk.sleep(15_000);
    assert!(desk.is_storing(), "b is silent for 45 s");
    desk.store();
    assert_eq!(count(&ok(&mut desk, beat("a", 2)).assignment.expect("b's are free")), 4);
    refused(&mut desk, beat("b", 2), GroupError::UnknownMember);
}

#[test]
fn a_member_that_does_not_give_up_in_time_is_removed() {
    let mut desk = desk();
    ok(&mut desk, join("a", &["t"]));
    ok(&mut desk, join("b", &["t"]));
    ok(&mut desk, beat("a", 1));
    for _ in 0..2 {
        desk.sleep(29_000);
        ok(&mut desk, beat("a", 1));
        ok(&mut desk, beat("b", 2));
    }
    desk.sleep(2_000);
    desk.store();
    refused(&mut desk, beat("a", 1), GroupError::UnknownMember);
    assert_eq!(count(&ok(&mut desk, beat("b", 2)).assignment.expect("all are free")), 4);
}

#[test]
fn waiting_for_an_update_does_not_count_as_silence() {
    let mut desk = desk();
    let ticket = desk.send(join("a", &["t"]));
    desk.sleep(60_000);
    desk.store();
    assert!(desk.answer(ticket).is_some_and(|answer| answer.is_ok()));
    desk.sleep(44_000);
    assert_eq!(ok(&mut desk, beat("a", 1)).epoch, 1);
}

#[test]
fn a_static_member_finds_its_partitions_again() {
    let mut desk = desk();
    ok(&mut desk, with_instance("i", join("a", &["t"])));
    ok(&mut desk, join("b", &["t"]));
    let kept = ok(&mut desk, with_instance("i", beat("a", 1))).assignment.expect("half of it");
    ok(&mut desk, with_instance("i", owns("a", 1, kept.clone())));
    ok(&mut desk, beat("b", 2));
    refused(&mut desk, with_instance("i", join("c", &["t"])), GroupError::UnreleasedInstance);
    let away = with_instance("i", beat("a", LEAVE_FOR_A_WHILE));
    assert_eq!(ok(&mut desk, away).epoch, LEAVE_FOR_A_WHILE);
    assert_eq!(ok(&mut desk, beat("b", 2)).assignment, None, "nobody gets what is kept for it");
    refused(&mut desk, with_instance("i", beat("a", 2)), GroupError::FencedMemberEpoch);
    let answer = ok(&mut desk, with_instance("i", join("c", &["t"])));
    assert_eq!((answer.epoch, answer.assignment), (2, Some(kept)), "no rebalance");
    assert_eq!(desk.machine.describe().state, ConsumerState::Stable);
    refused(&mut desk, with_instance("i", beat("a", 2)), GroupError::FencedInstance);
    refused(&mut desk, with_instance("i", leave("a")), GroupError::FencedInstance);
    refused(&mut desk, with_instance("j", beat("c", 2)), GroupError::UnknownMember);
    refused(&mut desk, with_instance("j", leave("c")), GroupError::UnknownMember);
}

#[test]
fn a_static_member_that_stays_away_is_removed() {
    let mut desk = pair();
    ok(&mut desk, with_instance("i", join("c", &["t"])));
    ok(&mut desk, with_instance("i", beat("c", LEAVE_FOR_A_WHILE)));
    desk.sleep(40_000);
    ok(&mut desk, beat("a", 2));
    ok(&mut desk, beat("b", 2));
    desk.sleep(5_000);
    desk.store();
    assert_eq!(desk.machine.describe().members.len(), 2);
}

#[test]
fn a_group_may_be_full() {
    let mut desk = Desk::with(ConsumerConfig { members_max: 1, ..ConsumerConfig::default() });
    desk.cluster.put("t", 4);
    ok(&mut desk, with_instance("i", join("a", &["t"])));
    refused(&mut desk, join("b", &["t"]), GroupError::GroupFull);
    ok(&mut desk, with_instance("i", beat("a", LEAVE_FOR_A_WHILE)));
    ok(&mut desk, with_instance("i", join("c", &["t"])));
}

#[test]
fn requests_that_wait_are_limited() {
    let mut desk = Desk::with(ConsumerConfig { requests_max: 1, ..ConsumerConfig::default() });
    desk.send(join("a", &[]));
    let waits = desk.send(join("b", &[]));
    let refused = desk.send(join("c", &[]));
    assert_eq!(desk.answer(waits), None);
    assert!(matches!(desk.answer(refused), Some(Err(GroupError::Unavailable(_)))));
}

#[test]
fn topics_that_come_grow_and_go_move_the_group() {
    let mut desk = Desk::new();
    let both = ConsumerHeartbeat { regex: Some("r.*".to_owned()), ..join("a", &["t"]) };
    assert_eq!(ok(&mut desk, both).assignment, Some(Partitions::new()));
    let expect = |desk: &mut Desk, epoch: i32, assignment: Option<usize>| {
        desk.topics_changed();
        let before = desk.machine.describe().members[0].1.epoch;
        let answer = ok(desk, beat("a", before));
        assert_eq!(answer.assignment.as_ref().map(count), assignment);
        assert_eq!(answer.epoch, epoch);
        if let Some(assignment) = answer.assignment {
            ok(desk, owns("a", epoch, assignment));
        }
    };
    desk.cluster.put("t", 2);
    expect(&mut desk, 2, Some(2));
    desk.cluster.put("other", 2);
    expect(&mut desk, 2, None);
    desk.cluster.put("t", 3);
    expect(&mut desk, 3, Some(3));
    desk.cluster.put("r1", 1);
    expect(&mut desk, 4, Some(4));
    desk.cluster.delete("t");
    // It gives up first, and keeps its epoch until it has.
    expect(&mut desk, 4, Some(1));
    assert_eq!(ok(&mut desk, beat("a", 5)).epoch, 5);
    desk.cluster.put("t", 2);
    expect(&mut desk, 6, Some(3));
    assert!(desk.machine.subscribes_to("t") && desk.machine.subscribes_to("r7"));
    assert!(!desk.machine.subscribes_to("xr7"));
}

#[test]
fn a_subscription_that_changes_moves_the_group() {
    let mut desk = pair();
    desk.cluster.put("u", 2);
    let next = ConsumerHeartbeat { topics: Some(vec!["u".to_owned()]), ..beat("a", 2) };
    let answer = ok(&mut desk, next.clone());
    assert_eq!(answer.assignment, Some(Partitions::new()), "t is given up first");
    let answer = ok(&mut desk, owns("a", 2, Partitions::new()));
    assert_eq!((answer.epoch, answer.assignment), (3, Some(desk.cluster.list("u", &[0, 1]))));
    let updates = desk.updates;
    ok(&mut desk, ConsumerHeartbeat { epoch: 3, ..next });
    assert_eq!(desk.updates, updates, "the same again is no change");
    // An empty expression is none.
    let none = ConsumerHeartbeat { regex: Some(String::new()), ..beat("a", 3) };
    assert_eq!(ok(&mut desk, none).epoch, 3);
}

#[test]
fn the_assignor_that_most_want_is_taken() {
    let mut desk = desk();
    desk.cluster.put("u", 4);
    let range =
        |member| ConsumerHeartbeat { assignor: Some("range".to_owned()), ..join(member, &["t", "u"]) };
    ok(&mut desk, range("a"));
    ok(&mut desk, range("b"));
    assert_eq!(desk.machine.describe().assignor, "range");
    for (_, member) in desk.machine.describe().members {
        let mut lists = member.target.values();
        assert_eq!(lists.next(), lists.next(), "equal topics are split alike");
    }
}

#[test]
fn commits_are_checked_against_the_members_epoch() {
    let mut desk = desk();
    let (nobody, a) = (MemberId::from(""), MemberId::from("a"));
    assert_eq!(desk.machine.check_commit(&nobody, -1), Ok(CommitFence::Simple));
    assert_eq!(desk.machine.check_commit(&a, 1), Err(GroupError::UnknownMember));
    ok(&mut desk, join("a", &["t"]));
    assert_eq!(desk.machine.check_commit(&a, 1), Ok(CommitFence::Consumer(a.clone(), 1)));
    assert_eq!(desk.machine.check_commit(&a, 0), Err(GroupError::StaleMemberEpoch));
    assert_eq!(desk.machine.check_commit(&nobody, -1), Err(GroupError::UnknownMember));
}

#[test]
fn a_lost_update_sends_everybody_away() {
    let mut desk = desk();
    let first = desk.send(join("a", &["t"]));
    let second = desk.send(join("b", &["t"]));
    desk.lose();
    for ticket in [first, second] {
        assert_eq!(desk.answer(ticket), Some(Err(GroupError::NotCoordinator)));
    }
    assert_eq!(ok(&mut desk, join("a", &["t"])).epoch, 1);
}

#[test]
fn a_new_coordinator_goes_on_where_the_old_one_was() {
    let mut desk = pair();
    desk.sleep(40_000);
    desk.die(true);
    desk.sleep(44_000);
    let updates = desk.updates;
    assert_eq!(ok(&mut desk, beat("a", 2)).assignment, None);
    assert_eq!(ok(&mut desk, beat("b", 2)).assignment, None);
    assert_eq!(desk.updates, updates);
    // It finds by itself that topics changed while nobody coordinated.
    desk.cluster.put("t", 6);
    desk.die(true);
    assert_eq!(count(&ok(&mut desk, beat("a", 2)).assignment.expect("one more")), 3);
}

#[test]
fn a_hundred_members_that_join_at_once_cost_few_updates() {
    let mut desk = Desk::new();
    desk.cluster.put("t", 600);
    let names: Vec<String> = (0..100).map(|number| format!("member-{number:03}")).collect();
    let tickets: Vec<_> = names.iter().map(|name| desk.send(join(name, &["t"]))).collect();
    while desk.is_storing() {
        desk.store();
    }
    assert_eq!(desk.updates, 2, "the first one, and all the others");
    let mut epochs = Vec::new();
    for ticket in tickets {
        epochs.push(desk.answer(ticket).and_then(Result::ok).expect("all have joined").epoch);
    }
    // The first one gives up, which frees the rest.
    let kept = ok(&mut desk, beat(&names[0], epochs[0])).assignment.expect("it had everything");
    let first = ok(&mut desk, owns(&names[0], epochs[0], kept));
    epochs[0] = first.epoch;
    let tickets: Vec<_> =
        names.iter().zip(&epochs).map(|(name, &epoch)| desk.send(beat(name, epoch))).collect();
    while desk.is_storing() {
        desk.store();
    }
    for ticket in tickets {
        assert!(desk.answer(ticket).is_some_and(|answer| answer.is_ok()));
    }
    let described = desk.machine.describe();
    assert_eq!(described.state, ConsumerState::Stable);
    assert!(described.members.iter().all(|(_, member)| count(&member.assigned) == 6));
    assert!(desk.updates <= 6, "{} updates", desk.updates);
}

#[test]
fn other_settings_take_effect_with_the_next_heartbeat() {
    let mut desk = desk();
    ok(&mut desk, join("a", &["t"]));
    let group = GroupSettings { session_timeout_ms: Some(6_000), heartbeat_interval_ms: Some(2_000) };
    desk.machine.configure(ConsumerConfig::default().with(group));
    desk.sleep(44_000);
    assert!(desk.machine.has_members(), "it was promised 45 s");
    assert_eq!(ok(&mut desk, beat("a", 1)).interval_ms, 2_000);
    desk.sleep(5_999);
    assert!(desk.machine.has_members());
    desk.sleep(1);
    assert!(!desk.machine.has_members());
}
