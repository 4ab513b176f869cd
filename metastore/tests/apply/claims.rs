//! Claims: who gets which work, who takes it over, and what becomes of the claims of an agent that goes.

use ebb_metastore::{
    command::{Command, Work},
    limits::CLAIMS_MAX,
    outcome::{Outcome, Refusal},
};
use ebb_protocol::ids::{AgentId, LogPosition};

use crate::support::{World, batch, entry, refused, register, topic};

fn window(from: u64, to: u64) -> Work {
    Work::Window { from: LogPosition(from), to: LogPosition(to) }
}

fn granted(version: u64) -> Outcome {
    Outcome::WorkClaimed { version }
}

/// Agents 1 and 2; agent 2 listens nowhere, as a compactor of its own.
fn world() -> World {
    let mut world = World::with_topic();
    world.apply(entry(2, 0, 0, vec![register(2, None)]), 0);
    world
}

fn run(world: &mut World, agent: u128, command: Command) -> Outcome {
    let id = AgentId(agent);
    let epoch = world.state.agents().find(|live| live.id == id).expect("it is live").epoch;
    let number = world.state.next_number(id).expect("it is live");
    world.apply(entry(agent, epoch.0, number, vec![command]), 0).remove(0)
}

fn claim(world: &mut World, agent: u128, work: Work, seen: Option<u64>) -> Outcome {
    run(world, agent, Command::ClaimWork { work, seen })
}

fn release(world: &mut World, agent: u128, work: Work) -> Outcome {
    run(world, agent, Command::ReleaseWork { work })
}

/// The same, where each of the entries from a position on has committed a segment, more than there can be claims.
fn with_segments() -> (World, u64) {
    let mut world = world();
    let first = world.state.position().0;
    for _ in 0..CLAIMS_MAX + 10 {
        world.commit(0, vec![batch(1)]);
    }
    (world, first)
}

fn claims(world: &World) -> Vec<(Work, u128, u64)> {
    world.state.claims().map(|(work, claim)| (work, claim.holder.0, claim.version)).collect()
}

#[test]
fn work_that_overlaps_is_claimed_once() {
    let mut world = world();
    assert_eq!(claim(&mut world, 1, window(10, 20), None), granted(1));
    for taken in [window(10, 20), window(0, 11), window(19, 30), window(12, 13), window(0, 99)] {
        assert_eq!(claim(&mut world, 2, taken, None), refused(Refusal::WorkClaimed), "{taken:?}");
    }
    assert_eq!(claim(&mut world, 2, window(0, 10), None), granted(2));
    assert_eq!(claim(&mut world, 2, window(20, 30), None), granted(3));
    assert_eq!(claim(&mut world, 2, Work::Topic(topic(1)), None), granted(4));
    assert_eq!(claim(&mut world, 1, Work::Topic(topic(1)), None), refused(Refusal::WorkClaimed));
    assert_eq!(claim(&mut world, 1, Work::Topic(topic(2)), None), granted(5));
    for empty in [window(5, 5), window(6, 5)] {
        assert_eq!(claim(&mut world, 1, empty, None), refused(Refusal::Malformed));
    }
}

#[test]
fn a_holder_renews_and_changes_its_own() {
    let mut world = world();
    assert_eq!(claim(&mut world, 1, window(10, 20), None), granted(1));
    assert_eq!(claim(&mut world, 1, window(10, 20), None), granted(2));
    assert_eq!(claim(&mut world, 1, window(15, 40), None), granted(3));
    assert_eq!(claims(&world), [(window(15, 40), 1, 3)], "no two overlap");
}

#[test]
fn a_claim_that_was_seen_unchanged_is_taken_over() {
    let mut world = world();
    assert_eq!(claim(&mut world, 1, window(10, 20), None), granted(1));
    assert_eq!(claim(&mut world, 1, window(10, 20), None), granted(2), "its holder lives");
    assert_eq!(claim(&mut world, 2, window(10, 20), Some(1)), refused(Refusal::WorkClaimed));
    assert_eq!(claim(&mut world, 2, window(5, 15), Some(2)), granted(3));
    assert_eq!(claims(&world), [(window(5, 15), 2, 3)]);
    assert_eq!(claim(&mut world, 1, window(15, 20), None), granted(4), "what was not claimed is free");
    // Only one claim has been watched, and two are in the way.
    assert_eq!(claim(&mut world, 2, window(20, 30), None), granted(5));
    run(&mut world, 1, Command::ReleaseWork { work: window(15, 20) });
    assert_eq!(claim(&mut world, 1, window(0, 30), Some(3)), refused(Refusal::WorkClaimed));
}

#[test]
fn a_claim_is_given_back_by_its_holder() {
    let mut world = world();
    assert_eq!(claim(&mut world, 1, window(10, 20), None), granted(1));
    assert_eq!(release(&mut world, 2, window(10, 20)), refused(Refusal::WorkClaimed));
    assert_eq!(release(&mut world, 1, window(10, 19)), Outcome::Done, "that one is not held");
    assert_eq!(claims(&world).len(), 1);
    assert_eq!(release(&mut world, 1, window(10, 20)), Outcome::Done);
    assert_eq!(release(&mut world, 1, window(10, 20)), Outcome::Done, "again is no harm");
    assert_eq!(claims(&world), []);
    assert_eq!(claim(&mut world, 2, window(10, 20), None), granted(2), "versions are not used again");
}

#[test]
fn the_claims_of_an_agent_go_with_it() {
    let mut world = world();
    claim(&mut world, 1, window(0, 10), None);
    claim(&mut world, 2, window(10, 20), None);
    assert_eq!(run(&mut world, 1, Command::SealAgent { agent: AgentId(2) }), Outcome::Done);
    assert_eq!(claims(&world), [(window(0, 10), 1, 1)]);
    // Agent 3 takes agent 1's address, and so its place.
    world.apply(entry(3, 0, 0, vec![register(3, Some(1))]), 0);
    assert_eq!(claims(&world), []);
}

#[test]
fn claims_are_limited() {
    let (mut world, first) = with_segments();
    let at = |n: u64| window(first + n, first + n + 1);
    for n in 0..CLAIMS_MAX as u64 {
        assert_eq!(claim(&mut world, 1, at(n), None), granted(n + 1));
    }
    let next = at(CLAIMS_MAX as u64);
    assert_eq!(claim(&mut world, 1, next, None), refused(Refusal::ClaimsFull));
    let renewed = claim(&mut world, 1, at(7), None);
    assert_eq!(renewed, granted(CLAIMS_MAX as u64 + 1), "one that is held is renewed all the same");
    release(&mut world, 1, at(7));
    assert_eq!(claim(&mut world, 1, next, None), granted(CLAIMS_MAX as u64 + 2));
}

#[test]
fn claims_to_nothing_make_room() {
    let (mut world, first) = with_segments();
    let present = [window(first, first + 1), window(first + 1, first + 2)];
    for work in present {
        claim(&mut world, 2, work, None);
    }
    claim(&mut world, 2, Work::Topic(topic(1)), None);
    claim(&mut world, 2, Work::Topic(topic(77)), None);
    for n in 0..CLAIMS_MAX as u64 - 4 {
        claim(&mut world, 2, window(1_000 + n, 1_001 + n), None);
    }
    assert_eq!(claims(&world).len(), CLAIMS_MAX);
    let next = window(first + 2, first + 3);
    assert_eq!(claim(&mut world, 1, next, None), granted(CLAIMS_MAX as u64 + 1));
    let left: Vec<_> = claims(&world).into_iter().map(|(work, ..)| work).collect();
    assert_eq!(left, [present[0], present[1], next, Work::Topic(topic(1))]);
}
