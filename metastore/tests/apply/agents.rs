//! Agents: registration, broker ids, sealing, and whose entries count.

use ebb_metastore::{
    command::{Command, Endpoint},
    limits::{AGENTS_MAX, CLOCK_STEP_MAX_MS},
    outcome::{Outcome, Refusal},
    state::State,
};
use ebb_protocol::ids::{AgentEpoch, AgentId, BrokerId, ClusterId, HostId, LogPosition};

use crate::support::{World, create_topic, entry, refused, register};

/// The outcome of the only command of an entry.
fn one(world: &mut World, agent: u128, epoch: u64, number: u64, command: Command) -> Outcome {
    world.apply(entry(agent, epoch, number, vec![command]), 0).remove(0)
}

fn registered(broker: i32, epoch: u64) -> Outcome {
    Outcome::AgentRegistered { broker: BrokerId(broker), epoch: AgentEpoch(epoch) }
}

fn live(state: &State) -> Vec<(i32, u128)> {
    state.agents().map(|agent| (agent.broker.0, agent.id.0)).collect()
}

#[test]
fn the_first_cluster_id_stays() {
    let mut world = World::default();
    let found = |id| Command::CreateCluster { cluster: ClusterId(id) };
    assert_eq!(one(&mut world, 1, 0, 0, found(7)), Outcome::Done);
    assert_eq!(one(&mut world, 2, 0, 0, found(8)), refused(Refusal::ClusterExists));
    assert_eq!(world.state.cluster(), Some(ClusterId(7)));
}

#[test]
fn broker_ids_are_the_lowest_free_and_stay_with_an_address() {
    let mut world = World::default();
    for (agent, port, expect) in [
        (1, Some(1), registered(0, 1)),
        (2, Some(2), registered(1, 2)),
        (3, None, registered(2, 3)),
        (4, None, registered(3, 4)),
        // The same address as agent 2.
        (5, Some(2), registered(1, 5)),
    ] {
        assert_eq!(one(&mut world, agent, 0, 0, register(agent, port)), expect, "agent {agent}");
    }
    assert_eq!(live(&world.state), [(0, 1), (1, 5), (2, 3), (3, 4)]);
    assert_eq!(one(&mut world, 5, 5, 1, Command::SealAgent { agent: AgentId(1) }), Outcome::Done);
    assert_eq!(one(&mut world, 6, 0, 0, register(6, None)), registered(0, 6));
    assert_eq!(live(&world.state), [(0, 6), (1, 5), (2, 3), (3, 4)]);
    assert_eq!(world.state.understood(), Some(1));
}

#[test]
fn an_address_at_loopback_is_another_one_on_another_host() {
    let at = |agent: u128, address: &str, host: Option<u128>| {
        let mut command = register(agent, Some(9_092));
        if let Command::RegisterAgent(said) = &mut command {
            said.kafka = Some(Endpoint { host: address.to_owned(), port: 9_092 });
            said.host = host.map(HostId);
        }
        command
    };
    for (address, first, second, replaced) in [
        ("127.0.0.1", Some(1), Some(2), false),
        ("localhost", Some(1), Some(2), false),
        ("127.0.0.1", Some(1), Some(1), true),
        ("127.0.0.1", Some(1), None, true),
        ("127.0.0.1", None, Some(2), true),
        ("10.0.0.1", Some(1), Some(2), true),
    ] {
        let mut world = World::default();
        one(&mut world, 1, 0, 0, at(1, address, first));
        one(&mut world, 2, 0, 0, at(2, address, second));
        let expect = if replaced { vec![(0, 2)] } else { vec![(0, 1), (1, 2)] };
        assert_eq!(live(&world.state), expect, "{address} on {first:?} and {second:?}");
    }
}

#[test]
fn only_a_live_agents_next_entry_counts() {
    let mut world = World::default();
    let create = |name: &str| create_topic(world.state.position().0.into(), name, 1);
    let (a, b, c) = (create("a"), create("b"), create("c"));
    assert_eq!(one(&mut world, 1, 0, 4, a.clone()), refused(Refusal::StaleAgent), "not registered yet");
    assert_eq!(
        one(&mut world, 1, 9, 4, register(1, None)),
        refused(Refusal::StaleAgent),
        "an invented epoch"
    );
    assert_eq!(one(&mut world, 1, 0, 4, register(1, None)), registered(0, 1));
    assert_eq!(world.state.next_number(AgentId(1)), Some(5));
    for (epoch, number, expect) in [
        (0, 4, refused(Refusal::OutOfTurn)),
        (1, 4, refused(Refusal::OutOfTurn)),
        (1, 6, refused(Refusal::OutOfTurn)),
        (2, 5, refused(Refusal::StaleAgent)),
        (1, 5, Outcome::Done),
        (1, 5, refused(Refusal::OutOfTurn)),
    ] {
        assert_eq!(one(&mut world, 1, epoch, number, a.clone()), expect, "epoch {epoch}, number {number}");
    }
    assert_eq!(
        one(&mut world, 1, 1, 6, register(1, None)),
        refused(Refusal::Malformed),
        "registered already"
    );
    assert_eq!(one(&mut world, 1, 1, 7, b), refused(Refusal::TopicExists), "the same id");
    assert_eq!(one(&mut world, 1, 1, 8, Command::SealAgent { agent: AgentId(1) }), Outcome::Done);
    assert_eq!(one(&mut world, 1, 1, 9, c), refused(Refusal::StaleAgent));
    assert_eq!(one(&mut world, 1, 0, 4, register(1, None)), refused(Refusal::StaleAgent), "a late copy");
    assert_eq!(live(&world.state), []);
}

#[test]
fn commands_of_an_entry_that_registers_wait_for_the_next_entry() {
    let mut world = World::default();
    let outcomes = world.apply(entry(1, 0, 0, vec![register(1, None), create_topic(1, "a", 1)]), 0);
    assert_eq!(outcomes, [registered(0, 1), refused(Refusal::StaleAgent)]);
    let outcomes = world.apply(entry(2, 0, 0, vec![register(3, None)]), 0);
    assert_eq!(outcomes, [refused(Refusal::Malformed)], "an agent registers only itself");
    assert_eq!(
        one(&mut world, 1, 1, 1, Command::SealAgent { agent: AgentId(3) }),
        refused(Refusal::UnknownAgent)
    );
}

#[test]
fn the_agent_silent_for_longest_makes_room() {
    let mut world = World::default();
    let count = AGENTS_MAX as u128;
    for agent in 1..=count {
        world.time += 1;
        one(&mut world, agent, 0, 0, register(agent, None));
    }
    world.time += 1;
    assert_eq!(one(&mut world, 1, 1, 1, create_topic(1, "a", 1)), Outcome::Done);
    one(&mut world, count + 1, 0, 0, register(count + 1, None));
    assert_eq!(world.state.agents().count(), AGENTS_MAX);
    assert_eq!(world.state.next_number(AgentId(1)), Some(2), "agent 1 spoke since");
    assert_eq!(world.state.next_number(AgentId(2)), None);
}

#[test]
fn an_agent_that_listens_nowhere_makes_room_first() {
    let mut world = World::default();
    let count = AGENTS_MAX as u128;
    for agent in 1..=count {
        world.time += 1;
        // Agent 5 spoke last but listens nowhere: nobody would find out that it is gone.
        let port = (agent != 5).then(|| u16::try_from(agent).expect("few"));
        one(&mut world, agent, 0, 0, register(agent, port));
    }
    world.time += 1;
    assert_eq!(one(&mut world, 5, 5, 1, create_topic(1, "a", 1)), Outcome::Done);
    one(&mut world, count + 1, 0, 0, register(count + 1, Some(9_999)));
    assert_eq!(world.state.next_number(AgentId(5)), None);
    assert_eq!(world.state.next_number(AgentId(1)), Some(1));
}

#[test]
fn the_log_boundary_moves_forward_up_to_the_entry_itself() {
    let mut world = World::new();
    let mut check = |below: u64, expect: Outcome, boundary: u64, declared: i64| {
        world.time += 10;
        assert_eq!(world.run(Command::TruncateLog { below: LogPosition(below) }), expect);
        assert_eq!(world.state.truncated_below(), LogPosition(boundary));
        assert_eq!(world.state.truncation_declared_at().0, declared);
    };
    check(0, Outcome::Done, 0, 0);
    check(2, Outcome::Done, 2, 1_020);
    check(1, Outcome::Done, 2, 1_020);
    check(5, refused(Refusal::Malformed), 2, 1_020);
    check(5, Outcome::Done, 5, 1_050);
}

#[test]
fn the_states_clock_does_not_go_back() {
    let mut world = World::new();
    world.time = 2_000;
    world.run(create_topic(1, "a", 1));
    world.time = 1_500;
    world.run(create_topic(2, "b", 1));
    assert_eq!(world.state.time().0, 2_000);
    world.time = 2_001;
    world.run(create_topic(3, "c", 1));
    assert_eq!(world.state.time().0, 2_001);
}

#[test]
fn entries_that_do_not_count_do_not_move_the_states_clock() {
    let mut world = World::new();
    let before = world.state.time();
    world.time += 10;
    for (agent, epoch, number, command) in [
        (9, 0, 0, Command::CreateCluster { cluster: ClusterId(7) }),
        (9, 3, 0, register(9, None)),
        (1, 1, 7, create_topic(1, "a", 1)),
        (1, 2, 1, create_topic(1, "a", 1)),
        (2, 0, 0, register(2, None)),
    ] {
        one(&mut world, agent, epoch, number, command);
        assert_eq!(world.state.time(), before, "agent {agent}, epoch {epoch}, number {number}");
    }
    assert_eq!(one(&mut world, 1, 1, 1, create_topic(1, "a", 1)), Outcome::Done);
    assert_eq!(world.state.time().0, before.0 + 10);
}

#[test]
fn a_clock_that_is_wrong_does_not_move_the_states_clock() {
    let week = 7 * 24 * CLOCK_STEP_MAX_MS;
    let mut world = World::new();
    let begin = world.time;
    world.time = begin + week;
    one(&mut world, 2, 0, 0, register(2, None));
    for minute in 1..=100 {
        let now = begin + minute * 60_000;
        world.time = now + week;
        assert_eq!(one(&mut world, 2, 2, minute.unsigned_abs(), truncate()), Outcome::Done);
        world.time = now + 5;
        assert_eq!(world.run(truncate()), Outcome::Done);
        assert_eq!(world.state.time().0, now + 5, "only the time that passes counts");
    }
}

#[test]
fn a_clock_that_leaps_moves_the_states_clock_by_a_step() {
    let week = 7 * 24 * CLOCK_STEP_MAX_MS;
    let mut world = World::new();
    let begin = world.time;
    for leap in [week, 0, week, 0, week] {
        world.time = begin + leap;
        world.run(truncate());
        assert_eq!(world.state.time().0, begin + CLOCK_STEP_MAX_MS, "and back and forth is one leap");
    }
    // From there it goes on as time passes.
    world.time = begin + week + 10;
    world.run(truncate());
    assert_eq!(world.state.time().0, begin + CLOCK_STEP_MAX_MS + 10);
}

/// A command that does nothing.
fn truncate() -> Command {
    Command::TruncateLog { below: LogPosition(0) }
}
