//! The coordinator dies at each moment of a rebalance: after each of its effects, with the update in flight recorded
//! or not, and its last answers heard or not. Another one goes on from what is recorded. At no time may two members
//! commit for one partition, soon each partition has one owner, no committed offset is lost, and no request hangs.

mod clients;
mod world;

use std::collections::BTreeMap;

use self::{
    clients::{Client, Kind},
    world::{Kill, PARTITIONS, REBALANCE_MS, SESSION_MS, World},
};

/// After the last action a group has so long to become stable, in milliseconds: both time-outs, for members that are
/// gone and were not heard of, and a few heartbeats.
const SETTLE_MS: i64 = (SESSION_MS + REBALANCE_MS) as i64 + 8_000;

#[derive(Clone, Copy, Debug)]
enum Action {
    /// Starts, or is started again without having left.
    Start,
    Leave,
    /// Is gone without a word.
    Crash,
}

/// What happens: at a time in milliseconds, to a client, by its place.
type Script<'a> = &'a [(i64, usize, Action)];

/// Plays a script to its end, and gives when there were effects, in milliseconds since its begin.
fn play(clients: &dyn Fn() -> Vec<Client>, script: Script<'_>, kill: Option<Kill>) -> Vec<i64> {
    let mut world = World::new(kill);
    let mut clients = clients();
    let begin = world.now;
    let end = begin + script.last().expect("something happens").0;
    let mut actions = script.iter().peekable();
    while world.now < end + SETTLE_MS {
        while let Some((_, client, action)) = actions.next_if(|(at, ..)| begin + at <= world.now) {
            match action {
                Action::Start => clients[*client].start(&world),
                Action::Leave => clients[*client].leave(&mut world),
                Action::Crash => clients[*client].is_alive = false,
            }
        }
        for client in &mut clients {
            client.step(&mut world);
        }
        world.pass();
        check_owners(&world, &clients);
    }
    let alive: Vec<&Client> = clients.iter().filter(|client| client.is_alive).collect();
    let mut owned: Vec<i32> = alive.iter().flat_map(|client| client.owned.iter().copied()).collect();
    owned.sort_unstable();
    assert_eq!(owned, (0..PARTITIONS).collect::<Vec<_>>(), "{kill:?}: {clients:#?}");
    assert_eq!(world.members(), alive.len(), "{kill:?}: {clients:#?}");
    world.check_offsets();
    world.effects.into_iter().map(|at| at - begin).collect()
}

/// No two members may commit for one partition.
fn check_owners(world: &World, clients: &[Client]) {
    let mut owners = BTreeMap::new();
    for client in clients.iter() {
        let is_current = client.identity().is_some_and(|(id, epoch)| world.is_current(id, epoch));
        for partition in client.owned.iter().filter(|_| is_current) {
            let other = owners.insert(partition, client);
            assert!(other.is_none(), "{:?}: {partition} belongs to {other:#?} and {client:#?}", world.kill);
        }
    }
}

/// Plays a script with the coordinator's death at each moment from a time on, until its last action has had its
/// effects.
fn check(clients: &dyn Fn() -> Vec<Client>, script: Script<'_>, from: i64) {
    let until = script.last().expect("something happens").0 + i64::from(REBALANCE_MS);
    let times = play(clients, script, None);
    let moments = (0..times.len()).filter(|&index| (from..until).contains(&times[index]));
    assert!(moments.clone().count() > 10, "{times:?} are too few moments for a rebalance");
    for at in moments.map(|index| index + 1) {
        for (is_recorded, is_answered) in [(false, false), (false, true), (true, false), (true, true)] {
            play(clients, script, Some(Kill { at, is_recorded, is_answered }));
        }
    }
}

/// Three members of which the first is static: it is started again while the group is stable, and again while it
/// rebalances because the second has left and comes back.
const THREE: Script<'static> = &[
    (0, 0, Action::Start),
    (100, 1, Action::Start),
    (200, 2, Action::Start),
    (4_000, 0, Action::Start),
    (6_000, 1, Action::Leave),
    (8_500, 1, Action::Start),
    (8_900, 0, Action::Start),
    (11_000, 2, Action::Crash),
    (11_100, 2, Action::Start),
];

fn three(kind: Kind) -> impl Fn() -> Vec<Client> {
    move || {
        vec![Client::new(kind, "a", Some("i")), Client::new(kind, "b", None), Client::new(kind, "c", None)]
    }
}

#[test]
fn an_eager_group_survives_its_coordinator_at_each_moment() {
    check(&three(Kind::Eager), THREE, 0);
}

#[test]
fn a_cooperative_group_survives_its_coordinator_at_each_moment() {
    check(&three(Kind::Cooperative), THREE, 0);
}

/// The static member returns at each moment of a rebalance that the others make, in steps of 100 ms.
fn check_returns(kind: Kind) {
    for at in (4_600..6_800).step_by(100) {
        let script = [
            (0, 0, Action::Start),
            (100, 1, Action::Start),
            (200, 2, Action::Start),
            (4_000, 1, Action::Leave),
            (4_500, 1, Action::Start),
            (at, 0, Action::Start),
        ];
        check(&three(kind), &script, at - 200);
    }
}

#[test]
fn a_static_member_returns_at_each_moment_of_an_eager_rebalance() {
    check_returns(Kind::Eager);
}

#[test]
fn a_static_member_returns_at_each_moment_of_a_cooperative_rebalance() {
    check_returns(Kind::Cooperative);
}

#[test]
fn a_group_of_the_new_protocol_survives_its_coordinator_at_each_moment() {
    // A static member of this protocol says that it leaves for a while.
    let script: Vec<_> = THREE
        .iter()
        .flat_map(|&(at, client, action)| {
            let returns = client == 0 && at > 0;
            returns.then_some((at - 50, client, Action::Leave)).into_iter().chain([(at, client, action)])
        })
        .collect();
    check(&three(Kind::New), &script, 0);
}

#[test]
fn a_migration_survives_the_coordinator_at_each_moment() {
    let clients = || {
        vec![
            Client::new(Kind::Cooperative, "a", Some("i")),
            Client::new(Kind::Cooperative, "b", None),
            Client::new(Kind::New, "c", None),
            Client::new(Kind::New, "d", None),
        ]
    };
    // There, with one of the old clients left until later, and back.
    check(
        &clients,
        &[
            (0, 0, Action::Start),
            (100, 1, Action::Start),
            (4_000, 2, Action::Start),
            (7_000, 1, Action::Leave),
            (7_100, 3, Action::Start),
            (10_000, 0, Action::Start),
            (12_000, 2, Action::Leave),
            (13_500, 3, Action::Leave),
            (13_600, 1, Action::Start),
        ],
        0,
    );
}
