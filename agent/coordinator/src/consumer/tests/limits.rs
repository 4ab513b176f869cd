//! How large members and groups may become, and what is told to those that are too large.

use ebb_metastore::command::Partitions;
use ebb_protocol::ids::MemberId;

use super::support::{Desk, beat, join, owns};
use crate::{
    ConsumerHeartbeat, Event, GroupError, JoinRequest, Reply,
    consumer::{
        ConsumerConfig,
        expression::EXPRESSIONS_MAX,
        limits::{GROUP_SAID_BYTES_MAX, PARTITIONS_BYTES_MAX, SAID_BYTES_MAX, partitions_bytes, said_bytes},
    },
};

/// A member that subscribes by names of so many bytes together.
fn wordy(member: &str, bytes: usize) -> ConsumerHeartbeat {
    let topics: Vec<String> = (0..bytes / 100).map(|number| format!("{number:0>100}")).collect();
    ConsumerHeartbeat { topics: Some(topics), ..join(member, &[]) }
}

fn matching(member: &str, pattern: &str) -> ConsumerHeartbeat {
    ConsumerHeartbeat { regex: Some(pattern.to_owned()), ..join(member, &[]) }
}

fn join_classic(desk: &mut Desk, member: &str, metadata: Vec<u8>) -> Result<(), GroupError> {
    let said = JoinRequest {
        fresh_member: member.to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), metadata)],
        ..JoinRequest::default()
    };
    match desk.reply(|ticket| Event::Join(ticket, said)) {
        Reply::Join(result) => result.map(drop),
        other => panic!("{other:?}"),
    }
}

/// The largest that a recorded member takes, and all of them.
fn recorded(desk: &Desk) -> (usize, usize) {
    let sizes = desk.members.iter().map(|(id, member)| {
        let owned = [&member.assigned, &member.revoking, &member.target].map(partitions_bytes);
        said_bytes(id, member) + owned.iter().sum::<usize>()
    });
    (sizes.clone().max().unwrap_or(0), sizes.sum())
}

#[test]
fn a_member_that_is_too_large_is_refused_and_the_group_goes_on() {
    let mut desk = Desk::new();
    desk.cluster.put("t", 4);
    desk.ask(join("a", &["t"])).expect("a joins");
    // A subscription of the consumer protocol to `t`, with user data that fill it up.
    let filled = |bytes: usize| {
        let mut metadata = b"\0\0\0\0\0\x01\0\x01t".to_vec();
        metadata.extend(u32::try_from(bytes).expect("it is small").to_be_bytes());
        metadata.resize(metadata.len() + bytes, 0);
        metadata
    };
    let refused = join_classic(&mut desk, "c", filled(SAID_BYTES_MAX));
    assert!(matches!(refused, Err(GroupError::InvalidRequest(_))), "{refused:?}");
    assert_eq!(join_classic(&mut desk, "c", filled(SAID_BYTES_MAX / 2)), Ok(()));
    let many = wordy("d", 300_000);
    assert!(matches!(desk.ask(many), Err(GroupError::InvalidRequest(_))));
    let long = ConsumerHeartbeat { rack: Some("r".repeat(2_000)), ..join("d", &["t"]) };
    assert!(matches!(desk.ask(long), Err(GroupError::InvalidRequest(_))));
    assert_eq!(desk.members.len(), 2);
}

#[test]
fn a_group_whose_members_say_too_much_is_full() {
    let mut desk = Desk::new();
    desk.cluster.put("t", 4);
    let mut joined = 0;
    let refused = loop {
        match desk.ask(wordy(&format!("m{joined}"), 200_000)) {
            Ok(_) => joined += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, GroupError::GroupTooLarge);
    assert_eq!(joined, GROUP_SAID_BYTES_MAX / 207_000);
    assert!(desk.machine.bytes() > joined * 200_000);
    // Those that are there may say something else that is not longer.
    desk.ask(wordy("m0", 150_000)).expect("m0 joins again");
    assert!(desk.ask(wordy("m0", 150_100)).is_ok(), "there is room for that");
}

#[test]
fn a_group_has_so_many_partitions() {
    let mut desk = Desk::new();
    for number in 0..9 {
        desk.cluster.put(&format!("t{number}"), 10_000);
    }
    let all = matching("a", "t.*");
    let updates = desk.updates;
    assert_eq!(desk.ask(all.clone()), Err(GroupError::GroupTooLarge));
    assert_eq!(desk.updates, updates, "a refusal records nothing");
    desk.cluster.delete("t8");
    let answer = desk.ask(all).expect("eighty thousand fit");
    let owned = answer.assignment.expect("it owns all");
    assert!(partitions_bytes(&owned) <= PARTITIONS_BYTES_MAX);
    // When there come to be too many, those that fit have their owners, and nobody else may come.
    desk.cluster.put("t9", 10_000);
    desk.topics_changed();
    let kept = desk.ask(beat("a", 1)).expect("a goes on").assignment.unwrap_or(owned);
    let epoch = desk.ask(owns("a", 1, kept)).expect("a goes on").epoch;
    let (largest, updates) = (recorded(&desk).0, desk.updates);
    assert!(largest <= SAID_BYTES_MAX + 2 * PARTITIONS_BYTES_MAX);
    assert_eq!(desk.ask(matching("b", "t.*")), Err(GroupError::GroupTooLarge));
    assert_eq!(desk.ask(matching("b", "t.*")), Err(GroupError::GroupTooLarge));
    assert_eq!(desk.updates, updates, "a refusal records nothing");
    assert_eq!(desk.ask(beat("a", epoch)).map(|answer| answer.epoch), Ok(epoch), "and moves nobody");
}

#[test]
fn hostile_expressions_cost_their_members_alone() {
    let config = ConsumerConfig { members_max: 100, ..ConsumerConfig::default() };
    let mut desk = Desk::with(config);
    desk.cluster.put("t", 4);
    desk.ask(matching("a", "t")).expect("a joins");
    let updates = desk.updates;
    let hostile = desk.ask(matching("b", ".*[st].{60}"));
    assert!(matches!(hostile, Err(GroupError::InvalidRegularExpression(_))), "{hostile:?}");
    assert_eq!(desk.updates, updates);
    for number in 1..EXPRESSIONS_MAX {
        desk.ask(matching(&format!("m{number}"), &format!("t|{number}"))).expect("there is room");
    }
    let full = desk.ask(matching("b", "t|b"));
    assert!(matches!(full, Err(GroupError::InvalidRegularExpression(_))), "{full:?}");
    desk.ask(matching("b", "t|1")).expect("that one is there");
    desk.ask(beat("m2", -1)).expect("m2 leaves, and with it its expression");
    desk.ask(matching("c", "t|c")).expect("there is room again");
    // Another coordinator knows them too.
    desk.die(true);
    assert!(desk.machine.subscribes_to("c") && !desk.machine.subscribes_to("2"));
}

#[test]
fn a_group_knows_its_size() {
    let mut desk = Desk::new();
    desk.cluster.put("t", 1_000);
    let empty = desk.machine.bytes();
    desk.ask(join("a", &["t"])).expect("a joins");
    let one = desk.machine.bytes();
    assert!(one > empty + 1_000 * 100);
    let first = desk.send(wordy("b", 100_000));
    desk.send(wordy("c", 100_000));
    assert!(desk.machine.bytes() > one + 200_000, "what waits counts too");
    while desk.is_storing() {
        desk.store();
    }
    assert!(desk.answer(first).is_some_and(|answer| answer.is_ok()));
    for member in ["a", "b", "c"] {
        desk.ask(beat(member, -1)).expect("it leaves");
    }
    assert_eq!(desk.machine.bytes(), empty);
    assert_eq!(desk.members.get(&MemberId::from("a")), None);
    assert_eq!(recorded(&desk), (0, 0));
    let nothing = Partitions::new();
    assert_eq!(partitions_bytes(&nothing), 0);
}
