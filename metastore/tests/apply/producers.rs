//! Producers: ids and epochs, duplicates across entries and agents, expiry.

use ebb_metastore::{
    command::Command,
    limits::PRODUCER_IDLE_MS,
    outcome::{BatchOutcome, BatchRefusal, Outcome, Refusal},
};
use ebb_protocol::ids::{AgentId, Offset, PartitionIndex, ProducerEpoch, ProducerId};

use crate::support::{
    World, appended, commit, create_topic, duplicate, entry, numbered, refused, register, run, segment, topic,
};

const ID: ProducerId = ProducerId(0);

fn ready(id: i64, epoch: i16) -> Outcome {
    Outcome::ProducerReady { id: ProducerId(id), epoch: ProducerEpoch(epoch) }
}

fn init(current: Option<(i64, i16)>) -> Command {
    Command::InitProducer { current: current.map(|(id, epoch)| (ProducerId(id), ProducerEpoch(epoch))) }
}

/// A world in which producer 0 has its id.
fn world() -> World {
    let mut world = World::with_topic();
    assert_eq!(world.run(init(None)), ready(0, 0));
    world
}

#[test]
fn ids_are_fresh_and_epochs_follow() {
    let mut world = world();
    let mut check = |current, expect| assert_eq!(world.run(init(current)), expect, "{current:?}");
    check(None, ready(1, 0));
    check(Some((0, 0)), ready(0, 1));
    check(Some((0, 0)), refused(Refusal::StaleProducerEpoch));
    check(Some((0, 2)), refused(Refusal::StaleProducerEpoch));
    check(Some((2, 0)), refused(Refusal::UnknownProducer));
    check(Some((-1, -1)), refused(Refusal::UnknownProducer));
    check(Some((0, 1)), ready(0, 2));
}

#[test]
fn used_up_epochs_give_a_new_id() {
    let mut world = world();
    for epoch in 0..i16::MAX - 1 {
        assert_eq!(world.run(init(Some((0, epoch)))), ready(0, epoch + 1));
    }
    assert_eq!(world.run(init(Some((0, i16::MAX - 1)))), ready(1, 0));
}

#[test]
fn a_batch_that_comes_again_is_appended_once_through_any_agent() {
    let mut world = world();
    assert_eq!(
        world.commit(0, vec![numbered(ID, 0, 0, 5), numbered(ID, 0, 5, 5)]),
        [appended(0), appended(5)]
    );
    assert_eq!(world.commit(0, vec![numbered(ID, 0, 5, 5)]), [duplicate(5)]);
    let outcomes = world.apply(entry(2, 0, 0, vec![register(2, None)]), 0);
    let [Outcome::AgentRegistered { epoch, .. }] = outcomes[..] else { panic!("{outcomes:?}") };
    let again = commit(segment(1), vec![run(1, 0, 0, vec![numbered(ID, 0, 0, 5), numbered(ID, 0, 10, 5)])]);
    let outcomes = world.apply(entry(2, epoch.0, 1, vec![again]), 0);
    assert_eq!(outcomes, [Outcome::Committed { runs: vec![vec![duplicate(0), appended(10)]] }]);
    assert_eq!(world.state.next_number(AgentId(2)), Some(2));
}

#[test]
fn partitions_count_for_themselves() {
    let mut world = world();
    assert_eq!(world.commit(0, vec![numbered(ID, 0, 0, 5)]), [appended(0)]);
    assert_eq!(world.commit(1, vec![numbered(ID, 0, 0, 5)]), [appended(0)]);
    let unknown = BatchOutcome::Refused(BatchRefusal::UnknownProducer);
    assert_eq!(world.commit(2, vec![numbered(ID, 0, 5, 5)]), [unknown]);
    assert_eq!(world.commit(0, vec![numbered(ID, 1, 0, 5)]), [appended(5)]);
    let stale = BatchOutcome::Refused(BatchRefusal::StaleProducerEpoch);
    assert_eq!(world.commit(0, vec![numbered(ID, 0, 5, 5)]), [stale]);
    assert_eq!(world.commit(1, vec![numbered(ID, 0, 5, 5)]), [appended(5)], "it has not seen the new epoch");
}

#[test]
fn ids_that_were_not_given_out_are_refused() {
    let mut world = world();
    let unknown = BatchOutcome::Refused(BatchRefusal::UnknownProducer);
    let out_of_order = BatchOutcome::Refused(BatchRefusal::OutOfOrderSequence);
    let mut check = |id, epoch, sequence, expect| {
        let outcomes = world.commit(0, vec![numbered(ProducerId(id), epoch, sequence, 1)]);
        assert_eq!(outcomes, [expect], "producer {id}, epoch {epoch}, sequence {sequence}");
    };
    check(1, 0, 0, unknown);
    check(-1, 0, 0, unknown);
    check(0, 0, -1, out_of_order);
    check(0, -1, 0, out_of_order);
    check(0, 0, 0, appended(0));
}

#[test]
fn deleting_records_leaves_producers_alone() {
    let mut world = world();
    world.commit(0, vec![numbered(ID, 0, 0, 5)]);
    world.run(Command::DeleteRecords { topic: topic(1), partition: PartitionIndex(0), before: None });
    let log_start = Offset(5);
    let again = BatchOutcome::Duplicate { base: Offset(0), log_start };
    assert_eq!(world.commit(0, vec![numbered(ID, 0, 0, 5)]), [again]);
    let next = BatchOutcome::Appended { base: Offset(5), log_start };
    assert_eq!(world.commit(0, vec![numbered(ID, 0, 5, 5)]), [next]);
}

#[test]
fn idle_producers_are_forgotten_after_a_week() {
    let mut world = world();
    let unknown = BatchOutcome::Refused(BatchRefusal::UnknownProducer);
    world.commit(0, vec![numbered(ID, 0, 0, 5)]);
    world.commit(1, vec![numbered(ID, 0, 0, 5)]);
    let begin = world.time;
    world.wait_until(begin + PRODUCER_IDLE_MS - 1);
    assert_eq!(world.commit(0, vec![numbered(ID, 0, 5, 5)]), [appended(5)]);
    world.wait_until(begin + PRODUCER_IDLE_MS);
    world.run(create_topic(2, "two", 1));
    assert_eq!(world.commit(1, vec![numbered(ID, 0, 5, 5)]), [unknown], "idle for a week");
    assert_eq!(world.commit(0, vec![numbered(ID, 0, 5, 5)]), [duplicate(5)], "used within it");
    world.wait_until(begin + 2 * PRODUCER_IDLE_MS - 2);
    world.run(create_topic(3, "three", 1));
    assert_eq!(world.commit(0, vec![numbered(ID, 0, 5, 5)]), [duplicate(5)]);
    world.wait_until(begin + 2 * PRODUCER_IDLE_MS - 1);
    world.run(create_topic(4, "four", 1));
    assert_eq!(world.commit(0, vec![numbered(ID, 0, 10, 5)]), [unknown], "a duplicate is no use");
    assert_eq!(
        world.run(init(Some((0, 0)))),
        refused(Refusal::UnknownProducer),
        "its epoch is forgotten too"
    );
    assert_eq!(world.run(init(None)), ready(1, 0), "its id is not used again");
}
